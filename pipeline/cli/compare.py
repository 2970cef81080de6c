"""`ssd-tuner compare`: runs side by side."""

import pathlib
from collections.abc import Sequence

from absl import flags

from data import errors, files
from pipeline.screen import display

SUMMARY = "Compare runs: settings that differ, metrics with paired intervals, learning curves, cost."
USAGE = "WORKDIR WORKDIR... [--output=comparison.html]"
EXAMPLE = "ssd-tuner compare runs/before runs/after --output=comparison.html"
EXTRA = "pipeline"

_SUFFIXES = (".json", ".html")


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_string(
        "output", None, "File for the comparison, .json or .html; by default none.", flag_values=flag_values
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Compares runs with the first one named, prints tables, and writes a file on request.

    Args:
        arguments: run directories, at least two.
        flag_values: as `define_flags`.

    Returns:
        0, where the runs were compared.

    Raises:
        UserError: as `comparison.compare`, or the output cannot be written.
    """
    output = flag_values.output
    if output is not None:
        if pathlib.Path(output).suffix not in _SUFFIXES:
            raise errors.UserError(f"`--output={output}` needs a name that ends in {' or '.join(_SUFFIXES)}.")
        files.check_writable(output, "--output")
    with display.open_display(flag_values.verbosity) as screen:
        from pipeline.report import comparison, rendering

        found = comparison.compare([pathlib.Path(root).expanduser() for root in arguments])
        for table in found.tables():
            screen.print_table(table.caption, table.columns, table.cells, first_is_whole=True)
        for note in found.notes():
            screen.note(note)
        if output is not None:
            if output.endswith(".json"):
                files.write_json(output, found.to_dict())
            else:
                files.write_text(output, rendering.render("Comparison of runs", found.sections()))
            screen.note(f"Written to {output}")
    return 0
