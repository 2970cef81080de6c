"""Box predictors: from feature maps to logits and deltas."""

from typing import Any

import keras

from models.hyperparameters import ModelConfig

Tensor = Any


def ssd_head(
    levels: list[Tensor], anchors_per_cell: list[int], outputs: int, config: ModelConfig
) -> tuple[Tensor, Tensor]:
    """Predicts class logits and box deltas with one convolution each a level.

    Args:
        levels: feature maps [B, h, w, channels], finest first.
        anchors_per_cell: K of each level.
        outputs: logits an anchor.
        config: kernel size and dropout.

    Returns:
        logits float32 [B, A, outputs] and deltas float32 [B, A, 4], ordered by level, row, column, anchor.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.1, "Convolutional predictors".
    """
    logits, deltas = [], []
    for number, (features, count) in enumerate(zip(levels, anchors_per_cell, strict=True)):
        if config.dropout_rate:
            features = keras.layers.Dropout(config.dropout_rate, name=f"head_{number}_dropout")(features)
        logits.append(_predict(features, count, outputs, config.head_kernel_size, f"head_{number}_class"))
        deltas.append(_predict(features, count, 4, config.head_kernel_size, f"head_{number}_box"))
    join = keras.layers.Concatenate(axis=1, dtype="float32", name="logits")
    return join(logits), keras.layers.Concatenate(axis=1, dtype="float32", name="deltas")(deltas)


def _predict(features: Tensor, count: int, outputs: int, kernel_size: int, name: str) -> Tensor:
    initializer = keras.initializers.TruncatedNormal(stddev=0.03)  # the Object Detection API's for SSD
    x = keras.layers.Conv2D(count * outputs, kernel_size, padding="same", kernel_initializer=initializer, name=name)(
        features
    )
    return keras.layers.Reshape((-1, outputs), name=f"{name}_flat")(x)
