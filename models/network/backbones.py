"""Feature extractors: MobileNet v1, v2 and v3 and the maps that a head reads."""

import dataclasses
import math
import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from data.errors import UserError
from models import imagenet_weights
from models.hyperparameters import BACKBONES, ModelConfig
from models.network import layers

Tensor = Any
_BUILDERS = {
    "mobilenet_v1": (keras.applications.MobileNet, {}),
    "mobilenet_v2": (keras.applications.MobileNetV2, {}),
    "mobilenet_v3_small": (keras.applications.MobileNetV3Small, {"include_preprocessing": False}),
    "mobilenet_v3_large": (keras.applications.MobileNetV3Large, {"include_preprocessing": False}),
}
_STRIDES = (8, 16, 32)
Build = Callable[[ModelConfig, tuple[int, int]], keras.Model]
_REGISTERED: dict[str, Build] = {}
_BLOCK = re.compile(r"block_\d+|expanded_conv(_\d+)?|conv_(dw|pw)_\d+")


@dataclasses.dataclass(frozen=True)
class RestoredWeights:
    """What a weights file gave a backbone.

    Attributes:
        source: `model.backbone_weights`.
        restored: paths of the tensors that were found, in the model's order.
        missing: paths of those that were not, or not in the model's shape; they keep their initial values.
    """

    source: str
    restored: tuple[str, ...]
    missing: tuple[str, ...]

    def summary(self) -> str:
        """Says in one sentence what was restored; the first missing tensors are named."""
        total = len(self.restored) + len(self.missing)
        text = f"Restored {len(self.restored)} of {total} backbone tensors from {self.source}"
        shown = ", ".join(self.missing[:3]) + (", ..." if len(self.missing) > 3 else "")
        return f"{text}; not found: {shown}" if self.missing else text


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A feature extractor.

    Attributes:
        model: from float [B, H, W, 3] in [-1, 1] to the last feature map, of stride 32; a plug-in's to the maps of
            strides 8, 16 and 32.
        weights: what was restored; None where nothing was asked for.
    """

    model: keras.Model
    weights: RestoredWeights | None

    def feature_map(self, stride: int, expanded: bool) -> Tensor:
        """Finds the last feature map of a stride.

        Args:
            stride: 8, 16 or 32.
            expanded: of the block that leads to the next stride take the expanded map, as SSD does, and not the
                narrow one before it; MobileNet v1 has only one.

        Returns:
            A symbolic tensor [B, h, w, channels].
        """
        if len(self.model.outputs) > 1:
            return self.model.outputs[_STRIDES.index(stride)]
        if stride == 32:
            return self.model.output
        # Of Keras' MobileNets each depthwise convolution of stride 2 follows a padding; their strides are 2, 4, 8, 16.
        pads = [layer for layer in self.model.layers if isinstance(layer, keras.layers.Identity)]
        pad = pads[{8: -2, 16: -1}[stride]]
        if expanded or pad.name.startswith("conv_pad"):  # MobileNet v1
            return pad.input
        name = pad.name.removesuffix("_pad").removesuffix("_depthwise") + "_expand"
        return self.model.get_layer(name).input


def load_backbone(config: ModelConfig, size: tuple[int, int]) -> Backbone:
    """Builds a plug-in's backbone, or a MobileNet of Keras with the configured weights, activation and batch norm.

    Args:
        config: backbone, alpha, weights, activation and batch-norm settings.
        size: height and width in pixels, at least 32.

    Returns:
        The backbone.

    Raises:
        UserError: the weights file is missing, is not a weights file or is of another architecture; or more blocks are
            to be frozen than there are.
        ValueError: `backbone_weights` is `auto`, which nobody has decided.
    """
    if config.backbone_weights == imagenet_weights.AUTO:
        raise ValueError("`model.backbone_weights` must be decided before a network is built: got auto. Plan the run.")
    file = config.weights_file()
    if config.backbone in _REGISTERED:
        model = _built(config, size)
        restored = None if file is None else _restore(model, config, file)
        _freeze(model, config)
        return Backbone(model, restored)
    build, options = _BUILDERS[config.backbone]
    arguments = {"input_shape": (*size, 3), "alpha": config.alpha, "include_top": False, **options}
    if config.backbone_weights == "imagenet":
        model = _download(config, build, arguments)
        restored = RestoredWeights("imagenet", tuple(weight.path for weight in model.weights), ())
    else:
        model = build(weights=None, **arguments)
        restored = None if file is None else _restore(model, config, file)
    adapted = _adapted(model, config)
    _freeze(adapted, config)
    return Backbone(adapted, restored)


def register(name: str) -> Callable[[Build], Build]:
    """Decorates a function that builds a backbone, which `--set=model.backbone=NAME` then takes.

    The function gets the settings of the network and the height and width of its input in pixels. It returns a Keras
    model from float [B, H, W, 3] in [-1, 1] to the feature maps of strides 8, 16 and 32, in this order; their sides are
    the input's, divided and rounded up. Of the settings it may heed what it likes, `alpha` first.

    Args:
        name: of the backbone.

    Raises:
        ValueError: the name is taken.
    """
    if name in BACKBONES:
        raise ValueError(f"`name` must be new: got {name!r}, which is a backbone already.")

    def decorate(build: Build) -> Build:
        BACKBONES.append(name)
        _REGISTERED[name] = build
        return build

    return decorate


def _built(config: ModelConfig, size: tuple[int, int]) -> keras.Model:
    """Builds a plug-in's backbone and checks its maps."""
    if config.backbone_weights == "imagenet":
        raise UserError(
            f"`model.backbone_weights=imagenet`: Keras has no weights of the plug-in's {config.backbone}. Give the path"
            " of a Keras weights file or `none`."
        )
    model = _REGISTERED[config.backbone](config, size)
    found = [tuple(output.shape[1:3]) for output in model.outputs]
    wanted = [tuple(math.ceil(side / stride) for side in size) for stride in _STRIDES]
    if found != wanted:
        raise UserError(
            f"`model.backbone={config.backbone}` needs three maps of {wanted} cells, of strides 8, 16 and 32, for an"
            f" input of {size[0]}x{size[1]} px: the plug-in's function returns {found}."
        )
    return model


def blocks(model: keras.Model) -> list[list[keras.Layer]]:
    """Groups a MobileNet's layers that have weights: its first convolution, its blocks and its last convolution."""
    groups: dict[str, list[keras.Layer]] = {}
    for layer in model.layers:
        if layer.weights:
            match = _BLOCK.match(layer.name)
            name = match[0].replace("_dw_", "_pw_") if match else "last" if len(groups) > 1 else "first"
            groups.setdefault(name, []).append(layer)
    return list(groups.values())


def _freeze(model: keras.Model, config: ModelConfig) -> None:
    found = blocks(model)
    if config.frozen_blocks > len(found):
        raise UserError(
            f"`model.frozen_blocks` is {config.frozen_blocks}, but {config.backbone} has {len(found)}: its first"
            " convolution, its blocks and, but for MobileNet v1, its last convolution."
        )
    for layer in (layer for block in found[: config.frozen_blocks] for layer in block):
        layer.trainable = False


def _download(config: ModelConfig, build: Any, arguments: dict[str, Any]) -> keras.Model:
    try:
        with warnings.catch_warnings():  # Keras warns where it has no weights of this very size
            warnings.simplefilter("ignore")
            return build(weights="imagenet", **arguments)
    except (ValueError, OSError) as error:  # Keras has weights for some widths only; the download may fail
        raise UserError(
            f"`model.backbone_weights`: no ImageNet weights for {config.backbone} with alpha {config.alpha}: {error}"
            " Give the path of a Keras weights file or `none`."
        ) from error
    except Exception as error:
        if "URL fetch failure" not in str(error):
            raise
        raise UserError(
            f"`model.backbone_weights`: the download failed: {error}. Give the path of a Keras weights file or `none`."
        ) from error


def _restore(model: keras.Model, config: ModelConfig, path: pathlib.Path) -> RestoredWeights:
    """Loads what fits of a Keras weights file into a backbone.

    Raises:
        UserError: no weights file, or less than half fits.
    """
    initial = model.get_weights()
    model.set_weights([np.full_like(weight, np.nan) for weight in initial])
    by_name = {"by_name": True} if path.suffix == ".h5" and not path.name.endswith(".weights.h5") else {}
    try:
        with warnings.catch_warnings():  # Keras warns of each tensor that does not fit
            warnings.simplefilter("ignore")
            model.load_weights(path, skip_mismatch=True, **by_name)
    except Exception as error:  # h5py and Keras raise many kinds for a damaged or foreign file
        raise UserError(f"`model.backbone_weights`: {path} is not a Keras weights file: {error}") from error
    loaded = model.get_weights()
    found = [not np.isnan(weight).any() for weight in loaded]
    paths = [weight.path for weight in model.weights]
    model.set_weights([new if ok else old for new, old, ok in zip(loaded, initial, found, strict=True)])
    restored = tuple(path for path, ok in zip(paths, found, strict=True) if ok)
    if len(restored) < len(paths) / 2:  # a few tensors of another network may have the right shape by chance
        raise UserError(
            f"`model.backbone_weights`: {path} does not fit {config.backbone} with alpha {config.alpha}: only"
            f" {len(restored)} of its {len(paths)} tensors have the same place and shape in the file. Set"
            " `model.backbone` and `model.alpha` to what the file is of."
        )
    return RestoredWeights(str(path), restored, tuple(name for name, ok in zip(paths, found, strict=True) if not ok))


def _adapted(model: keras.Model, config: ModelConfig) -> keras.Model:
    """Copies a backbone with the configured batch norm and activation; weights are kept.

    The padding before depthwise convolutions of stride 2 becomes their own ("same" pads alike): that saves a copy of
    the map, and a map of odd size is rounded up in MobileNet v1, too, as in TensorFlow's own.
    """

    def adapt(layer: keras.Layer) -> keras.Layer:
        settings = layer.get_config()
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            settings["padding"] = "same"
        elif isinstance(layer, keras.layers.BatchNormalization):
            settings |= {"momentum": config.batch_norm_momentum, "epsilon": config.batch_norm_epsilon}
            settings["trainable"] = not config.freeze_batch_norm
            return layers.BatchNormalization.from_config(settings)
        elif config.backbone_activation != "own" and _is_activation(layer, config.backbone):
            return keras.layers.Activation(config.backbone_activation, name=layer.name)
        return type(layer).from_config(settings)

    copy = keras.models.clone_model(model, clone_function=adapt)
    copy.set_weights(model.get_weights())
    return copy


def _is_activation(layer: keras.Layer, backbone: str) -> bool:
    """Tells activations of the convolutions from the parts of squeeze-and-excitation."""
    if not backbone.startswith("mobilenet_v3"):
        return isinstance(layer, keras.layers.ReLU)
    is_gate = isinstance(layer, keras.layers.ReLU) and layer.max_value == 6.0  # of the hard sigmoid
    is_activation = isinstance(layer, (keras.layers.ReLU, keras.layers.Activation))
    return is_activation and not is_gate and "squeeze_excite" not in layer.name
