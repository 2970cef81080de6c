"""From scores and boxes to detections: non-maximum suppression inside the graph."""

from typing import Any

from keras import ops

from models import matcher

Tensor = Any


def to_scores(logits: Tensor, activation: str, has_background: bool) -> Tensor:
    """Turns logits into scores.

    Args:
        logits: float32 [..., C], or [..., C + 1] with background first.
        activation: "sigmoid" or "softmax".
        has_background: whether the first logit is background.

    Returns:
        float32 [..., C] in [0, 1].
    """
    scores = ops.softmax(logits, axis=-1) if activation == "softmax" else ops.sigmoid(logits)
    return scores[..., 1:] if has_background else scores


def suppress(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Finds the boxes that greedy non-maximum suppression keeps.

    A box is kept when no kept box before it overlaps it by more than the threshold. Starting from "all kept" and
    applying that rule to all boxes at once until nothing changes reaches the greedy answer: after round n the first n
    boxes are right, and a few rounds do.

    Args:
        boxes: float32 [..., N, 4], by falling score.
        scores: float32 [..., N]; a score of 0 or less is never kept and suppresses nothing.
        iou_threshold: boxes above it suppress each other.

    Returns:
        bool [..., N].
    """
    num_boxes = boxes.shape[-2]
    before = ops.arange(num_boxes)[:, None] < ops.arange(num_boxes)[None, :]
    clashes = (matcher.iou(boxes, boxes) > iou_threshold) & before  # [..., N, N], row suppresses column
    candidates = scores > 0.0

    def changing(kept: Tensor, previous: Tensor) -> Tensor:
        return ops.any(ops.logical_xor(kept, previous))

    def one_round(kept: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        return candidates & ~ops.any(clashes & kept[..., :, None], axis=-2), kept

    start = (candidates & ~ops.any(clashes & candidates[..., :, None], axis=-2), candidates)
    return ops.while_loop(changing, one_round, start, maximum_iterations=num_boxes)[0]


def merge_tiles(boxes: Tensor, scores: Tensor, windows: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Puts what was found in the tiles of an image together.

    A box counts only in the tile whose cell has its centre: an object that a tile's border cuts is left to the
    neighbour that sees it whole, so no fragment of it stays beside it.

    Args:
        boxes: float32 [B, T, A, 4] as fractions of the tiles' sides; clipped here to the tile.
        scores: float32 [B, T, A, C].
        windows: float32 [B, T, 4] ymin, xmin, ymax, xmax of each tile as fractions of the image's sides.
        cells: float32 [T, 4] as `data.tiles.TileGrid.cells`.

    Returns:
        boxes float32 [B, T A, 4] as fractions of the image's sides and scores float32 [B, T A, C], 0 where the box
        does not count.
    """
    low, high = windows[:, :, None, :2], windows[:, :, None, 2:]
    ends = ops.clip(boxes, 0.0, 1.0)
    moved = ops.concatenate([low + ends[..., :2] * (high - low), low + ends[..., 2:] * (high - low)], axis=-1)
    centres = (moved[..., :2] + moved[..., 2:]) / 2.0
    inside = ops.all((centres >= cells[:, None, :2]) & (centres < cells[:, None, 2:]), axis=-1)  # [B, T, A]
    counted = ops.where(inside[..., None], scores, 0.0)
    return ops.reshape(moved, (-1, boxes.shape[1] * boxes.shape[2], 4)), ops.reshape(
        counted, (-1, scores.shape[1] * scores.shape[2], scores.shape[3])
    )


def detect(
    boxes: Tensor,
    scores: Tensor,
    *,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
    max_per_class: int | None = None,
    candidates: int | None = None,
) -> dict[str, Tensor]:
    """Selects the detections of each image, class by class.

    Args:
        boxes: float32 [B, A, 4] decoded boxes; clipped here to the image.
        scores: float32 [B, A, C] in [0, 1].
        score_threshold: boxes of lower score are dropped.
        iou_threshold: for the suppression within one class.
        max_detections: D.
        max_per_class: detections an image and class; None for D.
        candidates: boxes of highest score a class that suppression looks at; None for all.

    Returns:
        detection_boxes float32 [B, D, 4], detection_scores float32 [B, D] by falling score, detection_classes
        int32 [B, D], num_detections int32 [B]; zeros beyond `num_detections`.
    """
    boxes = ops.clip(boxes, 0.0, 1.0)
    num_classes = scores.shape[-1]
    candidates = min(candidates or scores.shape[1], scores.shape[1])
    max_per_class = min(max_per_class or max_detections, candidates)
    scores = ops.where(scores >= score_threshold, scores, 0.0)
    class_scores, indices = ops.top_k(ops.transpose(scores, (0, 2, 1)), candidates)  # [B, C, k]
    flat = ops.reshape(indices, (-1, num_classes * candidates))
    class_boxes = ops.take_along_axis(boxes, flat[:, :, None], axis=1)  # [B, C k, 4]
    class_boxes = ops.reshape(class_boxes, (-1, num_classes, candidates, 4))
    kept = suppress(class_boxes, class_scores, iou_threshold)
    if max_per_class < candidates:
        kept = kept & (ops.cumsum(ops.cast(kept, "int32"), axis=-1) <= max_per_class)
    merged = ops.reshape(ops.where(kept, class_scores, 0.0), (-1, num_classes * candidates))
    top_scores, order = ops.top_k(merged, min(max_detections, num_classes * candidates))  # [B, D]
    found = top_scores > 0.0
    flat_boxes = ops.reshape(class_boxes, (-1, num_classes * candidates, 4))
    top_boxes = ops.take_along_axis(flat_boxes, order[:, :, None], axis=1)
    return {
        "detection_boxes": ops.where(found[:, :, None], top_boxes, 0.0),
        "detection_scores": top_scores,
        "detection_classes": ops.cast(ops.where(found, order // candidates, 0), "int32"),
        "num_detections": ops.sum(ops.cast(found, "int32"), axis=-1),
    }
