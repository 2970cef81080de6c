"""`ssd-tuner report`: what a run found, as one HTML page."""

from collections.abc import Sequence

from absl import flags

from pipeline.cli import parsing
from pipeline.screen import display

SUMMARY = "Write what a run found as one HTML page that opens offline: report/report.html."
USAGE = "WORKDIR"
EXAMPLE = "ssd-tuner report runs/demo"
EXTRA = "pipeline"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags: it has none of its own."""
    del flag_values


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Writes the report; of a run that has not ended, what there is so far.

    Args:
        arguments: the run directory.
        flag_values: as `define_flags`.

    Returns:
        0, where the report was written.

    Raises:
        UserError: not one run directory is named.
    """
    folder = parsing.run_directory("report", arguments, EXAMPLE)
    with display.open_display(flag_values.verbosity) as screen:
        from pipeline.report import page  # what TensorFlow says while it is imported goes to the log

        path = page.write(folder.root)
        screen.note(f"Written to {path}")
    return 0
