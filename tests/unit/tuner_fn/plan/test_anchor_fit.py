"""How anchors cover boxes: hand-drawn cases, the whole grid as reference, planted shapes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.hyperparameters import AnchorConfig, ExperimentConfig
from models.network import anchors
from pipeline import configs
from tuner_fn.plan import anchor_fit, box_shapes

GRID = anchors.make_grid((128, 128), 8, 6)


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


def test_an_anchor_is_compared_with_the_boxes_of_a_level_about_once(monkeypatch):
    """The fit tries some dozens of sides thousands of times; comparing all of them each time took it 10 to 18 s."""
    real, seen = anchor_fit._Level._ious, []

    def counted(level, shape):
        seen.append((id(level), shape))
        return real(level, shape)

    monkeypatch.setattr(anchor_fit._Level, "_ious", counted)
    sides = np.exp(np.random.default_rng(0).normal(-2.5, 0.7, (500, 2))).clip(0.004, 0.5)
    assert anchor_fit.propose(scattered(sides, 1, seed=0), GRID, AnchorConfig(), seed=0)
    assert len(seen) < 1.1 * len(set(seen))


def test_bare_clusters_of_small_boxes_would_not_do():
    """Where most boxes are small, k-means' sides taken as the levels' put small anchors on coarse maps."""
    sides = np.random.default_rng(0).uniform(0.06, 0.12, (300, 2))
    boxes = np.concatenate([scattered(sides, 1, 0), scattered([[0.4, 0.5]], 60, 1)])
    clusters = box_shapes.cluster(boxes[:, 2:] - boxes[:, :2], 6, seed=0)
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


@pytest.mark.parametrize("ratio", [8.0, 1 / 8])
def test_boxes_of_fewer_shapes_than_there_are_ratios_get_theirs(ratio):
    boxes = scattered([[0.2 / ratio**0.5, 0.2 * ratio**0.5]], 50, seed=0)
    config = AnchorConfig(reduce_lowest_level=False)
    found = anchor_fit.propose(boxes, GRID, config, seed=0)
    assert anchor_fit.recall(anchor_fit.best_ious(boxes, GRID, config)) == 0
    assert anchor_fit.recall(anchor_fit.best_ious(boxes, GRID, found)) > 0.5
    farthest = (0.3333, 0.5, 1.0, 2.0) if ratio > 1 else (0.3333, 0.5, 1.0, 3.0)
    assert found.aspect_ratios == tuple(sorted([ratio, *farthest]))


def test_all_ratios_on_the_finest_level_are_offered_where_they_cover_all_as_they_are():
    """Squares lie between two cells of the next level, and the finest one has no anchor of their size as it is."""
    config = ExperimentConfig().replace({"input.image_size": 320, "model.first_stride": 8, "anchors.min_scale": 0.08})
    config = config.replace({"anchors.max_scale": 0.6})
    sides = np.repeat([[0.12, 0.12], [0.08 / 2**0.5, 0.08 * 2**0.5]], 25, axis=0)
    boxes = np.concatenate([0.5 - sides / 2, 0.5 + sides / 2], axis=1)
    rows = anchor_fit.compare({"train": boxes}, {"train": np.zeros(50, int)}, ("car",), config)["anchors"]
    assert rows["more anchors"]["settings"] == ["anchors.reduce_lowest_level=false"]
    assert rows["more anchors"]["recall"]["train"]["all"]["recall"] == 1


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
