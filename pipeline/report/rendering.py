"""One HTML file of sections, which opens without a network."""

import base64
import dataclasses
import functools
import gzip
from collections.abc import Sequence
from typing import Any

import jinja2
from plotly import offline

from pipeline.report.page_parts import Pictures, Plot, Section

MOST_BYTES = 5_000_000
_TOO_LARGE = "Left out: with them the page would be larger than 5 MB."
_SHORT, _MOST_THINNED = 200, 64  # points of a line that stays whole; of a longer one, at least each so many-th is drawn


def render(title: str, sections: Sequence[Section]) -> str:
    """Makes an HTML page of sections, of at most `MOST_BYTES`.

    Where it would be larger, pictures are left out. Where that does not help, long curves get fewer points, until the
    page is small enough or they have a 64th.

    Args:
        title: its heading.
        sections: in order.

    Returns:
        The page.
    """
    text, every = _render(title, sections), 1
    if len(text.encode()) > MOST_BYTES:
        sections = [*map(_without_pictures, sections)]
        text = _render(title, sections)
    while len(text.encode()) > MOST_BYTES and every < _MOST_THINNED:
        every *= 2
        text = _render(title, [_thinned(section, every) for section in sections])
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
    """Thins a line of many points; the ends of its parts, which a None divides, stay."""
    if "lines" not in trace.get("mode", "") or len(trace["x"]) <= _SHORT:
        return trace
    x = [None, *trace["x"], None]
    kept = [place for place in range(len(x) - 2) if place % every == 0 or None in x[place : place + 3]]
    return {
        name: [value[place] for place in kept] if isinstance(value, list) and len(value) == len(trace["x"]) else value
        for name, value in trace.items()
    }


@functools.cache
def _packed_plotly() -> str:
    """Returns Plotly's JavaScript, gzip-compressed and base64-coded: 2 MB instead of 4.8 MB."""
    return base64.b64encode(gzip.compress(offline.get_plotlyjs().encode(), mtime=0)).decode()
