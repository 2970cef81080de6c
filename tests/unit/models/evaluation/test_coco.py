"""COCO metrics: equal to pycocotools and to published figures, defined at the edges, silent."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import evaluation as peer
from models.evaluation import coco
from models.evaluation.coco import ImageResult, coco_metrics

CLASS_NAMES = ("person", "bicycle", "car")
TOLERANCE = 1e-6  # the product's promise; the measured difference is rounding of float64 means (1e-16)


def _image(gt=(), detections=(), height=480, width=640, crowd=None, area_px=None) -> ImageResult:
    """Makes a result from (label, ymin, xmin, ymax, xmax) and (class, score, ymin, xmin, ymax, xmax) rows."""
    gt = np.array(gt, np.float64).reshape(-1, 5)
    detections = np.array(detections, np.float64).reshape(-1, 6)
    sides = gt[:, 3:] - gt[:, 1:3]
    return ImageResult(
        gt_boxes=gt[:, 1:],
        gt_labels=gt[:, 0].astype(int),
        gt_is_crowd=np.zeros(len(gt), bool) if crowd is None else np.array(crowd, bool),
        gt_area_px=sides.prod(axis=1) * height * width if area_px is None else np.array(area_px, float),
        det_boxes=detections[:, 2:],
        det_scores=detections[:, 1],
        det_classes=detections[:, 0].astype(int),
        height=height,
        width=width,
    )


def _perfect(result: ImageResult) -> ImageResult:
    """Replaces the detections by the objects that are not crowds."""
    keep = ~result.gt_is_crowd
    boxes = result.gt_boxes[keep]
    scores = np.full(len(boxes), 0.5, np.float32)
    return dataclasses.replace(result, det_boxes=boxes, det_scores=scores, det_classes=result.gt_labels[keep])


def _corners(draw, count: int) -> np.ndarray:
    """Draws boxes on a coarse grid, so that exact overlaps and ties of IoU are frequent."""
    grid = 16
    starts = draw(st.lists(st.tuples(*[st.integers(0, grid - 1)] * 2), min_size=count, max_size=count))
    sides = draw(st.lists(st.tuples(*[st.integers(1, grid)] * 2), min_size=count, max_size=count))
    starts, sides = np.array(starts).reshape(-1, 2), np.array(sides).reshape(-1, 2)
    return (np.concatenate([starts, np.minimum(starts + sides, grid)], axis=1) / grid).astype(np.float32)


@st.composite
def _results(draw) -> list[ImageResult]:
    results = []
    for _ in range(draw(st.integers(0, 5))):
        num_objects, num_detections = draw(st.integers(0, 5)), draw(st.integers(0, 9))
        labels = st.integers(0, len(CLASS_NAMES) - 1)
        height, width = draw(st.sampled_from([(24, 32), (96, 128), (480, 640)]))
        gt_boxes, det_boxes = _corners(draw, num_objects), _corners(draw, num_detections)
        copied = draw(st.integers(0, min(num_objects, num_detections)))
        det_boxes[:copied] = gt_boxes[:copied]
        results.append(
            ImageResult(
                gt_boxes=gt_boxes,
                gt_labels=np.array(draw(st.lists(labels, min_size=num_objects, max_size=num_objects)), int),
                gt_is_crowd=np.array(draw(st.lists(st.booleans(), min_size=num_objects, max_size=num_objects)), bool),
                gt_area_px=(gt_boxes[:, 2:] - gt_boxes[:, :2]).prod(axis=1) * height * width,
                det_boxes=det_boxes,
                # Eleven possible scores: ties within an image and between images.
                det_scores=np.array(
                    draw(st.lists(st.integers(0, 10), min_size=num_detections, max_size=num_detections)),
                    np.float32,
                )
                / 10,
                det_classes=np.array(draw(st.lists(labels, min_size=num_detections, max_size=num_detections)), int),
                height=height,
                width=width,
            )
        )
    return results


@settings(max_examples=150, deadline=None)
@given(_results())
def test_equals_pycocotools_on_drawn_images(results):
    ours = coco_metrics(results, CLASS_NAMES)
    theirs = peer.pycocotools_metrics(results, CLASS_NAMES)
    assert peer.largest_difference(ours, theirs) <= TOLERANCE, (ours, theirs)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_pycocotools_on_crowded_images_of_all_sizes(seed):
    results = peer.random_results(seed, num_images=40, detections=130)  # more than the 100 COCO counts
    ours = coco_metrics(results, CLASS_NAMES)
    assert not any(math.isnan(value) for value in ours.values())
    assert 0.05 < ours["AP"] < 0.95
    assert peer.largest_difference(ours, peer.pycocotools_metrics(results, CLASS_NAMES)) <= TOLERANCE


@settings(max_examples=30, deadline=None)
@given(_results())
def test_perfect_detections_score_one_and_none_score_zero(results):
    without_crowds = [dataclasses.replace(r, gt_is_crowd=np.zeros(len(r.gt_labels), bool)) for r in results]
    perfect = coco_metrics([_perfect(r) for r in without_crowds], CLASS_NAMES)
    nothing = {"det_boxes": np.zeros((0, 4)), "det_scores": np.zeros(0), "det_classes": np.zeros(0)}
    none = coco_metrics([dataclasses.replace(r, **nothing) for r in without_crowds], CLASS_NAMES)
    present = {name for label, name in enumerate(CLASS_NAMES) if any(label in r.gt_labels for r in results)}
    for name in CLASS_NAMES:
        expected = [1.0, 0.0] if name in present else [math.nan, math.nan]
        assert [perfect[f"AP/{name}"], none[f"AP/{name}"]] == pytest.approx(expected, nan_ok=True)
    both = [perfect["AP"], perfect["AP50"], none["AP"], none["AR_100"]]
    assert both == pytest.approx([1, 1, 0, 0] if present else [math.nan] * 4, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_order_of_images_and_of_detections_does_not_matter_without_ties(seed):
    rng = np.random.default_rng(seed)
    results = peer.random_results(seed, num_images=6, detections=10)
    scores = rng.permutation(60).astype(np.float32).reshape(6, 10) / 60
    results = [dataclasses.replace(r, det_scores=s) for r, s in zip(results, scores, strict=True)]
    shuffled = []
    for i in rng.permutation(6):
        order = rng.permutation(10)
        names = ("det_boxes", "det_scores", "det_classes")
        columns = {name: getattr(results[i], name)[order] for name in names}
        shuffled.append(dataclasses.replace(results[i], **columns))
    expected = coco_metrics(results, CLASS_NAMES)
    assert coco_metrics(shuffled, CLASS_NAMES) == pytest.approx(expected, nan_ok=True)


def test_no_images_and_no_ground_truth_are_nan_not_minus_one():
    only_detections = [_image(detections=[(0, 0.9, 0.1, 0.1, 0.5, 0.5)])]
    for results in ([], [_image()], only_detections):
        metrics = coco_metrics(results, CLASS_NAMES)
        assert len(metrics) == 12 + 2 * len(CLASS_NAMES)
        assert all(math.isnan(value) for value in metrics.values())


def test_a_class_without_ground_truth_is_left_out_of_the_mean():
    detections = [(0, 0.9, 0, 0, 0.5, 0.5), (2, 0.8, 0, 0, 0.5, 0.5)]
    metrics = coco_metrics([_image([(0, 0, 0, 0.5, 0.5)], detections)], CLASS_NAMES)
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["AP/person"] == pytest.approx(1)
    assert math.isnan(metrics["AP/car"])


def test_a_detection_inside_a_crowd_is_neither_hit_nor_false_alarm():
    objects = [(0, 0.0, 0.0, 0.2, 0.2), (0, 0.5, 0.0, 1.0, 1.0)]
    hit, in_crowd = (0, 0.5, 0.0, 0.0, 0.2, 0.2), (0, 0.9, 0.6, 0.1, 0.7, 0.2)
    as_crowd = coco_metrics([_image(objects, [hit, in_crowd], crowd=[False, True])], CLASS_NAMES)
    as_object = coco_metrics([_image(objects, [hit, in_crowd])], CLASS_NAMES)
    assert as_crowd["AP50"] == pytest.approx(1)
    assert as_object["AP50"] < 0.6


def test_area_range_comes_from_the_annotated_area_not_from_the_box():
    box = (0, 0.0, 0.0, 0.5, 0.5)  # 240 x 320 px: large as a box
    metrics = coco_metrics([_image([box], [(0, 0.9, *box[1:])], area_px=[20 * 20])], CLASS_NAMES)
    assert metrics["AP_small"] == pytest.approx(1)
    assert math.isnan(metrics["AP_large"])


def test_iou_is_measured_in_pixels_and_boxes_are_y_first():
    # By hand: image 100 x 200 px; object in rows 0-50, columns 0-100; detection in columns 0-60: IoU 0.6.
    image = _image([(0, 0, 0, 0.5, 0.5)], [(0, 0.9, 0, 0, 0.5, 0.3)], height=100, width=200)
    metrics = coco_metrics([image], ["person"])
    assert metrics["AP50"] == pytest.approx(1)
    assert metrics["AP75"] == pytest.approx(0)
    assert metrics["AP"] == pytest.approx(0.3)  # thresholds .50, .55, .60 of ten


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gt_labels": np.array([-1])}, "`gt_labels` needs labels from 0 to 2.*got -1.*padding"),
        ({"det_classes": np.array([3])}, "`det_classes` needs labels from 0 to 2.*got 3"),
        ({"det_scores": np.array([np.nan])}, "`det_scores` needs finite numbers.*diverge"),
        ({"det_boxes": np.full((1, 4), np.inf)}, "`det_boxes` needs finite numbers"),
        ({"gt_area_px": np.zeros(2)}, "as many rows.*'gt_area_px': 2.* in image number 0"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(change, message):
    image = _image([(0, 0, 0, 0.5, 0.5)], [(0, 0.9, 0, 0, 0.5, 0.5)])
    with pytest.raises(ValueError, match=message):
        coco_metrics([dataclasses.replace(image, **change)], CLASS_NAMES)


@pytest.mark.parametrize("class_names", [[], ["car", "car"]])
def test_class_names_must_be_unique_and_present(class_names):
    with pytest.raises(ValueError, match="`class_names` needs at least one name and each once"):
        coco_metrics([], class_names)


def test_nothing_is_printed(capfd):
    coco_metrics([_image([(0, 0, 0, 0.5, 0.5)], [(0, 0.9, 0, 0, 0.5, 0.5)])], CLASS_NAMES)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_json_has_null_where_there_is_no_ground_truth():
    metrics = coco_metrics([_image([(0, 0, 0, 0.5, 0.5)], [(0, 0.9, 0, 0, 0.5, 0.5)])], CLASS_NAMES)
    numbers = json.loads(json.dumps(coco.to_json_numbers(metrics), allow_nan=False))
    assert list(numbers) == list(metrics)
    assert numbers["AP_small"] is None
    assert numbers["AP50"] == pytest.approx(1)


# --- Published figures: Padilla et al., "toy example" of object_detection_metrics, class cat, 10 images. ---


@pytest.fixture(scope="module")
def padilla_results(shared_data) -> list[ImageResult]:
    folder = shared_data / "eval_fixtures" / "toyexample_padilla"
    truth = json.loads((folder / "gts_coco_format" / "toy_example_coco.JSON").read_text())
    detections = json.loads((folder / "dets_coco_format" / "coco_dets.json").read_text())["annotations"]
    return [_padilla_image(image, truth["annotations"], detections) for image in truth["images"]]


def _padilla_image(image: dict, objects: list[dict], detections: list[dict]) -> ImageResult:
    def rows(annotations, *keys):
        mine = [a for a in annotations if a["image_id"] == image["id"]]
        scale = image["height"], image["width"]
        corners = [
            (y / scale[0], x / scale[1], (y + h) / scale[0], (x + w) / scale[1])
            for x, y, w, h in (a["bbox"] for a in mine)
        ]
        return [(a["category_id"], *(a[key] for key in keys), *c) for a, c in zip(mine, corners, strict=True)]

    return _image(rows(objects), rows(detections, "score"), image["height"], image["width"])


def _voc_ap(results: list[ImageResult], threshold_index: int) -> tuple[float, float]:
    """Returns VOC's (11-point, all-point) AP from the engine's matches at one IoU threshold."""
    all_areas = [0.0, 1e10]
    images = coco.evaluate(results, ["cat"]).eval_imgs
    images = [e for e in images if e and e["aRng"] == all_areas]
    scores = np.concatenate([e["dtScores"] for e in images])
    hits = np.concatenate([np.array(e["dtMatches"][threshold_index]) > 0 for e in images])
    hits = hits[np.argsort(-scores, kind="stable")]
    recall = np.cumsum(hits) / sum(len(e["gtIds"]) for e in images)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    eleven = np.mean([max(envelope[recall >= r], default=0.0) for r in np.linspace(0, 1, 11)])
    return float(eleven), float(np.sum(np.diff(recall, prepend=0.0) * envelope))


@pytest.mark.parametrize(
    ("threshold_index", "eleven_percent", "all_points_percent"), [(0, 88.64, 89.58), (5, 49.24, 50.97)]
)
def test_our_matches_give_the_published_voc_figures(
    padilla_results, threshold_index, eleven_percent, all_points_percent
):
    """The published numbers interpolate as VOC does; from our matches they come out to the last digit."""
    eleven, all_points = _voc_ap(padilla_results, threshold_index)
    assert 100 * eleven == pytest.approx(eleven_percent, abs=0.005)  # printed with two decimals
    assert 100 * all_points == pytest.approx(all_points_percent, abs=0.005)


def test_coco_numbers_are_near_the_published_all_point_figures(padilla_results):
    """COCO averages the same falling curve at 101 recalls; its integral differs by at most 1/101."""
    metrics = coco_metrics(padilla_results, ["cat"])
    assert metrics["AP50"] == pytest.approx(0.8958, abs=0.01)
    assert metrics["AP75"] == pytest.approx(0.5097, abs=0.01)
    assert peer.largest_difference(metrics, peer.pycocotools_metrics(padilla_results, ["cat"])) <= TOLERANCE
