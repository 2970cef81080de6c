"""Reads Pascal VOC XML, one file an image.

Layouts:
- VOC's own: JPEGImages/, Annotations/ and ImageSets/Main/{train,val,test}.txt (where train.txt is missing, trainval.txt
  without what val.txt has; also train.txt, ... beside the folders, and below VOCdevkit/VOC2007/);
- folders train/, val/, test/ of images, with the XML files beside them, in a folder of XML below each, or in one folder
  of XML beside all three (`ANNOTATION_FOLDERS`, or any folder that holds XML of this kind);
- otherwise folders train/, val/, test/ above the images tell the split, or all of it is "train"; several folders with
  XML and images, as one a recording, are read together. XML in other folders is left out, with a note.

Folders below these are read, too. Names of folders and splits count in any case.

Rules:
- Coordinates are read as they stand, from 0 and with xmax and ymax at the box's far side, as most tools write them.
  VOC's own files (`source/database` is "The VOC2007 Database", or of another year) count from 1 and include xmax and
  ymax, so there 1 is taken off xmin and ymin. Tools copy that line, too: where a file that has it has a corner below
  1, and no box outside its image, all files are read from 0, and a notice says so. Where no number tells, the file's
  word counts; where it is wrong, a box is off by one pixel at two sides.
- `difficult` objects are regions to ignore, as VOC's own evaluation leaves them out; so are objects named DontCare.
- The image is the one that has the XML file's path and name. Where several have, as a photo and its mask, the XML's
  `filename` decides; where none has, `filename`, else what is alike (`locate`). A `filename` that names another image
  that is there is noted, since it is often stale.
- A polygon without a `bndbox` counts as the box around it; one that lies elsewhere than its `bndbox` makes the image
  unusable, and so does an object with two names or boxes. Objects that LabelMe calls `deleted` are left out.
- A box with `rotation` and `occluded`, as CVAT exports them, is turned, and the upright box around it is taken.
- Classes are sorted by name, since VOC lists none.

Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2012 development kit, sections 2 and 3.
"""

import dataclasses
import functools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data import errors, progress
from data.sources import annotated, base, box_units, class_labels, division, layout, locate, voc_xml

ANNOTATION_FOLDERS = (
    "Annotations",
    "annotations/xmls",
    "annotations_xml",
    "annots",
    "normal_xml",
    "xml",
    "xmls",
    "labels",
)
IMAGE_FOLDERS = ("JPEGImages", "images")

_NAME_ONCE = "name each XML and image once"
_BOTH = "trainval"  # a list of train and val together
_CLASS_LIST = re.compile(r".+_(train|val|trainval|test)|trainval", re.IGNORECASE)  # of VOC's own, a list a class

_Pair = tuple[annotated.NamedImage, voc_xml.Stated]  # an image, and what its file states


class VocSource(annotated.AnnotatedSource):
    """Pascal VOC XML with its images."""

    kind = "voc"
    argument_help = ":PATH (JPEGImages/, Annotations/, ImageSets/Main/; or XML files beside the images)"
    looks_below = True

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "VocSource":
        """Opens a folder; classes sorted by name.

        Raises:
            UserError: the folder is missing or in none of the layouts.
        """
        root = _descend(layout.existing_folder(spec, cls.kind, argument))
        places = _find_splits(root)
        if not places:
            looked_for = "`JPEGImages/` with `Annotations/*.xml`, or XML files beside or near the images in `train/`"
            raise layout.nothing_found(spec, root, looked_for)
        found, notices = _from_zero({split: place.read() for split, place in places.items()})
        layout.check_any(spec, found)
        used = {file for place in places.values() for file in place.used}
        read = {named.image.path for named_images in found.values() for named in named_images}
        for place in places.values():
            notices += [*place.notices, *place.left_over(used, read)]
        _note_lists(root, places)
        notices += _note_other_xml(root, places.values())
        if not any(place.list_file for place in places.values()):
            if any(base.split_named(folder.name) for folder in layout.subfolders(root)):
                notices += layout.beside(root, (place.images for place in places.values()))
            else:
                found = division.divide_by_folder(
                    found["train"], lambda named: named.image.path, root, options.is_test_set
                )
        images, class_names = class_labels.label_by_name(found)
        return cls(spec, images, class_names, options, list(dict.fromkeys(notices)))

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says where XML files lie with their images; None where there are none."""
        root = _descend(path) if path.is_dir() else path
        for place in (_find_splits(root) if root.is_dir() else {}).values():
            file = next(iter(place.xml.values()))
            where = "beside the images" if file.parent == place.images else f"for images in {place.images.name}/"
            return f"{file.relative_to(path)} is VOC XML {where}" if voc_xml.is_voc(file) else None
        return None


class _Place:
    """Where a split lies: its folder of images, its XML files, and its names where a list has them.

    Attributes:
        without: a list of names that do not count although `list_file` has them.
        used: the XML files of its images.
        notices: what was found while it was read.
    """

    def __init__(
        self,
        images: Path,
        annotations: Path,
        list_file: Path | None = None,
        shared: bool = False,
        without: Path | None = None,
    ) -> None:
        self.images, self.annotations, self.list_file, self.shared = images, annotations, list_file, shared
        self.files = layout.image_names(images)
        self.xml = {layout.stem(name): annotations / name for name in layout.file_names(annotations, ".xml", deep=True)}
        self.used: set[Path] = set()
        self.notices: list[annotated.Notice] = []
        self._by_stem: dict[str, list[str]] = {}
        for name in self.files:
            self._by_stem.setdefault(layout.stem(name), []).append(name)
        known = {*self.xml, *self._by_stem}
        self.listed = layout.read_names(list_file, known) if list_file else None
        if self.listed and without:
            others = set(layout.read_names(without, known))
            self.listed = [name for name in self.listed if name not in others]

    def read(self) -> list[_Pair]:
        """Reads the XML of the listed images; without a list, all, or the images' where splits share a folder."""
        if self.listed is None:
            read = (self._read_file(name, file, voc_xml.read(file)) for name, file in self.xml.items())
            return [pair for pair in read if pair]
        return [self._read_listed(name) for name in self.listed]

    def left_over(self, used: set[Path], read: set[str]) -> list[annotated.Notice]:
        """Notes the XML files and the images of no split."""
        lost = [file for file in self.xml.values() if file not in used]
        if self.listed is not None:
            notices = [annotated.Notice("left_out", str(file), "it is in no list") for file in lost]
        else:
            notices = [annotated.Notice("lost_annotation", str(file), "no image has its name") for file in lost]
        with_xml = {str(self.images / name) for name in self.files if self._xml_of(layout.stem(name))}
        return [*notices, *layout.unnamed_images(self.images, read | with_xml, "it has no XML file")]

    def _read_listed(self, name: str) -> _Pair:
        file = self._xml_of(name)
        if file is None:
            matches = self._stems.matches(name)
            source_id = self._by_stem[matches[0]][0] if len(matches) == 1 else f"{name}.jpg"
            return self._named(source_id, voc_xml.Stated(problem=f"there is no XML file for `{name}`"))
        if file is not self.xml.get(name) and len(shared := self._stems.matches(file.stem)) > 1:
            several = " and ".join(f"`{self._by_stem[each][0]}`" for each in shared)
            image = self._by_stem.get(name, [f"{name}.jpg"])[0]
            return self._named(image, voc_xml.Stated(problem=f"{file}: {several} have its name; {_NAME_ONCE}"))
        return self._read_file(name, file, voc_xml.read(file)) or self._named(f"{name}.jpg", voc_xml.read(file))

    def _xml_of(self, name: str) -> Path | None:
        """Returns the XML file of an image's name without its ending, in the same folder or the only one so called."""
        if name in self.xml:
            return self.xml[name]
        matches = self._xml_names.matches(name)
        return self.xml[matches[0]] if len(matches) == 1 else None

    @functools.cached_property
    def _stems(self) -> locate.Names:
        return locate.Names(self._by_stem)

    @functools.cached_property
    def _names(self) -> locate.Names:
        return locate.Names(self.files)

    @functools.cached_property
    def _xml_names(self) -> locate.Names:
        return locate.Names(self.xml)

    def _read_file(self, name: str, file: Path, stated: voc_xml.Stated) -> _Pair | None:
        """Pairs an XML file with its image; None where another split's image is meant."""
        source_id, problem = self._image_of(name, file, stated.filename)
        if source_id is None and self.shared:
            return None
        self.used.add(file)
        if problem and not stated.problem:
            stated = dataclasses.replace(stated, rows=(), problem=f"{file}: {problem}")
        stated_name = locate.plain(stated.filename).rpartition("/")[2]
        absent = f"{name}.jpg" if not stated_name or self._exact(stated.filename) else stated_name
        return self._named(source_id or absent, stated)

    def _image_of(self, name: str, file: Path, filename: str) -> tuple[str | None, str | None]:
        """Returns the image's name, or None, and why it is not clear which is meant, or None."""
        said = locate.plain(filename).rpartition("/")[2]
        same = self._by_stem.get(name, [])
        by_name = [image for image in same if image.rpartition("/")[2].casefold() == said.casefold()]
        if len(same) > 1 and len(by_name) != 1:
            return same[0], f"{' and '.join(f'`{image}`' for image in same)} have its name; say which in `filename`"
        if same:
            other = self._exact(filename)
            if other and not by_name and other not in same:
                self.notices.append(annotated.Notice("other_filename", str(file), f"`filename` says {filename}"))
            return (by_name or same)[0], None
        exact = self._exact(filename)
        if exact:
            return (None if layout.stem(exact) in self.xml else exact), None  # another XML file has its name
        stems = self._stems.matches(name)
        matches = [image for each in _nearest(name, stems) for image in self._by_stem[each]]
        matches = [image for image in matches if image.rpartition("/")[2].casefold() == said.casefold()] or matches
        matches = matches or self._names.matches(filename)
        if len(matches) == 1:
            if layout.stem(matches[0]).rpartition("/")[2] != name.rpartition("/")[2]:
                self.notices += locate.inexact([(filename or name, self.images / matches[0])])
            return matches[0], None
        return (
            (None, None)
            if not matches
            else (matches[0], f"{' and '.join(f'`{image}`' for image in matches)} have its name; {_NAME_ONCE}")
        )

    def _exact(self, filename: str) -> str | None:
        """Returns the image that a path names, from the folder of the images on."""
        path = locate.plain(filename)
        return path if path in self._all else None

    @functools.cached_property
    def _all(self) -> frozenset[str]:
        return frozenset(self.files)

    def _named(self, source_id: str, stated: voc_xml.Stated) -> _Pair:
        names, boxes, is_crowd, _ = zip(*stated.rows, strict=True) if stated.rows else ((), (), (), ())
        image = annotated.AnnotatedImage(
            source_id=source_id,
            path=str(self.images / source_id),
            size=stated.size,
            boxes=boxes,
            is_crowd=is_crowd,
            areas_px=(None,) * len(boxes),
            box_form="xyxy_px",
            problem=stated.problem,
        )
        return annotated.NamedImage(image, names), stated


def _from_zero(
    read: Mapping[str, Sequence[_Pair]],
) -> tuple[dict[str, list[annotated.NamedImage]], list[annotated.Notice]]:
    """Makes the boxes of files that count from 1 count from 0, unless a number tells that they do already, and turns.

    Returns:
        The images by split, and a notice where the files' word does not hold.
    """
    said = [(named.image, stated) for pairs in read.values() for named, stated in pairs if stated.from_one]
    below = [image for image, stated in said if _is_below_1(stated)]
    offset = 0 if below else 1
    found = {
        split: [_placed(named, stated, offset if stated.from_one else 0) for named, stated in pairs]
        for split, pairs in read.items()
    }
    detail = (
        f"{len(said)} XML files name a VOC database, which counts from 1; {len(below)} of them with a corner below 1"
    )
    notices = [annotated.Notice("counted_from_0", below[0].path, f"{detail}, so all are read from 0")] if below else []
    return found, notices


def _is_below_1(stated: voc_xml.Stated) -> bool:
    """Says whether a corner as it stands is one that only counting from 0 has; broken boxes tell nothing."""
    height, width = stated.size or (math.inf, math.inf)
    boxes = [corners for _, corners, *_ in stated.rows]
    are_whole = all(0 <= xmin < xmax <= width and 0 <= ymin < ymax <= height for xmin, ymin, xmax, ymax in boxes)
    return are_whole and any(min(box) < 1 for box in boxes)


def _placed(named: annotated.NamedImage, stated: voc_xml.Stated, offset: float) -> annotated.NamedImage:
    boxes = tuple(
        box_units.around_turned((xmin - offset, ymin - offset, xmax, ymax), degrees)
        for _, (xmin, ymin, xmax, ymax), _, degrees in stated.rows
    )
    return dataclasses.replace(named, image=dataclasses.replace(named.image, boxes=boxes))


def _nearest(name: str, others: Sequence[str]) -> list[str]:
    """Returns the paths that share the most folders with another one, from the first folder on."""
    shared = [len(os.path.commonprefix([name.split("/"), other.split("/")])) for other in others]
    return [other for other, count in zip(others, shared, strict=True) if count == max(shared)]


def _find_splits(root: Path) -> dict[str, "_Place"]:
    """Returns where each split lies."""
    lists = _lists(root)
    shared, images = _folder_of_xml(root), _folder_of_images(root)
    if lists and shared:
        without = {file: lists.get("val") for file in lists.values() if file.stem.casefold() == _BOTH}
        return {split: _Place(images, shared, file, without=without.get(file)) for split, file in lists.items()}
    places = {}
    for split, folder in layout.split_folders(root).items():
        own = _folder_of_xml(folder)
        if own or shared not in (None, root):
            places[split] = _Place(_folder_of_images(folder), own or shared, shared=own is None)
    if places:
        return places
    return {"train": _Place(images, _above_all(root, shared))} if shared else {}


def _lists(root: Path) -> dict[str, Path]:
    """Returns the lists of the splits' images."""
    folders = [folder for folder in (_folder_of_lists(root), root) if folder]
    lists = next(filter(None, (layout.split_files(folder, ".txt") for folder in folders)), {})
    both = next((path for path in layout.files(folders[0], ".txt") if path.stem.casefold() == _BOTH), None)
    return {"train": both} | lists if both and "train" not in lists else lists


def _folder_of_lists(root: Path) -> Path | None:
    sets = layout.folder_named(root, "ImageSets")
    return (layout.folder_named(sets, "Main") or sets) if sets else None


def _note_lists(root: Path, places: Mapping[str, _Place]) -> None:
    """Says which lists of images are those of no split."""
    used = {place.list_file for place in places.values()}
    folder = _folder_of_lists(root)
    files = layout.files(folder, ".txt") if folder else []
    if files and used == {None}:
        names = ", ".join(file.name for file in files[:3])
        text = f"{folder} has lists, as {names}, but none of a whole split, as train.txt; they are left out."
        progress.emit("note", text=text)
        return
    for file in files:
        if file not in used and not _CLASS_LIST.fullmatch(file.stem):
            progress.emit("note", text=f"{file} is not a split (train, val or test) by its name; it is left out.")


def _note_other_xml(root: Path, places: Iterable[_Place]) -> list[annotated.Notice]:
    """Notes the folders of VOC's XML that is not read, beside one that is."""
    read = {file for place in places for file in place.xml.values()}
    by_name = {file.name: file for file in read}
    others: dict[Path, list[Path]] = {}
    for file in layout.files(root, ".xml", deep=True):
        if file not in read:
            others.setdefault(file.parent, []).append(file)
    notices = []
    for folder, files in others.items():
        if not voc_xml.is_voc(files[0]):
            continue
        twice = ((file, by_name[file.name]) for file in files if file.name in by_name)
        apart = next((own for file, own in twice if not voc_xml.state_the_same(file, own)), None)
        count = f"{len(files)} XML file{'s are' if len(files) > 1 else ' is'} not read, as {files[0].name}"
        detail = f"{count}; `{apart}` is read, which states other objects" if apart else count
        notices.append(annotated.Notice("left_out", str(folder), detail))
    return notices


def _folder_of_xml(folder: Path) -> Path | None:
    """Returns the folder of XML files in or below a folder."""
    named = []
    for name in ANNOTATION_FOLDERS:
        above, _, below = name.rpartition("/")
        parent = layout.folder_named(folder, above) if above else folder
        named.append(layout.folder_named(parent, below) if parent else None)
    others = [path for path in layout.subfolders(folder) if not base.split_named(path.name)]
    if layout.files(folder, ".xml") and not any(path and layout.files(path, ".xml") for path in named):
        return folder
    for path in filter(None, [*named, *others]):
        files = layout.files(path, ".xml", deep=True)
        if files and (path in named or voc_xml.is_voc(files[0])):
            return path
    return None


def _above_all(root: Path, annotations: Path) -> Path:
    """Returns the root where several folders hold XML files beside their images, as one a recording."""
    others = [path for path in layout.subfolders(root) if layout.files(path, ".xml", deep=True)]
    return root if annotations in others and len(others) > 1 and layout.image_names(annotations) else annotations


def _folder_of_images(folder: Path) -> Path:
    return layout.folder_named(folder, *IMAGE_FOLDERS) or folder


def _descend(root: Path) -> Path:
    """Returns the one folder in VOC's own layout at or below a path."""
    parents = (root, root / "VOCdevkit")
    if layout.folder_named(root, "Annotations") is None:
        found = sorted(path.parent for parent in parents for path in parent.glob("VOC*/Annotations"))
        if len(found) > 1:
            names = ", ".join(str(path) for path in found)
            raise errors.UserError(f"`{root}` holds several VOC datasets: {names}. Name the path of one.")
        return found[0] if found else root
    return root
