"""Gain of the search: its best against the settings that it began with, and the model against the last blessed one."""

from typing import Any

from pipeline.report import page_parts
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section, Text
from tuner_fn import finalists

TITLE = "Gain of the search"
_HEIGHT_PX = 170


def make(run: Contents) -> Section:
    """Makes the section."""
    lines = finalists.describe(run.decision, run.rows) if run.rows else {}
    found: list[Any] = [Text(f"{name[0].upper()}{name[1:]}: {text}.") for name, text in lines.items()]
    intervals = []
    if run.decision is not None:
        one = run.decision
        intervals.append(("search's best less its start, val, 90 %", one.gain, one.low, one.high))
    comparison = (run.summary or {}).get("comparison")
    if comparison is not None and comparison["difference"] is not None:
        names = ("difference", "low", "high")
        intervals.append(("model less the last blessed one, test, 95 %", *(comparison[name] for name in names)))
    if intervals:
        found.append(
            Plot(_plot(intervals, run.objective_text), f"Differences of {run.objective_text} with their intervals")
        )
    if found:
        return Section(TITLE, found)
    return Section(
        TITLE, missing="No trial has ended yet." if not run.rows else "No trial was finished, so nothing was compared."
    )


def _plot(intervals: list[tuple[str, float, float, float]], name: str) -> dict[str, Any]:
    texts, middles, lows, highs = zip(*intervals, strict=True)
    error = {
        "type": "data",
        "symmetric": False,
        "array": page_parts.numbers([high - middle for high, middle in zip(highs, middles, strict=True)]),
        "arrayminus": page_parts.numbers([middle - low for low, middle in zip(lows, middles, strict=True)]),
        "thickness": 3,
        "width": 8,
    }
    trace = {
        "x": page_parts.numbers(middles),
        "y": [*range(len(texts))],
        "error_x": error,
        "type": "scatter",
        "mode": "markers",
        "marker": {"size": 12, "color": page_parts.COLOURS[0]},
        "hovertemplate": "%{x:+.4f}<extra></extra>",
    }
    zero_line = {"dash": "dot", "color": "#555"}
    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": zero_line}
    # Beside the axis, the texts would take half of a phone's width.
    place = {"xref": "paper", "x": 0, "xanchor": "left", "yanchor": "bottom", "yshift": 14, "showarrow": False}
    y = {"range": [len(intervals) - 0.5, -0.8], "showgrid": False, "zeroline": False, "showticklabels": False}
    return page_parts.figure(
        [trace],
        x={"title": {"text": f"difference of {page_parts.label(name)}"}, "zeroline": False},
        y=y | {"ticks": ""},
        height=_HEIGHT_PX + 70 * (len(intervals) - 1),
        shapes=[zero],
        annotations=[place | {"y": number, "text": text} for number, text in enumerate(texts)],
        margin={"l": 16, "r": 16, "t": 8, "b": 48},
    )
