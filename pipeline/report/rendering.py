"""One HTML file of sections, which opens without a network."""

import base64
import dataclasses
import functools
import gzip
import itertools
from collections.abc import Sequence
from typing import Any

import jinja2
from plotly import offline

from pipeline.report.page_parts import Pictures, Plot, Section

MOST_BYTES = 5_000_000
_TOO_LARGE = "Left out: with them the page would be larger than 5 MB."
_SHORT = 200  # points of a line that stays whole
_THINNED = (1, 2, 4, 8, 16, 32, 64)  # of a longer one each so many-th is drawn


def render(title: str, sections: Sequence[Section]) -> str:
    """Makes an HTML page of sections, of at most `MOST_BYTES` if possible.

    Where it would be larger, long curves get fewer points, down to a 64th. Where that does not help, pictures are left
    out, and the curves get only as few points as the page then needs.

    Args:
        title: its heading.
        sections: in order.

    Returns:
        The page; larger where even that does not help.
    """
    text = ""
    for kept, every in itertools.product((sections, [*map(_without_pictures, sections)]), _THINNED):
        text = _render(title, [_thinned(section, every) for section in kept])
        if len(text.encode()) <= MOST_BYTES:
            break
    return text


def _render(title: str, sections: Sequence[Section]) -> str:
    plots = [part for section in sections for part in section.parts if isinstance(part, Plot)]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    # An object is the same in the loop of the template, so its number names its place.
    number = {id(plot): index for index, plot in enumerate(plots)}
    return environment.get_template("page.html").render(
        title=title,
        sections=sections,
        figures=[plot.figure for plot in plots],
        number_of=lambda plot: number[id(plot)],
        library=_packed_plotly() if plots else "",
    )


def _without_pictures(section: Section) -> Section:
    kept = [part for part in section.parts if not isinstance(part, Pictures)]
    return section if len(kept) == len(section.parts) else dataclasses.replace(section, parts=kept, missing=_TOO_LARGE)


def _thinned(section: Section, every: int) -> Section:
    """Keeps one of so many points of the section's long curves."""
    parts = [_thinned_plot(part, every) if isinstance(part, Plot) else part for part in section.parts]
    return dataclasses.replace(section, parts=parts)


def _thinned_plot(plot: Plot, every: int) -> Plot:
    traces = [_thinned_trace(trace, every) for trace in plot.figure["data"]]
    if traces == plot.figure["data"]:
        return plot
    caption = f"{plot.caption.rstrip('.')}. One in {every} points is drawn, to keep the page below 5 MB."
    return dataclasses.replace(plot, figure={**plot.figure, "data": traces}, caption=caption)


def _thinned_trace(trace: dict[str, Any], every: int) -> dict[str, Any]:
    """Thins a line of many points, which are those that have a y; the gaps between the drawn ones stay.

    A None of x ends a part of the line. The first and the last point of a part stay.
    """
    points = [place for place, y in enumerate(trace.get("y", ())) if y is not None]
    if "lines" not in trace.get("mode", "") or len(points) <= _SHORT or every == 1:
        return trace
    part = [*itertools.accumulate(x is None for x in trace["x"])]
    first, last = ({part[place]: place for place in order} for order in (reversed(points), points))
    drawn = {*points[::every], *first.values(), *last.values()}
    kept: list[int] = []
    for place, y in enumerate(trace["y"]):
        if place in drawn or (y is None and kept and kept[-1] in drawn):
            kept.append(place)
    return {
        name: [value[place] for place in kept] if isinstance(value, list) and len(value) == len(trace["x"]) else value
        for name, value in trace.items()
    }


@functools.cache
def _packed_plotly() -> str:
    """Returns Plotly's JavaScript, gzip-compressed and base64-coded: 2 MB instead of 4.8 MB."""
    return base64.b64encode(gzip.compress(offline.get_plotlyjs().encode(), mtime=0)).decode()
