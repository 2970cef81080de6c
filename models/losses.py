"""The SSD objective: classification with hard-negative mining, and smooth L1 on matched boxes."""

from typing import Any

from keras import ops

Tensor = Any


def smooth_l1(errors: Tensor) -> Tensor:
    """Computes the Huber loss of delta 1, elementwise.

    Args:
        errors: float32, any shape.

    Returns:
        float32 of the same shape: 0.5 e^2 inside [-1, 1], |e| - 0.5 outside.

    Source: Girshick 2015 (arXiv:1504.08083), eq. 3.
    """
    size = ops.abs(errors)
    return ops.where(size < 1.0, 0.5 * errors * errors, size - 0.5)


def classification_loss(logits: Tensor, labels: Tensor, activation: str) -> Tensor:
    """Computes each anchor's classification loss.

    Args:
        logits: float32 [B, A, C] for "sigmoid", [B, A, C + 1] with background first for "softmax".
        labels: int32 [B, A], -1 is background.
        activation: "sigmoid" (sum of C binary cross-entropies) or "softmax" (cross-entropy).

    Returns:
        float32 [B, A], not negative.
    """
    if activation == "softmax":
        log_probabilities = ops.log_softmax(logits, axis=-1)
        return -ops.take_along_axis(log_probabilities, (labels + 1)[:, :, None], axis=-1)[:, :, 0]
    hot = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    # max(x, 0) - x z + log(1 + exp(-|x|)) is the binary cross-entropy without overflow.
    return ops.sum(ops.maximum(logits, 0.0) - logits * hot + ops.log1p(ops.exp(-ops.abs(logits))), axis=-1)


def hard_negatives(losses: Tensor, positive: Tensor, ignored: Tensor, ratio: Tensor, minimum: Tensor) -> Tensor:
    """Chooses the negatives of highest loss in each image.

    Args:
        losses: float32 [B, A] classification losses, not negative.
        positive: bool [B, A].
        ignored: bool [B, A], never chosen.
        ratio: negatives for one positive.
        minimum: negatives in an image, at least.

    Returns:
        bool [B, A]. Anchors whose loss ties with the last one chosen are chosen too.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, "Hard negative mining".
    """
    candidates = ~(positive | ignored)
    ranked = -ops.sort(-ops.where(candidates, losses, -1.0), axis=-1)  # [B, A], highest first
    count = ops.sum(ops.cast(positive, "float32"), axis=-1) * ratio
    count = ops.cast(ops.maximum(count, ops.cast(minimum, "float32")), "int32")
    last = ops.minimum(count, losses.shape[-1]) - 1
    threshold = ops.take_along_axis(ranked, ops.maximum(last, 0)[:, None], axis=-1)  # [B, 1]
    return candidates & (losses >= threshold) & (count > 0)[:, None]


def detection_losses(
    logits: Tensor,
    deltas: Tensor,
    target_labels: Tensor,
    target_deltas: Tensor,
    positive: Tensor,
    ignored: Tensor,
    *,
    activation: str,
    negatives_per_positive: Tensor,
    min_negatives: Tensor,
) -> tuple[Tensor, Tensor]:
    """Computes the two parts of the SSD loss, each divided by the number of positives in the batch.

    Args:
        logits: float32 [B, A, C or C + 1].
        deltas: float32 [B, A, 4].
        target_labels: int32 [B, A], -1 where not positive.
        target_deltas: float32 [B, A, 4].
        positive: bool [B, A].
        ignored: bool [B, A].
        activation: as in `classification_loss`.
        negatives_per_positive: hard negatives for one positive.
        min_negatives: hard negatives in an image, at least.

    Returns:
        (classification, localization), two float32 scalars.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, eq. 1 to 3.
    """
    losses = classification_loss(logits, target_labels, activation)
    negative = hard_negatives(ops.stop_gradient(losses), positive, ignored, negatives_per_positive, min_negatives)
    matches = ops.maximum(ops.sum(ops.cast(positive, "float32")), 1.0)
    classification = ops.sum(ops.where(positive | negative, losses, 0.0)) / matches
    box_losses = ops.sum(smooth_l1(deltas - target_deltas), axis=-1)
    localization = ops.sum(ops.where(positive, box_losses, 0.0)) / matches
    return classification, localization
