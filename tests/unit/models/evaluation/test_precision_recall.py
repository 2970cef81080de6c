"""Precision and recall by score threshold: values by hand, and AP50 of COCO from the same matches."""

import numpy as np
import pytest

from models.evaluation import coco, precision_recall

BOX, ELSEWHERE = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]


def image(gt, detections) -> coco.ImageResult:
    """Makes a result of (box, label, is_crowd) and (box, label, score)."""
    boxes = np.array([one[0] for one in gt], np.float32).reshape(-1, 4)
    return coco.ImageResult(
        gt_boxes=boxes,
        gt_labels=np.array([one[1] for one in gt], np.int32),
        gt_is_crowd=np.array([one[2] for one in gt], bool),
        gt_area_px=np.full(len(gt), 1600.0, np.float32),
        det_boxes=np.array([one[0] for one in detections], np.float32).reshape(-1, 4),
        det_scores=np.array([one[2] for one in detections], np.float32),
        det_classes=np.array([one[1] for one in detections], np.int32),
        height=100,
        width=100,
    )


def test_counts_are_those_of_a_case_done_by_hand() -> None:
    """Two cars: one is found at 0.8, the other is not; a false car at 0.5. The one bicycle is a crowd: no curve."""
    results = [
        image([(BOX, 0, False), (ELSEWHERE, 1, True)], [(BOX, 0, 0.8), (ELSEWHERE, 1, 0.9)]),
        image([(BOX, 0, False)], [(ELSEWHERE, 0, 0.5)]),
    ]
    curves = precision_recall.precision_recall(results, ["car", "bicycle", "person"], num_thresholds=5)
    assert list(curves) == ["car"]
    car = curves["car"]
    assert car.thresholds.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert car.true_positives.tolist() == [1, 1, 1, 1, 0]
    assert car.false_positives.tolist() == [1, 1, 1, 0, 0]
    assert car.recall.tolist() == [0.5, 0.5, 0.5, 0.5, 0.0]
    assert car.precision.tolist() == [0.5, 0.5, 0.5, 1.0, 1.0]


def test_an_object_without_any_detection_has_no_recall() -> None:
    curves = precision_recall.precision_recall([image([(BOX, 0, False)], [])], ["car"])
    assert not curves["car"].recall.any()
    assert (curves["car"].precision == 1.0).all()


def test_the_area_under_the_fine_curve_is_cocos_ap50() -> None:
    draw = np.random.default_rng(0)
    results = []
    for _ in range(40):
        corners = draw.uniform(0, 0.6, (4, 2))
        boxes = np.concatenate([corners, corners + draw.uniform(0.2, 0.4, (4, 2))], axis=1)
        gt = [(box, int(draw.integers(2)), False) for box in boxes]
        moved = [(box + draw.normal(scale=0.03, size=4), int(draw.integers(2)), draw.uniform()) for box in boxes]
        results.append(image(gt, moved))
    metrics = coco.coco_metrics(results, ["car", "person"])
    for name, curve in precision_recall.precision_recall(results, ["car", "person"], 20_001).items():
        found = curve.true_positives + curve.false_positives > 0
        reached = (found & (curve.recall >= at) for at in np.linspace(0, 1, 101))
        envelope = [curve.precision[one].max(initial=0.0) for one in reached]
        assert np.mean(envelope) == pytest.approx(metrics[f"AP50/{name}"], abs=1e-6)
