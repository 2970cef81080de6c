"""Clusters of shapes and aspect ratios: by hand, planted shapes, properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_fn.plan import box_shapes

SIDES = st.lists(st.tuples(*[st.floats(0.01, 1.0)] * 2), min_size=1, max_size=6).map(np.array)


def test_iou_of_shapes_by_hand():
    found = box_shapes.iou(np.array([[1, 1], [1, 2]]), np.array([[1, 1], [2, 2], [2, 1]]))
    assert found == pytest.approx(np.array([[1, 1 / 4, 1 / 2], [1 / 2, 1 / 2, 1 / 3]]))


@given(SIDES, SIDES)
def test_iou_of_shapes_is_symmetric_and_1_for_equal_ones(one, other):
    ious = box_shapes.iou(one, other)
    np.testing.assert_allclose(ious, box_shapes.iou(other, one).T)
    assert (ious > 0).all()
    assert (ious <= 1 + 1e-9).all()
    assert np.diag(box_shapes.iou(one, one)) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
def test_k_means_recovers_planted_shapes(seed):
    planted = np.array([[0.05, 0.05], [0.4, 0.1], [0.1, 0.4], [0.6, 0.7]])
    noise = np.random.default_rng(seed).normal(1, 0.03, (400, 2))
    found = box_shapes.cluster(np.repeat(planted, 100, axis=0) * noise, 4, seed)
    matched = box_shapes.iou(planted, found.centroids)
    assert sorted(matched.argmax(axis=1)) == [0, 1, 2, 3]
    assert matched.max(axis=1).min() > 0.97
    assert found.mean_iou > 0.93
    areas = found.centroids.prod(axis=1)
    assert (np.diff(areas) >= 0).all()


def test_k_means_with_more_clusters_than_shapes_returns_the_shapes():
    found = box_shapes.cluster(np.array([[0.1, 0.2], [0.3, 0.3]] * 5), 6, seed=0)
    np.testing.assert_allclose(found.centroids, [[0.1, 0.2], [0.3, 0.3]])
    assert found.mean_iou == pytest.approx(1)


def test_k_means_is_a_function_of_its_seed():
    sides = np.random.default_rng(5).uniform(0.02, 0.6, (300, 2))
    one, again = (box_shapes.cluster(sides, 5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.centroids, again.centroids)


def test_ratios_are_laid_in_the_places_of_those_nearest_to_them():
    assert box_shapes.in_place((0.9, 1.0, 2.0, 3.0, 5.0), (1.0, 2.0, 0.5, 3.0, 0.3333)) == (1.0, 2.0, 0.9, 3.0, 5.0)
    assert box_shapes.in_place((0.25, 4.0), (2.0, 1.0)) == (4.0, 0.25)


def test_a_line_has_a_ratio_above_0():
    assert box_shapes.fit_ratios(np.array([[1.0, 1e-6]]), (1.0, 2.0), seed=0) == (1e-4, 2.0)
    assert box_shapes.fit_ratios(np.array([[1.0, 1.0]]), (1.0, 1.0), seed=0) == (1.0, 1.0)
