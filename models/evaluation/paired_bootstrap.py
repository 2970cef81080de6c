"""Whether a detector is worse than another one on the same images: a paired bootstrap over the images."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from models.evaluation import coco
from models.evaluation import metrics as own_metrics
from models.evaluation.coco import ImageResult

# `hotcoco.compare` has intervals a fifth narrower than copies of the images give, as if an image drawn twice counted
# once, and scores every metric each time, which takes 4 times as long as this for AP and 10 times as long for AP50
# (`benchmarks/replacing.py`).
NUM_RESAMPLES = 1000  # a probability near 0.95 is then known to 0.007 (one standard error)
LEVEL = 0.95  # of the interval
_ROUNDING = 1e-9  # equal models may differ by the order of additions
_RECALLS = np.linspace(0.0, 1.0, 101)  # where COCO reads the precision
_IOUS = {"AP50": (0,), "AP75": (5,)}  # positions in COCO's grid .50, .55, ... .95; other metrics take all
_AREAS = {"small": 1, "medium": 2, "large": 3}  # positions in COCO's list; other metrics take 0, any area
_MAX_DETECTIONS = {"1": 1, "10": 10}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How two detectors compare; NaN where no image has an object that the metric counts.

    Attributes:
        difference: the candidate's metric less the baseline's on all images.
        low: of the 95 % percentile interval of the difference.
        high: the same.
        p_worse: share of the resamples in which the candidate is below the baseline, in [0, 1]; 0 for equal models.
    """

    difference: float
    low: float
    high: float
    p_worse: float


@dataclasses.dataclass(frozen=True)
class _Hits:
    """What the detections of a class are at one IoU threshold; positions are in falling order of score.

    Attributes:
        hits: int [P], positions of true positives.
        ignored: int [I], positions of detections that count as nothing, as those in crowds.
        ignored_before: int [P], how many of `ignored` come before each hit.
    """

    hits: np.ndarray
    ignored: np.ndarray
    ignored_before: np.ndarray


@dataclasses.dataclass(frozen=True)
class _ClassMatches:
    """The detections of a class in falling order of score, up to the last true positive.

    Attributes:
        num_objects: int [N], objects of each image.
        images: int [D], the image of each detection.
        thresholds: one entry an IoU threshold.
    """

    num_objects: np.ndarray
    images: np.ndarray
    thresholds: tuple[_Hits, ...]


class MatchedImages:
    """The detections of one model, matched once, from which a metric of any resample of the images follows.

    What a detection matches does not depend on other images. Copies of an image that is drawn twice are neighbours in
    the order of scores; within a run of copies COCO's precision is highest at its end (hits) or before it (false
    positives), and at any recall the highest from there on counts. So weighted sums give the number of the copies.
    """

    def __init__(self, results: Sequence[ImageResult], class_names: Sequence[str], metric: str) -> None:
        """Matches the detections of all images.

        Args:
            results: N images, as `coco.coco_metrics` takes them.
            class_names: C names in label order.
            metric: a name that `coco.coco_metrics` returns.

        Raises:
            ValueError: the metric is unknown, or as `coco_metrics`.
        """
        name, _, of_class = metric.partition("/")
        if name not in coco.SUMMARY_KEYS or (of_class and of_class not in class_names):
            known = ", ".join((*coco.SUMMARY_KEYS, *own_metrics.REGISTERED))
            raise ValueError(f"`metric` must be one of {known}, or AP/CLASS: got `{metric}`.")
        kind, _, part = name.partition("_")
        self._is_recall = kind == "AR"
        self.num_images = len(results)
        engine = coco.make_engine(results, class_names)
        params, area = engine.params, _AREAS.get(part, 0)
        params.iou_thrs = [params.iou_thrs[position] for position in _IOUS.get(name, range(len(params.iou_thrs)))]
        params.area_rng, params.area_rng_lbl = [params.area_rng[area]], [params.area_rng_lbl[area]]
        params.max_dets = [_MAX_DETECTIONS.get(part, coco.MAX_DETECTIONS)]
        engine.evaluate()
        found = [one for one in engine.eval_imgs if one is not None]
        labels = [class_names.index(of_class)] if of_class else range(len(class_names))
        by_label = {label: [one for one in found if one["category_id"] == label] for label in labels}
        self._classes = [_class_matches(by_label[label], self.num_images) for label in labels if by_label[label]]

    def metric(self, counts: np.ndarray | None = None) -> float:
        """Computes the metric of a resample.

        Args:
            counts: int [N], how often each image was drawn; None for once each.

        Returns:
            In [0, 1]; NaN where no image drawn has an object that counts. With each image once it is the number of
            `coco.coco_metrics`.
        """
        counts = np.ones(self.num_images, np.int64) if counts is None else counts
        values = []
        for matches in self._classes:
            objects = int(counts @ matches.num_objects)
            if objects:
                weights = counts[matches.images]
                seen = np.cumsum(weights)
                values += [self._value(one, weights, seen, objects) for one in matches.thresholds]
        return float(np.mean(values)) if values else math.nan

    def _value(self, one: _Hits, weights: np.ndarray, seen: np.ndarray, objects: int) -> float:
        """Computes AP or recall of one class at one threshold."""
        if not one.hits.size:
            return 0.0
        hits = np.cumsum(weights[one.hits])
        if self._is_recall:
            return hits[-1] / objects
        seen = seen[one.hits]
        if one.ignored.size:
            seen = seen - np.concatenate([[0], np.cumsum(weights[one.ignored])])[one.ignored_before]
        precision = hits / np.maximum(seen, 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        read = np.searchsorted(hits / objects, _RECALLS, side="left")
        return envelope[read[read < len(envelope)]].sum() / len(_RECALLS)


class _Copies:
    """A plug-in's metric of any resample of the images: it gets an image as often as it was drawn."""

    def __init__(
        self, results: Sequence[ImageResult], class_names: Sequence[str], compute: own_metrics.Function
    ) -> None:
        self._results, self._class_names, self._compute = results, class_names, compute

    def metric(self, counts: np.ndarray | None = None) -> float:
        """Computes the metric of a resample; as `MatchedImages.metric`."""
        drawn = range(len(self._results)) if counts is None else np.repeat(np.arange(len(counts)), counts)
        return float(self._compute([self._results[image] for image in drawn], self._class_names))


def _of_images(results: Sequence[ImageResult], class_names: Sequence[str], metric: str) -> MatchedImages | _Copies:
    own = own_metrics.REGISTERED.get(metric)
    return MatchedImages(results, class_names, metric) if own is None else _Copies(results, class_names, own.compute)


def resampled(
    results: Sequence[ImageResult], class_names: Sequence[str], metric: str, *, num_resamples: int, seed: int = 0
) -> np.ndarray:
    """Computes a metric of resamples of the images: the same draws for any detector of as many images.

    Args:
        results: N images, at least one.
        class_names: C names in label order.
        metric: as of `compare`.
        num_resamples: R, at least 1.
        seed: of the draws.

    Returns:
        float64 [R]; NaN where a resample has no object that counts.
    """
    matched, draws = _of_images(results, class_names, metric), np.random.default_rng(seed)
    return np.array([matched.metric(_draw(draws, len(results))) for _ in range(num_resamples)])


def _draw(draws: np.random.Generator, num_images: int) -> np.ndarray:
    """Draws as many images as there are, with replacement; int [N], how often each comes."""
    return np.bincount(draws.integers(0, num_images, num_images), minlength=num_images)


def compare(
    candidate: Sequence[ImageResult],
    baseline: Sequence[ImageResult],
    class_names: Sequence[str],
    metric: str,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compares two detectors on the same images.

    Each resample draws as many images as there are, with replacement, and scores both detectors on them: what makes an
    image hard is hard for both and cancels. Resamples without an object are left out.

    Args:
        candidate: N images with the candidate's detections.
        baseline: the same images in the same order with the baseline's detections.
        class_names: C names in label order.
        metric: a name that `coco.coco_metrics` returns, such as "AP50" or "AP/car".
        num_resamples: at least 1.
        seed: of the draws.

    Returns:
        The comparison, equal for equal arguments.

    Raises:
        ValueError: the images differ in number or objects, no resample is asked for, or as `MatchedImages`.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; paired over test items as in
    Koehn 2004 (EMNLP), Statistical Significance Tests for Machine Translation Evaluation, section 4.
    """
    if num_resamples < 1:
        raise ValueError(f"`num_resamples` must be at least 1: got {num_resamples}.")
    _check_pairs(candidate, baseline)
    ours, theirs = (_of_images(results, class_names, metric) for results in (candidate, baseline))
    num_images = len(candidate)
    draws = np.random.default_rng(seed)
    differences = np.full(num_resamples, math.nan)
    for number in range(num_resamples if num_images else 0):
        counts = _draw(draws, num_images)
        differences[number] = ours.metric(counts) - theirs.metric(counts)
    differences = differences[~np.isnan(differences)]
    if not differences.size:
        return Comparison(math.nan, math.nan, math.nan, math.nan)
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p_worse = float(np.mean(differences < -_ROUNDING))
    return Comparison(ours.metric() - theirs.metric(), float(low), float(high), p_worse)


def _check_pairs(candidate: Sequence[ImageResult], baseline: Sequence[ImageResult]) -> None:
    if len(candidate) != len(baseline):
        raise ValueError(f"`baseline` needs the candidate's images: got {len(baseline)} for {len(candidate)}.")
    for number, (ours, theirs) in enumerate(zip(candidate, baseline, strict=True)):
        if not np.array_equal(ours.gt_labels, theirs.gt_labels):
            raise ValueError(f"`baseline` needs the candidate's images in its order: number {number} is another one.")


def _class_matches(found: Sequence[dict], num_images: int) -> _ClassMatches:
    """Collects the engine's matches of a class.

    Args:
        found: an entry of `eval_imgs` for each image that has objects or detections of the class.
        num_images: N.
    """
    num_objects = np.zeros(num_images, np.int64)
    for one in found:
        num_objects[one["image_id"] - 1] = sum(one["gtInDenominator"])
    images = np.concatenate([np.full(len(one["dtScores"]), one["image_id"] - 1) for one in found])
    # In the order of images, so that the stable sort leaves ties as COCO does.
    order = np.argsort(-np.concatenate([one["dtScores"] for one in found]), kind="stable")
    matched = np.concatenate([np.array(one["dtMatched"], bool) for one in found], axis=1)[:, order]  # [T, D]
    ignored = np.concatenate([np.array(one["dtIgnore"], bool) for one in found], axis=1)[:, order]
    hits = matched & ~ignored
    length = int(np.flatnonzero(hits.any(axis=0)).max(initial=-1)) + 1
    thresholds = [_hits(*pair) for pair in zip(hits[:, :length], ignored[:, :length], strict=True)]
    return _ClassMatches(num_objects, images[order][:length], tuple(thresholds))


def _hits(is_hit: np.ndarray, is_ignored: np.ndarray) -> _Hits:
    hits, ignored = np.flatnonzero(is_hit), np.flatnonzero(is_ignored)
    return _Hits(hits, ignored, np.searchsorted(ignored, hits))
