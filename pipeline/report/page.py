"""The page: its sections in order, and one HTML file that opens without a network."""

import base64
import dataclasses
import functools
import gzip
import pathlib
from collections.abc import Sequence

import jinja2
from plotly import offline

from data import errors, files
from pipeline.report import (
    contents,
    coordinates,
    curves,
    failures,
    gain,
    importances,
    leaderboard,
    mistakes,
    overview,
    pictures,
    planned,
    precision_recall,
    reproduction,
    spatial,
    thresholds,
    trade_off,
)
from pipeline.report.parts import Pictures, Plot, Section

SECTIONS = (
    overview,
    gain,
    planned,
    leaderboard,
    curves,
    coordinates,
    importances,
    trade_off,
    precision_recall,
    thresholds,
    mistakes,
    spatial,
    pictures,
    failures,
    reproduction,
)
MOST_BYTES = 5_000_000
_TOO_LARGE = "Left out: with them the page would be larger than 5 MB."


def write(root: pathlib.Path) -> pathlib.Path:
    """Makes the report of a run directory.

    Args:
        root: of a run, finished or not.

    Returns:
        The file, `RunDirectory.report_page`.

    Raises:
        UserError: there is no run, or the file cannot be written.
    """
    run = contents.read(root)
    name = root.absolute().name
    text = render(f"Run {name}", [section.make(run) for section in SECTIONS])
    try:
        files.write_text(run.folder.report_page, text)
    except PermissionError as error:
        raise errors.UserError(f"`{run.folder.report_page}` cannot be written: {error.strerror}.") from error
    return run.folder.report_page


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
