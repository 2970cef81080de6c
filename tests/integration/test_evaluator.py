"""The Evaluator for real: TFMA in Beam over TFRecords and SavedModels, thresholds, reasons, the baseline."""

import dataclasses
import functools
import itertools
import math
import zlib

import numpy as np
import pytest
from tfx.components.evaluator import executor
from tfx.types import standard_artifacts, standard_component_specs
from tfx.utils import json_utils, proto_utils

from benchmarks import evaluation as peer
from models.evaluation import coco, image_results, paired_bootstrap
from pipeline import beam_options
from pipeline.components import coco_metric, evaluator
from tests import beam_cluster, tiny_detector
from tuner_fn import objectives

CLASS_NAMES = ["person", "bicycle", "car"]
NUM_IMAGES = 40
TOLERANCE = 1e-6  # the product's promise; only the order of additions may differ


@pytest.fixture(scope="module")
def results():
    drawn = peer.random_results(3, NUM_IMAGES, detections=20)
    return [dataclasses.replace(r, height=60 + i % 7, width=80) for i, r in enumerate(drawn)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, results):
    """Holds the datasets `examples` and `empty`, and the models `good`, `worse`, `unlucky`, `reordered`, `blind`."""
    folder = tmp_path_factory.mktemp("evaluator")
    records = tiny_detector.records_of(results)
    tiny_detector.write_split(folder / "examples" / "Split-test", records, CLASS_NAMES)
    tiny_detector.write_split(folder / "examples" / "Split-train", records[:3], CLASS_NAMES)
    tiny_detector.write_split(folder / "empty" / "Split-test", [], CLASS_NAMES)
    background = [
        dataclasses.replace(
            r,
            gt_boxes=r.gt_boxes[:0],
            gt_labels=r.gt_labels[:0],
            gt_is_crowd=r.gt_is_crowd[:0],
            gt_area_px=r.gt_area_px[:0],
        )
        for r in results
    ]
    tiny_detector.write_split(folder / "no_objects" / "Split-test", tiny_detector.records_of(background), CLASS_NAMES)
    worse = [dataclasses.replace(r, det_scores=(1 - r.det_scores).astype(np.float32)) for r in results]
    drawn = np.random.default_rng(0)  # scores that are not better or worse, only others
    unlucky = [
        dataclasses.replace(r, det_scores=(r.det_scores + drawn.normal(0, 0.01, 20)).clip(0, 1).astype(np.float32))
        for r in results
    ]
    order = np.array([2, 3, 0])  # the same detections, from a model with other label numbers
    reordered = [dataclasses.replace(r, det_classes=order[r.det_classes]) for r in results]
    same = {name: getattr(results[0], name) for name in ("det_boxes", "det_scores", "det_classes")}
    blind = [dataclasses.replace(r, **same) for r in results]
    for name, answers, classes in (
        ("good", results, CLASS_NAMES),
        ("worse", worse, CLASS_NAMES),
        ("unlucky", unlucky, CLASS_NAMES),
        ("reordered", reordered, ["car", "dog", "person", "bicycle"]),
        ("blind", blind, CLASS_NAMES),
    ):
        tiny_detector.export(folder / name / "Format-Serving", answers, classes)
    return folder


_numbers = itertools.count()


@functools.cache  # tests that ask for the same evaluation share it
def _evaluate(folder, model, baseline=None, *, min_map=0.0, dataset="examples", beam_args=(), **settings):
    """Runs TFX's executor as the orchestrator does; returns its two output folders."""
    out = folder / f"run{next(_numbers)}"

    def artifact(kind, path, artifact_id):
        path.mkdir(parents=True, exist_ok=True)
        made = kind()
        made.uri, made.id = str(path), artifact_id
        return made

    examples = artifact(standard_artifacts.Examples, folder / dataset, 1)
    examples.split_names = '["train", "test"]'
    inputs = {"examples": [examples], "model": [artifact(standard_artifacts.Model, folder / model, 2)]}
    if baseline is not None:
        inputs["baseline_model"] = [artifact(standard_artifacts.Model, folder / baseline, 3)]
    outputs = {
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, out / "evaluation", 4)],
        "blessing": [artifact(standard_artifacts.ModelBlessing, out / "blessing", 5)],
    }
    settings = {
        standard_component_specs.EVAL_CONFIG_KEY: proto_utils.proto_to_json(evaluator.eval_config(min_map, **settings)),
        standard_component_specs.EXAMPLE_SPLITS_KEY: json_utils.dumps([evaluator.SPLIT]),
        standard_component_specs.MODULE_PATH_KEY: coco_metric.__name__,
    }
    context = executor.Executor.Context(beam_pipeline_args=beam_options.arguments(beam_args))
    executor.Executor(context).Do(inputs, outputs, settings)
    return str(out / "evaluation"), str(out / "blessing")


def test_numbers_equal_coco_metrics_and_the_first_model_needs_the_threshold_only(folder, results):
    paths = _evaluate(folder, "good", None, min_map=0.25)
    blessed, reasons, metrics = evaluator.read_blessing(*paths)
    expected = coco.coco_metrics(results, CLASS_NAMES)
    assert list(metrics) == list(expected)
    assert peer.largest_difference(metrics, expected) <= TOLERANCE
    assert blessed
    assert reasons == [
        f"mAP@.5 {metrics['AP50']:.4f} reaches the threshold 0.2500",
        "no model was blessed before, so the threshold alone decides",
    ]
    evaluation = evaluator.read_evaluation(paths[0])
    assert evaluation.num_images == NUM_IMAGES
    assert evaluation.baseline_metrics is evaluation.comparison is evaluation.max_p_worse is None


def test_workers_elsewhere_find_the_same(folder):
    with beam_cluster.start() as arguments:
        there = evaluator.read_evaluation(_evaluate(folder, "unlucky", "good", beam_args=tuple(arguments))[0])
    here = evaluator.read_evaluation(_evaluate(folder, "unlucky", "good")[0])
    assert there.num_images == here.num_images == NUM_IMAGES
    assert peer.largest_difference(there.metrics, here.metrics) <= TOLERANCE
    assert there.comparison == here.comparison


def test_below_the_threshold_is_not_blessed_and_says_so(folder):
    blessed, reasons, metrics = evaluator.read_blessing(*_evaluate(folder, "good", min_map=0.9))
    assert not blessed
    assert reasons == [f"mAP@.5 {metrics['AP50']:.4f} is below the threshold 0.9000"]


def test_the_objective_is_the_metric_of_the_threshold(folder, results):
    """Its AP is below 0.25, its AP50 above."""
    numbers = coco.coco_metrics(results, CLASS_NAMES)
    assert numbers["AP"] < 0.25 < numbers["AP50"]
    paths = _evaluate(folder, "good", min_map=0.25, objective="AP")
    blessed, reasons, _ = evaluator.read_blessing(*paths)
    assert not blessed
    assert reasons == [f"mAP@[.5:.95] {numbers['AP']:.4f} is below the threshold 0.2500"]
    assert evaluator.read_evaluation(paths[0]).objective == "AP"
    assert evaluator.read_blessing(*_evaluate(folder, "good", None, min_map=0.25))[0]


# That AP is what counts where it is the objective is shown above.
@pytest.mark.parametrize("objective", ["AP50", pytest.param("AP", marks=pytest.mark.slow)])
def test_a_model_shown_to_be_worse_than_the_last_blessed_one_is_not_blessed(folder, results, objective):
    """The numbers printed are those of `paired_bootstrap.compare`."""
    paths = _evaluate(folder, "worse", "good", objective=objective)
    blessed, reasons, metrics = evaluator.read_blessing(*paths)
    evaluation = evaluator.read_evaluation(paths[0])
    found, before = evaluation.comparison, evaluation.baseline_metrics[objective]
    worse = [dataclasses.replace(r, det_scores=(1 - r.det_scores).astype(np.float32)) for r in results]
    expected = paired_bootstrap.compare(worse, results, CLASS_NAMES, objective)
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(expected), abs=TOLERANCE)
    assert found.difference == pytest.approx(metrics[objective] - before)
    assert found.p_worse > 0.99
    assert not blessed
    assert reasons == [
        f"{objectives.get(objective).text} {metrics[objective]:.4f} is worse than the last blessed model's "
        f"{before:.4f} (difference {found.difference:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f}, worse "
        f"with probability {found.p_worse:.3f}, at most 0.95 allowed)"
    ]


@pytest.mark.parametrize("baseline", ["blind", pytest.param(None, marks=pytest.mark.slow)])
def test_a_model_whose_answer_is_always_the_same_is_not_blessed(folder, baseline):
    paths = _evaluate(folder, "blind", baseline, min_map=1e-6)
    blessed, reasons, metrics = evaluator.read_blessing(*paths)
    assert metrics["AP50"] > 1e-6
    assert evaluator.read_evaluation(paths[0]).constancy == pytest.approx(1.0)
    assert not blessed
    assert reasons == [
        "100% of what it detects is the same in other images, where the objects are others (at most 50% is allowed):"
        " the model hardly looks at the image"
    ]


@pytest.mark.parametrize(("baseline", "is_blessed"), [(None, True), ("good", False)])
def test_without_a_threshold_only_the_last_blessed_model_can_refuse_one(folder, baseline, is_blessed):
    blessed, reasons, _ = evaluator.read_blessing(*_evaluate(folder, "blind", baseline, min_map=0))
    assert blessed == is_blessed
    assert is_blessed or "is worse than the last blessed model's" in reasons[0]


@pytest.mark.parametrize("baseline", ["worse", "good"])
def test_better_than_or_equal_to_the_last_blessed_model_is_blessed(folder, baseline):
    paths = _evaluate(folder, "good", baseline, max_p_worse=0)
    blessed, reasons, _ = evaluator.read_blessing(*paths)
    assert blessed
    assert "is not shown to be worse than the last blessed model's" in reasons[1]
    assert evaluator.read_evaluation(paths[0]).comparison.p_worse == 0


def test_a_model_that_is_worse_by_chance_is_blessed_unless_less_is_allowed(folder):
    paths = _evaluate(folder, "unlucky", "good")
    blessed, reasons, _ = evaluator.read_blessing(*paths)
    found = evaluator.read_evaluation(paths[0]).comparison
    assert found.difference < 0 < found.high
    assert 0.5 < found.p_worse < 0.95
    assert blessed
    assert "is not shown to be worse" in reasons[1]
    blessed, reasons, _ = evaluator.read_blessing(*_evaluate(folder, "unlucky", "good", max_p_worse=0.5))
    assert not blessed
    assert reasons[0].endswith(f"worse with probability {found.p_worse:.3f}, at most 0.5 allowed)")


def test_a_baseline_with_other_classes_is_compared_by_class_name(folder):
    evaluation = evaluator.read_evaluation(_evaluate(folder, "good", "reordered")[0])
    assert evaluation.baseline_metrics == pytest.approx(evaluation.metrics, nan_ok=True)


EMPTY = ("empty", "mAP@.5 cannot be computed: the test split has no images")
NO_OBJECTS = ("no_objects", "mAP@.5 cannot be computed: the test split has no ground truth for it")


# Each dataset once, and once with and without a baseline; the other pairs are slow.
@pytest.mark.parametrize(
    ("dataset", "reason", "baseline"),
    [
        (*EMPTY, None),
        (*NO_OBJECTS, "good"),
        pytest.param(*EMPTY, "good", marks=pytest.mark.slow),
        pytest.param(*NO_OBJECTS, None, marks=pytest.mark.slow),
    ],
)
def test_nothing_to_measure_is_never_blessed(folder, dataset, reason, baseline):
    blessed, reasons, metrics = evaluator.read_blessing(*_evaluate(folder, "good", baseline, dataset=dataset))
    assert not blessed
    assert reasons == [reason]
    assert all(math.isnan(value) for value in metrics.values())


@pytest.mark.parametrize("name", ["min_map", "max_p_worse"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_limit_outside_0_to_1_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be in \[0, 1\]: got {value}"):
        evaluator.eval_config(**{"min_map": 0.1, name: value})


def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match="`objective` must be one of AP50, AP: got `mAP`"):
        evaluator.eval_config(0.5, "mAP")


def test_the_code_hash_is_part_of_the_settings_and_so_of_the_cache_key():
    assert evaluator.eval_config(0.5, source_hash="a") != evaluator.eval_config(0.5, source_hash="b")


def _artifact(kind, artifact_id, **properties):
    made = kind()
    made.id = artifact_id
    for name, value in properties.items():
        made.set_int_custom_property(name, value)
    return made


def test_the_baseline_is_the_last_blessed_model_but_not_the_candidate():
    models = [_artifact(standard_artifacts.Model, i) for i in (1, 2, 3, 4)]
    blessings = [
        _artifact(standard_artifacts.ModelBlessing, 10 + i, blessed=int(i != 3), current_model_id=i)
        for i in (1, 2, 3, 4)
    ]

    def baseline_of(candidate):
        found = evaluator.LastBlessedOtherModelStrategy().resolve_artifacts(
            None, {"candidate": [candidate], "model": list(models), "model_blessing": list(blessings)}
        )
        return [model.id for model in found["model"]]

    assert baseline_of(models[3]) == [2]  # 4 is itself, 3 was refused
    assert baseline_of(models[0]) == [4]
    models, blessings = models[:1], blessings[:1]
    assert baseline_of(models[0]) == []


@pytest.mark.parametrize(("baseline", "limits"), [(None, {"min_map": 0.25}), ("worse", {"max_p_worse": 0})])
def test_the_candidates_detections_are_kept_image_by_image(folder, results, baseline, limits):
    """They are what a later report or comparison reads; scored again, they give the Evaluator's numbers."""
    evaluation_dir, _ = _evaluate(folder, "good", baseline, **limits)
    kept = image_results.ImageResults.from_bytes(evaluator.read_image_results(evaluation_dir))
    records = tiny_detector.records_of(results)
    assert kept.source_ids == tuple(sorted(record.source_id for record in records))
    checksums = {record.source_id: zlib.crc32(record.encoded) for record in records}
    assert kept.checksums.tolist() == [checksums[name] for name in kept.source_ids]
    assert coco.coco_metrics(kept.results, kept.class_names) == pytest.approx(
        evaluator.read_evaluation(evaluation_dir).metrics, abs=TOLERANCE, nan_ok=True
    )


def test_a_split_without_images_keeps_no_detections(folder):
    assert evaluator.read_image_results(_evaluate(folder, "good", None, dataset="empty")[0]) is None
