"""The tuner: failed trials are recorded, mistakes stop the search, a killed search goes on."""

import json
import pathlib

import keras_tuner
import pytest

from models import training
from models.hyperparameters import ExperimentConfig
from tuner_fn import oracles, reporting, search_space
from tuner_fn.trial_runner import DetectionTuner

NAMES = ("optimizer.learning_rate",)


@pytest.fixture
def trained(monkeypatch):
    """Replaces the training itself, which has its own tests, by a formula; lists what was trained."""
    calls = []

    def train(config, train_files, val_files, class_names, *, epochs, checkpoint, start_from, on_epoch, **_):
        calls.append({"rate": config.optimizer.learning_rate, "epochs": epochs, "start_from": start_from})
        action = train.actions.get(len(calls) - 1)
        if action is not None:
            raise action
        history = [{"epoch": 1, "loss": 1.0, "AP": config.optimizer.learning_rate, "AP50": 0.5, "AP75": float("nan")}]
        on_epoch(history[0])
        checkpoint.write_bytes(b"state")
        return training.TrainingResult(None, history)

    train.actions = {}
    train.calls = calls
    monkeypatch.setattr(training, "train", train)
    return train


def make(tmp_path, strategy: str = "random", **settings) -> DetectionTuner:
    config = ExperimentConfig()
    defaults = {"max_epochs": 2, "seed": 0, "max_trials": 4}
    if strategy == "hyperband":
        defaults = {"max_epochs": 4, "seed": 0, "factor": 2}
    oracle = oracles.make_oracle(
        strategy,
        objective=keras_tuner.Objective("val_AP", "max"),
        hyperparameters=search_space.make_search_space(config, NAMES),
        **defaults | settings,
    )
    folders = {"directory": tmp_path / "search", "logdir": tmp_path / "logs"}
    return DetectionTuner(oracle, config, class_names=("car",), max_epochs=2, **folders)


def search(tuner: DetectionTuner) -> list[dict]:
    tuner.search(train_files=["train"], val_files=["val"], verbose=0)
    return json.loads((pathlib.Path(tuner.project_dir) / "leaderboard.json").read_text())


def test_the_leaderboard_is_sorted_and_the_best_configuration_trains_as_it_stands(trained, tmp_path) -> None:
    tuner = make(tmp_path)
    rows = search(tuner)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert [row["score"] for row in rows] == sorted((call["rate"] for call in trained.calls), reverse=True)
    best = ExperimentConfig.from_dict(json.loads((tmp_path / "search" / "best_config.json").read_text()))
    assert best.optimizer.learning_rate == rows[0]["score"]
    table = (tmp_path / "search" / "leaderboard.csv").read_text().splitlines()
    assert table[0].endswith("optimizer.learning_rate")
    assert len(table) == 5


def test_a_diverged_trial_is_recorded_and_the_search_goes_on(trained, tmp_path) -> None:
    trained.actions = {1: training.DivergedError("The loss is not finite"), 2: MemoryError("out of memory")}
    rows = search(make(tmp_path))
    assert [row["status"] for row in rows] == ["completed", "completed", "failed", "failed"]
    assert "not finite" in rows[2]["reason"] + rows[3]["reason"]
    assert "out of memory" in rows[2]["reason"] + rows[3]["reason"]


def test_a_mistake_stops_the_search_at_once(trained, tmp_path) -> None:
    trained.actions = {0: TypeError("wrong argument")}
    with pytest.raises(keras_tuner.errors.FatalError, match="TypeError: wrong argument"):
        search(make(tmp_path))
    assert len(trained.calls) == 1


def test_a_search_without_one_good_trial_says_why(trained, tmp_path) -> None:
    trained.actions = dict.fromkeys(range(4), training.DivergedError("The loss is not finite"))
    with pytest.raises(keras_tuner.errors.FatalError, match="No trial of the search succeeded: .*not finite"):
        search(make(tmp_path))


@pytest.mark.parametrize("strategy", ["random", "hyperband"])
def test_a_killed_search_goes_on_with_the_trial_it_was_in(trained, tmp_path, strategy) -> None:
    trained.actions = {2: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path / "cut", strategy))
    trained.actions = {}
    cut = search(make(tmp_path / "cut", strategy))
    rates = [call["rate"] for call in trained.calls]
    assert rates[2] == rates[3]  # the interrupted trial again, with its own state file
    trained.calls.clear()
    whole = search(make(tmp_path / "whole", strategy))
    assert [row["trial"] for row in cut] == [row["trial"] for row in whole]
    assert [row["score"] for row in cut] == [row["score"] for row in whole]


def test_a_promoted_trial_starts_from_its_parents_state(trained, tmp_path) -> None:
    rows = search(make(tmp_path, "hyperband"))
    promoted = [row for row in rows if row["parent"]]
    starts = [call["start_from"] for call in trained.calls if call["start_from"]]
    assert promoted
    parents = [reporting.state_file(tmp_path / "search" / f"trial_{row['parent']}") for row in promoted]
    assert sorted(map(str, starts)) == sorted(map(str, parents))
