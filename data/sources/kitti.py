"""Reads KITTI's object labels, one text file an image.

- image_2/ and label_2/ at the path or below training/ (images/ and labels/ too); ImageSets/train.txt, val.txt and
  test.txt, or such files beside the folders, divide them by name; without lists all of it is "train". KITTI's own
  testing/ has no labels and is left out, and with it test.txt, whose numbers are those of testing/.
- Or folders train/ (or training/), val/, test/ that each hold such a pair, or below images/ (image_2/, ...) of one
  pair; or one folder of another name that holds a pair.

Names of folders and splits count in any case; images in folders below go by their paths. A row has 15 fields; type,
left, top, right, bottom (px, from 0) are read. The type may have several words: it ends before the first number. A 16th
field is left out where it is equal everywhere, as CVAT writes it, unless the first number can only be of the type, as
in `Type 2`; else it looks like a detection's score. `,score=ignore` behind the path says that it is none that matters.
`DontCare` rows are regions to ignore; `Misc` is a class as any other. Classes are sorted by name.

Source: Geiger et al. 2012, "Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite", object development
kit's readme.txt.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data import errors, progress
from data.sources import annotated, base, class_labels, division, layout, locate

_NUM_FIELDS = 15
_NUMS_NUMBERS = (_NUM_FIELDS - 1, _NUM_FIELDS)  # behind a row's type, without and with a 16th field
_BOX_NUMBERS = slice(3, 7)  # of them
_FOLDERS = (("image_2", "label_2"), ("images", "labels"), ("image", "label"))


@dataclasses.dataclass(frozen=True)
class Place:
    """Where labels lie.

    Attributes:
        images: folder of the images.
        labels: folder of the label files.
        list_file: names of the split's images, or None for all.
    """

    images: Path
    labels: Path
    list_file: Path | None = None


class KittiSource(annotated.AnnotatedSource):
    """KITTI object labels with their images."""

    kind = "kitti"
    argument_help = ":PATH[,score=ignore] (a folder with image_2/ and label_2/, also below training/)"
    looks_below = True

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "KittiSource":
        """Opens a folder; classes sorted by name.

        Raises:
            UserError: the folder is missing or in none of the layouts, or its rows look like detections.
        """
        path, comma, answer = argument.partition(",score=")
        if comma and answer != "ignore":
            raise errors.UserError(f"Dataset `{spec}`: `score` must be ignore: got `{answer}`.")
        root = layout.existing_folder(spec, cls.kind, path)
        places = find_splits(root)
        if not places:
            looked_for = (
                "`image_2/` with `label_2/`, at the path, below `training/`, or below `train/`, `val/`, `test/`"
            )
            raise layout.nothing_found(spec, root, looked_for)
        test_list = _find_lists(root).get("test")
        if test_list and "test" not in places:
            progress.emit("note", text=f"{test_list} names images of testing/, which has no labels; left out.")
        if not comma:
            _check_scores(spec, path, places.values())
        found, notices = {}, []
        for split, place in places.items():
            found[split], split_notices = _read_split(place)
            notices += split_notices
        read = {named.image.path for named_images in found.values() for named in named_images}
        notices = [notice for notice in notices if notice.file not in read]  # another split's list has it
        used = {place.list_file for place in places.values() if place.list_file}
        for file in (file for each in used for file in layout.files(each.parent, ".txt")):
            if file not in (*used, test_list) and file.parent.name.casefold() == "imagesets":
                progress.emit("note", text=f"{file} is not a split (train, val or test) by its name; it is left out.")
        layout.check_any(spec, found)
        parents = {place.images.parent for place in places.values()} - {layout.folder_named(root, "training")}
        if any(base.split_named(parent.name) for parent in parents - {root}):
            notices += layout.beside(root, (place.images for place in places.values()))
        elif not used:
            found = division.divide_by_folder(found["train"], lambda named: named.image.path, root, options.is_test_set)
        images, class_names = class_labels.label_by_name(found)
        return cls(spec, images, class_names, options, list(dict.fromkeys(notices)))

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which folder holds label files of 15 fields; None where none does."""
        for place in (find_splits(path) if path.is_dir() else {}).values():
            files = layout.files(place.labels, ".txt", deep=True)
            try:
                row = next((row for file in files for _, row in _rows(file)), [""])  # the first files may be empty
            except (OSError, UnicodeDecodeError):
                continue
            fields = _fields(row)[1]
            is_its = len(fields) in _NUMS_NUMBERS and all(map(layout.is_number, fields))
            if is_its and not layout.is_number(row[0]):
                return f"{place.labels.relative_to(path)}/ has KITTI's rows of {len(fields) + 1} fields"
        return None


def find_splits(root: Path) -> dict[str, Place]:
    """Finds the splits of a folder.

    Args:
        root: an existing folder.

    Returns:
        Where each split lies, in the order train, val, test; empty where there is no pair of folders.

    Raises:
        UserError: two folders or lists are one split.
    """
    evaluated = [path for path in layout.subfolders(root) if base.split_named(path.name) in ("val", "test")]
    training = None if any(map(_pair, evaluated)) else layout.folder_named(root, "training")
    pair = _pair(root) or _pair(training)
    if pair is None:
        pairs = {split: _pair(folder) for split, folder in layout.split_folders(root).items()}
        found = {split: Place(*pair) for split, pair in pairs.items() if pair}
        if found:
            return found
        others = list(filter(None, map(_pair, layout.subfolders(root))))
        if len(others) != 1:
            return {}
        pair = others[0]
    lists = _find_lists(root)
    if layout.folder_named(root, "testing"):
        lists.pop("test", None)
    return {split: Place(*pair, file) for split, file in lists.items()} or {"train": Place(*pair)}


def _find_lists(root: Path) -> dict[str, Path]:
    training = layout.folder_named(root, "training")
    parents = [parent for folder in filter(None, (root, training)) for parent in (_sets(folder), folder) if parent]
    return next(filter(None, (layout.split_files(parent, ".txt") for parent in parents)), {})


def _sets(folder: Path) -> Path | None:
    return layout.folder_named(folder, "ImageSets")


def _pair(folder: Path | None) -> tuple[Path, Path] | None:
    if folder is None:
        return None
    for images, labels in (
        (layout.folder_named(folder, one), layout.folder_named(folder, two)) for one, two in _FOLDERS
    ):
        if images and labels:
            return images, labels
    return None


def _check_scores(spec: str, path: str, places: Iterable[Place]) -> None:
    """Checks that a 16th field, where rows have one, is equal everywhere: else it is a detection's score.

    Where it is equal, it may be the last of 15 fields behind a type that ends with a number, as `Type 2`: the
    truncation is 0 to 1, so a whole number above that is of the type.
    """
    first: tuple[Path, str] | None = None
    numbered: tuple[str, str, str] | None = None
    for file in dict.fromkeys(file for place in places for file in layout.files(place.labels, ".txt", deep=True)):
        try:
            rows = [(number, *_fields(words)) for number, words in _rows(file)]
        except (OSError, UnicodeDecodeError):
            continue
        for row, name, fields in (entry for entry in rows if len(entry[2]) == _NUM_FIELDS):
            score = fields[-1]
            first = first or (file, score)
            if _is_of_type(fields):
                numbered = numbered or (f"row {row} of `{file}`", name, fields[0])
            if first[1] != score:
                raise errors.UserError(
                    f"Dataset `{spec}`: rows have a 16th field that differs ({first[1]} in `{first[0]}`, {score} in"
                    f" `{file}`): it looks like a detection's score, and detections are not ground truth. If they are,"
                    f" write kitti:{path},score=ignore."
                )
    if numbered:
        where, name, number = numbered
        raise errors.UserError(
            f"Dataset `{spec}`: {where} has {_NUM_FIELDS} numbers behind `{name}`, one more than KITTI, and"
            f" the first is {number}, which is no truncation (0 to 1). If the type is `{name} {number}`, write it as"
            f" {name}_{number}. If the last number is a score, write kitti:{path},score=ignore."
        )


def _is_of_type(fields: Sequence[str]) -> bool:
    """Says whether the first of 15 numbers cannot be a truncation, which lies in [0, 1]."""
    return all(map(layout.is_number, fields)) and float(fields[0]).is_integer() and float(fields[0]) > 1


def _read_split(place: Place) -> tuple[list[annotated.NamedImage], list[annotated.Notice]]:
    """Reads the listed images, or all that have a label file."""
    by_stem: dict[str, list[str]] = {}
    for name in layout.image_names(place.images):
        by_stem.setdefault(layout.stem(name), []).append(name)
    labels = {layout.stem(name): place.labels / name for name in layout.file_names(place.labels, ".txt", deep=True)}
    stems, label_names = locate.Names(by_stem), locate.Names(labels)
    listed = layout.read_names(place.list_file, {*by_stem, *labels}) if place.list_file else sorted(labels)
    found, inexact, used = [], [], set()
    for name in listed:
        label = _alike(name, labels, label_names)
        image = _alike(name, by_stem, stems)
        files = by_stem.get(image or "", [f"{name}.png"])
        problem = f"{' and '.join(f'`{file}`' for file in files)} have its name; keep the photo there only"
        found.append(_read(place, name, files[0], labels.get(label or ""), problem if len(files) > 1 else None))
        used |= {image, label}
        if image and image != name:
            inexact.append((name, place.images / files[0]))
    notices = locate.inexact(inexact)
    for image in (image for image in by_stem if image not in used):
        kind, why = ("left_out", "it is in no list") if image in labels else ("unnamed_image", "it has no label file")
        notices += [annotated.Notice(kind, str(place.images / name), why) for name in by_stem[image]]
    return found, notices


def _alike(name: str, known: Mapping[str, object], names: locate.Names) -> str | None:
    """Returns the known name that is meant; None where none or several could be."""
    matches = [name] if name in known else names.matches(name)
    return matches[0] if len(matches) == 1 else None


def _read(
    place: Place, name: str, source_id: str, file: Path | None, problem: str | None = None
) -> annotated.NamedImage:
    """Reads one image's label file; `problem` is why it is unusable, where that is known."""
    names, boxes = [], []
    try:
        if file is None:
            raise ValueError(f"there is no label file `{place.labels / name}.txt`")
        for number, words in _rows(file):
            class_name, box = _parse_row(words, number)
            names.append(class_name)
            boxes.append(box)
    except OSError as error:
        problem = f"{file}: the file cannot be read: {error.strerror or error}"
    except UnicodeDecodeError as error:
        problem = f"{file}: not UTF-8 text at byte {error.start}"
    except ValueError as error:
        problem = f"{file}: {error}" if file else str(error)
    image = annotated.AnnotatedImage(
        source_id=source_id,
        path=str(place.images / source_id),
        boxes=tuple(boxes),
        is_crowd=(False,) * len(boxes),
        areas_px=(None,) * len(boxes),
        box_form="xyxy_px",
        problem=problem,
    )
    return annotated.NamedImage(image, tuple(names))


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """Returns (row number, words) of the rows that are not empty."""
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    return [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]


def _fields(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Returns a row's type, which may have several words, and the fields from the first number on."""
    first = next((at for at, word in enumerate(words) if at and layout.is_number(word)), len(words))
    return " ".join(words[:first]), words[first:]


def _parse_row(words: Sequence[str], number: int) -> tuple[str, tuple[float, ...]]:
    """Returns a row's type and its (left, top, right, bottom), px.

    Raises:
        ValueError: the row is malformed.
    """
    name, fields = _fields(words)
    if len(fields) not in _NUMS_NUMBERS:
        raise ValueError(f"row {number} has {len(fields) + 1} fields, KITTI's labels {_NUM_FIELDS}")
    wrong = next((field for field in fields if not layout.is_number(field)), None)
    if wrong is not None:
        which = "left, top, right, bottom as numbers" if wrong in fields[_BOX_NUMBERS] else "numbers behind its type"
        raise ValueError(f"row {number} ({name}) needs {which}: got `{wrong}`")
    return name, tuple(float(field) for field in fields[_BOX_NUMBERS])
