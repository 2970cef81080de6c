"""Feature levels: from a backbone to the maps that the box predictor reads, finest first."""

from typing import Any

import keras

from models.hyperparameters import ModelConfig
from models.network.backbones import Backbone
from models.network.layers import conv_bn, kernel_initializer

Tensor = Any


def feature_levels(backbone: Backbone, config: ModelConfig) -> list[Tensor]:
    """Builds the `config.num_levels` feature levels of the configured head.

    Args:
        backbone: the feature extractor.
        config: the network's settings.

    Returns:
        Symbolic maps [B, h, w, channels], each half the size of the one before, rounded up.
    """
    if config.head == "fpnlite":
        return _feature_pyramid(backbone, config)
    strides = _backbone_strides(config)
    levels = [backbone.feature_map(stride, expanded=True) for stride in strides]
    for number in range(1, config.num_levels - len(levels) + 1):
        depth = config.extra_depths[min(number, len(config.extra_depths)) - 1]
        width = max(config.min_depth, int(depth * config.alpha))
        squeezed = max(config.min_depth, int(depth // 2 * config.alpha))
        x = conv_bn(levels[-1], squeezed, config, f"extra_{number}_squeeze")
        separable = config.head == "ssdlite"
        levels.append(conv_bn(x, width, config, f"extra_{number}_expand", kernel=3, stride=2, separable=separable))
    return levels


def _backbone_strides(config: ModelConfig) -> list[int]:
    return [stride for stride in (8, 16, 32) if stride >= config.first_stride][: config.num_levels]


def _feature_pyramid(backbone: Backbone, config: ModelConfig) -> list[Tensor]:
    """Joins the backbone's maps from coarse to fine, and adds coarser ones, with separable convolutions.

    Source: Lin et al. 2017 (arXiv:1612.03144), section 3; coarser levels as in Lin et al. 2017 (arXiv:1708.02002),
    section 4; separable convolutions as the Object Detection API's FPNLite.
    """
    depth, strides = config.head_depth, _backbone_strides(config)
    maps = [backbone.feature_map(stride, expanded=False) for stride in strides]
    laterals = [
        keras.layers.Conv2D(depth, 1, kernel_initializer=kernel_initializer(config), name=f"fpn_{stride}_lateral")(x)
        for stride, x in zip(strides, maps, strict=True)
    ]
    merged = laterals[-1:]
    for stride, lateral in zip(strides[-2::-1], laterals[-2::-1], strict=True):
        up = keras.layers.UpSampling2D(2, interpolation="nearest", name=f"fpn_{stride}_up")(merged[0])
        odd = tuple((0, have - want) for have, want in zip(up.shape[1:3], lateral.shape[1:3], strict=True))
        if any(cut for _, cut in odd):
            up = keras.layers.Cropping2D(odd, name=f"fpn_{stride}_crop")(up)
        merged.insert(0, keras.layers.Add(name=f"fpn_{stride}_merge")([lateral, up]))
    levels = [
        conv_bn(x, depth, config, f"fpn_{stride}_smooth", kernel=3, separable=True)
        for stride, x in zip(strides[:-1], merged[:-1], strict=True)
    ] + merged[-1:]
    for number in range(len(levels), config.num_levels):
        levels.append(conv_bn(levels[-1], depth, config, f"fpn_extra_{number}", kernel=3, stride=2, separable=True))
    return levels
