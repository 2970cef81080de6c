"""Minutes beside other budgets, and a search that is given other minutes, budgets or workers later."""

import json

import keras_tuner
import pytest
from tuning import MINUTES, FakeProcess, make, search

from data import progress
from data.errors import UserError


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
    notes: list[str] = []
    with (
        progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))),
        pytest.raises(keras_tuner.errors.FatalError, match="none was finished, because the 1 minutes") as error,
    ):
        search(tuner)
    assert isinstance(error.value.__cause__, UserError)
    assert any("how long an epoch takes is not known: It cannot be measured, so" in note for note in notes)


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


def test_a_training_in_place_of_a_search_leaves_no_journal_to_the_search_after_it(tmp_path, clock) -> None:
    """Two workers would wait for its only trial, whose number is the start's in the search, too."""
    search(make(tmp_path, [FakeProcess(), FakeProcess()], max_minutes=0.05, **MINUTES))
    folder = tmp_path / "search"
    assert json.loads((folder / "allotment.json").read_text())["is_search"] is False
    notes: list[str] = []
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        rows = search(make(tmp_path, [FakeProcess(), FakeProcess()], **MINUTES | {"max_epochs_total": 24}))
    assert len(rows) == 6
    journalled = (folder / "journal.jsonl").read_text().splitlines()
    assert json.loads(journalled[1])["event"] == "start"  # both workers begin at once
    assert (folder / "single_training" / "journal.jsonl").exists()
    assert not any("cannot happen again" in note for note in notes)
