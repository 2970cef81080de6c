"""Boxes as regression targets relative to anchors, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

Tensor = Any
VARIANCES = (0.1, 0.1, 0.2, 0.2)
MAX_LOG_SIZE = 4.0  # decoded sides stay below e^4 = 55 anchor sides, so that exp never overflows float16


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low


def _check(boxes: Tensor, variances: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the divisors of centres and sizes, [2] each."""
    if boxes.shape[-1] != 4:
        raise ValueError(f"`boxes` needs a last dimension of 4: got shape {tuple(boxes.shape)}.")
    if len(variances) != 4 or min(variances) <= 0:
        raise ValueError(f"`variances` needs 4 positive numbers: got {variances}.")
    return np.array(variances[:2], np.float32), np.array(variances[2:], np.float32)


def encode(boxes: Tensor, anchors: Tensor, variances: Sequence[float] = VARIANCES) -> Tensor:
    """Encodes boxes as regression targets relative to their anchors.

    Centres are (b_c - a_c) / a_size / variance; sizes are log(b_size / a_size) / variance. The default variances are
    the Object Detection API's scales (10, 10, 5, 5).

    Args:
        boxes: float32 [B, A, 4], matched ground truth, positive sides.
        anchors: float32 [A, 4].
        variances: divisors of y, x, height and width, unitless, positive.

    Returns:
        float32 [B, A, 4] deltas (y, x, height, width); `decode` inverts.

    Raises:
        ValueError: a last dimension is not 4, or the variances are not 4 positive numbers.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, eq. 2.
    """
    centre_variance, size_variance = _check(boxes, variances)
    box_centre, box_size = _centre_size(boxes)
    anchor_centre, anchor_size = _centre_size(anchors)
    centre = (box_centre - anchor_centre) / anchor_size / centre_variance
    size = ops.log(ops.maximum(box_size, 1e-6) / anchor_size) / size_variance
    return ops.concatenate([centre, size], axis=-1)


def decode(deltas: Tensor, anchors: Tensor, variances: Sequence[float] = VARIANCES) -> Tensor:
    """Decodes regression outputs to boxes; the inverse of `encode`.

    Args:
        deltas: float32 [B, A, 4] (y, x, height, width).
        anchors: float32 [A, 4].
        variances: as in `encode`.

    Returns:
        float32 [B, A, 4] boxes, not clipped to the image. Sides are limited to e^4 anchor sides.

    Raises:
        ValueError: a last dimension is not 4, or the variances are not 4 positive numbers.
    """
    centre_variance, size_variance = _check(deltas, variances)
    anchor_centre, anchor_size = _centre_size(anchors)
    centre = deltas[..., :2] * centre_variance * anchor_size + anchor_centre
    half = ops.exp(ops.minimum(deltas[..., 2:] * size_variance, MAX_LOG_SIZE)) * anchor_size / 2
    return ops.concatenate([centre - half, centre + half], axis=-1)
