"""Freeze-thaw continues with what looks good, keeps to its budgets, and says why it ends."""

import itertools

import keras_tuner
import numpy as np
import pytest
import searching

from data import progress
from tuner_fn.oracles import freeze_thaw

MAX_EPOCHS = 20


def make(folder, space: keras_tuner.HyperParameters, direction: str = "max", **settings):
    objective = keras_tuner.Objective("score", direction)
    options = {"objective": objective, "hyperparameters": space, "max_epochs": MAX_EPOCHS, **settings}
    return searching.make_oracle("freeze_thaw", folder, **options)


def score(values: dict, epoch: int) -> float:
    return searching.height(values) * (1 - np.exp(-epoch / 5)) if "rate" in values else 0.5


def run(oracle, sign: float = 1.0, noise: float = 0.0) -> list[dict]:
    """Trains by the formula of `score` until the oracle stops; returns all trials' values."""
    asked, draws = [], np.random.default_rng(0)
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        values = trial.hyperparameters.values
        asked.append(dict(values))
        for epoch in range(values["tuner/initial_epoch"] + 1, values["tuner/epochs"] + 1):
            oracle.update_trial(
                trial.trial_id, {"score": sign * score(values, epoch) + noise * draws.normal()}, step=epoch
            )
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return asked


@pytest.mark.parametrize(("direction", "sign"), [("max", 1.0), ("min", -1.0)])
@pytest.mark.parametrize("seed", range(4))
def test_it_finds_a_better_configuration_than_random_search(tmp_path, direction, sign, seed) -> None:
    """With the epochs of eight whole trainings, of which random search's best is 0.7 in the median."""
    oracle = make(tmp_path, searching.make_space(), direction, max_epochs_total=8 * MAX_EPOCHS, seed=seed)
    asked = run(oracle, sign)
    assert max(searching.height(values) for values in asked if values["tuner/epochs"] == MAX_EPOCHS) > 0.95
    assert oracle.end_reason == f"the budget of {8 * MAX_EPOCHS} epochs is spent"


@pytest.mark.parametrize("seed", range(4))
def test_two_are_trained_in_full_however_noisy_the_scores_are(tmp_path, seed) -> None:
    """Beside the start: short runs alone tell little about the ends."""
    oracle = make(tmp_path, searching.make_space(), max_epochs_total=8 * MAX_EPOCHS, seed=seed)
    asked = run(oracle, noise=0.3)
    assert sum(values["tuner/epochs"] == MAX_EPOCHS for values in asked[1:]) >= 2
    assert oracle.end_reason == f"the budget of {8 * MAX_EPOCHS} epochs is spent"


def test_what_is_given_is_tried_after_the_start_and_before_the_model_decides(tmp_path) -> None:
    space = searching.make_space()
    given = [{"rate": 0.03}, {"share": 0.9}, {"share": space.get("share")}, {"rate": 0.03}]  # the start, and one twice
    asked = run(make(tmp_path, space, max_epochs_total=8 * MAX_EPOCHS, first=given))
    start = {"rate": space.get("rate"), "share": space.get("share")}
    found = [{name: values[name] for name in start} for values in asked[:3]]
    assert found == [start, pytest.approx(start | {"rate": 0.03}), pytest.approx(start | {"share": 0.9})]
    assert [values["tuner/epochs"] for values in asked[1:3]] == [asked[1]["tuner/epochs"]] * 2


def make_fair_space() -> keras_tuner.HyperParameters:
    """Has a start that either setting can improve on, and fall behind."""
    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-3)
    space.Float("share", 0.0, 1.0, default=0.6)
    return space


def is_both(values: dict) -> bool:
    return (values["rate"], values["share"]) == (pytest.approx(0.01), pytest.approx(0.35))


def test_what_helps_alone_is_tried_together_once(tmp_path) -> None:
    """What is behind the start after the first rung is left out, and so is a change that was overtaken."""
    given = [{"rate": 0.01}, {"share": 0.9}, {"share": 0.35}]
    asked = run(make(tmp_path, make_fair_space(), max_epochs_total=8 * MAX_EPOCHS, first=given))
    assert is_both(asked[4])
    assert asked[4]["tuner/epochs"] == asked[1]["tuner/epochs"]
    assert all("tuner/trial_id" in values for values in asked[5:] if is_both(values))  # it may only be continued


def test_changes_of_which_one_helps_are_not_tried_together(tmp_path) -> None:
    given = [{"rate": 0.01}, {"share": 0.9}]
    asked = run(make(tmp_path, make_fair_space(), max_epochs_total=8 * MAX_EPOCHS, first=given))
    assert not any(values["rate"] == pytest.approx(0.01) and values["share"] == 0.9 for values in asked)


def test_a_change_that_a_pinned_setting_completes_is_tried_once(tmp_path) -> None:
    """Settings without effect were pinned before the change became a part of the space."""
    oracle = make(tmp_path, make_fair_space(), max_epochs_total=8 * MAX_EPOCHS, first=[{"rate": 0.01}], prune_after=99)
    tell(oracle, oracle.create_trial("tuner0"))
    oracle.pinned.values = {"share": 0.8}
    asked = run(oracle)
    changed = [values for values in asked if (values["rate"], values["share"]) == (pytest.approx(0.01), 0.8)]
    assert changed[0] is asked[0]
    assert all("tuner/trial_id" in values for values in changed[1:])
    assert any("tuner/trial_id" in values for values in asked[1:4])  # the model has its turn


def test_what_helps_together_waits_for_trials_that_are_running(tmp_path) -> None:
    """Two workers: one asks while the last of the changes runs."""
    given = [{"rate": 0.01}, {"share": 0.35}]
    oracle = make(tmp_path, make_fair_space(), max_epochs_total=20 * MAX_EPOCHS, first=given)
    start, first = (oracle.create_trial(worker) for worker in ("tuner0", "tuner1"))
    tell(oracle, start)
    second = oracle.create_trial("tuner0")
    tell(oracle, first)
    other = oracle.create_trial("tuner1")
    assert not is_both(other.hyperparameters.values)
    tell(oracle, other)
    tell(oracle, second)
    assert is_both(oracle.create_trial("tuner0").hyperparameters.values)


@pytest.mark.parametrize("seed", range(3))
def test_of_equal_hopes_the_cheap_one_is_tried(tmp_path, seed) -> None:
    """A higher share has up to a thousand times the multiply-adds and changes no score."""
    shares = {}
    for costs in (False, True):
        oracle = make(tmp_path / str(costs), searching.make_space(), max_epochs_total=8 * MAX_EPOCHS, seed=seed)
        while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
            values = trial.hyperparameters.values
            cost = {freeze_thaw.COST: 1e6 * 1000 ** values["share"]} if costs else {}
            for epoch in range(values["tuner/initial_epoch"] + 1, values["tuner/epochs"] + 1):
                rate = searching.height(values | {"share": 0.3})
                oracle.update_trial(trial.trial_id, {"score": rate * (1 - np.exp(-epoch / 5)), **cost}, step=epoch)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        shares[costs] = np.mean([one.values["share"] for one in oracle.configurations[1:]])
    assert shares[True] < 0.75 * shares[False]


def test_the_budget_is_spent_to_the_epoch(tmp_path) -> None:
    asked = run(make(tmp_path, searching.make_space(), max_epochs_total=33))
    assert sum(values["tuner/epochs"] - values["tuner/initial_epoch"] for values in asked) == 33


def test_a_continued_trial_names_its_parent_and_begins_where_that_ended(tmp_path) -> None:
    asked = run(make(tmp_path, searching.make_space(), max_trials=40))
    continued = [values for values in asked if "tuner/trial_id" in values]
    assert continued
    for values in continued:
        parent = asked[int(values["tuner/trial_id"])]
        assert values["tuner/initial_epoch"] == parent["tuner/epochs"] < values["tuner/epochs"]
        assert (values["rate"], values["share"]) == (parent["rate"], parent["share"])
    parents = [values["tuner/trial_id"] for values in continued]
    assert len(parents) == len(set(parents))  # a state is gone on with once


def test_a_finite_space_is_gone_through_once_and_the_end_is_said(tmp_path) -> None:
    space = keras_tuner.HyperParameters()
    space.Choice("head", ["ssd", "ssdlite", "fpnlite"])
    space.Boolean("flip")
    oracle = make(tmp_path, space)
    asked = run(oracle)
    started = [(values["head"], values["flip"]) for values in asked if values["tuner/initial_epoch"] == 0]
    assert len(started) == len(set(started)) == 6
    finished = [(values["head"], values["flip"]) for values in asked if values["tuner/epochs"] == MAX_EPOCHS]
    assert sorted(finished) == sorted(started)
    assert oracle.end_reason == "all 6 configurations of the space were tried"


def test_two_workers_never_share_a_configuration(tmp_path) -> None:
    oracle, running = make(tmp_path, searching.make_space()), {}
    for turn in range(60):
        worker = f"tuner{turn % 2}"
        if worker in running:
            trial = running.pop(worker)
            oracle.update_trial(trial.trial_id, {"score": searching.height(trial.hyperparameters.values)})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        running[worker] = oracle.create_trial(worker)
        values = [trial.hyperparameters.values for trial in running.values()]
        assert len({(one["rate"], one["share"]) for one in values}) == len(running)


def test_a_failing_region_is_left(tmp_path) -> None:
    """Trials with a share above a half fail; random search would start 15 of the last 30 there."""
    oracle, failed = make(tmp_path, searching.make_space(), max_trials=60), []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        values = trial.hyperparameters.values
        failed.append(values["share"] > 0.5)
        trial.status = "FAILED" if failed[-1] else "COMPLETED"
        if not failed[-1]:
            oracle.update_trial(
                trial.trial_id, {"score": searching.height(values) * (1 - np.exp(-values["tuner/epochs"] / 5))}
            )
        oracle.end_trial(trial)
    assert sum(failed[30:]) <= 8


def test_the_expected_improvement_is_that_of_draws() -> None:
    """E[max(z + n, 0)] of normal n; far below the best it is phi(z) / z^2 to a tenth."""
    draws = np.random.default_rng(0).normal(size=1_000_000)
    for z in (-2.0, 0.0, 1.5):
        expected = np.maximum(z + draws, 0.0).mean()
        assert np.exp(freeze_thaw._log_expected_improvement(np.array([z])))[0] == pytest.approx(expected, rel=0.01)
    values = freeze_thaw._log_expected_improvement(np.array([-4.999, -5.001, -40.0]))
    assert values[0] == pytest.approx(values[1], abs=0.15)
    assert np.isfinite(values[2])


def test_rungs_grow_and_end_at_the_last_epoch() -> None:
    assert freeze_thaw.make_rungs(3, 52) == [3, 4, 6, 9, 14, 21, 32, 48, 52]
    assert freeze_thaw.make_rungs(1, 4) == [1, 2, 3, 4]
    assert freeze_thaw.make_rungs(5, 3) == [3]


def test_the_first_rung_is_where_the_start_has_half_of_its_score(tmp_path) -> None:
    """Of 1 - exp(-epoch / 5) half of the end is reached at epoch 4: 0.551 of 0.982."""
    oracle = make(tmp_path, searching.make_space(), max_epochs_total=5 * MAX_EPOCHS)
    assert oracle.rungs == [2, 3, 4, 6, 9, 14, 20]
    notes: list[str] = []
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        asked = run(oracle)
    said = "New configurations are first trained up to epoch 4: the first settings had half of their final score after"
    assert notes == [f"{said} epoch 4."]
    assert asked[0]["tuner/epochs"] == MAX_EPOCHS
    assert oracle.rungs == [4, 6, 9, 14, 20]
    started = [values["tuner/epochs"] for values in asked[1:-1] if "tuner/trial_id" not in values]
    assert set(started) == {4}
    assert {values["tuner/initial_epoch"] for values in asked} <= {0, *oracle.rungs}


def test_a_reloaded_search_has_the_first_rung_before_it_proposes(tmp_path) -> None:
    """A trial that was running is given out again without a proposal: its epochs are validated as before."""
    whole = run(make(tmp_path / "whole", searching.make_space(), max_epochs_total=4 * MAX_EPOCHS))
    asked = []
    while True:
        oracle = make(tmp_path / "cut", searching.make_space(), max_epochs_total=4 * MAX_EPOCHS)
        if asked:
            oracle.reload()
            oracle.resumable()  # as a tuner asks at its start
            assert oracle.rungs == [4, 6, 9, 14, 20]
        trial = oracle.create_trial("tuner0")
        if trial.status != "RUNNING":
            break
        values = trial.hyperparameters.values
        asked.append(dict(values))
        for epoch in range(values["tuner/initial_epoch"] + 1, values["tuner/epochs"] + 1):
            oracle.update_trial(trial.trial_id, {"score": score(values, epoch)}, step=epoch)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        oracle.save()
    assert asked == whole


@pytest.mark.parametrize(
    ("scores", "rungs"),
    [
        ({2: 0.3, 4: 0.4, 20: 0.5}, [2, 3, 4, 6, 9, 14, 20]),  # the first of all tells already
        ({2: 0.0, 4: 0.0, 14: 0.1, 20: 0.5}, [20]),
        ({2: 0.0, 14: 0.5, 20: 0.4}, [14, 20]),
        ({20: 0.5}, [2, 3, 4, 6, 9, 14, 20]),  # nothing is known of the epochs before
        ({2: 0.0, 4: 0.0, 20: 0.0}, [2, 3, 4, 6, 9, 14, 20]),  # it has learned nothing
        (None, [2, 3, 4, 6, 9, 14, 20]),  # it has failed
    ],
)
def test_the_first_rung_follows_the_starts_curve(tmp_path, scores, rungs) -> None:
    oracle = make(tmp_path, searching.make_space(), max_epochs_total=5 * MAX_EPOCHS)
    trial = oracle.create_trial("tuner0")
    for epoch, one in (scores or {}).items():
        oracle.update_trial(trial.trial_id, {"score": one}, step=epoch)
    trial.status = "FAILED" if scores is None else "COMPLETED"
    oracle.end_trial(trial)
    assert oracle.create_trial("tuner0").hyperparameters.values["tuner/epochs"] == rungs[0]
    assert oracle.rungs == rungs


def test_a_first_rung_that_is_the_least_is_said_to_be(tmp_path) -> None:
    """The start tells from epoch 1 on, before the least."""
    oracle = make(tmp_path, searching.make_space(), max_epochs_total=5 * MAX_EPOCHS, min_epochs=3)
    trial = oracle.create_trial("tuner0")
    for epoch, one in {1: 0.4, 10: 0.45, 20: 0.5}.items():
        oracle.update_trial(trial.trial_id, {"score": one}, step=epoch)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    notes: list[str] = []
    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        oracle.create_trial("tuner0")
    assert notes == [
        "New configurations are first trained up to epoch 3, the least of this search: the first settings had half of"
        " their final score after epoch 1."
    ]


def test_a_start_that_was_not_trained_whole_at_once_changes_no_rung(tmp_path) -> None:
    """A search by trials does not know in time whether there is room for it."""
    oracle = make(tmp_path, searching.make_space(), max_trials=20)
    run(oracle)
    assert oracle.rungs == [2, 3, 4, 6, 9, 14, 20]


def test_a_search_whose_first_trial_was_damaged_keeps_its_rungs_and_goes_on(tmp_path) -> None:
    settings = {"max_epochs_total": 5 * MAX_EPOCHS}
    oracle = make(tmp_path, searching.make_space(), **settings)
    searching.tell(oracle, oracle.create_trial("tuner0"), 0.5)
    oracle.save()
    (path,) = tmp_path.glob("search/trial_*/trial.json")
    path.write_text("")
    oracle = make(tmp_path, searching.make_space(), **settings)
    oracle.reload()
    assert len(run(oracle)) > 4
    assert oracle.rungs == [2, 3, 4, 6, 9, 14, 20]


def test_a_low_score_after_few_epochs_stands_as_high_as_a_better_one_after_many() -> None:
    standing = freeze_thaw._standing(np.array([0.1, 0.2, 0.3, 0.5, 0.6]), np.array([0.1, 0.1, 0.5, 0.5, 1.0]))
    assert standing[1] == standing[3] == standing[4] == 0.0
    assert standing[0] > standing[2]


def test_one_that_failed_alone_does_not_stand_best() -> None:
    standing = freeze_thaw._standing(np.array([0.1, 0.2, -0.1]), np.array([0.1, 0.1, 0.5]))
    assert standing[2] < standing[0] < standing[1] == 0.0


def tell(oracle, trial) -> None:
    values = trial.hyperparameters.values
    for epoch in range(values["tuner/initial_epoch"] + 1, values["tuner/epochs"] + 1):
        oracle.update_trial(trial.trial_id, {"score": score(values, epoch)}, step=epoch)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def test_workers_spread_because_running_trials_count_as_ended(tmp_path) -> None:
    """Sixteen workers ask after twenty results: what is running is near what the model knows, or far from the next."""
    spreads = []
    for is_aware in (True, False):
        oracle = make(tmp_path / str(is_aware), searching.make_space())
        for _ in range(20):
            tell(oracle, oracle.create_trial("tuner0"))
        if not is_aware:
            oracle._running = list
        asked = [oracle.create_trial(f"tuner{number}").hyperparameters.values for number in range(16)]
        new = np.array([oracle.space.genes(values) for values in asked if "tuner/trial_id" not in values])
        distances = np.linalg.norm(new[:, None] - new[None], axis=2) + 9.0 * np.eye(len(new))
        spreads.append(np.median(distances.min(axis=1)))
    assert spreads[0] > 1.2 * spreads[1]


def test_how_often_a_worker_asked_in_vain_does_not_matter(tmp_path) -> None:
    """A space of twelve: while the last ones run there is nothing to propose, and the model is fitted in vain."""
    found = []
    for in_vain in (0, 3):
        space = keras_tuner.HyperParameters()
        space.Choice("layers", list(range(12)), default=3)
        oracle, running, asked, names = make(tmp_path / str(in_vain), space), [], [], itertools.count()
        while len(asked) < 30:
            trial = oracle.create_trial(f"tuner{next(names)}")
            if trial.status == "RUNNING":
                asked.append(dict(trial.hyperparameters.values))
                running.append(trial)
                if len(running) < 6:
                    continue
            for number in range(in_vain if trial.status == "IDLE" else 0):
                assert oracle.create_trial(f"other{number}").status == "IDLE"
            if not running:
                break
            tell(oracle, running.pop(0))
        found.append(asked)
    assert len(found[0]) > 12
    assert found[0] == found[1]
