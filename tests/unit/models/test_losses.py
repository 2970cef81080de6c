"""Losses and mining against values by hand."""

import numpy as np
import pytest
from boxes_strategy import seeds
from hypothesis import given, settings

from models import losses


def test_smooth_l1_by_hand() -> None:
    """0.5 e^2 inside one, |e| - 0.5 outside."""
    assert np.asarray(losses.smooth_l1(np.array([0.0, 0.5, -1.0, 3.0], np.float32))) == pytest.approx(
        [0, 0.125, 0.5, 2.5]
    )


def test_sigmoid_loss_by_hand() -> None:
    """Background has only zeros to hit; class 1 of two has one."""
    logits = np.array([[[0.0, 0.0], [2.0, -1.0]]], np.float32)
    found = np.asarray(losses.classification_loss(logits, np.array([[-1, 1]], np.int32), "sigmoid"))
    expected = [2 * np.log(2), np.log1p(np.exp(2.0)) + np.log1p(np.exp(1.0))]
    assert found[0] == pytest.approx(expected, rel=1e-5)


def test_softmax_loss_by_hand() -> None:
    """Background is the first logit."""
    logits = np.log(np.array([[[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]], np.float32))
    found = np.asarray(losses.classification_loss(logits, np.array([[-1, 1]], np.int32), "softmax"))
    assert found[0] == pytest.approx([-np.log(0.7), -np.log(0.1)], rel=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_extreme_logits_stay_finite(activation: str) -> None:
    """A diverging head must show a large loss, not NaN."""
    logits = np.array([[[1e4, -1e4, 1e4]]], np.float32)
    assert np.isfinite(np.asarray(losses.classification_loss(logits, np.array([[0]], np.int32), activation))).all()


def test_three_hardest_negatives_a_positive() -> None:
    """One positive, ratio 3; the ignored one is never taken though it is the hardest."""
    values = np.array([[0.1, 0.9, 0.5, 0.4, 0.3, 5.0]], np.float32)
    positive = np.array([[True, False, False, False, False, False]])
    ignored = np.array([[False, False, False, False, False, True]])
    found = losses.hard_negatives(values, positive, ignored, 3.0, 0)
    assert np.asarray(found).tolist() == [[False, True, True, True, False, False]]


def test_an_image_without_objects_keeps_the_minimum() -> None:
    """Its hardest `minimum` negatives; none where the minimum is 0."""
    values = np.array([[0.1, 0.9, 0.5]], np.float32)
    none = np.zeros((1, 3), bool)
    assert np.asarray(losses.hard_negatives(values, none, none, 3.0, 2)).tolist() == [[False, True, True]]
    assert not np.asarray(losses.hard_negatives(values, none, none, 3.0, 0)).any()


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_mining_equals_sorting(rng: np.random.Generator) -> None:
    """Against a plain sort, image by image."""
    values = rng.random((3, 20)).astype(np.float32)
    positive, ignored = rng.random((3, 20)) < 0.15, rng.random((3, 20)) < 0.2
    ignored &= ~positive
    found = np.asarray(losses.hard_negatives(values, positive, ignored, 2.0, 1))
    for row in range(3):
        candidates = [i for i in range(20) if not positive[row, i] and not ignored[row, i]]
        count = max(int(positive[row].sum()) * 2, 1)
        hardest = sorted(candidates, key=lambda i: -values[row, i])[:count]
        assert set(np.flatnonzero(found[row])) == set(hardest)


def test_the_loss_is_divided_by_the_matches_of_the_batch() -> None:
    """Two positives, one of them off by 2 in one delta: (2 - 0.5) / 2."""
    logits, deltas = np.zeros((1, 3, 1), np.float32), np.zeros((1, 3, 4), np.float32)
    targets = np.zeros((1, 3, 4), np.float32)
    targets[0, 0, 0] = 2.0
    classification, localization = losses.detection_losses(
        logits,
        deltas,
        np.array([[0, 0, -1]], np.int32),
        targets,
        np.array([[True, True, False]]),
        np.zeros((1, 3), bool),
        activation="sigmoid",
        negatives_per_positive=3.0,
        min_negatives=0,
    )
    assert float(localization) == pytest.approx(0.75)
    assert float(classification) == pytest.approx(3 * np.log(2) / 2, rel=1e-5)
