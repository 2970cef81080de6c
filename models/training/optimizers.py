"""Optimizers from their settings."""

from collections.abc import Sequence
from typing import Any

import keras

from models.hyperparameters import OptimizerConfig
from models.network import network_parts, replicas


class Momentum(keras.optimizers.SGD):
    """Gradient descent with a momentum that may be a variable, which Keras' compares with 0 in Python."""

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the state, as Keras does; velocities also where the momentum is 0 now."""
        if not self.built:
            super().build(variables)
            self.momentums = self.momentums or self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable and its velocity."""
        velocity = self.momentums[self._get_variable_index(variable)]
        momentum = keras.ops.cast(self.momentum, variable.dtype)
        rate = keras.ops.cast(learning_rate, variable.dtype)
        self.assign(velocity, momentum * velocity - rate * keras.ops.cast(gradient, variable.dtype))
        self.assign_add(variable, velocity)


class RMSpropOfTensorFlow1(keras.optimizers.RMSprop):
    """RMSProp whose mean of squared gradients starts at 1, so that its first steps are not the longest.

    Its momentum may be a variable.
    """

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the state, as Keras does, and sets the start; velocities also where the momentum is 0 now."""
        if not self.built:
            super().build(variables)
            self._momentums = self._momentums or self.add_optimizer_variables(variables, "momentum")
            for mean_square in self._velocities:
                mean_square.assign(keras.ops.ones_like(mean_square))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable, its velocity and its mean of squared gradients."""
        index = self._get_variable_index(variable)
        mean_square, velocity = self._velocities[index], self._momentums[index]
        gradient = keras.ops.cast(gradient, variable.dtype)
        momentum = keras.ops.cast(self.momentum, variable.dtype)
        rate = keras.ops.cast(learning_rate, variable.dtype)
        self.assign(mean_square, self.rho * mean_square + (1.0 - self.rho) * keras.ops.square(gradient))
        increment = rate * gradient / keras.ops.sqrt(mean_square + self.epsilon)
        self.assign(velocity, momentum * velocity + increment)
        self.assign_sub(variable, velocity)


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
            beta1=tf.cast(self.beta_1, "float32"),
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def _with_backbone_rate(kind: type[keras.optimizers.Optimizer], factor: float) -> type[keras.optimizers.Optimizer]:
    """Makes a kind of optimizer that trains the backbone at `factor` of the learning rate, weight decay included."""

    class TwoRates(kind):
        def build(self, variables: Sequence[Any]) -> None:
            if not self.built:
                super().build(variables)
                self.factors = [
                    factor if network_parts.part(one.path) == network_parts.BACKBONE else 1.0 for one in variables
                ]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * self.factors[self._get_variable_index(variable)])

        def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
            for variable in variables if self.weight_decay is not None else ():
                if self._use_weight_decay(variable):
                    rate = self.learning_rate * self.factors[self._get_variable_index(variable)]
                    variable.assign(variable - variable * keras.ops.cast(self.weight_decay * rate, variable.dtype))

    return TwoRates


def _clipping_the_whole(kind: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Makes a kind of optimizer that clips the gradient of the whole batch, of which each replica has a part.

    Keras clips the parts and adds them up. Here each replica clips the same n-th of the whole, at an n-th of the norm.
    """

    class OfTheWhole(kind):
        def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
            super().apply([replicas.total(part) / replicas.count() for part in grads], trainable_variables)

    return OfTheWhole


def make_optimizer(
    config: OptimizerConfig, schedule: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Makes a Keras optimizer.

    `rmsprop`, with momentum, epsilon inside the root and squared gradients that start at 1, is TensorFlow 1's, which
    the Object Detection API used. Weight decay leaves biases and batch norm alone. Momentum and weight decay are
    variables, which `configure` sets; without weight decay there is none. With a `backbone_rate` other than 1 the
    backbone's variables have a learning rate of their own.

    Args:
        config: update rule and its numbers.
        schedule: of the learning rate.

    Returns:
        The optimizer, with the moving average of the weights where one is asked for.
    """
    common = {
        "weight_decay": config.weight_decay or None,
        "global_clipnorm": config.clip_norm / replicas.count() or None,
        "use_ema": config.ema_momentum > 0.0,
        "ema_momentum": config.ema_momentum or 0.99,
    }
    start = 0.9
    with_root = common | {"epsilon": config.epsilon}

    def kind(of: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
        """Returns the class itself where one device trains, and the backbone learns as the rest does."""
        if config.clip_norm > 0.0 and replicas.count() > 1:
            of = _clipping_the_whole(of)
        return of if config.backbone_rate == 1.0 else _with_backbone_rate(of, config.backbone_rate)

    makers = {
        "sgd": lambda: kind(keras.optimizers.SGD)(schedule, **common),
        "momentum": lambda: kind(Momentum)(schedule, momentum=start, **common),
        "rmsprop": lambda: kind(RMSpropOfTensorFlow1)(schedule, rho=config.rho, momentum=start, **with_root),
        # Keras takes every optimizer's weight decay from the weights and not by the gradient, which is AdamW.
        "adam": lambda: kind(FusedAdam)(schedule, beta_1=start, **with_root),
        "adamw": lambda: kind(FusedAdam)(schedule, beta_1=start, **with_root),
        "lion": lambda: kind(keras.optimizers.Lion)(schedule, beta_1=start, **common),
    }
    optimizer = makers[config.name]()
    for name in _live(optimizer, config):
        setattr(optimizer, name, keras.Variable(0.0, dtype="float32", trainable=False, name=name))
    configure(optimizer, config)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def configure(optimizer: keras.optimizers.Optimizer, config: OptimizerConfig) -> None:
    """Sets momentum and weight decay of an optimizer that was made for the same update rule."""
    for name, value in _live(optimizer, config).items():
        getattr(optimizer, name).assign(value)


def _live(optimizer: keras.optimizers.Optimizer, config: OptimizerConfig) -> dict[str, float]:
    """Returns what an optimizer keeps in variables."""
    values = {"weight_decay": config.weight_decay} if config.weight_decay else {}
    if config.name != "sgd":
        values["beta_1" if hasattr(optimizer, "beta_1") else "momentum"] = config.momentum
    return values
