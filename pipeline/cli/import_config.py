"""`ssd-tuner import-config`: reads a configuration of TensorFlow's Object Detection API."""

import csv
import dataclasses
import io
import pathlib
import shlex
import textwrap
from collections.abc import Sequence

from absl import flags

from data import errors, files
from models.od_api import config
from pipeline.screen import display

SUMMARY = "Turn a pipeline.config of the Object Detection API into settings; say what each field becomes."
USAGE = "FILE [--output=config.json] [--report=report.csv] [--train_images=N] [--strict]"
EXAMPLE = "ssd-tuner import-config pipeline.config --train_images=8862 --output=config.json"

STATUS_CANNOT = 3  # with --strict: the kit cannot follow some field
_VALUE_WIDTH = 14  # the report file has values whole
_LEAST_WIDTH = 30


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_string(
        "output", "config.json", "File for the settings, for `ssd-tuner run --config`.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "report", None, "CSV file for the verdict on each field, with its whole path.", flag_values=flag_values
    )
    flags.DEFINE_integer(
        "train_images",
        None,
        "Images in the train split: turns num_steps into epochs.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "strict", False, f"End with status {STATUS_CANNOT} if the kit cannot follow a field.", flag_values=flag_values
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Imports a configuration.

    Args:
        arguments: path of the file.
        flag_values: as `define_flags`.

    Returns:
        0, where the settings were written; `STATUS_CANNOT` where the kit lacks the file's backbone, and with
        `--strict` where the file asks for anything else that the kit cannot.

    Raises:
        UserError: the file cannot be read, breaks the format, or contradicts itself.
    """
    if len(arguments) != 1:
        raise errors.UserError(f"`import-config` needs one file: got {len(arguments)}. Example: {EXAMPLE}")
    source, output, report = arguments[0], flag_values.output, flag_values.report
    files.check_writable(output, "--output")
    if report is not None:
        files.check_writable(report, "--report")
    try:
        imported = config.read(_read(source), flag_values.train_images)
        experiment = imported.experiment()
    except errors.UserError as error:
        raise errors.UserError(f"{source}: {error}") from error
    files.write_json(output, experiment.to_dict())
    if report is not None:
        files.write_text(report, _csv(imported.report))
    with display.open_display(flag_values.verbosity) as screen:
        _show(screen, imported, source, output)
        has_backbone = "model.backbone" in imported.settings
        if not has_backbone:
            screen.note(
                "The kit does not have the backbone that the file names, so these settings use the default one."
                " Choose one with --set=model.backbone=NAME"
            )
    some_cannot = any(row.verdict == "cannot" for row in imported.report)
    return STATUS_CANNOT if not has_backbone or (flag_values.strict and some_cannot) else 0


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise errors.UserError(f"cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise errors.UserError("is not a text file. Name the pipeline.config itself.") from error


def _show(screen: display.Display, imported: config.Imported, source: str, output: str) -> None:
    screen.note(f"Fields of {source}")
    for line in _table(imported.report, screen.console.width):
        screen.note(line)
    counts = ", ".join(f"{imported.count(verdict)} {verdict}" for verdict in config.VERDICTS)
    defaults = sum(row.line is None for row in imported.report)
    screen.note("")
    screen.note(f"{counts}; {defaults} more where the API's defaults differ from the kit's.")
    screen.note(f"Settings written to {output}. Next:")
    if "model.weights" in imported.settings:
        found = [row for row in imported.report if row.field == "train_config.fine_tune_checkpoint"]
        row = next(row for row in found if ": after " in row.becomes)  # one that stands twice has two rows
        screen.note(f"  {row.becomes.rpartition(': after ')[2]}")
    screen.note(f"  ssd-tuner run --dataset=DATASET --workdir=FOLDER --config={shlex.quote(output)}")


def _table(rows: Sequence[config.Row], width: int) -> list[str]:
    """Lays the report out: the message's path as a heading of its fields, since paths are long and names short."""
    names = max(len(row.field.rpartition(".")[2]) for row in rows)
    form = f"{{:>4}}  {{:<{names}}}  {{:<{_VALUE_WIDTH}}}  {{:<8}}  ".format
    indent = form("", "", "", "")
    lines, before = [form("line", "field", "value", "verdict") + "becomes"], None
    for row in rows:
        message, _, name = row.field.rpartition(".")
        if (message, row.line is None) != before:
            lines.append("  " * 3 + message)
        before = (message, row.line is None)
        value = row.value if len(row.value) <= _VALUE_WIDTH else f"{row.value[: _VALUE_WIDTH - 3]}..."
        head = form(row.line or "-", name, value, row.verdict)
        lines += textwrap.wrap(
            row.becomes,
            max(width, len(indent) + _LEAST_WIDTH),
            initial_indent=head,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _csv(rows: Sequence[config.Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(config.Row)])
    writer.writerows(dataclasses.astuple(row) for row in rows)
    return text.getvalue()
