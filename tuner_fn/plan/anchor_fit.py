"""How well anchors cover a dataset's boxes, and which anchors would cover them better.

All boxes are fractions of the image's sides. Anchors' scales are relative to the shorter side of the detector's input,
to which every image is squashed or stretched, and an aspect ratio is that of a box in its pixels.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.hyperparameters import AnchorConfig, ExperimentConfig
from models.network import anchors
from tuner_fn.plan import box_shapes

MATCH_IOU = 0.5
SIZE_EDGES_PX = (0, 8, 16, 32, 64, 128, 256)  # sides at the detector's input
LEAST_CELLS = 1.5  # a side below this many cells is often missed between two anchors

_FITTED_BOXES = 5000  # of more boxes a seeded sample is fitted; recall is always that of all
_CLUSTER_COUNTS = range(2, 11)
_MOST_PASSES = 8
_LEAST_SCALE = 0.001  # of `anchors.scales`
_WORTH_MORE_ANCHORS = 0.02  # recall that has to be gained
_KEPT_SHAPES = 512  # of a level, whose IoUs are not computed again: 20 MB with as many boxes as are fitted


class _Level:
    """Boxes beside the cells of one feature map.

    Attributes:
        ious: takes the (height, width) of an anchor; returns each box's largest IoU with it, float64 [N].
    """

    def __init__(self, boxes: np.ndarray, map_size: tuple[int, int]) -> None:
        """Finds each box's nearest cell.

        Args:
            boxes: float [N, 4] ymin, xmin, ymax, xmax, positive sides.
            map_size: rows and columns.
        """
        sides, grid = _sides(boxes), np.array(map_size)
        low = np.asarray(boxes, np.float64)[:, :2]
        cells = np.clip(np.floor((low + sides / 2) * grid), 0, grid - 1)  # [N, 2] row, column
        # By axis, [2, N]: numpy is many times faster along long rows.
        self._low, self._top, self._centres = (each.T.copy() for each in (low, low + sides, (cells + 0.5) / grid))
        self._areas = sides.prod(axis=-1)  # [N]
        self.ious = functools.lru_cache(_KEPT_SHAPES)(self._ious)

    def best(self, shapes: Sequence[tuple[float, float]]) -> np.ndarray:
        """Computes each box's largest IoU with anchors of several shapes, float64 [N]."""
        return functools.reduce(np.maximum, map(self.ious, shapes))

    def _ious(self, shape: tuple[float, float]) -> np.ndarray:
        halves = np.array(shape)[:, None] / 2  # [2, 1]
        top = np.minimum(self._top, self._centres + halves)
        overlap = np.maximum(top - np.maximum(self._low, self._centres - halves), 0).prod(axis=0)  # [N]
        return overlap / (self._areas + 4 * halves.prod() - overlap)


def best_ious(boxes: np.ndarray, grid: anchors.Grid, config: AnchorConfig) -> np.ndarray:
    """Computes each box's largest IoU with an anchor, over every anchor of the detector.

    Of the anchors of one shape on one level, the one in the nearest cell overlaps most along both axes; the others
    are not computed.

    Args:
        boxes: float [N, 4] ymin, xmin, ymax, xmax, positive sides.
        grid: cells of the feature maps.
        config: the anchors.

    Returns:
        float64 [N] in [0, 1].
    """
    shapes = anchors.cell_shapes(config, grid)
    return np.max([_Level(boxes, size).best(own) for size, own in zip(grid.sizes, shapes, strict=True)], axis=0)


def recall(ious: np.ndarray) -> float | None:
    """Returns the share of boxes whose best IoU is at least `MATCH_IOU`; None where there is no box."""
    return float((ious >= MATCH_IOU).mean()) if len(ious) else None


def recall_report(
    boxes: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    size: tuple[int, int],
    grid: anchors.Grid,
    config: AnchorConfig,
) -> dict[str, Any]:
    """Measures what share of the boxes the anchors cover, by class and by size.

    Args:
        boxes: float [N, 4] ymin, xmin, ymax, xmax, without regions to ignore.
        labels: int [N], from 0.
        class_names: C names in label order.
        size: height and width of the detector's input, px.
        grid: cells of the feature maps.
        config: the anchors.

    Returns:
        "all", "by_class" {name: ...} and "by_size_px" {range of the side at the detector's input: ...}, each with
        "boxes", their number, and "recall", None where there is no box.
    """
    ious = best_ious(boxes, grid, config)
    sides_px = _side(boxes) * math.sqrt(math.prod(size))  # [N]
    by_size = {
        size_name(low, high): (sides_px >= low) & (sides_px < high)
        for low, high in itertools.pairwise((*SIZE_EDGES_PX, np.inf))
    }
    by_class = {name: labels == label for label, name in enumerate(class_names)}

    def groups(masks: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {name: {"boxes": int(mask.sum()), "recall": recall(ious[mask])} for name, mask in masks.items()}

    return {**groups({"all": np.ones(len(ious), bool)}), "by_class": groups(by_class), "by_size_px": groups(by_size)}


def size_name(low: float, high: float) -> str:
    """Words a range of sides in px: "below 8", "8 to 16", "from 256"."""
    if not low:
        return f"below {high:g}"
    return f"from {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"


def compare(
    boxes: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    config: ExperimentConfig,
) -> dict[str, Any]:
    """Measures the configured anchors and those that `propose` finds on the train split.

    Args:
        boxes: by split, float [N, 4] ymin, xmin, ymax, xmax, without regions to ignore.
        labels: by split, int [N], from 0.
        class_names: in label order.
        config: all settings; `training.seed` is the seed.

    Returns:
        "iou", "image_size_px" (height, width); "small_boxes": "below_px", the side at the input below which boxes
        often fall between the anchors of the finest level, and the "share" of such boxes by split; "anchors":
        "configured" and, where they cover more, "proposed" with as many anchors and "more anchors" with all aspect
        ratios on the finest level too, each with "num_anchors", "settings" ("anchors.NAME=VALUE" that differ) and
        "recall" by split.
    """
    grid, size = anchors.detector_grid(config), config.input.size
    configured = anchors.anchor_config(config)
    found = _candidates(boxes.get("train", np.zeros((0, 4))), grid, configured, config.training.seed)
    below = LEAST_CELLS / math.sqrt(math.prod(grid.sizes[0]))

    def measured(each: AnchorConfig) -> dict[str, Any]:
        about = (class_names, size, grid, each)
        return {
            "num_anchors": len(anchors.make_anchors(grid, each)),
            "settings": as_settings(each, configured),
            "recall": {split: recall_report(own, labels[split], *about) for split, own in boxes.items()},
        }

    share = {split: float((_side(own) < below).mean()) for split, own in boxes.items() if len(own)}
    return {
        "iou": MATCH_IOU,
        "image_size_px": list(size),
        "small_boxes": {"below_px": round(below * math.sqrt(math.prod(size)), 3), "share": share},
        "anchors": {name: measured(each) for name, each in found.items()},
    }


def propose(boxes: np.ndarray, grid: anchors.Grid, config: AnchorConfig, seed: int) -> AnchorConfig | None:
    """Looks for scales and aspect ratios that cover more of the boxes with as many anchors.

    k-means over heights and widths, with several numbers of clusters, gives the sides to choose from, and k-means
    over the boxes scaled to one area the aspect ratios. Taken as they are, the sides of many small objects would put
    small anchors on coarse maps, where most objects fall between two of them; therefore a side is given to a level
    by what share of the boxes all anchors then cover where they lie, one level after the other until nothing gets
    better.

    Args:
        boxes: float [N, 4] ymin, xmin, ymax, xmax of the train split, without regions to ignore.
        grid: cells of the feature maps.
        config: the configured anchors, which the proposal has to beat.
        seed: of clustering and of sampling.

    Returns:
        The best anchors found, their numbers rounded as they are printed; None where none covers more boxes.
    """
    if not len(boxes):
        return None
    sample = _sample(boxes, seed)
    shapes = _sides(sample) * np.array(grid.sides)
    offered = _offered_sides(shapes, seed)
    levels = [_Level(sample, size) for size in grid.sizes]
    fitted = [
        _choose_sides(levels, grid, dataclasses.replace(config, aspect_ratios=ratios), offered)
        for ratios in dict.fromkeys(
            (tuple(config.aspect_ratios), box_shapes.fit_ratios(shapes, config.aspect_ratios, seed))
        )
    ]
    best = max(fitted, key=lambda each: recall(best_ious(boxes, grid, each)))
    before, after = (recall(best_ious(boxes, grid, each)) for each in (config, best))
    return best if after > before else None


def as_settings(config: AnchorConfig, base: AnchorConfig) -> list[str]:
    """Writes what differs between two anchor settings as `--set` takes it.

    Args:
        config: the settings to write.
        base: those that need no word.

    Returns:
        "anchors.NAME=VALUE", in the order of declaration.
    """
    written = []
    for field in dataclasses.fields(AnchorConfig):
        value = getattr(config, field.name)
        if value != getattr(base, field.name):
            text = ",".join(f"{entry:g}" for entry in value) if isinstance(value, tuple) else str(value).lower()
            written.append(f"anchors.{field.name}={text}")
    return written


def _sides(boxes: np.ndarray) -> np.ndarray:
    return np.asarray(boxes, np.float64)[:, 2:] - np.asarray(boxes, np.float64)[:, :2]  # [N, 2]


def _candidates(train: np.ndarray, grid: anchors.Grid, config: AnchorConfig, seed: int) -> dict[str, AnchorConfig]:
    """Lists the anchors of `compare` by name."""
    found = {"configured": config}
    proposed = propose(train, grid, config, seed)
    if proposed is not None:
        found["proposed"] = proposed
    if len(train) and config.kind == "ssd" and config.reduce_lowest_level:
        whole = dataclasses.replace(config, reduce_lowest_level=False)
        more = propose(train, grid, whole, seed) or whole
        least = recall(best_ious(train, grid, proposed or config)) + _WORTH_MORE_ANCHORS
        if recall(best_ious(train, grid, more)) >= least:
            found["more anchors"] = more
    return found


def _side(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt(_sides(boxes).prod(axis=1))  # [N]


def _sample(boxes: np.ndarray, seed: int) -> np.ndarray:
    if len(boxes) <= _FITTED_BOXES:
        return boxes
    return boxes[np.random.default_rng(seed).choice(len(boxes), _FITTED_BOXES, replace=False)]


def _offered_sides(sides: np.ndarray, seed: int) -> list[float]:
    """Lists the sides of all centroids, over several numbers of clusters."""
    found = [box_shapes.cluster(sides, count, seed) for count in _CLUSTER_COUNTS]
    return sorted({float(side) for clusters in found for side in np.sqrt(clusters.centroids.prod(axis=1))})


def _choose_sides(
    levels: Sequence[_Level], grid: anchors.Grid, config: AnchorConfig, offered: Sequence[float]
) -> AnchorConfig:
    """Gives each level the side, of the offered and the configured, with which the anchors cover most boxes."""
    config = dataclasses.replace(config, kind="ssd")
    configured = list(config.scales) or anchors.level_scales(config.min_scale, config.max_scale, len(levels))
    spread = np.quantile(offered, np.linspace(0, 1, len(levels)))
    usable = np.maximum(spread, np.minimum(configured, [0, *(LEAST_CELLS / min(size) for size in grid.sizes[1:])]))
    starts = [_ascending(start) for start in (configured, usable)]
    choices = sorted({round(side, box_shapes.DIGITS) for side in (*offered, *configured) if _LEAST_SCALE <= side <= 1})
    ascents = [_ascend(levels, grid, dataclasses.replace(config, scales=start), choices) for start in starts]
    return max(ascents, key=lambda pair: pair[0])[1]


def _ascending(scales: Sequence[float]) -> tuple[float, ...]:
    """Rounds scales and makes them rise strictly inside (0, 1]."""
    step = 10.0**-box_shapes.DIGITS
    rising: list[float] = []
    for left, scale in zip(range(len(scales) - 1, -1, -1), scales, strict=True):
        least = rising[-1] + step if rising else _LEAST_SCALE
        rising.append(round(min(max(float(scale), least), 1 - left * step), box_shapes.DIGITS))
    return tuple(rising)


def _ascend(
    levels: Sequence[_Level], grid: anchors.Grid, config: AnchorConfig, choices: Sequence[float]
) -> tuple[tuple[float, float], AnchorConfig]:
    """Changes one level's scale at a time as long as (recall, mean IoU) grows."""
    shapes = anchors.cell_shapes(config, grid)
    ious = [level.best(own) for level, own in zip(levels, shapes, strict=True)]
    best = _score(ious)
    for _ in range(_MOST_PASSES):
        before = best
        for level, side in itertools.product(range(len(levels)), choices):
            scales = (*config.scales[:level], side, *config.scales[level + 1 :])
            if any(second <= first for first, second in itertools.pairwise(scales)):
                continue
            changed = dataclasses.replace(config, scales=scales)
            shapes, tried = anchors.cell_shapes(changed, grid), list(ious)
            for touched in {max(level - 1, 0), level}:  # the level below has one anchor between two scales
                tried[touched] = levels[touched].best(shapes[touched])
            if (score := _score(tried)) > best:
                best, config, ious = score, changed, tried
        if best == before:
            break
    return best, config


def _score(ious: Sequence[np.ndarray]) -> tuple[float, float]:
    best = functools.reduce(np.maximum, ious)
    return float((best >= MATCH_IOU).mean()), float(best.mean())
