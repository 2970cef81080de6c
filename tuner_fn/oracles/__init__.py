"""Search strategies, each a `keras_tuner.Oracle`, behind one constructor."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from data.errors import UserError, nearest
from tuner_fn.oracles.asha import AshaOracle
from tuner_fn.oracles.base import SeededOracle
from tuner_fn.oracles.bayesian import BayesianOracle
from tuner_fn.oracles.controller import ControllerOracle
from tuner_fn.oracles.evolution import EvolutionOracle
from tuner_fn.oracles.freeze_thaw import FreezeThawOracle
from tuner_fn.oracles.grid import GridOracle
from tuner_fn.oracles.hyperband import HyperbandOracle
from tuner_fn.oracles.random_search import RandomOracle

_CLASSES = {
    "freeze_thaw": FreezeThawOracle,
    "hyperband": HyperbandOracle,
    "asha": AshaOracle,
    "bayesian": BayesianOracle,
    "evolution": EvolutionOracle,
    "controller": ControllerOracle,
    "random": RandomOracle,
    "grid": GridOracle,
}
_OPTUNA = "optuna:"
NAMES = (*_CLASSES, f"{_OPTUNA}tpe")


def make_oracle(name: str, **options: Any) -> SeededOracle:
    """Creates the oracle of a search strategy.

    The first trial has the space's defaults. All trials carry `tuner/epochs` and `tuner/initial_epoch` and, where they
    go on with another, `tuner/trial_id`.

    Args:
        name: one of `NAMES`, or "optuna:" and another of Optuna's samplers, "optuna:cmaes" for example.
        **options: of `SeededOracle`, of which `objective`, `hyperparameters`, `max_epochs` and `seed` are needed, and
            of the strategy's class.

    Returns:
        The oracle; its `max_trials` is a number, never None.

    Raises:
        UserError: an unknown name or option (the nearest known one is named), or an option out of its range.
    """
    known = options_of(name)
    for option in options:
        if option not in known:
            raise UserError(f"`{option}` is no option of the search `{name}`.{nearest(option, known)}")
    return _constructor(name)(**options)


def options_of(name: str) -> tuple[str, ...]:
    """Lists the options that `make_oracle` takes for a strategy.

    Raises:
        UserError: an unknown name; the nearest known one is named.
    """
    own, common = (inspect.signature(one).parameters.values() for one in (_constructor(name), SeededOracle))
    named = (option.name for option in (*own, *common) if option.kind == option.KEYWORD_ONLY)
    return tuple(dict.fromkeys(named))


def _constructor(name: str) -> Callable[..., SeededOracle]:
    """Finds what makes a strategy's oracle."""
    if name.startswith(_OPTUNA):
        from tuner_fn.oracles.optuna_samplers import OptunaOracle  # who searches otherwise need not wait for Optuna

        return functools.partial(OptunaOracle, name.removeprefix(_OPTUNA))
    if name not in _CLASSES:
        raise UserError(f"Unknown search `{name}`.{nearest(name, NAMES)}")
    return _CLASSES[name]
