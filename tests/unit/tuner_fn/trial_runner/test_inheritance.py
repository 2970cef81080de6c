"""New configurations that start from a trained one's weights."""

import math
import pathlib

import keras_tuner
import numpy as np
import pytest
from tuning import FakeProcess, make, search, states


def test_a_new_configuration_inherits_from_the_nearest_trained_one(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, inherit=True, max_trials=8))
    rows.sort(key=lambda row: row["trial"])
    *jobs, repeated = process.jobs
    rates = [math.log(process.rate(job)) for job in jobs]  # the space's scale is logarithmic
    nearest = [int(np.argmin(np.abs(np.subtract(rates[:n], rates[n])))) for n in range(1, 8)]
    assert len(set(nearest)) > 2
    assert [row["inherited"] for row in rows] == [None, *(rows[n]["trial"] for n in nearest)]
    files = [job.inherit_from for job in jobs]
    assert files == [None, *(jobs[n].checkpoint for n in nearest)]
    assert all(row["parent"] is None for row in rows)
    assert (process.rate(repeated), repeated.inherit_from) == (max(map(process.rate, jobs)), None)  # to be compared


def test_neither_a_configuration_that_goes_on_nor_a_failed_one_has_part_in_inheritance(process, tmp_path) -> None:
    process.actions = {1: keras_tuner.errors.FailedTrialError("NaN")}
    rows = search(make(tmp_path, process, "hyperband", inherit=True))
    assert any(row["parent"] for row in rows)
    assert {row["inherited"] for row in rows if row["parent"]} == {None}
    assert [row["trial"] for row in rows if not (row["parent"] or row["inherited"])] == ["0000"]
    assert rows[-1]["status"] == "failed"
    assert rows[-1]["trial"] not in {row["inherited"] for row in rows}


@pytest.mark.parametrize("strategy", ["asha", "random"])
def test_donors_are_kept_within_the_disk_limit_and_an_interrupted_search_finds_the_same(
    process, tmp_path, strategy
) -> None:
    settings = {"max_trials": None, "max_epochs_total": 32, "max_epochs": 4, "inherit": True}
    limit = 3 * len(b"state")
    process.actions = {2: KeyboardInterrupt(), 4: KeyboardInterrupt()}
    for _ in process.actions:
        with pytest.raises(KeyboardInterrupt):
            search(make(tmp_path, process, strategy, max_disk_bytes=limit, **settings))
    rows = search(make(tmp_path, process, strategy, max_disk_bytes=limit, **settings))
    assert len(states(tmp_path)) == 3
    whole = search(make(tmp_path / "whole", FakeProcess(), strategy, max_disk_bytes=limit, **settings))
    assert [(row["trial"], row["inherited"]) for row in rows] == [(row["trial"], row["inherited"]) for row in whole]
    unlimited = make(tmp_path / "unlimited", FakeProcess(), strategy, **settings)
    search(unlimited)
    assert states(tmp_path / "unlimited") >= set(unlimited.oracle.trained())
    assert len(unlimited.oracle.trained()) > 3


def test_a_trial_whose_donor_was_damaged_is_said_to_inherit_nothing(process, tmp_path) -> None:
    train = process.train

    def set_aside(job, *others):  # as training does with a donor that it cannot read
        history = train(job, *others)
        if len(process.jobs) == 2:
            pathlib.Path(job.inherit_from).unlink()
        return history

    process.train = set_aside
    rows = search(make(tmp_path, process, inherit=True))
    inherited = {int(row["trial"]): row["inherited"] for row in rows}
    assert inherited[0] is inherited[1] is None
    assert {inherited[2], inherited[3]} <= {"1", "2"}
