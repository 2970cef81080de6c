"""Reads COCO detection JSON, in four layouts.

- train.json, val.json and test.json beside folders of images of the same names;
- COCO's own: annotations/instances_*.json (or annotations/train.json, ...) and folders train*/, val*/, test*/, also
  below images/;
- Roboflow's: train/_annotations.coco.json, valid/, test/, each with its images beside it;
- a set without splits: one JSON (`coco_layout.WHOLE_SET`, or the only one with COCO's keys, also in annotations/) with
  its images in images/, data/ or beside it; folders train/, val/, test/ above the images tell the split, or all of it
  is "train".

Names of splits and folders count in any case. Any split may be missing. Numbers, flags and ids may be text, as some
converters write them (`values`). The box around polygons stands for a missing `bbox`. A box is a region to ignore
where `iscrowd` or `ignore` says so. A category that nothing names but other categories as their `supercategory`, which
Roboflow writes first into every export, is a heading and no class.
"""

import collections
import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors, example_rules
from data.sources import (
    annotated,
    base,
    box_units,
    class_labels,
    coco_classes,
    coco_corners,
    coco_layout,
    division,
    json_files,
    layout,
    locate,
    text_bytes,
    values,
)

_FILE_NAME_KEYS = ("file_name", "filename")  # COCO's key, then HIT-UAV's
_ANNOTATION_KEYS = ("annotations", "annotation")
_IGNORE_KEYS = ("iscrowd", "ignore")

Locate = Callable[[str], tuple[Path, str | None]]  # an image by its name, as `locate.Finder.find`


class CocoSource(annotated.AnnotatedSource):
    """COCO JSON with its images."""

    kind = "coco"
    argument_help = ":PATH (train.json, val.json, test.json beside folders of images of the same names)"

    def __init__(
        self, spec: str, root: Path, files: Mapping[str, coco_layout.SplitFiles], options: base.ReadOptions
    ) -> None:
        """Reads the annotations.

        Args:
            spec: what the user typed.
            root: folder of the dataset.
            files: where each split lies.
            options: answers to what the data leaves open.

        Raises:
            UserError: an annotation file is malformed.
        """
        tables = {split: read_json(entry.annotations) for split, entry in files.items()}
        categories = {split: read_categories(tables[split], files[split].annotations) for split in files}
        stated = [(files[split].annotations, _annotations(tables[split], files[split].annotations)) for split in files]
        notices = coco_corners.check(spec, stated, options.box_units)
        headings = _headings(tables, categories)
        coco_classes.check(spec, stated, list(categories.values()), headings)
        names = [name for by_id in categories.values() for name in by_id.values() if name not in headings]
        class_names, labels = class_labels.number_classes(names)
        finder = locate.Finder(root, files)
        images, folders = {}, {}
        for split, entry in files.items():
            by_id = {key: labels[name] for key, name in categories[split].items() if name in labels}
            notices += _merged(tables[split], categories[split], entry.annotations)

            def find(name: str, entry: coco_layout.SplitFiles = entry, split: str = split) -> tuple[Path, str | None]:
                return finder.find(name, (*entry.folders, entry.annotations.parent, root), split)

            images[split] = read_images(tables.pop(split), entry.annotations, by_id, notices, find)
            first = Path(images[split][0].path)
            folders[next((folder for folder in entry.folders if folder in first.parents), entry.folders[0])] = None
        notices += _unnamed(folders, images)
        if any(entry.is_whole for entry in files.values()):
            images = division.divide_by_folder(images["train"], lambda image: image.path, root, options.is_test_set)
        elif any(entry.annotations.parent in entry.folders for entry in files.values()):
            notices += _beside(root, folders, images)
        super().__init__(spec, images, class_names, options, [*notices, *finder.notices()])

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "CocoSource":
        """Opens a folder; classes in the order of their ids.

        Raises:
            UserError: the folder is missing or in none of the layouts, or an annotation file is malformed.
        """
        root = layout.existing_folder(spec, cls.kind, argument)
        files = coco_layout.find_splits(root)
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
        coco_layout.check_left_out(root, files)
        return cls(spec, root, files, options)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which JSON lies where COCO's layouts have it; None where none does."""
        found = coco_layout.find_splits(path) if path.is_dir() else {}
        for files in found.values():
            folder = files.folders[0]
            if b'"images"' not in text_bytes.content(files.annotations):  # another format's, as Datumaro's
                continue
            inside = "beside it" if folder == files.annotations.parent else f"in {folder.relative_to(path)}/"
            return f"{files.annotations.relative_to(path)} has its images {inside}"
        return None


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds one object.

    Args:
        path: of the file.

    Returns:
        The object.

    Raises:
        UserError: the file cannot be read (as `json_files.read`), or holds no object.
    """
    table = json_files.read(path)
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
        name, key = category.get("name"), values.whole(category.get("id"))
        if not isinstance(name, str) or key is None or key in by_id:
            raise errors.UserError(
                f"{path}: `categories[{index}]` needs a text `name` and a whole-number `id` of its own: got {category}."
            )
        by_id[key] = name
    return dict(sorted(by_id.items()))


def read_images(
    table: Mapping[str, Any],
    path: Path,
    labels: Mapping[int, int],
    notices: list[annotated.Notice],
    find: Locate,
    drop_others: bool = False,
) -> list[annotated.AnnotatedImage]:
    """Reads a split's images with their boxes.

    Args:
        table: of the JSON.
        path: of the JSON.
        labels: by category id.
        notices: list to append to, where annotations name no image.
        find: an image's file by its name.
        drop_others: boxes of other categories are left out; else they make their image unusable.

    Returns:
        The images.

    Raises:
        UserError: the table is not COCO's, or no annotation names an image.
    """
    by_id = _images_by_id(table, path, find)
    annotations: dict[Any, list[dict[str, Any]]] = collections.defaultdict(list)
    entries = _annotations(table, path)
    for annotation in entries:
        annotations[values.identity(annotation.get("image_id"))].append(annotation)
    orphans = [entry for image_id, group in annotations.items() if image_id not in by_id for entry in group]
    if orphans:
        text = f"{len(orphans)} of {len(entries)} annotations name an image that is not in `images`"
        if len(orphans) == len(entries):
            wrong, right = orphans[0].get("image_id"), table["images"][0]["id"]
            raise errors.UserError(f"{path}: {text}, as `image_id` {wrong!r} beside `id` {right!r}. Make them agree.")
        notices.append(annotated.Notice("lost_annotation", str(path), f"{text}; they are left out"))
    return [with_boxes(image, annotations[image_id], labels, drop_others) for image_id, image in by_id.items()]


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
        box, area = _box_of(annotation), values.number(annotation.get("area"))
        category = values.whole(annotation.get("category_id"))
        named = f"annotation {annotation.get('id', 'without id')}"
        if category is None or category not in labels:
            if drop_others:
                continue
            problem = f"{named} has category_id {annotation.get('category_id')!r}, which `categories` does not list"
            return dataclasses.replace(image, problem=problem, problem_kind="unknown_class")
        sides = [values.number(value) for value in box] if isinstance(box, list) else []
        if len(sides) != 4 or None in sides:
            problem = f"{named} needs a `bbox` of four numbers (x, y, width, height): got {box!r}"
            return dataclasses.replace(image, problem=problem)
        try:
            flags = [values.flag(annotation.get(key)) for key in _IGNORE_KEYS]
        except ValueError as error:
            given = ", ".join(f"`{key}`" for key in _IGNORE_KEYS if key in annotation)
            return dataclasses.replace(image, problem=f"{named}: {given}: {error}")
        is_crowd = any(flags) or labels[category] == annotated.IGNORE_LABEL
        is_usable = area is not None and math.isfinite(area) and area > 0 and not coco_corners.is_larger(area, sides)
        rows.append((_turned(annotation, sides), labels[category], is_crowd, area if is_usable else None))
    boxes, numbers, crowds, areas = zip(*rows, strict=True) if rows else ((), (), (), ())
    return dataclasses.replace(image, boxes=boxes, labels=numbers, is_crowd=crowds, areas_px=areas)


def _box_of(annotation: Mapping[str, Any]) -> Any:
    """Returns an annotation's `bbox`, or the box around its polygons where it has none."""
    corners = None if annotation.get("bbox") else coco_corners.around(annotation.get("segmentation"))
    if corners is None:
        return annotation.get("bbox")
    xmin, ymin, xmax, ymax = corners
    return [xmin, ymin, xmax - xmin, ymax - ymin]


def _turned(annotation: Mapping[str, Any], sides: Sequence[float]) -> tuple[float, ...]:
    """Returns the upright box around one that CVAT says is turned; polygons are not turned once more."""
    x, y, width, height = sides
    attributes = annotation.get("attributes")
    degrees = values.turned_by(attributes) if isinstance(attributes, Mapping) else 0.0
    if not degrees or coco_corners.around(annotation.get("segmentation")):
        return x, y, width, height
    xmin, ymin, xmax, ymax = box_units.around_turned((x, y, x + width, y + height), degrees)
    return xmin, ymin, xmax - xmin, ymax - ymin


def _beside(
    root: Path, folders: Iterable[Path], images: Mapping[str, Sequence[annotated.AnnotatedImage]]
) -> list[annotated.Notice]:
    """Notes the folders of images beside those that are read."""
    read = {os.path.dirname(image.path) for of_split in images.values() for image in of_split}
    return layout.beside(root, [*folders, *map(Path, read)])


def _unnamed(
    folders: Iterable[Path], images: Mapping[str, Sequence[annotated.AnnotatedImage]]
) -> list[annotated.Notice]:
    """Notes the images of some folders that no annotation names."""
    paths = {image.path for of_split in images.values() for image in of_split}
    return [notice for folder in folders for notice in layout.unnamed_images(folder, paths)]


def _annotations(table: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    return _list_at(table, _ANNOTATION_KEYS, path)


def _list_at(table: Mapping[str, Any], keys: Sequence[str], path: Path) -> list[dict[str, Any]]:
    """Returns the list under the first of `keys` that the table has."""
    key = next((key for key in keys if key in table), None)
    if key is None:
        raise errors.UserError(
            f"{path}: COCO JSON needs the key `{keys[0]}`: got {', '.join(table) or 'no keys'}. Export it again."
        )
    entries = table[key]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise errors.UserError(f"{path}: `{key}` must be a list of objects.")
    return entries


def _merged(table: Mapping[str, Any], categories: Mapping[int, str], path: Path) -> list[annotated.Notice]:
    """Notes the names that several categories with boxes have."""
    used = {values.whole(entry.get("category_id")) for entry in _annotations(table, path)}
    return class_labels.merged_names(((key, name) for key, name in categories.items() if key in used), path)


def _headings(tables: Mapping[str, Mapping[str, Any]], categories: Mapping[str, Mapping[int, str]]) -> set[str]:
    """Returns the categories that only head others: their `supercategory`, without a box in any split."""
    heads: set[Any] = set()
    used: set[str] = set()
    for split, table in tables.items():
        entries = table.get("categories", [])
        heads |= {entry["supercategory"] for entry in entries if _is_headed(entry)}
        entries = next((table[key] for key in _ANNOTATION_KEYS if isinstance(table.get(key), list)), [])
        ids = {values.whole(entry.get("category_id")) for entry in entries if isinstance(entry, dict)}
        used |= {name for key, name in categories[split].items() if key in ids}
    return heads - used


def _is_headed(entry: Mapping[str, Any]) -> bool:
    """Says whether a category names another one as its head."""
    return isinstance(entry.get("supercategory"), str) and entry["supercategory"] != entry["name"]


def _images_by_id(table: Mapping[str, Any], path: Path, find: Locate) -> dict[str, annotated.AnnotatedImage]:
    """Returns {image id: image without boxes}."""
    entries = _list_at(table, ("images",), path)
    if not entries:
        raise errors.UserError(f"{path}: `images` is empty. Add images or correct the path.")
    by_id: dict[str, annotated.AnnotatedImage] = {}
    for index, entry in enumerate(entries):
        names = list(dict.fromkeys(entry[key] for key in _FILE_NAME_KEYS if isinstance(entry.get(key), str)))
        name = names[0] if names else None
        if len(names) > 1:
            raise errors.UserError(f"{path}: `images[{index}]` is called {' and '.join(names)}. Keep one name.")
        image_id = values.identity(entry.get("id"))
        if not name or image_id is None:
            raise errors.UserError(
                f"{path}: `images[{index}]` needs a text `file_name` and an `id`, a number or text: got {entry}."
            )
        if image_id in by_id:
            raise errors.UserError(
                f"{path}: `images[{index}]` ({name}) and {by_id[image_id].source_id} share the id {entry['id']!r}. Give"
                " each image an id of its own, in its annotations, too."
            )
        file, problem = find(name)
        size = values.size(entry.get("height"), entry.get("width"))
        by_id[image_id] = annotated.AnnotatedImage(name, str(file), size, problem=problem)
    example_rules.check_unique((image.source_id for image in by_id.values()), str(path))
    return by_id
