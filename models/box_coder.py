"""Boxes as regression targets relative to anchors, and back."""

from typing import Any

from keras import ops

Tensor = Any
MAX_LOG_SIZE = 4.0  # decoded sides stay below e^4 = 55 anchor sides, so that exp never overflows float16


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low


def _check(boxes: Tensor, variances: tuple[float, float]) -> None:
    if boxes.shape[-1] != 4:
        raise ValueError(f"`boxes` needs a last dimension of 4: got shape {tuple(boxes.shape)}.")
    if min(variances) <= 0:
        raise ValueError(f"`variances` must be positive: got {variances}.")


def encode(boxes: Tensor, anchors: Tensor, variances: tuple[float, float] = (0.1, 0.2)) -> Tensor:
    """Encodes boxes as regression targets relative to their anchors.

    Centres are (b_c - a_c) / a_size / variances[0]; sizes are log(b_size / a_size) / variances[1]. The default
    variances are the Object Detection API's scales (10, 10, 5, 5).

    Args:
        boxes: float32 [B, A, 4], matched ground truth, positive sides.
        anchors: float32 [A, 4].
        variances: (centre, size) divisors, unitless, positive.

    Returns:
        float32 [B, A, 4] deltas (y, x, height, width); `decode` inverts.

    Raises:
        ValueError: a last dimension is not 4 or a variance is not positive.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, eq. 2.
    """
    _check(boxes, variances)
    box_centre, box_size = _centre_size(boxes)
    anchor_centre, anchor_size = _centre_size(anchors)
    centre = (box_centre - anchor_centre) / anchor_size / variances[0]
    size = ops.log(ops.maximum(box_size, 1e-6) / anchor_size) / variances[1]
    return ops.concatenate([centre, size], axis=-1)


def decode(deltas: Tensor, anchors: Tensor, variances: tuple[float, float] = (0.1, 0.2)) -> Tensor:
    """Decodes regression outputs to boxes; the inverse of `encode`.

    Args:
        deltas: float32 [B, A, 4] (y, x, height, width).
        anchors: float32 [A, 4].
        variances: as in `encode`.

    Returns:
        float32 [B, A, 4] boxes, not clipped to the image. Sides are limited to e^4 anchor sides.

    Raises:
        ValueError: a last dimension is not 4 or a variance is not positive.
    """
    _check(deltas, variances)
    anchor_centre, anchor_size = _centre_size(anchors)
    centre = deltas[..., :2] * variances[0] * anchor_size + anchor_centre
    half = ops.exp(ops.minimum(deltas[..., 2:] * variances[1], MAX_LOG_SIZE)) * anchor_size / 2
    return ops.concatenate([centre - half, centre + half], axis=-1)
