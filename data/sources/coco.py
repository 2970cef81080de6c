"""Reads COCO detection JSON, in four layouts.

- train.json, val.json and test.json beside folders of images of the same names;
- COCO's own: annotations/instances_*.json (or annotations/train.json, ...) and folders train*/, val*/, test*/, also
  below images/;
- Roboflow's: train/_annotations.coco.json, valid/, test/, each with its images beside it;
- a set without splits: one JSON (`WHOLE_SET`) with its images in images/, data/ or beside it; all of it is "train".

Any split may be missing. A category that nothing names but other categories as their `supercategory`, which Roboflow
writes first into every export, is a heading and no class.
"""

import collections
import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors, example_rules, progress
from data.sources import annotated, base, layout

WHOLE_SET = ("_annotations.coco.json", "annotations.json", "labels.json", "coco.json", "result.json")

_FILE_NAME_KEYS = ("file_name", "filename")  # COCO's key, then HIT-UAV's
_ANNOTATION_KEYS = ("annotations", "annotation")


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """Where a split lies.

    Attributes:
        annotations: the JSON file.
        folders: existing folders that its file names may start from; the first that has the first image counts.
    """

    annotations: Path
    folders: tuple[Path, ...]


class CocoSource(annotated.AnnotatedSource):
    """COCO JSON with its images."""

    kind = "coco"
    argument_help = ":PATH (train.json, val.json, test.json beside folders of images of the same names)"

    def __init__(self, spec: str, files: Mapping[str, SplitFiles], options: base.ReadOptions) -> None:
        """Reads the annotations.

        Args:
            spec: what the user typed.
            files: where each split lies.
            options: answers to what the data leaves open.

        Raises:
            UserError: an annotation file is malformed.
        """
        tables = {split: read_json(entry.annotations) for split, entry in files.items()}
        categories = {split: read_categories(tables[split], files[split].annotations) for split in files}
        headings = _headings(tables, categories)
        names = [name for by_id in categories.values() for name in by_id.values() if name not in headings]
        class_names, labels = annotated.number_classes(names)
        images, notices, named = {}, [], collections.defaultdict(list)
        for split, entry in files.items():
            by_id = {key: labels[name] for key, name in categories[split].items() if name in labels}
            images[split], folder = read_images(tables.pop(split), entry, by_id, notices)
            named[folder] += [image.source_id for image in images[split]]
        for folder, source_ids in named.items():
            notices += layout.unnamed_images(folder, source_ids)
        roots = [*(entry.annotations for entry in files.values()), *named]
        super().__init__(spec, images, class_names, roots, options, notices)

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "CocoSource":
        """Opens a folder; classes in the order of their ids.

        Raises:
            UserError: the folder is missing or in none of the layouts, or an annotation file is malformed.
        """
        root = layout.existing_folder(spec, cls.kind, argument)
        files = find_splits(root)
        if not files:
            looked_for = (
                "`train.json` beside a folder `train/`, `annotations/instances_train*.json` with its images,"
                " or `train/_annotations.coco.json`, and the same for val and test"
            )
            raise layout.nothing_found(spec, root, looked_for)
        for split, file in layout.split_files(root, ".json").items():
            if split not in files:
                images = root / file.stem
                raise errors.UserError(
                    f"`{file}` has no folder of images: `{images}/` is missing. Add it, or move the file away."
                )
        for file in sorted(root.glob("*.json")):
            if file.stem not in base.SPLIT_NAMES and (root / file.stem).is_dir():
                progress.emit("note", text=f"{file} is no split (train, val or test) by its name; it is left out.")
        return cls(spec, files, options)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which JSON lies where COCO's layouts have it; None where none does."""
        found = find_splits(path) if path.is_dir() else {}
        for files in found.values():
            folder = files.folders[0]
            inside = "beside it" if folder == files.annotations.parent else f"in {folder.relative_to(path)}/"
            return f"{files.annotations.relative_to(path)} has its images {inside}"
        return None


def find_splits(root: Path) -> dict[str, SplitFiles]:
    """Finds the splits of a folder.

    Args:
        root: the folder, in one of this module's layouts.

    Returns:
        Where each split lies, in the order train, val, test; only those that are there.

    Raises:
        UserError: two files could be the annotations of one split.
    """
    folders, beside = layout.split_folders(root), layout.split_files(root, ".json")
    found = {}
    for split in base.SPLITS:
        files = _instances(root, split)
        if split in beside:
            files = _existing(beside[split], [root / beside[split].stem, folders.get(split)]) or files
        if files is None and split in folders:
            files = _in_folder(folders[split])
        if files:
            found[split] = files
    if found:
        return found
    default = root / "annotations" / "instances_default.json"
    whole = _in_folder(root) or (
        _existing(default, [root / "images" / "default", root / "images"]) if default.is_file() else None
    )
    return {"train": whole} if whole else {}


def _instances(root: Path, split: str) -> SplitFiles | None:
    """Finds a split in COCO's own layout."""
    candidates = sorted((root / "annotations").glob(f"instances_{split}*.json"))
    candidates = candidates or list(filter(None, [layout.split_files(root / "annotations", ".json").get(split)]))
    if len(candidates) > 1:
        names = ", ".join(path.name for path in candidates)
        raise errors.UserError(f"`{root / 'annotations'}` has several files for {split}: {names}. Keep one.")
    for path in candidates:
        name = path.stem.removeprefix("instances_")
        parents = (root, root / "images")
        return _existing(path, [*(parent / end for end in (name, split) for parent in parents), root / "images"])
    return None


def _in_folder(folder: Path) -> SplitFiles | None:
    """Finds one JSON and its images in a folder."""
    for path in (folder / name for name in WHOLE_SET):
        if path.is_file():
            has_images = bool(layout.image_names(folder, deep=False))
            return _existing(path, [folder / "images", folder / "data", folder if has_images else None])
    return None


def _existing(annotations: Path, folders: Sequence[Path | None]) -> SplitFiles | None:
    there = tuple(dict.fromkeys(folder for folder in folders if folder and folder.is_dir()))
    return SplitFiles(annotations, there) if there else None


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
        table = json.loads(layout.read_text(path, "JSON"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise errors.UserError(
            f"{path}: malformed JSON at {where}: {error.msg}. Correct or export it again."
        ) from error
    except RecursionError as error:
        raise errors.UserError(f"{path}: malformed JSON: nested too deep. Export it again.") from error
    if not isinstance(table, dict):
        raise errors.UserError(f"{path}: COCO JSON is one object: got {type(table).__name__}.")
    return table


def read_categories(table: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Reads the list of categories.

    Args:
        table: of the JSON.
        path: of the JSON, for errors.

    Returns:
        {category id: name} by ascending id.

    Raises:
        UserError: the list is missing or malformed.
    """
    by_id = {}
    for index, category in enumerate(_list_at(table, ("categories",), path)):
        name, key = category.get("name"), category.get("id")
        if not isinstance(name, str) or not isinstance(key, int) or key in by_id:
            raise errors.UserError(
                f"{path}: `categories[{index}]` needs a text `name` and a whole-number `id` of its own: got {category}."
            )
        by_id[key] = name
    return dict(sorted(by_id.items()))


def read_images(
    table: Mapping[str, Any],
    files: SplitFiles,
    labels: Mapping[int, int],
    notices: list[annotated.Notice],
    drop_others: bool = False,
) -> tuple[list[annotated.AnnotatedImage], Path]:
    """Reads a split's images with their boxes.

    Args:
        table: of the JSON.
        files: where the split lies.
        labels: by category id.
        notices: list to append to, where annotations name no image.
        drop_others: boxes of other categories are left out; else they make their image unusable.

    Returns:
        The images, and the folder that their names start from.

    Raises:
        UserError: the table is not COCO's, or no annotation names an image.
    """
    path = files.annotations
    by_id, folder = _images_by_id(table, files)
    annotations: dict[Any, list[dict[str, Any]]] = collections.defaultdict(list)
    entries = _list_at(table, _ANNOTATION_KEYS, path)
    for annotation in entries:
        image_id = annotation.get("image_id")
        annotations[image_id if isinstance(image_id, int | str) else None].append(annotation)
    orphans = sum(len(group) for image_id, group in annotations.items() if image_id not in by_id)
    if orphans:
        text = f"{orphans} of {len(entries)} annotations name an image that is not in `images`"
        if orphans == len(entries):
            wrong, right = next(iter(annotations)), next(iter(by_id))
            raise errors.UserError(f"{path}: {text}, as `image_id` {wrong!r} beside `id` {right!r}. Make them agree.")
        progress.emit("note", text=f"{path}: {text}; they are left out.")
        notices.append(annotated.Notice("lost_annotation", str(path), f"{text}; they are left out"))
    images = [with_boxes(image, annotations[image_id], labels, drop_others) for image_id, image in by_id.items()]
    return images, folder


def with_boxes(
    image: annotated.AnnotatedImage,
    annotations: Sequence[Mapping[str, Any]],
    labels: Mapping[int, int],
    drop_others: bool = False,
) -> annotated.AnnotatedImage:
    """Adds its annotations to an image.

    Args:
        image: without boxes.
        annotations: its entries in the JSON.
        labels: by category id.
        drop_others: as `read_images`.

    Returns:
        The image with boxes, or with a problem.
    """
    rows = []
    for annotation in annotations:
        box, category, area = (annotation.get(key) for key in ("bbox", "category_id", "area"))
        named = f"annotation {annotation.get('id', 'without id')}"
        if not isinstance(category, int) or category not in labels:
            if drop_others:
                continue
            problem = f"{named} has category_id {category!r}, which `categories` does not list"
            return dataclasses.replace(image, problem=problem, problem_kind="unknown_class")
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
            problem = f"{named} needs a `bbox` of four numbers (x, y, width, height): got {box!r}"
            return dataclasses.replace(image, problem=problem)
        is_crowd = labels[category] == annotated.IGNORE_LABEL or bool(annotation.get("iscrowd"))
        area = float(area) if _is_number(area) and math.isfinite(area) and area > 0 else None
        rows.append((tuple(box), labels[category], is_crowd, area))
    boxes, numbers, crowds, areas = zip(*rows, strict=True) if rows else ((), (), (), ())
    return dataclasses.replace(image, boxes=boxes, labels=numbers, is_crowd=crowds, areas_px=areas)


def _list_at(table: Mapping[str, Any], keys: Sequence[str], path: Path) -> list[dict[str, Any]]:
    """Returns the list under the first of `keys` that the table has."""
    key = next((key for key in keys if key in table), None)
    if key is None:
        raise errors.UserError(f"{path}: COCO JSON needs the key `{keys[0]}`: got {', '.join(table) or 'no keys'}.")
    entries = table[key]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise errors.UserError(f"{path}: `{key}` must be a list of objects.")
    return entries


def _headings(tables: Mapping[str, Mapping[str, Any]], categories: Mapping[str, Mapping[int, str]]) -> set[str]:
    """Returns the categories that only head others: their `supercategory`, without a box in any split."""
    heads: set[Any] = set()
    used: set[str] = set()
    for split, table in tables.items():
        entries = table.get("categories", [])
        heads |= {entry["supercategory"] for entry in entries if _is_headed(entry)}
        entries = next((table[key] for key in _ANNOTATION_KEYS if isinstance(table.get(key), list)), [])
        ids = {str(entry.get("category_id")) for entry in entries if isinstance(entry, dict)} if heads else set()
        used |= {name for key, name in categories[split].items() if str(key) in ids}
    return heads - used


def _is_headed(entry: Mapping[str, Any]) -> bool:
    """Says whether a category names another one as its head."""
    return isinstance(entry.get("supercategory"), str) and entry["supercategory"] != entry["name"]


def _images_by_id(table: Mapping[str, Any], files: SplitFiles) -> tuple[dict[Any, annotated.AnnotatedImage], Path]:
    """Returns {image id: image without boxes}, and the folder that their names start from."""
    entries = _list_at(table, ("images",), files.annotations)
    names = [next((entry[key] for key in _FILE_NAME_KEYS if key in entry), None) for entry in entries]
    for index, (entry, name) in enumerate(zip(entries, names, strict=True)):
        if not isinstance(name, str) or not name or not isinstance(entry.get("id"), int | str):
            raise _bad_image(files.annotations, index, entry)
    if not entries:
        raise errors.UserError(f"{files.annotations}: `images` is empty. Add images or correct the path.")
    folder = next((folder for folder in files.folders if os.path.isfile(folder / names[0])), files.folders[0])
    by_id = {}
    for index, (entry, name) in enumerate(zip(entries, names, strict=True)):
        if entry["id"] in by_id:
            other = by_id[entry["id"]].source_id
            raise errors.UserError(
                f"{files.annotations}: `images[{index}]` ({name}) and {other} share the id {entry['id']!r}. Give each"
                " image an id of its own, in its annotations, too."
            )
        sides = (entry.get("height"), entry.get("width"))
        size = sides if all(isinstance(side, int) for side in sides) else None
        by_id[entry["id"]] = annotated.AnnotatedImage(source_id=name, path=str(folder / name), size=size)
    example_rules.check_unique(names, str(files.annotations))
    return by_id, folder


def _bad_image(path: Path, index: int, entry: Mapping[str, Any]) -> errors.UserError:
    return errors.UserError(
        f"{path}: `images[{index}]` needs a text `file_name` and an `id`, a number or text: got {entry}."
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
