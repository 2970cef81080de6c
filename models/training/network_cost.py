"""What a network costs: parameters, multiply-adds, the size of its file, and the time of an image."""

import collections
import math
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from models.export import footprint, formats
from models.network import decoding
from models.network.detector import Detector

_FAST = 0.1  # quantile
_BYTES_A_LAYER = 300  # of a TFLite file's graph, and of what travels with it


def costs(detector: Detector) -> dict[str, float]:
    """Counts what a detector costs.

    Args:
        detector: of any weights.

    Returns:
        parameters (trained and not), multiply_adds of an image and file_mb.
    """
    network = detector.network
    found = {"parameters": network.count_params(), "multiply_adds": multiply_adds(network)}
    return found | {"file_mb": file_bytes(network) / 1e6}


def multiply_adds(network: keras.Model) -> int:
    """Counts the multiply-adds of the convolutions for one image; everything else is small beside them.

    Args:
        network: functional, with an input of fixed size; a layer that is called several times counts each time.

    Returns:
        Their number.
    """
    return sum(_num_weights(_kernels(layer)) * math.prod(outputs.shape[1:-1]) for layer, outputs in _calls(network))


def file_bytes(network: keras.Model) -> int:
    """Predicts the size of the float32 TFLite file: four bytes a weight, and the graph.

    Batch norm is folded into the convolution before it: a bias a channel is left of it, and a convolution that several
    of them follow is written once for each.

    Args:
        network: as of `multiply_adds`.
    """
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    folded = sum(norm.count_params() - norm.moving_mean.shape[0] for norm in norms)
    calls = collections.Counter(layer for layer, _ in _calls(network) if _kernels(layer) and not layer.use_bias)
    copied = sum((count - 1) * _num_weights(_kernels(layer)[-1:]) for layer, count in calls.items())
    return 4 * (network.count_params() - folded + copied) + _BYTES_A_LAYER * len(network.layers)


def _calls(network: keras.Model) -> list[tuple[keras.Layer, Any]]:
    """Lists the calls of layers, each with its outputs."""
    calls = []

    def note(layer: keras.Layer, *inputs: Any, **options: Any) -> Any:
        calls.append((layer, layer(*inputs, **options)))
        return calls[-1][1]

    keras.models.clone_model(network, call_function=note)  # Keras' public way to see every call
    return calls


def _kernels(layer: keras.Layer) -> list[Any]:
    """Lists the kernels of a convolution, in the order of their use; none of another layer."""
    if isinstance(layer, keras.layers.SeparableConv2D):
        return [layer.depthwise_kernel, layer.pointwise_kernel]
    return [layer.kernel] if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D) else []


def _num_weights(kernels: Sequence[Any]) -> int:
    return sum(math.prod(kernel.shape) for kernel in kernels)


def latency(detector: Detector, names: Sequence[str] = ()) -> dict[str, float]:
    """Measures the time of one image as an exported model runs it.

    The weights are drawn for it and every anchor scores about a half: the suppression has its work whatever
    `model.class_bias` is and training makes of it. Other work on the machine makes single runs slower and none faster,
    so that the fast ones tell what the network takes.

    Args:
        detector: of any weights, in any precision.
        names: of `formats.FORMATS`, each timed on one CPU thread; the slowest counts. None for the SavedModel in
            float32 with its suppression, on the device that trains.

    Returns:
        latency_ms, which one run of ten stays below, and latency_slow_ms, which nine of ten do. An image has the
        network's size, of which tiles are cut where the model takes tiles.
    """
    from models.export import saved_model  # TensorFlow is needed here alone

    config = detector.config.replace({"model.class_bias": 0.0})
    model = saved_model.untrained(config, detector.num_classes)
    module = saved_model.ServingModule(model)
    image = np.random.default_rng(0).integers(0, 256, (1, *module.image_size, 3), dtype=np.uint8)
    if names:
        runs = _tflite_runs(module, saved_model.decoder_of(model), names)
    else:
        runs = iter([lambda: module.serving_tensor(image)["num_detections"].numpy()])
    times_ms = max(map(footprint.times_ms, runs), key=lambda times: float(np.quantile(times, _FAST)))
    fast, slow = np.quantile(times_ms, (_FAST, 1.0 - _FAST))
    return {"latency_ms": float(fast), "latency_slow_ms": float(slow)}


def _tflite_runs(module: Any, decoder: decoding.Decoder, names: Sequence[str]) -> Iterator[Callable[[], Any]]:
    """Converts a model to the formats, and yields of each what runs it on one image."""
    from models.export import tflite_convert

    images = list(np.random.default_rng(0).integers(0, 256, (2, *decoder.image_size, 3), dtype=np.uint8))
    extras = {decoding.FILE_NAME: decoder.to_json()}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = pathlib.Path(folder) / formats.FORMATS[name].file_name
            path.write_bytes(tflite_convert.convert(module, decoder, formats.FORMATS[name], extras, images))
            yield footprint.runner(str(path))
