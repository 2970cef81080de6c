"""Reads COCO detection JSON, in two layouts.

Either train.json, val.json and test.json beside folders of the same names, or COCO's own:
annotations/instances_*.json and folders train*/, val*/, test*/ (also below images/).
"""

import collections
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import errors, progress, validation
from data.examples import DetectionRecord
from data.sources import base

_FILE_NAME_KEYS = ("file_name", "filename")  # COCO's key, then HIT-UAV's
_ANNOTATION_KEYS = ("annotations", "annotation")


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """Where a split lies.

    Attributes:
        annotations: the JSON file.
        images: the folder its file names start from.
    """

    annotations: Path
    images: Path


@dataclasses.dataclass(frozen=True)
class CocoItem:
    """One image's entry in the JSON.

    Attributes:
        source_id: its file name in the JSON.
        path: of the image file.
        size: (height, width) the JSON states, px, or None.
        boxes_xywh_px: one (x, y, width, height) a box.
        labels: one label a box, from 0.
        is_crowd: one flag a box.
        areas_px: one area a box, px^2; None where the JSON has none.
        problem: why the annotation is unusable, or None.
    """

    source_id: str
    path: str
    size: tuple[int, int] | None
    boxes_xywh_px: tuple[tuple[float, ...], ...] = ()
    labels: tuple[int, ...] = ()
    is_crowd: tuple[bool, ...] = ()
    areas_px: tuple[float | None, ...] = ()
    problem: str | None = None


class CocoSource(base.Source):
    """COCO JSON with its images."""

    kind = "coco"
    argument_help = ":PATH (train.json, val.json, test.json beside folders of images of the same names)"

    def __init__(self, spec: str, files: dict[str, SplitFiles], classes: Sequence[str] | None = None) -> None:
        """Reads the annotations.

        Args:
            spec: what the user typed.
            files: where each split lies.
            classes: names of the classes to detect, in label order; None takes all, by ascending category id.

        Raises:
            UserError: an annotation file is malformed, or a class is unknown.
        """
        self.spec = spec
        self.splits = tuple(files)
        self._files = files
        tables = {split: read_json(entry.annotations) for split, entry in files.items()}
        categories = {split: _categories(tables[split], files[split].annotations) for split in files}
        names = dict.fromkeys(name for by_id in categories.values() for name in by_id.values())
        self.class_names = base.select_classes([n for n in names if not base.is_ignore_category(n)], classes)
        self._items: dict[str, list[CocoItem]] = {
            split: _read_items(tables.pop(split), files[split], categories[split], self.class_names) for split in files
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the items behind: a worker gets those it loads."""
        return self.__dict__ | {"_items": {}}

    @classmethod
    def open(
        cls, spec: str, argument: str, classes: Sequence[str] | None, required_splits: Sequence[str]
    ) -> "CocoSource":
        """Opens a folder.

        Args:
            spec: what the user typed.
            argument: path of the folder.
            classes: names of the classes to detect, in label order; None takes all.
            required_splits: those that must be there.

        Returns:
            The source.

        Raises:
            UserError: the folder or a split's files are missing, an annotation file is malformed, or a class
                is unknown.
        """
        root = Path(argument).expanduser()
        if not argument or not root.exists():
            missing = f"there is no folder `{argument}`" if argument else "the path is missing"
            raise errors.UserError(f"Dataset `{spec}`: {missing}. Write coco:PATH with the path of an existing folder.")
        if not root.is_dir():
            raise errors.UserError(f"Dataset `{spec}`: `{root}` is a file. Name the folder that holds it.")
        files = find_splits(root)
        missing_splits = [split for split in required_splits if split not in files]
        if missing_splits:
            looked_for = "; ".join(
                f"`{split}.json` beside a folder `{split}/`, or `annotations/instances_{split}*.json` with its images"
                for split in missing_splits
            )
            raise errors.UserError(
                f"Dataset `{spec}` lacks {', '.join(missing_splits)}: looked in `{root}` for {looked_for};"
                f" found {base.found_in(root)}. Add the files or correct the path."
            )
        return cls(spec, files, classes)

    @classmethod
    def recognises(cls, path: str) -> bool:
        """Says whether a folder holds at least one split in one of the two layouts."""
        return bool(find_splits(Path(path)))

    def fingerprint(self) -> str:
        """Returns a digest of the names, sizes and modification times of the JSON and image files."""
        digest = hashlib.sha256()
        for split, files in self._files.items():
            digest.update(f"{split}\n".encode())
            for name, stat in [(files.annotations.name, files.annotations.stat()), *_stats(files.images)]:
                digest.update(f"{name}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def items(self, split: str) -> list[CocoItem]:
        """Lists a split's images by file name."""
        return list(self._items[split])

    def load(self, item: CocoItem) -> DetectionRecord:
        """Reads one image and checks it with its boxes.

        A size in the JSON that is not the file's counts for nothing where the boxes fit the file.

        Args:
            item: one of `items`.

        Returns:
            The example; its `source_id` is the image's file name in the JSON.

        Raises:
            BadExampleError: the annotation, the image or a box is unusable.
        """
        if item.problem:
            raise errors.BadExampleError(item.path, item.problem)
        image = validation.read_image(item.path)
        xywh = np.array(item.boxes_xywh_px, dtype=np.float64).reshape(-1, 4)
        try:
            boxes = validation.check_boxes(xywh, image.height, image.width, item.path)
        except errors.BadExampleError as error:
            if item.size in (None, (image.height, image.width)):
                raise
            stated = f"the annotation states {item.size[1]}x{item.size[0]} px"
            raise errors.BadExampleError(item.path, f"{error.reason}; {stated}") from error
        areas = [box[2] * box[3] if area is None else area for box, area in zip(xywh, item.areas_px, strict=True)]
        return DetectionRecord(
            source_id=item.source_id,
            encoded=image.encoded,
            image_format=image.image_format,
            height=image.height,
            width=image.width,
            boxes=boxes,
            labels=np.array(item.labels, dtype=np.int32),
            is_crowd=np.array(item.is_crowd, dtype=bool),
            area_px=np.array(areas, dtype=np.float32),
        )


def find_splits(root: Path) -> dict[str, SplitFiles]:
    """Finds the splits of a folder.

    Args:
        root: the folder, with SPLIT.json beside SPLIT/, or with annotations/instances_SPLIT*.json and the
            images in the folder of that name (SPLIT*/ or images/SPLIT*/).

    Returns:
        Where each split lies, in the order train, val, test; only those that are there.

    Raises:
        UserError: two files could be the annotations of one split.
    """
    found = {}
    for split in base.SPLITS:
        annotations, images = root / f"{split}.json", root / split
        if annotations.is_file() and images.is_dir():
            found[split] = SplitFiles(annotations, images)
            continue
        candidates = sorted((root / "annotations").glob(f"instances_{split}*.json"))
        if len(candidates) > 1:
            names = ", ".join(path.name for path in candidates)
            raise errors.UserError(f"`{root / 'annotations'}` has several files for {split}: {names}. Keep one.")
        for annotations in candidates:
            name = annotations.stem.removeprefix("instances_")
            folders = [root / name, root / "images" / name]
            images = next((folder for folder in folders if folder.is_dir()), None)
            if images is not None:
                found[split] = SplitFiles(annotations, images)
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds one object.

    Args:
        path: of the file.

    Returns:
        The object.

    Raises:
        UserError: the file cannot be read, is not UTF-8 text or not JSON (says line and column), or holds no
            object.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise errors.UserError(f"{path}: the file cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise errors.UserError(f"{path}: not UTF-8 text at byte {error.start}. Export it again as JSON.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise errors.UserError(
            f"{path}: malformed JSON at {where}: {error.msg}. Correct or export it again."
        ) from error
    if not isinstance(table, dict):
        raise errors.UserError(f"{path}: COCO JSON is one object: got {type(table).__name__}.")
    return table


def _list_at(table: dict[str, Any], keys: Sequence[str], path: Path) -> list[dict[str, Any]]:
    """Returns the list under the first of `keys` that the table has."""
    key = next((key for key in keys if key in table), None)
    if key is None:
        raise errors.UserError(f"{path}: COCO JSON needs the key `{keys[0]}`: got {', '.join(table) or 'no keys'}.")
    entries = table[key]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise errors.UserError(f"{path}: `{key}` must be a list of objects.")
    return entries


def _categories(table: dict[str, Any], path: Path) -> dict[Any, str]:
    """Returns {category id: name} by ascending id."""
    by_id = {}
    for index, category in enumerate(_list_at(table, ("categories",), path)):
        name, key = category.get("name"), category.get("id")
        if not isinstance(name, str) or not isinstance(key, int) or key in by_id:
            raise errors.UserError(
                f"{path}: `categories[{index}]` needs a text `name` and a whole-number `id` of its own: got {category}."
            )
        by_id[key] = name
    return dict(sorted(by_id.items()))


def _read_items(
    table: dict[str, Any], files: SplitFiles, categories: dict[Any, str], class_names: tuple[str, ...]
) -> list[CocoItem]:
    """Returns one item an image, sorted by file name."""
    by_id = _images_by_id(table, files)
    annotations: dict[Any, list[dict[str, Any]]] = collections.defaultdict(list)
    entries = _list_at(table, _ANNOTATION_KEYS, files.annotations)
    for annotation in entries:
        image_id = annotation.get("image_id")
        annotations[image_id if isinstance(image_id, int | str) else None].append(annotation)
    orphans = sum(len(group) for image_id, group in annotations.items() if image_id not in by_id)
    if orphans:
        counted = f"{orphans} of {len(entries)} annotations"
        text = f"{files.annotations}: {counted} name an image that is not in `images`"
        if orphans == len(entries):
            raise errors.UserError(f"{text}. Compare `image_id` with the images' `id`.")
        progress.emit("note", text=f"{text}; they are left out.")
    ignored = {key for key, name in categories.items() if base.is_ignore_category(name)}
    targets = {key: tuple(range(len(class_names))) if key in ignored else () for key in categories}
    targets |= {key: (class_names.index(name),) for key, name in categories.items() if name in class_names}
    items = [_with_boxes(item, annotations[image_id], targets, ignored) for image_id, item in by_id.items()]
    return sorted(items, key=lambda item: item.source_id)


def _images_by_id(table: dict[str, Any], files: SplitFiles) -> dict[Any, CocoItem]:
    """Returns {image id: item without boxes}."""
    by_id = {}
    entries = _list_at(table, ("images",), files.annotations)
    for index, entry in enumerate(entries):
        name = next((entry[key] for key in _FILE_NAME_KEYS if key in entry), None)
        image_id = entry.get("id")
        if not isinstance(name, str) or not name or not isinstance(image_id, int | str) or image_id in by_id:
            raise errors.UserError(
                f"{files.annotations}: `images[{index}]` needs a text `file_name` and an `id` of its own: got {entry}."
            )
        sides = (entry.get("height"), entry.get("width"))
        size = sides if all(isinstance(side, int) for side in sides) else None
        by_id[image_id] = CocoItem(source_id=name, path=str(files.images / name), size=size)
    if not by_id:
        raise errors.UserError(f"{files.annotations}: `images` is empty. Add images or correct the path.")
    validation.check_unique((item.source_id for item in by_id.values()), str(files.annotations))
    return by_id


def _with_boxes(
    item: CocoItem, annotations: list[dict[str, Any]], targets: dict[Any, tuple[int, ...]], ignored: set[Any]
) -> CocoItem:
    """Adds an image's annotations: one box for each label in `targets`, a crowd box where `ignored`."""
    rows = []
    for annotation in annotations:
        box, category, area = (annotation.get(key) for key in ("bbox", "category_id", "area"))
        named = f"annotation {annotation.get('id', 'without id')}"
        if not isinstance(category, int) or category not in targets:
            problem = f"{named} has category_id {category}, which `categories` does not list"
            return dataclasses.replace(item, problem=problem)
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
            problem = f"{named} needs a `bbox` of four numbers (x, y, width, height): got {box}"
            return dataclasses.replace(item, problem=problem)
        is_crowd = category in ignored or bool(annotation.get("iscrowd"))
        area = float(area) if _is_number(area) and math.isfinite(area) and area > 0 else None
        rows += [(tuple(box), label, is_crowd, area) for label in targets[category]]
    boxes, labels, is_crowd, areas = zip(*rows, strict=True) if rows else ((), (), (), ())
    return dataclasses.replace(item, boxes_xywh_px=boxes, labels=labels, is_crowd=is_crowd, areas_px=areas)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stats(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Returns (path inside the folder, stat) of every file in it, sorted."""
    paths = sorted(os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return [
        (os.path.relpath(path, folder), os.stat(path) if os.path.exists(path) else os.lstat(path)) for path in paths
    ]
