"""Reads the JSON of the VGG Image Annotator (VIA), versions 1 and 2, also a whole project.

A region is a rectangle, or a polygon, polyline, circle or ellipse, of which the box around it is taken. Its class is
the value of its attribute; of several, of one in `_CLASS_KEYS`. A region without attributes is of the class "object".
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.sources import json_files, stated

_CLASS_KEYS = ("class", "label", "category", "type", "name", "object", "cls")
_NO_CLASS = "object"


class ViaSource(stated.StatedSource):
    """VIA's JSON with its images."""

    kind = "via"
    argument_help = ":PATH (JSON of the VGG Image Annotator beside its images, also below train/, val/, test/)"
    looked_for = "JSON of the VGG Image Annotator, with `filename` and `regions`"
    whole_splits = True

    @classmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether VIA's keys are there."""
        return b'"regions"' in content and b'"filename"' in content

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads all images of a file."""
        table = json_files.read(file)
        table = table.get("_via_img_metadata", table) if isinstance(table, dict) else table
        entries = stated.items_of(list(table.values()) if isinstance(table, dict) else table, f"{file}: its images")
        return [_read(entry) for entry in entries]


def _read(entry: Mapping[str, Any]) -> stated.Stated:
    name = str(entry.get("filename"))
    regions = entry.get("regions") or []
    try:
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        return stated.Stated(name, tuple(map(_region, stated.items_of(regions, "`regions`"))))
    except ValueError as error:
        return stated.Stated(name, problem=f"{name}: {error}")


def _region(region: Mapping[str, Any]) -> stated.Row:
    """Returns a region's row.

    Raises:
        ValueError: its shape or its class cannot be told.
    """
    shape = stated.object_of(region.get("shape_attributes"), "`shape_attributes`")
    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = stated.numbers_of([shape.get(key) for key in ("x", "y", "width", "height")], "a rect")
        box = (x, y, x + width, y + height)
    elif kind in ("circle", "ellipse"):
        radii = [shape.get(key, shape.get("r")) for key in ("rx", "ry")]
        x, y, rx, ry = stated.numbers_of([shape.get("cx"), shape.get("cy"), *radii], f"a {kind}")
        box = (x - rx, y - ry, x + rx, y + ry)
    else:
        what = f"a region of the shape {kind}"
        xs, ys = (stated.numbers_of(shape.get(f"all_points_{axis}"), what) for axis in "xy")
        if len(xs) != len(ys):
            raise ValueError(f"{what} needs as many y as x: got {len(xs)} and {len(ys)}")
        box = stated.around([list(point) for point in zip(xs, ys, strict=True)], what)
    return _class_of(stated.object_of(region.get("region_attributes"), "`region_attributes`")), box, False


def _class_of(attributes: Mapping[str, Any]) -> str:
    keys = [key for key in attributes if key.casefold() in _CLASS_KEYS]
    keys = keys if len(attributes) > 1 else list(attributes)
    if not attributes:
        return _NO_CLASS
    if len(keys) != 1:
        raise ValueError(f"a region has the attributes {', '.join(attributes)}; which is its class? Call it `class`")
    value = attributes[keys[0]]
    chosen = [name for name, is_set in value.items() if is_set] if isinstance(value, dict) else [value]
    return stated.text_of(chosen[0] if len(chosen) == 1 else None, f"attribute `{keys[0]}` of a region")
