"""Losses and mining against values by hand and independent NumPy versions."""

import dataclasses

import numpy as np
import pytest
from box_references import greedy_nms
from boxes_strategy import make_boxes, seeds
from hypothesis import given, settings

from models.hyperparameters import LossConfig
from models.network import losses, matcher

SCALARS = {
    field.name: np.float32(field.default)
    for field in dataclasses.fields(LossConfig)
    if field.metadata["live"] and isinstance(field.default, (int, float))
}


def class_loss(logits, labels, name: str, has_background: bool = False, **scalars: float) -> np.ndarray:
    """Runs `classification_loss` with the declared defaults."""
    return np.asarray(
        losses.classification_loss(
            np.asarray(logits, np.float32),
            np.asarray(labels, np.int32),
            LossConfig(classification=name),
            SCALARS | scalars,
            has_background,
        )
    )


def test_smooth_l1_by_hand() -> None:
    """0.5 e^2 inside delta, delta (|e| - delta / 2) outside."""
    errors = np.array([0.0, 0.5, -1.0, 3.0], np.float32)
    assert np.asarray(losses.smooth_l1(errors)) == pytest.approx([0, 0.125, 0.5, 2.5])
    assert np.asarray(losses.smooth_l1(errors, 0.5)) == pytest.approx([0, 0.125, 0.375, 1.375])


def test_giou_by_hand() -> None:
    """Equal boxes, half overlap, and two squares a side apart: IoU 0, hull 3, union 2."""
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], np.float32)
    others = np.array([[0, 0, 1, 1], [0, 0.5, 1, 1.5], [0, 2, 1, 3]], np.float32)
    assert np.asarray(losses.giou_loss(boxes, others)) == pytest.approx([0, 1 - 1 / 3, 1 + 1 / 3], abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_giou_lies_between_0_and_2_and_is_symmetric(rng: np.random.Generator) -> None:
    first, second = make_boxes(rng, 20), make_boxes(rng, 20)
    found = np.asarray(losses.giou_loss(first, second))
    assert (found >= -1e-6).all()
    assert (found <= 2).all()
    assert np.asarray(losses.giou_loss(second, first)) == pytest.approx(found, abs=1e-6)


def test_sigmoid_loss_by_hand() -> None:
    """Background has only zeros to hit; class 1 of two has one."""
    found = class_loss([[[0.0, 0.0], [2.0, -1.0]]], [[-1, 1]], "sigmoid")
    expected = [2 * np.log(2), np.log1p(np.exp(2.0)) + np.log1p(np.exp(1.0))]
    assert found[0] == pytest.approx(expected, rel=1e-5)


def test_sigmoid_loss_with_a_background_class_by_hand() -> None:
    """The first logit is background's, which an anchor without object has to hit."""
    found = class_loss([[[2.0, -1.0], [2.0, -1.0]]], [[-1, 0]], "sigmoid", has_background=True)
    background = np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))
    assert found[0] == pytest.approx([background, background + 2.0 + 1.0], rel=1e-5)


def test_softmax_loss_by_hand() -> None:
    """Background is the first logit."""
    logits = np.log([[[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]])
    assert class_loss(logits, [[-1, 1]], "softmax", True)[0] == pytest.approx([-np.log(0.7), -np.log(0.1)], rel=1e-5)


def test_label_smoothing_by_hand() -> None:
    """0.3 of the target over three outputs: 0.1 for each, and 0.7 more for the right one."""
    logits = np.log([[[0.7, 0.2, 0.1]]])
    expected = -(0.8 * np.log(0.7) + 0.1 * np.log(0.2) + 0.1 * np.log(0.1))
    assert class_loss(logits, [[-1]], "softmax", True, label_smoothing=0.3)[0, 0] == pytest.approx(expected, rel=1e-5)


def test_focal_loss_by_hand() -> None:
    """alpha (1 - p)^2 of the hit and (1 - alpha) p^2 of the miss, each times its cross-entropy."""
    p = np.array([0.9, 0.2])
    found = class_loss(np.log(p / (1 - p))[None, None], [[0]], "focal")
    expected = 0.25 * 0.1**2 * -np.log(0.9) + 0.75 * 0.2**2 * -np.log(0.8)
    assert found[0, 0] == pytest.approx(expected, rel=1e-4)


def test_focal_loss_without_focus_is_half_of_the_sigmoid_loss() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 9, 3))
    labels = np.arange(9)[None] % 4 - 1
    focal = class_loss(logits, labels, "focal", focal_gamma=0.0, focal_alpha=0.5)
    assert focal == pytest.approx(class_loss(logits, labels, "sigmoid") / 2, rel=1e-5)


@pytest.mark.parametrize(("name", "has_background"), [("sigmoid", False), ("softmax", True), ("focal", False)])
def test_extreme_logits_stay_finite(name: str, has_background: bool) -> None:
    """A diverging head must show a large loss, not NaN."""
    assert np.isfinite(class_loss([[[1e4, -1e4, 1e4]]], [[0]], name, has_background)).all()


def test_three_hardest_negatives_a_positive() -> None:
    """One positive, ratio 3; the ignored one is never taken though it is the hardest."""
    values = np.array([[0.1, 0.9, 0.5, 0.4, 0.3, 5.0]], np.float32)
    positive = np.array([[True, False, False, False, False, False]])
    ignored = np.array([[False, False, False, False, False, True]])
    found = losses.hard_negatives(values, positive, ignored, np.float32(3.0), 0)
    assert np.asarray(found).tolist() == [[False, True, True, True, False, False]]
    everything = losses.hard_negatives(values, positive, ignored, np.float32(0.0), 0)
    assert np.asarray(everything).tolist() == [[False, True, True, True, True, False]]


def test_an_image_without_objects_keeps_the_minimum() -> None:
    """Its hardest `minimum` negatives; none where the minimum is 0."""
    values = np.array([[0.1, 0.9, 0.5]], np.float32)
    none, ratio = np.zeros((1, 3), bool), np.float32(3.0)
    assert np.asarray(losses.hard_negatives(values, none, none, ratio, 2)).tolist() == [[False, True, True]]
    assert not np.asarray(losses.hard_negatives(values, none, none, ratio, 0)).any()


def test_equal_losses_do_not_exceed_the_ratio() -> None:
    """By box loss all negatives are at 0; the first ones count."""
    positive = np.arange(10)[None] == 4
    values = np.where(positive, 2.0, 0.0).astype(np.float32)
    found = losses.hard_negatives(values, positive, np.zeros((1, 10), bool), np.float32(3.0), 0)
    assert np.flatnonzero(found).tolist() == [0, 1, 2]


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_mining_equals_sorting(rng: np.random.Generator) -> None:
    """Against a plain sort, image by image."""
    values = rng.random((3, 20)).astype(np.float32)
    positive, ignored = rng.random((3, 20)) < 0.15, rng.random((3, 20)) < 0.2
    ignored &= ~positive
    found = np.asarray(losses.hard_negatives(values, positive, ignored, np.float32(2.0), 1))
    for row in range(3):
        candidates = [i for i in range(20) if not positive[row, i] and not ignored[row, i]]
        count = max(int(positive[row].sum()) * 2, 1)
        hardest = sorted(candidates, key=lambda i: -values[row, i])[:count]
        assert set(np.flatnonzero(found[row])) == set(hardest)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_distinct_boxes_are_those_of_greedy_suppression(rng: np.random.Generator) -> None:
    """Against the plain loop, on crowded boxes."""
    boxes = np.clip(make_boxes(rng, 1, smallest=0.4) + rng.normal(0, 0.03, (2, 15, 4)), 0, 1).astype(np.float32)
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2] + 0.05)
    values = rng.random((2, 15)).astype(np.float32)
    found = np.asarray(losses.distinct(boxes, values, 0.7, 12))
    for row in range(2):
        order = np.argsort(-values[row])[:12]
        kept = order[greedy_nms(boxes[row][order], values[row][order], 0.7)]
        assert set(np.flatnonzero(found[row])) == set(kept.tolist())


def detection_losses(config: LossConfig, *, boxes: np.ndarray | None = None) -> tuple[float, float]:
    """Two positives of three anchors, one of them off by 2 in one delta; all logits 0."""
    deltas = np.zeros((1, 3, 4), np.float32)
    target_deltas = np.zeros((1, 3, 4), np.float32)
    target_deltas[0, 0, 0] = 2.0
    objects = np.array([[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]], np.float32)
    positive = np.array([[True, True, False]])
    targets = matcher.Targets(objects, np.array([[0, 0, -1]], np.int32), positive, np.zeros((1, 3), bool))
    outputs = losses.Outputs(np.zeros((1, 3, 1), np.float32), deltas, boxes)
    found = losses.detection_losses(outputs, targets, target_deltas, config, SCALARS, False)
    return tuple(float(value) for value in found)


def test_the_losses_are_divided_by_the_matches_of_the_batch() -> None:
    """(2 - 0.5) / 2; the logits of 0 cost ln 2 for each of three anchors."""
    assert detection_losses(LossConfig()) == pytest.approx((3 * np.log(2) / 2, 0.75), rel=1e-5)
    assert detection_losses(LossConfig(normalize_by_matches=False)) == pytest.approx((3 * np.log(2), 1.5), rel=1e-5)


def test_focal_loss_takes_every_anchor() -> None:
    """0.25 and 0.75 of ln 2, times 0.5^2: two positives and one negative, without mining."""
    classification, _ = detection_losses(LossConfig(classification="focal"))
    assert classification == pytest.approx((2 * 0.25 + 0.75) * 0.25 * np.log(2) / 2, rel=1e-5)


def test_giou_takes_the_place_of_smooth_l1() -> None:
    """One positive half off, the other right: 1 - 1/3 over two matches."""
    boxes = np.array([[[0, 0.5, 1, 1.5], [0, 0, 1, 1], [0, 0, 1, 1]]], np.float32)
    _, localization = detection_losses(LossConfig(localization="giou"), boxes=boxes)
    assert localization == pytest.approx((1 - 1 / 3) / 2, rel=1e-5)


def test_mining_counts_coinciding_predictions_once() -> None:
    """All three predictions are the same box with the same loss: only the first counts, matches stay two."""
    boxes = np.tile(np.array([0.1, 0.1, 0.9, 0.9], np.float32), (1, 3, 1))
    classification, localization = detection_losses(LossConfig(mining_iou=0.99), boxes=boxes)
    assert classification == pytest.approx(np.log(2) / 2, rel=1e-5)
    assert localization == pytest.approx(0.75, rel=1e-5)
