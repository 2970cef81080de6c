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


class FusedAdam(keras.optimizers.Adam):
    """Adam by TensorFlow's one operation for a variable, where that is the backend, in place of Keras' dozen."""

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Updates all variables; the powers of the betas are the same for each."""
        step = keras.ops.cast(self.iterations + 1, "float32")
        self._powers = [keras.ops.power(beta, step) for beta in (self.beta_1, self.beta_2)]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable and its two moments."""
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf  # the other backends do without

        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self._powers[0],
            beta2_power=self._powers[1],
            lr=tf.cast(learning_rate, "float32"),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


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
        # Keras takes every optimizer's weight decay from the weights and not by the gradient, which is AdamW.
        "adam": lambda: FusedAdam(schedule, beta_1=momentum, epsilon=epsilon, **common),
        "adamw": lambda: FusedAdam(schedule, beta_1=momentum, epsilon=epsilon, **common),
        "lion": lambda: keras.optimizers.Lion(schedule, beta_1=momentum, **common),
    }
    optimizer = makers[config.name]()
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
