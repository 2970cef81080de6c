"""`ssd-tuner mlflow`: a run directory in MLflow, at any time and as often as wanted."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from data import errors
from pipeline import environment
from pipeline.cli import parsing
from pipeline.screen import display

if TYPE_CHECKING:
    from pipeline.tracking import mlflow_store

SUMMARY = "Put a run with its trials, metrics and models into MLflow; a second call adds only what is new."
USAGE = "WORKDIR [--tracking_uri=URI]"
EXAMPLE = "ssd-tuner mlflow runs/demo --tracking_uri=http://localhost:5000"
EXTRA = "pipeline"

_MLFLOW = "mlflow"  # the extra with MLflow


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_string(
        "tracking_uri",
        "local",
        "MLflow's tracking URI; local stands for a SQLite file in the run directory.",
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Exports a run directory.

    Args:
        arguments: the run directory.
        flag_values: as `define_flags`.

    Returns:
        0, where MLflow is up to date.

    Raises:
        UserError: not one run directory is named, it has no search yet, MLflow is not installed or cannot be reached.
    """
    folder = parsing.run_directory("mlflow", arguments, EXAMPLE)
    if not folder.searches():
        raise errors.UserError(f"`{folder.root}` has no search yet. Name the --workdir of a run that has begun one.")
    environment.check_environment(_MLFLOW)
    uri = flag_values["tracking_uri"].value
    with display.open_display(flag_values["verbosity"].value) as screen:
        screen.note("Starting MLflow ...")
        from pipeline.tracking import mlflow_store

        try:
            found = mlflow_store.export(folder, uri)
        except mlflow_store.UnreachableError as error:
            raise errors.UserError(f"{error}. Check `--tracking_uri={uri}`.") from error
        screen.print_facts(facts(found, uri))
    return 0


def facts(found: "mlflow_store.Exported", uri: str) -> dict[str, str]:
    """Says what an export did and where to look at it."""
    shown = {
        "experiment": found.experiment,
        "runs": f"{found.runs}, {found.written} of them new or renewed",
        "tracking URI": found.uri,
    }
    if found.model is not None:
        shown["model"] = found.model
    if uri == "local":
        shown["look at it"] = f"mlflow server --backend-store-uri {shlex.quote(found.uri)}"
    return shown
