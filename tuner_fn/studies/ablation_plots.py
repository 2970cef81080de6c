"""The figures of an ablation: training loss by epoch, and scores with the spread of the repeats."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data import files
from tuner_fn import objectives
from tuner_fn.studies.ablation import Ablation
from tuner_fn.studies.ablation_results import Row
from tuner_fn.studies.variants import BASELINE

LOSS_FILE, SCORES_FILE = "ablation_loss.png", "ablation_scores.png"
_DOTS_PER_INCH = 100
_BASELINE_COLOUR, _BAR_COLOUR, _REPEAT_COLOUR = "#000000", "#56b4e9", "#d55e00"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLES = ("-", "--", ":")  # with the colours, 18 lines that can be told apart
_MOST_PANELS = 9  # all classes and so many less one


def write(folder: pathlib.Path, ablation: Ablation, rows: Sequence[Row]) -> dict[str, bytes]:
    """Writes `LOSS_FILE` and `SCORES_FILE`, where a training has ended well.

    Args:
        folder: to write to.
        ablation: what was compared.
        rows: as `ablation_results.rows` returns.

    Returns:
        PNG bytes of "total_loss" and "scores"; {} where nothing was written.
    """
    shown = [row for row in rows if row.scores]
    if not shown:
        return {}
    figures = {"total_loss": loss_curves(shown), "scores": score_bars(ablation, shown)}
    files.write_bytes(folder / LOSS_FILE, figures["total_loss"])
    files.write_bytes(folder / SCORES_FILE, figures["scores"])
    return figures


def loss_curves(rows: Sequence[Row]) -> bytes:
    """Draws the mean training loss of the repeats by epoch, a line for each variant, the baseline's thick.

    Args:
        rows: at least one, each with trainings that ended well.

    Returns:
        PNG bytes.
    """
    figure, axis = _figure(1, (9.0, 5.5))
    axis = axis[0]
    for number, row in enumerate(sorted(rows, key=lambda row: row.variant == BASELINE)):
        losses = np.array(list(row.losses.values()))  # [repeats, epochs]
        epochs = np.arange(1, losses.shape[1] + 1)
        style: dict[str, Any] = {
            "color": _COLOURS[number % len(_COLOURS)],
            "linestyle": _STYLES[number // len(_COLOURS) % len(_STYLES)],
        }
        if row.variant == BASELINE:
            style = {"color": _BASELINE_COLOUR, "linewidth": 2.5, "zorder": 3}
            axis.fill_between(epochs, losses.min(axis=0), losses.max(axis=0), color=_BASELINE_COLOUR, alpha=0.12, lw=0)
        axis.plot(epochs, losses.mean(axis=0), label=row.variant, marker="." if len(epochs) < 3 else "", **style)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.set_xlabel("epoch")
    axis.set_ylabel("total training loss, logarithmic")
    axis.set_title(f"Training loss, mean of the repeats; grey: all repeats of the {BASELINE}", fontsize=11)
    axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _png(figure)


def score_bars(ablation: Ablation, rows: Sequence[Row]) -> bytes:
    """Draws the mean scores as bars with every repeat as a dot: all classes, then a panel for each class.

    Args:
        ablation: what was compared.
        rows: as of `loss_curves`.

    Returns:
        PNG bytes.
    """
    name = objectives.get(ablation.metric).text
    panels: dict[str, list[Mapping[int, float]]] = {f"all classes: {name}": [row.scores for row in rows]}
    for label in ablation.class_names[: _MOST_PANELS - 1]:
        own = [row.by_class.get(label, {}) for row in rows]
        if any(own):
            panels[label] = own
    figure, axes = _figure(len(panels), (3.4 * len(panels) + 1.6, 0.42 * len(rows) + 1.6))
    for axis, (title, scores) in zip(axes, panels.items(), strict=True):
        _bars(axis, [row.variant for row in rows], scores)
        axis.set_title(title, fontsize=11, parse_math=False)
    axes[0].set_yticks(range(len(rows)), [row.variant for row in rows])
    axes[0].invert_yaxis()
    more = len(ablation.class_names) - (_MOST_PANELS - 1)
    left_out = f"; {more} more classes are in the table" if more > 0 else ""
    figure.supxlabel(
        f"on val; bar: mean, dots: each repeat, line and grey: mean and repeats of the {BASELINE}{left_out}", fontsize=9
    )
    return _png(figure)


def _bars(axis: Any, names: Sequence[str], scores: Sequence[Mapping[int, float]]) -> None:
    for place, (name, own) in enumerate(zip(names, scores, strict=True)):
        values = list(own.values())
        if not values:
            continue
        colour = "#999999" if name == BASELINE else _BAR_COLOUR
        axis.barh(place, np.mean(values), 0.7, color=colour)
        axis.scatter(values, np.full(len(values), place), s=14, color=_REPEAT_COLOUR, zorder=3)
        if name == BASELINE:
            axis.axvline(np.mean(values), color=_BASELINE_COLOUR, linewidth=1.2, zorder=2)
            axis.axvspan(min(values), max(values), color=_BASELINE_COLOUR, alpha=0.12, lw=0, zorder=0)
    most = max((value for own in scores for value in own.values()), default=0.0)
    axis.set_xlim(0.0, 1.05 * most if most > 0.0 else 1.0)


def _figure(columns: int, inches: tuple[float, float]) -> tuple[Any, list[Any]]:
    from matplotlib.backends import backend_agg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, dpi=_DOTS_PER_INCH, layout="constrained")
    backend_agg.FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, columns, squeeze=False, sharey=True)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
