"""What a network costs: parameters, multiply-adds, the size of its file, and the time of an image."""

import collections
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from models.export import footprint
from models.network.detector import Detector

_BYTES_A_LAYER = 300  # of a TFLite file's graph, and of what travels with it


def costs(detector: Detector, *, latency: bool) -> dict[str, float]:
    """Collects what a detector costs.

    Args:
        detector: of any weights.
        latency: whether to measure the time of an image, which takes seconds.

    Returns:
        parameters (trained and not), multiply_adds of an image, file_mb and, where asked for, latency_ms.
    """
    network = detector.network
    found = {"parameters": network.count_params(), "multiply_adds": multiply_adds(network)}
    found["file_mb"] = file_bytes(network) / 1e6
    return found | ({"latency_ms": latency_ms(detector)} if latency else {})


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


def latency_ms(detector: Detector) -> float:
    """Measures the time of one image as the exported model runs it: in float32, suppression included.

    The weights are drawn for it and every anchor scores about a half: the suppression has its work whatever
    `model.class_bias` is and training makes of it.

    Args:
        detector: of any weights, in any precision.

    Returns:
        Milliseconds on the device that trains, the median of some 50 runs; an image has the network's size, of which
        tiles are cut where the model takes tiles.
    """
    from models.export import saved_model  # TensorFlow is needed here alone

    config = detector.config.replace({"model.class_bias": 0.0})
    module = saved_model.ServingModule(saved_model.untrained(config, detector.num_classes))
    image = np.random.default_rng(0).integers(0, 256, (1, *module.image_size, 3), dtype=np.uint8)
    return footprint.median_ms(lambda: module.serving_tensor(image)["num_detections"].numpy())
