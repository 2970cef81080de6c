"""Reads Pascal VOC XML, one file an image.

Layouts:
- VOC's own: JPEGImages/, Annotations/ and ImageSets/Main/{train,val,test}.txt (trainval.txt where train.txt is missing;
  also train.txt, ... beside the folders, and below VOCdevkit/VOC2007/);
- folders train/, val/, test/ of images, with the XML files beside them, in a folder of XML below each, or in one folder
  of XML beside all three (`ANNOTATION_FOLDERS`);
- otherwise all of it is "train".

Rules:
- Coordinates are read as they stand, from 0 and with xmax and ymax at the box's far side, as most tools write them.
  VOC's own files (`source/database` is "The VOC2007 Database", or of another year) count from 1 and include xmax and
  ymax, so there 1 is taken off xmin and ymin. The numbers cannot tell the two apart, so the file's word counts; where
  it is wrong, a box is off by one pixel at two sides.
- `difficult` objects are regions to ignore, as VOC's own evaluation leaves them out; so are objects named DontCare.
- The image is the one named as the XML file; the XML's own `filename`, often stale, is the second choice.
- Classes are sorted by name, since VOC lists none.

Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2012 development kit, sections 2 and 3.
"""

import collections
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from data import errors
from data.sources import annotated, base, layout

ANNOTATION_FOLDERS = (
    "Annotations",
    "annotations",
    "annotations/xmls",
    "annotations_xml",
    "normal_xml",
    "xml",
    "labels",
)
IMAGE_FOLDERS = ("JPEGImages", "images")

_ONE_BASED = re.compile(r"The VOC\d{4} Database")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocSource(annotated.AnnotatedSource):
    """Pascal VOC XML with its images."""

    kind = "voc"
    argument_help = ":PATH (JPEGImages/, Annotations/, ImageSets/Main/; or XML files beside the images)"

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
        found, notices = {}, []
        for split, place in places.items():
            found[split] = place.read()
            notices += place.notices(found[split])
        layout.check_any(spec, found)
        read = {named.image.path for named_images in found.values() for named in named_images}
        notices = [notice for notice in notices if notice.file not in read]  # another split's list has it
        images, class_names = annotated.label_by_name(found)
        notices += _lost(places)
        roots = dict.fromkeys(root for place in places.values() for root in place.roots())
        return cls(spec, images, class_names, list(roots), options, list(dict.fromkeys(notices)))

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says where XML files lie with their images; None where there are none."""
        root = _descend(path) if path.is_dir() else path
        for place in (_find_splits(root) if root.is_dir() else {}).values():
            file = next(iter(place.xml.values()))
            where = "beside the images" if file.parent == place.images else f"for images in {place.images.name}/"
            return f"{file.relative_to(path)} is VOC XML {where}" if _is_voc(file) else None
        return None


class _Place:
    """Where a split lies: its folder of images, its XML files, and its names where a list has them."""

    def __init__(self, images: Path, annotations: Path, list_file: Path | None = None, shared: bool = False) -> None:
        self.images, self.annotations, self.list_file, self.shared = images, annotations, list_file, shared
        self.files = {layout.stem(name): name for name in layout.image_names(images)}
        self.xml = {file.stem: file for file in sorted(annotations.glob("*.xml"))}
        self.listed = layout.read_names(list_file) if list_file else None
        tails = collections.Counter(map(_tail, self.files))
        self._shared_tails = {tail for tail, count in tails.items() if count > 1}

    def read(self) -> list[annotated.NamedImage]:
        """Reads the XML of the listed images; without a list, all, or the images' where splits share a folder."""
        names = [name for name in self.files if _tail(name) in self.xml]
        if self.listed is not None:
            names = self.listed
        elif not self.shared:
            names += sorted(set(self.xml) - {_tail(name) for name in names})
        return [self._read_one(name) for name in names]

    def _read_one(self, name: str) -> annotated.NamedImage:
        """Reads an image's XML, which goes by the image's file name alone."""
        file = self.xml.get(_tail(name))
        found = _read(file, name, self.images, self.files)
        if file is None or _tail(name) not in self._shared_tails:
            return found
        problem = f"{file}: several images in folders of {self.images} have its name; name each XML and image once"
        return annotated.NamedImage(annotated.AnnotatedImage(found.image.source_id, found.image.path, problem=problem))

    def notices(self, found: list[annotated.NamedImage]) -> list[annotated.Notice]:
        """Notes the images without XML; of a list, those in no list are another split's."""
        names = {named.image.source_id for named in found}
        names |= {file for name, file in self.files.items() if _tail(name) in self.xml}
        return layout.unnamed_images(self.images, names, "it has no XML file")

    def roots(self) -> list[Path]:
        """Lists what the split's data lies in."""
        return [path for path in (self.list_file, self.annotations, self.images) if path]


def _find_splits(root: Path) -> dict[str, "_Place"]:
    """Returns where each split lies."""
    lists = layout.split_files(root / "ImageSets" / "Main", ".txt") or layout.split_files(root, ".txt")
    both = root / "ImageSets" / "Main" / "trainval.txt"
    if both.is_file() and "train" not in lists and "val" not in lists:
        lists = {"train": both} | lists
    shared, images = _folder_of_xml(root), _folder_of_images(root)
    if lists and shared:
        return {split: _Place(images, shared, file) for split, file in lists.items()}
    places = {}
    for split, folder in layout.split_folders(root).items():
        own = _folder_of_xml(folder)
        if own or shared not in (None, root):
            places[split] = _Place(_folder_of_images(folder), own or shared, shared=own is None)
    if places:
        return places
    return {"train": _Place(images, shared)} if shared else {}


def _folder_of_xml(folder: Path) -> Path | None:
    """Returns the folder of XML files in or below a folder."""
    candidates = (*(folder / name for name in ANNOTATION_FOLDERS), folder)
    return next((path for path in candidates if next(path.glob("*.xml"), None)), None)


def _folder_of_images(folder: Path) -> Path:
    return next((folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()), folder)


def _descend(root: Path) -> Path:
    """Returns the one folder in VOC's own layout at or below a path."""
    parents = (root, root / "VOCdevkit")
    if not (root / "Annotations").is_dir():
        found = sorted(path.parent for parent in parents for path in parent.glob("VOC*/Annotations"))
        if len(found) > 1:
            names = ", ".join(str(path) for path in found)
            raise errors.UserError(f"`{root}` holds several VOC datasets: {names}. Name the path of one.")
        return found[0] if found else root
    return root


def _lost(places: Mapping[str, _Place]) -> list[annotated.Notice]:
    """Notes the XML files that belong to no image of any split."""
    shared = {place.annotations: place for place in places.values() if place.shared}
    used = {_tail(name) for place in places.values() for name in place.files}
    files = [file for place in shared.values() for name, file in place.xml.items() if name not in used]
    return [annotated.Notice("lost_annotation", str(file), "no image has its name") for file in files]


def _tail(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _is_voc(file: Path) -> bool:
    try:
        return ElementTree.parse(file).getroot().tag == "annotation"
    except (ElementTree.ParseError, OSError, ValueError, LookupError):
        return True  # broken XML has its own message when it is read


def _read(file: Path | None, name: str, folder: Path, files: Mapping[str, str]) -> annotated.NamedImage:
    """Reads one image's XML.

    Args:
        file: the XML file, or None where there is none.
        name: of the image without its ending.
        folder: of the images.
        files: {name: file name} of the images in it.
    """
    source_id = files.get(name, f"{name}.jpg")
    problem, size, rows = f"there is no XML file for `{name}`", None, []
    if file:
        problem = None
        try:
            root = ElementTree.parse(file).getroot()
            if root.tag != "annotation":
                raise ValueError(f"its root is <{root.tag}>, where VOC has <annotation>")
            stated = (root.findtext("filename") or "").strip()
            if name not in files and stated and (folder / stated).is_file():
                source_id = stated
            size = _size(root)
            one_based = bool(_ONE_BASED.fullmatch((root.findtext("source/database") or "").strip()))
            rows = [_object(node, number, one_based) for number, node in enumerate(root.iter("object"), start=1)]
        except ElementTree.ParseError as error:
            line, column = error.position
            problem = f"{file}: malformed XML at line {line}, column {column + 1}: {str(error).partition(':')[0]}"
        except OSError as error:
            problem = f"{file}: the file cannot be read: {error.strerror or error}"
        except (ValueError, LookupError) as error:  # LookupError: an encoding that Python does not know
            problem = f"{file}: {error}"
    names, boxes, is_crowd = zip(*rows, strict=True) if rows else ((), (), ())
    image = annotated.AnnotatedImage(
        source_id=source_id,
        path=str(folder / source_id),
        size=size,
        boxes=boxes,
        is_crowd=is_crowd,
        areas_px=(None,) * len(boxes),
        box_form="xyxy_px",
        problem=problem,
    )
    return annotated.NamedImage(image, names)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Returns (height, width), px; None where they are missing or not positive, as some tools write them."""
    sides = tuple((root.findtext(f"size/{side}") or "").strip() for side in ("height", "width"))
    if not all(side.isdecimal() and int(side) > 0 for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def _object(node: ElementTree.Element, number: int, one_based: bool) -> tuple[str, tuple[float, ...], bool]:
    """Returns an object's (name, xmin, ymin, xmax, ymax, whether it is a region to ignore).

    Raises:
        ValueError: a part is missing or is no number.
    """
    name = (node.findtext("name") or "").strip()
    if not name:
        raise ValueError(f"object {number} has no `name`")
    corners = []
    for corner in _CORNERS:
        text = (node.findtext(f"bndbox/{corner}") or "").strip()
        try:
            corners.append(float(text))
        except ValueError as error:
            got = f"got `{text}`" if text else "it is missing"
            raise ValueError(f"object {number} ({name}) needs a number in `bndbox/{corner}`: {got}") from error
    offset = 1.0 if one_based else 0.0
    box = (corners[0] - offset, corners[1] - offset, corners[2], corners[3])
    return name, box, (node.findtext("difficult") or "0").strip() == "1"
