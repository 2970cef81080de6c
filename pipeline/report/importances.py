"""Importance: which settings the score depends on, and how."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from data import errors
from pipeline.report import coordinates, page_parts
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section, Table, Text
from tuner_fn.studies import forest

if TYPE_CHECKING:
    from tuner_fn.studies import importance, search_scores

TITLE = "Importance of settings"
MOST_TRIALS = 400  # more take longer than a report may, and hardly change the shares
_NUM_CURVES, _CURVES_A_ROW = 6, 3
_NUM_PAIRS = 5
_PANEL_PX = 230
_BAR_PX = 30


def make(run: Contents) -> Section:
    """Makes the section."""
    if len(run.ranked) < forest.LEAST_ROWS:
        return Section(
            TITLE, missing=f"At least {forest.LEAST_ROWS} finished trials are needed: there are {len(run.ranked)}."
        )
    from tuner_fn.studies import importance, search_scores  # import TensorFlow

    try:
        found = search_scores.read(run.folder, folder=run.search_folder)
        measured = importance.of_search(_sample(found))
    except errors.UserError as error:
        return Section(TITLE, missing=str(error))
    text = _words(measured, found)
    if not measured.reliable:
        return Section(TITLE, [Text(text)], "The trials do not support a statement about settings.")
    caption = "Share of the variance of the score, with 90 % intervals over resamples of the trials"
    shown: list[Any] = [Text(text), Plot(_shares(measured), caption)]
    if measured.no_effect:
        shown.append(Text(f"Shown to have little or no effect: {', '.join(measured.no_effect)}."))
    caption = "Mean score by value, the other settings spread evenly; bands are standard deviations over resamples"
    shown.append(Plot(_marginals(measured, run.objective_text), caption, 620))
    pairs = [(f"{first} with {second}", share) for (first, second), share in measured.interactions.items()][:_NUM_PAIRS]
    if pairs:
        shown.append(Table(("pair of settings", "share beyond each alone"), pairs, "Interactions"))
    return Section(TITLE, shown)


def _sample(found: "search_scores.SearchScores") -> "search_scores.SearchScores":
    """Keeps at most `MOST_TRIALS` configurations, drawn evenly."""
    scored = [one for one in found.configurations if found.epochs in one.curve]
    if len(scored) <= MOST_TRIALS:
        return found
    kept = np.random.default_rng(0).choice(len(scored), MOST_TRIALS, replace=False)
    return dataclasses.replace(found, configurations=tuple(scored[index] for index in sorted(kept)))


def _words(measured: "importance.Importance", found: "search_scores.SearchScores") -> str:
    of = f" of {len(found.rows)}" if measured.trials < len(found.rows) else ""
    return (
        f"A forest was fitted to the scores of {measured.trials}{of} configurations after {found.epochs} epochs. It"
        f" explains {max(measured.r2, 0):.0%} of the variance of scores that it has not seen. {found.left_out_text()}"
    )


def _shares(measured: "importance.Importance") -> dict[str, Any]:
    traces = []
    kinds = (("with interactions", measured.totals, "#9ecae9"), ("alone", measured.shares, page_parts.COLOURS[0]))
    for name, shares, colour in kinds:
        means, lows, highs = zip(*shares.values(), strict=True)
        error = {
            "type": "data",
            "symmetric": False,
            "array": page_parts.numbers([high - mean for mean, high in zip(means, highs, strict=True)]),
            "arrayminus": page_parts.numbers([max(0.0, mean - low) for mean, low in zip(means, lows, strict=True)]),
            "thickness": 1,
        }
        trace: dict[str, Any] = {"type": "bar", "orientation": "h", "name": name, "error_x": error}
        trace |= {"x": page_parts.numbers(means), "y": [*map(page_parts.label, shares)], "marker": {"color": colour}}
        traces.append(trace | {"hovertemplate": "%{y}: %{x:.3f}<extra>" + name + "</extra>"})
    x = {"title": {"text": "share of the variance"}, "rangemode": "tozero"}
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "traceorder": "reversed"}
    height = 130 + _BAR_PX * 2 * len(measured.totals)
    return page_parts.figure(traces, x=x, y={"autorange": "reversed"}, height=min(height, 900), legend=legend)


def _marginals(measured: "importance.Importance", objective_text: str) -> dict[str, Any]:
    names = [*measured.marginals][:_NUM_CURVES]
    short = coordinates.short_names([*measured.marginals])
    rows = -(-len(names) // _CURVES_A_ROW)
    traces, axes = [], {}
    for number, name in enumerate(names, start=1):
        tail = "" if number == 1 else str(number)
        values, means, spreads = zip(*measured.marginals[name], strict=True)
        is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        xs: list[Any] = page_parts.numbers(values) if is_number else [page_parts.label(value) for value in values]
        place: dict[str, Any] = {
            "x": xs,
            "xaxis": f"x{tail}",
            "yaxis": f"y{tail}",
            "type": "scatter",
            "showlegend": False,
        }
        low, high = ([mean + sign * std for mean, std in zip(means, spreads, strict=True)] for sign in (-1, 1))
        band = place | {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "fillcolor": "rgba(0,114,178,0.2)"}
        traces += [band | {"y": page_parts.numbers(low)}, band | {"y": page_parts.numbers(high), "fill": "tonexty"}]
        line = {"color": page_parts.COLOURS[0], "width": 2}
        traces.append(
            place | {"y": page_parts.numbers(means), "mode": "lines+markers", "line": line, "marker": {"size": 4}}
        )
        axes[f"xaxis{tail}"] = _axis(short[name], values if is_number else ())
        axes[f"yaxis{tail}"] = {
            "automargin": True,
            "gridcolor": "#e8e8e8",
            "nticks": 5,
            "matches": "y" if tail else None,
        }
    axes["yaxis"]["title"] = {"text": page_parts.label(f"val {objective_text}")}
    grid = {"rows": rows, "columns": min(_CURVES_A_ROW, len(names)), "pattern": "independent", "ygap": 0.35}
    return page_parts.figure(traces, height=40 + _PANEL_PX * rows, grid=grid, **axes)


def _axis(name: str, values: Any) -> dict[str, Any]:
    """Makes an axis, logarithmic where the values span more than two powers of ten."""
    axis = {"title": {"text": page_parts.label(name)}, "gridcolor": "#e8e8e8", "nticks": 5, "automargin": True}
    if values and min(values) > 0 and max(values) / min(values) > 30:
        return axis | {"type": "log"}
    return axis if values else axis | {"type": "category"}
