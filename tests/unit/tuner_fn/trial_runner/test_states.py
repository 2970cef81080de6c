"""Which states of trainings stay on disk, and what continues from them."""

import pathlib

import keras_tuner
import pytest
from tuning import FakeProcess, best_config, make, search, states

from data import progress
from models.hyperparameters import ExperimentConfig
from tuner_fn import oracles, reporting, search_space


def test_a_kill_between_the_ends_of_trial_and_oracle_keeps_the_parents_state(process, tmp_path) -> None:
    """The trial is saved as completed and runs again: what it continues from must still be there."""
    whole = search(make(tmp_path / "whole", process, "hyperband"))
    trials = [job for job in process.jobs if "repeat_" not in job.checkpoint]
    promoted = [index for index, job in enumerate(trials) if job.start_from]
    for number in promoted:
        folder, cut = tmp_path / str(number), FakeProcess()
        cut.actions = {number: KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt):
            search(make(folder, cut, "hyperband"))
        path = pathlib.Path(cut.jobs[number].checkpoint).with_name("trial.json")
        path.write_text(path.read_text().replace('"RUNNING"', '"COMPLETED"'))
        rows = search(make(folder, cut, "hyperband"))
        assert [(row["trial"], row["score"]) for row in rows] == [(row["trial"], row["score"]) for row in whole]


def test_a_promoted_trial_starts_from_its_parents_state(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, "hyperband"))
    promoted = [row for row in rows if row["parent"]]
    starts = [job.start_from for job in process.jobs if job.start_from and "repeat_" not in job.checkpoint]
    assert promoted
    parents = [reporting.state_file(tmp_path / "search" / f"trial_{row['parent']}") for row in promoted]
    assert sorted(map(str, starts)) == sorted(map(str, parents))


def start_and_leaders(rows: list[dict], max_epochs: int) -> set[str]:
    """Names the longest trial of the start, the best of the others, of whole trainings where there are any, and the
    best of all."""
    done = [row for row in rows if row["status"] == "completed"]
    settings = next(row["hyperparameters"] for row in rows if int(row["trial"]) == 0)
    own = [row for row in done if row["hyperparameters"] == settings]
    others = [row for row in done if row["hyperparameters"] != settings]
    found = [max(own, key=lambda row: row["epochs"]), max(done, key=lambda row: row["score"])]
    if others:
        found.append(max(others, key=lambda row: (row["epochs"] == max_epochs, row["score"])))
    return {row["trial"] for row in found}


@pytest.mark.parametrize("strategy", oracles.NAMES)
def test_states_of_start_and_leaders_stay_and_those_that_no_later_trial_needs_are_deleted(
    process, tmp_path, strategy
) -> None:
    """`FakeProcess` checks that those that are continued are there."""
    process.curve = lambda epoch: epoch / 8
    tuner = make(tmp_path, process, strategy, max_trials=None, max_epochs_total=60, max_epochs=8)

    def listener(kind: str, fields: dict) -> None:
        if kind == "trial" and fields["state"] == "started" and fields["number"] > 1:
            assert states(tmp_path) >= start_and_leaders(tuner.leaderboard(), 8)

    with progress.listen(listener):
        rows = search(tuner)
    assert states(tmp_path) == start_and_leaders(rows, 8) | {*tuner.oracle.resumable()}
    if strategy not in ("freeze_thaw", "hyperband", "asha"):
        assert len(states(tmp_path)) == 2


def test_the_final_training_goes_on_from_the_winners_state(process, tmp_path) -> None:
    for folder, luck in (("start", 0.0), ("other", 0.1)):
        process.luck = {} if not luck else {(rate, 0): luck for rate in map(process.rate, process.jobs[1:2])}
        tuner = make(tmp_path / folder, process, config=ExperimentConfig().replace({"training.epochs": 2}))
        rows = search(tuner)
        assert rows[0]["trial"] == {"start": "0", "other": "1"}[folder]
        (best,) = tuner.get_best_hyperparameters()
        state = reporting.state_file(tmp_path / folder / "search" / f"trial_{rows[0]['trial']}")
        assert (best.values["tuner/state"], best.values["training.epochs"]) == (str(state), 2)
        assert state.exists()
        assert search_space.configuration(tuner.config, best.values) == best_config(tmp_path / folder)


def test_a_state_beyond_the_final_training_is_no_part_of_it(process, tmp_path) -> None:
    """`FakeProcess` trains two epochs of one."""
    tuner = make(tmp_path, process, config=ExperimentConfig().replace({"training.epochs": 1}))
    search(tuner)
    (best,) = tuner.get_best_hyperparameters()
    assert best.values["training.epochs"] == 1
    assert "tuner/state" not in best.values


@pytest.mark.parametrize("settings", [{"fidelity": {"training.data_share": 0.5}}, {"inherit": True}])
def test_a_state_of_less_data_or_of_inherited_weights_is_nothing_to_go_on_from(process, tmp_path, settings) -> None:
    """Nor is that of a trial that continued from one with inherited weights."""
    tuner = make(tmp_path, process, "hyperband", repeats=2, **settings)
    search(tuner)
    ranked = [row for row in tuner.leaderboard() if row["rank"]]
    found = tuner.get_best_hyperparameters(len(ranked))
    assert len(found) == len(ranked) > 5
    own = {row["trial"] for row, best in zip(ranked, found, strict=True) if "tuner/state" in best.values}
    assert own == ({"0000"} if "inherit" in settings else set()) < states(tmp_path)
    if "inherit" in settings:
        assert states(tmp_path) & {row["trial"] for row in ranked if row["parent"]}


@pytest.mark.parametrize("strategy", ["freeze_thaw", "asha"])
def test_the_disk_limit_gives_up_the_least_promising(process, tmp_path, strategy) -> None:
    budget = {"max_trials": None, "max_epochs_total": 60, "max_epochs": 8}
    limit = 3 * len(b"state")
    process.actions = {9: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path, process, strategy, max_disk_bytes=limit, **budget))
    assert len(states(tmp_path)) <= 3
    rows = search(make(tmp_path, process, strategy, max_disk_bytes=limit, **budget))
    assert len(states(tmp_path)) <= 3
    whole = search(make(tmp_path / "whole", FakeProcess(), strategy, max_disk_bytes=limit, **budget))
    assert [(row["trial"], row["score"]) for row in rows] == [(row["trial"], row["score"]) for row in whole]
    assert any(row["parent"] for row in rows)
    search(make(tmp_path / "unlimited", FakeProcess(), strategy, **budget))
    assert len(states(tmp_path / "unlimited")) > 3


def test_a_disk_limit_below_what_a_bracket_needs_stops_the_search_and_loses_nothing(process, tmp_path) -> None:
    budget = {"max_trials": None, "max_epochs": 9, "factor": 3}
    with pytest.raises(keras_tuner.errors.FatalError, match=r"take 1e-08 GB, more than --max_disk_gb=5e-09. Raise it"):
        search(make(tmp_path, process, "hyperband", max_disk_bytes=5, **budget))
    done = len(process.jobs)
    rows = search(make(tmp_path, process, "hyperband", **budget))
    whole = search(make(tmp_path / "whole", FakeProcess(), "hyperband", **budget))
    assert [(row["trial"], row["score"]) for row in rows] == [(row["trial"], row["score"]) for row in whole]
    trials = [job for job in process.jobs if "repeat_" not in job.checkpoint]
    assert len(trials) == len(rows) > done


def test_a_disk_limit_gives_up_no_state_that_stays_anyway(process, tmp_path) -> None:
    """Room for one state of five bytes and a half: the best one's is kept to be exported, and may be continued."""
    budget = {"max_trials": None, "max_epochs": 8, "max_epochs_total": 40}
    process.curve = lambda epoch: epoch / 8
    tuner = make(tmp_path, process, "asha", max_disk_bytes=7, **budget)
    given_up, retire = [], tuner.oracle.retire

    def watched(trial_id: str) -> bool:
        done = [row for row in tuner.leaderboard() if row["rank"]]
        given_up.append((trial_id, max(done, key=lambda row: row["score"])["trial"]))
        return retire(trial_id)

    tuner.oracle.retire = watched
    search(tuner)
    assert given_up
    assert all(trial_id != best for trial_id, best in given_up)
    assert len(states(tmp_path)) == 1


def test_a_disk_limit_gives_up_the_finalists_states_last(process, tmp_path) -> None:
    """Room for three: start, challenger, and one that may be continued."""
    process.curve = lambda epoch: epoch / 8
    settings = {"max_trials": None, "max_epochs": 8, "max_epochs_total": 60, "max_disk_bytes": 3 * len(b"state")}
    tuner = make(tmp_path, process, "asha", **settings)

    def listener(kind: str, fields: dict) -> None:
        if kind == "trial" and fields["state"] == "started" and fields["number"] > 2:
            running = tuner.oracle.trials[fields["trial_id"]].hyperparameters.values
            needed = {running["tuner/trial_id"]} if "tuner/trial_id" in running else set()
            if len(needed | start_and_leaders(tuner.leaderboard(), 8)) <= 3:
                assert states(tmp_path) >= start_and_leaders(tuner.leaderboard(), 8)
            assert len(states(tmp_path)) <= 3

    with progress.listen(listener):
        rows = search(tuner)
    assert any(row["parent"] for row in rows)
    assert states(tmp_path) >= start_and_leaders(rows, 8)
