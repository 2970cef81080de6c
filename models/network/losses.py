"""The training objective: classification with hard-negative mining or focal loss, and the loss of matched boxes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras import ops

from models.hyperparameters import LossConfig
from models.network import matcher, replicas, suppression

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What the losses compare with the targets.

    Attributes:
        logits: float32 [B, A, C], or [B, A, C + 1] with background first.
        deltas: float32 [B, A, 4].
        boxes: float32 [B, A, 4], `deltas` decoded; None where neither GIoU nor mining by boxes needs them.
    """

    logits: Tensor
    deltas: Tensor
    boxes: Tensor | None = None


def smooth_l1(errors: Tensor, delta: Tensor = 1.0) -> Tensor:
    """Computes the Huber loss, elementwise.

    Args:
        errors: float32, any shape.
        delta: error from which the loss is linear, positive.

    Returns:
        float32 of the same shape: 0.5 e^2 inside [-delta, delta], delta (|e| - delta / 2) outside.

    Source: Girshick 2015 (arXiv:1504.08083), eq. 3, which is delta 1; the Object Detection API's `weighted_smooth_l1`.
    """
    size = ops.abs(errors)
    return ops.where(size < delta, 0.5 * errors * errors, delta * (size - 0.5 * delta))


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """Computes 1 - GIoU of pairs of boxes.

    Args:
        boxes: float32 [..., 4]; an inverted box has no area.
        targets: float32 [..., 4].

    Returns:
        float32 [...] in [0, 2]; 0 for equal boxes.

    Source: Rezatofighi et al. 2019 (arXiv:1902.09630), algorithm 1.
    """
    shared = ops.maximum(
        ops.minimum(boxes[..., 2:], targets[..., 2:]) - ops.maximum(boxes[..., :2], targets[..., :2]), 0
    )
    hull = ops.maximum(boxes[..., 2:], targets[..., 2:]) - ops.minimum(boxes[..., :2], targets[..., :2])
    intersection, hull_area = shared[..., 0] * shared[..., 1], hull[..., 0] * hull[..., 1]
    union = matcher.area(boxes) + matcher.area(targets) - intersection
    iou = intersection / ops.maximum(union, 1e-9)
    return 1.0 - iou + (hull_area - union) / ops.maximum(hull_area, 1e-9)


def class_targets(labels: Tensor, num_outputs: int, has_background: bool, smoothing: Tensor = 0.0) -> Tensor:
    """Makes the class targets of anchors.

    Args:
        labels: int32 [B, A] from 0, -1 is background.
        num_outputs: logits an anchor, background included.
        has_background: whether the first logit is background.
        smoothing: share of the targets that is spread evenly over all outputs, in [0, 1).

    Returns:
        float32 [B, A, num_outputs]; an anchor without object has only zeros where there is no background output.

    Source of the smoothing: Szegedy et al. 2016 (arXiv:1512.00567), section 7.
    """
    hot = ops.one_hot(labels + 1 if has_background else labels, num_outputs, dtype="float32")
    return hot * (1.0 - smoothing) + smoothing / num_outputs


def sigmoid_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Computes binary cross-entropies [..., outputs] of logits and targets in [0, 1], without overflow."""
    return ops.maximum(logits, 0.0) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))


def focal_loss(logits: Tensor, targets: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
    """Computes binary focal losses.

    Args:
        logits: float32 [..., outputs].
        targets: float32 of the same shape, in [0, 1].
        alpha: weight of the positive part, in [0, 1].
        gamma: focus on hard examples, not negative.

    Returns:
        float32 of the same shape.

    Source: Lin et al. 2017 (arXiv:1708.02002), eq. 5.
    """
    # 1 - p_t for targets of 0 and 1, and what lies between for smoothed ones; kept off 0, where x^gamma has no slope.
    miss = ops.clip(ops.abs(targets - ops.sigmoid(logits)), 1e-6, 1.0)
    weight = targets * alpha + (1.0 - targets) * (1.0 - alpha)
    return weight * ops.power(miss, gamma) * sigmoid_cross_entropy(logits, targets)


def classification_loss(
    logits: Tensor, labels: Tensor, config: LossConfig, scalars: Mapping[str, Tensor], has_background: bool
) -> Tensor:
    """Computes each anchor's classification loss.

    Args:
        logits: float32 [B, A, C], or [B, A, C + 1] with background first.
        labels: int32 [B, A], -1 is background.
        config: `classification` chooses the loss: a sum of binary ones, or one softmax cross-entropy.
        scalars: "label_smoothing", "focal_alpha" and "focal_gamma".
        has_background: whether the first logit is background.

    Returns:
        float32 [B, A], not negative.
    """
    targets = class_targets(labels, logits.shape[-1], has_background, scalars["label_smoothing"])
    if config.classification == "softmax":
        return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)
    if config.classification == "focal":
        return ops.sum(focal_loss(logits, targets, scalars["focal_alpha"], scalars["focal_gamma"]), axis=-1)
    return ops.sum(sigmoid_cross_entropy(logits, targets), axis=-1)


def hard_negatives(losses: Tensor, positive: Tensor, ignored: Tensor, ratio: Tensor, minimum: Tensor) -> Tensor:
    """Chooses the negatives of highest loss in each image.

    Args:
        losses: float32 [B, A] classification losses, not negative.
        positive: bool [B, A].
        ignored: bool [B, A], never chosen.
        ratio: negatives for one positive; 0 chooses all.
        minimum: negatives in an image, at least.

    Returns:
        bool [B, A]. Of equal losses the first anchors are chosen.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, "Hard negative mining".
    """
    candidates = ~(positive | ignored)
    ranked = -ops.sort(-ops.where(candidates, losses, -1.0), axis=-1)  # [B, A], highest first
    count = ops.sum(ops.cast(positive, "float32"), axis=-1) * ratio
    count = ops.maximum(count, ops.cast(minimum, "float32"))
    count = ops.cast(ops.where(ratio > 0.0, count, float(losses.shape[-1])), "int32")
    last = ops.minimum(count, losses.shape[-1]) - 1
    threshold = ops.take_along_axis(ranked, ops.maximum(last, 0)[:, None], axis=-1)  # [B, 1]
    above, equal = candidates & (losses > threshold), candidates & (losses == threshold)
    room = count - ops.sum(ops.cast(above, "int32"), axis=-1)  # for those that tie with the last one
    return above | (equal & (ops.cumsum(ops.cast(equal, "int32"), axis=-1) <= room[:, None]))


def distinct(boxes: Tensor, losses: Tensor, iou_threshold: float, max_examples: int) -> Tensor:
    """Finds the anchors that count in mining: of predicted boxes that nearly coincide only that of highest loss.

    Args:
        boxes: float32 [B, A, 4], predicted.
        losses: float32 [B, A] to rank by.
        iou_threshold: boxes above it coincide.
        max_examples: at most this many anchors an image, the highest losses first.

    Returns:
        bool [B, A].

    Source: the Object Detection API's `hard_example_miner`; Shrivastava et al. 2016 (arXiv:1604.03540), section 4.
    """
    count = min(max_examples, losses.shape[-1])
    values, order = ops.top_k(losses, count)  # [B, N]
    # Suppression never keeps a score of 0; an anchor that is learned perfectly may still be a positive.
    kept = suppression.suppress(
        ops.take_along_axis(boxes, order[:, :, None], axis=1), ops.maximum(values, 1e-12), iou_threshold
    )
    batch, num_anchors = ops.shape(losses)
    rows = ops.arange(batch, dtype="int32")[:, None] * num_anchors
    flat = ops.scatter(
        ops.reshape(rows + ops.cast(order, "int32"), (-1, 1)),
        ops.reshape(ops.cast(kept, "int32"), (-1,)),
        (batch * num_anchors,),
    )
    return ops.reshape(flat, (batch, num_anchors)) > 0


def detection_losses(
    outputs: Outputs,
    targets: matcher.Targets,
    target_deltas: Tensor,
    config: LossConfig,
    scalars: Mapping[str, Tensor],
    has_background: bool,
) -> tuple[Tensor, Tensor]:
    """Computes the two parts of the objective.

    Args:
        outputs: the network's.
        targets: what every anchor has to learn.
        target_deltas: float32 [B, A, 4], `targets.boxes` encoded.
        config: which losses, and how negatives are mined.
        scalars: the live settings of `config` by name.
        has_background: whether the first logit is background.

    Returns:
        (classification, localization), two float32 scalars, with `normalize_by_matches` each divided by the number of
        positives in the batch, which all replicas share.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, eq. 1 to 3.
    """
    positive, ignored = targets.positive, targets.ignored
    class_losses = classification_loss(outputs.logits, targets.labels, config, scalars, has_background)
    box_losses = _box_losses(outputs, targets, target_deltas, config, scalars)  # [B, A], 0 where not positive
    matches = replicas.total(ops.sum(ops.cast(positive, "float32")))
    if config.classification == "focal":
        counted = ~ignored
    else:
        if config.mining_iou < 1.0:
            by = {"classification": class_losses, "localization": box_losses, "both": class_losses + box_losses}
            ranks = ops.stop_gradient(by[config.mining_by])
            boxes = ops.stop_gradient(outputs.boxes)
            first = distinct(boxes, ranks, config.mining_iou, config.mining_max_examples)
            positive, ignored = positive & first, ignored | ~first
            box_losses = ops.where(positive, box_losses, 0.0)
        ranks = ops.stop_gradient(box_losses if config.mining_by == "localization" else class_losses)
        counted = positive | hard_negatives(
            ranks, positive, ignored, scalars["negatives_per_positive"], scalars["min_negatives"]
        )
    divisor = ops.maximum(matches, 1.0) if config.normalize_by_matches else 1.0
    return ops.sum(ops.where(counted, class_losses, 0.0)) / divisor, ops.sum(box_losses) / divisor


def _box_losses(
    outputs: Outputs,
    targets: matcher.Targets,
    target_deltas: Tensor,
    config: LossConfig,
    scalars: Mapping[str, Tensor],
) -> Tensor:
    """Computes each anchor's box loss float32 [B, A], 0 where it is not positive."""
    if config.localization == "giou":
        losses = giou_loss(outputs.boxes, targets.boxes)
    else:
        losses = ops.sum(smooth_l1(outputs.deltas - target_deltas, scalars["smooth_l1_delta"]), axis=-1)
    return ops.where(targets.positive, losses, 0.0)
