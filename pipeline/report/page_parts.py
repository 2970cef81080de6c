"""What sections are made of: text, tables, interactive plots, pictures; and the look that all plots share."""

import dataclasses
import html
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from pipeline.screen import tables

# Okabe and Ito 2008: told apart by colour-blind readers, and in print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b", "#8c6d00")
GREY = "#b5b5b5"
HEIGHT_PX = 380
_DIGITS = 5  # significant, of the numbers that plots hold


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        text: without markup.
    """

    kind: ClassVar[str] = "text"
    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: headings.
        rows: one cell a column: text, number or None.
        caption: above it, "" for none.
        note: below it, "" for none.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    note: str = ""

    @property
    def cells(self) -> list[list[str]]:
        """The rows as text."""
        return [[cell if isinstance(cell, str) else tables.format_value(cell) for cell in row] for row in self.rows]

    @property
    def is_number(self) -> list[bool]:
        """Of each column, whether its cells are numbers, which are aligned to the right."""
        columns = [[row[i] for row in self.rows] for i in range(len(self.columns))]
        return [all(cell is None or isinstance(cell, int | float) for cell in column) for column in columns]


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot of Plotly.

    Attributes:
        figure: "data" and "layout" as JSON values.
        caption: what it shows, above it.
        least_width_px: below this it is scrolled, not squeezed.
    """

    kind: ClassVar[str] = "plot"
    figure: dict[str, Any]
    caption: str
    least_width_px: int = 0


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures beside one another.

    Attributes:
        caption: above them.
        pictures: (data URL, caption) each.
    """

    kind: ClassVar[str] = "pictures"
    caption: str
    pictures: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Code:
    """Text to copy.

    Attributes:
        text: kept as it is.
        caption: of what is shown only when that is clicked; "" where the text is always shown.
    """

    kind: ClassVar[str] = "code"
    text: str
    caption: str = ""


Part = Text | Table | Plot | Pictures | Code


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        title: its heading.
        parts: in order.
        missing: why it is empty, or what it lacks; "" where it is complete.
    """

    title: str
    parts: Sequence[Part] = ()
    missing: str = ""

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return "".join(character if character.isalnum() else "-" for character in self.title.lower())


def label(text: Any) -> str:
    """Prepares a text from data for a plot: Plotly takes `<b>` and the like for markup."""
    return html.escape(str(text), quote=False)


def number(value: float | None) -> float | None:
    """Shortens a number for a plot; JSON has no NaN, so that becomes None."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{_DIGITS}g}")


def numbers(values: Sequence[float | None]) -> list[float | None]:
    """Shortens numbers as `number` does."""
    return [number(value) for value in values]


def figure(data: Sequence[dict[str, Any]], *, x: Any = None, y: Any = None, **layout: Any) -> dict[str, Any]:
    """Makes a plot's figure in the common look.

    Args:
        data: Plotly's traces.
        x: settings of the x axis, or its title.
        y: settings of the y axis, or its title.
        **layout: settings of the layout that differ from the common ones.

    Returns:
        The figure.
    """
    axis = {
        "gridcolor": "#e8e8e8",
        "zerolinecolor": "#d0d0d0",
        "linecolor": "#888",
        "ticks": "outside",
        "automargin": True,
    }
    common = {
        "height": HEIGHT_PX,
        "margin": {"l": 60, "r": 16, "t": 16, "b": 48},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        "hovermode": "closest",
        "colorway": list(COLOURS),
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#bbb", "activecolor": "#444"},
        "xaxis": axis | _axis(x),
        "yaxis": axis | _axis(y),
    }
    return {"data": list(data), "layout": common | layout}


def _axis(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) else {"title": {"text": given}} if given else {}
