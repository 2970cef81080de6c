"""The numbers of the report's sections, on cases done by hand."""

import dataclasses

import numpy as np
import pytest

from models.evaluation import coco, image_results
from pipeline.report import contents, coordinates, curves, matches, mistakes, overview, pictures, spatial, thresholds
from tests import finished_run

LEFT, RIGHT, NOWHERE = [0.1, 0.1, 0.5, 0.4], [0.1, 0.6, 0.5, 0.9], [0.7, 0.1, 0.9, 0.3]


def image(objects, found, size_px=(100, 100)):
    """Makes a result of (box, label) and (box, label, score)."""
    boxes = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    return coco.ImageResult(
        gt_boxes=boxes,
        gt_labels=np.array([label for _, label in objects], np.int32),
        gt_is_crowd=np.zeros(len(objects), bool),
        gt_area_px=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * 1e4,
        det_boxes=np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        det_scores=np.array([score for _, _, score in found], np.float32),
        det_classes=np.array([label for _, label, _ in found], np.int32),
        height=size_px[0],
        width=size_px[1],
    )


def images(*results):
    ids = tuple(f"image-{number}" for number in range(len(results)))
    return image_results.ImageResults(("a", "b"), ids, np.zeros(len(results), np.uint32), results)


@pytest.fixture
def by_hand():
    """Two classes. Of class a: found 0.9, false 0.7, found 0.6, one of three objects is missed. Of b: false 0.3."""
    return images(
        image([(LEFT, 0), (RIGHT, 0)], [(LEFT, 0, 0.9), (NOWHERE, 0, 0.7), (RIGHT, 0, 0.6)]),
        image([(LEFT, 0)], [(NOWHERE, 1, 0.3)]),
    )


def test_matches_are_in_falling_order_of_score(by_hand):
    first, second = matches.by_class(by_hand)
    assert first.scores == pytest.approx([0.9, 0.7, 0.6])
    assert first.is_hit.tolist() == [True, False, True]
    assert (first.num_objects, second.num_objects) == (3, 0)
    assert first.precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert first.recall == pytest.approx([1 / 3, 1 / 3, 2 / 3])


def test_the_best_score_is_where_f1_is_highest(by_hand):
    """F1 from 0.9, 0.7, 0.6, 0.3 on: 2/4, 2/5, 4/6, 4/7."""
    assert matches.best_score(by_hand) == pytest.approx(0.6)
    assert matches.best_score(images(image([(LEFT, 0)], []))) == 0.5


def test_thresholds_for_a_wished_precision_and_recall(by_hand):
    first, second = matches.by_class(by_hand)
    assert thresholds.for_precision(first, 0.9) == pytest.approx((0.9, 1, 1 / 3))
    assert thresholds.for_precision(first, 0.6) == pytest.approx((0.6, 2 / 3, 2 / 3))
    assert thresholds.for_recall(first, 0.5) == pytest.approx((0.6, 2 / 3, 2 / 3))
    assert thresholds.for_recall(first, 0.9) is None
    assert thresholds.for_precision(second, 0.5) is None


def test_detections_of_one_score_stand_or_fall_together():
    """A threshold cannot keep the hit and drop the false one of the same score."""
    found = matches.by_class(images(image([(LEFT, 0)], [(LEFT, 0, 0.5), (NOWHERE, 0, 0.5)])))[0]
    assert thresholds.for_precision(found, 0.9) is None
    assert thresholds.for_recall(found, 0.9) == pytest.approx((0.5, 0.5, 1))


def test_worst_and_best_images(by_hand):
    right = image([(LEFT, 0), (RIGHT, 1)], [(LEFT, 0, 0.9), (RIGHT, 1, 0.8), (NOWHERE, 0, 0.1)])
    empty = image([], [])
    found = images(*by_hand.results, right, empty)
    worst, best = pictures.worst(found, 0.5), pictures.best(found, 0.5)
    assert list(worst) == [1, 0]  # one mistake each; the second found nothing
    assert (worst[0]["tp"], worst[0]["fp"], worst[0]["fn"]) == (2, 1, 0)
    assert list(best) == [2]  # the false detection is below the score, and an empty image shows nothing


def test_a_curve_begins_with_those_it_went_on_from(tmp_path):
    finished_run.write_search(tmp_path, num_trials=9)
    run = contents.read(tmp_path)
    names = [name for name, _ in curves.of_trials(run)]
    assert "0003" in names
    assert "0002" not in names
    assert dict(curves.of_trials(run))["0003"] == run.trials["0003"].curve
    assert curves.rungs(run) == [finished_run.RUNG, finished_run.EPOCHS]
    assert overview.trained_epochs(run) == sum(row["epochs"] or 0 for row in run.rows) - 2 * finished_run.RUNG


def test_axes_of_parallel_coordinates(tmp_path):
    finished_run.write(tmp_path)
    axes = {
        axis["label"]: axis
        for axis in coordinates.make(contents.read(tmp_path)).parts[0].figure["data"][0]["dimensions"]
    }
    assert list(axes) == ["learning_rate", "alpha", "matched_iou", "val mAP@.5"]
    assert min(axes["learning_rate"]["values"]) >= -4
    assert max(axes["learning_rate"]["values"]) <= -1
    assert axes["alpha"]["ticktext"] == ["0.35", "0.5", "1"]
    assert coordinates.short_names(["a.x", "b.x", "c.y"]) == {"a.x": "a.x", "b.x": "b.x", "c.y": "y"}


@pytest.mark.parametrize(
    ("scale", "values", "places", "texts"),
    [
        ("log", [1e-4, None, 1e-2], [-4, -4.5, -2], ["none", "0.0001", "0.00032", "0.001", "0.0032", "0.01"]),
        ("linear", [1.0, 3.0, None], [1, 3, 0.5], ["none", "1", "1.5", "2", "2.5", "3"]),
        ("linear", [2.0, None, 2.0], [2, 1, 2], ["none", "2"]),
        ("log", [0.0, 1.0, 0.5], [0, 1, 0.5], None),
    ],
)
def test_trials_without_a_setting_have_a_tick_below_those_with_it(tmp_path, scale, values, places, texts):
    """A hundred numbers and one trial without are no hundred categories."""
    finished_run.write(tmp_path)
    run = contents.read(tmp_path)
    rows = [run.ranked[0] | {"hyperparameters": {} if one is None else {"loss.l2": one}} for one in values]
    search = {"search": {"ranges": {"loss.l2": {"low": 0.0, "high": 9.0, "scale": scale}}}}
    (axis, _) = (
        coordinates.make(dataclasses.replace(run, rows=rows, search=search)).parts[0].figure["data"][0]["dimensions"]
    )
    assert axis["values"] == pytest.approx(places)
    assert axis.get("ticktext") == texts
    if texts is not None:
        assert axis["tickvals"] == sorted(axis["tickvals"])
        assert len(axis["tickvals"]) == len(texts)


def test_the_interval_of_the_test_result_holds_it(tmp_path):
    finished_run.write(tmp_path)
    run = contents.read(tmp_path)
    words = overview.result(run).split()
    value, low, high = (float(words[place]) for place in (1, words.index("give") + 1, words.index("to") + 1))
    assert low < value < high
    assert "interval" not in overview.result(dataclasses.replace(run, images=None))


def test_a_class_with_the_name_of_the_matrix_own_row_or_column_has_its_own_place(by_hand):
    found = dataclasses.replace(by_hand, class_names=("background", "missed"))
    figure = mistakes._confusion(found, np.arange(9).reshape(3, 3)).figure
    (trace,) = figure["data"]
    assert trace["x"] == trace["y"] == [0, 1, 2]
    assert figure["layout"]["yaxis"]["ticktext"] == ["background", "missed", "background"]
    assert figure["layout"]["xaxis"]["ticktext"] == ["background", "missed", "missed"]
    assert trace["customdata"][2][0] == ["background", "background"]
    assert trace["text"][2] == ["6", "7", "8"]


def test_the_map_of_recall_shows_the_blind_corner(tmp_path):
    """Twenty images: the object on the right is found, the one at the bottom left never is."""
    finished_run.write(tmp_path)
    corner = [0.8, 0.0, 1.0, 0.2]
    results = [image([(RIGHT, 0), (corner, 1)], [(RIGHT, 0, 0.9)]) for _ in range(20)]
    section = spatial.make(dataclasses.replace(contents.read(tmp_path), images=images(*results)))
    text, plot, table = section.parts
    assert "bottom left (0.00 of 20 objects, elsewhere 1.00)" in text.text
    everything, *others = plot.figure["data"]
    assert everything["visible"]
    assert not any(one["visible"] for one in others)
    assert everything["z"][-1][0] == 0.0  # the last row is the bottom
    assert everything["z"][10][24] == 1.0
    assert everything["z"][0][0] is None
    assert ("a", 20, 1.0) in table.rows
    assert ("b", 20, 0.0) in table.rows
