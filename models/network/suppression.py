"""From scores and boxes to detections: non-maximum suppression inside the graph."""

from typing import Any

from keras import ops

from models.hyperparameters import PostprocessConfig
from models.network import matcher

Tensor = Any
Kept = tuple[Tensor, Tensor, Tensor, Tensor]  # scores [B, D], boxes [B, D, 4], classes [B, D], seen [B, C]
BLOCK = 128  # candidates whose overlaps are looked at together
_CUT = 0.05  # of a tile's side: a box that ends so near to its border may be cut there
BLOCKS = 8  # that are sorted together


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

    Args:
        boxes: float32 [..., N, 4], by falling score.
        scores: float32 [..., N]; a score of 0 or less is never kept and suppresses nothing.
        iou_threshold: boxes above it suppress each other.

    Returns:
        bool [..., N].
    """
    return _greedy(matcher.iou(boxes, boxes) > iou_threshold, scores > 0.0)


def _greedy(clashes: Tensor, candidates: Tensor) -> Tensor:
    """Keeps the candidates that clash with no kept one before them.

    Starting from "all kept" and applying that rule to all at once until nothing changes reaches the greedy answer:
    after round n the first n are right, and a few rounds do.

    Args:
        clashes: bool [..., N, N], symmetric.
        candidates: bool [..., N], best first.

    Returns:
        bool [..., N].
    """
    count = clashes.shape[-1]
    before = ops.arange(count)[None, :] < ops.arange(count)[:, None]
    clashes = clashes & before  # [..., N, N], column suppresses row

    def changing(kept: Tensor, previous: Tensor) -> Tensor:
        return ops.any(ops.logical_xor(kept, previous))

    def one_round(kept: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        return candidates & ~ops.any(clashes & kept[..., None, :], axis=-1), kept

    start = (candidates & ~ops.any(clashes & candidates[..., None, :], axis=-1), candidates)
    return ops.while_loop(changing, one_round, start, maximum_iterations=count)[0]


def merge_tiles(boxes: Tensor, scores: Tensor, windows: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Puts what was found in the tiles of an image together.

    A box counts only in the tile whose cell has its centre: an object that a tile's border cuts is left to the
    neighbour that sees it whole, so no fragment of it stays beside it. An object that is wider than the overlap may be
    whole in no tile; `join_fragments` puts it together.

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


def join_fragments(found: dict[str, Tensor], windows: Tensor) -> dict[str, Tensor]:
    """Joins the detections of an object that no tile sees whole.

    Two detections of a class are parts of one object where one ends at the border of its tile, the other begins at the
    border of a later tile that overlaps it, and along the border they are as long by at least half.

    Args:
        found: as `detect` returns.
        windows: as `merge_tiles`.

    Returns:
        The same with one detection an object: its box holds all parts, its score is the highest.
    """
    boxes, scores = found["detection_boxes"], found["detection_scores"]
    classes = found["detection_classes"]
    is_one = (classes[:, :, None] == classes[:, None, :]) & ops.expand_dims(scores > 0.0, 1)
    parts = is_one & (_continues(boxes, windows, 0) | _continues(boxes, windows, 1))
    size = boxes.shape[1]
    same = parts | ops.transpose(parts, (0, 2, 1)) | ops.eye(size, dtype="bool")
    for _ in range((windows.shape[1] - 1).bit_length()):  # parts of parts, over as many tiles as there are
        linked = ops.cast(same, "float32")
        same = ops.matmul(linked, linked) > 0.0  # [B, D, D]
    low = ops.min(ops.where(same[..., None], boxes[:, None, :, :2], 1.0), axis=2)
    high = ops.max(ops.where(same[..., None], boxes[:, None, :, 2:], 0.0), axis=2)
    boxes = ops.where(scores[..., None] > 0.0, ops.concatenate([low, high], axis=-1), 0.0)
    before = ops.arange(size)[None, :] < ops.arange(size)[:, None]
    scores, order = ops.top_k(ops.where(ops.any(same & before, axis=-1), 0.0, scores), size)
    is_left = scores > 0.0
    return {
        "detection_boxes": ops.where(
            is_left[..., None], ops.take_along_axis(boxes, ops.cast(order, "int32")[..., None], axis=1), 0.0
        ),
        "detection_scores": scores,
        "detection_classes": ops.where(is_left, ops.take_along_axis(classes, ops.cast(order, "int32"), axis=1), 0),
        "num_detections": ops.sum(ops.cast(is_left, "int32"), axis=-1),
    }


def _continues(boxes: Tensor, windows: Tensor, axis: int) -> Tensor:
    """Tells for each pair of boxes whether the second continues the first across the border of tiles.

    Args:
        boxes: float32 [B, D, 4].
        windows: float32 [B, T, 4].
        axis: 0 downwards, 1 to the right.

    Returns:
        bool [B, D, D].
    """
    start, end = windows[:, :, axis], windows[:, :, axis + 2]  # [B, T]
    tolerance = _CUT * (end - start)[:, None]
    ends = (ops.abs(boxes[:, :, axis + 2, None] - end[:, None]) <= tolerance) & (end[:, None] < 1.0)  # [B, D, T]
    begins = (ops.abs(boxes[:, :, axis, None] - start[:, None]) <= tolerance) & (start[:, None] > 0.0)
    overlaps = (start[:, :, None] < start[:, None]) & (start[:, None] < end[:, :, None])  # [B, T, T]
    reached = ops.matmul(ops.cast(ends, "float32"), ops.cast(overlaps, "float32"))
    borders = ops.matmul(reached, ops.cast(ops.transpose(begins, (0, 2, 1)), "float32")) > 0.0  # [B, D, D]
    first, second = boxes[:, :, None], boxes[:, None]
    reaches = (first[..., axis] < second[..., axis]) & (first[..., axis + 2] < second[..., axis + 2])
    low, high = 1 - axis, 3 - axis  # along the border
    shared = ops.minimum(first[..., high], second[..., high]) - ops.maximum(first[..., low], second[..., low])
    covered = ops.maximum(first[..., high], second[..., high]) - ops.minimum(first[..., low], second[..., low])
    return borders & reaches & (shared >= 0.5 * covered)


def detect(boxes: Tensor, scores: Tensor, settings: PostprocessConfig) -> dict[str, Tensor]:
    """Selects the detections of each image, class by class.

    Greedy suppression visits the scores of all classes by falling score; a box clashes only with those of its class. So
    only as many scores are sorted and compared as it takes to fill the detections.

    Args:
        boxes: float32 [B, A, 4] decoded boxes; clipped here to the image.
        scores: float32 [B, A, C] in [0, 1].
        settings: thresholds and limits; `max_detections` is D. `score_converter` is not read.

    Returns:
        detection_boxes float32 [B, D, 4], detection_scores float32 [B, D] by falling score (equal ones by
        anchor, then class), detection_classes int32 [B, D], num_detections int32 [B]; zeros beyond `num_detections`.
    """
    num_anchors, num_classes = scores.shape[1], scores.shape[2]
    boxes = ops.clip(boxes, 0.0, 1.0)
    flat = ops.reshape(ops.where(scores >= settings.score_threshold, scores, 0.0), (-1, num_anchors * num_classes))
    block = min(BLOCK, flat.shape[1])
    pool = block * max(1, min(BLOCKS, flat.shape[1] // block))
    places = ops.arange(flat.shape[1], dtype="int32")[None]

    def unfinished(last_scores: Tensor, _: Tensor, kept: Kept) -> Tensor:
        return ops.any((last_scores > 0.0) & (kept[0][:, -1:] <= 0.0))

    def next_pool(last_scores: Tensor, last_places: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Kept]:
        left = (flat < last_scores) | ((flat == last_scores) & (places > last_places))
        return take_pool(ops.where(left, flat, 0.0), kept)

    def take_pool(remaining: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Kept]:
        best, found = ops.top_k(remaining, pool)
        found = ops.cast(found, "int32")
        return best[:, -1:], found[:, -1:], _suppress_pool(boxes, best, found, block, kept, settings)

    size = min(settings.max_detections, num_classes * min(settings.nms_candidates, num_anchors))
    state = take_pool(flat, _nothing_kept(boxes, size, num_classes))
    if pool < flat.shape[1]:
        state = ops.while_loop(unfinished, next_pool, state)
    top_scores, top_boxes, classes, _ = state[2]
    found = top_scores > 0.0
    return {
        "detection_boxes": ops.where(found[:, :, None], top_boxes, 0.0),
        "detection_scores": top_scores,
        "detection_classes": ops.where(found, classes, 0),
        "num_detections": ops.sum(ops.cast(found, "int32"), axis=-1),
    }


def _nothing_kept(boxes: Tensor, size: int, num_classes: int) -> Kept:
    """Makes the empty detections of each image."""
    rows = ops.zeros_like(boxes[:, :1, 0])  # [B, 1]
    whole = ops.cast(rows, "int32")
    boxes = ops.tile(rows[:, :, None], (1, size, 4))
    return ops.tile(rows, (1, size)), boxes, ops.tile(whole - 1, (1, size)), ops.tile(whole, (1, num_classes))


def _suppress_pool(
    boxes: Tensor, best: Tensor, places: Tensor, block: int, kept: Kept, settings: PostprocessConfig
) -> Kept:
    """Goes through a pool of scores by falling score, a block at a time, until the detections are complete.

    Args:
        boxes: float32 [B, A, 4].
        best: float32 [B, P], positive or 0.
        places: int32 [B, P], anchor times classes plus class.
        block: divides P.
        kept: what was kept of higher scores.
        settings: of the suppression.

    Returns:
        `kept` with what the pool adds.
    """
    blocks, num_classes = best.shape[1] // block, kept[3].shape[1]
    best, places = (ops.reshape(values, (-1, blocks, block)) for values in (best, places))

    def unfinished(number: Tensor, kept: Kept) -> Tensor:
        left = ops.take(best, ops.minimum(number, blocks - 1), axis=1)[:, 0] > 0.0
        return (number < blocks) & ops.any(left & (kept[0][:, -1] <= 0.0))

    def one_block(number: Tensor, kept: Kept) -> tuple[Tensor, Kept]:
        scores, place = ops.take(best, number, axis=1), ops.take(places, number, axis=1)
        anchor, classes = place // num_classes, place % num_classes
        found = ops.take_along_axis(boxes, anchor[:, :, None], axis=1)
        return number + 1, _suppress_block(scores, found, classes, kept, settings)

    return ops.while_loop(unfinished, one_block, (ops.convert_to_tensor(0, "int32"), kept))[1]


def _suppress_block(scores: Tensor, boxes: Tensor, classes: Tensor, kept: Kept, settings: PostprocessConfig) -> Kept:
    """Suppresses the next [B, N] candidates by falling score with what is kept and with each other."""
    kept_scores, kept_boxes, kept_classes, seen = kept
    candidates = scores > 0.0
    same = classes[:, :, None] == classes[:, None, :]
    earlier = same & (ops.arange(scores.shape[1])[None, :] < ops.arange(scores.shape[1])[:, None])
    # How many of its class came before: within the block and in those before it.
    rank = _count(earlier) + ops.take_along_axis(seen, classes, axis=1)
    candidates = candidates & (rank < settings.nms_candidates)
    beside = classes[:, :, None] == kept_classes[:, None, :]  # [B, N, D]
    candidates = candidates & ~ops.any(beside & (matcher.iou(boxes, kept_boxes) > settings.nms_iou), axis=-1)
    chosen = _greedy(same & (matcher.iou(boxes, boxes) > settings.nms_iou), candidates)
    if settings.max_per_class < kept_scores.shape[1]:
        chosen = chosen & (_count(earlier & chosen[:, None, :]) + _count(beside) < settings.max_per_class)
    merged = ops.concatenate([kept_scores, ops.where(chosen, scores, 0.0)], axis=1)
    top, order = ops.top_k(merged, kept_scores.shape[1])  # equal scores keep their order
    top_boxes = ops.take_along_axis(ops.concatenate([kept_boxes, boxes], axis=1), order[:, :, None], axis=1)
    top_classes = ops.take_along_axis(ops.concatenate([kept_classes, classes], axis=1), order, axis=1)
    counts = ops.sum(ops.one_hot(classes, seen.shape[1], dtype="int32"), axis=1)
    return top, top_boxes, ops.where(top > 0.0, top_classes, -1), seen + counts


def _count(flags: Tensor) -> Tensor:
    return ops.sum(ops.cast(flags, "int32"), axis=-1)
