"""One contract for every search strategy, by plain ask and tell."""

import math

import keras_tuner
import pytest

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import oracles, search_space

NAMES = ("optimizer.learning_rate", "anchors.min_scale", "augment.crop_probability")
OBJECTIVE = keras_tuner.Objective("val_AP", "max")


def make(name: str, folder, *, seed: int = 0, max_epochs: int = 4, max_trials: int | None = 5, **settings):
    space = search_space.make_search_space(ExperimentConfig(), NAMES)
    oracle = oracles.make_oracle(
        name,
        objective=OBJECTIVE,
        hyperparameters=space,
        max_epochs=max_epochs,
        seed=seed,
        max_trials=None if name == "hyperband" else max_trials,
        **settings,
        factor=2,
    )
    oracle._set_project_dir(str(folder), "search")
    oracle.verbose = 0
    return oracle


def score(values) -> float:
    """Is best near a learning rate of 0.003."""
    return -abs(math.log(values["optimizer.learning_rate"] / 0.003))


def run(oracle, failing: int | None = None) -> list[dict]:
    """Asks and tells until the oracle stops; returns the values of every trial in order."""
    asked = []
    while True:
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            return asked
        assert trial.status == "RUNNING"
        asked.append(dict(trial.hyperparameters.values))
        if failing == len(asked) - 1:
            trial.status = "FAILED"
        else:
            oracle.update_trial(trial.trial_id, {"val_AP": score(trial.hyperparameters.values)})
            trial.status = "COMPLETED"
        oracle.end_trial(trial)


@pytest.mark.parametrize("name", oracles.NAMES)
def test_it_ends_after_the_trials_it_planned(name, tmp_path) -> None:
    oracle = make(name, tmp_path)
    planned = oracle.max_trials
    assert len(run(oracle)) == planned


@pytest.mark.parametrize("name", oracles.NAMES)
@pytest.mark.parametrize("seed", [0, 7])
def test_any_seed_gives_the_same_sequence_again(name, seed, tmp_path) -> None:
    """Zero too, which Keras Tuner takes for "random"."""
    first = run(make(name, tmp_path / "a", seed=seed))
    assert run(make(name, tmp_path / "b", seed=seed)) == first
    assert run(make(name, tmp_path / "c", seed=seed + 1)) != first


@pytest.mark.parametrize("name", oracles.NAMES)
def test_the_defaults_are_tried_first(name, tmp_path) -> None:
    first = run(make(name, tmp_path))[0]
    assert {key: first[key] for key in NAMES} == {key: ExperimentConfig().flat()[key] for key in NAMES}


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_failed_trial_does_not_end_the_search(name, tmp_path) -> None:
    oracle = make(name, tmp_path)
    asked = run(oracle, failing=1)
    assert len(asked) >= oracle.max_trials - 2  # Hyperband lacks a trial to promote, on two rungs
    assert oracle.get_best_trials(1)[0].status == "COMPLETED"


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_reloaded_oracle_goes_on_as_if_never_stopped(name, tmp_path) -> None:
    expected = run(make(name, tmp_path / "whole"))
    oracle, asked = make(name, tmp_path / "cut"), []
    for _ in range(3):
        trial = oracle.create_trial("tuner0")
        asked.append(dict(trial.hyperparameters.values))
        oracle.update_trial(trial.trial_id, {"val_AP": score(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        oracle.save()  # as a tuner does after every trial
    reloaded = make(name, tmp_path / "cut")
    reloaded.reload()
    assert asked + run(reloaded) == expected


def test_hyperband_trains_the_epochs_it_planned(tmp_path) -> None:
    """A promoted trial trains only the epochs it lacks; the sum is what the user was told."""
    oracle = make("hyperband", tmp_path, max_epochs=9)
    trained = sum(values["tuner/epochs"] - values["tuner/initial_epoch"] for values in run(oracle))
    assert trained == oracles.planned_epochs(oracle, 9)


def test_hyperband_promotes_the_best_of_a_rung(tmp_path) -> None:
    asked = run(make("hyperband", tmp_path, max_epochs=4))
    promoted = [values for values in asked if values["tuner/initial_epoch"] > 0]
    assert promoted
    first_rung = [values for values in asked if values["tuner/bracket"] == 2 and values["tuner/round"] == 0]
    best = max(first_rung, key=score)
    assert any(values["optimizer.learning_rate"] == best["optimizer.learning_rate"] for values in promoted)


def test_an_unknown_name_names_the_nearest(tmp_path) -> None:
    with pytest.raises(UserError, match="Unknown search `hyperbrand`. Did you mean `hyperband`"):
        make("hyperbrand", tmp_path)


def test_hyperbands_lowest_rung_is_not_below_the_least_epochs(tmp_path) -> None:
    """Three trials of two epochs, the best two go on to four, and three more train four at once."""
    oracle = make("hyperband", tmp_path, min_epochs=2)
    asked = [(values["tuner/initial_epoch"], values["tuner/epochs"]) for values in run(oracle)]
    assert asked == [(0, 2)] * 3 + [(2, 4)] * 2 + [(0, 4)] * 3
    assert oracles.planned_epochs(oracle, 4) == 3 * 2 + 2 * 2 + 3 * 4
