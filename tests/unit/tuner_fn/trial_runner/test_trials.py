"""What a trial reports, what a failure means to the search, a killed search continues."""

import errno
import json
import time

import keras_tuner
import optuna
import pytest
from tuning import NAMES, FakeProcess, best_config, make, search, with_width

from data import files, progress
from models.hyperparameters import ExperimentConfig
from tuner_fn import optuna_study, oracles, pareto, search_space


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


@pytest.mark.parametrize(("momentum", "is_searched", "count"), [(0.9997, False, 1), (0.9997, True, 0), (0.7, False, 0)])
def test_moving_averages_too_slow_for_a_whole_trial_are_said_once(process, tmp_path, momentum, is_searched, count):
    (tmp_path / "space.yaml").write_text("model.batch_norm_momentum: [0.9, 0.9997]")
    config, notes = ExperimentConfig().replace({"model.batch_norm_momentum": momentum}), []
    ranges = search_space.named_space(str(tmp_path / "space.yaml"), config) if is_searched else None
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        search(make(tmp_path, process, config=config, ranges=ranges, max_trials=2))
    said = [note for note in notes if note.startswith("Batch norm's moving averages are slow: after the 20 steps")]
    assert len(said) == count


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


def test_every_trial_is_at_its_point_of_the_final_trainings_schedule(process, tmp_path) -> None:
    config = ExperimentConfig().replace({"training.epochs": 6})
    search(make(tmp_path, process, "hyperband", config=config, max_epochs=4, repeats=2))
    assert {job.epochs for job in process.jobs} == {1, 2, 4}
    assert {job.schedule_epochs for job in process.jobs} == {6}
    assert {tuple(job.validate_at) for job in process.jobs} == {(1, 2, 4)}


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


def test_the_number_of_a_trial_is_never_above_their_total(process, tmp_path) -> None:
    shown: list[dict] = []
    budget = {"max_trials": None, "max_epochs_total": 8, "limits": {"max_parameters": 60}}
    with progress.listen(lambda kind, fields: shown.append(fields) if kind == "trial" else None):
        search(make(tmp_path, process, ranges=with_width(0.35, 0.5, 0.75, 1.0), **budget))
    assert len(shown) > 8
    assert all(fields["number"] <= fields["total"] for fields in shown)


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


def test_a_score_that_is_not_a_number_fails_the_trial_with_this_reason(process, tmp_path) -> None:
    process.curve = lambda epoch: float("nan")
    with pytest.raises(keras_tuner.errors.FatalError, match=r"val mAP@\[.5:.95\] is not a number"):
        search(make(tmp_path, process))


def test_ctrl_c_writes_what_tells_of_the_search_before_the_model_is_exported(process, tmp_path, monkeypatch) -> None:
    """Kubernetes gives a pod 30 s, which the export may take alone."""
    process.actions = {2: KeyboardInterrupt()}
    tuner, found = make(tmp_path, process, second_objective="parameters"), []

    def look() -> None:
        found.extend(path.name for path in (tmp_path / "search").iterdir())
        assert process.closed

    monkeypatch.setattr(tuner, "_export_best", look)
    with pytest.raises(KeyboardInterrupt):
        search(tuner)
    assert {"leaderboard.json", "best_config.json", optuna_study.STUDY_FILE, pareto.TABLE_FILE} <= set(found)
