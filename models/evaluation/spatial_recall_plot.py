"""Recall by position as a picture: one map for each group of objects."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluation.spatial_recall import ALL, SIZES, SpatialRecall

if TYPE_CHECKING:
    from matplotlib.image import AxesImage

MOST_CLASSES = 8  # the most frequent ones
_COLUMNS = 4
_PANEL_INCHES, _DOTS_PER_INCH = 3.0, 100
_SURE_OBJECTS = 10  # a cell that fewer boxes cover is paler
_NO_OBJECT = "#e0e0e0"


def plot(recall: SpatialRecall, title: str) -> bytes:
    """Draws the maps of all objects, of the three sizes and of the most frequent classes.

    Args:
        recall: to draw.
        title: what was measured.

    Returns:
        PNG bytes.
    """
    from matplotlib.backends import backend_agg
    from matplotlib.figure import Figure

    found, objects = recall.totals()
    first_class = 1 + len(SIZES)
    frequent = np.argsort(-objects[first_class:], kind="stable")[:MOST_CLASSES] + first_class
    shown = [*range(first_class), *sorted(index for index in frequent.tolist() if objects[index])]
    rows = -(-len(shown) // _COLUMNS)
    height = _PANEL_INCHES / max(recall.aspect_ratio, 0.5) + 0.6
    figure = Figure(figsize=(_COLUMNS * _PANEL_INCHES + 1.0, rows * height + 0.8), dpi=_DOTS_PER_INCH)
    figure.set_layout_engine("constrained")
    backend_agg.FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    maps, image = recall.recall(), None
    for axis, index in zip(axes, shown, strict=False):
        image = _plot_map(axis, maps[index], recall.objects[index], recall.aspect_ratio)
        name = {ALL: "all objects", **{size: f"{size} objects" for size in SIZES}}
        text = recall.names[index] if index >= first_class else name[recall.names[index]]
        share = f"{found[index] / objects[index]:.2f} of {objects[index]}" if objects[index] else "none"
        axis.set_title(f"{_shortened(text)}: {share}", fontsize=10, parse_math=False)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    bar = figure.colorbar(image, ax=axes.tolist(), shrink=0.8)
    bar.set_label("recall of the objects here (grey: none, pale: few)", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _plot_map(axis: Any, recall: np.ndarray, objects: np.ndarray, aspect_ratio: float) -> "AxesImage":
    axis.set_facecolor(_NO_OBJECT)
    pale = np.clip(objects / _SURE_OBJECTS, 0.25, 1.0) * (objects > 0)
    extent = (0.0, aspect_ratio, 1.0, 0.0)
    image = axis.imshow(np.nan_to_num(recall), vmin=0.0, vmax=1.0, cmap="viridis", alpha=pale, extent=extent)
    axis.set_xticks([])
    axis.set_yticks([])
    return image


def _shortened(name: str, length: int = 24) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
