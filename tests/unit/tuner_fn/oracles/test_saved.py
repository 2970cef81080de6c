"""State files: what a kill or a bad disk leaves is read or named, never guessed at."""

import contextlib
import pathlib

import keras_tuner
import pytest

from data import files, progress
from tuner_fn.oracles import NAMES, make_oracle


def make(folder: pathlib.Path, name: str = "random") -> keras_tuner.Oracle:
    space = keras_tuner.HyperParameters()
    space.Float("x", 0.0, 1.0, default=0.5)
    objective = keras_tuner.Objective("score", "max")
    oracle = make_oracle(name, objective=objective, hyperparameters=space, max_epochs=2, seed=0, max_trials=6)
    oracle._set_project_dir(str(folder), "search")
    oracle.verbose = 0
    return oracle


def run(oracle: keras_tuner.Oracle, trials: int) -> list[float]:
    """Returns what the trials tried."""
    tried = []
    for _ in range(trials):
        trial = oracle.create_trial("tuner0")
        if trial.status != "RUNNING":
            break
        tried.append(trial.hyperparameters.values["x"])
        oracle.update_trial(trial.trial_id, {"score": tried[-1]}, step=2)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return tried


def reload(folder: pathlib.Path, name: str = "random") -> tuple[keras_tuner.Oracle, list[str]]:
    notes: list[str] = []
    oracle = make(folder, name)
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        oracle.reload()
    return oracle, notes


@pytest.mark.parametrize("content", ["", '{"trial_id": "1", "hyperpar', "[]", "{}"])
def test_a_damaged_trial_is_named_set_aside_and_counts_as_failed(tmp_path, content) -> None:
    tried = run(make(tmp_path), 3)
    damaged = tmp_path / "search" / "trial_1" / "trial.json"
    damaged.write_text(content)
    oracle, (note,) = reload(tmp_path)
    assert str(damaged) in note
    assert "is damaged" in note
    assert damaged.with_name("trial.json.damaged").read_text() == content
    assert [oracle.trials[trial_id].status for trial_id in oracle.start_order] == ["COMPLETED", "FAILED", "COMPLETED"]
    more = run(oracle, 10)
    assert len(more) == 3
    assert not set(more) & {tried[0], tried[2]}


def test_a_damaged_oracle_is_made_anew_from_its_trials(tmp_path) -> None:
    whole = run(make(tmp_path / "whole"), 6)
    cut = run(make(tmp_path), 3)
    (tmp_path / "search" / "oracle.json").write_text('{"ongoing_trials": {}, "sta')
    oracle, (note,) = reload(tmp_path)
    assert "oracle.json is damaged" in note
    assert cut + run(oracle, 10) == whole


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damaged", ["oracle.json", "trial_1/trial.json"])
def test_every_strategy_goes_on_after_damage(tmp_path, name, damaged) -> None:
    whole = run(make(tmp_path / "whole", name), 10)
    tried = run(make(tmp_path, name), 3)
    (tmp_path / "search" / damaged).write_text("")
    oracle, notes = reload(tmp_path, name)
    assert len(notes) == 1
    more = run(oracle, 10)
    if name != "grid":
        assert len(more) == len(whole) - 3
    else:  # it ends when it has gone through its points, a lost one too
        assert tried + more == whole if damaged == "oracle.json" else sorted(tried + more) == sorted([*whole, tried[1]])


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("way", ["damaged", "removed"])
def test_no_trial_gets_the_number_of_one_before_after_damage_to_both(tmp_path, lost, way) -> None:
    """The new trial would continue from the training state of the old one, and the search would not end."""
    tried = run(make(tmp_path), 3)
    trial = tmp_path / "search" / f"trial_{lost}" / "trial.json"
    trial.write_text("")
    run(reload(tmp_path)[0], 1)
    (tmp_path / "search" / "oracle.json").write_text("")
    if way == "removed":
        trial.with_name("trial.json.damaged").unlink()
    oracle, _ = reload(tmp_path)
    more = run(oracle, 10)
    assert [int(one) for one in oracle.start_order] == list(range(6))
    assert len(more) == 2
    assert not set(more) & {value for number, value in enumerate(tried) if number != lost}


def test_a_trial_that_was_running_when_the_oracle_was_damaged_goes_on(tmp_path) -> None:
    oracle = make(tmp_path)
    run(oracle, 1)
    running = oracle.create_trial("tuner0")
    (tmp_path / "search" / "oracle.json").write_bytes(b"\x00\x00")
    oracle, _ = reload(tmp_path)
    assert oracle.create_trial("tuner0").trial_id == running.trial_id


@pytest.mark.parametrize("write", range(1, 12))
def test_a_kill_before_any_write_costs_no_trial_and_runs_none_twice(tmp_path, monkeypatch, write) -> None:
    """Every write of two trials is the one that does not happen."""
    whole = run(make(tmp_path / "whole"), 6)

    class Killed(BaseException):
        pass

    writes = []

    def counted(*arguments):
        writes.append(arguments)
        if len(writes) == write:
            raise Killed
        return real(*arguments)

    real = files.write_bytes
    oracle = make(tmp_path)
    oracle.save()
    monkeypatch.setattr(files, "write_bytes", counted)
    with contextlib.suppress(Killed):
        run(oracle, 3)
    monkeypatch.setattr(files, "write_bytes", real)
    oracle, notes = reload(tmp_path)
    run(oracle, 10)
    assert notes == []
    assert [oracle.trials[trial_id].hyperparameters.values["x"] for trial_id in oracle.start_order] == whole
    assert oracle.end_order == oracle.start_order


def test_a_trial_whose_end_was_saved_without_its_file_is_run_again(tmp_path, monkeypatch) -> None:
    """Ctrl-C came while its file was written, and another trial ended after it."""
    oracle = make(tmp_path)
    trials = [oracle.create_trial(name) for name in ("tuner0", "tuner1")]
    for trial in trials:
        oracle.update_trial(trial.trial_id, {"score": 0.5}, step=2)
        trial.status = "COMPLETED"
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(oracle, "_save_trial", _interrupt)
        oracle.end_trial(trials[0])
    oracle.end_trial(trials[1])
    oracle, _ = reload(tmp_path)
    assert oracle.end_order == [trials[1].trial_id]
    assert oracle.create_trial("tuner0").trial_id == trials[0].trial_id
    assert oracle.create_trial("tuner1").trial_id == "2"


def _interrupt(*arguments) -> None:
    raise KeyboardInterrupt
