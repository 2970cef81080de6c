"""Optimizers from their settings."""

from collections.abc import Sequence
from typing import Any

import keras

from models.hyperparameters import OptimizerConfig


class RMSpropOfTensorFlow1(keras.optimizers.RMSprop):
    """RMSProp whose mean of squared gradients starts at 1, so that its first steps are not the longest."""

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the state, as Keras does, and sets the start."""
        if not self.built:
            super().build(variables)
            for mean_square in self._velocities:
                mean_square.assign(keras.ops.ones_like(mean_square))


def make_optimizer(
    config: OptimizerConfig, schedule: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Makes a Keras optimizer.

    `rmsprop`, with momentum, epsilon inside the root and squared gradients that start at 1, is TensorFlow 1's, which
    the Object Detection API used. Weight decay leaves biases and batch norm alone.

    Args:
        config: update rule and its numbers.
        schedule: of the learning rate.

    Returns:
        The optimizer, with the moving average of the weights where one is asked for.
    """
    common = {
        "weight_decay": config.weight_decay or None,
        "global_clipnorm": config.clip_norm or None,
        "use_ema": config.ema_momentum > 0.0,
        "ema_momentum": config.ema_momentum or 0.99,
    }
    momentum, epsilon = config.momentum, config.epsilon
    makers = {
        "sgd": lambda: keras.optimizers.SGD(schedule, **common),
        "momentum": lambda: keras.optimizers.SGD(schedule, momentum=momentum, **common),
        "rmsprop": lambda: RMSpropOfTensorFlow1(schedule, rho=config.rho, momentum=momentum, epsilon=epsilon, **common),
        "adam": lambda: keras.optimizers.Adam(schedule, beta_1=momentum, epsilon=epsilon, **common),
        "adamw": lambda: keras.optimizers.AdamW(
            schedule, beta_1=momentum, epsilon=epsilon, **{**common, "weight_decay": config.weight_decay}
        ),
        "lion": lambda: keras.optimizers.Lion(schedule, beta_1=momentum, **common),
    }
    optimizer = makers[config.name]()
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
