"""Checks that COCO's boxes are x, y, width, height, by what else their annotations say of them.

Some converters write the corners xmin, ymin, xmax, ymax instead. Most such boxes lie within their image when they are
read as COCO's, so nothing but the area, the polygons or detectron2's `bbox_mode` can tell.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors
from data.sources import annotated, box_units, values

_XYWH_ABS = ("1", "xywh_abs", "boxmode.xywh_abs", "xywh")  # what detectron2 and others call COCO's own boxes
_TOLERANCE = 0.02  # of an area: writers round
_TOLERANCE_PX = 1.0  # of a corner

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
        Notices of areas that are larger than their boxes.

    Raises:
        UserError: an annotation's `bbox_mode` is another form, or most boxes look like corners and the user has not
            said that they are right.
    """
    num_boxes, doubtful, notices = 0, [], []
    for path, annotations in tables:
        stated = []
        for entry in annotations:
            if not _is_cocos(entry.get("bbox_mode")):
                raise errors.UserError(
                    f"{path}: annotation {entry.get('id', 'without id')} has `bbox_mode` {entry['bbox_mode']!r}; only 1"
                    " (x, y, width, height in px) is read. Convert the boxes (detectron2: BoxMode.convert)."
                )
            box = _box_of(entry)
            stated += [(box, entry)] if box else []
        num_boxes += len(stated)
        num_larger = sum(is_larger(area, box) for box, entry in stated if (area := values.number(entry.get("area"))))
        text = f"`area` is larger than the box in {num_larger} of {len(stated)} annotations; the box's counts there"
        notices += [annotated.Notice("left_out", str(path), text)] if num_larger else []
        # Few boxes of COCO's form can be corners at all, so that the polygons are seldom looked at.
        possible = [(box, entry) for box, entry in stated if box[2] > box[0] and box[3] > box[1]]
        if 2 * len(possible) > len(stated):
            doubtful += [(path, entry) for box, entry in possible if _are_corners(box, entry)]
    if units_said == "auto" and 2 * len(doubtful) > num_boxes:
        path, entry = doubtful[0]
        raise errors.UserError(
            f"Dataset `{spec}`: COCO's `bbox` is x, y, width, height, but the area or polygon of {len(doubtful)} of"
            f" {num_boxes} annotations says xmin, ymin, xmax, ymax, as of {entry['bbox']} of annotation"
            f" {entry.get('id', 'without id')} in `{path}`. Write width and height, or"
            " answer with --box_units=pixels if they are right as they stand."
        )
    return notices


def _is_cocos(mode: Any) -> bool:
    return mode is None or (values.identity(mode) or "").casefold() in _XYWH_ABS


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


def _are_corners(box: Box, entry: Mapping[str, Any]) -> bool:
    """Says whether the area, or else the polygon, speaks for corners and against x, y, width, height."""
    area = values.number(entry.get("area"))
    as_sides, as_corners = box[2] * box[3], (box[2] - box[0]) * (box[3] - box[1])
    by_area = [area is not None and abs(area - own) <= _TOLERANCE * own for own in (as_sides, as_corners)]
    if any(by_area):
        return by_area == [False, True]
    corners = around(entry.get("segmentation"))
    ends = ((box[0], box[1], box[0] + box[2], box[1] + box[3]), box)
    by_polygon = [corners is not None and max(map(_apart, corners, end)) <= _TOLERANCE_PX for end in ends]
    return by_polygon == [False, True]


def _apart(one: float, other: float) -> float:
    return abs(one - other)


def around(segmentation: Any) -> Box | None:
    """Returns the corners of polygons x1, y1, x2, y2, ...; None where there are none, as of a mask."""
    parts = segmentation if isinstance(segmentation, list) else []
    parts = parts if all(isinstance(part, list) for part in parts) else [parts]
    numbers = [[values.number(value) for value in part] for part in parts]
    xs, ys = ([value for part in numbers for value in part[axis::2] if value is not None] for axis in (0, 1))
    return (min(xs), min(ys), max(xs), max(ys)) if xs and ys else None
