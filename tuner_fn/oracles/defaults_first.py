"""Searches that try the declared defaults before anything else."""

from typing import Any

import keras_tuner
import numpy as np


class DefaultsFirst:
    """Mixin for an oracle: the first trial takes the space's defaults instead of random values.

    So a search never ends with less than the settings that the user started from would have given.
    """

    def _random_values(self) -> dict[str, Any] | None:
        if self.trials:
            return super()._random_values()
        return {parameter.name: parameter.default for parameter in self.hyperparameters.space}


class RandomSearchOracle(DefaultsFirst, keras_tuner.oracles.RandomSearchOracle):
    """Keras Tuner's random search, the defaults first."""


class BayesianOracle(DefaultsFirst, keras_tuner.oracles.BayesianOptimizationOracle):
    """Keras Tuner's Bayesian optimisation with a Gaussian process, the defaults first.

    Each trial's draws depend on the seed and the trial's number alone. Keras Tuner's own generator starts anew when a
    search is reloaded, so that an interrupted one would go another way.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Proposes a trial, as `keras_tuner.Oracle.populate_space`."""
        self.trials = dict(sorted(self.trials.items()))  # a reload finds them in any order
        self._random_state = np.random.RandomState([self.seed, len(self.trials)])
        return super().populate_space(trial_id)
