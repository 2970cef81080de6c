"""TensorFlow's kernel in the served model gives what the suppression of training does."""

import numpy as np
import pytest

from benchmarks import nms
from models.export import kernel_suppression
from models.hyperparameters import PostprocessConfig
from models.network import suppression


def both(boxes: np.ndarray, scores: np.ndarray, **settings) -> tuple[dict, dict]:
    values = PostprocessConfig(**settings)
    found = (module.detect(boxes, scores, values) for module in (kernel_suppression, suppression))
    return tuple({name: np.asarray(value) for name, value in one.items()} for one in found)


@pytest.mark.parametrize("anchors", [30, 1000])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"nms_candidates": 20},
        {"max_per_class": 3},
        {"max_detections": 5},
        {"score_threshold": 0.0, "nms_iou": 0.0},
        {"score_threshold": 1.0},
        {"nms_iou": 1.0, "max_detections": 1000, "max_per_class": 1000},
    ],
    ids=str,
)
def test_both_find_the_same(anchors, settings) -> None:
    """Images with clusters of boxes around a few objects, and one without any."""
    boxes, scores = nms.detector_like(0, 3, anchors, 4)
    scores[2] = 0.0
    found, expected = both(boxes, scores, **settings)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    assert found["num_detections"][2] == 0


def test_a_score_that_equals_the_threshold_counts() -> None:
    boxes = np.array([[[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.6, 0.6]]], np.float32)
    scores = np.array([[[0.3], [np.nextafter(np.float32(0.3), np.float32(0))]]], np.float32)
    found, expected = both(boxes, scores, score_threshold=0.3)
    assert found["num_detections"].tolist() == expected["num_detections"].tolist() == [1]


def test_of_boxes_with_equal_scores_as_many_are_found() -> None:
    """As in an image of one colour: which of them comes first is open, the scores are not."""
    boxes, scores = nms.detector_like(1, 2, 200, 3)
    found, expected = both(boxes, np.round(scores, 1), nms_iou=1.0, max_detections=20)
    np.testing.assert_array_equal(found["detection_scores"], expected["detection_scores"])
    np.testing.assert_array_equal(found["num_detections"], expected["num_detections"])
