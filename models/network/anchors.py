"""Anchors: positions, scales and aspect ratios."""

import dataclasses
import math

import numpy as np

from models.hyperparameters import AnchorConfig, ExperimentConfig


@dataclasses.dataclass(frozen=True)
class Grid:
    """The cells of the detector's feature maps.

    Attributes:
        sizes: (rows, columns) of each level, finest first.
        sides: height and width of the input / its shorter side: what anchors' scales refer to.
        cell: stride of the finest level / shorter side of the input; only `multiscale` anchors need it.
    """

    sizes: tuple[tuple[int, int], ...]
    sides: tuple[float, float] = (1.0, 1.0)
    cell: float = 0.0


def make_grid(size: tuple[int, int], first_stride: int, num_levels: int) -> Grid:
    """Computes the cells of the detector's feature maps, without building the network.

    Args:
        size: height and width of the detector's input, px.
        first_stride: px a cell of the finest map, a power of 2.
        num_levels: feature levels; each halves the one before, rounding up.
    """
    height, width = size
    strides = [first_stride << level for level in range(num_levels)]
    sizes = tuple((-(-height // stride), -(-width // stride)) for stride in strides)
    shorter = min(size)
    return Grid(sizes, (height / shorter, width / shorter), first_stride / shorter)


def detector_grid(config: ExperimentConfig) -> Grid:
    """Computes the cells of a configuration's detector, as `make_grid`."""
    return make_grid(config.input.size, config.model.first_stride, config.model.num_levels)


def level_scales(min_scale: float, max_scale: float, num_levels: int) -> list[float]:
    """Spaces scales evenly over the levels, finest first.

    Args:
        min_scale: side / image side on the finest level, in (0, 1].
        max_scale: the same on the coarsest, above `min_scale`.
        num_levels: at least 1.

    Returns:
        `num_levels` scales.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, eq. 4.
    """
    step = (max_scale - min_scale) / max(num_levels - 1, 1)
    return [min_scale + step * level for level in range(num_levels)]


def cell_shapes(config: AnchorConfig, grid: Grid) -> list[list[tuple[float, float]]]:
    """Lists the (height, width) of a cell's anchors on each level, as fractions of the image's sides.

    Scales are relative to the shorter side of the input, and aspect ratios are those in its pixels.

    `ssd`: each level has one anchor an aspect ratio and one more, of `interpolated_aspect_ratio`, at the geometric mean
    of its scale and the next. With `reduce_lowest_level` the finest level has only ratio 1 at `lowest_scale` and ratios
    2 and 0.5 at its scale. `multiscale`: on each level `scales_per_octave` sizes, from `size_in_cells` cells on.

    Args:
        config: scales and aspect ratios (width / height).
        grid: cells of the feature maps.

    Returns:
        A list of (height, width) pairs a level.

    Raises:
        ValueError: `config.scales` are given and are not one a level.

    Source: the Object Detection API's `ssd_anchor_generator` and `multiscale_anchor_generator`.
    """
    num_levels = len(grid.sizes)
    if config.scales and len(config.scales) != num_levels:
        raise ValueError(f"`anchors.scales` needs one number a level: got {len(config.scales)} for {num_levels}.")
    pairs = _multiscale_pairs if config.kind == "multiscale" else _ssd_pairs
    height, width = grid.sides
    return [
        [(side / math.sqrt(ratio) / height, side * math.sqrt(ratio) / width) for side, ratio in level]
        for level in pairs(config, num_levels, grid.cell)
    ]


def _ssd_pairs(config: AnchorConfig, num_levels: int, _: float) -> list[list[tuple[float, float]]]:
    """Lists (side, aspect ratio) of each level."""
    scales = list(config.scales) or level_scales(config.min_scale, config.max_scale, num_levels)
    levels = []
    for level, (scale, following) in enumerate(zip(scales, [*scales[1:], 1.0], strict=True)):
        if level == 0 and config.reduce_lowest_level:
            levels.append([(config.lowest_scale or scale / 2, 1.0), (scale, 2.0), (scale, 0.5)])
            continue
        pairs = [(scale, ratio) for ratio in config.aspect_ratios]
        if config.interpolated_aspect_ratio:
            pairs.append((math.sqrt(scale * following), config.interpolated_aspect_ratio))
        levels.append(pairs)
    return levels


def _multiscale_pairs(config: AnchorConfig, num_levels: int, cell: float) -> list[list[tuple[float, float]]]:
    octaves = [2 ** (step / config.scales_per_octave) for step in range(config.scales_per_octave)]
    sides = [[cell * 2**level * config.size_in_cells * octave for octave in octaves] for level in range(num_levels)]
    return [[(side, ratio) for side in level for ratio in config.aspect_ratios] for level in sides]


def make_anchors(grid: Grid, config: AnchorConfig) -> np.ndarray:
    """Lays anchors over every cell of every level.

    Args:
        grid: cells of the feature maps.
        config: scales and aspect ratios.

    Returns:
        float32 [A, 4] normalised (ymin, xmin, ymax, xmax), not clipped to the image; ordered by level, row, column,
        shape, as the box predictor's outputs are.
    """
    levels = []
    for level, ((rows, columns), shapes) in enumerate(zip(grid.sizes, cell_shapes(config, grid), strict=True)):
        stride = grid.cell * 2**level if config.kind == "multiscale" else 0.0
        height, width = grid.sides
        y, x = np.meshgrid(_centres(rows, stride / height), _centres(columns, stride / width), indexing="ij")
        centres = np.stack([y, x], axis=-1)[:, :, None, :]  # [rows, columns, 1, 2]
        halves = np.asarray(shapes)[None, None] / 2  # [1, 1, K, 2]
        levels.append(np.concatenate([centres - halves, centres + halves], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def _centres(count: int, stride: float) -> np.ndarray:
    """Places the centres of cells along a side of length 1.

    `multiscale` anchors keep their stride even where the last cell leaves the image, and begin at the edge there, as
    in the Object Detection API.
    """
    if not stride:
        return (np.arange(count) + 0.5) / count
    fits = math.isclose(count * stride, 1.0, rel_tol=1e-6)
    return (np.arange(count) + (0.5 if fits else 0.0)) * stride


def detector_shapes(config: ExperimentConfig) -> list[list[tuple[float, float]]]:
    """Lists the shapes of a configuration's anchors, as `cell_shapes`."""
    return cell_shapes(anchor_config(config), detector_grid(config))


def detector_anchors(config: ExperimentConfig) -> np.ndarray:
    """Lays the anchors of a configuration, as `make_anchors`; the network is not built."""
    return make_anchors(detector_grid(config), anchor_config(config))


def anchor_config(config: ExperimentConfig) -> AnchorConfig:
    """Returns a detector's anchor settings: where the levels share a predictor, the finest is not reduced."""
    if config.model.head == "fpnlite":
        return dataclasses.replace(config.anchors, reduce_lowest_level=False)
    return config.anchors
