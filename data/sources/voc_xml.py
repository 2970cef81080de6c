"""Parses Pascal VOC's XML of one image; the rules are those of `data.sources.voc`."""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from data.sources import box_units, values, xml_files

_ONE_BASED = re.compile(r"The VOC\d{4} Database")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_POINT = re.compile(r"[xy]\d*")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*([-+.\w]+)")  # in a text as "occluded=no, rotation=90.0"

Row = tuple[str, tuple[float, ...], bool, float]  # class name, corners, is it to be ignored, degrees it is turned by


@dataclasses.dataclass(frozen=True)
class Stated:
    """What an XML file states; where it cannot be read, only why.

    Attributes:
        filename: of the image, or "".
        size: (height, width), px, or None.
        rows: (class name, corners, whether it is a region to ignore, degrees that it is turned by) of each object; the
            corners as they stand, before the box is turned.
        from_one: it says that its coordinates count from 1, as VOC's own do.
        problem: why it is unusable, or None.
    """

    filename: str = ""
    size: tuple[int, int] | None = None
    rows: tuple[Row, ...] = ()
    from_one: bool = False
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
        objects = [(node, number) for number, node in enumerate(root.iter("object"), start=1)]
        return Stated(
            filename=_text(root, "filename", "the file"),
            size=values.size(*(_text(root, f"size/{side}", "the file") for side in ("height", "width"))),
            rows=tuple(_object(*each) for each in objects if not _flag(each[0], "deleted", f"object {each[1]}")),
            from_one=bool(_ONE_BASED.fullmatch((root.findtext("source/database") or "").strip())),
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


def _text(node: ElementTree.Element, path: str, what: str) -> str:
    """Returns the text at a path, or "".

    Raises:
        ValueError: several elements there say different things.
    """
    texts = [text for one in node.iterfind(path) if (text := (one.text or "").strip())]
    told = {text if (number := values.number(text)) is None else number: text for text in texts}
    if len(told) > 1:
        raise ValueError(f"{what} has several `{path}`: {' and '.join(told.values())}; keep one")
    return texts[0] if texts else ""


def _flag(node: ElementTree.Element, name: str, what: str) -> bool:
    text = _text(node, name, what)
    try:
        return values.flag(text)
    except ValueError as error:
        raise ValueError(f"{what}: `{name}`: {error}") from error


def _object(node: ElementTree.Element, number: int) -> Row:
    """Returns an object's row.

    Raises:
        ValueError: a part is missing, is not a number, or contradicts another one.
    """
    name = _text(node, "name", f"object {number}")
    if not name:
        raise ValueError(f"object {number} has no `name`")
    what = f"object {number} ({name})"
    is_ignored = _flag(node, "difficult", what)
    points = _points(node)
    if node.find("bndbox") is not None:
        box = _corners(node, what)
        if points and box_units.lie_apart(points, _ordered(box)):
            raise ValueError(f"{what} has a `polygon` outside its `bndbox`; correct one of them")
    elif points:
        box = points
    elif node.find("polygon") is None:
        raise ValueError(f"{what} needs a number in `bndbox/{_CORNERS[0]}`: it is missing")
    else:
        raise ValueError(f"{what} needs three points of numbers in `polygon`, or a `bndbox`")
    return name, box, is_ignored, _degrees(node)


def _corners(node: ElementTree.Element, what: str) -> tuple[float, ...]:
    corners = []
    for corner in _CORNERS:
        text = _text(node, f"bndbox/{corner}", what)
        value = values.number(text)
        if value is None:
            got = f"got `{text}`" if text else "it is missing"
            raise ValueError(f"{what} needs a number in `bndbox/{corner}`: {got}")
        corners.append(value)
    return tuple(corners)


def _points(node: ElementTree.Element) -> tuple[float, ...] | None:
    """Returns the box around a polygon: x1, y1, x2, y2, ... as Labelbox writes it, or pt/x, pt/y as LabelMe does."""
    points = [
        (part.tag[0], values.number(part.text)) for part in node.iterfind("polygon//*") if _POINT.fullmatch(part.tag)
    ]
    xs, ys = ([value for tag, value in points if tag == axis and value is not None] for axis in "xy")
    if len(xs) < 3 or len(xs) != len(ys) or len(points) != len(xs) + len(ys):
        return None
    return min(xs), min(ys), max(xs), max(ys)


def _ordered(box: Sequence[float]) -> tuple[float, ...]:
    """Returns the corners of a box that may be inverted, which is another fault, in order."""
    return min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])


def _degrees(node: ElementTree.Element) -> float:
    """Returns the angle that CVAT's exports state beside the box before it is turned.

    VOC has each `attribute` as an element, LabelMe all as text in `attributes`; `occluded` may be an element of its
    own. A polygon has no angle.
    """
    attributes: dict[str, str | None] = {} if node.find("occluded") is None else {"occluded": None}
    if node.find("bndbox") is not None:
        parts = node.iterfind("attributes/attribute")
        attributes |= {part.findtext("name", ""): part.findtext("value") for part in parts}
    elif node.findtext("type") == "bounding_box":
        attributes |= dict(_ATTRIBUTE.findall(node.findtext("attributes") or ""))
    return values.turned_by(attributes)
