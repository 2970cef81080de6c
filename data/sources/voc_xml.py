"""Parses Pascal VOC's XML of one image; the rules are those of `data.sources.voc`."""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from data.sources import values, xml_files

_ONE_BASED = re.compile(r"The VOC\d{4} Database")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_POINT = re.compile(r"[xy]\d*")


@dataclasses.dataclass(frozen=True)
class Stated:
    """What an XML file states; where it cannot be read, only why.

    Attributes:
        filename: of the image, or "".
        size: (height, width), px, or None.
        rows: (class name, corners, whether it is a region to ignore) of each object.
        problem: why it is unusable, or None.
    """

    filename: str = ""
    size: tuple[int, int] | None = None
    rows: tuple[tuple[str, tuple[float, ...], bool], ...] = ()
    problem: str | None = None


def is_voc(file: Path) -> bool:
    """Says whether a file is VOC's XML, or none that can be read: broken XML has its own message when it is read."""
    try:
        return xml_files.parse(file).tag == "annotation"
    except (ElementTree.ParseError, OSError, ValueError, LookupError):
        return True


def read(file: Path) -> Stated:
    """Reads one image's XML."""
    try:
        root = xml_files.parse(file)
        if root.tag != "annotation":
            raise ValueError(f"its root is <{root.tag}>, where VOC has <annotation>")
        one_based = bool(_ONE_BASED.fullmatch((root.findtext("source/database") or "").strip()))
        return Stated(
            filename=(root.findtext("filename") or "").strip(),
            size=_size(root),
            rows=tuple(_object(node, number, one_based) for number, node in enumerate(root.iter("object"), start=1)),
        )
    except ElementTree.ParseError as error:
        line, column = error.position
        problem = f"malformed XML at line {line}, column {column + 1}: {str(error).partition(':')[0]}"
    except OSError as error:
        problem = f"the file cannot be read: {error.strerror or error}"
    except (ValueError, LookupError) as error:  # LookupError: an encoding that Python does not know
        problem = str(error)
    return Stated(problem=f"{file}: {problem}")


def state_the_same(one: Path, other: Path) -> bool:
    """Says whether two XML files state the same objects; equal files are not parsed."""
    try:
        if one.read_bytes() == other.read_bytes():
            return True
    except OSError:  # `read` tells it
        pass
    return read(one).rows == read(other).rows


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Returns (height, width), px; None where they are missing or not positive, as some tools write them."""
    return values.size(root.findtext("size/height"), root.findtext("size/width"))


def _object(node: ElementTree.Element, number: int, one_based: bool) -> tuple[str, tuple[float, ...], bool]:
    """Returns an object's (name, (xmin, ymin, xmax, ymax), whether it is a region to ignore).

    Raises:
        ValueError: a part is missing or is not a number.
    """
    name = (node.findtext("name") or "").strip()
    if not name:
        raise ValueError(f"object {number} has no `name`")
    try:
        is_ignored = values.flag(node.findtext("difficult"))
    except ValueError as error:
        raise ValueError(f"object {number} ({name}): `difficult`: {error}") from error
    if node.find("bndbox") is None and node.find("polygon") is not None:
        return name, _around(node, number, name), is_ignored
    corners = []
    for corner in _CORNERS:
        text = (node.findtext(f"bndbox/{corner}") or "").strip()
        value = values.number(text)
        if value is None:
            got = f"got `{text}`" if text else "it is missing"
            raise ValueError(f"object {number} ({name}) needs a number in `bndbox/{corner}`: {got}")
        corners.append(value)
    offset = 1.0 if one_based else 0.0
    return name, (corners[0] - offset, corners[1] - offset, corners[2], corners[3]), is_ignored


def _around(node: ElementTree.Element, number: int, name: str) -> tuple[float, ...]:
    """Returns the box around a polygon: x1, y1, x2, y2, ... as Labelbox writes it, or pt/x, pt/y as LabelMe does."""
    points = [
        (part.tag[0], values.number(part.text)) for part in node.iterfind("polygon//*") if _POINT.fullmatch(part.tag)
    ]
    xs, ys = ([value for tag, value in points if tag == axis] for axis in "xy")
    if len(xs) < 3 or len(xs) != len(ys) or None in [*xs, *ys]:
        raise ValueError(f"object {number} ({name}) needs three points of numbers in `polygon`, or a `bndbox`")
    return min(xs), min(ys), max(xs), max(ys)
