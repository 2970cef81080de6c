import dataclasses

import numpy as np
import pytest

from benchmarks import evaluation
from models.evaluation import constancy


@pytest.fixture(scope="module")
def results():
    """Random objects and detections in 20 images."""
    return evaluation.random_results(4, num_images=20, detections=12, max_objects=4)


def answering(results, number):
    """Makes a model that answers each image with what it found in one of them."""
    one = results[number]
    same = {name: getattr(one, name) for name in ("det_boxes", "det_scores", "det_classes")}
    return [dataclasses.replace(result, **same) for result in results]


def with_detections(results, **fields):
    return [dataclasses.replace(result, **{name: make(result) for name, make in fields.items()}) for result in results]


def test_the_same_answer_for_every_image_is_1(results):
    assert constancy.constancy(answering(results, 3)) == pytest.approx(1.0)


def test_a_perfect_model_is_0(results):
    perfect = with_detections(
        results,
        det_boxes=lambda one: one.gt_boxes,
        det_classes=lambda one: one.gt_labels,
        det_scores=lambda one: 1.0 - one.gt_is_crowd,
    )
    assert constancy.constancy(perfect) == pytest.approx(0.0)


def test_random_detections_are_far_from_1(results):
    assert constancy.constancy(results) < 0.3


def test_objects_that_never_move_are_no_fault_of_the_model(results):
    fixed = ("gt_boxes", "gt_labels", "gt_is_crowd", "gt_area_px")
    parked = [dataclasses.replace(one, **{name: getattr(results[0], name) for name in fixed}) for one in results]
    assert constancy.constancy(answering(parked, 3)) == 0.0


def test_detections_count_by_their_scores(results):
    """Below a sure detection, the same sea of unsure ones in every image does not matter."""
    sea = answering(results, 3)
    surer = [
        dataclasses.replace(
            one,
            det_boxes=np.concatenate([one.gt_boxes, noise.det_boxes]),
            det_classes=np.concatenate([one.gt_labels, noise.det_classes]),
            det_scores=np.concatenate([np.ones(len(one.gt_labels)), 0.01 * noise.det_scores]),
        )
        for one, noise in zip(results, sea, strict=True)
    ]
    assert constancy.constancy(surer) < 0.1


def test_other_boxes_scores_and_classes_are_other_answers(results):
    same = answering(results, 3)
    weaker = [
        dataclasses.replace(one, det_scores=one.det_scores * (0.1 if row % 4 < 2 else 1.0))
        for row, one in enumerate(same)
    ]
    assert constancy.constancy(same[:20]) > constancy.constancy(weaker[:18])
    half = len(same) // 2
    renamed = [
        dataclasses.replace(one, det_classes=(one.det_classes + (row >= half)) % 4) for row, one in enumerate(same)
    ]
    assert constancy.constancy(renamed) < 0.5


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_say_nothing(results, count):
    assert constancy.constancy(results[:count]) == 0.0


def test_a_model_that_finds_nothing_is_0(results):
    nothing = with_detections(
        results,
        det_boxes=lambda one: np.zeros((0, 4), np.float32),
        det_classes=lambda one: np.zeros(0, np.int32),
        det_scores=lambda one: np.zeros(0, np.float32),
    )
    assert constancy.constancy(nothing) == 0.0
