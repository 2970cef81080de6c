"""Searches with real training: every strategy inside TFX's Tuner, Ctrl-C, and the winner's state as the final model."""

import dataclasses
import json
import pathlib
import types

import fake_training
import numpy as np
import pytest
from tfx.components.tuner import executor
from tfx.types import standard_artifacts
from tiny_data import CLASS_NAMES, scene_record, write_split

from data import dataset_info, progress
from models.export import predict
from models.hyperparameters import ExperimentConfig
from models.training import train
from pipeline.components import trainer
from tuner_fn import early_stopping, oracles, presets, search_space, trial_runner, tuner, worker
from tuner_fn.supervisor import TrainingProcess

TRIALS = {"code": "0", "versions": {}, "weights": {}}
SMALL = ExperimentConfig().replace(
    {
        "input.image_size": 64,
        "input.batch_size": 4,
        "model.backbone": "mobilenet_v1",
        "model.alpha": 0.35,
        "model.num_levels": 2,
        "optimizer.learning_rate": 0.003,
    }
)


class SharedProcess(TrainingProcess):
    """One for all searches of this file, because each process imports TensorFlow and traces the model anew."""

    def close(self) -> None:
        if not self.shared or self._process is not None and self._process.poll() is not None:
            super().close()

    shared = True


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    shared = SharedProcess(tmp_path_factory.mktemp("process") / "worker.log")
    yield shared
    shared.shared = False
    shared.close()


@pytest.fixture
def trainings(request, process, monkeypatch, tmp_path):
    """Gives the tuner real trainings, or a formula in a process like theirs; returns the ranges that are searched."""
    if request.param == "real":
        monkeypatch.setattr(trial_runner, "TrainingProcess", lambda log: process)
        yield search_space.named_space("default", SMALL)
        return
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(fake_training.__file__).parent))
    monkeypatch.setattr(trial_runner.DetectionTuner, "_export_best", lambda self: None)  # its states hold no weights
    formula = TrainingProcess(tmp_path / "worker.log", training="fake_training")
    monkeypatch.setattr(trial_runner, "TrainingProcess", lambda log: formula)
    yield {"optimizer.learning_rate": {"low": 0.0005, "high": 0.0045, "scale": "log"}}
    formula.close()


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("examples")
    counts = {"train": 8, "val": 4}
    for split, count in counts.items():
        write_split(folder, split, [scene_record(split, index) for index in range(count)])
    about = {"spec": "tiny", "fingerprint": "1", "class_names": CLASS_NAMES, "num_examples": counts}
    about |= {"num_boxes": counts, "num_quarantined": dict.fromkeys(counts, 0), "max_boxes": 9}
    (folder / dataset_info.FILE_NAME).write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize(
    ("strategy", "trainings"),
    [
        ("freeze_thaw", "real"),
        *((name, "formula") for name in oracles.NAMES),
        *(pytest.param(name, "real", marks=pytest.mark.slow) for name in oracles.NAMES if name != "freeze_thaw"),
    ],
    indirect=["trainings"],
)
def test_every_strategy_searches_inside_the_tfx_tuner(strategy, trainings, examples, tmp_path) -> None:
    settings = {"epochs": SMALL.training.epochs, "max_epochs": 4, "max_epochs_total": 12, "inherit": True}
    search = presets.search(presets.get_preset("quick"), strategy, trainings, 0, **settings)
    custom = {"config": SMALL.to_dict(), "search": search.to_dict(), "workdir": str(tmp_path), "trials": TRIALS}
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = str(examples), json.dumps(["train", "val"])
    outputs = {
        "best_hyperparameters": standard_artifacts.HyperParameters(),
        "tuner_results": standard_artifacts.TunerResults(),
    }
    for name, output in outputs.items():
        output.uri = str(tmp_path / name)
        pathlib.Path(output.uri).mkdir()
    context = executor.Executor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1")
    executor.Executor(context).Do(
        {"examples": [artifact]},
        {name: [output] for name, output in outputs.items()},
        {
            "tuner_fn": "tuner_fn.tuner.tuner_fn",
            "custom_config": json.dumps(custom),
            "train_args": '{"splits": ["train"]}',
            "eval_args": '{"splits": ["val"]}',
        },
    )
    (leaderboard,) = tmp_path.glob("search/*/leaderboard.json")
    rows = json.loads(leaderboard.read_text())
    assert all(row["status"] == "completed" for row in rows)
    own = {row["trial"]: row["epochs"] for row in rows}
    assert [row["trial"] for row in rows if not (row["parent"] or row["inherited"])] == ["0000"]
    searched = sum(epochs for epochs in own.values()) - sum(own[row["parent"]] for row in rows if row["parent"])
    assert searched == 12 - 4  # the challenger inherited its weights: it is trained afresh to be compared
    (best,) = (tmp_path / "best_hyperparameters").glob("*")
    values = json.loads(best.read_text())["values"]
    own = {name: value for name, value in values.items() if not name.startswith("tuner/")}
    assert own == rows[0]["hyperparameters"] | {"training.epochs": SMALL.training.epochs}
    start = next(row["hyperparameters"] for row in rows if row["trial"] == "0000")
    whole_start = any(row["hyperparameters"] == start and row["epochs"] == 4 for row in rows)
    assert whole_start or strategy == "hyperband"  # which alone may give the start up early
    decision = json.loads(leaderboard.with_name("decision.json").read_text())
    decisions = [decision] if decision else []  # a start that was given up is not compared
    assert [one["seeds"] for one in decisions] == [1] * whole_start
    replaced = any(one["replaced"] for one in decisions)
    assert replaced == (rows[0]["hyperparameters"] != start)
    assert replaced == (own != {name: SMALL.flat()[name] for name in own})
    state = leaderboard.with_name(f"trial_{rows[0]['trial']}") / "state.npz"
    assert state.exists()
    assert values.get("tuner/state") == (None if replaced else str(state))  # a challenger's holds others' weights


def test_a_search_with_a_larger_budget_goes_on_and_what_changed_is_said(examples, tmp_path) -> None:
    """The same data, settings, search and code lead to the same folder; each other one to its own, with a note."""
    ranges = search_space.named_space("default", SMALL)
    search = presets.search(presets.get_preset("quick"), "random", ranges, 0, epochs=2, max_trials=2)
    notes, folders = [], []

    def start(config=SMALL, code="0", **changes) -> None:
        settings = dataclasses.replace(search, **changes).to_dict()
        custom = {
            "config": config.to_dict(),
            "search": settings,
            "workdir": str(tmp_path),
            "trials": TRIALS | {"code": code},
        }
        about = {"custom_config": custom, "train_files": dataset_info.split_files(examples, "train")}
        with progress.listen(lambda kind, fields: notes.append(fields["text"])):
            folders.append(tuner.tuner_fn(types.SimpleNamespace(**about)).tuner.project_dir)

    start()
    start(max_trials=9, repeats=3, max_minutes=2.0, trial_timeout=1.0, max_disk_gb=1.0, second_objective="latency")
    assert notes == []
    assert folders[0] == folders[1]
    start(config=SMALL.replace({"model.alpha": 0.5}))
    start(config=SMALL.replace({"model.alpha": 0.5}), code="1", seed=1)
    start()
    start(ranges={**search.ranges, **search_space.pick({}, ["loss.label_smoothing"], SMALL)})
    info = json.loads((examples / dataset_info.FILE_NAME).read_text())
    (examples / dataset_info.FILE_NAME).write_text(json.dumps(info | {"fingerprint": "2"}))
    try:
        start()
    finally:
        (examples / dataset_info.FILE_NAME).write_text(json.dumps(info))
    assert len(set(folders)) == 5
    assert [note.partition(". The one before")[0] for note in notes] == [
        "A new search starts, because this changed: settings: model.alpha 0.35 -> 0.5",
        "A new search starts, because this changed: search: seed 0 -> 1; code: another one",
        f"The space is larger: the search continues with the trials of {folders[0]}, which stays as it is.",
        "A new search starts, because this changed: dataset: another one; search: ranges.loss.label_smoothing left out",
    ]
    assert all(str(tmp_path / "search") in note for note in notes)


def test_a_training_that_is_stopped_keeps_its_process_and_its_whole_state(process, examples, tmp_path) -> None:
    curves = tuple((0.0, 0.001 * number) for number in range(early_stopping.LEAST_CURVES))
    files = {f"{split}_files": tuple(dataset_info.split_files(examples, split)) for split in ("train", "val")}
    about = {"epochs": 2, "schedule_epochs": 2, "validate_at": (1, 2), "checkpoint": str(tmp_path / "state.npz")}
    job = worker.Job(SMALL.to_dict(), class_names=CLASS_NAMES, **files, **about)
    stopped = dataclasses.replace(job, stopping=early_stopping.StoppingRule(0.05, 1.0, curves), objective="AP50")
    reports: list[dict] = []
    assert len(process.train(stopped, reports.append)) == 1
    pid = process.pid
    again = process.train(stopped, reports.append)  # as after a kill: known from its state, nothing is trained
    assert [report["loss"] for report in again] == [report["loss"] for report in reports]
    whole = process.train(job, reports.append)
    assert process.pid == pid
    assert [report["epoch"] for report in reports] == [1, 2]
    anew = process.train(dataclasses.replace(job, checkpoint=str(tmp_path / "anew.npz")))
    assert [report["AP"] for report in whole] == [report["AP"] for report in anew]
    assert [report["loss"] for report in whole] == [report["loss"] for report in anew]


def make_tuner(
    folder: pathlib.Path, processes: list[TrainingProcess], trials: int, epochs: int = 1, config=SMALL
) -> trial_runner.DetectionTuner:
    ranges = search_space.pick({}, ["optimizer.learning_rate", "augment.flip_probability"], config)
    oracle = oracles.make_oracle(
        "random",
        objective=trial_runner.make_objective("AP50"),
        hyperparameters=search_space.make_search_space(config, ranges),
        max_epochs=epochs,
        seed=0,
        max_trials=trials,
    )
    folders = {"directory": folder / "search", "logdir": folder / "logs"}
    about = {"ranges": ranges, "class_names": CLASS_NAMES, "processes": processes}
    return trial_runner.DetectionTuner(oracle, config, **about, **folders)


def test_ctrl_c_leaves_the_best_model_so_far(process, examples, tmp_path) -> None:
    def listener(kind: str, fields: dict) -> None:
        if kind == "trial" and fields["state"] == "started" and fields["number"] == 3:
            raise KeyboardInterrupt

    search = make_tuner(tmp_path, [process], 5)
    files = {split: dataset_info.split_files(examples, split) for split in ("train", "val")}
    with pytest.raises(KeyboardInterrupt), progress.listen(listener):
        search.search(files["train"], files["val"], verbose=0)
    rows = json.loads((tmp_path / "search" / "leaderboard.json").read_text())
    assert [row["status"] for row in rows] == ["completed", "completed", "running"]
    detector = predict.load_detector(str(tmp_path / "search" / "best_model"))
    (found,) = detector.detect([scene_record("val", 0).encoded])
    assert len(found.boxes) > 0


def test_trials_that_are_trained_at_the_same_time_score_as_one_after_the_other(process, examples, tmp_path) -> None:
    files = {split: dataset_info.split_files(examples, split) for split in ("train", "val")}
    processes, scores = [process, TrainingProcess(tmp_path / "second.log")], []
    for count in (2, 1):
        search = make_tuner(tmp_path / str(count), processes[:count], 3)
        search.search(files["train"], files["val"], verbose=0)
        scores.append({row["trial"]: row["score"] for row in search.leaderboard()})
    assert len(scores[0]) == 3
    assert scores[0] == scores[1]
    events = (tmp_path / "2" / "search" / "journal.jsonl").read_text().splitlines()
    assert [json.loads(event)["event"] for event in events[:2]] == ["start", "start"]


# A run's end shows the export of a whole trial, too: tests/e2e/test_pipeline.py.
@pytest.mark.parametrize("trial_epochs", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_final_model_is_the_winners_state_and_no_epoch_is_trained_twice(
    trial_epochs, process, examples, tmp_path
) -> None:
    """A whole trial is exported as it is; one of two epochs of three is trained one more, to the same model."""
    config = SMALL.replace({"training.epochs": 3})
    search = make_tuner(tmp_path, [process], 2, trial_epochs, config)
    files = {split: dataset_info.split_files(examples, split) for split in ("train", "val")}
    search.search(files["train"], files["val"], verbose=0)
    (best,) = search.get_best_hyperparameters()
    row = search.leaderboard()[0]
    values = json.loads(json.dumps(best.get_config()))  # as TFX hands them on
    custom = {"config": config.to_dict(), "workdir": str(tmp_path), "origin": {}, "trials": TRIALS}
    custom["objective"] = "AP"
    about = {"custom_config": custom, "hyperparameters": values, "serving_model_dir": str(tmp_path / "model")}
    epochs = []

    def listener(kind: str, fields: dict) -> None:
        if kind == "epoch":
            epochs.append((fields["stage"], fields["epoch"]))

    with progress.listen(listener):
        trainer.run_fn(types.SimpleNamespace(**about, train_files=files["train"]))
    assert epochs == [("train", epoch) for epoch in range(trial_epochs + 1, 4)]
    history = json.loads((tmp_path / "model" / trainer.HISTORY_FILE).read_text())
    assert [report["epoch"] for report in history] == [1, 2, 3]
    assert history[trial_epochs - 1]["AP"] == row["score"]
    assert list(tmp_path.glob("tensorboard/final/events*"))
    winner = search_space.configuration(config, row["hyperparameters"])
    lengths = {"epochs": 3, "validate_at": range(trial_epochs, 4)}
    whole = train.train(winner, files["train"], files["val"], CLASS_NAMES, **lengths, best_by="AP")
    assert [report["loss"] for report in history] == [report["loss"] for report in whole.history]
    assert history[-1]["AP"] == whole.history[-1]["AP"]
    image = scene_record("val", 0).encoded
    (found,) = predict.load_detector(str(tmp_path / "model")).detect([image])
    trainer.saved_model.export_saved_model(whole.detector, CLASS_NAMES, tmp_path / "whole")
    (expected,) = predict.load_detector(str(tmp_path / "whole")).detect([image])
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)
