"""The tuner: what a trial reports, what a failure means to the search, a killed search goes on."""

import errno
import json
import math
import pathlib
import time

import fake_training
import keras_tuner
import numpy as np
import optuna
import pytest

from data import files, progress
from models.hyperparameters import ExperimentConfig
from tuner_fn import oracles, pareto, reporting, search_space
from tuner_fn.trial_runner import DetectionTuner, make_objective
from tuner_fn.worker import should_stop

NAMES = ("optimizer.learning_rate",)


class FakeProcess:
    """In the place of the training process, which has its own tests: a formula; lists what was trained."""

    def __init__(self) -> None:
        self.jobs: list = []
        self.counted: list = []
        self.clock = 1.0  # what times are multiplied by
        self.actions: dict[int, BaseException] = {}
        self.closed = False
        self.luck: dict[tuple[float, int], float] = {}  # {(learning rate, seed): what it adds to the score}

    def train(self, job, on_epoch, timeout_s):
        assert all(pathlib.Path(path).exists() for path in (job.start_from, job.inherit_from) if path)
        self.jobs.append(job)
        action = self.actions.get(len(self.jobs) - 1)
        if action is not None:
            raise action
        rate = self.rate(job) + self.luck.get((self.rate(job), job.settings["training"]["seed"]), 0.0)
        history = []
        for epoch in range(1, job.epochs + 1):
            report = {"epoch": epoch, "loss": 1.0, "AP": rate, "AP50": 0.5 - rate, "AP75": float("nan"), "seconds": 2.0}
            history.append(report)
            on_epoch(report)
            if should_stop(job, history):
                break
        files.write_bytes(job.checkpoint, b"state")
        return history

    def measure(self, job):
        return fake_training.measure(None, (), (), ())

    def costs(self, job, timeout_s):
        self.counted.append(job)
        width = ExperimentConfig.from_dict(job.settings).model.alpha
        found = {"parameters": round(100 * width), "multiply_adds": round(1000 * width), "file_mb": width}
        return found | ({"latency_ms": width * self.clock} if job.latency else {})

    def close(self) -> None:
        self.closed = True

    @staticmethod
    def rate(job) -> float:
        return ExperimentConfig.from_dict(job.settings).optimizer.learning_rate


@pytest.fixture(autouse=True)
def _no_export(monkeypatch):
    """The states of these tests hold no weights; tests/integration/test_search.py interrupts a real search."""
    monkeypatch.setattr(DetectionTuner, "_export_best", lambda self: None)


@pytest.fixture
def process():
    return FakeProcess()


def make(tmp_path, process, strategy: str = "random", **settings) -> DetectionTuner:
    config = settings.pop("config", ExperimentConfig())
    names = {"max_minutes", "trial_timeout_s", "max_disk_bytes", "repeats", "limits", "fidelity", "second_objective"}
    names |= {"inherit", "early_stopping"}
    names &= settings.keys()
    limits = {name: settings.pop(name) for name in names}
    defaults = {"max_epochs": 2, "seed": 0, "max_trials": 4}
    if strategy == "hyperband":
        defaults = {"max_epochs": 4, "seed": 0, "factor": 2}
    ranges = settings.pop("ranges", None) or search_space.pick({}, NAMES, config)
    oracle = oracles.make_oracle(
        strategy,
        objective=make_objective(settings.pop("metric", "AP")),
        hyperparameters=search_space.make_search_space(config, ranges),
        **defaults | settings,
    )
    folders = {"directory": tmp_path / "search", "logdir": tmp_path / "logs"}
    about = {"ranges": ranges, "class_names": ("car",), "process": process}
    return DetectionTuner(oracle, config, **about, **folders, **limits)


def search(tuner: DetectionTuner) -> list[dict]:
    tuner.search(["train"], ["val"], verbose=0)
    return json.loads((pathlib.Path(tuner.project_dir) / "leaderboard.json").read_text())


def test_the_leaderboard_is_sorted_and_the_best_configuration_trains_as_it_stands(process, tmp_path) -> None:
    rows = search(make(tmp_path, process))
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert [row["score"] for row in rows] == sorted(map(process.rate, process.jobs), reverse=True)
    assert [(row["epochs"], row["seconds"]) for row in rows] == [(2, 4.0)] * 4
    best = ExperimentConfig.from_dict(json.loads((tmp_path / "search" / "best_config.json").read_text()))
    assert best.optimizer.learning_rate == rows[0]["score"]
    table = (tmp_path / "search" / "leaderboard.csv").read_text().splitlines()
    assert table[0].endswith("optimizer.learning_rate")
    assert len(table) == 5
    assert process.closed


def test_the_objective_decides_which_trial_and_which_finalist_is_best(process, tmp_path) -> None:
    """The formula's AP50 falls where its AP rises."""
    shown: list[dict] = []
    with progress.listen(lambda kind, fields: shown.append(fields) if kind == "trial" else None):
        rows = search(make(tmp_path, process, metric="AP50", repeats=2))
    rates = sorted(row["hyperparameters"]["optimizer.learning_rate"] for row in rows)
    assert [row["AP"] for row in rows] == rates
    assert [row["score"] for row in rows] == [row["AP50"] for row in rows] == [0.5 - rate for rate in rates]
    assert [row["mean"] for row in rows] == [pytest.approx(0.5 - rate) for rate in rates[:3]] + [None]
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
    """A full disk is not the configuration's fault: the same command goes on when there is room."""
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
    """A configuration that goes on in the larger space is the same one there: finalists are different ones."""
    budget = {"max_trials": None, "max_epochs": 4, "repeats": 2}
    search(make(tmp_path, process, "freeze_thaw", max_epochs_total=6, **budget))
    ranges = search_space.pick({}, (*NAMES, "loss.l2"), ExperimentConfig())
    rows = search(make(tmp_path, process, "freeze_thaw", ranges=ranges, max_epochs_total=24, **budget))
    first = next(row for row in rows if row["trial"] == "0000")
    assert first["hyperparameters"]["loss.l2"] == ExperimentConfig().loss.l2
    assert len({row["hyperparameters"]["loss.l2"] for row in rows}) > 2
    finalists = [row["hyperparameters"] for row in rows if row["seeds"]]
    assert len(finalists) == len({json.dumps(one, sort_keys=True) for one in finalists}) >= 3


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
    """The trial is saved as completed and runs again: what it goes on from must still be there."""
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
def test_moving_averages_too_slow_for_first_trials_are_said_once(process, tmp_path, momentum, is_searched, count):
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
    # A trial of a quarter of the data is no whole training: each finalist is trained with both seeds.
    assert [(job.training.data_share, job.input.image_size) for job in jobs[4:]] == [(1.0, 300)] * 6
    assert {row["fidelity"] for row in rows} == {"training.data_share=0.25 input.image_size=128"}
    (counted,) = process.counted  # what counts is what the final model costs
    assert counted.settings["input"]["image_size"] == 300
    best = ExperimentConfig.from_dict(json.loads((tmp_path / "search" / "best_config.json").read_text()))
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
        search(make(tmp_path, process, max_trials=5))  # a larger budget goes on
    first, second = plans
    # The fake pace is 1 s an epoch and 2 s a validation.
    assert first == {"trials": 3, "epochs": 6, "done_trials": 0, "done_epochs": 0, "best": None, "seconds": 12.0}
    best = max(map(process.rate, process.jobs[:3]))
    assert second == {"trials": 5, "epochs": 10, "done_trials": 3, "done_epochs": 6, "best": best, "seconds": 8.0}
    assert len(process.jobs) == 5


def test_the_search_stops_after_the_epoch_in_which_its_minutes_are_over(process, tmp_path, monkeypatch) -> None:
    clock = {"now_s": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: clock["now_s"])
    epochs: list[int] = []

    def listener(kind: str, fields: dict) -> None:
        if kind == "epoch":
            epochs.append(fields["epoch"])
            clock["now_s"] += 60.0

    with progress.listen(listener):
        tuner = make(tmp_path, process, max_epochs=3, max_minutes=4.5)
        rows = search(tuner)
    assert epochs == [1, 2, 3, 1, 2]  # the fifth epoch ends at 5 min
    assert tuner.end_reason == "the 4.5 minutes given are over"
    assert [row["status"] for row in rows] == ["completed", "running"]
    rest = search(make(tmp_path, process, max_epochs=3))
    assert [row["status"] for row in rest] == ["completed"] * 4
    assert process.jobs[1] == process.jobs[2]  # the trial that was cut short goes on


def test_the_minutes_count_over_all_starts(process, tmp_path, monkeypatch) -> None:
    clock = {"now_s": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: clock["now_s"])

    def listener(kind: str, fields: dict) -> None:
        clock["now_s"] += 60.0 * (kind == "epoch")

    minutes = {"max_trials": 50, "max_epochs": 3, "max_minutes": 10.5}
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


@pytest.mark.parametrize("strategy", oracles.NAMES)
def test_states_that_no_later_trial_needs_are_deleted(process, tmp_path, strategy) -> None:
    """`FakeProcess` checks that those that are continued are there."""
    tuner = make(tmp_path, process, strategy, max_trials=None, max_epochs_total=60, max_epochs=8)
    rows = search(tuner)
    best = next(row["trial"] for row in rows if row["rank"] == 1)
    assert states(tmp_path) == {best, *tuner.oracle.resumable()}
    if strategy in ("random", "grid", "bayesian", "evolution"):
        assert len(states(tmp_path)) == 1


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
    assert len(process.jobs) == len(rows) > done


def test_a_disk_limit_gives_up_no_state_that_stays_anyway(process, tmp_path) -> None:
    """Room for one state of five bytes and a half: the best one's is kept to be exported, and may be continued."""
    budget = {"max_trials": None, "max_epochs": 8, "max_epochs_total": 40}
    tuner = make(tmp_path, process, "asha", max_disk_bytes=7, **budget)
    given_up, retire = [], tuner.oracle.retire

    def watched(trial_id: str) -> bool:
        given_up.append((trial_id, next(row["trial"] for row in tuner.leaderboard() if row["rank"] == 1)))
        return retire(trial_id)

    tuner.oracle.retire = watched
    search(tuner)
    assert given_up
    assert all(trial_id != best for trial_id, best in given_up)


def test_a_study_cut_short_by_a_kill_does_not_hold_up_the_next_one(process, tmp_path, monkeypatch) -> None:
    """Optuna locks a journal by a link of this name and waits half a minute for one that nobody removes."""
    tuner = make(tmp_path, process, max_trials=1)
    journal = tmp_path / "search" / f".{reporting.STUDY_FILE}.tmp"
    files.write_text(journal, "")
    lock = journal.with_name(f"{journal.name}.lock")
    lock.symlink_to(journal)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("It waits."))
    search(tuner)
    assert (tmp_path / "search" / reporting.STUDY_FILE).exists()
    assert not lock.is_symlink()


def test_the_study_opens_in_optuna(process, tmp_path) -> None:
    process.actions = {1: keras_tuner.errors.FailedTrialError("NaN\nlog")}
    rows = search(make(tmp_path, process, "hyperband", inherit=True))
    path = str(tmp_path / "search" / reporting.STUDY_FILE)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    study = optuna.load_study(study_name="search", storage=storage)
    assert study.best_value == rows[0]["score"]
    assert study.best_params == rows[0]["hyperparameters"]
    failed = study.trials[1]
    assert (failed.state.name, failed.user_attrs["reason"]) == ("FAIL", "NaN\nlog")
    promoted = [trial for trial in study.trials if "parent" in trial.user_attrs]
    assert len(promoted) == sum(row["parent"] is not None for row in rows)
    heirs = {trial.user_attrs["trial"]: trial.user_attrs.get("inherited") for trial in study.trials}
    assert heirs == {row["trial"]: row["inherited"] for row in rows}
    assert any(heirs.values())


def test_the_winner_has_the_best_mean_of_its_seeds(process, tmp_path) -> None:
    first = search(make(tmp_path / "alone", process))
    assert first[0]["mean"] is None
    best, second, third, _ = (row["score"] for row in first)
    process.luck = {(best, 1): -0.5, (second, 1): 0.1, (second, 2): 0.2}
    process.jobs.clear()
    tuner = make(tmp_path, process, repeats=3)
    rows = search(tuner)
    assert [row["score"] for row in rows] == [second, third, best, first[3]["score"]]
    assert rows[0]["mean"] == pytest.approx(second + 0.1)
    assert rows[0]["spread"] == pytest.approx(0.1)
    assert [row["seeds"] for row in rows] == [3, 3, 3, None]
    assert len(process.jobs) == 4 + 3 * 2  # a trial that was a whole training counts as one of the seeds
    (winner,) = tuner.get_best_hyperparameters()
    assert winner.values["optimizer.learning_rate"] == second
    settings = ExperimentConfig.from_dict(json.loads((tmp_path / "search" / "best_config.json").read_text()))
    assert (settings.optimizer.learning_rate, settings.training.seed) == (second, 0)


def test_finalists_asked_for_after_the_budget_was_spent_are_not_trained(process, tmp_path) -> None:
    """`tuner_fn` takes the finalists' epochs, 3 * 2 * 4 here, from what the search may spend."""
    budget = {"max_trials": None, "max_epochs": 4}
    search(make(tmp_path, process, max_epochs_total=28, **budget))
    tuner = make(tmp_path, process, max_epochs_total=28 - 24, repeats=2, **budget)
    rows = search(tuner)
    assert sum(job.epochs for job in process.jobs) == 28
    assert {row["mean"] for row in rows} == {None}
    assert tuner.end_reason.endswith("of 28 epochs too few are left for the finalists, give it a larger budget")
    rows = search(make(tmp_path, process, max_epochs_total=28, repeats=2, **budget))
    assert sum(job.epochs for job in process.jobs) == 28 + 3 * 4  # one of the two seeds is the trials' own
    assert sorted(row["seeds"] for row in rows if row["seeds"]) == [2, 2, 2]


def test_a_finalist_that_fails_with_a_seed_does_not_win_and_repeats_go_on(process, tmp_path) -> None:
    process.actions = {4: keras_tuner.errors.FailedTrialError("NaN"), 7: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path, process, repeats=3))
    process.actions = {}
    rows = search(make(tmp_path, process, repeats=3))
    assert len(process.jobs) == 4 + 6 + 1
    assert [row["mean"] is None for row in rows] == [False, False, True, True]
    assert rows[2]["score"] == max(row["score"] for row in rows)


def test_configurations_that_went_on_are_trained_whole_for_the_comparison(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, "hyperband", repeats=2))
    finalists = [row for row in rows if row["seeds"]]
    assert len({json.dumps(row["hyperparameters"]) for row in finalists}) == len(finalists) == 3
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
    rates = [math.log(process.rate(job)) for job in process.jobs]  # the space's scale is logarithmic
    nearest = [int(np.argmin(np.abs(np.subtract(rates[:n], rates[n])))) for n in range(1, 8)]
    assert len(set(nearest)) > 2
    assert [row["inherited"] for row in rows] == [None, *(rows[n]["trial"] for n in nearest)]
    files = [job.inherit_from for job in process.jobs]
    assert files == [None, *(process.jobs[n].checkpoint for n in nearest)]
    assert all(row["parent"] is None for row in rows)


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
    repeated = [job for job in process.jobs if "repeat_" in job.checkpoint]
    assert {job.inherit_from for job in repeated} == {None}
    whole = sum(row["inherited"] is None for row in rows if row["seeds"])  # it counts as one of the seeds
    assert len(repeated) == 3 * 2 - whole


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
    tuner = make(tmp_path, process, max_trials=None, max_epochs_total=8, limits={"max_parameters": 99})
    with pytest.raises(keras_tuner.errors.FatalError, match="No trial of the search succeeded: 100 parameters: more"):
        search(tuner)
    assert tuner.end_reason == "the last 100 configurations exceed a limit"
    assert len(process.counted) == 1  # all of them have one architecture


def test_a_decision_by_a_measured_time_stands_after_a_restart(process, tmp_path) -> None:
    settings = {"max_trials": 8, "limits": {"max_latency_ms": 0.7}, "ranges": with_width(0.5, 1.0)}
    process.actions = {2: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(make(tmp_path / "cut", process, **settings))
    assert len(process.counted) == 2
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
    assert {job.validate_every for job in process.jobs} == {1}
    known = [len(job.stopping.curves) for job in process.jobs]
    assert known[:9] == list(range(9))
    assert known[-1] < len(rows) - len(stopped)  # what was stopped or cut is no example of a whole training
    path = str(tmp_path / "search" / reporting.STUDY_FILE)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    states = [trial.state.name for trial in optuna.load_study(study_name="search", storage=storage).trials]
    assert states.count("PRUNED") == len(stopped)


def test_trials_are_stopped_by_the_objective(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, metric="AP50", **EARLY))
    stopped = [row["AP50"] for row in rows if row["reason"]]
    assert len(stopped) > 5
    assert max(stopped) < rows[0]["AP50"] == max(row["AP50"] for row in rows)
    assert max(row["AP"] for row in rows if row["reason"]) > rows[0]["AP"]


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


def test_finalists_that_were_stopped_early_are_trained_whole(process, tmp_path) -> None:
    rows = search(make(tmp_path, process, repeats=2, seed=3, **EARLY))
    finalists = [row for row in rows if row["seeds"]]
    assert any(row["reason"] for row in finalists)
    repeated = [job for job in process.jobs if "repeat_" in job.checkpoint]
    assert {(job.epochs, job.stopping) for job in repeated} == {(4, None)}
    assert len(repeated) == sum(1 if not row["reason"] else 2 for row in finalists)
