"""IoU and target assignment against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from box_references import numpy_iou
from boxes_strategy import make_boxes, seeds
from hypothesis import given, settings

from models.network import matcher


def greedy_matches(overlaps: np.ndarray) -> dict[int, int]:
    """Matches objects to anchors one to one, the globally best pair first."""
    left, matches = overlaps.astype(np.float64), {}
    for _ in range(min(overlaps.shape)):
        gt, anchor = np.unravel_index(np.argmax(left), left.shape)
        matches[int(anchor)] = int(gt)
        left[gt, :] = left[:, anchor] = -np.inf
    return matches


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_iou_equals_the_long_way_and_is_symmetric(rng: np.random.Generator) -> None:
    """Float32 against float64."""
    first, second = make_boxes(rng, 4), make_boxes(rng, 5)
    found = np.asarray(matcher.iou(first, second))
    assert found == pytest.approx(np.array([[numpy_iou(a, b) for b in second] for a in first]), abs=1e-5)
    assert found == pytest.approx(np.asarray(matcher.iou(second, first)).T, abs=1e-6)


def test_empty_boxes_have_no_iou() -> None:
    """Padding is all zeros; it must give 0, not NaN."""
    assert np.asarray(matcher.iou(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32))) == 0.0


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_forced_matches_are_the_greedy_ones(rng: np.random.Generator) -> None:
    """The rounds on the device give what sorting all pairs gives."""
    overlaps = rng.random((3, 6, 9)).astype(np.float32)
    valid = np.ones((3, 6), bool)
    found = np.asarray(matcher.forced_matches(overlaps, valid))
    for row in range(3):
        expected = greedy_matches(overlaps[row])
        assert {anchor: gt for anchor, gt in enumerate(found[row].tolist()) if gt >= 0} == expected


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_of_more_objects_than_anchors_those_that_fit_best_are_matched(rng: np.random.Generator) -> None:
    overlaps = rng.random((3, 9, 4)).astype(np.float32)
    found = np.asarray(matcher.forced_matches(overlaps, np.ones((3, 9), bool)))
    for row in range(3):
        expected = greedy_matches(overlaps[row])
        assert dict(enumerate(found[row].tolist())) == expected


def test_more_objects_than_anchors_leave_every_anchor_with_one() -> None:
    rng = np.random.default_rng(0)
    targets = matcher.assign(make_boxes(rng, 60)[None], np.zeros((1, 60), np.int32), make_boxes(rng, 48), 0.5)
    assert np.asarray(targets.positive).all()


def test_two_objects_that_share_the_best_anchor_get_one_each() -> None:
    """Two equal objects, one good anchor: the first takes it, the other the next best."""
    anchors = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]], np.float32)
    gt_boxes = np.array([[[0.0, 0.0, 0.5, 0.4], [0.0, 0.0, 0.5, 0.5]]], np.float32)
    targets = matcher.assign(gt_boxes, np.array([[1, 2]], np.int32), anchors, 0.5)
    assert np.asarray(targets.labels).tolist() == [[2, 1]]
    assert np.asarray(targets.positive).all()


def test_an_object_below_the_threshold_keeps_its_best_anchor() -> None:
    """IoU 0.04 with the nearest anchor, and that anchor is positive all the same."""
    anchors = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]], np.float32)
    gt_boxes = np.array([[[0.6, 0.6, 0.7, 0.7], [0, 0, 0, 0]]], np.float32)
    targets = matcher.assign(gt_boxes, np.array([[0, -1]], np.int32), anchors, 0.5)
    assert np.asarray(targets.labels).tolist() == [[-1, 0]]


def test_an_image_without_objects_has_only_negatives() -> None:
    """All labels are padding."""
    anchors = make_boxes(np.random.default_rng(0), 7)
    targets = matcher.assign(np.zeros((2, 3, 4), np.float32), np.full((2, 3), -1, np.int32), anchors, 0.5)
    assert not np.asarray(targets.positive).any()
    assert not np.asarray(targets.ignored).any()
    assert (np.asarray(targets.labels) == -1).all()


def test_anchors_in_an_ignored_region_are_neither_positive_nor_negative() -> None:
    """Half inside counts; a positive inside stays positive."""
    anchors = np.array([[0.0, 0.0, 0.4, 0.4], [0.0, 0.3, 0.4, 0.7], [0.6, 0.6, 1.0, 1.0]], np.float32)
    gt_boxes = np.array([[[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.4, 0.4]]], np.float32)
    targets = matcher.assign(gt_boxes, np.array([[-2, 1]], np.int32), anchors, 0.5)
    assert np.asarray(targets.ignored).tolist() == [[False, True, False]]
    assert np.asarray(targets.labels).tolist() == [[1, -1, -1]]


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_every_object_gets_an_anchor(rng: np.random.Generator) -> None:
    """Whatever the boxes, as long as there are anchors enough."""
    gt_boxes = make_boxes(rng, 2, 5)
    gt_labels = np.tile(np.arange(5, dtype=np.int32), (2, 1))
    targets = matcher.assign(gt_boxes, gt_labels, make_boxes(rng, 40), 0.5)
    for row in np.asarray(targets.labels):
        assert set(row.tolist()) >= set(range(5))


def test_targets_do_not_depend_on_whether_the_number_of_boxes_is_known() -> None:
    """A traced training step takes batches of any number of boxes, with padding and ignored regions."""
    rng = np.random.default_rng(0)
    gt_boxes, anchors = np.stack([make_boxes(rng, 6) for _ in range(3)]), make_boxes(rng, 40)
    gt_labels = np.array([[0, 1, -2, 1, -1, -1], [1, 0, 0, 1, 0, 1], [-1] * 6], np.int32)
    signature = [tf.TensorSpec((3, None, 4)), tf.TensorSpec((3, None), tf.int32)]

    @tf.function(input_signature=signature)
    def traced(gt_boxes: tf.Tensor, gt_labels: tf.Tensor) -> dict[str, tf.Tensor]:
        return vars(matcher.assign(gt_boxes, gt_labels, anchors, 0.5, 0.4))

    found = traced(gt_boxes, gt_labels)
    for name, value in vars(matcher.assign(gt_boxes, gt_labels, anchors, 0.5, 0.4)).items():
        np.testing.assert_array_equal(found[name], value)
    assert found["ignored"].numpy().any()
