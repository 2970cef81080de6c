"""Several trials at a time: the order in which they end decides, and whoever has the journal repeats it."""

import json
import os
import pathlib
import random
import shutil
import threading
import time

import keras_tuner
import pytest
import tuning
from tuning import FakeProcess, search

from data import progress
from models.hyperparameters import ExperimentConfig
from tuner_fn import journal, oracles, search_space
from tuner_fn.clock import TimeIsUpError
from tuner_fn.supervisor import CancelledError
from tuner_fn.trial_runner import DetectionTuner


class UnevenProcess(FakeProcess):
    """Trains in its own time."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.draw, self.is_cancelled = random.Random(seed), threading.Event()
        self.before: list = []  # what is called before a training, once each

    def train(self, job, on_epoch, timeout_s):
        if self.before:
            self.before.pop()()
        if self.is_cancelled.wait(self.draw.uniform(0.0, 0.02)):
            raise CancelledError
        return super().train(job, on_epoch, timeout_s)

    def cancel(self) -> None:
        self.is_cancelled.set()

    def close(self) -> None:
        super().close()
        self.is_cancelled.clear()


def make_processes(count: int, seed: int = 0) -> list[UnevenProcess]:
    return [UnevenProcess(10 * seed + number) for number in range(count)]


def make(folder: pathlib.Path, count: int, strategy: str = "random", *, seed_of_luck: int = 0, **settings):
    return tuning.make(folder, make_processes(count, seed_of_luck), strategy, **settings)


def events(folder: pathlib.Path) -> list[tuple[str, str]]:
    text = (folder / "search" / journal.FILE_NAME).read_text()
    return [(one["event"], one["trial"]) for one in map(json.loads, text.splitlines())]


def results(rows: list[dict]) -> list[tuple]:
    names = ("trial", "score", "epochs", "status", "reason", "parent", "inherited", "mean", "seeds")
    return [tuple(row[name] for name in names) for row in rows]


def repeat(source: pathlib.Path, folder: pathlib.Path) -> None:
    """Leaves the journal of a search in the folder of a new one."""
    (folder / "search").mkdir(parents=True)
    shutil.copy(source / "search" / journal.FILE_NAME, folder / "search")


@pytest.fixture(autouse=True)
def _no_export(monkeypatch):
    monkeypatch.setattr(DetectionTuner, "_export_best", lambda self: None)


@pytest.mark.parametrize("strategy", oracles.NAMES)
def test_whoever_has_the_journal_repeats_the_search_with_any_number_of_workers(tmp_path, strategy) -> None:
    """Each strategy decides by what has ended: the same order leads to the same trials, scores and parents."""
    names = (*tuning.NAMES, "loss.l2", "model.alpha")
    budget = {"max_trials": None, "max_epochs_total": 60, "max_epochs": 6, "inherit": True, "repeats": 2}
    budget["ranges"] = search_space.pick({}, names, ExperimentConfig())
    rows = search(make(tmp_path / "first", 3, strategy, **budget))
    seen = events(tmp_path / "first")
    assert [one for one in seen if one[0] == "start"] != seen[::2]  # they overlapped
    assert len(rows) > 6
    for count in (1, 2, 4):
        folder = tmp_path / str(count)
        repeat(tmp_path / "first", folder)
        again = search(make(folder, count, strategy, seed_of_luck=count, **budget))
        assert results(again) == results(rows)
        assert events(folder) == seen


@pytest.mark.parametrize("strategy", ["freeze_thaw", "hyperband", "asha"])
def test_a_search_that_was_interrupted_is_what_its_journal_says(tmp_path, strategy) -> None:
    """Cut short while other trials run, with weights inherited: what is at hand then is the same later."""
    budget = {"max_trials": None, "max_epochs_total": 100, "max_epochs": 6, "inherit": True}
    for number in range(3):
        tuner = make(tmp_path / "cut", 3, strategy, seed_of_luck=number, **budget)
        tuner.processes[0].actions = {1: keras_tuner.errors.FatalError("cut short")}
        with pytest.raises(keras_tuner.errors.FatalError, match="cut short"):
            search(tuner)
    rows = search(make(tmp_path / "cut", 3, strategy, **budget))
    repeat(tmp_path / "cut", tmp_path / "whole")
    assert results(search(make(tmp_path / "whole", 2, strategy, **budget))) == results(rows)
    assert any(row["inherited"] for row in rows)


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 4])  # more workers wait more often
def test_a_bracket_that_waits_keeps_its_states_while_the_next_one_runs(tmp_path, count) -> None:
    """`FakeProcess` trains nothing whose parent's state is gone; each promotion counts its own epochs alone."""
    for number in range(3):
        folder = tmp_path / str(number)
        search(make(folder, count, "hyperband", seed_of_luck=number, max_epochs=9, factor=3, max_epochs_total=200))
        rows = json.loads((folder / "search" / "leaderboard.json").read_text())
        assert sum(row["parent"] is not None for row in rows) > 3


def test_what_was_trained_when_the_minutes_end_is_in_the_leaderboard(tmp_path) -> None:
    tuner = make(tmp_path, 2, max_trials=12)
    started: list[int] = []

    def may_start() -> None:
        started.append(len(started))
        if len(started) == 3:
            time.sleep(0.2)  # the thread that decides is busy, and both trials are trained meanwhile
            raise TimeIsUpError("the minutes are over")

    tuner.pre_create_trial = may_start
    rows = search(tuner)
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert [kind for kind, _ in events(tmp_path)] == ["start", "start", "end", "end"]


def test_a_trial_that_is_continued_is_validated_where_it_was_before(tmp_path) -> None:
    """The end of the start raises the rungs of later trials; one that began before keeps its own."""
    budget = {"max_trials": None, "max_epochs_total": 80, "max_epochs": 20, "min_epochs": 2}
    cut = make(tmp_path, 2, "freeze_thaw", **budget)
    for process in cut.processes:
        process.curve = lambda epoch: epoch / 20
    second = cut.processes[1]

    def wait_for_the_start() -> None:
        deadline = time.monotonic() + 60
        while not cut.oracle.end_order and time.monotonic() < deadline:
            time.sleep(0.01)

    second.before, second.actions = [wait_for_the_start], {0: keras_tuner.errors.FatalError("cut short")}
    with pytest.raises(keras_tuner.errors.FatalError, match="cut short"):
        search(cut)
    before = cut.oracle.rungs_after([])
    assert before != cut.oracle.rungs
    (job,) = second.jobs
    assert list(job.validate_at) == before
    continued = make(tmp_path, 2, "freeze_thaw", **budget)
    search(continued)
    again = [one for process in continued.processes for one in process.jobs if one.checkpoint == job.checkpoint]
    assert [list(one.validate_at) for one in again] == [before]


def test_all_workers_are_busy_and_no_trial_exceeds_the_budget(tmp_path) -> None:
    tuner, all_at_once = make(tmp_path, 4, max_trials=None, max_epochs=2, max_epochs_total=31), threading.Barrier(4)
    for process in tuner.processes:
        process.before = [lambda: all_at_once.wait(60)]  # the first trial of each waits for the others
    rows = search(tuner)
    assert not all_at_once.broken
    assert sum(row["epochs"] for row in rows) == 31
    assert len({row["trial"] for row in rows}) == 16


class PlacedProcess(UnevenProcess):
    """Works in one of a cluster's places, which it holds until it is released, as an actor of Ray does."""

    def __init__(self, seed: int, places: threading.Semaphore) -> None:
        super().__init__(seed)
        self.places, self.holds = places, threading.Lock()

    def train(self, job, on_epoch, timeout_s):
        self._take_a_place()
        return super().train(job, on_epoch, timeout_s)

    def costs(self, job, timeout_s):
        self._take_a_place()
        return super().costs(job, timeout_s)

    def release(self) -> None:
        if self.holds.locked():
            self.holds.release()
            self.places.release()

    def close(self) -> None:
        super().close()
        self.release()

    def _take_a_place(self) -> None:
        if not self.holds.locked():
            if not self.places.acquire(timeout=20.0):
                raise keras_tuner.errors.FatalError("No place became free.")
            self.holds.acquire()


@pytest.mark.parametrize("places", [1, 2])
def test_a_cluster_with_fewer_places_than_processes_measures_times_and_does_not_hang(tmp_path, places) -> None:
    """One that waits for the times of others holds no place; what is known needs no waiting."""
    free = threading.Semaphore(places)
    processes = [PlacedProcess(number, free) for number in range(3)]
    settings = {"second_objective": "latency", "ranges": tuning.with_width(0.35, 0.5, 0.75, 1.0), "max_trials": 12}
    rows = search(tuning.make(tmp_path, processes, **settings))
    assert [row["status"] for row in rows] == ["completed"] * 12
    assert all(row["latency_ms"] for row in rows)
    assert len([job for process in processes for job in process.counted]) <= 4  # each network once


def test_one_worker_leaves_no_journal(tmp_path) -> None:
    search(make(tmp_path, 1))
    assert not (tmp_path / "search" / journal.FILE_NAME).exists()


def test_one_worker_that_repeats_a_journal_does_not_look_at_the_time(tmp_path) -> None:
    """The minutes that are left would change what it proposes."""
    settings = {"max_trials": 12, "max_epochs": 4, "max_minutes": 5.0}
    search(make(tmp_path / "several", 3, "freeze_thaw", **settings))
    repeat(tmp_path / "several", tmp_path / "one")
    one = make(tmp_path / "one", 1, "freeze_thaw", **settings)
    search(one)
    assert one.oracle.epochs_in_time is None
    alone = make(tmp_path / "alone", 1, "freeze_thaw", **settings)
    search(alone)
    assert alone.oracle.epochs_in_time > 0


def test_a_mistake_in_one_process_ends_the_search_and_the_others_continue_their_trials_later(tmp_path) -> None:
    tuner = make(tmp_path, 3, max_trials=12)
    tuner.processes[1].actions = {1: keras_tuner.errors.FatalError("TypeError: wrong argument")}
    with pytest.raises(keras_tuner.errors.FatalError, match="TypeError: wrong argument"):
        search(tuner)
    assert all(process.closed for process in tuner.processes)
    rows = json.loads((tmp_path / "search" / "leaderboard.json").read_text())
    assert 0 < sum(row["status"] == "running" for row in rows) <= 3
    before = events(tmp_path)
    again = search(make(tmp_path, 2, max_trials=12))
    assert events(tmp_path)[: len(before)] == before
    assert sorted(row["trial"] for row in again) == [f"{number:02d}" for number in range(12)]
    assert {row["status"] for row in again} == {"completed"}


@pytest.mark.parametrize("write", range(1, 11))
@pytest.mark.parametrize("name", ["trial.json", journal.FILE_NAME])
def test_ctrl_c_while_a_trial_begins_or_ends_loses_none_and_leaves_the_journal_true(
    tmp_path, monkeypatch, name, write
) -> None:
    """It comes as soon as a file was written, before anything else is done; others are trained meanwhile."""
    real, writes = os.fsync, []

    def interrupted(descriptor: int) -> None:
        real(descriptor)
        writes.extend([name] * (name in os.readlink(f"/proc/self/fd/{descriptor}")))
        if writes and len(writes) == write:
            writes.append("interrupted")
            time.sleep(0.05)
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path, 3, max_trials=6))
    monkeypatch.setattr(os, "fsync", real)
    notes: list[str] = []
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        rows = search(make(tmp_path, 3, max_trials=6))
    assert [row["status"] for row in rows] == ["completed"] * 6
    assert not any("cannot happen again" in note or "damaged" in note for note in notes)
    seen = events(tmp_path)
    assert len(seen) == len(set(seen)) == 12


def test_ctrl_c_before_a_thread_starts_is_an_interruption_and_loses_no_trial(tmp_path, monkeypatch) -> None:
    real, started = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == 3:
            raise KeyboardInterrupt
        real(thread)

    tuner = make(tmp_path, 3, max_trials=6)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(tuner)
    monkeypatch.setattr(threading.Thread, "start", real)
    rows = search(make(tmp_path, 3, max_trials=6))
    assert [row["status"] for row in rows] == ["completed"] * 6


def test_a_failed_trial_costs_no_other_one(tmp_path) -> None:
    tuner = make(tmp_path, 2, max_trials=8)
    tuner.processes[0].actions = {1: keras_tuner.errors.FailedTrialError("NaN")}
    rows = search(tuner)
    assert sorted(row["status"] for row in rows) == ["completed"] * 7 + ["failed"]


def test_minutes_end_all_trials_at_once(tmp_path) -> None:
    budget = {"max_trials": None, "max_epochs": 2, "max_minutes": 0.05, "max_epochs_total": 100_000}
    tuner = make(tmp_path, 2, config=ExperimentConfig().replace({"training.epochs": 2}), **budget)
    began = time.monotonic()
    rows = search(tuner)
    assert time.monotonic() - began < 30
    assert tuner.end_reason.startswith("the 0.05 minutes are over")
    assert any(row["status"] == "completed" for row in rows)


def test_a_search_continues_with_more_and_with_fewer_workers(tmp_path) -> None:
    """As one worker, then four, then one: the trials are numbered on, and what ended stays as it was."""
    scores: dict[str, float] = {}
    for count, trials in ((1, 4), (4, 12), (1, 15)):
        rows = search(make(tmp_path, count, "freeze_thaw", max_trials=trials, max_epochs=4))
        found = {row["trial"]: row["score"] for row in rows}
        assert len(found) == trials
        numbered = {int(trial): score for trial, score in found.items()}
        assert scores.items() <= numbered.items()
        scores = numbered
    kinds = [kind for kind, _ in events(tmp_path)]
    assert kinds[:8] == ["start", "end"] * 4
    assert kinds.count("start") == kinds.count("end") == 15


def test_a_damaged_journal_is_set_aside_and_the_search_goes_on(tmp_path) -> None:
    search(make(tmp_path, 2, max_trials=4))
    path, notes = tmp_path / "search" / journal.FILE_NAME, []
    path.write_text("what?\n")
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        rows = search(make(tmp_path, 2, max_trials=8))
    assert any(note.startswith(f"{path} is damaged") for note in notes)
    assert len(rows) == 8
    assert len(events(tmp_path)) == 16


def test_a_journal_that_the_budget_no_longer_allows_is_said_and_left(tmp_path) -> None:
    search(make(tmp_path / "long", 2, max_trials=8))
    repeat(tmp_path / "long", tmp_path / "short")
    notes: list[str] = []
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        rows = search(make(tmp_path / "short", 2, max_trials=3))
    assert len(rows) == 3
    assert any("cannot happen again; the search continues without them." in note for note in notes)
    assert len(events(tmp_path / "short")) == 6


def test_the_state_that_was_damaged_is_made_anew_with_the_ends_in_their_order(tmp_path) -> None:
    rows = search(make(tmp_path, 3, max_trials=8))
    ended = [trial for kind, trial in events(tmp_path) if kind == "end"]
    (tmp_path / "search" / "oracle.json").write_text("")
    tuner = make(tmp_path, 3, max_trials=8)
    assert tuner.oracle.end_order == ended
    assert results(search(tuner)) == results(rows)
