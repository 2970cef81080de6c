"""Failures: trials that failed and why, and examples that were left out."""

from collections import Counter

from pipeline.report.contents import Contents
from pipeline.report.parts import Section, Table, Text

TITLE = "Failures"
_MOST_ROWS = 30


def make(run: Contents) -> Section:
    """Makes the section."""
    failed = [row for row in run.rows if not row["rank"] and row["status"] == "failed"]
    stopped = sum(bool(row["rank"] and row["reason"]) for row in run.rows)
    parts = []
    if failed:
        reasons = Counter(row["reason"] or "no reason was kept" for row in failed).most_common()
        trials = {
            reason: [row["trial"] for row in failed if (row["reason"] or "no reason was kept") == reason]
            for reason, _ in reasons
        }
        rows = [(count, reason, ", ".join(trials[reason][:8])) for reason, count in reasons[:_MOST_ROWS]]
        caption = f"{len(failed)} of {len(run.rows)} trials failed"
        parts.append(Table(("trials", "reason", "which"), rows, caption))
    if stopped:
        parts.append(Text(f"{stopped} trials were stopped early: they would hardly have become the best."))
    if run.quarantine:
        rows = [(one.get("split"), one.get("file"), one.get("reason")) for one in run.quarantine[:_MOST_ROWS]]
        note = "The others are in report/quarantine.csv." if len(run.quarantine) > _MOST_ROWS else ""
        parts.append(Table(("split", "file", "reason"), rows, f"{len(run.quarantine)} examples were left out", note))
    return Section(TITLE, parts or [Text("No trial failed, and no example was left out.")])
