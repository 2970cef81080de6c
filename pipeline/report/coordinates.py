"""Parallel coordinates: what the trials tried, and how far each came."""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report import page_parts
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section

TITLE = "Parallel coordinates"
_AXIS_PX = 90
_TICKS = 5


def make(run: Contents) -> Section:
    """Makes the section."""
    rows = run.ranked
    axes = [axis for name in _names(rows) if (axis := _axis(name, rows, run.ranges.get(name, {}))) is not None]
    if not axes:
        return Section(TITLE, missing="At least two finished trials with different settings are needed.")
    scores = page_parts.numbers([row["score"] for row in rows])
    axes.append({"label": page_parts.label(f"val {run.objective_text}"), "values": scores})
    line = {"color": scores, "colorscale": "Viridis", "showscale": True, "colorbar": {"thickness": 12, "len": 0.9}}
    trace = {"type": "parcoords", "dimensions": axes, "line": line, "labelangle": -18, "labelside": "top"}
    layout = page_parts.figure([trace], height=440, margin={"l": 70, "r": 30, "t": 90, "b": 24})
    caption = "A line is a trial, its colour the score. Drag along an axis to choose trials; drag names to reorder."
    return Section(TITLE, [Plot(layout, caption, _AXIS_PX * (len(axes) + 2))])


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["hyperparameters"]))


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Shortens names such as `optimizer.learning_rate` to their last part where that names one of them only."""
    counts = collections.Counter(name.rpartition(".")[2] for name in names)
    return {name: tail if counts[tail := name.rpartition(".")[2]] == 1 else name for name in names}


def _axis(name: str, rows: Sequence[Mapping[str, Any]], declared: Mapping[str, Any]) -> dict[str, Any] | None:
    """Makes an axis of Plotly; None where all trials have the same value."""
    values = [row["hyperparameters"].get(name) for row in rows]
    kinds = sorted(
        {*values},
        key=lambda value: (
            isinstance(value, str | type(None)),
            str(value) if isinstance(value, str | type(None)) else value,
        ),
    )
    if len(kinds) < 2:
        return None
    title = page_parts.label(short_names(_names(rows))[name])
    is_number = all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in values)
    if not is_number or "choices" in declared:
        texts = [
            page_parts.label("none" if kind is None else f"{kind:g}" if isinstance(kind, float) else kind)
            for kind in kinds
        ]
        return {
            "label": title,
            "values": [kinds.index(one) for one in values],
            "tickvals": [*range(len(kinds))],
            "ticktext": texts,
        }
    return {"label": title, **_scale(values, is_log=declared.get("scale") == "log")}


def _scale(values: Sequence[float | None], *, is_log: bool) -> dict[str, Any]:
    """Places numbers on an axis, those on a logarithmic one by their logarithms.

    Args:
        values: one a trial, at least one number; None for a trial without, whose place is a tick below all numbers.
        is_log: whether the axis is logarithmic, where all numbers are positive.

    Returns:
        "values" and, where Plotly's own ticks would not do, "tickvals" and "ticktext".
    """
    known = [value for value in values if value is not None]
    is_log = is_log and min(known) > 0
    if not is_log and len(known) == len(values):
        return {"values": page_parts.numbers(values)}
    places = [None if value is None else math.log10(value) if is_log else value for value in values]
    low, high = (end(place for place in places if place is not None) for end in (min, max))
    step = (high - low) / (_TICKS - 1)
    ticks = [low + step * number for number in range(_TICKS)] if step else [low]
    texts = [f"{10**tick:.2g}" if is_log else f"{tick:.3g}" for tick in ticks]
    if None in values:
        below = low - (step or 1.0)
        places = [below if place is None else place for place in places]
        ticks, texts = [below, *ticks], ["none", *texts]
    return {"values": page_parts.numbers(places), "tickvals": page_parts.numbers(ticks), "ticktext": texts}
