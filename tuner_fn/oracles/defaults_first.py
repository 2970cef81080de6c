"""Searches that try the declared defaults before anything else."""

from typing import Any

import keras_tuner


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
    """Keras Tuner's Bayesian optimisation with a Gaussian process, the defaults first."""
