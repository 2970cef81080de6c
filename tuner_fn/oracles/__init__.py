"""Search strategies, each a `keras_tuner.Oracle`, behind one constructor."""

import keras_tuner

from data.errors import UserError, nearest
from tuner_fn.oracles.defaults_first import BayesianOracle, RandomSearchOracle
from tuner_fn.oracles.freeze_thaw import FreezeThawOracle
from tuner_fn.oracles.hyperband import HyperbandOracle

NAMES = ("hyperband", "bayesian", "random", "freeze_thaw")


def make_oracle(
    name: str,
    *,
    objective: keras_tuner.Objective,
    hyperparameters: keras_tuner.HyperParameters,
    max_epochs: int,
    seed: int,
    max_trials: int | None = None,
    max_epochs_total: int | None = None,
    min_epochs: int = 1,
    factor: int = 3,
) -> keras_tuner.Oracle:
    """Creates the oracle of a search strategy.

    The first trial has the space's defaults. Trials of Hyperband and freeze-thaw carry `tuner/epochs`,
    `tuner/initial_epoch` and, where they go on with another, `tuner/trial_id`; others train `max_epochs`.

    Args:
        name: one of `NAMES`.
        objective: what is maximised or minimised.
        hyperparameters: the space; nothing is added to it later.
        max_epochs: of one trial, at least 1.
        seed: of the draws; every integer counts, 0 too.
        max_trials: ends the search; needed by "bayesian" and "random". Hyperband's brackets end it, too.
        max_epochs_total: ends the search of "freeze_thaw" when so many epochs were given out.
        min_epochs: of the lowest rung.
        factor: Hyperband's reduction.

    Returns:
        The oracle; its `max_trials` is a number, never None.

    Raises:
        UserError: an unknown name; the nearest known one is named.
    """
    if name not in NAMES:
        raise UserError(f"Unknown search `{name}`.{nearest(name, NAMES)}")
    common = {"objective": objective, "hyperparameters": hyperparameters, "allow_new_entries": False}
    common |= {"tune_new_entries": False, "max_consecutive_failed_trials": 1_000_000}
    if name == "freeze_thaw":
        limits = {"max_trials": max_trials, "max_epochs_total": max_epochs_total}
        return FreezeThawOracle(min_epochs=min_epochs, max_epochs=max_epochs, seed=seed, **limits, **common)
    if name == "hyperband":
        oracle = HyperbandOracle(min_epochs=min_epochs, max_epochs=max_epochs, factor=factor, **common)
        oracle.max_trials = min(oracle.planned_trials(), max_trials or oracle.planned_trials())
    elif name == "bayesian":
        # Keras Tuner's own number of random trials before the model, three a dimension, would use up a small budget.
        initial = max(2, max_trials // 3)
        oracle = BayesianOracle(max_trials=max_trials, num_initial_points=initial, **common)
    else:
        oracle = RandomSearchOracle(max_trials=max_trials, **common)
    _seed(oracle, seed)
    return oracle


def _seed(oracle: keras_tuner.Oracle, seed: int) -> None:
    """Sets the seed, which Keras Tuner's constructor would replace by a random one where it is 0 (`seed or random`)."""
    oracle.seed = oracle._seed_state = seed
    if isinstance(oracle, BayesianOracle):
        oracle.gpr = oracle._make_gpr()


def planned_epochs(oracle: keras_tuner.Oracle, max_epochs: int) -> int:
    """Counts the epochs that a search trains if no trial fails.

    Args:
        oracle: as `make_oracle` returns.
        max_epochs: of one trial.
    """
    if isinstance(oracle, HyperbandOracle):
        return oracle.planned_epochs()
    return oracle.max_trials * max_epochs
