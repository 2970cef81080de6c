"""How the finalists are compared with the start."""

import json

import keras_tuner
import numpy as np
import pytest
from tuning import FakeProcess, best_config, make, search

from data import progress
from models.hyperparameters import ExperimentConfig


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


@pytest.mark.parametrize("is_lucky_once", [False, True])
def test_the_start_is_replaced_by_what_is_better_with_all_seeds(process, tmp_path, is_lucky_once) -> None:
    """Of 0.1 with the first seed the others leave a part or nothing."""
    alone = search(make(tmp_path / "alone", process))
    assert {row["mean"] for row in alone} == {None}
    start, best = (row["score"] for row in alone[:2])
    later = -0.1 if is_lucky_once else 0.02
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
    sure = search(make(tmp_path, process, repeats=3, min_confidence=0.999))
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
    continued = [(job.settings["training"]["seed"], job.start_from is not None) for job in repeated]
    assert sorted(continued) == [(0, True), (1, False), (1, False)]  # the start was not finished
    assert not list((tmp_path / "search").glob("repeat_*"))


def test_finalists_that_were_not_finished_continue_with_their_seed(process, tmp_path) -> None:
    """With the other seed they begin from scratch."""
    budget = {"max_trials": 3, "max_epochs": 8, "repeats": 2}
    rows = search(make(tmp_path, process, "asha", **budget))
    start, challenger = process.jobs[0], max((job for job in process.jobs if job.epochs == 3), key=process.rate)
    pair = [(process.rate(start), start.checkpoint), (process.rate(challenger), challenger.checkpoint)]
    repeated = [job for job in process.jobs if "repeat_" in job.checkpoint]
    found = [(process.rate(job), job.settings["training"]["seed"], job.epochs, job.start_from) for job in repeated]
    assert found == [*((rate, 0, 8, state) for rate, state in pair), *((rate, 1, 8, None) for rate, _ in pair)]
    assert [row["seeds"] for row in rows if row["seeds"]] == [2, 2]


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
