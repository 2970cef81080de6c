"""Leaderboard: the best trials, with what they were trained with."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.contents import Contents
from pipeline.report.page_parts import Section, Table

TITLE = "Leaderboard"
MOST_ROWS = 30


def make(run: Contents) -> Section:
    """Makes the section."""
    if not run.rows:
        return Section(TITLE, missing="No trial has ended yet.")
    if not run.ranked:
        return Section(TITLE, missing="No trial was finished; see Failures.")
    return Section(TITLE, [table(run.ranked, run.objective_text)])


def table(rows: Sequence[Mapping[str, Any]], objective_text: str) -> Table:
    """Makes the table of the first `MOST_ROWS` trials.

    Args:
        rows: of the leaderboard, those that were finished, the winner first.
        objective_text: name of the score.
    """
    shown = rows[:MOST_ROWS]
    names = list(dict.fromkeys(name for row in shown for name in row["hyperparameters"]))
    has_seeds = any(row.get("seeds") for row in shown)
    heads = ["#", "trial", f"val {objective_text}", "epochs", "s"]
    heads += ["mean of seeds", "spread", "seeds"] if has_seeds else []
    cells = [
        [
            row["rank"],
            row["trial"],
            row["score"],
            row["epochs"],
            None if row["seconds"] is None else round(row["seconds"]),
            *([row.get("mean"), row.get("spread"), row.get("seeds")] if has_seeds else []),
            *(_cell(row["hyperparameters"].get(name)) for name in names),
        ]
        for row in shown
    ]
    hidden = len(rows) - len(shown)
    notes = [f"The trials had {shown[0]['fidelity']}."] if shown[0].get("fidelity") else []
    notes += [f"{hidden} more trials are in report/leaderboard.csv."] if hidden else []
    return Table([*heads, *names], cells, note=" ".join(notes))


def _cell(value: Any) -> Any:
    """Makes a setting a cell: numbers stay numbers."""
    return value if value is None or (isinstance(value, int | float) and not isinstance(value, bool)) else str(value)
