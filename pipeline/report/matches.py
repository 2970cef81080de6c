"""The final model's detections on the test images, matched to objects at IoU 0.5: what several sections start from."""

import dataclasses
import functools
from collections.abc import Sequence

import hotcoco
import numpy as np

from models.evaluation import coco
from models.evaluation.image_results import ImageResults

MATCH_IOU = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMatches:
    """The detections of a class in falling order of score; those that COCO ignores are left out.

    Attributes:
        scores: float [D].
        is_hit: bool [D], whether it is the one that found an object.
        num_objects: of the class.
    """

    scores: np.ndarray
    is_hit: np.ndarray
    num_objects: int

    @property
    def precision(self) -> np.ndarray:
        """float [D], of the detections up to each."""
        return np.cumsum(self.is_hit) / np.arange(1, len(self.is_hit) + 1)

    @property
    def recall(self) -> np.ndarray:
        """float [D], of the detections up to each; NaN where the class has no object."""
        return np.cumsum(self.is_hit) / (self.num_objects or np.nan)

    @property
    def ends(self) -> np.ndarray:
        """int [S], the last detection of each distinct score: a threshold takes equal scores together."""
        return np.flatnonzero(np.append(self.scores[1:] != self.scores[:-1], np.ones(min(1, len(self.scores)), bool)))


@functools.lru_cache(maxsize=1)
def evaluated(images: ImageResults) -> hotcoco.COCOeval:
    """Evaluates as `coco.evaluate` does, once for all sections."""
    return coco.evaluate(images.results, images.class_names)


@functools.lru_cache(maxsize=1)
def evaluated_from(images: ImageResults, score: float) -> hotcoco.COCOeval:
    """Evaluates the detections whose score is at least `score`, once for all sections."""
    columns = ("det_boxes", "det_scores", "det_classes")
    kept = [
        dataclasses.replace(one, **{name: getattr(one, name)[one.det_scores >= score] for name in columns})
        for one in images.results
    ]
    return coco.evaluate(kept, images.class_names)


@functools.lru_cache(maxsize=1)
def by_class(images: ImageResults) -> tuple[ClassMatches, ...]:
    """Matches the detections of each class, the surest first, as COCO does.

    Returns:
        An entry a class, in label order.
    """
    engine = coco.make_engine(images.results, images.class_names)
    engine.params.iou_thrs = [MATCH_IOU]
    engine.params.area_rng, engine.params.area_rng_lbl = engine.params.area_rng[:1], engine.params.area_rng_lbl[:1]
    engine.params.max_dets = [coco.MAX_DETECTIONS]
    engine.evaluate()
    scores, hits, objects = ([[] for _ in images.class_names] for _ in range(3))
    for one in engine.eval_imgs:
        if one is not None:
            label, counts = one["category_id"], ~np.asarray(one["dtIgnore"][0], bool)
            scores[label].append(np.asarray(one["dtScores"], np.float64)[counts])
            hits[label].append(np.asarray(one["dtMatched"][0], bool)[counts])
            objects[label].append(int(np.sum(one["gtInDenominator"])))
    return tuple(_sorted(scores[label], hits[label], sum(objects[label])) for label in range(len(images.class_names)))


def _sorted(scores: Sequence[np.ndarray], hits: Sequence[np.ndarray], num_objects: int) -> ClassMatches:
    together = np.concatenate([np.zeros(0), *scores])
    order = np.argsort(-together, kind="stable")
    return ClassMatches(together[order], np.concatenate([np.zeros(0, bool), *hits])[order], num_objects)


def best_score(images: ImageResults) -> float:
    """Finds the score from which on F1 over all classes together is highest: where the sections draw the line.

    Returns:
        In [0, 1]; 0.5 where nothing was found.
    """
    matches = by_class(images)
    together = _sorted(
        [one.scores for one in matches], [one.is_hit for one in matches], sum(one.num_objects for one in matches)
    )
    ends = together.ends
    if not ends.size or not together.num_objects or not together.is_hit.any():
        return 0.5
    f1 = 2 * np.cumsum(together.is_hit)[ends] / (ends + 1 + together.num_objects)
    return float(together.scores[ends[f1.argmax()]])


def most_objects(images: ImageResults, count: int) -> list[int]:
    """Lists the labels of the classes with the most objects, in label order, at most `count`."""
    objects = [one.num_objects for one in by_class(images)]
    return sorted(sorted(range(len(objects)), key=lambda label: -objects[label])[:count])
