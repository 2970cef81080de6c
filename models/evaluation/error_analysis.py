"""What kinds of mistakes a detector makes, image by image."""

import dataclasses
from collections import Counter

import numpy as np

from models.evaluation import coco
from models.evaluation.coco import ImageResult

# Kinds of false detections, and objects that nothing accounts for.
CLASS, LOCATION, BOTH, DUPLICATE, BACKGROUND, MISSED = (
    "class",
    "location",
    "class and location",
    "duplicate",
    "background",
    "missed",
)
KINDS = (CLASS, LOCATION, BOTH, DUPLICATE, BACKGROUND, MISSED)
MATCH_IOU = 0.5
BACKGROUND_IOU = 0.1  # a detection that overlaps every object less than this found background


@dataclasses.dataclass(frozen=True, eq=False)
class ImageErrors:
    """The mistakes in one image.

    Attributes:
        detection_kinds: of each detection, in the order of the result: "" where it is right or lies in a region to
            ignore, else one of `KINDS`.
        missed: bool [G], objects that no detection found, not even at a wrong place or as a wrong class.
        found: bool [G], objects that a detection of their class found.
    """

    detection_kinds: tuple[str, ...]
    missed: np.ndarray
    found: np.ndarray

    def counts(self) -> Counter:
        """Counts the mistakes by kind."""
        found = Counter(kind for kind in self.detection_kinds if kind)
        return found + Counter({MISSED: int(self.missed.sum())})


def image_errors(result: ImageResult, min_score: float) -> ImageErrors:
    """Sorts the false detections of an image by what is wrong with them, and finds the objects that were missed.

    Detections are matched to objects of their class as COCO does at IoU 0.5, the surest first.

    Args:
        result: ground truth and detections; crowd boxes are regions to ignore.
        min_score: detections below it are left out (their kind is "").

    Returns:
        The mistakes.

    Source: Bolya et al. 2020 (arXiv:2008.08115), section 2.2.
    """
    is_object = ~np.asarray(result.gt_is_crowd, bool)
    overlaps = coco.overlaps(result.det_boxes, result.gt_boxes)  # [D, G]
    is_ignored = (
        coco.overlaps(result.det_boxes, result.gt_boxes[~is_object], is_region=True).max(axis=1, initial=0) >= 0.5
    )
    taken = np.zeros(len(result.gt_labels), bool)
    accounted = np.zeros(len(result.gt_labels), bool)  # by a detection of a wrong class or place
    kinds = [""] * len(result.det_scores)
    for row in np.argsort(-np.asarray(result.det_scores), kind="stable"):
        if result.det_scores[row] < min_score:
            continue
        same = result.gt_labels == result.det_classes[row]
        free = np.where(is_object & same & ~taken, overlaps[row], 0.0)
        if free.size and free.max() >= MATCH_IOU:
            taken[free.argmax()] = True
            continue
        if is_ignored[row]:
            continue
        kinds[row], explained = _kind(overlaps[row], is_object, same)
        if explained is not None:
            accounted[explained] = True
    return ImageErrors(tuple(kinds), is_object & ~taken & ~accounted, taken)


def _kind(overlaps: np.ndarray, is_object: np.ndarray, same: np.ndarray) -> tuple[str, int | None]:
    """Names what is wrong with a false detection; and the object that it nearly found, if any."""
    right = np.where(is_object & same, overlaps, 0.0)
    wrong = np.where(is_object & ~same, overlaps, 0.0)
    if right.size and right.max() >= MATCH_IOU:
        return DUPLICATE, None
    if wrong.size and wrong.max() >= MATCH_IOU:
        return CLASS, int(wrong.argmax())
    if right.size and right.max() >= BACKGROUND_IOU:
        return LOCATION, int(right.argmax())
    if wrong.size and wrong.max() >= BACKGROUND_IOU:
        return BOTH, None
    return BACKGROUND, None
