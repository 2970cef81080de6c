"""Reads the JSON of the VGG Image Annotator (VIA), versions 1 and 2, also a whole project.

A region is a rectangle, or the box around a polygon, polyline, circle or ellipse. One attribute of the region holds its
class. If the regions of a file have a single attribute, that one holds it. If they have several, the same attribute
counts in all such files: `class`, else the only one in `_CLASS_KEYS`. A single attribute that is not in `_CLASS_KEYS`
does not count if other files have several. A region without the attribute makes its image unusable. If no region of the
dataset has attributes, all regions are of the class "object".
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
        """Reads all files; which of several attributes is the class is decided for all of them."""
        entries = {file: _entries(file) for file in files}
        keys = _class_keys({file: _attributes(of_file) for file, of_file in entries.items()})
        return ((file, _read(entry, keys[file], file)) for file, of_file in entries.items() for entry in of_file)

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


def _attributes(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the attributes of all regions, as they are written, by their names in lower case."""
    regions = (region for entry in entries for region in _regions(entry) if isinstance(region, dict))
    attributes = (region.get("region_attributes") for region in regions)
    return {key.casefold(): key for each in attributes if isinstance(each, dict) for key in each}


def _class_keys(given: Mapping[Path, Mapping[str, str]]) -> dict[Path, str | None]:
    """Returns the attribute that tells the class in each file, in lower case; None where no region has attributes.

    Args:
        given: the attributes of each file.

    Raises:
        UserError: several may be it.
    """
    mixed = {file: names for file, names in given.items() if len(names) > 1}
    key = _class_key(mixed) if mixed else next((name for names in given.values() for name in names), None)
    alone = {file: next(iter(names)) for file, names in given.items() if len(names) == 1}
    return dict.fromkeys(given, key) | {file: name for file, name in alone.items() if name in _CLASS_KEYS or not mixed}


def _class_key(mixed: Mapping[Path, Mapping[str, str]]) -> str:
    """Returns the attribute that tells the class in files that have several."""
    given = {key: name for names in mixed.values() for key, name in names.items()}
    known = [key for key in given if key in _CLASS_KEYS]
    known = ["class"] if "class" in known else known
    if len(known) != 1:
        where = f"{next(iter(mixed))}{' and others' if len(mixed) > 1 else ''}"
        raise errors.UserError(
            f"{where}: the regions have the attributes {', '.join(given.values())}; which is their class? Call it"
            " `class`."
        )
    return known[0]


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
