"""Reads KITTI's object labels, one text file an image.

- image_2/ and label_2/ at the path or below training/ (images/ and labels/ too); ImageSets/train.txt, val.txt and
  test.txt, or such files beside the folders, divide them by name; without lists all of it is "train". KITTI's own
  testing/ has no labels and is left out, and with it test.txt, whose numbers are those of testing/.
- Or folders train/, val/, test/ that each hold such a pair.

A row has 15 fields; type, left, top, right, bottom (px, from 0) are read. `DontCare` rows are regions to ignore; `Misc`
is a class as any other. Classes are sorted by name.

Source: Geiger et al. 2012, "Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite", object development
kit's readme.txt.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from data import progress
from data.sources import annotated, base, layout

_NUM_FIELDS = 15
_BOX_FIELDS = slice(4, 8)
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
    argument_help = ":PATH (a folder with image_2/ and label_2/, also below training/)"

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "KittiSource":
        """Opens a folder; classes sorted by name.

        Raises:
            UserError: the folder is missing or in none of the layouts.
        """
        root = layout.existing_folder(spec, cls.kind, argument)
        places = find_splits(root)
        if not places:
            looked_for = (
                "`image_2/` with `label_2/`, at the path, below `training/`, or below `train/`, `val/`, `test/`"
            )
            raise layout.nothing_found(spec, root, looked_for)
        test_list = _find_lists(root).get("test")
        if test_list and "test" not in places:
            progress.emit("note", text=f"{test_list} names images of testing/, which has no labels; left out.")
        found, notices = {}, []
        for split, place in places.items():
            found[split], split_notices = _read_split(place)
            notices += split_notices
        layout.check_any(spec, found)
        images, class_names = annotated.label_by_name(found)
        given = [path for place in places.values() for path in (place.list_file, place.labels, place.images) if path]
        return cls(spec, images, class_names, layout.outermost(given), options, list(dict.fromkeys(notices)))

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which folder holds label files of 15 fields; None where none does."""
        for place in (find_splits(path) if path.is_dir() else {}).values():
            files = sorted(place.labels.glob("*.txt"))
            try:
                row = next((row for file in files[:20] for _, row in _rows(file)), None)
            except (OSError, UnicodeDecodeError):
                continue
            if row and len(row) == _NUM_FIELDS and not layout.is_number(row[0]):
                return f"{place.labels.relative_to(path)}/ has KITTI's rows of {_NUM_FIELDS} fields"
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
    pair = _pair(root) or _pair(root / "training")
    if pair is None:
        pairs = {split: _pair(folder) for split, folder in layout.split_folders(root).items()}
        return {split: Place(*found) for split, found in pairs.items() if found}
    lists = _find_lists(root)
    if (root / "testing").is_dir():
        lists.pop("test", None)
    return {split: Place(*pair, file) for split, file in lists.items()} or {"train": Place(*pair)}


def _find_lists(root: Path) -> dict[str, Path]:
    parents = (root / "ImageSets", root / "training" / "ImageSets", root, root / "training")
    return next(filter(None, (layout.split_files(parent, ".txt") for parent in parents)), {})


def _pair(folder: Path) -> tuple[Path, Path] | None:
    pairs = ((folder / images, folder / labels) for images, labels in _FOLDERS)
    return next((pair for pair in pairs if all(path.is_dir() for path in pair)), None)


def _read_split(place: Place) -> tuple[list[annotated.NamedImage], list[annotated.Notice]]:
    """Reads the listed images, or all that have a label file."""
    files = {layout.stem(name): name for name in layout.image_names(place.images)}
    labels = {file.stem: file for file in sorted(place.labels.glob("*.txt"))}
    names = layout.read_names(place.list_file) if place.list_file else sorted(labels)
    found = [_read(place, name, files.get(name, f"{name}.png"), labels.get(name)) for name in names]
    unlabelled = [files[name] for name in files if name not in labels and name not in names]
    notices = [
        annotated.Notice("unnamed_image", str(place.images / name), "it has no label file") for name in unlabelled
    ]
    return found, notices


def _read(place: Place, name: str, source_id: str, file: Path | None) -> annotated.NamedImage:
    """Reads one image's label file."""
    names, boxes, problem = [], [], None
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


def _parse_row(words: Sequence[str], number: int) -> tuple[str, tuple[float, ...]]:
    """Returns a row's type and its (left, top, right, bottom), px.

    Raises:
        ValueError: the row is malformed.
    """
    if len(words) != _NUM_FIELDS:
        score = "; the 16th is a detection's score, not ground truth" if len(words) == _NUM_FIELDS + 1 else ""
        raise ValueError(f"row {number} has {len(words)} fields, KITTI's labels {_NUM_FIELDS}{score}")
    for word in words[_BOX_FIELDS]:
        if not layout.is_number(word):
            raise ValueError(f"row {number} ({words[0]}) needs left, top, right, bottom as numbers: got `{word}`")
    return words[0], tuple(float(word) for word in words[_BOX_FIELDS])
