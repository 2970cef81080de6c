"""The Pareto fronts of a search as files: a table and a plot."""

import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from data import files
from tuner_fn import cost_limits, objectives, pareto, reporting
from tuner_fn.pareto import PLOT_FILE, TABLE_FILE, Row

_PANEL_INCHES, _DOTS_PER_INCH = (6.5, 4.5), 100
_FRONT_COLOUR, _OTHER_COLOUR = "#d55e00", "#7f7f7f"


def write(folder: str | os.PathLike[str], rows: Sequence[Row], names: Sequence[str], objective: str) -> None:
    """Writes `pareto.TABLE_FILE` and `pareto.PLOT_FILE`, or deletes earlier ones where no cost is asked for.

    Args:
        folder: of the search.
        rows: of the leaderboard.
        names: of `costs.UNITS`, may be empty; the table has one front after the other, named in its first column.
        objective: of `objectives.every`, what the score is.
    """
    folder = pathlib.Path(folder)
    if not names:
        for name in (TABLE_FILE, PLOT_FILE):
            (folder / name).unlink(missing_ok=True)
        return
    table = [{"front": name, **row} for name in names for row in pareto.front_rows(rows, name)]
    files.write_text(folder / TABLE_FILE, reporting.csv_table(table))
    files.write_bytes(folder / PLOT_FILE, plot(rows, names, objective))


def plot(rows: Sequence[Row], names: Sequence[str], objective: str) -> bytes:
    """Draws the score against each cost, a panel each: all configurations, and the front as a line.

    Args:
        rows: of the leaderboard.
        names: costs of `costs.UNITS`, at least one.
        objective: of `objectives.every`, what the score is.

    Returns:
        PNG bytes.
    """
    from matplotlib.backends import backend_agg
    from matplotlib.figure import Figure

    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * len(names), height), dpi=_DOTS_PER_INCH, layout="constrained")
    backend_agg.FigureCanvasAgg(figure)
    figure.suptitle("Pareto front of the search, each configuration by its best trial", fontsize=13)
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _plot_front(axis, rows, name)
        axis.set_ylabel(f"val {objectives.get(objective).text}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _plot_front(axis: Any, rows: Sequence[Row], name: str) -> None:
    from matplotlib.ticker import EngFormatter

    found, best = pareto.candidates(rows, name), pareto.front_rows(rows, name)
    others = {"s": 25, "color": _OTHER_COLOUR, "alpha": 0.6, "label": f"{len(found)} configurations"}
    line = {"color": _FRONT_COLOUR, "marker": "o", "markersize": 5, "linewidth": 1.5, "drawstyle": "steps-post"}
    axis.scatter([row[name] for row in found], [row["score"] for row in found], **others)
    axis.plot([row[name] for row in best], [row["score"] for row in best], label="front", **line)
    for row in best:
        place = {"xytext": (4, -12), "textcoords": "offset points", "size": 9}
        axis.annotate(f"trial {row['trial']}", (row[name], row["score"]), **place)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)
    axis.margins(x=0.15, y=0.15)
    axis.set_xlabel(cost_limits.UNITS[name])
    axis.legend(fontsize=8, frameon=False, loc="upper left")  # above the front nothing is
    if name in cost_limits.COUNTED:
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
