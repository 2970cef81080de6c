"""Anchors of an SSD: positions, scales and aspect ratios."""

import math

import numpy as np

from models.hyperparameters import NUM_LEVELS, AnchorConfig


def map_sizes(image_size: int, first_stride: int, num_levels: int = NUM_LEVELS) -> list[tuple[int, int]]:
    """Computes the sizes of the detector's feature maps, without building the network.

    Args:
        image_size: side of the detector's square input, px.
        first_stride: px a cell of the finest map, a power of 2.
        num_levels: feature levels; each halves the one before, rounding up.

    Returns:
        (rows, columns) of each level, finest first.
    """
    sizes = [-(-image_size // (first_stride << level)) for level in range(num_levels)]
    return [(size, size) for size in sizes]


def level_scales(min_scale: float, max_scale: float, num_levels: int = NUM_LEVELS) -> list[float]:
    """Spaces scales evenly over the levels, finest first.

    Args:
        min_scale: side / image side on the finest level, in (0, 1].
        max_scale: the same on the coarsest, above `min_scale`.
        num_levels: at least 2.

    Returns:
        `num_levels` scales.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, eq. 4.
    """
    step = (max_scale - min_scale) / (num_levels - 1)
    return [min_scale + step * level for level in range(num_levels)]


def cell_shapes(config: AnchorConfig, num_levels: int = NUM_LEVELS) -> list[list[tuple[float, float]]]:
    """Lists the (height, width) of a cell's anchors on each level, relative to the image side.

    Each level has one anchor an aspect ratio and one more of ratio 1 at the geometric mean of its scale and the next.
    With `reduce_lowest_level` the finest level has only ratio 1 at half its scale and ratios 2 and 0.5, as the
    Object Detection API's SSD anchor generator.

    Args:
        config: scales and aspect ratios (width / height).
        num_levels: feature levels.

    Returns:
        A list of (height, width) pairs a level.

    Raises:
        ValueError: `config.scales` are given and are not one a level.
    """
    if config.scales and len(config.scales) != num_levels:
        raise ValueError(f"`anchors.scales` needs one number a level: got {len(config.scales)} for {num_levels}.")
    scales = list(config.scales) or level_scales(config.min_scale, config.max_scale, num_levels)
    following = [*scales[1:], 1.0]
    shapes = []
    for level, (scale, next_scale) in enumerate(zip(scales, following, strict=True)):
        if level == 0 and config.reduce_lowest_level:
            pairs = [(scale / 2, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            pairs = [(scale, ratio) for ratio in config.aspect_ratios] + [(math.sqrt(scale * next_scale), 1.0)]
        shapes.append([(side / math.sqrt(ratio), side * math.sqrt(ratio)) for side, ratio in pairs])
    return shapes


def make_anchors(map_sizes: list[tuple[int, int]], config: AnchorConfig) -> np.ndarray:
    """Lays anchors over every cell of every level.

    Args:
        map_sizes: (rows, columns) of each feature map, finest first.
        config: scales and aspect ratios.

    Returns:
        float32 [A, 4] normalised (ymin, xmin, ymax, xmax), not clipped to the image; ordered by level, row, column,
        shape, as the box predictor's outputs are.
    """
    levels = []
    for (rows, columns), shapes in zip(map_sizes, cell_shapes(config, len(map_sizes)), strict=True):
        y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
        centres = np.stack([y, x], axis=-1)[:, :, None, :]  # [rows, columns, 1, 2]
        halves = np.asarray(shapes)[None, None] / 2  # [1, 1, K, 2]
        levels.append(np.concatenate([centres - halves, centres + halves], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)
