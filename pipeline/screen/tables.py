"""Results as tables for the terminal; every function returns something that rich prints."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tuner_fn import cost_limits, objectives

_NO_GROUND_TRUTH = "no ground truth"
# COCO's twelve numbers: key, name, what it is measured over.
COCO_ROWS = (
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
_COLUMN_GAP = 3  # what `box.SIMPLE_HEAD` puts between two columns


def clean(value: Any) -> Text:
    """Makes a cell as `format_value` does, without control characters."""
    return Text(_printable(format_value(value)))


def format_value(value: Any, digits: int = 4) -> str:
    """Formats a value for people: floats with so many significant digits, None and NaN as "-"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


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


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, first_is_whole: bool = False) -> Table:
    """Makes a plain table.

    Args:
        title: printed above it.
        columns: headings.
        rows: one cell a column; columns of numbers are aligned to the right.
        first_is_whole: whether the cells of the first column are kept on one line, so that they can be copied.
    """
    result = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = any(_is_number(cell) for cell in cells) and all(cell is None or _is_number(cell) for cell in cells)
        result.add_column(clean(column), justify="right" if numeric else "left", overflow="fold")
    if first_is_whole:
        result.columns[0].no_wrap = True
    for row in rows:
        result.add_row(*[clean(cell) for cell in row])
    return result


def metrics_tables(metrics: Mapping[str, float], title: str) -> list[Table]:
    """Makes the tables of `models.evaluation.coco.coco_metrics`: the twelve numbers, and AP by class.

    Args:
        metrics: COCO's numbers in [0, 1], NaN where there is no ground truth.
        title: what was measured: dataset, split, images.
    """
    coco = [(name, _score(metrics[key]), over) for key, name, over in COCO_ROWS if key in metrics]
    names = [key.removeprefix("AP/") for key in metrics if key.startswith("AP/")]
    classes = [(name, _score(metrics[f"AP/{name}"]), _score(metrics.get(f"AP50/{name}"))) for name in names]
    tables = [table(title, ["", "value", "measured over"], coco)]
    if classes:
        tables.append(table("By class", ["class", "mAP@[.5:.95]", "mAP@.5"], classes))
    return tables


def leaderboard_table(rows: Sequence[Mapping[str, Any]], objective: str, width: int) -> tuple[Table, str]:
    """Makes the table of a search's trials, one column a trial, because names are long and values short.

    Args:
        rows: as `tuner_fn.reporting.leaderboard` makes them, the best first.
        objective: of `tuner_fn.objectives.every`, what the score is; it comes first.
        width: columns of the terminal; as many trials are shown as fit.

    Returns:
        The table, and a line about what trials had less of and what the table leaves out ("" where nothing).
    """
    names = list(dict.fromkeys(name for row in rows for name in row["hyperparameters"]))
    lines = {
        "trial id": [row["trial"] for row in rows],
        f"val {objectives.get(objective).text}": [_fixed(row["score"]) or row["status"] for row in rows],
        **{f"val {objectives.get(name).text}": [_fixed(row[name]) for row in rows] for name in _others(objective)},
        "epochs": [row["epochs"] for row in rows],
        "seconds": [None if row["seconds"] is None else round(row["seconds"]) for row in rows],
    }
    if any(row["rank"] and row["reason"] for row in rows):
        lines["stopped early"] = ["yes" if row["rank"] and row["reason"] else None for row in rows]
    if any(row["seeds"] for row in rows):
        lines["seeds"] = [row["seeds"] for row in rows]
        lines |= {f"{name} of the seeds": [_fixed(row[name]) for row in rows] for name in ("mean", "spread")}
    lines |= {name: [row["hyperparameters"].get(name) for row in rows] for name in names}
    heads = ["", *(f"#{row['rank']}" if row["rank"] else "-" for row in rows)]
    cells = [[name, *(format_value(value, digits=3) for value in values)] for name, values in lines.items()]
    shown = _columns_that_fit(heads, cells, width)
    result = table("Leaderboard of the search", heads[:shown], [line[:shown] for line in cells])
    for column in result.columns[1:]:
        column.justify = "right"
    hidden = len(heads) - shown
    notes = [f"The trials had {rows[0]['fidelity']}."] if rows and rows[0]["fidelity"] else []
    notes += [f"{hidden} more trials: see report/leaderboard.csv."] if hidden else []
    return result, " ".join(notes)


def front_table(rows: Sequence[Mapping[str, Any]], cost: str, objective: str) -> Table:
    """Makes the table of a Pareto front.

    Args:
        rows: of the leaderboard, by rising cost.
        cost: of `tuner_fn.cost_limits.UNITS`.
        objective: of `tuner_fn.objectives.every`, what the score is.
    """
    unit = cost_limits.UNITS[cost]
    names = [objective, *_others(objective)]
    heads = ["trial id", unit, *(f"val {objectives.get(name).text}" for name in names), "epochs"]
    digits = ".0f" if cost in cost_limits.COUNTED else ".2f"
    cells = [
        [row["trial"], f"{row[cost]:,{digits}}", *(_fixed(row[name]) for name in names), row["epochs"]] for row in rows
    ]
    result = table(f"Pareto front: val mAP against {unit}", heads, cells)
    for column in result.columns[1:]:
        column.justify = "right"
    return result


def formats_table(rows: Sequence[Mapping[str, Any]], title: str) -> tuple[Table, list[str]]:
    """Makes the table of an export's formats.

    Args:
        rows: `models.export.formats.FormatReport` as dictionaries.
        title: what the mAP is over: dataset, split, images.

    Returns:
        The table, and a sentence for each format that was left out.
    """
    heads = ["format", "mAP@[.5:.95]", "drop", "mAP@.5", "size MB", "ms an image", "peak MB", ""]
    cells = [
        [
            row["name"],
            _digits(row["map"], 4),
            _digits(row["drop"], 4),
            _digits(row["map50"], 4),
            _digits(row["size_bytes"], 2, 1e-6),
            _digits(row["latency_ms"], 2),
            _digits(row["peak_memory_bytes"], 1, 1e-6),
            "" if row["kept"] else "left out",
        ]
        for row in rows
    ]
    left_out = [f"{row['name']} is left out: {row['reason']}." for row in rows if not row["kept"]]
    return table(title, heads, cells), left_out


def _others(objective: str) -> list[str]:
    return [name for name in objectives.COCO if name != objective]


def _digits(value: float | None, digits: int, unit: float = 1.0) -> str | None:
    return None if value is None else f"{round(value * unit, digits) + 0.0:.{digits}f}"  # no "-0.00"


def _columns_that_fit(heads: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> int:
    """Counts the columns that a table of this width holds, at least the first two."""
    used, shown = 0, 0
    for index, head in enumerate(heads):
        used += max(len(head), *(len(line[index]) for line in cells)) + _COLUMN_GAP
        if used > width and shown >= 2:
            break
        shown += 1
    return shown


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
