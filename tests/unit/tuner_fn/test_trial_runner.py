"""The tuner: what a trial reports, what a failure means to the search, a killed search continues."""

import errno
import json
import math
import pathlib
import time
import types

import keras_tuner
import numpy as np
import optuna
import pytest
from tuning import NAMES, FakeProcess, make, search

from data import files, progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import optuna_study, oracles, pareto, reporting, search_space
from tuner_fn.trial_runner import DetectionTuner


@pytest.fixture(autouse=True)
def _no_export(monkeypatch):
    """The states of these tests hold no weights; tests/integration/test_search.py interrupts a real search."""
    monkeypatch.setattr(DetectionTuner, "_export_best", lambda self: None)


@pytest.fixture
def process():
    return FakeProcess()


def best_config(tmp_path: pathlib.Path) -> ExperimentConfig:
    return ExperimentConfig.from_dict(json.loads((tmp_path / "search" / "best_config.json").read_text()))


def test_the_leaderboard_is_sorted_behind_the_winner_whose_settings_train_as_they_stand(process, tmp_path) -> None:
    """A gain that one seed may owe to luck leaves the start where it is; a large one replaces it."""
    kept = search(make(tmp_path / "kept", process))
    start, *others = map(process.rate, process.jobs)
    others.sort(reverse=True)
    assert start == ExperimentConfig().optimizer.learning_rate < others[0]
    assert [row["rank"] for row in kept] == [1, 2, 3, 4]
    assert [row["score"] for row in kept] == [start, *others]
    assert [(row["epochs"], row["seconds"]) for row in kept] == [(2, 4.0)] * 4
    process.luck = {(others[0], 0): 0.1}
    taken = search(make(tmp_path / "taken", process))
    assert [row["score"] for row in taken] == [others[0] + 0.1, *sorted([start, *others[1:]], reverse=True)]
    assert kept[1]["confidence"] < 0.8 < taken[0]["confidence"]
    for folder, winner in (("kept", start), ("taken", others[0])):
        assert best_config(tmp_path / folder).optimizer.learning_rate == winner
        table = (tmp_path / folder / "search" / "leaderboard.csv").read_text().splitlines()
        assert "confidence" in table[0].split(",")
        assert table[0].endswith("optimizer.learning_rate")
        assert len(table) == 5
        decision = json.loads((tmp_path / folder / "search" / "decision.json").read_text())
        assert decision["replaced"] == (folder == "taken")
    assert process.closed


def test_the_objective_decides_which_trial_and_which_finalist_is_best(process, tmp_path) -> None:
    """The formula's AP50 falls where its AP rises."""
    shown: list[dict] = []
    with progress.listen(lambda kind, fields: shown.append(fields) if kind == "trial" else None):
        rows = search(make(tmp_path, process, metric="AP50", repeats=2))
    start, *rates = (row["hyperparameters"]["optimizer.learning_rate"] for row in rows)
    assert start == ExperimentConfig().optimizer.learning_rate  # the best is ahead by too little to replace it
    assert rates == sorted(rates)
    assert [row["AP"] for row in rows] == [start, *rates]
    assert [row["score"] for row in rows] == [row["AP50"] for row in rows] == [0.5 - rate for rate in (start, *rates)]
    assert [row["mean"] for row in rows[:2]] == [pytest.approx(0.5 - rate) for rate in (start, rates[0])]
    assert rows[1]["confidence"] > 0.5
    assert {row["mean"] for row in rows[2:]} == {None}
    assert {(fields["objective"], fields["score"]) for fields in shown if fields["state"] == "done"} == {
        ("mAP@.5", row["score"]) for row in rows
    }


def test_a_failed_trial_is_recorded_with_its_reason_and_the_search_goes_on(process, tmp_path) -> None:
    failures = [keras_tuner.errors.FailedTrialError(f"{reason}\nlast line of a log") for reason in ("NaN", "no memory")]
    process.actions = {1: failures[0], 2: failures[1]}
    rows = search(make(tmp_path, process))
    assert [row["status"] for row in rows] == ["completed", "completed", "failed", "failed"]
    assert [row["reason"] for row in rows] == ["", "", "NaN", "no memory"]
    trial = json.loads((tmp_path / "search" / f"trial_{rows[2]['trial']}" / "trial.json").read_text())
    assert trial["message"] == "NaN\nlast line of a log"


def test_a_trial_that_hangs_fails_without_the_user_having_said_when(process, tmp_path, monkeypatch) -> None:
    """The first steps let expect 1 s an epoch and 2 s a validation."""
    search(make(tmp_path / "long", process, max_epochs=100))
    search(make(tmp_path / "short", process))
    search(make(tmp_path / "told", process, trial_timeout_s=7.0))
    assert process.timeouts_s == {20.0 * 300.0, 600.0, 7.0}

    def fail(job):
        raise keras_tuner.errors.FailedTrialError("It hangs.")

    monkeypatch.setattr(process, "measure", fail)
    search(make(tmp_path / "unmeasured", process))
    assert max(process.timeouts_s) == 86_400.0


def test_a_failed_trial_is_charged_the_epochs_up_to_its_failure(process, tmp_path) -> None:
    """Of 24 epochs in trials of 8 the second trial fails in its third one: the fourth gets the 5 that are left."""
    process.actions = {1: 2}
    tuner = make(tmp_path, process, max_trials=None, max_epochs=8, max_epochs_total=24)
    search(tuner)
    assert [job.epochs for job in process.jobs if job.checkpoint] == [8, 8, 8, 5]
    assert tuner.oracle.planned_trials() == 4
    again = make(tmp_path, process, max_trials=None, max_epochs=8, max_epochs_total=24)
    assert again.oracle.epochs_given(again.oracle.trials) == 24


def test_settings_that_do_not_go_together_fail_the_trial(process, tmp_path) -> None:
    config = ExperimentConfig().replace({"anchors.max_scale": 0.3})
    ranges = {"anchors.min_scale": {"choices": [0.2, 0.5]}}
    rows = search(make(tmp_path, process, config=config, ranges=ranges))
    assert [row["status"] for row in rows] == ["completed", "failed"]
    assert rows[1]["reason"].startswith("`anchors.max_scale` must exceed `anchors.min_scale`")


def test_a_mistake_stops_the_search_at_once(process, tmp_path) -> None:
    process.actions = {0: keras_tuner.errors.FatalError("TypeError: wrong argument")}
    with pytest.raises(keras_tuner.errors.FatalError, match="TypeError: wrong argument"):
        search(make(tmp_path, process))
    assert len(process.jobs) == 1
    assert process.closed


def test_what_goes_wrong_outside_the_training_ends_the_search_and_costs_no_trial(process, tmp_path) -> None:
    """A full disk is not the configuration's fault: the same command continues when there is room."""
    process.actions = {1: OSError(errno.ENOSPC, "No space left on device")}
    with pytest.raises(OSError, match="No space left"):
        search(make(tmp_path / "cut", process))
    assert process.closed
    rows = search(make(tmp_path / "cut", process))
    assert process.jobs[1] == process.jobs[2]
    whole = search(make(tmp_path / "whole", FakeProcess()))
    assert [(row["trial"], row["score"]) for row in rows] == [(row["trial"], row["score"]) for row in whole]


def test_a_search_without_one_good_trial_says_why(process, tmp_path) -> None:
    process.actions = dict.fromkeys(range(4), keras_tuner.errors.FailedTrialError("The loss is not finite"))
    with pytest.raises(keras_tuner.errors.FatalError, match="No trial of the search succeeded: .*not finite"):
        search(make(tmp_path, process))


@pytest.mark.parametrize("strategy", oracles.NAMES)
def test_an_interrupted_search_goes_on_with_the_trial_it_was_in(process, tmp_path, strategy) -> None:
    budget = {"max_trials": None, "max_epochs_total": 14, "max_epochs": 4}
    process.actions = {2: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path / "cut", process, strategy, **budget))
    assert (tmp_path / "cut" / "search" / "best_config.json").exists()  # the best so far
    process.actions = {}
    cut = search(make(tmp_path / "cut", process, strategy, **budget))
    assert process.jobs[2] == process.jobs[3]  # the interrupted trial again, with its own state file
    whole = search(make(tmp_path / "whole", FakeProcess(), strategy, **budget))
    assert [row["trial"] for row in cut] == [row["trial"] for row in whole]
    assert [row["score"] for row in cut] == [row["score"] for row in whole]


def test_rows_of_a_smaller_space_have_the_settings_own_values(process, tmp_path) -> None:
    """A configuration that continues in the larger space is the same one there: its challenger is another one."""
    budget = {"max_trials": None, "max_epochs": 4}
    search(make(tmp_path, process, "freeze_thaw", max_epochs_total=6, **budget))
    ranges = search_space.pick({}, (*NAMES, "loss.l2"), ExperimentConfig())
    rows = search(make(tmp_path, process, "freeze_thaw", ranges=ranges, max_epochs_total=24, repeats=4, **budget))
    first = next(row for row in rows if row["trial"] == "0000")
    assert first["hyperparameters"]["loss.l2"] == ExperimentConfig().loss.l2
    assert len({row["hyperparameters"]["loss.l2"] for row in rows}) > 2
    finalists = [row["hyperparameters"] for row in rows if row["seeds"]]
    assert len(finalists) == len({json.dumps(one, sort_keys=True) for one in finalists}) == 2
    assert first["hyperparameters"] in finalists


@pytest.mark.parametrize("name", ["repeats.json", "costs.json"])
@pytest.mark.parametrize("content", ["", "[1]", '{"0": 1}'])
def test_a_damaged_file_beside_the_trials_is_set_aside_and_made_anew(process, tmp_path, name, content) -> None:
    whole = search(make(tmp_path, process, repeats=2))
    damaged, notes = tmp_path / "search" / name, []
    damaged.write_text(content)

    def listener(kind: str, fields: dict) -> None:
        notes.append(fields.get("text", ""))

    with progress.listen(listener):
        rows = search(make(tmp_path, process, repeats=2))
    assert any(note.startswith(f"{damaged} is damaged") for note in notes)
    assert damaged.with_name(f"{name}.damaged").read_text() == content
    assert [(row["trial"], row["mean"]) for row in rows] == [(row["trial"], row["mean"]) for row in whole]


def test_no_damaged_file_of_a_search_keeps_it_from_going_on(process, tmp_path) -> None:
    """Whatever files it leaves: each is damaged in a search that has two trials left."""
    whole = search(make(tmp_path / "whole", process))
    names = {path.name for path in (tmp_path / "whole" / "search").glob("*.json")}
    assert names >= {"oracle.json", "clock.json", "costs.json", "leaderboard.json"}
    for name in names:
        search(make(tmp_path / name, process, max_trials=2))
        (tmp_path / name / "search" / name).write_text("")
        rows = search(make(tmp_path / name, process))
        assert [(row["trial"], row["score"]) for row in rows] == [(row["trial"], row["score"]) for row in whole]
        (tmp_path / name / "search" / "oracle.json").unlink()
        done = len(process.jobs)
        assert len(search(make(tmp_path / name, process))) == 4
        assert len(process.jobs) == done


def test_a_budget_counts_what_trials_of_damaged_files_may_have_had(process, tmp_path) -> None:
    budget = {"max_trials": None, "max_epochs": 4}
    search(make(tmp_path, process, max_epochs_total=12, **budget))
    for number in (1, 2):
        (tmp_path / "search" / f"trial_000{number}" / "trial.json").write_text("")
    search(make(tmp_path, process, max_epochs_total=28, **budget))
    assert sum(job.epochs for job in process.jobs) == 28


def test_a_kill_between_the_ends_of_trial_and_oracle_keeps_the_parents_state(process, tmp_path) -> None:
    """The trial is saved as completed and runs again: what it continues from must still be there."""
    whole = search(make(tmp_path / "whole", process, "hyperband"))
    promoted = [index for index, job in enumerate(process.jobs) if job.start_from]
    for number in promoted:
        folder, cut = tmp_path / str(number), FakeProcess()
        cut.actions = {number: KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt):
            search(make(folder, cut, "hyperband"))
        path = pathlib.Path(cut.jobs[number].checkpoint).with_name("trial.json")
        path.write_text(path.read_text().replace('"RUNNING"', '"COMPLETED"'))
        rows = search(make(folder, cut, "hyperband"))
        assert [(row["trial"], row["score"]) for row in rows] == [(row["trial"], row["score"]) for row in whole]


@pytest.mark.parametrize(("momentum", "is_searched", "count"), [(0.9997, False, 1), (0.9997, True, 0), (0.7, False, 0)])
def test_moving_averages_too_slow_for_a_whole_trial_are_said_once(process, tmp_path, momentum, is_searched, count):
    (tmp_path / "space.yaml").write_text("model.batch_norm_momentum: [0.9, 0.9997]")
    config, notes = ExperimentConfig().replace({"model.batch_norm_momentum": momentum}), []
    ranges = search_space.named_space(str(tmp_path / "space.yaml"), config) if is_searched else None
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        search(make(tmp_path, process, config=config, ranges=ranges, max_trials=2))
    said = [note for note in notes if note.startswith("Batch norm's moving averages are slow: after the 20 steps")]
    assert len(said) == count


def test_trials_have_less_than_the_finalists_and_the_winner(process, tmp_path) -> None:
    fidelity = {"training.data_share": 0.25, "input.image_size": 128}
    rows = search(make(tmp_path, process, fidelity=fidelity, repeats=2))
    jobs = [ExperimentConfig.from_dict(job.settings) for job in process.jobs]
    assert {(job.training.data_share, job.input.image_size) for job in jobs[:4]} == {(0.25, 128)}
    # A trial of a quarter of the data is not a whole training: both finalists are trained with both seeds.
    assert [(job.training.data_share, job.input.image_size) for job in jobs[4:]] == [(1.0, 300)] * 4
    assert [job.training.seed for job in jobs[4:]] == [0, 0, 1, 1]
    assert {row["fidelity"] for row in rows} == {"training.data_share=0.25 input.image_size=128"}
    (counted,) = process.counted  # what counts is what the final model costs
    assert counted.settings["input"]["image_size"] == 300
    best = best_config(tmp_path)
    assert (best.training.data_share, best.input.image_size) == (1.0, 300)


def test_a_promoted_trial_starts_from_its_parents_state(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, "hyperband"))
    promoted = [row for row in rows if row["parent"]]
    starts = [job.start_from for job in process.jobs if job.start_from]
    assert promoted
    parents = [reporting.state_file(tmp_path / "search" / f"trial_{row['parent']}") for row in promoted]
    assert sorted(map(str, starts)) == sorted(map(str, parents))


def test_the_plan_says_trials_epochs_and_time_and_what_is_done_already(process, tmp_path) -> None:
    plans: list[dict] = []

    def listener(kind: str, fields: dict) -> None:
        if kind == "plan":
            plans.append(fields)

    with progress.listen(listener):
        search(make(tmp_path, process, max_trials=3))
        search(make(tmp_path, process, max_trials=5))  # a larger budget continues
    first, second = plans
    # The fake pace is 1 s an epoch and 2 s a validation.
    assert first == {"trials": 3, "epochs": 6, "done_trials": 0, "done_epochs": 0, "best": None, "seconds": 12.0}
    best = max(map(process.rate, process.jobs[:3]))
    assert second == {"trials": 5, "epochs": 10, "done_trials": 3, "done_epochs": 6, "best": best, "seconds": 8.0}
    assert len(process.jobs) == 5


@pytest.mark.parametrize(("rate", "notes"), [(0.0099, 1), (0.0101, 0)])
def test_a_start_that_has_learned_nothing_is_said_once(process, tmp_path, rate, notes) -> None:
    said: list[str] = []
    config = ExperimentConfig().replace({"optimizer.learning_rate": rate})
    with progress.listen(lambda kind, fields: said.append(fields.get("text") or "")):
        search(make(tmp_path, process, config=config))
    found = [text for text in said if text.startswith("No signal yet: ")]
    assert len(found) == notes
    assert all("have val mAP@[.5:.95] 0.010 after 2 epochs" in text for text in found)


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


def states(tmp_path: pathlib.Path) -> set[str]:
    return {path.parent.name.removeprefix("trial_") for path in (tmp_path / "search").glob("trial_*/state.npz")}


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


def test_every_trial_is_at_its_point_of_the_final_trainings_schedule(process, tmp_path) -> None:
    config = ExperimentConfig().replace({"training.epochs": 6})
    search(make(tmp_path, process, "hyperband", config=config, max_epochs=4, repeats=2))
    assert {job.epochs for job in process.jobs} == {1, 2, 4}
    assert {job.schedule_epochs for job in process.jobs} == {6}
    assert {tuple(job.validate_at) for job in process.jobs} == {(1, 2, 4)}


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


def test_a_study_cut_short_by_a_kill_does_not_hold_up_the_next_one(process, tmp_path, monkeypatch) -> None:
    """Optuna locks a journal by a link of this name and waits half a minute for one that nobody removes."""
    tuner = make(tmp_path, process, max_trials=1)
    journal = tmp_path / "search" / f".{optuna_study.STUDY_FILE}.tmp"
    files.write_text(journal, "")
    lock = journal.with_name(f"{journal.name}.lock")
    lock.symlink_to(journal)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("It waits."))
    search(tuner)
    assert (tmp_path / "search" / optuna_study.STUDY_FILE).exists()
    assert not lock.is_symlink()


def test_the_study_opens_in_optuna(process, tmp_path) -> None:
    process.actions = {1: keras_tuner.errors.FailedTrialError("NaN\nlog")}
    rows = search(make(tmp_path, process, "hyperband", inherit=True))
    path = str(tmp_path / "search" / optuna_study.STUDY_FILE)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    study = optuna.load_study(study_name="search", storage=storage)
    best = max((row for row in rows if row["rank"]), key=lambda row: row["score"])
    assert study.best_value == best["score"]
    assert study.best_params == best["hyperparameters"]
    failed = study.trials[1]
    assert (failed.state.name, failed.user_attrs["reason"]) == ("FAIL", "NaN\nlog")
    promoted = [trial for trial in study.trials if "parent" in trial.user_attrs]
    assert len(promoted) == sum(row["parent"] is not None for row in rows)
    heirs = {trial.user_attrs["trial"]: trial.user_attrs.get("inherited") for trial in study.trials}
    assert heirs == {row["trial"]: row["inherited"] for row in rows}
    assert any(heirs.values())


@pytest.mark.parametrize("is_lucky_once", [False, True])
def test_the_start_is_replaced_by_what_is_better_with_all_seeds(process, tmp_path, is_lucky_once) -> None:
    """Of 0.1 with the first seed the others leave all or nothing."""
    alone = search(make(tmp_path / "alone", process))
    assert {row["mean"] for row in alone} == {None}
    start, best = (row["score"] for row in alone[:2])
    later = -0.1 if is_lucky_once else 0.1
    process.luck = {(best, 0): 0.1, (best, 1): later, (best, 2): later}
    process.jobs.clear()
    tuner = make(tmp_path, process, repeats=3)
    rows = search(tuner)
    seeds = [(process.rate(job), job.settings["training"]["seed"]) for job in process.jobs[4:]]
    assert seeds == [(start, 1), (best, 1), (start, 2), (best, 2)]  # a whole trial counts as one of the seeds
    assert {(job.epochs, job.start_from) for job in process.jobs[4:]} == {(2, None)}
    means = {row["trial"]: (row["mean"], row["spread"]) for row in rows if row["seeds"] == 3}
    assert means == {
        alone[0]["trial"]: pytest.approx((start, 0.0)),
        alone[1]["trial"]: pytest.approx((best + (0.1 + 2 * later) / 3, np.std([0.1, later, later], ddof=1))),
    }
    winner = start if is_lucky_once else best
    assert rows[0]["hyperparameters"] == {"optimizer.learning_rate": winner}
    assert [row["confidence"] is None for row in rows] == [is_lucky_once, not is_lucky_once, True, True]
    (found,) = tuner.get_best_hyperparameters()
    assert found.values["optimizer.learning_rate"] == winner
    settings = best_config(tmp_path)
    assert (settings.optimizer.learning_rate, settings.training.seed) == (winner, 0)
    sure = search(make(tmp_path, process, repeats=3, min_confidence=1.0 - 1e-12))
    assert sure[0]["hyperparameters"] == {"optimizer.learning_rate": start}


def test_a_comparison_cut_between_two_seeds_goes_on_with_the_next(process, tmp_path) -> None:
    whole = search(make(tmp_path / "whole", FakeProcess(), repeats=3))
    assert [row["seeds"] for row in whole] == [3, 3, None, None]
    process.actions = {5: KeyboardInterrupt(), 7: KeyboardInterrupt()}
    for _ in process.actions:
        with pytest.raises(KeyboardInterrupt):
            search(make(tmp_path, process, repeats=3))
    assert search(make(tmp_path, process, repeats=3)) == whole
    assert process.jobs[5] == process.jobs[6]
    assert process.jobs[7] == process.jobs[8]
    assert len(process.jobs) == 4 + 4 + 2


def test_a_comparison_asked_for_after_the_budget_was_spent_waits_for_a_larger_one(process, tmp_path) -> None:
    """`tuner_fn` takes the epochs of further seeds, 2 * 4 here, from what the search may spend."""
    budget = {"max_trials": None, "max_epochs": 4}
    search(make(tmp_path, process, max_epochs_total=28, **budget))
    tuner = make(tmp_path, process, max_epochs_total=28 - 8, repeats=2, **budget)
    rows = search(tuner)
    assert sum(job.epochs for job in process.jobs) == 28
    assert {row["mean"] for row in rows} == {None}
    assert rows[0]["trial"] == "0000"  # what was not compared with all seeds does not replace the start
    assert tuner.end_reason.endswith(
        "; too few epochs are left to compare the best with the start, give a larger budget"
    )
    rows = search(make(tmp_path, process, max_epochs_total=28, repeats=2, **budget))
    assert sum(job.epochs for job in process.jobs) == 28 + 2 * 4  # one of the two seeds is the trials' own
    assert sorted(row["seeds"] for row in rows if row["seeds"]) == [2, 2]


@pytest.mark.parametrize("is_start", [True, False])
def test_a_finalist_that_fails_with_a_seed_does_not_win_whatever_its_score(process, tmp_path, is_start) -> None:
    """An interruption before costs that training alone."""
    process.actions = {4: KeyboardInterrupt(), 5 if is_start else 6: keras_tuner.errors.FailedTrialError("NaN")}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path, process, repeats=3))
    rows = search(make(tmp_path, process, repeats=3))
    assert len(process.jobs) == 4 + 1 + 2  # no third seed is trained where there is nothing to compare
    finalists = [row for row in rows if row["seeds"]]
    assert [row["mean"] is None for row in finalists] == [False, True]
    assert {row["confidence"] for row in rows} == {None}
    best = max(map(process.rate, process.jobs[1:4]))
    assert rows[0]["score"] == (best if is_start else process.rate(process.jobs[0]))


def test_configurations_that_went_on_are_trained_whole_for_the_comparison(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, "hyperband", repeats=2))
    finalists = [row for row in rows if row["seeds"]]
    assert len({json.dumps(row["hyperparameters"]) for row in finalists}) == len(finalists) == 2
    repeated = [job for job in process.jobs if "repeat_" in job.checkpoint]
    assert {job.epochs for job in repeated} == {4}
    assert all(job.start_from is None for job in repeated)
    assert not list((tmp_path / "search").glob("repeat_*"))


def with_width(*widths: float) -> dict:
    choices = {"model.alpha": {"choices": list(widths)}} if widths else {}
    return search_space.pick(choices, (*NAMES, "model.alpha"), ExperimentConfig())


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


def test_finalists_are_trained_afresh(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, inherit=True, repeats=2))
    start, challenger = (process.jobs[number] for number in (0, int(rows[1]["trial"])))
    assert challenger.inherit_from is not None
    repeated = [job for job in process.jobs if "repeat_" in job.checkpoint]
    assert {job.inherit_from for job in repeated} == {None}
    # The start's trial counts as one of its seeds; the challenger's had more than the start's.
    expected = [(challenger, 0), (start, 1), (challenger, 1)]
    found = [(process.rate(job), job.settings["training"]["seed"]) for job in repeated]
    assert found == [(process.rate(job), seed) for job, seed in expected]


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


def test_the_time_to_expect_counts_networks_that_are_built_anew_and_ends_with_the_minutes(process, tmp_path) -> None:
    """Four trials of 2 epochs, 1 s each and 2 s a validation; 10 s to build a network of another width."""
    plans: list[dict] = []
    with progress.listen(lambda kind, fields: plans.append(fields) if kind == "plan" else None):
        search(make(tmp_path / "one", process))
        search(make(tmp_path / "widths", process, ranges=with_width(0.5, 1.0)))
        config = MINUTES["config"].replace({"training.epochs": 2})
        search(make(tmp_path / "minutes", process, ranges=with_width(0.5, 1.0), max_minutes=0.5, config=config))
    assert [round(plan["seconds"]) for plan in plans] == [16, 56, 30]


def test_the_number_of_a_trial_is_never_above_their_total(process, tmp_path) -> None:
    shown: list[dict] = []
    budget = {"max_trials": None, "max_epochs_total": 8, "limits": {"max_parameters": 60}}
    with progress.listen(lambda kind, fields: shown.append(fields) if kind == "trial" else None):
        search(make(tmp_path, process, ranges=with_width(0.35, 0.5, 0.75, 1.0), **budget))
    assert len(shown) > 8
    assert all(fields["number"] <= fields["total"] for fields in shown)


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


def test_the_first_rung_is_where_the_starts_curve_tells_and_a_reloaded_search_knows_it(process, tmp_path) -> None:
    """Up to epoch 8 of 20 all scores are nearly nothing: the rungs before are given up, the next one is 9."""
    process.curve = lambda epoch: 1.0 if epoch >= 9 else 0.01
    budget = {"max_trials": None, "max_epochs": 20, "max_epochs_total": 120}
    whole = search(make(tmp_path / "whole", process, "freeze_thaw", **budget))
    start, *others = process.jobs
    assert (start.epochs, list(start.validate_at)) == (20, [2, 3, 4, 6, 9, 14, 20])
    assert {tuple(job.validate_at) for job in others} == {(9, 14, 20)}
    assert {job.epochs for job in others if job.start_from is None} == {9}
    cut = FakeProcess()
    cut.curve = process.curve
    cut.actions = {number: KeyboardInterrupt() for number in (1, 3)}
    for _ in cut.actions:
        with pytest.raises(KeyboardInterrupt):
            search(make(tmp_path / "cut", cut, "freeze_thaw", **budget))
    assert search(make(tmp_path / "cut", cut, "freeze_thaw", **budget)) == whole
    assert cut.jobs[1] == cut.jobs[2]  # the same epochs are validated
    assert cut.jobs[3] == cut.jobs[4]


MINUTES = {"max_trials": None, "max_epochs": 4, "config": ExperimentConfig().replace({"training.epochs": 4})}


@pytest.fixture
def clock(monkeypatch):
    """Counts seconds by hand."""
    hand = {"now_s": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: hand["now_s"])
    return hand


@pytest.mark.parametrize("strategy", oracles.NAMES)
@pytest.mark.parametrize(("minutes", "epochs"), [(1.0, 16), (0.35, 7), (0.15, 3)])
def test_minutes_without_room_for_a_search_are_one_longer_or_shorter_training(
    process, tmp_path, clock, strategy, minutes, epochs
) -> None:
    """The fake pace is 3 s an epoch with its validation: 1 min is 20 epochs, of which 4 * 4 are taken."""
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
    grid_fits = strategy == "grid" and tuner.end_reason.startswith("all 8 points of the grid were tried")
    assert grid_fits or tuner.end_reason.startswith("the budget of 32 epochs is spent")
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


def test_a_presets_minutes_are_spent_on_so_many_trainings_at_most(process, tmp_path, clock) -> None:
    tuner = make(tmp_path, process, max_minutes=60.0, max_trainings=10, repeats=2, **MINUTES)
    search(tuner)
    assert tuner.oracle.epochs_given(tuner.oracle.trials) == 10 * 4 - 2 * 4


@pytest.mark.parametrize(("minutes", "seeds"), [(60.0, 4), (4.0, 2)])
def test_an_undecided_comparison_gets_further_seeds_where_the_minutes_have_room(
    process, tmp_path, clock, minutes, seeds
) -> None:
    """A challenger 0.013 above the start is more likely better than not, but not surely enough."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    start = MINUTES["config"].optimizer.learning_rate
    process.epoch_s = lambda rate: 3.0
    process.luck = _Level(start, 0.013)
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
    process.luck = _Level(ExperimentConfig().optimizer.learning_rate, 0.013)
    tuner = make(tmp_path, process, repeats=2, further_seeds=2, min_confidence=0.95, **budget)
    rows = search(tuner)
    assert {row["seeds"] for row in rows if row["seeds"]} == {2}
    assert sum(job.epochs for job in process.jobs) == 24 + 2 * 4
    assert "give a larger budget" not in tuner.end_reason


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


def test_seeds_that_leave_nothing_of_the_minutes_are_an_error(process, tmp_path, clock) -> None:
    with pytest.raises(UserError, match="`--repeats` takes 40 epochs for further seeds"):
        search(make(tmp_path, process, max_minutes=2.0, repeats=6, **MINUTES))
    assert process.jobs == []


@pytest.mark.parametrize("budget", [{"max_trials": 3}, {"max_epochs_total": 12}])
def test_minutes_beside_another_budget_are_a_limit_alone(process, tmp_path, clock, budget) -> None:
    rows = search(make(tmp_path, process, max_minutes=1.0, **MINUTES | budget))
    assert [row["epochs"] for row in rows] == [4, 4, 4]
    assert not (tmp_path / "search" / "allotment.json").exists()


BOTH = MINUTES | {"max_trials": 500, "max_minutes": 3.0, "repeats": 2}


def test_minutes_beside_another_budget_leave_time_to_compare_the_best_with_the_start(process, tmp_path, clock) -> None:
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    tuner = make(tmp_path, process, **BOTH)
    search(tuner)
    decision = json.loads((tmp_path / "search" / "decision.json").read_text())
    assert decision["seeds"] == 2
    assert tuner.end_reason.startswith("the 3 minutes are over, but for")
    assert clock["now_s"] <= 180.0


def test_minutes_too_few_for_further_seeds_are_decided_by_one(process, tmp_path, clock) -> None:
    """The two trainings of the second seed would take 36 of 60 s with their margin."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    notes: list[str] = []
    tuner = make(tmp_path, process, **BOTH | {"max_minutes": 1.0})
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        search(tuner)
    decision = json.loads((tmp_path / "search" / "decision.json").read_text())
    assert decision["seeds"] == 1
    assert sum("would take about 1 minutes: one seed decides" in note for note in notes) == 1


def test_minutes_that_the_final_training_takes_alone_are_an_error(process, tmp_path, clock) -> None:
    """After trials of 4 epochs it takes 56 more, 3 s each; with the finalists and a margin these are 318 s."""
    config = MINUTES["config"].replace({"training.epochs": 60})
    with pytest.raises(UserError, match="318 s are for the trainings after it and 0 s for .* at least 6,"):
        search(make(tmp_path, process, **BOTH | {"config": config}))
    assert process.jobs == []


def test_no_time_for_a_single_trial_is_a_mistake_of_the_command(process, tmp_path, clock) -> None:
    def fail(job):
        raise keras_tuner.errors.FailedTrialError("It cannot be measured, so nothing is known of the time.")

    process.measure = fail
    tuner = make(tmp_path, process, **BOTH | {"max_minutes": 1.0, "reserved_s": 70.0})
    with pytest.raises(keras_tuner.errors.FatalError, match="none was finished, because the 1 minutes") as error:
        search(tuner)
    assert isinstance(error.value.__cause__, UserError)


def test_minutes_given_to_a_search_that_is_there_continue_it(process, tmp_path, clock) -> None:
    """Trials of another budget count; they are never thrown away for a single training."""
    search(make(tmp_path, process, **MINUTES | {"max_trials": 3}))
    notes: list[str] = []
    for minutes, given in ((0.15, 12 + 3), (0.05, 12 + 3), (1.0, 12 + 3 + 20)):
        tuner = make(tmp_path, process, max_minutes=minutes, **MINUTES)
        with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
            search(tuner)
        assert tuner.oracle.epochs_given(tuner.oracle.trials) == given
    (best,) = tuner.get_best_hyperparameters()
    assert best.values["training.epochs"] == 4
    assert "tuner/state" in best.values
    assert sum("beside those that are there: the search continues with 3 epochs." in note for note in notes) == 1


def test_more_minutes_continue_a_search(process, tmp_path, clock) -> None:
    """The hands of this clock stand still, so that all four minutes are left: 80 epochs beside the 40 of before."""
    search(make(tmp_path, process, max_minutes=2.0, **MINUTES))
    process.measure, measure = lambda job: pytest.fail("It measures."), process.measure
    search(make(tmp_path, process, max_minutes=2.0, **MINUTES))
    process.measure = measure
    for _ in range(2):
        tuner = make(tmp_path, process, max_minutes=4.0, **MINUTES)
        search(tuner)
        assert tuner.oracle.epochs_given(tuner.oracle.trials) == 40 + 80


def test_more_minutes_mend_what_too_few_did_not_allow(process, tmp_path, clock) -> None:
    """The error before is not remembered as a decision."""
    with pytest.raises(UserError, match="`--repeats` takes 40 epochs for further seeds"):
        search(make(tmp_path, process, max_minutes=2.0, repeats=6, **MINUTES))
    tuner = make(tmp_path, process, max_minutes=6.0, repeats=6, **MINUTES)
    search(tuner)
    assert tuner.oracle.epochs_given(tuner.oracle.trials) == 120 - 40


def test_a_training_in_place_of_a_search_is_no_part_of_a_later_search(process, tmp_path, clock) -> None:
    """It followed a schedule of 3 epochs to its end."""
    search(make(tmp_path, process, max_minutes=0.15, **MINUTES))
    notes: list[str] = []
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        rows = search(make(tmp_path, process, "freeze_thaw", **MINUTES | {"max_trials": 8}))
    assert {job.schedule_epochs for job in process.jobs[1:]} == {4}
    assert all(job.start_from is None or "single_training" not in job.start_from for job in process.jobs)
    assert len(rows) == 8
    assert sum("trained once, 3 epochs with a schedule of their own" in note for note in notes) == 1
    assert (tmp_path / "search" / "single_training" / "trial_0000").is_dir()


def test_a_kill_while_a_training_is_set_aside_loses_nothing_of_it(process, tmp_path, clock) -> None:
    """Its trial was moved, the file that tells of it was not."""
    search(make(tmp_path, process, max_minutes=0.15, **MINUTES))
    folder = tmp_path / "search"
    (folder / "single_training").mkdir()
    (folder / "trial_0000").rename(folder / "single_training" / "trial_0000")
    search(make(tmp_path, process, **MINUTES | {"max_trials": 2}))
    assert (folder / "single_training" / "trial_0000" / "trial.json").exists()
    assert (folder / "single_training" / "allotment.json").exists()
    assert not (folder / "allotment.json").exists()


def test_fewer_workers_later_spend_the_rest_of_the_minutes(tmp_path, clock) -> None:
    """Four had room for 160 epochs, of which they trained a few; one goes on with the rest."""
    four = [FakeProcess() for _ in range(4)]
    four[0].actions = {3: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path, four, max_minutes=2.0, **MINUTES))
    tuner = make(tmp_path, FakeProcess(), max_minutes=2.0, **MINUTES)
    search(tuner)
    assert tuner.oracle.max_epochs_total == 4 * 40


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
        steps=10, images=80, seconds=lambda epochs, validations: epochs * of(job)
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
    assert job.epochs == 7  # of 8 s each
    (best,) = tuner.get_best_hyperparameters()
    assert best.values["tuner/state"] == job.checkpoint


def test_a_wide_winner_has_time_for_the_rest_of_its_training(process, tmp_path, clock) -> None:
    """The start takes 2 s an epoch, the others 12; the final training has 16 epochs beside those of a trial."""
    process.advance = lambda seconds: clock.update(now_s=clock["now_s"] + seconds)
    process.epoch_s = lambda rate: 2.0 if rate == ExperimentConfig().optimizer.learning_rate else 12.0
    config = ExperimentConfig().replace({"training.epochs": 20})
    search(make(tmp_path, process, max_minutes=10.0, **MINUTES | {"config": config}))
    assert clock["now_s"] + 16 * 12.0 <= 600.0


def test_a_challenger_found_with_a_larger_budget_is_compared_like_the_first(process, tmp_path) -> None:
    """The seeds of the first challenger were paid by the first budget."""
    budget = {"max_trials": None, "max_epochs": 4, "repeats": 2}
    first = search(make(tmp_path, process, max_epochs_total=16, **budget))
    rates = sorted({process.rate(job) for job in process.jobs})
    process.luck = _Late(rates)
    tuner = make(tmp_path, process, max_epochs_total=40, **budget)
    rows = search(tuner)
    challenger = next(row for row in rows if row["confidence"] is not None)
    assert challenger["trial"] not in {row["trial"] for row in first}
    assert challenger["seeds"] == 2
    assert "too few epochs" not in tuner.end_reason


class _Late(dict):
    """Luck of all rates but the given ones."""

    def __init__(self, rates) -> None:
        super().__init__()
        self._rates = rates

    def get(self, key, default=None):
        del default
        return 0.0 if key[0] in self._rates else 0.5


def test_a_score_that_is_not_a_number_fails_the_trial_with_this_reason(process, tmp_path) -> None:
    process.curve = lambda epoch: float("nan")
    with pytest.raises(keras_tuner.errors.FatalError, match=r"val mAP@\[.5:.95\] is not a number"):
        search(make(tmp_path, process))
