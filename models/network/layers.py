"""The layer that everything after the backbone is built of: convolution, batch norm, activation."""

import math
from typing import Any

import keras

from models.hyperparameters import ModelConfig
from models.network import replicas

Tensor = Any
_MOST_LEFT, _LITTLE_LEFT = 0.1, 0.01  # of the first values of moving averages: worth a warning; none at all


def kernel_initializer(config: ModelConfig) -> keras.initializers.Initializer:
    """Makes the initializer of one convolution after the backbone; one used twice would draw the same numbers."""
    if config.initializer == "truncated_normal":
        return keras.initializers.TruncatedNormal(stddev=config.initializer_stddev)
    if config.initializer == "random_normal":
        return keras.initializers.RandomNormal(stddev=config.initializer_stddev)
    return keras.initializers.HeNormal()


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch norm over the last axis of maps, trained by TensorFlow's fused operation where that is the backend.

    Keras trains by some ten operations, each of which writes a whole map.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        """Normalises maps [B, h, w, C] by their own statistics in training, else by the moving averages."""
        is_trained = training and self.trainable and mask is None
        self.synchronized = replicas.count() > 1  # the statistics are those of the whole batch
        if not is_trained or self.synchronized or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf  # the other backends do without

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, "float32"),
            offset=tf.cast(self.beta, "float32"),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,
        )
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], "float32")
        variance = variance * ((count - 1.0) / count)  # the operation's is over count - 1, Keras' over count
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return outputs


class LiveDropout(keras.layers.Dropout):
    """Dropout whose rate is a variable.

    Attributes:
        live_rate: float32 scalar, from 0 to below 1.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the variable."""
        start = keras.initializers.Constant(self.rate)
        about = {"dtype": "float32", "trainable": False, "autocast": False}
        self.live_rate = self.add_weight(name="rate", shape=(), initializer=start, **about)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Drops inputs and scales the others, in training."""
        if not training:
            return inputs
        kept = keras.random.uniform(keras.ops.shape(inputs), seed=self.seed_generator) >= self.live_rate
        scale = 1.0 / (1.0 - self.live_rate)
        return keras.ops.where(kept, inputs * keras.ops.cast(scale, inputs.dtype), keras.ops.zeros_like(inputs))


def batch_norm(x: Tensor, config: ModelConfig, name: str) -> Tensor:
    """Applies batch norm with the configured momentum and epsilon."""
    return BatchNormalization(momentum=config.batch_norm_momentum, epsilon=config.batch_norm_epsilon, name=name)(x)


def slow_averages(momentum: float, steps: int) -> str | None:
    """Says how far batch norm's moving averages, which predictions use, lag behind after a training.

    Args:
        momentum: `model.batch_norm_momentum`.
        steps: of the training, at least 1.

    Returns:
        A sentence with a faster one; None where there is none, or less than a tenth of what they began with is left.
    """
    left = momentum**steps
    faster = max(0.5, math.floor(100 * _LITTLE_LEFT ** (1 / steps)) / 100)  # 0.5 is the least that is allowed
    if left < _MOST_LEFT or faster >= momentum:
        return None
    return (
        f"Batch norm's moving averages are slow: after the {steps} steps of a whole trial {left:.0%} of what they began"
        f" with is left, and scores tell little. Faster: --set=model.batch_norm_momentum={faster:g}"
    )


def depthwise_bn(x: Tensor, config: ModelConfig, name: str, *, kernel: int, stride: int = 1) -> Tensor:
    """Applies a depthwise convolution without bias, batch norm and the activation; see `conv_bn`."""
    x = keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=kernel_initializer(config),
        name=f"{name}_depthwise",
    )(x)
    x = batch_norm(x, config, f"{name}_depthwise_bn")
    return keras.layers.Activation(config.activation, name=f"{name}_depthwise_act")(x)


def conv_bn(
    x: Tensor,
    channels: int,
    config: ModelConfig,
    name: str,
    *,
    kernel: int = 1,
    stride: int = 1,
    separable: bool = False,
) -> Tensor:
    """Applies a convolution without bias, batch norm and the activation.

    Args:
        x: [B, h, w, channels].
        channels: of the result.
        config: initializer, batch norm and activation.
        name: prefix of the layers' names.
        kernel: cells a side.
        stride: cells.
        separable: a depthwise convolution with batch norm and activation, then a 1x1 convolution.

    Returns:
        [B, ceil(h / stride), ceil(w / stride), channels].
    """
    if separable:
        x = depthwise_bn(x, config, name, kernel=kernel, stride=stride)
        kernel = stride = 1
    x = keras.layers.Conv2D(
        channels,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=kernel_initializer(config),
        name=name,
    )(x)
    x = batch_norm(x, config, f"{name}_bn")
    return keras.layers.Activation(config.activation, name=f"{name}_act")(x)
