"""Reads Datumaro's format: annotations/SUBSET.json with the images in images/SUBSET/.

Boxes (`bbox`: x, y, width, height in px) are read, and the boxes around polygons; masks and other shapes are left out.
The attributes `is_crowd` and `difficult` mark a region to ignore, as in COCO and Pascal VOC.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data import errors
from data.sources import stated, values

_IGNORED = ("is_crowd", "difficult")


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
        table = stated.read_json(file)
        try:
            labels = stated.items_of(table["categories"]["label"]["labels"], "its labels")
            names = [stated.text_of(label.get("name"), "the name of a label") for label in labels]
            items = stated.items_of(table["items"], "`items`")
        except (KeyError, TypeError, ValueError) as error:
            raise errors.UserError(f"{file}: not Datumaro's JSON: {error}. Export it again.") from error
        return [_read(item, names) for item in items]


def _read(item: Mapping[str, Any], names: list[str]) -> stated.Stated:
    image = item.get("image") if isinstance(item.get("image"), dict) else {}
    name = str(image.get("path") or item.get("id"))
    sides = image.get("size")
    size = values.size(*sides) if isinstance(sides, list) and len(sides) == 2 else None
    try:
        rows = [_row(entry, names) for entry in stated.items_of(item.get("annotations", []), "`annotations`")]
    except ValueError as error:
        return stated.Stated(name, size=size, problem=f"{name}: {error}")
    return stated.Stated(name, tuple(row for row in rows if row), size)


def _row(entry: Mapping[str, Any], names: list[str]) -> stated.Row | None:
    """Returns an annotation's row; None of those without corners, as captions and labels of the whole image."""
    kind, label = entry.get("type"), values.whole(entry.get("label_id"))
    if kind not in ("bbox", "polygon"):
        return None
    if label is None or label not in range(len(names)):
        raise ValueError(f"an annotation has label_id {entry.get('label_id')!r}; there are {len(names)} labels, from 0")
    attributes = entry.get("attributes") if isinstance(entry.get("attributes"), dict) else {}
    is_ignored = any(values.flag(attributes.get(name, False)) for name in _IGNORED)
    if kind == "bbox":
        x, y, width, height = stated.numbers_of((entry.get("bbox") or [])[:4], "`bbox`")
        return names[label], (x, y, x + width, y + height), is_ignored
    points = entry.get("points") or []
    corners = [list(point) for point in zip(points[::2], points[1::2], strict=False)]
    return names[label], stated.around(corners, "a polygon"), is_ignored
