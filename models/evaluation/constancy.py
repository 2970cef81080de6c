"""Tells a model that looks at the image from one that answers the same whatever it sees."""

from collections.abc import Sequence

import numpy as np

from models.evaluation import coco

MOST = 0.5  # of a model that is blessed; docs/blessing.md says what models have

Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes, classes, weights


def constancy(results: Sequence[coco.ImageResult]) -> float:
    """Measures how much of what a model finds stays the same from image to image while the objects change.

    Each image is compared with the one half the list away, so that neighbouring frames are not compared. What two
    images have in common is the Dice coefficient of their detections, weighted by score: each detection counts with
    its IoU with the likest one of its class in the other image. The same coefficient of the objects is the part of it
    that a perfect model would have, too: a fixed camera that sees parked cars is not a fault of the model.

    Args:
        results: one entry an image, in the order of their names.

    Returns:
        0 where the detections vary as much as the objects, or more; 1 where they are equal in all images and the
        objects are not. 0 with fewer than two images.
    """
    detected = _common([(one.det_boxes, one.det_classes, one.det_scores) for one in results])
    present = _common([(one.gt_boxes, one.gt_labels, 1.0 - one.gt_is_crowd) for one in results])
    return max(0.0, (detected - present) / (1 - present)) if present < 1 else 0.0


def _common(found: Sequence[Found]) -> float:
    """Returns the Dice coefficient of images half the list apart, over all of them; 0 where nothing was found."""
    half = len(found) // 2
    shared = total = 0.0
    for one, other in zip(found[:half], found[half : 2 * half], strict=True):
        shared += _shared(one, other)
        total += (one[2].sum() + other[2].sum()) / 2
    return float(shared / total) if total else 0.0


def _shared(one: Found, other: Found) -> float:
    """Sums what each image's boxes have in common with the likest one of their class in the other, and halves it."""
    (boxes, classes, weights), (other_boxes, other_classes, other_weights) = one, other
    if not len(boxes) or not len(other_boxes):
        return 0.0
    weight = np.minimum(weights[:, None], other_weights) * (classes[:, None] == other_classes)
    common = coco.overlaps(boxes, other_boxes) * weight
    return float(common.max(axis=0).sum() + common.max(axis=1).sum()) / 2
