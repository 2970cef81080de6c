"""Reads Datumaro's format: annotations/SUBSET.json with the images in images/SUBSET/.

Boxes (`bbox`: x, y, width, height in px) are read, and the boxes around polygons and polylines. Labels and captions of
the whole image are left out. Another shape, as a mask, makes its image unusable, but where an annotation that is read
is of its `group`, as of a person with key points.
Of a box with the attributes `rotation` and `occluded`, as CVAT exports them, the upright box around it is taken. An
image that its item's `path` and `id` call by the names of two files is that of the `path`, with a notice.
The attributes `is_crowd` and `difficult` mark a region to ignore, as in COCO and Pascal VOC.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors
from data.sources import box_units, json_files, layout, stated, values

_IGNORED = ("is_crowd", "difficult")
_READ = ("bbox", "polygon", "polyline")
_OF_IMAGE = ("label", "caption", "tabular", "hash_key", "feature_vector")


class DatumaroSource(stated.StatedSource):
    """Datumaro's JSON with its images."""

    kind = "datumaro"
    argument_help = ":PATH (annotations/train.json, ... and images/)"
    looked_for = "Datumaro's `annotations/*.json`, with `categories` and `items`"
    whole_splits = True

    @classmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether Datumaro's keys are there."""
        return b'"items"' in content and b'"categories"' in content and b'"label"' in content

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads all images of a subset."""
        table = json_files.read(file)
        try:
            labels = stated.items_of(table["categories"]["label"]["labels"], "its labels")
            names = [stated.text_of(label.get("name"), "the name of a label") for label in labels]
            items = stated.items_of(table["items"], "`items`")
        except (KeyError, TypeError, ValueError) as error:
            raise errors.UserError(f"{file}: not Datumaro's JSON: {error}. Export it again.") from error
        return [_read(item, names) for item in items]


def _read(item: Mapping[str, Any], names: list[str]) -> stated.Stated:
    image = item.get("image") if isinstance(item.get("image"), dict) else {}
    key = values.identity(item.get("id")) or ""
    name = stated.text_of(image.get("path") or key, "`path` or `id` of an item")
    sides = image.get("size")
    size = values.size(*sides) if isinstance(sides, list) and len(sides) == 2 else None
    try:
        entries = stated.items_of(item.get("annotations", []), "`annotations`")
        _check_shapes(entries)
        rows = [_row(entry, names) for entry in entries if entry.get("type") in _READ]
    except ValueError as error:
        return stated.Stated(name, size=size, problem=f"{name}: {error}")
    return stated.Stated(name, tuple(rows), size, own_name=layout.stem(key.rpartition("/")[2]))


def _check_shapes(entries: Sequence[Mapping[str, Any]]) -> None:
    """Checks that each object has a shape that is read.

    Raises:
        ValueError: one has not.
    """
    groups = {values.identity(entry.get("group")) for entry in entries if entry.get("type") in _READ} - {None, "0"}
    for entry in entries:
        kind = entry.get("type")
        if kind not in (*_READ, *_OF_IMAGE) and values.identity(entry.get("group")) not in groups:
            raise ValueError(f"an annotation has the type `{kind}`, which is not read; export it with its bbox")


def _row(entry: Mapping[str, Any], names: list[str]) -> stated.Row:
    kind, label = entry["type"], values.whole(entry.get("label_id"))
    if label is None or label not in range(len(names)):
        raise ValueError(f"an annotation has label_id {entry.get('label_id')!r}; there are {len(names)} labels, from 0")
    attributes = stated.object_of(entry.get("attributes"), "`attributes`")
    is_ignored = any(values.flag(attributes.get(name, False)) for name in _IGNORED)
    if kind == "bbox":
        x, y, width, height = stated.numbers_of(entry.get("bbox"), "`bbox`", 4)
        degrees = values.turned_by(attributes)
        return names[label], box_units.around_turned((x, y, x + width, y + height), degrees), is_ignored
    points = stated.numbers_of(entry.get("points"), f"a {kind}")
    if len(points) % 2:
        raise ValueError(f"a {kind} needs as many y as x: got {len(points)} numbers")
    corners = [list(point) for point in zip(points[::2], points[1::2], strict=True)]
    return names[label], stated.around(corners, f"a {kind}"), is_ignored
