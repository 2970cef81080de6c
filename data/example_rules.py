"""Rules for one example's boxes and for a split's names, before they cost a training run; images: `image_decoding`.

Rules:
- The second of two boxes with the same label and the same coordinates is removed.
- A box may stick out of its image by at most `BORDER_TOLERANCE_PX`, which covers rounding and 1-based
  coordinates; it is clipped. Beyond that, or with NaN, a negative or a zero side, the whole example is bad: a
  wrong box is a sign that the file and its annotation do not belong together.

Every change is an entry in `mended`.
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data import boxes as box_forms
from data import errors

MOST_BAD_SHARE = 0.05  # of a split, see `too_many_bad`

BORDER_TOLERANCE_PX = 1.0

ROUNDING_PX = 0.01  # a box that sticks out by less is clipped without a word: annotations round to a few decimals

BROKEN_BOX_KINDS = ("box_not_a_number", "box_inverted", "box_without_area", "box_outside")
CLIPPED = "box clipped to the image"
DUPLICATE = "duplicate box removed"


@dataclasses.dataclass(frozen=True)
class BrokenBox:
    """A box that makes its example unusable.

    Attributes:
        kind: one of `BROKEN_BOX_KINDS`.
        row: of the box.
        reason: one line with the box's numbers.
    """

    kind: str
    row: int
    reason: str


def check_boxes(boxes_xywh_px: np.ndarray, height: int, width: int, file: str) -> np.ndarray:
    """Checks an image's boxes and converts them to the form used inside.

    Args:
        boxes_xywh_px: float [N, 4], top-left x and y, width, height, in px; N may be 0.
        height: of the image file, px.
        width: of the image file, px.
        file: path of the image, for the error.

    Returns:
        float32 [N, 4] ymin, xmin, ymax, xmax as fractions of the image's sides, in [0, 1], sides positive.

    Raises:
        BadExampleError: a box is NaN or infinite, inverted, of zero area, or outside its image.
    """
    broken = broken_boxes(boxes_xywh_px, height, width)
    if broken:
        raise errors.BadExampleError(file, broken[0].reason, broken[0].kind)
    return np.clip(box_forms.coco_to_normalized(boxes_xywh_px, height, width), 0.0, 1.0)  # [N, 4]


def broken_boxes(boxes_xywh_px: np.ndarray, height: int, width: int) -> list[BrokenBox]:
    """Finds all boxes of an image that break a rule, one entry a box.

    Args:
        boxes_xywh_px: as `check_boxes`.
        height: of the image file, px.
        width: of the image file, px.

    Returns:
        The broken boxes, by rule, then by row.
    """
    xywh = np.asarray(boxes_xywh_px, dtype=np.float64).reshape(-1, 4)
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that the rules below are about
        inside = np.clip(box_forms.coco_to_normalized(xywh, height, width), 0.0, 1.0)  # [N, 4]
    outside = f"lies outside its image of {width}x{height} px"
    rules = (
        ("box_not_a_number", "has a coordinate that is not a number", ~np.isfinite(xywh).all(axis=1)),
        ("box_inverted", "is inverted (negative width or height)", (xywh[:, 2:] < 0).any(axis=1)),
        ("box_without_area", "has zero area", (xywh[:, 2:] == 0).any(axis=1)),
        ("box_outside", outside, _overhang_px(xywh, height, width) > BORDER_TOLERANCE_PX),
        ("box_without_area", "has no area inside its image", (inside[:, 2:] <= inside[:, :2]).any(axis=1)),
    )
    found: dict[int, BrokenBox] = {}
    for kind, rule, breaks in rules:
        for row in np.flatnonzero(breaks).tolist():
            reason = f"box {_show(xywh[row])} (x, y, width, height in px) {rule}"
            found.setdefault(row, BrokenBox(kind, row, reason))
    return list(found.values())


def mend_boxes(
    boxes_xywh_px: np.ndarray, labels: Sequence[int], is_crowd: Sequence[bool], height: int, width: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Finds boxes that are there twice, and those that `check_boxes` clips.

    Args:
        boxes_xywh_px: float [N, 4], top-left x and y, width, height, in px; N may be 0.
        labels: N.
        is_crowd: N.
        height: of the image file, px.
        width: of the image file, px.

    Returns:
        intp [M], the rows to keep, ascending: of boxes equal in coordinates, label and `is_crowd` the first; and one
        entry for `DetectionRecord.mended` a box that is removed or clipped.
    """
    xywh = np.asarray(boxes_xywh_px, dtype=np.float64).reshape(-1, 4)
    first: dict[tuple[Any, ...], int] = {}
    for row, (box, label, crowd) in enumerate(zip(xywh.tolist(), labels, is_crowd, strict=True)):
        first.setdefault((*box, int(label), bool(crowd)), row)
    keep = np.fromiter(first.values(), np.intp, len(first))
    overhang = _overhang_px(xywh[keep], height, width)
    num_clipped = int(((overhang > ROUNDING_PX) & (overhang <= BORDER_TOLERANCE_PX)).sum())
    return keep, (DUPLICATE,) * (len(xywh) - len(keep)) + (CLIPPED,) * num_clipped


def too_many_bad(num_bad: int, total: int) -> bool:
    """Says whether so much of a split is bad that the dataset itself must be wrong, so that a run stops.

    Args:
        num_bad: of its examples.
        total: all of them.

    Returns:
        Whether they are more than `MOST_BAD_SHARE`, and more than one: a single file breaks without the rest.
    """
    return num_bad > max(1.0, MOST_BAD_SHARE * total)


def check_unique(names: Iterable[str], where: str) -> None:
    """Checks that a split names no example twice.

    Args:
        names: source ids of one split.
        where: the file or split they come from, for the error.

    Raises:
        UserError: a name comes twice.
    """
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
        raise errors.UserError(
            f"{where} repeats the name `{twice[0]}`{more}; names must be unique in a split. Remove the duplicates."
        )


def _overhang_px(xywh: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns float64 [N]: how far each box sticks out of its image at most; negative inside."""
    limits = np.array([width, height], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.maximum(-xywh[:, :2], xywh[:, :2] + xywh[:, 2:] - limits).max(axis=1)


def _show(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
