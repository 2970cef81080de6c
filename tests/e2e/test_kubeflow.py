"""The compiled pipeline as Kubeflow Pipelines runs it: artifacts through an S3 server, a folder for each step alone.

The tests share one volume and the first run on it, of which each has what it was when it ended.
"""

import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml

from data import sources
from models.training import devices
from tests import coco_folder, kubeflow_cluster
from tests.command_line import SHORT, SMALL, ssd_tuner_here

BUCKET, ROOT = "mlpipeline", "minio://mlpipeline/v2/artifacts"
SETTINGS = (
    "--dataset=road_scenes:train=48,val=12,test=12",
    "--preset=quick",
    "--min_map=0",
    "--max_p_worse=1",
    "--tune=optimizer.learning_rate,loss.localization_weight",
    *SMALL,
)
SHORTEST = ("--max_epochs=1", "--max_epochs_total=2", "--epochs=1")
GRACE_S = 300  # after SIGTERM: Kubernetes gives 30 s, but a busy machine may need longer for the export
LIGHT = ("StatisticsGen", "SchemaGen", "ExampleValidator")


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("volume")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with kubeflow_cluster.object_store(BUCKET) as bucket:
        pods = tmp_path_factory.mktemp("pods")
        yield kubeflow_cluster.Cluster(bucket, pods, kubeflow_cluster.in_this_process)


def compile_here(volume: pathlib.Path, *arguments: str) -> kubeflow_cluster.Compiled:
    output = volume.parent / "pipeline.yaml"
    needed = (f"--workdir={volume}/demo", f"--volume=runs:{volume}", f"--pipeline_root={ROOT}", "--image=ssd-tuner:1")
    done = ssd_tuner_here("kubeflow", "compile", *SETTINGS, *needed, *arguments, f"--output={output}")
    assert done.returncode == 0, done.stdout + done.stderr
    return kubeflow_cluster.read(output)


def test_the_pipeline_compiles_with_the_options_given_to_beam(volume) -> None:
    compiled = compile_here(volume, "--beam_args=--runner=DirectRunner", "--beam_args=--direct_num_workers=3")
    container = compiled.container("DetectionExampleGen")
    assert {"--runner=DirectRunner", "--direct_num_workers=3"} <= set(container["args"])
    assert "--runner=FnApiRunner" not in container["args"]


def test_a_step_that_has_a_gpu_is_told_so_and_does_not_train_on_the_cpu_of_a_wrong_image(volume) -> None:
    compiled = compile_here(volume, "--gpus=2")
    told = {
        step: {one["name"]: one["value"] for one in compiled.container(step)["env"]}.get(devices.POD_GPUS)
        for step in ("Tuner", "Trainer", "Evaluator", "DetectionExampleGen")
    }
    assert told == {"Tuner": "2", "Trainer": "2", "Evaluator": "2", "DetectionExampleGen": None}


def test_the_datasets_may_have_other_names_on_this_machine(volume, tmp_path) -> None:
    street, night = (
        coco_folder.write(tmp_path / name, **{split: coco_folder.table(4) for split in ("train", "val", "test")})
        for name in ("street", "night")
    )
    named = (f"--dataset=coco:{volume}/street", f"--test_dataset=coco:{volume}/night")
    compiled = compile_here(volume, *named, f"--dataset_here=coco:{street}", f"--test_dataset_here=coco:{night}")
    parameters = compiled.tasks["DetectionExampleGen"]["inputs"]["parameters"]
    assert parameters["dataset"]["runtimeValue"]["constant"] == f"coco:{volume}/street"
    text = json.dumps(compiled.pipeline)
    assert f"coco:{volume}/night" in text
    options = sources.DataOptions(test_dataset=f"coco:{night}")
    fingerprint = sources.open_source(f"coco:{street}", options).fingerprint()
    assert parameters["fingerprint"]["runtimeValue"]["constant"] == fingerprint
    assert str(tmp_path / "street") not in text
    assert str(tmp_path / "night") not in text


def test_what_kubeflow_refuses_is_not_compiled(volume, tmp_path) -> None:
    """What TFX writes by default: schema 2.0.0, resolvers, underscores in names."""
    compiled = compile_here(volume, *SHORTEST)
    label = compiled.component("Tuner")["executorLabel"]
    for path, value in (
        (("schemaVersion",), "2.0.0"),
        (("deploymentSpec", "executors", label), {"resolver": {}}),
        (("root", "dag", "tasks", "last_blessed_model"), compiled.tasks["Tuner"]),
    ):
        changed = json.loads(json.dumps(compiled.pipeline))
        inner = changed
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        (tmp_path / "changed.yaml").write_text(yaml.safe_dump_all([changed, compiled.platform]))
        with pytest.raises(kubeflow_cluster.RefusedError):
            kubeflow_cluster.read(tmp_path / "changed.yaml")


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run of the pipeline left.

    Attributes:
        outputs: {component: {output: artifact}}.
        states: {component: "done" or "cached"}.
        pushed: folders of the models that are pushed, the first one first.
        pods: folders of steps that were not removed.
    """

    outputs: dict[str, Any]
    states: dict[str, str]
    pushed: list[pathlib.Path]
    pods: list[pathlib.Path]


def run(cluster: kubeflow_cluster.Cluster, volume: pathlib.Path, *arguments: str) -> Run:
    outputs = cluster.run(compile_here(volume, *SHORTEST, *arguments))
    pushed = sorted((volume / "demo" / "serving_model").iterdir())
    return Run(outputs, dict(cluster.states), pushed, list(cluster.pods.iterdir()))


@pytest.fixture(scope="module")
def first(cluster, volume) -> Run:
    return run(cluster, volume)


def test_the_first_run_ends_with_a_pushed_model(first) -> None:
    assert set(first.states.values()) == {"done"}
    assert len(first.states) == 11
    assert first.outputs["LastBlessedModel"]["model"]["metadata"]["is_empty"] == 1
    blessing = first.outputs["Evaluator"]["blessing"]["metadata"]
    assert blessing["blessed"] == 1
    assert blessing["current_model"] == first.outputs["Trainer"]["model"]["uri"]
    assert "baseline_model" not in blessing
    for of_task in first.outputs.values():
        for artifact in of_task.values():
            assert artifact["uri"].startswith(f"{ROOT}/ssd-tuner/")
    (version,) = first.pushed
    assert (version / "saved_model.pb").is_file()
    assert "| test | 12 |" in (version / "assets.extra" / "model_card.md").read_text()
    assert not first.pods


@pytest.mark.slow
def test_the_second_run_is_compared_with_the_first_ones_model(first, cluster, volume) -> None:
    """Another seed: the data's steps come from the cache, and two models are pushed in the end."""
    second = run(cluster, volume, "--seed=1")
    assert {task for task, state in second.states.items() if state == "cached"} == {"DetectionExampleGen", *LIGHT}
    baseline = second.outputs["LastBlessedModel"]["model"]
    assert [baseline["metadata"]["pushed_as"]] == [str(path) for path in first.pushed]
    blessing = second.outputs["Evaluator"]["blessing"]["metadata"]
    assert blessing["baseline_model"] == baseline["uri"]
    assert blessing["current_model"] == second.outputs["Trainer"]["model"]["uri"]
    assert len(second.pushed) == 2


@pytest.mark.slow
def test_a_step_that_is_stopped_goes_on_when_it_is_tried_again(tmp_path) -> None:
    """A node is drained in the middle of a search: SIGTERM to a step in a process of its own."""
    volume, stopped = tmp_path / "volume", []

    def start(words, pod, variables):
        if stopped or "tuner" not in " ".join(words[:7]):
            return kubeflow_cluster.in_a_process(words, pod, variables)
        log = tmp_path / "log.txt"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *words[1:]],
                cwd=pod,
                env=kubeflow_cluster.plain_environment() | variables,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 600
        while not list(volume.glob("demo/search/*/trial_0001/state.npz")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=GRACE_S)
        finally:
            process.kill()
            process.wait()
        assert "ssd-tuner: interrupted" in log.read_text()
        assert list(volume.glob("demo/search/*/best_model/saved_model.pb"))
        stopped.append(process.returncode)
        return process.returncode, log.read_text()

    volume.mkdir()
    compiled = compile_here(volume, *SHORT)
    (tmp_path / "pods").mkdir()
    with kubeflow_cluster.object_store(BUCKET) as bucket:
        cluster = kubeflow_cluster.Cluster(bucket, tmp_path / "pods", start)
        cluster.run(compiled, only={"DetectionExampleGen", "Tuner"})
    assert stopped == [130]
    _, second = cluster.logs["Tuner"]
    rows = json.loads(next(volume.glob("demo/search/*/leaderboard.json")).read_text())
    begun = {row["trial"]: next((one["epochs"] for one in rows if one["trial"] == row["parent"]), 0) for row in rows}
    assert sum(row["epochs"] - begun[row["trial"]] for row in rows) == 8
    assert "done_trials=1" in second
