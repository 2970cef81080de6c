"""Precision and recall of each class against the score threshold, for plots and for the choice of a threshold."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from models.evaluation import coco

NUM_THRESHOLDS = 51  # a step of 0.02
_MATCH_IOU = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """What a class's detections are worth where those below a score are left out.

    Attributes:
        thresholds: float64 [T], evenly spaced from 0 to 1.
        true_positives: int64 [T], detections that match an object.
        false_positives: int64 [T], those that match none.
        num_objects: of the class, crowds left out.
    """

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    num_objects: int

    @property
    def precision(self) -> np.ndarray:
        """Share of the detections that are right, float64 [T]; 1 where there is no detection."""
        found = self.true_positives + self.false_positives
        return np.where(found > 0, self.true_positives / np.maximum(found, 1), 1.0)

    @property
    def recall(self) -> np.ndarray:
        """Share of the objects that are found, float64 [T]."""
        return self.true_positives / self.num_objects


def precision_recall(
    results: Iterable[coco.ImageResult], class_names: Sequence[str], num_thresholds: int = NUM_THRESHOLDS
) -> dict[str, PrecisionRecall]:
    """Counts right and wrong detections of each class at evenly spaced scores.

    Detections are matched to objects of their class as COCO does, at IoU 0.5 and at most 100 an image; those in a crowd
    region count as neither.

    Args:
        results: as `coco.coco_metrics`.
        class_names: C unique names in label order.
        num_thresholds: T, at least 2.

    Returns:
        {class: its counts}; classes without an object are left out.

    Raises:
        ValueError: as `coco.coco_metrics`.
    """
    engine = coco.make_engine(results, class_names)
    params = engine.params
    params.iou_thrs = [_MATCH_IOU]
    params.area_rng, params.area_rng_lbl = params.area_rng[:1], params.area_rng_lbl[:1]
    params.max_dets = [coco.MAX_DETECTIONS]
    engine.evaluate()
    found = [one for one in engine.eval_imgs if one is not None]
    thresholds = np.linspace(0.0, 1.0, num_thresholds)
    curves = {}
    for label, name in enumerate(class_names):
        images = [one for one in found if one["category_id"] == label]
        num_objects = sum(sum(one["gtInDenominator"]) for one in images)
        if num_objects:
            scores = np.array([score for one in images for score in one["dtScores"]], np.float64)
            is_match = np.array([hit for one in images for hit in one["dtMatched"][0]], bool)
            counts = ~np.array([hit for one in images for hit in one["dtIgnore"][0]], bool)
            hits, misses = scores[is_match & counts], scores[~is_match & counts]
            curves[name] = PrecisionRecall(
                thresholds, _at_least(hits, thresholds), _at_least(misses, thresholds), num_objects
            )
    return curves


def _at_least(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Counts the scores that reach each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
