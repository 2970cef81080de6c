"""Recall by position, on boxes drawn by hand."""

import json
import pickle

import numpy as np
import pytest

from models.evaluation import spatial_recall, spatial_recall_plot
from models.evaluation.coco import ImageResult

NAMES = ["car", "person"]
HALF = spatial_recall.CELLS // 2
LEFT, RIGHT = [0.0, 0.0, 1.0, 0.5], [0.0, 0.5, 1.0, 1.0]


def image(objects, detections, width=100, height=100) -> ImageResult:
    """Makes a result of (box, class, area, is_crowd) objects and (box, class, score) detections."""
    return ImageResult(
        gt_boxes=np.array([box for box, *_ in objects], np.float32).reshape(-1, 4),
        gt_labels=np.array([label for _, label, *_ in objects], np.int32),
        gt_is_crowd=np.array([bool(crowd) for *_, crowd in objects], bool),
        gt_area_px=np.array([area for _, _, area, _ in objects], np.float64),
        det_boxes=np.array([box for box, *_ in detections], np.float32).reshape(-1, 4),
        det_scores=np.array([score for *_, score in detections], np.float32),
        det_classes=np.array([label for _, label, _ in detections], np.int32),
        height=height,
        width=width,
    )


def test_a_case_by_hand() -> None:
    """Two cars on the left, of which one is found; a person on the right that a sure box of a car misses."""
    first = image([(LEFT, 0, 500.0, 0), (RIGHT, 1, 2000.0, 0)], [(LEFT, 0, 0.9), (RIGHT, 0, 0.9)])
    second = image([([0.0, 0.0, 0.5, 0.5], 0, 10_000.0, 0)], [])
    found = spatial_recall.spatial_recall([first, second], NAMES, 0.3)
    recall = found.recall()
    assert found.names == ("all", "small", "medium", "large", "car", "person")
    whole = recall[0]
    assert np.all(whole[:HALF, :HALF] == 0.5)  # one of two boxes that cover it
    assert np.all(whole[HALF:, :HALF] == 1.0)  # the found one alone
    assert np.all(whole[:, HALF:] == 0.0)  # the person alone
    assert np.array_equal(recall[4][:, :HALF], whole[:, :HALF])
    assert np.isnan(recall[4][:, HALF:]).all()  # no car there
    assert np.all(recall[5][:, HALF:] == 0.0)
    assert np.all(recall[1][:, :HALF] == 1.0)  # small: the found car
    assert np.all(recall[3][:HALF, :HALF] == 0.0)  # large: the other one
    hits, objects = found.totals()
    assert hits.tolist() == [1, 1, 0, 0, 1, 0]
    assert objects.tolist() == [3, 1, 1, 1, 2, 1]


def test_sides_of_coco_s_sizes_and_of_cells() -> None:
    """Of an area of 32² px an object is medium, of 96² px large; half a cell belongs to who has its centre."""
    half_a_cell = 0.5 / spatial_recall.CELLS
    objects = [([0.0, 0.0, half_a_cell * 1.5, 1.0], 0, 32.0**2, 0), ([0.5, 0.5, 1.0, 1.0], 0, 96.0**2, 0)]
    found = spatial_recall.spatial_recall([image(objects, [])], NAMES, 0.3)
    assert found.totals()[1].tolist() == [2, 0, 1, 1, 2, 0]
    assert found.objects[2].sum(axis=1).tolist() == [spatial_recall.CELLS] + [0] * (spatial_recall.CELLS - 1)


def test_an_object_between_the_centres_of_cells_counts_in_one_cell() -> None:
    tiny = [0.5, 0.25, 0.5 + 1e-4, 0.25 + 1e-4]
    found = spatial_recall.spatial_recall([image([(tiny, 1, 1.0, 0)], [(tiny, 1, 0.9)])], NAMES, 0.3)
    assert np.argwhere(found.objects[0]).tolist() == [[HALF, HALF // 2]]
    assert found.found[0].sum() == 1


def test_regions_to_ignore_sure_and_unsure_detections() -> None:
    objects = [(LEFT, 0, 500.0, 1), (RIGHT, 0, 500.0, 0)]
    for score, hits in ((0.29, 0), (0.3, 1)):
        found = spatial_recall.spatial_recall([image(objects, [(RIGHT, 0, score)])], NAMES, 0.3)
        assert (found.totals()[0][0], found.totals()[1][0]) == (hits, 1)


def test_no_image_and_no_object() -> None:
    for results in ([], [image([], [(LEFT, 0, 0.9)])]):
        found = spatial_recall.spatial_recall(results, NAMES, 0.3)
        assert np.isnan(found.recall()).all()
        assert json.dumps(found.summary(), allow_nan=False)
        assert spatial_recall_plot.plot(found, "Recall by position").startswith(b"\x89PNG")


def corners(count, blind):
    """Yields images with an object in each corner; those in one corner are found only now and then."""
    boxes = {"top left": [0.05, 0.05, 0.25, 0.25], "bottom right": [0.7, 0.7, 0.9, 0.9]}
    for number in range(count):
        objects = [(box, 0, 500.0, 0) for box in boxes.values()]
        seen = [(box, 0, 0.9) for name, box in boxes.items() if name != blind or number % 4 == 0]
        yield image(objects, seen)


def test_a_blind_corner_is_named_and_a_seeing_one_is_not() -> None:
    weak = spatial_recall.spatial_recall(corners(40, "bottom right"), NAMES, 0.3).weak_parts()
    assert weak == [{"part": "bottom right", "objects": 40, "recall": 0.25, "recall_elsewhere": 1.0}]
    assert spatial_recall.spatial_recall(corners(40, None), NAMES, 0.3).weak_parts() == []
    assert spatial_recall.spatial_recall(corners(9, "bottom right"), NAMES, 0.3).weak_parts() == []  # too few


def test_bytes_bring_back_what_was_packed() -> None:
    found = spatial_recall.spatial_recall(corners(5, "top left"), NAMES, 0.3)
    back = spatial_recall.SpatialRecall.from_bytes(found.to_bytes())
    assert back.summary() == found.summary()
    assert np.array_equal(back.recall(), found.recall(), equal_nan=True)
    assert (back.class_names, back.aspect_ratio) == (("car", "person"), 1.0)
    with pytest.raises(ValueError, match="needs the bytes of"):
        spatial_recall.SpatialRecall.from_bytes(b"something else")


def test_memory_does_not_grow_with_the_images() -> None:
    counter, sizes = spatial_recall.Counter(NAMES, 0.3), []
    for _ in range(2):
        for result in corners(20, "top left"):
            counter.add(result)
        sizes.append(len(pickle.dumps(counter)))
    assert sizes[0] == sizes[1]
    assert counter.result().totals()[1][0] == 80
