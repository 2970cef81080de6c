"""Reads a float TFLite file of an SSD of the Object Detection API."""

import os
import pathlib
import struct
from typing import Any

import numpy as np

from data.errors import UserError
from models.od_api.weights import Layer

SUFFIX = ".tflite"
_IDENTIFIER = b"TFL3"
_BOXES = "box_encodings"
# What the reading of bytes that are not as the schema says raises.
_DAMAGE = (struct.error, ValueError, LookupError, TypeError, AttributeError, OverflowError)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Layer], tuple[int, int]]:
    """Reads the convolutions, into which batch norm is folded.

    Args:
        path: of the file, its weights float32 or float16.

    Returns:
        {scope of the API: layer}, and height and width of the images that it takes, px.

    Raises:
        UserError: it is not a TFLite file, it is damaged or of another kind of network, or its weights are quantised.
    """
    try:
        content = pathlib.Path(path).read_bytes()
        if content[4:8] != _IDENTIFIER:
            raise UserError("is not a TFLite file.")
        return _layers(content)
    except UserError:
        raise
    except (OSError, *_DAMAGE) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UserError(
            f"cannot be read as a TFLite file of a detector ({reason}): it is damaged or of another kind of network."
        ) from error


def _layers(content: bytes) -> tuple[dict[str, Layer], tuple[int, int]]:
    """Reads what `read` returns; damage may raise any of `_DAMAGE`."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    kinds = schema.BuiltinOperator
    graph, dequantised, layers = model.subgraphs[0], {}, {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind == kinds.DEQUANTIZE:
            dequantised[operator.outputs[0]] = operator.inputs[0]
        elif kind in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D):
            scope = _scope(graph.tensors[operator.outputs[0]].name.decode())
            parts = [graph.tensors[dequantised.get(index, index)] for index in operator.inputs[1:] if index >= 0]
            kernel, *bias = (_array(model, tensor) for tensor in parts)
            # [outputs, rows, columns, inputs], or [1, rows, columns, channels] of a depthwise one
            layers[scope] = Layer(kernel.transpose(1, 2, 3, 0), bias[0] if bias else None)
    _, height, width, _ = graph.tensors[graph.inputs[0]].shape
    return layers, (int(height), int(width))


def outputs(path: str | os.PathLike[str], images: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Runs a file on images, one by one.

    Args:
        path: of the file.
        images: float32 [N, H, W, 3], pixels in [-1, 1].

    Returns:
        Class logits float32 [N, A, C + 1] and box encodings float32 [N, A, 4]; None where the file gives something
        else, as one with the suppression inside does, or has an operation that is not known here.

    Raises:
        UserError: the file is damaged.
    """
    from models.export import tflite_detector

    try:
        interpreter = tflite_detector.open_interpreter(str(path))
        interpreter.allocate_tensors()
    except ValueError as error:
        raise UserError(f"cannot be run, since it is damaged: {' '.join(str(error).split())}.") from error
    except RuntimeError:  # an operation that this interpreter lacks
        return None
    details = sorted(interpreter.get_output_details(), key=lambda one: _BOXES in one["name"])
    if len(details) != 2 or [_BOXES in one["name"] for one in details] != [False, True]:
        return None
    results = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        results.append([interpreter.get_tensor(one["index"]) for one in details])
    logits, deltas = (np.concatenate(each) for each in zip(*results, strict=True))
    return logits, deltas.reshape(len(images), -1, 4)


def _scope(name: str) -> str:
    """Returns the scope of a convolution from the name of its output, which may list what was fused into it."""
    return name.partition(";")[0].rpartition("/")[0].removesuffix("/BatchNorm")


def _array(model: Any, tensor: Any) -> np.ndarray:
    """Reads a constant as float32."""
    from tensorflow.lite.python import schema_py_generated as schema

    types = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16}
    content = model.buffers[tensor.buffer].data
    if tensor.type not in types or content is None:
        raise UserError("has quantised weights. Give the float file that it was made from.")
    return np.frombuffer(bytes(content), types[tensor.type]).reshape(tensor.shape).astype(np.float32)
