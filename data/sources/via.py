"""Reads the JSON of the VGG Image Annotator (VIA), versions 1 and 2, also a whole project.

A region is a rectangle, or a polygon, polyline, circle or ellipse, of which the box around it is taken. Its class is
the value of one attribute, the same in the whole dataset: `class`, else the one in `_CLASS_KEYS`, else the only one. A
region without it makes its image unusable. Where no region has attributes, all are of the class "object".
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors
from data.sources import box_units, json_files, stated, values

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
    def read(cls, files: Sequence[Path]) -> Iterator[tuple[Path, stated.Stated]]:
        """Reads all files; which attribute is the class is decided for all of them."""
        entries = [(file, entry) for file in files for entry in _entries(file)]
        key = _class_key(files, (region for _, entry in entries for region in _regions(entry)))
        return ((file, _read(entry, key, file)) for file, entry in entries)

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads all images of a file."""
        return [entry for _, entry in cls.read([file])]


def _entries(file: Path) -> list[dict[str, Any]]:
    table = json_files.read(file)
    table = table.get("_via_img_metadata", table) if isinstance(table, dict) else table
    try:
        return stated.items_of(list(table.values()) if isinstance(table, dict) else table, "its images")
    except ValueError as error:
        raise errors.UserError(f"{file}: {error}. Export it again.") from error


def _regions(entry: Mapping[str, Any]) -> list[Any]:
    regions = entry.get("regions") or []
    regions = list(regions.values()) if isinstance(regions, dict) else regions
    return regions if isinstance(regions, list) else [regions]


def _class_key(files: Sequence[Path], regions: Iterable[Any]) -> str | None:
    """Returns the attribute that tells the class, in lower case; None where no region has attributes.

    Raises:
        UserError: several may be it.
    """
    attributes = (region.get("region_attributes") for region in regions if isinstance(region, dict))
    given = {key.casefold(): key for each in attributes if isinstance(each, dict) for key in each}
    known = [key for key in given if key in _CLASS_KEYS] if len(given) > 1 else list(given)
    known = ["class"] if "class" in known else known
    if given and len(known) != 1:
        where = f"{files[0]}{' and others' if len(files) > 1 else ''}"
        raise errors.UserError(
            f"{where}: the regions have the attributes {', '.join(given.values())}; which is their class? Call it"
            " `class`."
        )
    return known[0] if known else None


def _read(entry: Mapping[str, Any], key: str | None, file: Path) -> stated.Stated:
    try:
        name = stated.text_of(entry.get("filename"), "`filename` of an image")
    except ValueError as error:
        raise errors.UserError(f"{file}: {error}. Export it again.") from error
    try:
        regions = stated.items_of(_regions(entry), "`regions`")
        boxes = [_box(region) for region in regions]
        names = [_class_of(region, key) for region in regions]
    except ValueError as error:
        return stated.Stated(name, problem=f"{name}: {error}")
    return stated.Stated(name, tuple((label, box, False) for label, box in zip(names, boxes, strict=True)))


def _box(region: Mapping[str, Any]) -> tuple[float, ...]:
    """Returns the box around a region.

    Raises:
        ValueError: its shape cannot be told.
    """
    shape = stated.object_of(region.get("shape_attributes"), "`shape_attributes`")
    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = stated.numbers_of([shape.get(key) for key in ("x", "y", "width", "height")], "a rect")
        return x, y, x + width, y + height
    if kind in ("circle", "ellipse"):
        radii = [shape.get(key, shape.get("r")) for key in ("rx", "ry")]
        x, y, rx, ry = stated.numbers_of([shape.get("cx"), shape.get("cy"), *radii], f"a {kind}")
        degrees = math.degrees(values.angle(shape.get("theta")))
        return box_units.around_turned((x - rx, y - ry, x + rx, y + ry), degrees, is_ellipse=True)
    what = f"a region of the shape {kind}"
    xs, ys = (stated.numbers_of(shape.get(f"all_points_{axis}"), what) for axis in "xy")
    if len(xs) != len(ys):
        raise ValueError(f"{what} needs as many y as x: got {len(xs)} and {len(ys)}")
    return stated.around([list(point) for point in zip(xs, ys, strict=True)], what)


def _class_of(region: Mapping[str, Any], key: str | None) -> str:
    """Returns a region's class.

    Raises:
        ValueError: its attribute is missing, or is no text and no choice of one.
    """
    attributes = stated.object_of(region.get("region_attributes"), "`region_attributes`")
    if key is None:
        return _NO_CLASS
    value = next((value for name, value in attributes.items() if name.casefold() == key), None)
    chosen = [name for name, is_set in value.items() if is_set] if isinstance(value, dict) else [value]
    return stated.text_of(chosen[0] if len(chosen) == 1 else None, f"attribute `{key}` of a region")
