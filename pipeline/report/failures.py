"""Failures: trials that failed and why, and examples that were left out."""

from pipeline.report.contents import Contents
from pipeline.report.page_parts import Part, Section, Table, Text

TITLE = "Failures"
_MOST_ROWS, _MOST_NAMED = 30, 8


def make(run: Contents) -> Section:
    """Makes the section."""
    failed = [row for row in run.rows if not row["rank"] and row["status"] == "failed"]
    stopped = sum(bool(row["rank"] and row["reason"]) for row in run.rows)
    parts: list[Part] = []
    if failed:
        trials: dict[str, list[str]] = {}
        for row in failed:
            trials.setdefault(row["reason"] or "no reason was kept", []).append(row["trial"])
        most = sorted(trials.items(), key=lambda item: -len(item[1]))[:_MOST_ROWS]
        rows = [(len(which), reason, ", ".join(which[:_MOST_NAMED])) for reason, which in most]
        caption = f"{len(failed)} of {len(run.rows)} trials failed"
        parts.append(Table(("trials", "reason", "which"), rows, caption))
    if stopped:
        parts.append(Text(f"{stopped} trials were stopped early: they would hardly have become the best."))
    if run.quarantine:
        left_out = [(one.get("split"), one.get("file"), one.get("reason")) for one in run.quarantine[:_MOST_ROWS]]
        note = "The others are in report/quarantine.csv." if len(run.quarantine) > _MOST_ROWS else ""
        parts.append(
            Table(("split", "file", "reason"), left_out, f"{len(run.quarantine)} examples were left out", note)
        )
    return Section(TITLE, parts or [Text("No trial failed, and no example was left out.")])
