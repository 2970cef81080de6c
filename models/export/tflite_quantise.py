"""Full-integer quantisation of a detector whose outputs are quantised where detections need it.

A tensor of int8 has 256 levels between the least and the greatest value of the calibration. The logits of a trained
detector reach far below any score that counts (-105 was seen, where a score of 0.01 is -4.6), and the deltas of anchors
on the background are arbitrary, so that most levels would be spent on anchors that are dropped anyway. Here the range
of both outputs is cut to what detections can have; values beyond it saturate.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.tools import flatbuffer_utils

from models.network import decoding

Tensor = Any
# Scores below this share of the threshold are not candidates: room for what quantisation moves.
_MARGIN = 0.5
_OPERATIONS = schema.BuiltinOperator
_SAME_SCALE = (_OPERATIONS.RESHAPE, _OPERATIONS.CONCATENATION, _OPERATIONS.TRANSPOSE)
_FLOAT_ALLOWED = (_OPERATIONS.CUSTOM, _OPERATIONS.DEQUANTIZE)
_CONVERSIONS = (_OPERATIONS.LOGISTIC, _OPERATIONS.SOFTMAX, _OPERATIONS.STRIDED_SLICE, _OPERATIONS.SLICE)


@dataclasses.dataclass(frozen=True)
class OutputRanges:
    """Where the outputs of a network matter.

    Attributes:
        logits: (low, high).
        deltas: (low, high).
    """

    logits: tuple[float, float]
    deltas: tuple[float, float]


def output_ranges(outputs: Iterable[tuple[np.ndarray, np.ndarray]], decoder: decoding.Decoder) -> OutputRanges:
    """Finds the ranges that detections need.

    With sigmoid scores no logit below that of half the score threshold matters. With softmax scores a logit matters
    relative to the others of its anchor: one that lies as far below the lowest of all anchors' greatest logits has a
    score below half the threshold in any anchor, and a background that lies as far above every class leaves them none.

    Args:
        outputs: logits float32 [N, A, C or C + 1] and deltas float32 [N, A, 4] of calibration images, N at a time; at
            least one. None is kept.
        decoder: of the model.

    Returns:
        The ranges; those of `logits` are the whole range where the score threshold is 0, those of `deltas` are over the
        anchors whose score reaches half the threshold, or all where there is none.
    """
    least = decoder.postprocess.score_threshold * _MARGIN
    seen: dict[str, tuple[float, float]] = {}
    for logits, deltas in outputs:
        candidates = np.asarray(decoder.scores(logits)).max(axis=-1) >= least  # [N, A]
        parts = {"logits": logits, "peaks": logits.max(axis=-1), "classes": logits[..., 1:], "deltas": deltas}
        parts["counted"] = deltas[candidates]
        for name, values in parts.items():
            if values.size:
                before = seen.get(name, (math.inf, -math.inf))
                seen[name] = min(before[0], float(values.min())), max(before[1], float(values.max()))
    low, high = seen["logits"]
    if least > 0.0:
        if decoder.score_converter == "softmax":
            margin = -math.log(least)
            low = max(low, seen["peaks"][0] - margin)
            high = min(high, seen["classes"][1] + margin)
        else:
            low = max(low, min(math.log(least / (1.0 - least)), high - 1.0))
    return OutputRanges((low, high), seen.get("counted", seen["deltas"]))


def quantise(calibrated: bytes, ranges: OutputRanges, output_type: tf.DType) -> bytes:
    """Quantises a calibrated model.

    Args:
        calibrated: float TFLite model with the ranges of a calibration, as `TFLiteConverter` writes it with
            `_experimental_calibrate_only`.
        ranges: of the outputs `logits` and `deltas`, or of what TFLite_Detection_PostProcess takes in their place.
        output_type: tf.int8, or tf.float32 where the outputs are that operation's.

    Returns:
        The model with weights and activations in int8 and pixels uint8.

    Raises:
        RuntimeError: an operation has no integer form.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(calibrated))
    graph = _Graph(model)
    for tensor, (low, high) in ((graph.logits(), ranges.logits), (graph.deltas(), ranges.deltas)):
        graph.limit(tensor, low, high)
    content = mlir_quantize(
        bytes(flatbuffer_utils.convert_object_to_bytearray(model)),
        input_data_type=tf.uint8,
        output_data_type=output_type,
    )
    left = _Graph(flatbuffer_utils.convert_bytearray_to_object(bytearray(content))).float_operations()
    if left:
        raise RuntimeError(f"int8 has no integer form of {', '.join(left)}")
    return content


class _Graph:
    """The only subgraph of a model, to walk from a tensor to what made it."""

    def __init__(self, model: Any) -> None:
        self._codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
        (graph,) = model.subgraphs
        self._tensors = graph.tensors
        self._makers = {output: maker for maker in graph.operators for output in maker.outputs}
        self._outputs = {row.name.decode(): row.tensorIndex for row in model.signatureDefs[0].outputs}
        custom = [maker for maker in graph.operators if self._kind(maker) == _OPERATIONS.CUSTOM]
        self._nms = custom[0] if custom else None

    def logits(self) -> int:
        """Returns the tensor of the logits."""
        if self._nms is None:
            return self._outputs["logits"]
        tensor = self._nms.inputs[1]
        while self._kind(self._makers[tensor]) in _CONVERSIONS:
            tensor = self._makers[tensor].inputs[0]
        return tensor

    def deltas(self) -> int:
        """Returns the tensor of the deltas."""
        return self._outputs["deltas"] if self._nms is None else self._nms.inputs[0]

    def limit(self, tensor: int, low: float, high: float) -> None:
        """Cuts the range of a tensor and of those that share its scale, up to the operations that compute them."""
        found = self._tensors[tensor].quantization
        if found is not None and found.min is not None and len(found.min):
            found.min, found.max = np.maximum(found.min, low), np.minimum(found.max, high)
        maker = self._makers.get(tensor)
        if maker is not None and self._kind(maker) in _SAME_SCALE:
            inputs = maker.inputs if self._kind(maker) == _OPERATIONS.CONCATENATION else maker.inputs[:1]
            for each in inputs:
                self.limit(each, low, high)

    def float_operations(self) -> list[str]:
        """Names the operations that compute in floats; the suppression and what converts for it do not count."""
        names = {value: name for name, value in vars(_OPERATIONS).items()}
        found = set()
        for maker in self._makers.values():
            types = {self._tensors[index].type for index in [*maker.inputs, *maker.outputs] if index >= 0}
            if schema.TensorType.FLOAT32 in types and self._kind(maker) not in _FLOAT_ALLOWED:
                found.add(names[self._kind(maker)])
        return sorted(found)

    def _kind(self, maker: Any) -> int:
        return self._codes[maker.opcodeIndex]
