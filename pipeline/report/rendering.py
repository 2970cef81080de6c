"""One HTML file of sections, which opens without a network."""

import base64
import dataclasses
import functools
import gzip
from collections.abc import Sequence

import jinja2
from plotly import offline

from pipeline.report.page_parts import Pictures, Plot, Section

MOST_BYTES = 5_000_000
_TOO_LARGE = "Left out: with them the page would be larger than 5 MB."


def render(title: str, sections: Sequence[Section]) -> str:
    """Makes an HTML page of sections, of at most `MOST_BYTES`: where it would be larger, pictures are left out.

    Args:
        title: its heading.
        sections: in order.

    Returns:
        The page.
    """
    text = _render(title, sections)
    return text if len(text.encode()) <= MOST_BYTES else _render(title, [*map(_without_pictures, sections)])


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


@functools.cache
def _packed_plotly() -> str:
    """Returns Plotly's JavaScript, gzip-compressed and base64-coded: 2 MB instead of 4.8 MB."""
    return base64.b64encode(gzip.compress(offline.get_plotlyjs().encode(), mtime=0)).decode()
