"""Weights of an SSD of TensorFlow's Object Detection API as weights of our network, by the API's tensor names."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.errors import UserError

EPSILON = 1e-3  # of batch norm, the API's default; a file without it is taken to have it
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
# The API's scope, without what stands before the network's name, and the layer of ours.
_LAYERS = tuple(
    (re.compile(pattern), template)
    for pattern, template in (
        (r"MobilenetV2/Conv", "Conv1"),
        (r"MobilenetV2/Conv_1", "Conv_1"),
        (r"MobilenetV2/expanded_conv/(depthwise|project)", r"expanded_conv_\1"),
        (r"MobilenetV2/expanded_conv_(\d+)/(expand|depthwise|project)", r"block_\1_\2"),
        (r"MobilenetV1/Conv2d_0", "conv1"),
        (r"MobilenetV1/Conv2d_(\d+)_depthwise", r"conv_dw_\1"),
        (r"MobilenetV1/Conv2d_(\d+)_pointwise", r"conv_pw_\1"),
    )
)
_SQUEEZE = re.compile(r"\w+_1_Conv2d_(\d+)_1x1_\d+")
_EXPAND = re.compile(r"\w+_2_Conv2d_(\d+)_3x3_s2_\d+(_depthwise)?")
_PREDICTOR = re.compile(r"BoxPredictor_(\d+)/(BoxEncoding|Class)Predictor(_depthwise)?")
_KINDS = {"BoxEncoding": "box", "Class": "class"}
_FIRST_EXTRA = 2  # the API numbers the levels, the backbone's two included
_BACKBONES = {"MobilenetV1": "mobilenet_v1", "MobilenetV2": "mobilenet_v2"}
# Output channels at alpha 1 of layers that tell the width multiplier.
_WIDTHS = {
    "mobilenet_v1": {"conv1": 32, "conv_pw_1": 64, "conv_pw_3": 128, "conv_pw_5": 256, "conv_pw_11": 512},
    "mobilenet_v2": {
        "Conv1": 32,
        "expanded_conv_project": 16,
        "block_2_project": 24,
        "block_5_project": 32,
        "block_9_project": 64,
        "block_12_project": 96,
        "block_15_project": 160,
        "block_16_project": 320,
    },
}
_ALPHAS = (1.0, 0.75, 0.5, 0.35, 0.25, 1.3, 1.4, *(round(0.05 * step, 2) for step in range(2, 41)))
_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
_REDUCED = 3  # anchors a cell of the API's reduced lowest level


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """A convolution of a file.

    Attributes:
        kernel: float32 [rows, columns, inputs, outputs], depthwise [rows, columns, channels, 1].
        bias: float32 [outputs], that of a folded batch norm included; None where there is none.
        norm: {gamma, beta, moving_mean, moving_variance: float32 [outputs]}; empty where batch norm was folded or there
            is none.
    """

    kernel: np.ndarray
    bias: np.ndarray | None = None
    norm: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """An SSD of the API in our terms.

    Attributes:
        settings: {path: value} of those that shape the network.
        num_classes: C, background not counted.
        weights: {path of a weight of our network: float32}; the class predictor has C + 1 outputs an anchor, background
            first.
        folded: names of our batch-norm layers that were folded and are rebuilt here, with mean 0 and variance 1.
        left: scopes of the file that have no counterpart.
    """

    settings: Mapping[str, Any]
    num_classes: int
    weights: Mapping[str, np.ndarray]
    folded: tuple[str, ...]
    left: tuple[str, ...]


def layer_name(scope: str) -> str | None:
    """Translates a scope of the API, as "FeatureExtractor/MobilenetV2/Conv", to a layer's name; None for others."""
    if match := _PREDICTOR.search(scope):
        return f"head_{match[1]}_{_KINDS[match[2]]}{match[3] or ''}" if match.end() == len(scope) else None
    last = scope.rpartition("/")[2]
    for pattern, part in ((_SQUEEZE, "squeeze"), (_EXPAND, "expand")):
        if match := pattern.fullmatch(last):
            depthwise = match[2] or "" if part == "expand" else ""
            return f"extra_{int(match[1]) - _FIRST_EXTRA + 1}_{part}{depthwise}"
    start = max(scope.rfind(f"{name}/") for name in _BACKBONES)
    for pattern, template in _LAYERS:
        if start >= 0 and (match := pattern.fullmatch(scope[start:])):
            return match.expand(template)
    return None


def norm_name(layer: str) -> str:
    """Returns the name of the batch norm after a convolution."""
    if layer == "Conv1":
        return "bn_Conv1"
    return f"{layer}_{'BN' if layer.startswith(('expanded_conv', 'block_')) else 'bn'}"


def convert(layers: Mapping[str, Layer]) -> Network:
    """Translates the layers of an SSD on MobileNet v1 or v2.

    A folded batch norm is rebuilt with moving mean 0, moving variance 1, gamma sqrt(1 + epsilon) and beta the folded
    bias, so that inference computes what the file does.

    Args:
        layers: {scope of the API: layer}.

    Returns:
        The network.

    Raises:
        UserError: it is of another kind of network, which is named.
    """
    named = {scope: layer_name(scope) for scope in layers}
    found = {name: layers[scope] for scope, name in named.items() if name is not None}
    left = tuple(scope for scope, name in named.items() if name is None)
    settings, num_classes = _settings(_backbone(layers), found)
    weights, folded = {}, []
    for name, layer in found.items():
        weights[f"{name}/kernel"] = layer.kernel
        if name.startswith("head_") and not name.endswith("_depthwise"):
            weights[f"{name}/bias"] = _bias(layer)
            continue
        norm = dict(layer.norm)
        if not norm:
            norm = rebuilt(_bias(layer), np.zeros_like(_bias(layer)), np.ones_like(_bias(layer)))
            folded.append(norm_name(name))
        norm.setdefault("gamma", np.ones_like(_bias(layer)))  # not learned where `scale` is false
        weights |= {f"{norm_name(name)}/{part}": norm[part] for part in _NORM if part in norm}
    return Network(settings, num_classes, weights, tuple(folded), left)


def rebuilt(beta: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> dict[str, np.ndarray]:
    """Makes a batch norm that adds a bias at inference, whatever its moving averages are.

    Args:
        beta: float32 [channels], the bias.
        mean: float32 [channels], of what the batch norm reads.
        variance: the same, not negative.

    Returns:
        {gamma, beta, moving_mean, moving_variance}: float32 [channels] each.
    """
    gamma = np.sqrt(variance.astype(np.float64) + EPSILON)
    values = {"gamma": gamma, "beta": beta + mean, "moving_mean": mean, "moving_variance": variance}
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _bias(layer: Layer) -> np.ndarray:
    """Returns a convolution's bias, zeros where it has none."""
    if layer.bias is not None:
        return layer.bias
    depthwise = layer.kernel.shape[3] == 1 and layer.kernel.shape[2] > 1
    return np.zeros(layer.kernel.shape[2 if depthwise else 3], np.float32)


def _backbone(layers: Mapping[str, Layer]) -> str:
    """Finds the backbone's name."""
    kinds = [kind for kind in _BACKBONES if any(f"{kind}/" in scope for scope in layers)]
    if len(kinds) == 1 and any(_PREDICTOR.search(scope) for scope in layers):
        return _BACKBONES[kinds[0]]
    shown = ", ".join(list(layers)[:3]) or "none"
    raise UserError(
        "holds no SSD or SSDLite on MobileNet v1 or v2 with the Object Detection API's names (FeatureExtractor/"
        f"MobilenetV2/..., BoxPredictor_0/...). Its first layers: {shown}."
    )


def _settings(backbone: str, layers: Mapping[str, Layer]) -> tuple[dict[str, Any], int]:
    """Finds the settings that shape the network, and the number of classes."""
    boxes, classes = (_predictors(layers, kind) for kind in ("box", "class"))
    if not boxes or len(boxes) != len(classes):
        raise UserError(f"has {len(boxes)} levels that predict boxes and {len(classes)} that predict classes.")
    per_cell = [layer.kernel.shape[3] // 4 for layer in boxes]
    outputs = {layer.kernel.shape[3] / count for layer, count in zip(classes, per_cell, strict=True)}
    if len(outputs) != 1:
        raise UserError("predicts different numbers of classes on its levels.")
    separable = "head_0_box_depthwise" in layers
    first = layers["head_0_box_depthwise"] if separable else boxes[0]
    alpha = _alpha(backbone, layers)
    settings = {
        "model.backbone": backbone,
        "model.alpha": alpha,
        "model.head": "ssdlite" if separable else "ssd",
        "model.first_stride": 16,
        "model.num_levels": len(boxes),
        "model.head_kernel_size": first.kernel.shape[0],
        "model.background_class": True,
    }
    return settings | _extra_depths(layers, alpha) | _anchors(per_cell), int(outputs.pop()) - 1


def _predictors(layers: Mapping[str, Layer], kind: str) -> list[Layer]:
    names = (f"head_{level}_{kind}" for level in range(len(layers)))
    return [layers[name] for name in names if name in layers]


def _alpha(backbone: str, layers: Mapping[str, Layer]) -> float:
    found = {name: layers[name].kernel.shape[3] for name in _WIDTHS[backbone] if name in layers}
    rounded = _divisible if backbone == "mobilenet_v2" else int
    for alpha in _ALPHAS:
        if found == {name: rounded(width * alpha) for name, width in _WIDTHS[backbone].items()}:
            return alpha
    raise UserError(f"is of a {backbone} of unknown widths: {', '.join(f'{n} {w}' for n, w in found.items())}.")


def _divisible(width: float) -> int:
    """Rounds to a multiple of 8, not below 90 %: MobileNet v2's channels."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def _extra_depths(layers: Mapping[str, Layer], alpha: float) -> dict[str, Any]:
    """Finds depths of the levels after the backbone that give the file's widths."""
    expanded = [layers[f"extra_{n}_expand"] for n in range(1, 9) if f"extra_{n}_expand" in layers]
    widths = [layer.kernel.shape[3] for layer in expanded]
    if not widths:
        return {}
    return {"model.extra_depths": tuple(math.ceil(width / alpha / 2) * 2 for width in widths)}


def _anchors(per_cell: Sequence[int]) -> dict[str, Any]:
    """Finds anchor settings of as many anchors a cell; the shapes of more or fewer than the API's six are unknown."""
    most = max(per_cell)
    reduced = per_cell[0] == _REDUCED and len(per_cell) > 1 and most != _REDUCED
    expected = [_REDUCED if reduced and not level else most for level in range(len(per_cell))]
    if list(per_cell) != expected or not 2 <= most <= len(_RATIOS) + 1:
        counts = ", ".join(map(str, per_cell))
        raise UserError(f"has {counts} anchors a cell on its levels, which no setting here gives.")
    return {"anchors.reduce_lowest_level": reduced, "anchors.aspect_ratios": _RATIOS[: most - 1]}
