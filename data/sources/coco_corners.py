"""Checks that COCO's boxes are x, y, width, height, by what else their annotations say of them.

Some converters write corners, a centre, or y before x instead. Most such boxes lie within their image when they are
read as COCO's, so nothing but the polygons, the area or detectron2's `bbox_mode` can tell. A box may be looser than its
polygons, or cut off where they are not; one that lies elsewhere contradicts them.
"""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors
from data.sources import annotated, box_units, values

_XYWH_ABS = ("1", "xywh_abs", "boxmode.xywh_abs", "xywh")  # what detectron2 and others call COCO's own boxes
_TOLERANCE = 0.02  # of an area: writers round
_TOLERANCE_PX = 1.0  # of a corner
_LEAST_BOXES = 10  # of a file that is asked about although most boxes of the dataset look right
_LEAST_NUMBERS = 6  # of a polygon; some writers put two points or none where there is no mask
_CORNERS = "xmin, ymin, xmax, ymax"
_ELSEWHERE = "that the object lies elsewhere"

Box = tuple[float, float, float, float]


def check(
    spec: str, tables: Iterable[tuple[Path, Sequence[Mapping[str, Any]]]], units_said: str
) -> list[annotated.Notice]:
    """Checks the boxes of all splits.

    Args:
        spec: what the user typed, for the error.
        tables: each JSON and its annotations.
        units_said: "auto", or what the user has said the boxes are in.

    Returns:
        Notices of areas that are larger than their boxes, and of polygons that lie elsewhere.

    Raises:
        UserError: an annotation's `bbox_mode` is another form, or most boxes of the dataset, or of a file that has
            more than a few, look like another form and the user has not said that they are right.
    """
    notices, found = [], []
    for path, annotations in tables:
        stated = [(box, entry) for entry in annotations if (box := _box_of(_check_mode(entry, path)))]
        num_larger = sum(is_larger(area, box) for box, entry in stated if (area := values.number(entry.get("area"))))
        text = f"`area` is larger than the box in {num_larger} of {len(stated)} annotations; the box's counts there"
        notices += [annotated.Notice("left_out", str(path), text)] if num_larger else []
        doubtful = [(said, entry) for box, entry in stated if (said := _said_otherwise(box, entry))]
        found.append((path, doubtful, len(stated)))
    are_most = 2 * sum(len(doubtful) for _, doubtful, _ in found) > sum(num_boxes for *_, num_boxes in found)
    for path, doubtful, num_boxes in found:
        is_most = 2 * len(doubtful) > num_boxes
        if units_said == "auto" and is_most and (are_most or num_boxes >= _LEAST_BOXES):
            raise _question(spec, path, doubtful, num_boxes)
        noted = [entry for _, entry in doubtful if is_most or _polygon_box(entry)]  # few areas may fit by chance
        if noted:
            text = f"`segmentation` or `area` contradicts the box in {len(noted)} of {num_boxes} annotations, as in"
            text += f" annotation {_id_of(noted[0])}; the box counts there"
            notices.append(annotated.Notice("left_out", str(path), text))
    return notices


def _question(
    spec: str, path: Path, doubtful: Sequence[tuple[str, Mapping[str, Any]]], num_boxes: int
) -> errors.UserError:
    """Asks what the boxes of a file are, most of which look like another form."""
    ((said, count),) = collections.Counter(said for said, _ in doubtful).most_common(1)
    entry = next(entry for form, entry in doubtful if form == said)
    others = f" (and of {len(doubtful) - count} more something else)" if count < len(doubtful) else ""
    way_out = "Correct the boxes or the polygons" if said == _ELSEWHERE else "Write x, y, width and height"
    return errors.UserError(
        f"Dataset `{spec}`: COCO's `bbox` is x, y, width, height, but the area or polygon of {count} of {num_boxes}"
        f" annotations says {said}{others}, as of {entry['bbox']} of annotation {_id_of(entry)} in `{path}`. {way_out},"
        " or answer with --box_units=pixels if the boxes are right as they stand."
    )


def _check_mode(entry: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Returns an annotation whose `bbox_mode`, where it has one, is COCO's; raises `UserError` of another."""
    mode = entry.get("bbox_mode")
    if mode is None or (values.identity(mode) or "").casefold() in _XYWH_ABS:
        return entry
    raise errors.UserError(
        f"{path}: annotation {_id_of(entry)} has `bbox_mode` {mode!r}; only 1 (x, y, width, height in px) is read."
        " Convert the boxes (detectron2: BoxMode.convert)."
    )


def _id_of(entry: Mapping[str, Any]) -> Any:
    return entry.get("id", "without id")


def is_larger(area: float, box: Sequence[float]) -> bool:
    """Says whether an area is larger than a box in px can hold.

    Args:
        area: px^2.
        box: x, y, width, height; of fractions the answer is no.
    """
    if box_units.in_other_units(box, "xywh_px"):
        return False
    return area > (box[2] + 1) * (box[3] + 1)  # a mask covers up to one pixel more in width and one in height


def _box_of(entry: Mapping[str, Any]) -> Box | None:
    given = entry.get("bbox")
    sides = [values.number(value) for value in given] if isinstance(given, list) and len(given) == 4 else [None]
    numbers = [side for side in sides if side is not None and math.isfinite(side)]
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None


def _said_otherwise(box: Box, entry: Mapping[str, Any]) -> str | None:
    """Returns what an annotation's polygons and area say that its box is; None where they say nothing else.

    Polygons that fit the box, or another reading of it, decide. Others leave it to the area: polygons inside corners
    lie inside the larger box, too, that corners are misread as. A box in another unit than px is another question.
    """
    if box_units.in_other_units(box, "xywh_px"):
        return None
    corners = _polygon_box(entry)
    if corners is None:
        return _CORNERS if _are_corners_by_area(box, entry) else None
    x, y, width, height = box
    own = (x, y, x + width, y + height)
    if _fits(corners, own) or box_units.in_other_units(corners, "xyxy_px"):
        return None
    others = {
        _CORNERS: box,
        "ymin, xmin, ymax, xmax": (y, x, height, width),
        "y, x, height, width": (y, x, y + height, x + width),
        "the centre's x and y, width, height": (x - width / 2, y - height / 2, x + width / 2, y + height / 2),
    }
    said = next((form for form, read in others.items() if _fits(corners, read)), None)
    if not said and _are_corners_by_area(box, entry) and not box_units.lie_apart(box, corners):
        said = _CORNERS
    return said or (_ELSEWHERE if box_units.lie_apart(own, corners) else None)


def _polygon_box(entry: Mapping[str, Any]) -> Box | None:
    return around(entry.get("segmentation"), _LEAST_NUMBERS)


def _are_corners_by_area(box: Box, entry: Mapping[str, Any]) -> bool:
    area = values.number(entry.get("area"))
    if area is None or box[2] <= box[0] or box[3] <= box[1]:
        return False
    as_sides, as_corners = box[2] * box[3], (box[2] - box[0]) * (box[3] - box[1])
    return abs(area - as_corners) <= _TOLERANCE * as_corners and abs(area - as_sides) > _TOLERANCE * as_sides


def _fits(one: Box, other: Box) -> bool:
    return max(abs(side - its) for side, its in zip(one, other, strict=True)) <= _TOLERANCE_PX


def around(segmentation: Any, least: int = 2) -> Box | None:
    """Returns the corners of polygons x1, y1, x2, y2, ...; None where there are none, as of a mask.

    Args:
        segmentation: as an annotation has it.
        least: numbers of a polygon that counts.
    """
    parts = segmentation if isinstance(segmentation, list) else []
    parts = parts if all(isinstance(part, list) for part in parts) else [parts]
    xs, ys = ([value for part in parts if len(part) >= least for value in _numbers(part[axis::2])] for axis in (0, 1))
    return (min(xs), min(ys), max(xs), max(ys)) if xs and ys else None


def _numbers(given: Sequence[Any]) -> Sequence[float]:
    """Returns the numbers of a list, which is quick where it holds nothing else."""
    if set(map(type, given)) <= {int, float}:
        return given
    return [number for value in given if (number := values.number(value)) is not None]
