"""Asking and telling a search strategy without a tuner."""

import os
from collections.abc import Callable
from typing import Any

import keras_tuner
import numpy as np

from tuner_fn import oracles


def make_space() -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-4)
    space.Float("share", 0.0, 1.0, default=1.0)
    return space


def make_mixed_space() -> keras_tuner.HyperParameters:
    """Has every kind of parameter, two of them conditional."""
    space = make_space()
    space.Float("overlap", 0.0, 1.0, step=0.25, default=0.5)
    space.Int("layers", 1, 5, default=3)
    space.Int("units", 16, 512, sampling="log", default=64)
    space.Boolean("flip", default=True)
    space.Fixed("fixed", 7)
    space.Choice("backbone", ["v1", "v2", "v3"], default="v2")
    with space.conditional_scope("backbone", ["v2", "v3"]):
        space.Choice("alpha", [0.35, 0.5, 1.0], default=0.5)
        with space.conditional_scope("alpha", [1.0]):
            space.Float("dropout", 0.0, 0.5, default=0.1)
    return space


def height(values: dict[str, Any]) -> float:
    """Is 1 at a rate of 0.01 and a share of 0.3, less elsewhere."""
    distance = (np.log10(values["rate"]) + 2) ** 2 / 4 + (values["share"] - 0.3) ** 2
    return float(np.exp(-4 * distance))


def make_oracle(name: str, folder: str | os.PathLike[str], **options: Any) -> oracles.SeededOracle:
    """Makes a quiet oracle that maximises "score", by default in `make_space`."""
    defaults = {"objective": keras_tuner.Objective("score", "max"), "max_epochs": 9, "seed": 0, "max_trials": None}
    oracle = oracles.make_oracle(name, **{"hyperparameters": make_space(), **defaults, **options})
    oracle._set_project_dir(str(folder), "search")
    oracle.verbose = 0
    return oracle


def run(oracle: oracles.SeededOracle, score: Callable[[dict[str, Any]], float | None] = height) -> list[dict[str, Any]]:
    """Asks and tells until the oracle stops.

    Args:
        oracle: as `make_oracle` returns.
        score: of a trial's values; None where it fails.

    Returns:
        The values of every trial in order.
    """
    asked = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        asked.append(dict(trial.hyperparameters.values))
        tell(oracle, trial, score(asked[-1]))
    return asked


def tell(oracle: oracles.SeededOracle, trial: keras_tuner.engine.trial.Trial, score: float | None) -> None:
    """Ends a trial with a score; None for a failure."""
    if score is not None:
        oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = "FAILED" if score is None else "COMPLETED"
    oracle.end_trial(trial)
