"""Which anchor learns which object: IoU and target assignment, on the device."""

import dataclasses
from typing import Any

from keras import ops

Tensor = Any
PADDING, IGNORED_REGION = -1, -2  # values of `gt_labels` that are not classes


@dataclasses.dataclass(frozen=True)
class Targets:
    """What every anchor has to learn.

    Attributes:
        boxes: float32 [B, A, 4], the matched object; arbitrary where `positive` is false.
        labels: int32 [B, A], class of the matched object, -1 where `positive` is false.
        positive: bool [B, A].
        ignored: bool [B, A], neither positive nor a candidate negative.
    """

    boxes: Tensor
    labels: Tensor
    positive: Tensor
    ignored: Tensor


def intersection(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Computes pairwise intersection areas.

    Args:
        boxes1: float32 [..., N, 4].
        boxes2: float32 [..., M, 4].

    Returns:
        float32 [..., N, M].
    """
    sides = []
    for axis in (0, 1):
        low = ops.maximum(boxes1[..., :, None, axis], boxes2[..., None, :, axis])
        high = ops.minimum(boxes1[..., :, None, axis + 2], boxes2[..., None, :, axis + 2])
        sides.append(ops.maximum(high - low, 0.0))
    return sides[0] * sides[1]


def area(boxes: Tensor) -> Tensor:
    """Computes the areas [...] of boxes [..., 4]; an inverted box has none."""
    return ops.maximum(boxes[..., 2] - boxes[..., 0], 0.0) * ops.maximum(boxes[..., 3] - boxes[..., 1], 0.0)


def iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Computes pairwise intersection over union.

    Args:
        boxes1: float32 [..., N, 4].
        boxes2: float32 [..., M, 4].

    Returns:
        float32 [..., N, M] in [0, 1]; 0 where a box is empty.
    """
    shared = intersection(boxes1, boxes2)
    # The bound that keeps 0 / 0 away costs little on the areas and a pass over all pairs on the unions.
    return shared / (area(boxes1)[..., :, None] + ops.maximum(area(boxes2), 1e-12)[..., None, :] - shared)


def _best(overlaps: Tensor, axis: int) -> Tensor:
    """Finds the first place (int32) of the highest of overlaps [B, G, A] along an axis; they are -1 or lie in [0, 1].

    The bits of such numbers are ordered as integers are. Keras looks for negative zeros among floats: four passes more.
    """
    return ops.cast(ops.argmax(ops.view(overlaps, "int32"), axis=axis), "int32")


def forced_matches(overlaps: Tensor, valid: Tensor) -> Tensor:
    """Gives every object an anchor of its own, greedily by IoU.

    In each round every object without an anchor and every free anchor look for each other's best; pairs that chose each
    other are matched. That gives the greedy one-to-one matching of Liu et al. 2016, section 2.2, in few rounds. Where
    there are more objects than anchors, those that fit worst get none.

    Args:
        overlaps: float32 [B, G, A] IoU.
        valid: bool [B, G], false for padding.

    Returns:
        int32 [B, A], index of the object forced on the anchor, -1 where none is.
    """
    batch, num_gt, num_anchors = ops.shape(overlaps)
    object_index = ops.arange(num_gt, dtype="int32")[None, :]
    images = ops.arange(batch, dtype="int32")[:, None]  # [B, 1]
    pairs = (images * num_gt + object_index)[:, :, None] * num_anchors  # [B, G, 1], where each object's row begins
    flat = ops.reshape(overlaps, (-1,))

    def some_left(_: Tensor, waiting: Tensor) -> Tensor:
        return ops.any(waiting)

    def one_round(forced: Tensor, waiting: Tensor) -> tuple[Tensor, Tensor]:
        free = forced < 0
        waiting = waiting & ops.any(free, axis=1, keepdims=True)  # with fewer anchors than objects some get none
        return pair(ops.where(free[:, None, :], overlaps, -1.0), forced, waiting)

    def pair(left: Tensor, forced: Tensor, waiting: Tensor) -> tuple[Tensor, Tensor]:
        anchor = _best(left, axis=2)  # [B, G], each object's best
        # Only anchors that are some object's best need to look back: [B, G, G], a column an object's best anchor.
        others = ops.where(waiting[:, :, None], ops.take(flat, pairs + anchor[:, None, :]), -1.0)
        matched = waiting & (ops.cast(ops.argmax(others, axis=1), "int32") == object_index)
        # The matched anchors are all different, so adding index + 1 to -1 writes the index.
        gain = ops.where(matched, object_index + 1, 0)
        places = ops.reshape(images * num_anchors + anchor, (-1, 1))
        update = ops.scatter(places, ops.reshape(gain, (-1,)), (batch * num_anchors,))
        return forced + ops.reshape(update, (batch, num_anchors)), waiting & ~matched

    # All anchors are free at first: most objects find theirs without a mask.
    first = pair(overlaps, ops.full((batch, num_anchors), -1, dtype="int32"), valid)
    return ops.while_loop(some_left, one_round, first, maximum_iterations=num_gt)[0]


def assign(
    gt_boxes: Tensor,
    gt_labels: Tensor,
    anchors: Tensor,
    matched_iou: Tensor,
    unmatched_iou: Tensor = 1.0,
    *,
    negatives_below_unmatched: bool = True,
    force_match: bool = True,
) -> Targets:
    """Matches anchors to objects.

    An anchor takes the object of highest IoU if that is at least `matched_iou`; with `force_match` every object keeps
    one anchor of its own whatever the IoU. Other anchors are ignored if at least half of one lies in an ignored region,
    or if their IoU lies between the thresholds.

    Args:
        gt_boxes: float32 [B, G, 4].
        gt_labels: int32 [B, G]; -1 is padding, -2 an ignored region.
        anchors: float32 [A, 4].
        matched_iou: in [0, 1].
        unmatched_iou: in [0, 1]; from `matched_iou` on it has no effect.
        negatives_below_unmatched: if false, anchors below `unmatched_iou` are ignored in place of those from it on.
        force_match: as above.

    Returns:
        The targets of all anchors.
    """
    valid = gt_labels >= 0
    overlaps = iou(_only(gt_boxes, valid), anchors[None])  # [B, G, A]
    matched = _best(overlaps, axis=1)  # [B, A]
    highest = ops.max(overlaps, axis=1)
    # An object that nothing overlaps, or no object at all, must not match at a threshold of 0.
    positive = (highest >= matched_iou) & (highest > 0.0)
    if force_match:
        forced = forced_matches(overlaps, valid)
        matched = ops.where(forced >= 0, forced, matched)
        positive = positive | (forced >= 0)
    boxes = ops.take_along_axis(gt_boxes, matched[:, :, None], axis=1)  # [B, A, 4]
    labels = ops.where(positive, ops.take_along_axis(gt_labels, matched, axis=1), PADDING)
    between = (highest >= unmatched_iou) if negatives_below_unmatched else (highest < unmatched_iou)
    ignored = _in_ignored_region(gt_boxes, gt_labels, anchors) | (between & (unmatched_iou < matched_iou))
    return Targets(boxes=boxes, labels=ops.cast(labels, "int32"), positive=positive, ignored=ignored & ~positive)


def _only(boxes: Tensor, kept: Tensor) -> Tensor:
    """Makes the boxes [B, G, 4] empty that are not `kept` [B, G]: they overlap nothing."""
    return ops.where(kept[:, :, None], boxes, 0.0)


def _in_ignored_region(gt_boxes: Tensor, gt_labels: Tensor, anchors: Tensor) -> Tensor:
    """Tells bool [B, A] of which anchors at least half lies in an ignored region."""
    is_region = gt_labels == IGNORED_REGION

    def inside() -> Tensor:
        hidden = ops.max(intersection(_only(gt_boxes, is_region), anchors[None]), axis=1)  # [B, A]
        return hidden >= 0.5 * ops.maximum(area(anchors), 1e-12)

    def nowhere() -> Tensor:
        return ops.zeros((ops.shape(gt_labels)[0], anchors.shape[0]), dtype="bool")

    return ops.cond(ops.any(is_region), inside, nowhere)  # most batches have none
