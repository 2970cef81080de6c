"""What the minutes of a search are spent on; the seconds are counted by hand."""

import itertools
import json
import time
import types

import pytest
from tuning import MINUTES, FakeProcess, best_config, make, search, with_width

from data import progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import oracles


def test_the_search_stops_after_the_epoch_in_which_its_minutes_are_over(process, tmp_path, monkeypatch) -> None:
    clock = {"now_s": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: clock["now_s"])
    epochs: list[int] = []

    def listener(kind: str, fields: dict) -> None:
        if kind == "epoch":
            epochs.append(fields["epoch"])
            clock["now_s"] += 60.0

    with progress.listen(listener):
        config = MINUTES["config"].replace({"training.epochs": 3})
        tuner = make(tmp_path, process, max_epochs=3, max_minutes=4.5, config=config)
        rows = search(tuner)
    assert epochs == [1, 2, 3, 1, 2]  # the fifth epoch ends at 5 min
    assert tuner.end_reason == "the 4.5 minutes are over"
    assert [row["status"] for row in rows] == ["completed", "running"]
    rest = search(make(tmp_path, process, max_epochs=3, config=config))
    assert [row["status"] for row in rest] == ["completed"] * 4
    assert process.jobs[1] == process.jobs[2]  # the trial that was cut short continues


def test_the_minutes_count_over_all_starts(process, tmp_path, monkeypatch) -> None:
    clock = {"now_s": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: clock["now_s"])

    def listener(kind: str, fields: dict) -> None:
        clock["now_s"] += 60.0 * (kind == "epoch")

    config = MINUTES["config"].replace({"training.epochs": 3})
    minutes = {"max_trials": 50, "max_epochs": 3, "max_minutes": 10.5, "config": config}
    with progress.listen(listener):
        for cut in (1, 3):
            process.actions = {cut: KeyboardInterrupt()}
            with pytest.raises(KeyboardInterrupt):
                search(make(tmp_path, process, **minutes))
            clock["now_s"] += 1000.0  # nothing runs
        search(make(tmp_path, process, **minutes))
        assert clock["now_s"] == 60.0 * 11 + 2000.0  # the epoch in which they were over is the eleventh
        search(make(tmp_path, process, **minutes | {"max_minutes": 12.5}))
        assert clock["now_s"] == 60.0 * 13 + 2000.0


def test_what_an_earlier_start_took_before_its_search_counts(process, tmp_path, clock) -> None:
    """Ingestion took 15 of 30 minutes; a second start, which finds it in the cache, has the rest alone."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    process.epoch_s = lambda rate: 60.0
    minutes = {"max_trials": 50, "max_minutes": 30.0, "reserved_s": 0.0}
    process.actions = {1: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path, process, before_s=900.0, **MINUTES | minutes))
    assert clock["now_s"] == 4 * 60.0
    assert json.loads((tmp_path / "search" / "clock.json").read_text())["seconds"] >= 900.0
    search(make(tmp_path, process, before_s=20.0, **MINUTES | minutes))
    assert 20.0 + 900.0 + clock["now_s"] <= 1800.0 + 60.0


def test_the_time_to_expect_counts_networks_that_are_built_anew_and_ends_with_the_minutes(process, tmp_path) -> None:
    """Four trials of 2 epochs, 1 s each and 2 s a validation; 10 s to build a network of another width."""
    plans: list[dict] = []
    with progress.listen(lambda kind, fields: plans.append(fields) if kind == "plan" else None):
        search(make(tmp_path / "one", process))
        search(make(tmp_path / "widths", process, ranges=with_width(0.5, 1.0)))
        config = MINUTES["config"].replace({"training.epochs": 2})
        search(make(tmp_path / "minutes", process, ranges=with_width(0.5, 1.0), max_minutes=0.5, config=config))
    assert [round(plan["seconds"]) for plan in plans] == [16, 56, 30]


@pytest.mark.parametrize("strategy", oracles.NAMES)
@pytest.mark.parametrize(("minutes", "epochs"), [(1.0, 16), (0.35, 5), (0.15, 3)])
def test_minutes_without_room_for_a_search_are_one_longer_or_shorter_training(
    process, tmp_path, clock, strategy, minutes, epochs
) -> None:
    """The fake pace is 3 s an epoch with its validation: 1 min is 20 epochs, of which 4 * 4 are taken.

    Of 7 epochs a sixth is kept where 4 were asked for.
    """
    events: list[tuple] = []
    tuner = make(tmp_path, process, strategy, max_minutes=minutes, repeats=2, **MINUTES)
    with progress.listen(lambda kind, fields: events.append((kind, fields))):
        rows = search(tuner)
    (job,) = process.jobs
    assert (job.epochs, job.schedule_epochs, job.settings["training"]["epochs"]) == (epochs,) * 3
    assert [(row["trial"], row["status"], row["epochs"]) for row in rows] == [("0000", "completed", epochs)]
    (plan,) = (fields for kind, fields in events if kind == "plan")
    assert (plan["trials"], plan["epochs"]) == (1, epochs)
    notes = [fields["text"] for kind, fields in events if kind == "note"]
    assert sum(f"the only training takes {epochs} epochs" in note for note in notes) == 1
    (best,) = tuner.get_best_hyperparameters()
    assert best.values["training.epochs"] == best_config(tmp_path).training.epochs == epochs
    assert best.values["tuner/state"] == job.checkpoint


@pytest.mark.parametrize("strategy", oracles.NAMES)
def test_minutes_with_room_for_a_search_are_its_epochs_and_those_of_further_seeds(
    process, tmp_path, clock, strategy
) -> None:
    notes: list[str] = []
    tuner = make(tmp_path, process, strategy, max_minutes=2.0, repeats=2, **MINUTES)
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        search(tuner)
    assert sum("a search of 40 epochs" in note for note in notes) == 1
    assert tuner.oracle.epochs_given(tuner.oracle.trials) == 40 - 2 * 4
    assert tuner.end_reason.startswith("the budget of 32 epochs is spent")
    assert {job.settings["training"]["epochs"] for job in process.jobs} == {4}


@pytest.mark.parametrize(("minutes", "cut"), [(2.0, 3), (1.0, 0)])
@pytest.mark.parametrize("strategy", ["freeze_thaw", "hyperband", "random"])
def test_what_the_minutes_are_spent_on_is_decided_once(process, tmp_path, clock, strategy, minutes, cut) -> None:
    """After an interruption, too, when less time is left."""
    whole = search(make(tmp_path / "whole", FakeProcess(), strategy, max_minutes=minutes, repeats=2, **MINUTES))
    process.actions = {cut: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path, process, strategy, max_minutes=minutes, repeats=2, **MINUTES))
    (tmp_path / "search" / "clock.json").write_text('{"seconds": 10.0}')
    assert search(make(tmp_path, process, strategy, max_minutes=minutes, repeats=2, **MINUTES)) == whole
    assert process.jobs[cut] == process.jobs[cut + 1]


def test_a_search_that_is_done_is_not_measured_again(process, tmp_path, clock) -> None:
    whole = search(make(tmp_path, process, max_minutes=1.0, **MINUTES))
    process.measure = lambda job: pytest.fail("It measures.")
    assert search(make(tmp_path, process, max_minutes=1.0, **MINUTES)) == whole
    assert len(process.jobs) == 1


def test_the_only_training_comes_to_its_end_though_its_epochs_take_longer_than_measured(
    process, tmp_path, clock
) -> None:
    """There would be no model otherwise: the minutes are over after epoch 6 of 16."""

    def listener(kind: str, fields: dict) -> None:
        clock["now_s"] += 10.0 * (kind == "epoch")

    process.actions = {0: KeyboardInterrupt()}
    with progress.listen(listener):
        with pytest.raises(KeyboardInterrupt):
            search(make(tmp_path, process, max_minutes=1.0, **MINUTES))
        (tmp_path / "search" / "clock.json").write_text('{"seconds": 70.0}')  # nor does a restart cut it
        rows = search(make(tmp_path, process, max_minutes=1.0, **MINUTES))
    assert [(row["status"], row["epochs"]) for row in rows] == [("completed", 16)]


@pytest.mark.parametrize(("slow_s", "kept_s"), [(4.0, 78), (8.0, 102), (16.0, 144)])
def test_a_search_slower_than_measured_leaves_time_to_compare_its_best_with_the_start(
    process, tmp_path, clock, slow_s, kept_s
) -> None:
    """Three minutes have room for 60 epochs of 3 s, of which the finalists' second seed takes 8, and 10 s a training.

    They take 4 s each, or more for all but the start, which shows from the second epoch of such a trial on.
    """
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    process.epoch_s = lambda rate: 4.0 if rate == MINUTES["config"].optimizer.learning_rate else slow_s
    tuner = make(tmp_path, process, max_minutes=3.0, repeats=2, **MINUTES)
    rows = search(tuner)
    said = f"the 3 minutes are over, but for {kept_s} s that the trainings after the search need"
    assert tuner.end_reason == said
    # With epochs of 16 s nothing could be compared with the start.
    decision = json.loads((tmp_path / "search" / "decision.json").read_text())
    assert (decision is None) == (slow_s == 16.0)
    assert decision is None or decision["seeds"] == 2
    assert rows[0]["rank"] == 1
    assert clock["now_s"] <= 180.0


@pytest.mark.parametrize("slow_s", [3.0, 5.0])
def test_the_last_minutes_finish_two_configurations_though_epochs_take_longer_than_measured(
    process, tmp_path, clock, slow_s
) -> None:
    """20 minutes have room for 400 epochs of 3 s, so for 19 trainings of 20 epochs beside the second seed of one."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    process.epoch_s = lambda rate: slow_s
    process.curve = lambda epoch: epoch / 20
    config = MINUTES["config"].replace({"training.epochs": 20})
    settings = MINUTES | {"config": config, "max_epochs": 20, "max_minutes": 20.0, "repeats": 2}
    tuner = make(tmp_path, process, "freeze_thaw", **settings)
    search(tuner)
    whole = [one for one in tuner.oracle.configurations[1:] if one.epochs == 20]
    assert len(whole) >= 2
    assert clock["now_s"] <= 1200.0
    assert tuner.end_reason.startswith("the 20 minutes are over")


def test_a_slow_trial_does_not_end_the_search_early(process, tmp_path, clock) -> None:
    """The twelfth takes 12 s an epoch, the others 3 s. It is not the best, so nothing after the search is as slow."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    process.epoch_s = lambda rate: 12.0 if len(process.jobs) == 12 else 3.0
    process.luck = _Falling(process.jobs)
    config = MINUTES["config"].replace({"training.epochs": 10})
    settings = MINUTES | {"config": config, "max_epochs": 10, "max_minutes": 10.0, "repeats": 2}
    rows = search(make(tmp_path, process, **settings))
    assert len([row for row in rows if row["epochs"] == 10]) >= 13


def test_a_first_epoch_that_traces_does_not_end_a_search(process, tmp_path, clock) -> None:
    """It takes 15 s, which eight times over are the two minutes; the others take 1 s."""
    seconds = iter([15.0])
    process.advance = lambda _: clock.update(now_s=clock["now_s"] + next(seconds, 1.0))
    tuner = make(tmp_path, process, max_minutes=2.0, repeats=2, **MINUTES)
    search(tuner)
    assert tuner.end_reason.startswith("the budget of 32 epochs is spent")


def test_what_each_training_traces_once_is_not_counted_as_time_of_every_epoch(process, tmp_path, clock) -> None:
    """First epochs take 9 s, the others 1 s. With the mean of both, 66 s would be kept for the two to come."""
    begun: list[int] = []

    def epoch_s(rate: float) -> float:
        is_first = len(process.jobs) not in begun
        begun.append(len(process.jobs))
        return 9.0 if is_first else 1.0

    process.epoch_s, process.advance = epoch_s, lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    tuner = make(tmp_path, process, max_minutes=3.0, repeats=2, **MINUTES)
    rows = search(tuner)
    assert (rows[0]["seconds"], rows[0]["epoch_seconds"]) == (12.0, 1.0)
    assert tuner.end_reason == "the 3 minutes are over, but for 42 s that the trainings after the search need"


def test_what_the_first_validation_traces_is_not_counted_as_time_of_every_epoch(process, tmp_path) -> None:
    """Trials of four epochs are validated after the last one, which then takes 19 s; the first takes 9 s."""
    seconds = itertools.cycle([9.0, 1.0, 2.0, 19.0])
    process.epoch_s = lambda rate: next(seconds)
    rows = search(make(tmp_path, process, **MINUTES | {"max_trials": 3}))
    assert [row["epoch_seconds"] for row in rows] == [2.0] * 3


def test_a_presets_minutes_are_spent_on_so_many_trainings_at_most(process, tmp_path, clock) -> None:
    tuner = make(tmp_path, process, max_minutes=60.0, max_trainings=10, repeats=2, **MINUTES)
    search(tuner)
    assert tuner.oracle.epochs_given(tuner.oracle.trials) == 10 * 4 - 2 * 4


@pytest.mark.parametrize(("minutes", "seeds"), [(60.0, 4), (4.0, 2)])
def test_an_undecided_comparison_gets_further_seeds_where_the_minutes_have_room(
    process, tmp_path, clock, minutes, seeds
) -> None:
    """A challenger 0.0065 above the start is more likely better than not, but not surely enough."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    start = MINUTES["config"].optimizer.learning_rate
    process.epoch_s = lambda rate: 3.0
    process.luck = _Level(start, 0.0065)
    limits = {"max_minutes": minutes, "max_trainings": 10 if minutes == 60.0 else None}
    tuner = make(tmp_path, process, repeats=2, further_seeds=2, min_confidence=0.95, **limits, **MINUTES)
    rows = search(tuner)
    assert {row["seeds"] for row in rows if row["seeds"]} == {seeds}
    decision = json.loads((tmp_path / "search" / "decision.json").read_text())
    assert (decision["seeds"], decision["replaced"]) == (seeds, False)
    assert 0.5 < decision["confidence"] < 0.95
    assert clock["now_s"] < 60.0 * minutes


def test_further_seeds_never_exceed_epochs_that_were_asked_for(process, tmp_path) -> None:
    budget = {"max_trials": None, "max_epochs": 4, "max_epochs_total": 24}
    process.luck = _Level(ExperimentConfig().optimizer.learning_rate, 0.0065)
    tuner = make(tmp_path, process, repeats=2, further_seeds=2, min_confidence=0.95, **budget)
    rows = search(tuner)
    assert {row["seeds"] for row in rows if row["seeds"]} == {2}
    assert sum(job.epochs for job in process.jobs) == 24 + 2 * 4
    assert "give a larger budget" not in tuner.end_reason


class _Falling(dict):
    """Luck that lets each training score less than the one before."""

    def __init__(self, jobs: list) -> None:
        super().__init__()
        self._jobs = jobs

    def get(self, key, default=None):
        del default
        return 0.2 - 0.001 * len(self._jobs) - key[0]


class _Level(dict):
    """Luck that gives the start one score with every seed, and all others another one."""

    def __init__(self, start: float, gain: float) -> None:
        super().__init__()
        self._start, self._gain = start, gain

    def get(self, key, default=None):
        del default
        return 0.2 + self._gain * (key[0] != self._start) - key[0]


def test_shorter_trials_leave_time_for_the_rest_of_the_final_training(process, tmp_path, clock) -> None:
    """Three minutes are 60 epochs, of which the final training has 16 beside the 4 of its trial."""
    config = ExperimentConfig().replace({"training.epochs": 20})
    tuner = make(tmp_path, process, max_minutes=3.0, **MINUTES | {"config": config})
    search(tuner)
    assert tuner.oracle.epochs_given(tuner.oracle.trials) == 60 - 16


def test_minutes_for_less_than_an_epoch_are_an_error_and_nothing_is_trained(process, tmp_path, clock) -> None:
    with pytest.raises(UserError, match="`--max_minutes` leaves no time to train: an epoch takes 3 s"):
        search(make(tmp_path, process, max_minutes=2.0, reserved_s=118.0, **MINUTES))
    assert process.jobs == []
    assert process.closed


@pytest.mark.parametrize("has_budget", [False, True])
def test_many_test_images_leave_less_of_the_minutes_to_the_search(process, tmp_path, clock, has_budget) -> None:
    """A validation takes 2 s, and there are 60 times as many test images: 360 s of 600 are for the evaluation."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    process.epoch_s = lambda rate: 3.0
    settings = MINUTES | {"max_minutes": 10.0, "max_trials": 500 if has_budget else None}
    search(make(tmp_path / "few", process, **settings))
    assert 540.0 < clock["now_s"] <= 600.0
    clock["now_s"] = 0.0
    search(make(tmp_path / "many", process, test_share=60.0, **settings))
    assert 180.0 < clock["now_s"] <= 240.0


def test_a_message_says_what_many_test_images_take(process, tmp_path, clock) -> None:
    with pytest.raises(UserError, match="evaluation and export about 690 s. Give at least 12 minutes more"):
        search(make(tmp_path, process, max_minutes=1.0, reserved_s=90.0, test_share=100.0, **MINUTES))


def test_seeds_that_leave_nothing_of_the_minutes_are_an_error(process, tmp_path, clock) -> None:
    with pytest.raises(UserError, match="`--repeats` takes 40 epochs for further seeds"):
        search(make(tmp_path, process, max_minutes=2.0, repeats=6, **MINUTES))
    assert process.jobs == []


def slow_with_all_data(process, clock, slow_s: float = 8.0, fast_s: float = 2.0) -> None:
    """Has an epoch take `fast_s` with a part of the data, `slow_s` with all of it; validation is in them."""
    seconds = {"now": fast_s}

    def of(job) -> float:
        return slow_s if job.settings["training"]["data_share"] == 1.0 else fast_s

    train = process.train

    def timed(job, *arguments):
        seconds["now"] = of(job)
        return train(job, *arguments)

    process.train, process.epoch_s = timed, lambda rate: seconds["now"]
    process.advance = lambda passed: clock.update(now_s=clock["now_s"] + passed)
    process.measure = lambda job: types.SimpleNamespace(
        steps=10, images=80, validation_s=0.0, seconds=lambda epochs, validations: epochs * of(job)
    )


def test_minutes_count_the_final_trainings_at_their_own_pace(process, tmp_path, clock) -> None:
    """Trials with a quarter of the data take a quarter of the time."""
    slow_with_all_data(process, clock)
    tuner = make(tmp_path, process, max_minutes=10.0, repeats=2, fidelity={"training.data_share": 0.25}, **MINUTES)
    search(tuner)
    decision = json.loads((tmp_path / "search" / "decision.json").read_text())
    assert decision["seeds"] == 2
    assert clock["now_s"] + 4 * 8.0 <= 600.0


def test_the_only_training_has_all_data(process, tmp_path, clock) -> None:
    slow_with_all_data(process, clock)
    tuner = make(tmp_path, process, max_minutes=1.0, repeats=2, fidelity={"training.data_share": 0.25}, **MINUTES)
    search(tuner)
    (job,) = process.jobs
    assert job.settings["training"]["data_share"] == 1.0
    assert job.epochs == 6  # of 8 s each, with time to spare
    (best,) = tuner.get_best_hyperparameters()
    assert best.values["tuner/state"] == job.checkpoint


def test_a_wide_winner_has_time_for_the_rest_of_its_training(process, tmp_path, clock) -> None:
    """The start takes 2 s an epoch, the others 12; the final training has 16 epochs beside those of a trial."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    process.epoch_s = lambda rate: 2.0 if rate == ExperimentConfig().optimizer.learning_rate else 12.0
    config = ExperimentConfig().replace({"training.epochs": 20})
    search(make(tmp_path, process, max_minutes=10.0, **MINUTES | {"config": config}))
    assert clock["now_s"] + 16 * 12.0 <= 600.0
