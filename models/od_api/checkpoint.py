"""Reads checkpoints of the Object Detection API: TensorFlow 1's by their names, TensorFlow 2's and SavedModels' too."""

import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from data.errors import UserError
from models.od_api.weights import Layer

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_FIRST_NAMES = {"weights": "kernel", "depthwise_weights": "kernel", "biases": "bias"}  # TensorFlow 1's
_PARTS = _FIRST_NAMES | {
    "kernel": "kernel",
    "depthwise_kernel": "kernel",
    "bias": "bias",
    **{name: name for name in ("gamma", "beta", "moving_mean", "moving_variance")},
}
# A layer's name in the API's Keras models, and the scope of the API's first models.
_SCOPES = tuple(
    (re.compile(pattern), template)
    for pattern, template in (
        (r"Conv1", "MobilenetV2/Conv"),
        (r"Conv_1", "MobilenetV2/Conv_1"),
        (r"expanded_conv_(expand|depthwise|project)", r"MobilenetV2/expanded_conv/\1"),
        (r"block_(\d+)_(expand|depthwise|project)", r"MobilenetV2/expanded_conv_\1/\2"),
        (r"conv1", "MobilenetV1/Conv2d_0"),
        (r"conv_dw_(\d+)", r"MobilenetV1/Conv2d_\1_depthwise"),
        (r"conv_pw_(\d+)", r"MobilenetV1/Conv2d_\1_pointwise"),
        (r"(\w+_Conv2d_\d+_\w+?)(?:_conv)?", r"\1"),
    )
)
_NORM_ENDINGS = ("_batchnorm", "_BN", "_bn")
_HEAD = re.compile(r"Convolutional(?:Box|Class)Head_(\d+)/((?:BoxEncoding|Class)Predictor(?:_depthwise)?)")


def find(path: str | os.PathLike[str]) -> str | None:
    """Finds a checkpoint.

    Args:
        path: its prefix, as model.ckpt or ckpt-0, one of its files, a SavedModel's folder, or a folder of checkpoints.

    Returns:
        The prefix; None where there is no checkpoint.
    """
    import tensorflow as tf

    path = pathlib.Path(path)
    prefixes = [path, path.with_suffix(""), path / "variables" / "variables"]
    found = next((str(prefix) for prefix in prefixes if pathlib.Path(f"{prefix}.index").is_file()), None)
    return found or (tf.train.latest_checkpoint(str(path)) if path.is_dir() else None)


def read(prefix: str) -> dict[str, Layer]:
    """Reads the convolutions of a checkpoint.

    Args:
        prefix: as `find` returns it.

    Returns:
        {scope of the API: layer}; what no layer is made of, as an optimizer's state, is left out.

    Raises:
        UserError: it is damaged.
    """
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(prefix)
        parts: dict[str, dict[str, np.ndarray]] = {}
        for key, name in _names(reader):
            scope, part = _scope_and_part(name)
            if scope is not None:
                parts.setdefault(scope, {})[part] = np.asarray(reader.get_tensor(key), np.float32)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise UserError(f"cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error
    layers = {}
    for scope, values in parts.items():
        kernel, bias = values.pop("kernel", None), values.pop("bias", None)
        if kernel is not None and kernel.ndim == 4:
            layers[scope] = Layer(kernel, bias, values)
    return layers


def _names(reader: Any) -> Iterator[tuple[str, str]]:
    """Yields (key, name of the variable): TensorFlow 2 keeps names beside keys that tell places among objects."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    keys = reader.get_variable_to_shape_map()
    if _GRAPH not in keys:
        yield from ((key, key) for key in keys)
        return
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
    for node in graph.nodes:
        for attribute in node.attributes:
            if attribute.full_name and attribute.checkpoint_key in keys:
                yield attribute.checkpoint_key, attribute.full_name


def _scope_and_part(name: str) -> tuple[str | None, str]:
    """Splits a variable's name into the scope of its convolution and what it is of it; None for other variables."""
    scope, _, last = name.rpartition("/")
    part = _PARTS.get(last)
    if part is None or not scope:
        return None, ""
    if last in _FIRST_NAMES or scope.endswith("/BatchNorm"):
        return scope.removesuffix("/BatchNorm"), part
    layer = scope.rpartition("/")[2]
    for ending in _NORM_ENDINGS:
        layer, scope = layer.removesuffix(ending), scope.removesuffix(ending)
    if match := _HEAD.search(scope):
        return f"BoxPredictor_{match[1]}/{match[2]}", part
    layer = layer.removeprefix("bn_")
    for pattern, template in _SCOPES:
        if match := pattern.fullmatch(layer):
            return match.expand(template), part
    return scope, part
