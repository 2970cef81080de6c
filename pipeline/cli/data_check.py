"""`ssd-tuner data check`: what is wrong with a dataset, before it costs a training run."""

import os
from collections.abc import Sequence

from absl import flags

from data import example_rules, files
from data.checks import dataset
from data.checks.findings import FIRST_EXAMPLES, Findings, Severity, describe
from pipeline.cli import data_flags, parsing
from pipeline.screen import display

SUMMARY = "Read a dataset once and list what is wrong with it."
USAGE = "--dataset=DATASET [--report=FILE.json] [flags]"
EXAMPLE = "ssd-tuner data check --dataset=coco:datasets/flir --report=problems.json"

# The dataset was read to its end, but some of it cannot be used, or a question is open.
STATUS_PROBLEMS = 3

_OF_A_SPLIT = ("empty_split", "no_objects", "refused")  # what stops a run, however few images are at fault
_MEANING = {severity: severity.value for severity in Severity} | {Severity.QUARANTINED: "left out"}


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    data_flags.define_flags(flag_values)
    flags.DEFINE_string(
        "report",
        None,
        "JSON file for all findings. The screen shows only the first of each kind.",
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Checks a dataset.

    Args:
        arguments: none are taken.
        flag_values: as `define_flags`.

    Returns:
        0 where every image can be used, as it is or mended; `STATUS_PROBLEMS` where images are left out or a
        question is open.

    Raises:
        UserError: the dataset cannot be opened, as where an annotation file is malformed.
    """
    parsing.no_arguments("data check", arguments, "dataset", flag_values)
    path = flag_values["report"].value
    if path:
        files.check_writable(path, "--report")
    with display.open_display(flag_values["verbosity"].value) as screen:
        source = data_flags.open_dataset(flag_values)
        report = dataset.check(source, keep_all=bool(path))
        _show(screen, report)
        if path:
            files.write_json(path, report.to_json())
            screen.note(f"All findings: {path}")
    return 0 if report.is_usable else STATUS_PROBLEMS


def _show(screen: display.Display, report: dataset.CheckReport) -> None:
    findings = report.findings
    rows = [
        (
            split,
            totals.num_images,
            totals.num_images - totals.num_good,
            int(totals.num_boxes.sum()),
            totals.num_ignored,
        )
        for split, totals in report.totals.items()
    ]
    screen.note(f"Checked {report.spec}")
    screen.print_table("Splits", ("split", "images", "left out", "objects", "ignored"), rows)
    if findings.kinds():
        root = _common_folder(findings)
        title = f"Found in {root}" if root else "Found"
        screen.print_table(title, ("", "count", "what", f"first {FIRST_EXAMPLES}"), _finding_rows(findings, root))
    for hint in dict.fromkeys(describe(kind).hint for kind in findings.kinds()):
        if hint:
            titles = [describe(kind).title for kind in findings.kinds() if describe(kind).hint == hint]
            screen.note(f"- {', '.join(titles)}: {hint}")
    screen.note(_verdict(report))


def _finding_rows(findings: Findings, root: str) -> list[tuple[str | int, ...]]:
    """Returns a row an example; what it is stands in the first row of its kind."""
    rows: list[tuple[str | int, ...]] = []
    for kind in findings.kinds():
        head = (_MEANING[describe(kind).severity], findings.count(kind), describe(kind).title)
        for number, example in enumerate(findings.examples(kind)[:FIRST_EXAMPLES]):
            text = str(example).removeprefix(root).lstrip(os.sep) if root else str(example)
            says_split = not example.split or example.split in example.file.split("/")
            cells = head if number == 0 else ("", "", "")
            rows.append((*cells, text if says_split else f"{example.split}: {text}"))
    return rows


def _common_folder(findings: Findings) -> str:
    """Returns the folder that all files lie in, so that it need not stand in every row; "" where there is none."""
    shown = [example.file for kind in findings.kinds() for example in findings.examples(kind)]
    folders = {os.path.dirname(file) for file in shown if os.path.isabs(file)}
    root = os.path.commonpath(folders) if folders else ""
    return "" if root == os.sep else root


def _verdict(report: dataset.CheckReport) -> str:
    left_out = {split: totals.num_images - totals.num_good for split, totals in report.totals.items()}
    total = sum(totals.num_images for totals in report.totals.values())
    if not any(left_out.values()):
        if not report.is_usable:
            return "`ssd-tuner run` stops at this dataset; see above."
        rest = "; see the warnings" if report.findings.worst() is Severity.WARNING else ""
        return f"All {total} images can be used{rest}."
    text = f"{sum(left_out.values())} of {total} images cannot be used"
    too_many = [
        split for split, count in left_out.items() if example_rules.too_many_bad(count, report.totals[split].num_images)
    ]
    if too_many:
        share = f"{example_rules.MOST_BAD_SHARE:.0%}"
        return f"{text}, more than {share} of {', '.join(too_many)}: `ssd-tuner run` stops there. Mend or remove them."
    if report.findings.worst() is Severity.QUESTION or not set(_OF_A_SPLIT).isdisjoint(report.findings.kinds()):
        return f"{text}, and `ssd-tuner run` stops at this dataset; see above."
    return f"{text}; `ssd-tuner run` leaves them out."
