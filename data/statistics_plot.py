"""A dataset's statistics as one page of small charts."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data import statistics
from data.statistics import SplitTable

MOST_CLASSES = 8  # drawn by name; the rarer ones are left out and counted
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
_SPLIT_COLOURS = {"train": "#0072b2", "val": "#e69f00", "test": "#009e73"}
_PAGE_INCHES = (17.0, 9.0)
_DOTS_PER_INCH = 100
_NUM_BINS = 24
_LEAST_TICKS = 4


def plot(tables: Mapping[str, SplitTable], class_names: Sequence[str], title: str) -> bytes:
    """Draws the statistics of a dataset.

    Args:
        tables: by split, as `statistics.collect` makes them.
        class_names: in label order.
        title: of the page.

    Returns:
        PNG bytes, 1700 x 900 px.
    """
    from matplotlib.backends import backend_agg
    from matplotlib.figure import Figure

    objects = {split: table.objects() for split, table in tables.items()}
    labels = np.concatenate([table.labels for table in objects.values()])
    sides_px = np.concatenate([table.sides_px for table in objects.values()])
    boxes = np.concatenate([table.boxes for table in objects.values()])
    order = np.argsort(-np.bincount(labels, minlength=len(class_names)), kind="stable")
    shown = sorted(order[:MOST_CLASSES].tolist())
    by_class = {str(class_names[label]): labels == label for label in shown}
    figure = Figure(figsize=_PAGE_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    backend_agg.FigureCanvasAgg(figure)
    figure.suptitle(headline(title, tables, len(class_names) - len(shown)), fontsize=14)
    axes = figure.subplots(2, 4).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    _plot_counts(axes[0], objects, [str(class_names[label]) for label in shown], shown)
    _plot_sides(axes[1:3], boxes, sides_px, by_class)
    _plot_classes(axes[3], sides_px[:, 1] / sides_px[:, 0], by_class, "Aspect ratio", "width / height, logarithmic")
    _plot_splits(
        axes[4], {s: t.objects_per_image for s, t in tables.items()}, "Objects an image", "objects", whole=True
    )
    _plot_splits(axes[5], {s: t.brightness for s, t in tables.items()}, "Brightness", "mean of the image, 0 to 255")
    _plot_places(axes[6], boxes)
    _plot_image_sizes(axes[7], tables)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def headline(title: str, tables: Mapping[str, SplitTable], left_out: int) -> str:
    """Words the page's title: the images of each split, and how many classes are left out."""
    images = ", ".join(f"{split} {len(table.image_sizes_px)}" for split, table in tables.items())
    more = f"; {left_out} rarer classes not drawn" if left_out else ""
    return f"{title} ({images} images{more})"


def _plot_counts(axis: Any, objects: Mapping[str, SplitTable], names: Sequence[str], labels: Sequence[int]) -> None:
    rows, height = np.arange(len(names)), 0.8 / len(objects)
    for number, (split, table) in enumerate(objects.items()):
        counts = [int((table.labels == label).sum()) for label in labels]
        bars = axis.barh(rows + number * height, counts, height, label=split, color=_SPLIT_COLOURS[split])
        axis.bar_label(bars, padding=2, fontsize=8)
    axis.set_yticks(rows + 0.4 - height / 2, names)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_title("Objects by class and split", fontsize=11)
    axis.set_xlabel("objects")
    axis.legend(fontsize=8, frameon=False)


def _plot_sides(
    axes: Sequence[Any], boxes: np.ndarray, sides_px: np.ndarray, by_class: Mapping[str, np.ndarray]
) -> None:
    formula = "√(width · height)"
    side, relative = np.sqrt(sides_px.prod(axis=1)), np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    _plot_classes(axes[0], side, by_class, f"Side of objects: {formula}", "px of the image, logarithmic")
    _plot_classes(axes[1], relative, by_class, f"Relative side: {formula}", "share of the image's side, logarithmic")
    for edge in statistics.COCO_AREAS_PX:
        axes[0].axvline(edge**0.5, color="#999999", linestyle=":", linewidth=1)
    text = "COCO's small | medium | large "
    axes[0].annotate(text, (0.99, 1.0), xycoords="axes fraction", ha="right", va="top", size=8)


def _plot_classes(axis: Any, values: np.ndarray, by_class: Mapping[str, np.ndarray], title: str, unit: str) -> None:
    axis.set_title(title, fontsize=11)
    axis.set_xlabel(unit)
    axis.set_ylabel("share of the class")
    if not len(values):
        return
    bins = np.geomspace(values.min() * 0.99, values.max() * 1.01, _NUM_BINS + 1)
    for (name, mask), colour in zip(by_class.items(), _COLOURS, strict=False):
        if mask.any():
            shares = np.histogram(values[mask], bins)[0] / mask.sum()
            axis.stairs(shares, bins, label=name, color=colour, linewidth=1.5)
    axis.set_xscale("log")
    _plain_ticks(axis, bins[0], bins[-1])
    axis.set_ylim(0, axis.get_ylim()[1] * 1.08)
    axis.legend(fontsize=8, frameon=False)


def _plain_ticks(axis: Any, low: float, high: float) -> None:
    """Labels a logarithmic axis with plain numbers: 0.5, 1, 2, 5, 10."""
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [tick for e in range(-4, 6) for m in steps if low <= (tick := m * 10.0**e) <= high]
        if len(ticks) >= _LEAST_TICKS:
            break
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _plot_splits(axis: Any, values: Mapping[str, np.ndarray], title: str, unit: str, *, whole: bool = False) -> None:
    axis.set_title(title, fontsize=11)
    axis.set_xlabel(unit)
    axis.set_ylabel("share of the split's images")
    everything = np.concatenate(list(values.values()))
    if not len(everything):
        return
    bins = np.linspace(everything.min() - 0.5, everything.max() + 0.5, _NUM_BINS + 1)
    if whole:  # as wide as whole numbers need
        step = -(-int(everything.max() + 1) // _NUM_BINS)
        bins = np.arange(-0.5, everything.max() + step, step)
    for split, own in values.items():
        if len(own):
            shares = np.histogram(own, bins)[0] / len(own)
            axis.stairs(shares, bins, label=split, color=_SPLIT_COLOURS[split], linewidth=1.5)
    axis.set_ylim(0, None)
    axis.legend(fontsize=8, frameon=False)


def _plot_places(axis: Any, boxes: np.ndarray) -> None:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2  # [N, 2] y, x
    density = np.histogram2d(centres[:, 0], centres[:, 1], bins=32, range=((0, 1), (0, 1)))[0]
    image = axis.imshow(density, extent=(0, 1, 1, 0), cmap="magma", aspect="auto", interpolation="nearest")
    axis.figure.colorbar(image, ax=axis, label="objects", shrink=0.8)
    axis.set_title("Centres of objects", fontsize=11)
    axis.set_xlabel("x / image width")
    axis.set_ylabel("y / image height")


def _plot_image_sizes(axis: Any, tables: Mapping[str, SplitTable]) -> None:
    every = np.concatenate([table.image_sizes_px for table in tables.values()])
    sizes, counts = np.unique(every, axis=0, return_counts=True)
    axis.set_title("Image sizes", fontsize=11)
    axis.set_xlabel("width, px")
    axis.set_ylabel("height, px")
    if not len(sizes):
        return
    axis.scatter(sizes[:, 1], sizes[:, 0], s=20 + 180 * counts / counts.max(), color=_COLOURS[0], alpha=0.6)
    for row in np.argsort(-counts)[:3]:
        text = f"{sizes[row, 1]} x {sizes[row, 0]}: {counts[row]}"
        axis.annotate(
            text, (sizes[row, 1], sizes[row, 0]), xytext=(0, 12), textcoords="offset points", size=9, ha="center"
        )
    axis.set_xlim(0, sizes[:, 1].max() * 1.25)
    axis.set_ylim(0, sizes[:, 0].max() * 1.25)
