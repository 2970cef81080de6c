"""The importance of settings as one picture: shares of the variance, and the score along the settings that matter."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuner_fn.studies import importance
from tuner_fn.studies.importance import INTERVAL, LITTLE, Importance

if TYPE_CHECKING:
    from tuner_fn.studies.probe import Level

MOST_CURVES = 6
_DOTS_PER_INCH = 100
_WIDTH_INCHES, _ROW_INCHES, _PANEL_INCHES = 12.0, 0.32, 2.8
_COLUMNS = 3
_ALONE, _TOGETHER, _BAND = "#0072b2", "#9ecae1", "#d55e00"
_LOG_RATIO = 15.0  # values of a curve that span more are drawn on a logarithmic axis
_FEW_DECADES = 100.0  # an axis that spans less has ticks within a decade


def plot(found: Importance, title: str, score: str) -> bytes:
    """Draws shares with their intervals, and the mean score along the first settings.

    Args:
        found: to draw.
        title: what was measured.
        score: name of the score, for the curves.

    Returns:
        PNG bytes, 1200 px wide.
    """
    from matplotlib.backends import backend_agg
    from matplotlib.figure import Figure

    names = list(found.shares)
    curves = names[:MOST_CURVES]
    rows = -(-len(curves) // _COLUMNS)
    heights = [1.6 + _ROW_INCHES * len(names), *[_PANEL_INCHES] * rows]
    figure = Figure(figsize=(_WIDTH_INCHES, sum(heights) + 0.6), dpi=_DOTS_PER_INCH, layout="constrained")
    backend_agg.FigureCanvasAgg(figure)
    figure.suptitle(
        title if found.reliable else f"{title}\nNot reliable: {importance.doubt(found)}",
        fontsize=13,
        color="black" if found.reliable else "#b00020",
    )
    grid = figure.add_gridspec(1 + rows, _COLUMNS, height_ratios=heights)
    _plot_shares(figure.add_subplot(grid[0, :]), found, names)
    for index, name in enumerate(curves):
        axis = figure.add_subplot(grid[1 + index // _COLUMNS, index % _COLUMNS])
        _plot_curve(axis, name, found.marginals[name])
        axis.set_ylabel(f"mean {score}" if index % _COLUMNS == 0 else "")
    _same_heights(figure.axes[1:])
    figure.supxlabel("Curves: mean over the other settings, ± 2 standard deviations over resamples", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _plot_shares(axis: Any, found: Importance, names: Sequence[str]) -> None:
    places = range(len(names))
    totals = [found.totals[name] for name in names]
    errors = [[mean - low for mean, low, _ in totals], [high - mean for mean, _, high in totals]]
    bars = {"color": _TOGETHER, "label": f"with interactions, {INTERVAL:.0%} interval"}
    axis.barh(places, [mean for mean, _, _ in totals], xerr=errors, ecolor="#444444", capsize=2, height=0.7, **bars)
    axis.barh(places, [found.shares[name][0] for name in names], height=0.35, color=_ALONE, label="alone")
    axis.axvline(LITTLE, color="#7f7f7f", linewidth=1, linestyle=":", label=f"little: {LITTLE:.0%}")
    axis.set_yticks(list(places), names)
    axis.invert_yaxis()
    axis.set_xlim(0, min(1.02, 1.05 * max(high for _, _, high in totals) + LITTLE))
    axis.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axis.set_xlabel(f"share of the score's variance (R² of the forest {found.r2:.2f}, {found.trials} configurations)")
    axis.legend(fontsize=9, frameon=False, loc="lower right")
    _tidy(axis)


def _plot_curve(axis: Any, name: str, levels: "Sequence[Level]") -> None:
    values, means, spreads = zip(*levels, strict=True)
    lows = [mean - 2.0 * spread for mean, spread in zip(means, spreads, strict=True)]
    highs = [mean + 2.0 * spread for mean, spread in zip(means, spreads, strict=True)]
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if is_number and len(values) > 5:
        axis.plot(values, means, color=_BAND)
        axis.fill_between(values, lows, highs, color=_BAND, alpha=0.2, linewidth=0)
        if min(values) > 0 and max(values) / min(values) > _LOG_RATIO:
            _make_logarithmic(axis, max(values) / min(values))
    else:
        errors = [2.0 * spread for spread in spreads]
        axis.errorbar([str(value) for value in values], means, yerr=errors, color=_BAND, marker="o", capsize=3, ls="")
        axis.margins(x=0.2)
    axis.set_xlabel(name)
    _tidy(axis)


def _make_logarithmic(axis: Any, ratio: float) -> None:
    """Gives an axis logarithmic ticks, few enough for their labels to fit."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_xscale("log")
    axis.xaxis.set_minor_formatter(NullFormatter())
    if ratio <= _FEW_DECADES:
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _same_heights(axes: Sequence[Any]) -> None:
    """Gives all curves one scale, so that a flat one looks flat."""
    limits = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)
