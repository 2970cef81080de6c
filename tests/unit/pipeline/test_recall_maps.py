"""Recall by position of a run: files of the report, and a picture in TensorBoard."""

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

from benchmarks import evaluation
from data import progress
from data.run_directory import RunDirectory
from models.evaluation import image_results, spatial_recall
from pipeline import recall_maps

NAMES = ("person", "bicycle", "car")


@pytest.fixture
def images():
    results = evaluation.random_results(3, 12, detections=6, height=48, width=64)
    ids = tuple(f"{number:02d}" for number in range(12))
    return image_results.ImageResults(NAMES, ids, np.zeros(12, np.uint32), tuple(results))


def test_report_and_tensorboard_have_the_maps_of_the_last_model(images, tmp_path) -> None:
    paths = RunDirectory(tmp_path)
    for epoch in (3, 7):
        recall_maps.write(paths, images.to_bytes(), epoch)
    found = spatial_recall.SpatialRecall.from_bytes((paths.report / spatial_recall.FILE_NAME).read_bytes())
    assert found.totals()[1][0] == sum(int((~one.gt_is_crowd).sum()) for one in images.results)
    assert found.names[4:] == NAMES
    log = event_accumulator.EventAccumulator(str(paths.test_logs))
    log.Reload()
    (tensor,) = log.Tensors(recall_maps.TAG)  # one alone: the earlier model's is gone
    assert tensor.step == 7
    width, height, picture = tensor.tensor_proto.string_val
    assert picture.startswith(b"\x89PNG")
    assert int(width) > int(height) > 100
    assert (paths.report / spatial_recall.PLOT_NAME).read_bytes().startswith(b"\x89PNG")


def test_a_blind_corner_is_said(tmp_path) -> None:
    def result(number):
        boxes = np.array([[0.05, 0.05, 0.25, 0.25], [0.7, 0.7, 0.9, 0.9]], np.float32)
        (one,) = evaluation.random_results(number, 1, detections=1, height=48, width=64)
        objects = {"gt_boxes": boxes, "gt_labels": np.zeros(2, np.int32), "gt_is_crowd": np.zeros(2, bool)}
        seen = {"det_boxes": boxes[:1], "det_scores": np.array([0.9], np.float32), "det_classes": np.zeros(1, np.int32)}
        return type(one)(**objects, **seen, gt_area_px=np.full(2, 99.0), height=48, width=64)

    images = image_results.ImageResults(
        NAMES, tuple(f"{n:02d}" for n in range(30)), np.zeros(30, np.uint32), tuple(result(n) for n in range(30))
    )
    texts = []
    with progress.listen(lambda kind, fields: texts.append(fields["text"])):
        recall_maps.write(RunDirectory(tmp_path), images.to_bytes(), 1)
    assert texts == [
        "Recall is lower at the bottom right: 0.00 of 30 objects, 1.00 elsewhere (IoU 0.5, scores from 0.3)."
    ]
