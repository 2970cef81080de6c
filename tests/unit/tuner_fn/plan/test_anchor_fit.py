"""How anchors cover boxes: hand-drawn cases, the whole grid as reference, planted shapes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.hyperparameters import AnchorConfig, ExperimentConfig
from models.network import anchors
from pipeline import configs
from tuner_fn.plan import anchor_fit

GRID = anchors.make_grid((128, 128), 8, 6)
SIDES = st.lists(st.tuples(*[st.floats(0.01, 1.0)] * 2), min_size=1, max_size=6).map(np.array)


def scattered(sides, count, seed):
    """Lays boxes of given (height, width) rows, each `count` times, at random places inside the image."""
    draws = np.random.default_rng(seed)
    sides = np.repeat(np.asarray(sides, float), count, axis=0)
    low = draws.uniform(0, 1 - sides)
    return np.concatenate([low, low + sides], axis=1)


def grid_iou(boxes, config, grid=GRID):
    """Computes the best IoU over all anchors the long way."""
    found = anchors.make_anchors(grid, config).astype(np.float64)[None]
    boxes = boxes[:, None]
    low, high = np.maximum(boxes[..., :2], found[..., :2]), np.minimum(boxes[..., 2:], found[..., 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(axis=-1) for each in (boxes, found)]
    return (shared / (areas[0] + areas[1] - shared)).max(axis=1)


def test_iou_of_shapes_by_hand():
    found = anchor_fit.shape_iou(np.array([[1, 1], [1, 2]]), np.array([[1, 1], [2, 2], [2, 1]]))
    assert found == pytest.approx(np.array([[1, 1 / 4, 1 / 2], [1 / 2, 1 / 2, 1 / 3]]))


@given(SIDES, SIDES)
def test_iou_of_shapes_is_symmetric_and_1_for_equal_ones(one, other):
    ious = anchor_fit.shape_iou(one, other)
    np.testing.assert_allclose(ious, anchor_fit.shape_iou(other, one).T)
    assert (ious > 0).all()
    assert (ious <= 1 + 1e-9).all()
    assert np.diag(anchor_fit.shape_iou(one, one)) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
def test_k_means_recovers_planted_shapes(seed):
    planted = np.array([[0.05, 0.05], [0.4, 0.1], [0.1, 0.4], [0.6, 0.7]])
    noise = np.random.default_rng(seed).normal(1, 0.03, (400, 2))
    found = anchor_fit.cluster_shapes(np.repeat(planted, 100, axis=0) * noise, 4, seed)
    matched = anchor_fit.shape_iou(planted, found.centroids)
    assert sorted(matched.argmax(axis=1)) == [0, 1, 2, 3]
    assert matched.max(axis=1).min() > 0.97
    assert found.mean_iou > 0.93
    areas = found.centroids.prod(axis=1)
    assert (np.diff(areas) >= 0).all()


def test_k_means_with_more_clusters_than_shapes_returns_the_shapes():
    found = anchor_fit.cluster_shapes(np.array([[0.1, 0.2], [0.3, 0.3]] * 5), 6, seed=0)
    np.testing.assert_allclose(found.centroids, [[0.1, 0.2], [0.3, 0.3]])
    assert found.mean_iou == pytest.approx(1)


def test_k_means_is_a_function_of_its_seed():
    sides = np.random.default_rng(5).uniform(0.02, 0.6, (300, 2))
    one, again = (anchor_fit.cluster_shapes(sides, 5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.centroids, again.centroids)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_nearest_cell_gives_the_best_iou_of_the_whole_grid(seed, reduced):
    draws = np.random.default_rng(seed)
    low = draws.uniform(0, 0.95, (20, 2))
    boxes = np.concatenate([low, low + (1 - low) * draws.uniform(0.01, 1, (20, 2)) ** 2], axis=1)
    config = AnchorConfig(min_scale=0.1, reduce_lowest_level=reduced)
    # The grid's anchors are float32.
    np.testing.assert_allclose(anchor_fit.best_ious(boxes, GRID, config), grid_iou(boxes, config), atol=1e-5)


def test_boxes_that_are_anchors_are_all_covered():
    config = AnchorConfig(max_scale=0.5)
    found = anchors.make_anchors(GRID, config)
    inside = found[((found >= 0) & (found <= 1)).all(axis=1)]
    assert len(inside) > 500
    assert anchor_fit.recall(anchor_fit.best_ious(inside, GRID, config)) == 1


def test_recall_by_hand():
    """One cell: anchors of side 0.4 and, between 0.4 and 1, sqrt(0.4), around the centre."""
    config = AnchorConfig(scales=(0.4,), aspect_ratios=(1.0,), reduce_lowest_level=False)
    tall, thin, aside = [0.3, 0.4, 0.7, 0.61], [0.3, 0.4, 0.7, 0.59], [0.0, 0.0, 0.3, 0.3]
    ious = anchor_fit.best_ious(np.array([tall, thin, aside]), anchors.Grid(((1, 1),)), config)
    assert ious[:2] == pytest.approx([0.21 / 0.4, 0.19 / 0.4])
    corner = (0.3 - (0.5 - 0.4**0.5 / 2)) ** 2  # shared with the larger anchor; the smaller begins where the box ends
    assert ious[2] == pytest.approx(corner / (0.4 + 0.09 - corner))
    assert anchor_fit.recall(ious) == pytest.approx(1 / 3)
    assert anchor_fit.recall(ious[:0]) is None


def test_recall_is_reported_by_class_and_by_size_at_the_detectors_input():
    config = AnchorConfig(scales=(0.4,), aspect_ratios=(1.0,), reduce_lowest_level=False)
    boxes = np.array([[0.3, 0.3, 0.7, 0.7], [0.3, 0.3, 0.7, 0.7], [0.0, 0.0, 0.05, 0.05]])
    report = anchor_fit.recall_report(
        boxes, np.array([0, 1, 1]), ("car", "person", "dog"), (100, 100), anchors.Grid(((1, 1),)), config
    )
    assert report["all"] == {"boxes": 3, "recall": pytest.approx(2 / 3)}
    assert report["by_class"] == {
        "car": {"boxes": 1, "recall": 1},
        "person": {"boxes": 2, "recall": 0.5},
        "dog": {"boxes": 0, "recall": None},
    }
    assert {name: row["boxes"] for name, row in report["by_size_px"].items() if row["boxes"]} == {
        "below 8": 1,
        "32 to 64": 2,
    }
    assert list(report["by_size_px"])[-1] == "from 256"


def test_a_proposal_covers_planted_boxes_with_as_many_anchors():
    boxes = scattered([[0.25, 0.08], [0.13, 0.13]], 200, seed=0)
    config = AnchorConfig()
    found = anchor_fit.propose(boxes, GRID, config, seed=0)
    before, after = (anchor_fit.recall(grid_iou(boxes, each)) for each in (config, found))
    assert before < 0.5
    assert after > 0.75
    assert len(anchors.make_anchors(GRID, found)) == len(anchors.make_anchors(GRID, config))
    assert found == anchor_fit.propose(boxes, GRID, config, seed=0)


def test_bare_clusters_of_small_boxes_would_not_do():
    """Where most boxes are small, k-means' sides taken as the levels' put small anchors on coarse maps."""
    sides = np.random.default_rng(0).uniform(0.06, 0.12, (300, 2))
    boxes = np.concatenate([scattered(sides, 1, 0), scattered([[0.4, 0.5]], 60, 1)])
    clusters = anchor_fit.cluster_shapes(boxes[:, 2:] - boxes[:, :2], 6, seed=0)
    scales = tuple(np.sqrt(clusters.centroids.prod(axis=1)))
    bare = anchor_fit.best_ious(boxes, GRID, dataclasses.replace(AnchorConfig(), scales=scales))
    found = anchor_fit.propose(boxes, GRID, AnchorConfig(), seed=0)
    assert anchor_fit.recall(anchor_fit.best_ious(boxes, GRID, found)) > anchor_fit.recall(bare) + 0.2


def test_nothing_is_proposed_without_boxes_or_where_all_are_covered():
    assert anchor_fit.propose(np.zeros((0, 4)), GRID, AnchorConfig(), seed=0) is None
    covered = anchors.make_anchors(GRID, AnchorConfig(max_scale=0.5))
    covered = covered[((covered >= 0) & (covered <= 1)).all(axis=1)]
    assert anchor_fit.propose(covered, GRID, AnchorConfig(max_scale=0.5), seed=0) is None


def test_one_shape_alone_does_not_break_it():
    boxes = scattered([[0.03, 0.03]], 50, seed=0)
    found = anchor_fit.propose(boxes, GRID, AnchorConfig(), seed=0)
    ious = anchor_fit.best_ious(boxes, GRID, found or AnchorConfig())
    assert anchor_fit.recall(ious) >= anchor_fit.recall(anchor_fit.best_ious(boxes, GRID, AnchorConfig()))


def test_a_proposal_is_written_in_the_settings_own_syntax():
    config = ExperimentConfig().replace({"input.image_size": 128, "model.first_stride": 8})
    boxes = scattered([[0.25, 0.08], [0.13, 0.13]], 200, seed=0)
    rows = anchor_fit.compare({"train": boxes}, {"train": np.zeros(400, int)}, ("person",), config)["anchors"]
    assert rows["configured"]["settings"] == []
    assert rows["proposed"]["num_anchors"] == rows["configured"]["num_anchors"] < rows["more anchors"]["num_anchors"]
    for name in ("proposed", "more anchors"):
        changed = config.replace(configs.parse_overrides(rows[name]["settings"]))
        ious = anchor_fit.best_ious(boxes, GRID, changed.anchors)
        assert anchor_fit.recall(ious) == rows[name]["recall"]["train"]["all"]["recall"]
        assert len(changed.anchors.aspect_ratios) == 5


def test_only_the_train_split_proposes():
    config = ExperimentConfig().replace({"input.image_size": 128, "model.first_stride": 8})
    train, others = scattered([[0.09, 0.03]], 200, seed=0), scattered([[0.5, 0.3]], 200, seed=1)
    labels = np.zeros(200, int)
    found = [
        anchor_fit.compare({"train": train, "val": val}, {"train": labels, "val": labels}, ("person",), config)
        for val in (train, others)
    ]
    assert found[0]["anchors"]["proposed"]["settings"] == found[1]["anchors"]["proposed"]["settings"]
    alone = anchor_fit.compare({"val": others}, {"val": labels}, ("person",), config)
    assert list(alone["anchors"]) == ["configured"]


def test_boxes_too_small_for_the_finest_level_are_counted():
    config = ExperimentConfig().replace({"input.image_size": 128, "model.first_stride": 8})
    boxes = np.concatenate([scattered([[0.05, 0.05]], 1, 0), scattered([[0.2, 0.2]], 3, 0)])
    found = anchor_fit.compare({"val": boxes}, {"val": np.zeros(4, int)}, ("person",), config)["small_boxes"]
    assert found == {"below_px": 12.0, "share": {"val": 0.25}}
