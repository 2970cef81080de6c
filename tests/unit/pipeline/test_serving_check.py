"""The serving check: what a fresh process finds wrong with a model, and that the Pusher heeds it."""

import dataclasses
import os

import pytest
from tfx.components.pusher import component as pusher
from tfx.dsl.components.common import importer
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from benchmarks import evaluation
from pipeline import evaluator, serving_check, signature_check
from tests import tiny_detector

CLASS_NAMES = ["person", "bicycle", "car"]


@pytest.fixture(scope="module")
def results():
    drawn = evaluation.random_results(4, num_images=6, detections=5, max_objects=4)
    return [
        dataclasses.replace(r, height=20 + i, width=30, det_boxes=r.det_boxes.clip(0, 1)) for i, r in enumerate(drawn)
    ]


@pytest.fixture(scope="module")
def tfrecord(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples") / "Split-test"
    return tiny_detector.write_split(folder, tiny_detector.records_of(results), CLASS_NAMES)


def test_a_good_model_has_no_problem(results, tfrecord, tmp_path):
    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES)
    assert signature_check.find_problems(model_dir, [tfrecord]) == []


@pytest.mark.parametrize(
    ("defect", "problem"),
    [
        ("no_tensor", "the signature serving_tensor is missing; the model has serving_"),
        (
            "shifted_bytes",
            "serving_default and serving_bytes on image 1 disagree: detection_boxes differs by up",
        ),
        ("nan", "serving_default on image 1: detection_scores must be finite"),
        ("outside", r"serving_bytes on image 1: detection_boxes must lie in \[0, 1\]"),
        ("int64_classes", r"detection_classes needs int32 \[1, 5\]: got int64 \[1, 5\]"),
    ],
)
def test_each_defect_is_found(results, tfrecord, tmp_path, defect, problem):
    import re

    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES, defect)
    problems = signature_check.find_problems(model_dir, [tfrecord])
    assert re.search(problem, "\n".join(problems)), problems


def test_a_class_without_a_name_is_found(results, tfrecord, tmp_path):
    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES[:1])
    problems = signature_check.find_problems(model_dir, [tfrecord])
    assert any("detection_classes must lie in [0, 1)" in problem for problem in problems)


def test_an_empty_split_and_a_broken_model_are_found(results, tfrecord, tmp_path):
    empty = tiny_detector.write_split(tmp_path / "empty", [], CLASS_NAMES)
    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES)
    assert signature_check.find_problems(model_dir, [empty]) == ["there is no image to try: the split is empty"]
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"broken")
    (problem,) = signature_check.find_problems(model_dir, [tfrecord])
    assert problem.startswith("the SavedModel does not load: ")


def test_the_fresh_process_answers_with_the_problems(results, tfrecord, tmp_path):
    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES, "no_tensor")
    (problem,) = serving_check.check_in_fresh_process(model_dir, [tfrecord], timeout_s=120)
    assert problem.startswith("the signature serving_tensor is missing")


def test_a_process_that_does_not_answer_or_dies_is_a_reason(monkeypatch, tmp_path):
    assert serving_check.check_in_fresh_process("absent", ["absent"], timeout_s=0.1) == ["no answer within 0.1 s"]
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho 'Out of memory' >&2\nexit 137\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    (problem,) = serving_check.check_in_fresh_process("model", ["records"], timeout_s=5)
    assert problem == "the process ended with status 137: Out of memory\n"


@pytest.fixture(scope="module")
def workdir(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("workdir")
    records = tiny_detector.records_of(results)
    tiny_detector.write_split(folder / "examples" / "Split-test", records, CLASS_NAMES)
    for name, defect in (("good", ""), ("unservable", "shifted_bytes")):
        tiny_detector.export(folder / name / "Format-Serving", results, CLASS_NAMES, defect)
    return folder


def _run(workdir, model: str, min_map: float):
    """Runs Evaluator, ServingCheck and Pusher with TFX; returns the check's verdict and what is pushed."""
    examples = importer.Importer(
        source_uri=str(workdir / "examples"),
        artifact_type=standard_artifacts.Examples,
        properties={"split_names": '["test"]'},
    ).with_id("examples")
    trained = importer.Importer(source_uri=str(workdir / model), artifact_type=standard_artifacts.Model).with_id(
        "trained"
    )
    baseline = evaluator.make_baseline_resolver(trained.outputs["result"])
    judge = evaluator.make_evaluator(
        examples.outputs["result"], trained.outputs["result"], baseline.outputs["model"], min_map=min_map
    )
    check = serving_check.ServingCheck(
        model=trained.outputs["result"],
        model_blessing=judge.outputs["blessing"],
        examples=examples.outputs["result"],
        source_hash="1",
    )
    push = pusher.Pusher(
        model=trained.outputs["result"],
        model_blessing=judge.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(filesystem={"base_directory": str(workdir / "serving_model")}),
    )
    local_dag_runner.LocalDagRunner().run(
        tfx_pipeline.Pipeline(
            "serving_check_test",
            str(workdir / "pipeline"),
            components=[examples, trained, baseline, judge, check, push],
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(workdir / "metadata.db")),
        )
    )
    verdicts = workdir / "pipeline" / "ServingCheck" / "blessing"
    latest = max(verdicts.iterdir(), key=lambda path: int(path.name))
    pushed = sorted(os.listdir(workdir / "serving_model")) if (workdir / "serving_model").exists() else []
    return serving_check.read_serving_check(str(latest)), pushed


def test_only_a_blessed_and_servable_model_is_pushed_and_a_second_run_is_cached(workdir):
    verdict, pushed = _run(workdir, "good", min_map=1.0)
    assert verdict == (False, "not tried: the Evaluator did not bless the model")
    assert pushed == []

    (blessed, reason), pushed = _run(workdir, "unservable", min_map=0.0)
    assert not blessed
    assert reason.startswith("serving_default and serving_bytes on image 1 disagree")
    assert pushed == []

    verdict, pushed = _run(workdir, "good", min_map=0.0)
    assert verdict == (True, "")
    assert len(pushed) == 1

    executions = len(os.listdir(workdir / "pipeline" / "Evaluator" / "evaluation"))
    assert _run(workdir, "good", min_map=0.0) == (verdict, pushed)
    assert len(os.listdir(workdir / "pipeline" / "Evaluator" / "evaluation")) == executions
