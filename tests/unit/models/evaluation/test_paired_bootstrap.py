"""The paired bootstrap: equal to COCO's numbers on real copies of images, and to a case worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest

from benchmarks import evaluation as peer
from models.evaluation import coco, paired_bootstrap
from models.evaluation.coco import ImageResult

CLASS_NAMES = ["person", "bicycle", "car"]
METRICS = [*coco.SUMMARY_KEYS, "AP/person", "AP50/car"]
ROUNDING = 1e-6  # the product's promise for COCO's numbers; only the order of additions differs


@pytest.fixture(scope="module")
def results() -> list[ImageResult]:
    """Images with crowds, objects of all sizes and equal scores."""
    return peer.random_results(3, 60, detections=20)


def one_object(score: float | None) -> ImageResult:
    """Makes an image with one object of class 0, found with a score or not (None)."""
    box = np.array([[0.2, 0.2, 0.6, 0.6]])
    found = score is not None
    return ImageResult(
        gt_boxes=box,
        gt_labels=np.array([0]),
        gt_is_crowd=np.array([False]),
        gt_area_px=np.array([1600.0]),
        det_boxes=box[: int(found)],
        det_scores=np.array([score] if found else []),
        det_classes=np.zeros(int(found), int),
        height=100,
        width=100,
    )


def without_objects(result: ImageResult) -> ImageResult:
    names = ("gt_boxes", "gt_labels", "gt_is_crowd", "gt_area_px")
    return dataclasses.replace(result, **{name: getattr(result, name)[:0] for name in names})


@pytest.mark.parametrize("metric", METRICS)
def test_each_image_once_gives_cocos_number(results, metric) -> None:
    expected = coco.coco_metrics(results, CLASS_NAMES)[metric]
    assert 0.01 < expected < 0.99
    matched = paired_bootstrap.MatchedImages(results, CLASS_NAMES, metric)
    assert matched.metric() == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize("metric", METRICS)
def test_a_resample_gives_cocos_number_on_copies_of_the_images(results, metric) -> None:
    """Without equal scores of two images, whose order COCO takes from that of the copies."""
    draws = np.random.default_rng(0)
    distinct = [
        dataclasses.replace(one, det_scores=one.det_scores.astype(float) + draws.uniform(0, 0.009, 20))
        for one in results
    ]
    matched = paired_bootstrap.MatchedImages(distinct, CLASS_NAMES, metric)
    for _ in range(5):
        chosen = draws.integers(0, len(results), len(results))
        copies = coco.coco_metrics([distinct[image] for image in chosen], CLASS_NAMES)
        counts = np.bincount(chosen, minlength=len(results))
        assert matched.metric(counts) == pytest.approx(copies[metric], abs=ROUNDING)


def test_three_images_worked_out_by_hand() -> None:
    """The candidate finds the first object of three, the baseline the others, both without a false one.

    AP50 is the share of the 101 recall points up to the recall: 34 at 1/3, 67 at 2/3. The candidate is below where
    the first image is drawn at most once of three times, with chance (8 + 12) / 27. Never (8 / 27) makes the
    difference -1, always (1 / 27) makes it 1, and both are more likely than 2.5 %.
    """
    candidate = [one_object(0.9), one_object(None), one_object(None)]
    baseline = [one_object(None), one_object(0.8), one_object(0.7)]
    found = paired_bootstrap.compare(candidate, baseline, ["car"], "AP50", num_resamples=20_000)
    assert found.difference == pytest.approx((34 - 67) / 101)
    assert (found.low, found.high) == (-1, 1)
    assert found.p_worse == pytest.approx(20 / 27, abs=0.01)  # three standard errors


def test_equal_models_are_never_worse(results) -> None:
    found = paired_bootstrap.compare(results, results, CLASS_NAMES, "AP50", num_resamples=50)
    assert found == paired_bootstrap.Comparison(0, 0, 0, 0)


def test_a_model_that_is_worse_everywhere_is_shown_to_be(results) -> None:
    """Pairing shows it although either model's own number varies more from resample to resample."""
    worse = [dataclasses.replace(one, det_scores=1 - one.det_scores) for one in results]
    found = paired_bootstrap.compare(worse, results, CLASS_NAMES, "AP", num_resamples=100)
    numbers = [coco.coco_metrics(one, CLASS_NAMES)["AP"] for one in (worse, results)]
    assert found.difference == pytest.approx(numbers[0] - numbers[1], abs=ROUNDING)
    assert found.low < found.difference < found.high < 0
    assert found.p_worse == 1
    assert paired_bootstrap.compare(results, worse, CLASS_NAMES, "AP", num_resamples=100).p_worse == 0


def test_the_seed_decides(results) -> None:
    other = [dataclasses.replace(one, det_scores=one.det_scores[::-1]) for one in results]

    def compare(seed: int) -> paired_bootstrap.Comparison:
        return paired_bootstrap.compare(other, results, CLASS_NAMES, "AP50", num_resamples=20, seed=seed)

    assert compare(1) == compare(1)
    assert compare(1) != compare(2)


def test_resamples_without_an_object_are_left_out() -> None:
    """A quarter of the resamples holds the empty image alone."""
    candidate = [one_object(0.9), without_objects(one_object(None))]
    baseline = [one_object(None), without_objects(one_object(None))]
    found = paired_bootstrap.compare(candidate, baseline, ["car"], "AP50", num_resamples=40)
    assert found == paired_bootstrap.Comparison(1, 1, 1, 0)


@pytest.mark.parametrize("images", [[], [without_objects(one_object(0.9))]])
def test_nothing_to_measure_is_nan(images) -> None:
    found = paired_bootstrap.compare(images, images, ["car"], "AP", num_resamples=5)
    assert all(math.isnan(value) for value in dataclasses.astuple(found))


@pytest.mark.parametrize("metric", ["mAP", "AP/dog", "AP51", ""])
def test_an_unknown_metric_is_refused(metric) -> None:
    with pytest.raises(ValueError, match=f"`metric` must be one of AP, .*got `{metric}`"):
        paired_bootstrap.MatchedImages([one_object(0.9)], ["car"], metric)


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="needs the candidate's images: got 1 for 2"):
        paired_bootstrap.compare([one_object(0.9)] * 2, [one_object(0.9)], ["car"], "AP")
    with pytest.raises(ValueError, match="number 0 is another one"):
        paired_bootstrap.compare([one_object(0.9)], [without_objects(one_object(0.9))], ["car"], "AP")
    with pytest.raises(ValueError, match="`num_resamples` must be at least 1: got 0"):
        paired_bootstrap.compare([one_object(0.9)], [one_object(0.9)], ["car"], "AP", num_resamples=0)
