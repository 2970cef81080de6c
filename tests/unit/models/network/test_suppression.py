"""In-graph suppression against the plain greedy loop."""

import numpy as np
import pytest
from box_references import greedy_nms
from boxes_strategy import make_boxes, seeds
from hypothesis import given, settings

from data import tiles
from models.hyperparameters import PostprocessConfig
from models.network import suppression


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_suppression_equals_the_greedy_loop(rng: np.random.Generator) -> None:
    """Crowded boxes, so that chains of suppression occur."""
    centre = make_boxes(rng, 1, smallest=0.3)
    boxes = np.clip(centre + rng.normal(0, 0.06, (25, 4)), 0, 1).astype(np.float32)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.02)
    scores = np.sort(rng.random(25)).astype(np.float32)[::-1].copy()
    scores[-3:] = 0.0
    found = np.asarray(suppression.suppress(boxes, scores, 0.4))
    assert np.flatnonzero(found).tolist() == greedy_nms(boxes, scores, 0.4)


def detect(boxes: np.ndarray, scores: np.ndarray, **settings_: float) -> dict[str, np.ndarray]:
    """Runs `postprocess.detect` with defaults."""
    values = PostprocessConfig(**{"score_threshold": 0.1, "nms_iou": 0.5, "max_detections": 4} | settings_)
    return {name: np.asarray(value) for name, value in suppression.detect(boxes, scores, values).items()}


def test_classes_do_not_suppress_each_other() -> None:
    """The same box as two classes stays twice; twice as one class once."""
    boxes = np.array([[[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.51]]], np.float32)
    found = detect(boxes, np.array([[[0.9, 0.3], [0.8, 0.7]]], np.float32))
    assert found["num_detections"].tolist() == [2]
    assert found["detection_classes"][0, :2].tolist() == [0, 1]
    assert found["detection_scores"][0] == pytest.approx([0.9, 0.7, 0.0, 0.0])
    assert found["detection_boxes"][0, 1] == pytest.approx([0.1, 0.1, 0.5, 0.51])
    assert not found["detection_boxes"][0, 2:].any()


def test_scores_below_the_threshold_give_nothing() -> None:
    """An image without detections is all zeros."""
    found = detect(make_boxes(np.random.default_rng(0), 1, 6), np.full((1, 6, 2), 0.05, np.float32))
    assert found["num_detections"].tolist() == [0]
    assert not found["detection_boxes"].any()
    assert not found["detection_scores"].any()


def test_boxes_are_clipped_and_counted_up_to_the_maximum() -> None:
    """Six separate boxes, four kept: the best four."""
    boxes = np.array([[[i / 6, -0.2, (i + 1) / 6, 1.2] for i in range(6)]], np.float32)
    scores = np.linspace(0.3, 0.8, 6, dtype=np.float32)[None, :, None]
    found = detect(boxes, scores)
    assert found["num_detections"].tolist() == [4]
    assert found["detection_scores"][0] == pytest.approx([0.8, 0.7, 0.6, 0.5], abs=1e-6)
    assert found["detection_boxes"].min() == 0.0
    assert found["detection_boxes"].max() == 1.0


def greedy_detections(boxes: np.ndarray, scores: np.ndarray, config: PostprocessConfig) -> list[tuple]:
    """Lists (score, class, anchor) of one image as a plain loop over the classes finds them, best first."""
    found = []
    for label in range(scores.shape[1]):
        order = np.argsort(-scores[:, label], kind="stable")[: config.nms_candidates]
        order = order[scores[order, label] >= config.score_threshold]
        kept = greedy_nms(boxes[order], scores[order, label], config.nms_iou)[: config.max_per_class]
        found += [(float(scores[order[row], label]), label, int(order[row])) for row in kept]
    return sorted(found, key=lambda one: (-one[0], one[2], one[1]))[: config.max_detections]


@pytest.mark.parametrize(
    ("levels", "changes"),
    [
        (None, {}),
        (None, {"max_per_class": 3}),
        (None, {"nms_candidates": 50}),
        (40, {"score_threshold": 0.0001}),  # many equal scores
    ],
    ids=["plain", "limit a class", "few candidates", "equal scores"],
)
def test_thousands_of_scores_give_what_the_greedy_loop_does(levels, changes) -> None:
    """More than are sorted at once, so crowded that the detections are never filled."""
    rng = np.random.default_rng(0)
    centres = make_boxes(rng, 3, smallest=0.4)[rng.integers(0, 3, (2, 700))]
    boxes = np.clip(centres + rng.normal(0, 0.02, (2, 700, 4)), 0, 1).astype(np.float32)
    scores = rng.random((2, 700, 3)).astype(np.float32)
    scores = scores if levels is None else np.round(scores * levels).astype(np.float32) / levels
    config = PostprocessConfig(**{"score_threshold": 0.05, "nms_iou": 0.5, "nms_candidates": 700, **changes})
    found = {name: np.asarray(value) for name, value in suppression.detect(boxes, scores, config).items()}
    for row in range(2):
        expected = greedy_detections(boxes[row], scores[row], config)
        count = found["num_detections"][row]
        assert count == len(expected) < config.max_detections
        assert found["detection_scores"][row, :count].tolist() == [score for score, _, _ in expected]
        assert found["detection_classes"][row, :count].tolist() == [label for _, label, _ in expected]
        assert (found["detection_boxes"][row, :count] == boxes[row][[anchor for _, _, anchor in expected]]).all()


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_suppressing_twice_changes_nothing(rng: np.random.Generator) -> None:
    """The kept boxes do not suppress each other."""
    boxes = make_boxes(rng, 30)
    scores = np.sort(rng.random(30)).astype(np.float32)[::-1].copy()
    kept = np.asarray(suppression.suppress(boxes, scores, 0.3))
    again = np.asarray(suppression.suppress(boxes[kept], scores[kept], 0.3))
    assert again.all()


def test_of_an_object_on_a_border_the_tile_that_sees_it_whole_counts():
    grid = tiles.TileGrid(1, 2, 50)
    windows = np.array([[[0, 0, 1, 2 / 3], [0, 1 / 3, 1, 1]]], np.float32)
    # An object from 0.55 to 0.75 of the image: the left tile sees a fragment of it, the right one all.
    boxes = np.array([[[[0.4, 0.825, 0.6, 1.0]], [[0.4, 0.325, 0.6, 0.625]]]], np.float32)
    merged, scores = suppression.merge_tiles(boxes, np.full((1, 2, 1, 1), 0.9, np.float32), windows, grid.cells())
    np.testing.assert_allclose(merged[0], [[0.4, 0.55, 0.6, 2 / 3], [0.4, 0.55, 0.6, 0.75]], atol=1e-6)
    np.testing.assert_allclose(np.asarray(scores)[0, :, 0], [0.0, 0.9])


def seen_in_tiles(grid: tiles.TileGrid, objects: list[tuple[float, ...]], classes: list[int]) -> dict[str, np.ndarray]:
    """Detects in each tile the parts of objects that lie in it, the better the larger, as a perfect network would."""
    windows = np.array([grid.windows_px(1000, 1000)], np.float64)  # [1, T, 4] top, left, height, width
    windows[..., 2:] += windows[..., :2]
    windows = (windows / 1000).astype(np.float32)
    boxes = np.zeros((1, grid.count, len(objects), 4), np.float32)
    scores = np.zeros((1, grid.count, len(objects), 3), np.float32)
    for tile, (top, left, bottom, right) in enumerate(windows[0]):
        for row, (box, label) in enumerate(zip(objects, classes, strict=True)):
            sides = np.array([bottom - top, right - left] * 2)
            part = np.clip((np.array(box) - [top, left, top, left]) / sides, 0, 1)
            area = (part[2] - part[0]) * (part[3] - part[1])
            boxes[0, tile, row], scores[0, tile, row, label] = part, 0.5 + 0.4 * area if area > 0 else 0.0
    merged = suppression.merge_tiles(boxes, scores, windows, grid.cells())
    found = suppression.join_fragments(suppression.detect(*merged, PostprocessConfig()), windows)
    return {name: np.asarray(value)[0] for name, value in found.items()}


@pytest.mark.parametrize(
    ("grid", "box"),
    [
        ("1x2:0.2", (0.3, 0.2, 0.5, 0.9)),  # wider than the overlap
        ("2x1:0.2", (0.1, 0.4, 0.8, 0.6)),
        ("1x3:0.2", (0.2, 0.05, 0.9, 0.95)),  # over three tiles
        ("2x2:0.2", (0.1, 0.15, 0.95, 0.9)),  # over four
        ("2x2:0.2", (0.1, 0.1, 0.2, 0.2)),  # in one
        ("1x2:0.5", (0.4, 0.55, 0.6, 0.75)),  # whole in the second
    ],
)
def test_an_object_is_one_detection_however_the_tiles_cut_it(grid, box):
    found = seen_in_tiles(tiles.parse_grid(grid), [box], [1])
    assert found["num_detections"] == 1
    assert found["detection_classes"][0] == 1
    np.testing.assert_allclose(found["detection_boxes"][0], box, atol=2e-3)
    assert not found["detection_boxes"][1:].any()


def test_neighbours_of_other_classes_or_heights_stay_apart():
    """Each two end and begin where tiles do, as parts of one object would."""
    apart = [(0.1, 0.3, 0.3, 0.555), (0.1, 0.445, 0.3, 0.7), (0.5, 0.3, 0.6, 0.555), (0.7, 0.445, 0.9, 0.7)]
    found = seen_in_tiles(tiles.parse_grid("1x2:0.2"), apart, [0, 1, 2, 2])
    assert found["num_detections"] == 4
