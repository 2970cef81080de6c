"""Limits on a network's cost, and the front of score and cost."""

import keras_tuner
import pytest
from tuning import FakeProcess, make, search, with_width

from data import progress
from data.errors import UserError
from tuner_fn import pareto


def test_configurations_over_a_limit_cost_nothing_of_the_budget_and_are_counted(process, tmp_path) -> None:
    notes: list[str] = []
    budget = {"max_trials": None, "max_epochs_total": 8, "limits": {"max_parameters": 60, "max_file_mb": 0.4}}
    with progress.listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None):
        rows = search(make(tmp_path, process, ranges=with_width(0.35, 0.5), **budget))
    done = [row for row in rows if row["status"] == "completed"]
    rejected = [row for row in rows if row["status"] == "failed"]
    assert [row["parameters"] for row in done] == [35] * 4
    assert len(process.jobs) == 4
    assert {row["reason"] for row in rejected} >= {
        "100 parameters: more than the limit of 60.",
        "0.5 MB of the float32 file: more than the limit of 0.4.",
    }
    assert f"Configurations over a limit, not trained: {len(rejected)}." in notes[-1]


def test_a_limit_that_nothing_keeps_ends_the_search(process, tmp_path) -> None:
    budget = {"max_trials": None, "max_epochs_total": 8, "limits": {"max_parameters": 30}}
    tuner = make(tmp_path, process, ranges=with_width(0.35, 0.5), **budget)
    with pytest.raises(keras_tuner.errors.FatalError, match="No trial of the search succeeded: 100 parameters: more"):
        search(tuner)
    assert tuner.end_reason == "the last 100 configurations exceed a limit"
    assert len(process.counted) == 3  # each architecture once


def test_a_limit_that_no_searched_setting_changes_is_said_once(process, tmp_path) -> None:
    shown: list[dict] = []
    tuner = make(tmp_path, process, limits={"max_latency_ms": 0.9})
    with (
        progress.listen(lambda kind, fields: shown.append(fields) if kind == "trial" else None),
        pytest.raises(keras_tuner.errors.FatalError, match="limit of 0.9. No searched setting changes that") as caught,
    ):
        search(tuner)
    assert isinstance(caught.value.__cause__, UserError)
    assert len(shown) == 1


def test_a_time_near_its_limit_is_measured_again_and_the_least_counts(process, tmp_path) -> None:
    process.clock = [3.0, 1.1, 0.85]
    rows = search(make(tmp_path / "busy", process, limits={"max_latency_ms": 0.9}))
    assert {row["latency_ms"] for row in rows} == {0.85}
    process.clock = [0.5]
    search(make(tmp_path / "quiet", process, limits={"max_latency_ms": 0.9}))
    process.clock = [3.0, 3.0, 2.0]
    with pytest.raises(keras_tuner.errors.FatalError, match=r"2 ms an image \(runs up to 4\): more than"):
        search(make(tmp_path / "slow", process, limits={"max_latency_ms": 0.9}))


def test_a_decision_by_a_measured_time_stands_after_a_restart(process, tmp_path) -> None:
    settings = {"max_trials": 8, "limits": {"max_latency_ms": 0.7}, "ranges": with_width(0.5, 1.0)}
    process.actions = {2: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path / "cut", process, **settings))
    assert {job.settings["model"]["alpha"] for job in process.counted} == {0.5, 1.0}
    process.actions, process.clock = {}, 10.0  # now everything would be over the limit
    cut = search(make(tmp_path / "cut", process, **settings))
    whole = search(make(tmp_path / "whole", FakeProcess(), **settings))
    names = ("trial", "status", "score", "latency_ms", "reason")
    assert [[row[name] for name in names] for row in cut] == [[row[name] for name in names] for row in whole]
    assert {row["latency_ms"] for row in cut} == {0.5, None}


def test_the_front_of_score_and_cost_is_left_where_one_is_asked_for(process, tmp_path) -> None:
    folder = tmp_path / "search"
    rows = search(make(tmp_path, process, "hyperband", ranges=with_width(), second_objective="multiply_adds"))
    table = (folder / pareto.TABLE_FILE).read_text().splitlines()
    front = pareto.front_rows(rows, "multiply_adds")
    assert 1 < len(front) < len(rows)
    assert [line.split(",")[:3] for line in table[1:]] == [
        ["multiply_adds", str(row["rank"]), row["trial"]] for row in front
    ]
    assert (folder / pareto.PLOT_FILE).read_bytes().startswith(b"\x89PNG")
    search(make(tmp_path, process, "hyperband", ranges=with_width()))
    assert not (folder / pareto.TABLE_FILE).exists()
    assert not (folder / pareto.PLOT_FILE).exists()


def test_costs_that_are_asked_for_later_are_found_for_all_trials(process, tmp_path) -> None:
    """Each network is measured once, and nothing is trained again."""
    widths = with_width(0.35, 0.5)
    search(make(tmp_path, process, ranges=widths))
    count = len(process.jobs)
    for _ in range(2):
        rows = search(make(tmp_path, process, ranges=widths, second_objective="latency"))
        assert {row["latency_ms"] for row in rows} == {0.35, 1.0}
    assert len(process.jobs) == count
    assert len((tmp_path / "search" / pareto.TABLE_FILE).read_text().splitlines()) > 1
