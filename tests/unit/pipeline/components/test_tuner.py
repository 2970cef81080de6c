"""TFX's Tuner with `tune_args.num_parallel_trials`, which TFX's own executor refuses."""

import functools
import json
import pathlib

import fake_training
import pytest
from tfx.components.tuner import component, executor
from tfx.dsl.components.base import base_executor
from tfx.proto import trainer_pb2, tuner_pb2
from tfx.types import channel_utils, standard_artifacts
from tiny_data import CLASS_NAMES

from data import dataset_info
from models.hyperparameters import ExperimentConfig
from pipeline.components import tuner
from tuner_fn import devices, presets, search_results, supervisor, trial_runner

RANGES = {"optimizer.learning_rate": {"low": 0.0005, "high": 0.0045, "scale": "log"}}


@pytest.fixture
def _formula(monkeypatch):
    """Trains by a formula, on a machine of two cores."""
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(fake_training.__file__).parent))
    monkeypatch.setenv("FAKE_EPOCH_S", "0.2")
    process = functools.partial(supervisor.TrainingProcess, training="fake_training")
    monkeypatch.setattr(trial_runner, "TrainingProcess", process)
    monkeypatch.setattr(devices, "_cores", lambda: [min(devices.os.sched_getaffinity(0))] * 2)


def make_component(count: int | None, custom_config: dict | None = None):
    examples = channel_utils.as_channel([standard_artifacts.Examples()])
    tune_args = None if count is None else tuner_pb2.TuneArgs(num_parallel_trials=count)
    about = {"tuner_fn": "tuner_fn.tuner.tuner_fn", "tune_args": tune_args, "custom_config": custom_config or {}}
    about |= {"train_args": trainer_pb2.TrainArgs(splits=["train"]), "eval_args": trainer_pb2.EvalArgs(splits=["val"])}
    return tuner.Tuner(examples=examples, **about)


def search(folder: pathlib.Path, count: int | None) -> pathlib.Path:
    """Searches inside the component's executor; returns the search's folder."""
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(folder / "examples"), json.dumps(["train", "val"])
    for split in ("train", "val"):
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
    info = {"spec": "tiny", "fingerprint": "1", "class_names": CLASS_NAMES, "num_examples": {"train": 9, "val": 9}}
    info |= {"num_boxes": {"train": 9, "val": 9}, "num_quarantined": {"train": 0, "val": 0}, "max_boxes": 9}
    (folder / "examples" / dataset_info.FILE_NAME).write_text(json.dumps(info))
    settings = presets.search(presets.get_preset("quick"), "random", RANGES, 0, epochs=2, max_trials=6)
    custom = {"config": ExperimentConfig().replace({"training.epochs": 2}).to_dict(), "search": settings.to_dict()}
    custom |= {"workdir": str(folder), "trials": {"code": "0", "versions": {}, "weights": {}}}
    made = make_component(count, custom)
    outputs = {"best_hyperparameters": standard_artifacts.HyperParameters()}
    outputs["tuner_results"] = standard_artifacts.TunerResults()
    for name, output in outputs.items():
        output.uri = str(folder / name)
        pathlib.Path(output.uri).mkdir()
    context = base_executor.BaseExecutor.Context(tmp_dir=str(folder / "tmp"), unique_id="1")
    run = made.executor_spec.executor_class(context)
    run.Do({"examples": [examples]}, {name: [one] for name, one in outputs.items()}, dict(made.exec_properties))
    assert list((folder / "best_hyperparameters").glob("*"))
    (leaderboard,) = folder.glob("search/*/leaderboard.json")
    for name in search_results.RESULTS:
        assert (folder / "tuner_results" / name).read_bytes() == (leaderboard.parent / name).read_bytes()
    assert [row["status"] for row in json.loads(leaderboard.read_text())] == ["completed"] * 6
    return leaderboard.parent


@pytest.mark.usefixtures("_formula")
def test_it_trains_as_many_trials_at_a_time_as_tfx_is_told(tmp_path) -> None:
    folder = search(tmp_path, 2)
    events = [json.loads(line)["event"] for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert events[:2] == ["start", "start"]
    logs = [folder / f"worker_{number}.log" for number in (1, 2)]
    assert all(log.read_text().count("epoch trained") >= 2 for log in logs)


def test_the_node_keeps_the_name_that_runs_and_kubeflow_know() -> None:
    made = make_component(None)
    assert made.id == component.Tuner.__name__ == "Tuner"
    assert issubclass(made.executor_spec.executor_class, executor.Executor)
