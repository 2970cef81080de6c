"""Feature extractors: six feature levels from an image."""

import pathlib
from typing import Any

import keras

from data.errors import UserError
from models.hyperparameters import ModelConfig

Tensor = Any
LEVEL_OUTPUTS = {8: "block_6_expand_relu", 16: "block_13_expand_relu", 32: "out_relu"}  # by stride
EXTRA_CHANNELS = (512, 256, 256, 128)  # of the levels after the backbone, at alpha 1


def load_backbone(config: ModelConfig, image_size: int) -> keras.Model:
    """Builds `keras.applications.MobileNetV2` with the configured weights.

    Args:
        config: backbone, alpha, weights and batch-norm settings.
        image_size: side in pixels, at least 32.

    Returns:
        A model from float [B, S, S, 3] in [-1, 1] to the last feature map.

    Raises:
        UserError: the weights file is missing or does not fit the architecture.
    """
    weights = None if config.backbone_weights in ("", "none") else config.backbone_weights
    if weights not in (None, "imagenet") and not pathlib.Path(weights).is_file():
        raise UserError(
            f"`model.backbone_weights`: no file {weights}. Give `none`, `imagenet` or a Keras weights file."
        )
    try:
        backbone = keras.applications.MobileNetV2(
            input_shape=(image_size, image_size, 3), alpha=config.alpha, include_top=False, weights=weights
        )
    except ValueError as error:
        if weights is None:
            raise
        raise UserError(
            f"`model.backbone_weights`: {weights} does not fit MobileNetV2 with alpha {config.alpha}: {error}"
        ) from error
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = config.batch_norm_momentum
            layer.trainable = not config.freeze_batch_norm
    return backbone


def feature_levels(config: ModelConfig, image_size: int) -> keras.Model:
    """Builds the extractor: MobileNetV2 with extra levels, six in all.

    The extra levels are a 1x1 convolution to half the channels and a 3x3 convolution of stride 2, with batch norm and
    ReLU6, as in the Object Detection API's `ssd_mobilenet_v2`; their widths are multiplied by alpha, at least 16.

    Args:
        config: the network's settings.
        image_size: side in pixels.

    Returns:
        A model from float [B, S, S, 3] in [-1, 1] to six maps [B, h, w, channels], finest first.
    """
    backbone = load_backbone(config, image_size)
    strides = [stride for stride in LEVEL_OUTPUTS if stride >= config.first_stride]
    levels = [backbone.get_layer(LEVEL_OUTPUTS[stride]).output for stride in strides]
    x = levels[-1]
    for number, channels in enumerate(EXTRA_CHANNELS[: 6 - len(levels)], start=1):
        width = max(16, int(channels * min(config.alpha, 1.0)))
        x = _conv_bn(x, width // 2, 1, 1, config, f"extra_{number}_squeeze")
        x = _conv_bn(x, width, 3, 2, config, f"extra_{number}_expand")
        levels.append(x)
    return keras.Model(backbone.input, levels, name="feature_levels")


def _conv_bn(x: Tensor, channels: int, kernel: int, stride: int, config: ModelConfig, name: str) -> Tensor:
    x = keras.layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=config.batch_norm_momentum, epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
