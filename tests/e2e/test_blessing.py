"""Evaluator, serving check and Pusher under TFX: what is not blessed or not servable is not pushed."""

import os

import pytest
from tfx.components.pusher import component as pusher
from tfx.dsl.components.common import importer
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from pipeline.components import evaluator, serving_check
from tests import tiny_detector

CLASS_NAMES = ["person", "bicycle", "car"]


@pytest.fixture(scope="module")
def results():
    return tiny_detector.random_results()


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


@pytest.mark.slow
def test_the_fresh_process_answers_with_the_problems(workdir):
    """The step asks it, too: below."""
    (tfrecord,) = (workdir / "examples" / "Split-test").iterdir()
    model_dir = str(workdir / "unservable" / "Format-Serving")
    problems = serving_check.check_in_fresh_process(model_dir, [str(tfrecord)], timeout_s=120)
    assert problems[0].startswith("serving_default and serving_bytes on image 1 disagree")


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
