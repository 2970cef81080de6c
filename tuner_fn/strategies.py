"""The search strategies by name, known without Keras Tuner's import, which takes 10 s."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from data.errors import UserError, nearest

OPTUNA = "optuna:"


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A way to search.

    Attributes:
        oracle: module and name of what makes its oracle, a subclass of `oracles.base.SeededOracle`.
        has_rungs: whether it trains configurations in parts and decides which continue.
        arguments: that the oracle's constructor takes first.
    """

    oracle: str
    has_rungs: bool = False
    arguments: tuple[str, ...] = ()

    def load(self) -> Any:
        """Imports what makes the oracle."""
        module, _, name = self.oracle.rpartition(".")
        return getattr(importlib.import_module(module), name)


# The first is the default. Optuna has more samplers, which `make_oracle` takes by name.
STRATEGIES = {
    "freeze_thaw": Strategy("tuner_fn.oracles.freeze_thaw.FreezeThawOracle", has_rungs=True),
    "hyperband": Strategy("tuner_fn.oracles.hyperband.HyperbandOracle", has_rungs=True),
    "asha": Strategy("tuner_fn.oracles.asha.AshaOracle", has_rungs=True),
    "bayesian": Strategy("tuner_fn.oracles.bayesian.BayesianOracle"),
    "random": Strategy("tuner_fn.oracles.random_search.RandomOracle"),
    "grid": Strategy("tuner_fn.oracles.grid.GridOracle"),
    "evolution": Strategy("tuner_fn.oracles.evolution.EvolutionOracle"),
    "controller": Strategy("tuner_fn.oracles.controller.ControllerOracle"),
    **{
        f"{OPTUNA}{sampler}": Strategy("tuner_fn.oracles.optuna_samplers.OptunaOracle", arguments=(sampler,))
        for sampler in ("tpe", "gp", "cmaes", "qmc", "random")
    },
}


def check(name: str) -> None:
    """Checks a strategy's name.

    Raises:
        UserError: it is unknown; the nearest known one is named.
    """
    if name not in STRATEGIES:
        raise UserError(f"Unknown search `{name}`.{nearest(name, STRATEGIES)}")


def register(name: str, *, has_rungs: bool = False) -> Callable[[type], type]:
    """Decorates a subclass of `tuner_fn.oracles.base.SeededOracle` as a strategy, which `--search=NAME` then takes.

    Args:
        name: of the strategy.
        has_rungs: as of `Strategy`.

    Raises:
        ValueError: the name is taken.
    """
    if name in STRATEGIES:
        raise ValueError(f"`name` must be new: got {name!r}, which is a strategy already.")

    def decorate(oracle: type) -> type:
        STRATEGIES[name] = Strategy(f"{oracle.__module__}.{oracle.__qualname__}", has_rungs)
        return oracle

    return decorate
