"""What a strategy knows of a configuration, what it proposes, and what it writes among a trial's values."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras_tuner
import numpy as np

from tuner_fn.early_stopping import CURVE, STOPPED

REJECTED = "tuner/rejected"  # among the values of a trial that was not trained, because it would cost too much
SPENT = "tuner/spent"  # among the values of a trial that failed: the epoch that it failed in
INHERITED = "tuner/inherited"  # among the values of a trial that starts with the weights of another one: that trial


@dataclasses.dataclass
class Configuration:
    """A configuration and what is known of it.

    Attributes:
        values: {hyperparameter: value} of the active ones.
        genes: float64 [P], `Space.genes` of the values.
        curve: {epoch from 1: score}, higher is better; what its trials reported.
        trial_id: of its last trial.
        epochs: trained or being trained.
        state: "running", "paused" (trained as far as `epochs`), "retired" (the same, but it never continues) or
            "failed".
    """

    values: dict[str, Any]
    genes: np.ndarray
    curve: dict[int, float]
    trial_id: str
    epochs: int
    state: str

    @property
    def best(self) -> float:
        """The highest score; -inf where there is none."""
        return max(self.curve.values(), default=-np.inf)

    def best_until(self, epochs: int) -> float:
        """Returns the highest score of the first `epochs` epochs; -inf where it failed in them."""
        if self.state == "failed" and self.epochs <= epochs:
            return -np.inf
        return max((score for epoch, score in self.curve.items() if epoch <= epochs), default=-np.inf)


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What to train next.

    Attributes:
        values: {hyperparameter: value} of a new configuration; None to continue with a known one.
        epochs: to train up to, counted from the configuration's first.
        known: index of the configuration to continue with; None for a new one.
    """

    values: dict[str, Any] | None
    epochs: int
    known: int | None = None


def curve(trial: keras_tuner.engine.trial.Trial, objective: keras_tuner.Objective) -> dict[int, float]:
    """Reads {epoch: score} that a trial reported, higher is better; the last report is of its last epoch."""
    name, values = objective.name, trial.hyperparameters.values
    if not trial.metrics.exists(name):
        return {}
    sign = 1.0 if objective.direction == "max" else -1.0
    has_curve = trial.metrics.exists(CURVE)
    history = trial.metrics.get_history(CURVE if has_curve else name)
    last = history[-1].step if history else 0
    # Steps of a curve are epochs; others may count from 0 or 1, from the configuration's beginning or the trial's.
    before = 0 if has_curve else values["tuner/epochs"] - int(last)
    epochs = {before + int(one.step): sign * float(np.mean(one.value)) for one in history}
    return {epoch: score for epoch, score in epochs.items() if epoch >= 1 and np.isfinite(score)}


def end_of(values: Mapping[str, Any], otherwise: int = 0) -> int:
    """Returns the epoch that a trial with these values ended in, or is to end in; `otherwise` where they are lost."""
    return values.get(STOPPED, values.get(SPENT, values.get("tuner/epochs", otherwise)))
