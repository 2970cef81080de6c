"""What a network costs: multiply-adds of one image, counted from its layers."""

import math
from typing import Any

import keras

from models.errors import TooCostlyError


def check_limits(
    network: keras.Model, *, max_parameters: float | None = None, max_multiply_adds: float | None = None
) -> None:
    """Checks that a network does not cost more than it may.

    Args:
        network: as of `multiply_adds`.
        max_parameters: trained and not, None for no limit.
        max_multiply_adds: for one image, None for no limit.

    Raises:
        TooCostlyError: it has more.
    """
    limits = {"parameters": (network.count_params, max_parameters)}
    limits["multiply-adds"] = (lambda: multiply_adds(network), max_multiply_adds)
    for name, (count, limit) in limits.items():
        if limit is not None and count() > limit:
            raise TooCostlyError(f"{count():,} {name}: more than the limit of {limit:,.0f}.")


def multiply_adds(network: keras.Model) -> int:
    """Counts the multiply-adds of the convolutions for one image; everything else is small beside them.

    Args:
        network: functional, with an input of fixed size; a layer that is called several times counts each time.

    Returns:
        Their number.
    """
    total = 0

    def count(layer: keras.Layer, *inputs: Any, **options: Any) -> Any:
        nonlocal total
        outputs = layer(*inputs, **options)
        if isinstance(layer, keras.layers.SeparableConv2D):
            weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        elif isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            weights = math.prod(layer.kernel.shape)
        else:
            return outputs
        total += weights * math.prod(outputs.shape[1:-1])
        return outputs

    keras.models.clone_model(network, call_function=count)  # Keras' public way to see every call
    return total
