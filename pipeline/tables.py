"""Results as tables for the terminal; every function returns something that rich prints."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

_NO_GROUND_TRUTH = "no ground truth"
# COCO's twelve numbers: key, name, what it is measured over.
_COCO_ROWS = (
    ("AP", "mAP@[.5:.95]", "IoU .50 to .95, 100 detections an image"),
    ("AP50", "mAP@.5", "IoU .50"),
    ("AP75", "mAP@.75", "IoU .75"),
    ("AP_small", "mAP small", "objects below 32² px"),
    ("AP_medium", "mAP medium", "32² to 96² px"),
    ("AP_large", "mAP large", "above 96² px"),
    ("AR_1", "recall, 1 detection", "IoU .50 to .95"),
    ("AR_10", "recall, 10 detections", "IoU .50 to .95"),
    ("AR_100", "recall, 100 detections", "IoU .50 to .95"),
    ("AR_small", "recall small", "100 detections"),
    ("AR_medium", "recall medium", "100 detections"),
    ("AR_large", "recall large", "100 detections"),
)
# A terminal of 100 columns has room for this many hyperparameters beside the scores.
_MAX_COLUMNS = 7


def clean(value: Any) -> Text:
    """Makes a cell: floats with 4 significant digits, None and NaN as "-", no control characters."""
    return Text(_printable(format_value(value)))


def format_value(value: Any) -> str:
    """Formats a value of a table or a hyperparameter for people."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def format_seconds(seconds: float) -> str:
    """Formats a duration: "0.4 s", "48 s", "1 min 20 s", "2 h 5 min"."""
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Makes a plain table.

    Args:
        title: printed above it.
        columns: headings.
        rows: one cell a column; columns of numbers are aligned to the right.
    """
    result = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = any(_is_number(cell) for cell in cells) and all(
            cell is None or _is_number(cell) for cell in cells
        )
        result.add_column(clean(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        result.add_row(*[clean(cell) for cell in row])
    return result


def metrics_tables(metrics: Mapping[str, float], title: str) -> list[Table]:
    """Makes the tables of `models.detection_metrics.coco_metrics`: the twelve numbers, and AP by class.

    Args:
        metrics: COCO's numbers in [0, 1], NaN where there is no ground truth.
        title: what was measured: dataset, split, images.
    """
    coco = [(name, _score(metrics[key]), over) for key, name, over in _COCO_ROWS if key in metrics]
    names = [key.removeprefix("AP/") for key in metrics if key.startswith("AP/")]
    classes = [(name, _score(metrics[f"AP/{name}"]), _score(metrics.get(f"AP50/{name}"))) for name in names]
    tables = [table(title, ["", "value", "measured over"], coco)]
    if classes:
        tables.append(table("By class", ["class", "mAP@[.5:.95]", "mAP@.5"], classes))
    return tables


def leaderboard_table(rows: Sequence[Mapping[str, Any]], limit: int = 10) -> tuple[Table, str]:
    """Makes the table of a search's trials.

    Args:
        rows: as `tuner_fn.reporting.leaderboard` makes them, the best first.
        limit: show this many rows.

    Returns:
        The table, and a line about what it leaves out ("" where nothing).
    """
    shown = list(rows[:limit])
    values = [row["hyperparameters"] for row in shown]
    names = list(dict.fromkeys(name for each in values for name in each))
    varying = [name for name in names if len({format_value(each.get(name)) for each in values}) > 1]
    columns = varying[:_MAX_COLUMNS]
    cells = [
        [
            row["rank"] or "-",
            row["trial"],
            f"{row['score']:.3f}" if row["score"] is not None else row["reason"] or row["status"],
            _fixed(row["AP50"]),
            row["epochs"],
            *(each.get(name) for name in columns),
        ]
        for row, each in zip(shown, values, strict=True)
    ]
    heads = ["#", "trial", "val mAP", "@.5", "epochs", *(name.rpartition(".")[2] for name in columns)]
    return table("Leaderboard of the search", heads, cells), _left_out(len(rows) - len(shown), names, columns)


def _left_out(hidden_rows: int, names: Sequence[str], columns: Sequence[str]) -> str:
    parts = [f"{hidden_rows} more trials"] if hidden_rows else []
    hidden = [name for name in names if name not in columns]
    if hidden:
        parts.append(f"more hyperparameters ({', '.join(hidden)})")
    return f"Not shown: {' and '.join(parts)}; see report/leaderboard.csv." if parts else ""


def _score(value: float | None) -> str:
    return _NO_GROUND_TRUTH if value is None or math.isnan(value) else f"{value:.3f}"


def _fixed(value: float | None) -> str | None:
    return None if value is None or math.isnan(value) else f"{value:.3f}"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value == "-" or value.replace(".", "", 1).isdigit()
    return isinstance(value, int | float) and not isinstance(value, bool)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
