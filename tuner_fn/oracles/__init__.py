"""Search strategies, each a `keras_tuner.Oracle`, behind one constructor."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

from data.errors import UserError, nearest
from tuner_fn import strategies
from tuner_fn.oracles.base import SeededOracle

_BUDGETS = {"max_trials", "max_epochs_total"}
_OWN = [name for name in strategies.STRATEGIES if not name.startswith(strategies.OPTUNA)]
NAMES = (*_OWN, f"{strategies.OPTUNA}tpe")  # one of Optuna's stands for all


def make_oracle(name: str, **options: Any) -> SeededOracle:
    """Creates the oracle of a search strategy.

    The first trial has the space's defaults. All trials carry `tuner/epochs` and `tuner/initial_epoch` and, where they
    continue with another, `tuner/trial_id`.

    Args:
        name: one of `NAMES`, or "optuna:" and another of Optuna's samplers, "optuna:cmaes" for example.
        **options: of `SeededOracle`, of which `objective`, `hyperparameters`, `max_epochs` and `seed` are needed, and
            of the strategy's class. Where nothing else ends the search `max_trials` or `max_epochs_total` is needed,
            too; None says that the caller ends it.

    Returns:
        The oracle; its `max_trials` is a number, never None.

    Raises:
        UserError: an unknown name or option (the nearest known one is named), an option out of its range, or no budget.
    """
    known = options_of(name)
    for option in options:
        if option not in known:
            raise UserError(f"`{option}` is not an option of the search `{name}`.{nearest(option, known)}")
    oracle = _constructor(name)(**options)
    is_endless = oracle.planned_trials() is None and oracle.space.size is None
    if is_endless and not _BUDGETS & options.keys():
        raise UserError(
            f"Nothing ends the search `{name}`. Give `max_trials` or `max_epochs_total`, or max_trials=None if the"
            " search is ended from outside."
        )
    return oracle


def options_of(name: str) -> tuple[str, ...]:
    """Lists the options that `make_oracle` takes for a strategy.

    Raises:
        UserError: an unknown name; the nearest known one is named.
    """
    own, common = (inspect.signature(one).parameters.values() for one in (_constructor(name), SeededOracle))
    named = (option.name for option in (*own, *common) if option.kind == option.KEYWORD_ONLY)
    return tuple(dict.fromkeys(named))


def _constructor(name: str) -> Callable[..., SeededOracle]:
    """Finds what makes a strategy's oracle; a sampler of Optuna that is not among the strategies is tried, too."""
    sampler = name.removeprefix(strategies.OPTUNA)
    if name not in strategies.STRATEGIES and sampler != name:
        strategy = dataclasses.replace(strategies.STRATEGIES[f"{strategies.OPTUNA}tpe"], arguments=(sampler,))
    else:
        strategies.check(name)
        strategy = strategies.STRATEGIES[name]
    return functools.partial(strategy.load(), *strategy.arguments)
