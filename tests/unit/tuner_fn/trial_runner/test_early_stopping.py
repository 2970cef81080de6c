"""Trials that are stopped early."""

import optuna
import pytest
from tuning import FakeProcess, make, search

from data import progress
from tuner_fn import optuna_study

EARLY = {"early_stopping": 0.1, "max_trials": None, "max_epochs_total": 48, "max_epochs": 4}


def test_epochs_that_stopped_trials_were_not_trained_go_back_to_the_budget(process, tmp_path) -> None:
    """The formula's curves do not rise, so that every trial below the best of eight is stopped after an epoch."""
    ends: list[dict] = []
    tuner = make(tmp_path, process, **EARLY)
    with progress.listen(lambda kind, fields: ends.append(fields) if kind == "trial" else None):
        rows = search(tuner)
    shown = {fields["trial_id"]: fields["reason"] or "" for fields in ends if fields["state"] == "done"}
    assert shown == {row["trial"]: row["reason"] for row in rows}
    stopped = [row for row in rows if row["reason"]]
    last_was_cut = [row for row in rows if not row["reason"] and row["epochs"] < 4]
    assert {(row["status"], row["reason"], row["epochs"]) for row in stopped} == {
        ("completed", "stopped early after 1 of 4 epochs", 1)
    }
    assert len(stopped) > 5
    assert len(last_was_cut) <= 1
    assert sum(row["epochs"] for row in rows) == 48
    assert tuner.oracle.planned_trials() == len(rows) > 48 / 4
    assert tuner.end_reason == "the budget of 48 epochs is spent"
    assert not rows[0]["reason"]
    assert all(list(job.validate_at) == list(range(1, job.epochs + 1)) for job in process.jobs)
    known = [len(job.stopping.curves) for job in process.jobs]
    assert known[:9] == list(range(9))
    assert known[-1] < len(rows) - len(stopped)  # what was stopped or cut is not an example of a whole training
    path = str(tmp_path / "search" / optuna_study.STUDY_FILE)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    states = [trial.state.name for trial in optuna.load_study(study_name="search", storage=storage).trials]
    assert states.count("PRUNED") == len(stopped)


def test_trials_are_stopped_by_the_objective(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, metric="AP50", **EARLY))
    stopped = [row["AP50"] for row in rows if row["reason"]]
    assert len(stopped) > 5
    best = max((row for row in rows if not row["reason"]), key=lambda row: row["AP50"])
    assert max(stopped) < best["AP50"]
    assert max(row["AP"] for row in rows if row["reason"]) > best["AP"]


def test_the_plan_counts_what_stopping_saves_with_a_number_of_trials(process, tmp_path) -> None:
    tuner = make(tmp_path, process, **EARLY | {"max_trials": 14, "max_epochs_total": None})
    rows = search(tuner)
    assert tuner.oracle.planned_trials() == len(rows) == 14
    assert tuner.oracle.planned_epochs() == sum(row["epochs"] for row in rows) < 14 * 4


def test_a_search_that_stops_trials_early_goes_on_as_if_it_had_not_been_interrupted(tmp_path) -> None:
    cut, whole = FakeProcess(), FakeProcess()
    for number in (9, 12):
        cut.actions = {number: KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt):
            search(make(tmp_path / "cut", cut, **EARLY))
    cut.actions = {}
    rows = search(make(tmp_path / "cut", cut, **EARLY))
    assert rows == search(make(tmp_path / "whole", whole, **EARLY))
    assert any(row["reason"] for row in rows)
    assert [job.stopping for job in cut.jobs[:9]] == [job.stopping for job in whole.jobs[:9]]


def test_who_was_stopped_early_is_no_finalist_and_none_is_stopped(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, repeats=2, seed=3, **EARLY))
    assert any(row["reason"] for row in rows)
    finalists = [row for row in rows if row["seeds"]]
    assert [(row["reason"], row["epochs"], row["seeds"]) for row in finalists] == [("", 4, 2)] * 2
    repeated = [job for job in process.jobs if "repeat_" in job.checkpoint]
    assert [(job.epochs, job.stopping) for job in repeated] == [(4, None)] * 2
