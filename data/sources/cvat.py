"""Reads "CVAT for images 1.1": one XML with <image> elements, each with boxes and other shapes.

Of polygons, polylines, points, ellipses, cuboids and skeletons the box around them is taken, of masks their own box,
and of a box or ellipse that is turned (`rotation`) the upright box around it; tags are left out. The attribute `subset`
tells an image's split, where there is one.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

from data import errors
from data.sources import box_units, stated, values, xml_files

_CORNERS = ("xtl", "ytl", "xbr", "ybr")


class CvatSource(stated.StatedSource):
    """CVAT's XML with its images."""

    kind = "cvat"
    argument_help = ":PATH (annotations.xml of CVAT for images 1.1, with its images)"
    suffix = ".xml"
    looked_for = "CVAT's `annotations.xml`, with <image> and <box>"
    whole_splits = True

    @classmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether the root element is CVAT's."""
        return b"<annotations>" in content[:4096] and (b"<image " in content or b"<track " in content)

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads all images of a file."""
        try:
            root = xml_files.parse(file)
        except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
            raise errors.UserError(f"{file}: malformed XML: {error}. Export it again.") from error
        if root.find("image") is None:
            raise errors.UserError(
                f"{file}: this is CVAT for video, whose images are frames. Export it as CVAT for images 1.1 or COCO."
            )
        return [_read(image) for image in root.iterfind("image")]


def _read(image: ElementTree.Element) -> stated.Stated:
    name, split = stated.text_of(image.get("name"), "`name` of an <image>"), image.get("subset", "")
    size = values.size(image.get("height"), image.get("width"))
    try:
        rows = [_row(shape) for shape in image if shape.tag in _BOX_OF]
    except ValueError as error:
        return stated.Stated(name, (), size, split, f"{name}: {error}")
    return stated.Stated(name, tuple(rows), size, split)


def _row(shape: ElementTree.Element) -> stated.Row:
    label = stated.text_of(shape.get("label"), f"`label` of a {shape.tag}")
    return label, _BOX_OF[shape.tag](shape), False


def _degrees(shape: ElementTree.Element) -> float:
    """Returns the angle that a shape is turned by around its centre."""
    (degrees,) = stated.numbers_of([shape.get("rotation", "0")], "`rotation`")
    return degrees


def _corners(shape: ElementTree.Element) -> tuple[float, ...]:
    corners = stated.numbers_of([shape.get(corner) for corner in _CORNERS], "a box")
    return box_units.around_turned(corners, _degrees(shape))


def _points(shape: ElementTree.Element) -> tuple[float, ...]:
    points = [point.split(",") for point in shape.get("points", "").split(";") if point]
    return stated.around(points, f"a {shape.tag}")


def _ellipse(shape: ElementTree.Element) -> tuple[float, ...]:
    x, y, rx, ry = stated.numbers_of([shape.get(key) for key in ("cx", "cy", "rx", "ry")], "an ellipse")
    return box_units.around_turned((x - rx, y - ry, x + rx, y + ry), _degrees(shape), is_ellipse=True)


def _mask(shape: ElementTree.Element) -> tuple[float, ...]:
    given = [shape.get(key) for key in ("left", "top", "width", "height")]
    left, top, width, height = stated.numbers_of(given, "a mask")
    return left, top, left + width, top + height


def _cuboid(shape: ElementTree.Element) -> tuple[float, ...]:
    """Returns the box around the eight corners, whose names are as xtl1 and ybr2."""
    corners = [
        [shape.get(f"{axis}{corner}{side}") for axis in "xy"] for corner in ("tl", "bl", "tr", "br") for side in "12"
    ]
    return stated.around(corners, "a cuboid")


def _skeleton(shape: ElementTree.Element) -> tuple[float, ...]:
    """Returns the box around the points that are in the image."""
    inside = [one for one in shape.iterfind("points") if one.get("outside", "0") != "1"]
    points = [point.split(",") for one in inside for point in one.get("points", "").split(";")]
    return stated.around(points, "a skeleton")


_BOX_OF = {"box": _corners, "polygon": _points, "polyline": _points, "points": _points, "ellipse": _ellipse}
_BOX_OF |= {"mask": _mask, "cuboid": _cuboid, "skeleton": _skeleton}
