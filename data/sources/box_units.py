"""The forms that annotations state boxes in, and the upright box around one that is turned."""

import math
from collections.abc import Sequence

import numpy as np

# Those without "_px" are fractions of the image's sides.
BOX_FORMS = ("xywh_px", "xyxy_px", "cxcywh_px", "xywh", "xyxy", "cxcywh")

_MOST_FRACTION = 1.01  # a box in px whose numbers are all below it looks like fractions; a little for rounding
LEAST_PIXEL = 2.0  # a fraction above it looks like px; broken boxes that stick out of their image are below
_TOLERANCE_PX = 1.0  # of a corner
_LEAST_OVERLAP = 0.25  # of two boxes of one object; one moved by half its sides, as from corner to centre, has 1/7


def in_other_units(box: Sequence[float], form: str) -> bool:
    """Says whether a box's numbers speak against its units: all small where pixels, one large where fractions are due.

    Args:
        box: four numbers; where one is infinite or NaN, the answer is no.
        form: one of `BOX_FORMS`.
    """
    largest = max(abs(value) for value in box)
    if not math.isfinite(sum(box)):
        return False
    return largest <= _MOST_FRACTION if form.endswith("_px") else largest > LEAST_PIXEL


def lie_apart(one: Sequence[float], other: Sequence[float]) -> bool:
    """Says whether two boxes that are said of one object, as with and without its hidden parts, contradict each other.

    Args:
        one: xmin, ymin, xmax, ymax, px.
        other: likewise.

    Returns:
        Whether neither lies in the other and their intersection over union is small.
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    overlap = shared / union if union > 0 else 1.0
    return overlap < _LEAST_OVERLAP and not (_lies_in(one, other) or _lies_in(other, one))


def _lies_in(inner: Sequence[float], outer: Sequence[float]) -> bool:
    margins = (inner[0] - outer[0], inner[1] - outer[1], outer[2] - inner[2], outer[3] - inner[3])
    return min(margins) >= -_TOLERANCE_PX


def around_turned(
    corners: Sequence[float], degrees: float, is_ellipse: bool = False
) -> tuple[float, float, float, float]:
    """Returns the upright box around a box, or around the ellipse in it, that is turned around its centre.

    Args:
        corners: xmin, ymin, xmax, ymax of the shape before it is turned, px.
        degrees: that it is turned by; the direction makes no difference.
        is_ellipse: the shape is the ellipse that fills the box.

    Returns:
        xmin, ymin, xmax, ymax, px; of a shape that is not turned, its own.
    """
    left, top, right, bottom = corners
    if not degrees:
        return left, top, right, bottom
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    add = math.hypot if is_ellipse else lambda one, other: one + other
    half_width, half_height = add(width * cos, height * sin) / 2, add(width * sin, height * cos) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def to_xywh_px(boxes: Sequence[Sequence[float]], form: str, height: int, width: int) -> np.ndarray:
    """Converts boxes to COCO's form.

    Args:
        boxes: N times four numbers, in the form `form`.
        form: one of `BOX_FORMS`: "xywh" top-left x, y, width, height; "xyxy" xmin, ymin, xmax, ymax; "cxcywh" centre
            x, y, width, height; in px with "_px" behind, else as fractions of the image's sides.
        height: of the image, px.
        width: of the image, px.

    Returns:
        float64 [N, 4] top-left x, y, width, height in px.
    """
    xywh = np.array(boxes, np.float64).reshape(-1, 4)
    shape = form.removesuffix("_px")
    if shape == "xyxy":
        xywh = np.concatenate([xywh[:, :2], xywh[:, 2:] - xywh[:, :2]], axis=1)
    if shape == "cxcywh":
        xywh = np.concatenate([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, 2:]], axis=1)
    return xywh if form.endswith("_px") else xywh * np.array([width, height, width, height], np.float64)
