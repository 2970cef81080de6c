"""Box predictors: from feature levels to logits and deltas."""

import re
from collections.abc import Sequence
from typing import Any

import keras

from models.hyperparameters import ModelConfig
from models.network.layers import LiveDropout, batch_norm, conv_bn, depthwise_bn, kernel_initializer

Tensor = Any
_PREDICTOR = re.compile(r"head_(\d+_)?(class|box)/(?!depthwise_kernel)")


def is_predictor(path: str) -> bool:
    """Tells by a weight's path whether its last axis is what anchors predict, and no channels."""
    return _PREDICTOR.match(path) is not None


def predict_boxes(
    levels: Sequence[Tensor], anchors_per_cell: Sequence[int], outputs: int, config: ModelConfig
) -> tuple[Tensor, Tensor]:
    """Predicts class logits and box deltas of every anchor.

    `ssd` has a convolution each a level, `ssdlite` a depthwise convolution before it. `fpnlite` shares separable
    convolutions among the levels, with batch norm of each level's own. `head_layers` convolutions come before that.

    Args:
        levels: feature maps [B, h, w, channels], finest first.
        anchors_per_cell: K of each level; all equal for `fpnlite`.
        outputs: logits an anchor.
        config: the network's settings.

    Returns:
        logits float32 [B, A, outputs] and deltas float32 [B, A, 4], ordered by level, row, column, anchor.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.1; Sandler et al. 2018 (arXiv:1801.04381), section 6.2; Lin
    et al. 2017 (arXiv:1708.02002), section 4.
    """
    towers = _shared_towers if config.head == "fpnlite" else _towers
    features = towers(levels, config)
    bias = keras.initializers.Constant(config.class_bias)
    logits = _predict(features, anchors_per_cell, outputs, config, "class", bias)
    deltas = _predict(features, anchors_per_cell, 4, config, "box", "zeros")
    join = keras.layers.Concatenate(axis=1, dtype="float32", name="logits")
    return join(logits), keras.layers.Concatenate(axis=1, dtype="float32", name="deltas")(deltas)


def _towers(levels: Sequence[Tensor], config: ModelConfig) -> list[Tensor]:
    """Applies `head_layers` convolutions and dropout to each level."""
    features = []
    for number, x in enumerate(levels):
        for layer in range(config.head_layers):
            x = conv_bn(x, config.head_depth, config, f"head_{number}_tower_{layer}")
        if config.dropout_rate:
            x = LiveDropout(config.dropout_rate, name=f"head_{number}_dropout")(x)
        features.append(x)
    return features


def _shared_towers(levels: Sequence[Tensor], config: ModelConfig) -> list[Tensor]:
    """Applies `head_layers` separable convolutions, shared among the levels, and dropout."""
    features = list(levels)
    for layer in range(config.head_layers):
        convolution = keras.layers.SeparableConv2D(
            config.head_depth,
            3,
            padding="same",
            use_bias=False,
            depthwise_initializer=kernel_initializer(config),
            pointwise_initializer=kernel_initializer(config),
            name=f"head_tower_{layer}",
        )
        for number, x in enumerate(features):
            x = batch_norm(convolution(x), config, f"head_{number}_tower_{layer}_bn")
            features[number] = keras.layers.Activation(config.activation, name=f"head_{number}_tower_{layer}_act")(x)
    if config.dropout_rate:
        features = [
            LiveDropout(config.dropout_rate, name=f"head_{number}_dropout")(x) for number, x in enumerate(features)
        ]
    return features


def _predict(
    features: Sequence[Tensor],
    anchors_per_cell: Sequence[int],
    outputs: int,
    config: ModelConfig,
    name: str,
    bias: keras.initializers.Initializer | str,
) -> list[Tensor]:
    """Predicts `outputs` numbers an anchor from each level's features: [B, h w K, outputs] each."""
    settings = {"padding": "same", "bias_initializer": bias}
    kernel = config.head_kernel_size if config.head == "ssd" else max(config.head_kernel_size, 3)
    shared = None
    if config.head == "fpnlite":
        shared = keras.layers.SeparableConv2D(
            anchors_per_cell[0] * outputs,
            kernel,
            depthwise_initializer=kernel_initializer(config),
            pointwise_initializer=kernel_initializer(config),
            name=f"head_{name}",
            **settings,
        )
    predictions = []
    for number, (x, count) in enumerate(zip(features, anchors_per_cell, strict=True)):
        prefix = f"head_{number}_{name}"
        if config.head == "ssdlite":
            x = depthwise_bn(x, config, prefix, kernel=kernel)
        predict = shared or keras.layers.Conv2D(
            count * outputs,
            kernel if config.head == "ssd" else 1,
            kernel_initializer=kernel_initializer(config),
            name=prefix,
            **settings,
        )
        predictions.append(keras.layers.Reshape((-1, outputs), name=f"{prefix}_flat")(predict(x)))
    return predictions
