"""mAP against latency and size: all configurations of the search, their Pareto front, and the exported formats."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report import page_parts
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section, Table
from pipeline.screen import tables
from tuner_fn import cost_limits, pareto

TITLE = "Accuracy against latency and size"


def make(run: Contents) -> Section:
    """Makes the section."""
    rows = [row for row in run.ranked if all(name in row for name in cost_limits.UNITS)]
    found: list[Any] = []
    for cost in ("latency_ms", "multiply_adds", "file_mb"):
        known = pareto.candidates(rows, cost)
        if len({row[cost] for row in known}) > 1:
            caption = (
                f"val {run.objective_text} against {cost_limits.UNITS[cost]}, each configuration by its best trial"
            )
            found.append(Plot(_plot(known, pareto.front_rows(rows, cost), cost, run.objective_text), caption))
    formats = (run.summary or {}).get("export", {}).get("formats", [])
    if formats:
        found.append(_formats(run.summary["export"]))
    if found:
        has_time = any(row["latency_ms"] is not None for row in rows) or formats
        lacking = (
            ""
            if has_time
            else "Latency was not measured: ask for it with --second_objective=latency, --max_latency_ms or --export."
        )
        return Section(TITLE, found, lacking)
    return Section(TITLE, missing="No two finished trials differ in cost, and no format was exported.")


def _plot(
    rows: Sequence[Mapping[str, Any]], front: Sequence[Mapping[str, Any]], cost: str, name: str
) -> dict[str, Any]:
    others = _trace(rows, cost, "configurations") | {"mode": "markers", "marker": {"color": page_parts.GREY, "size": 8}}
    line = {"color": page_parts.COLOURS[1], "shape": "hv", "width": 2}
    best = _trace(front, cost, "Pareto front") | {"mode": "lines+markers", "line": line, "marker": {"size": 10}}
    return page_parts.figure([others, best], x=cost_limits.UNITS[cost], y=page_parts.label(f"val {name}"))


def _trace(rows: Sequence[Mapping[str, Any]], cost: str, name: str) -> dict[str, Any]:
    return {
        "x": page_parts.numbers([row[cost] for row in rows]),
        "y": page_parts.numbers([row["score"] for row in rows]),
        "text": [f"trial {page_parts.label(row['trial'])}" for row in rows],
        "name": name,
        "type": "scatter",
        "hovertemplate": "%{text}: %{y:.3f} at %{x}<extra></extra>",
    }


def _formats(export: Mapping[str, Any]) -> Table:
    heads = ("format", "mAP@[.5:.95]", "drop", "mAP@.5", "MB", "ms an image", "")
    rows = [
        (
            one["name"],
            one["map"],
            one["drop"],
            one["map50"],
            None if one["size_bytes"] is None else one["size_bytes"] / 1e6,
            one["latency_ms"],
            "" if one["kept"] else f"left out: {one['reason']}",
        )
        for one in export["formats"]
    ]
    caption = f"Exported formats, on {export['num_images']} images of the {export['split']} split"
    return Table(heads, [[*map(_cell, row)] for row in rows], caption)


def _cell(value: Any) -> Any:
    return tables.format_value(value, digits=3) if isinstance(value, float) else value
