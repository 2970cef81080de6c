"""Kinds of mistakes, each drawn by hand on one object."""

import numpy as np
import pytest

from models.evaluation import error_analysis
from models.evaluation.coco import ImageResult

OBJECT = [0.2, 0.2, 0.6, 0.6]


def result(detections, objects=((OBJECT, 0, False),)) -> ImageResult:
    """Makes a result of (box, class, score) detections and (box, class, is_crowd) objects."""
    return ImageResult(
        gt_boxes=np.array([box for box, *_ in objects], np.float32).reshape(-1, 4),
        gt_labels=np.array([label for _, label, _ in objects], np.int32),
        gt_is_crowd=np.array([crowd for *_, crowd in objects], bool),
        gt_area_px=np.ones(len(objects), np.float32),
        det_boxes=np.array([box for box, *_ in detections], np.float32).reshape(-1, 4),
        det_scores=np.array([score for *_, score in detections], np.float32),
        det_classes=np.array([label for _, label, _ in detections], np.int32),
        height=100,
        width=100,
    )


@pytest.mark.parametrize(
    ("box", "label", "kind", "missed"),
    [
        (OBJECT, 0, "", 0),
        (OBJECT, 1, "class", 0),
        ([0.2, 0.4, 0.6, 0.8], 0, "location", 0),  # IoU 1/3
        ([0.2, 0.4, 0.6, 0.8], 1, "class and location", 1),
        ([0.7, 0.7, 0.9, 0.9], 0, "background", 1),
    ],
)
def test_each_kind_by_hand(box, label, kind, missed) -> None:
    found = error_analysis.image_errors(result([(box, label, 0.9)]), 0.5)
    assert found.detection_kinds == (kind,)
    assert found.missed.sum() == missed
    assert found.counts() == {name: 1 for name in (kind, "missed" if missed else "") if name}


def test_the_less_sure_of_two_is_the_duplicate() -> None:
    found = error_analysis.image_errors(result([(OBJECT, 0, 0.6), (OBJECT, 0, 0.9)]), 0.5)
    assert found.detection_kinds == ("duplicate", "")


def test_detections_below_the_score_do_not_count() -> None:
    found = error_analysis.image_errors(result([(OBJECT, 0, 0.4)]), 0.5)
    assert found.detection_kinds == ("",)
    assert found.missed.tolist() == [True]


def test_a_region_to_ignore_is_neither_missed_nor_background() -> None:
    region = ([0.5, 0.5, 1.0, 1.0], 0, True)
    found = error_analysis.image_errors(result([([0.6, 0.6, 0.8, 0.8], 1, 0.9)], [region]), 0.5)
    assert found.detection_kinds == ("",)
    assert not found.missed.any()


def test_an_image_without_objects_or_detections() -> None:
    assert error_analysis.image_errors(result([], []), 0.5).counts() == {}
    alone = error_analysis.image_errors(result([(OBJECT, 0, 0.9)], []), 0.5)
    assert alone.detection_kinds == ("background",)
