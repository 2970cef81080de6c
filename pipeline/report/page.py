"""The report of a run: its sections in order."""

import pathlib

from data import errors, files
from pipeline.report import (
    contents,
    coordinates,
    curves,
    failures,
    gain,
    importances,
    leaderboard,
    mistakes,
    overview,
    pictures,
    planned,
    precision_recall,
    rendering,
    reproduction,
    spatial,
    thresholds,
    trade_off,
)

SECTIONS = (
    overview,
    gain,
    planned,
    leaderboard,
    curves,
    coordinates,
    importances,
    trade_off,
    precision_recall,
    thresholds,
    mistakes,
    spatial,
    pictures,
    failures,
    reproduction,
)


def write(root: pathlib.Path) -> pathlib.Path:
    """Makes the report of a run directory.

    Args:
        root: of a run, finished or not.

    Returns:
        The file, `RunDirectory.report_page`.

    Raises:
        UserError: there is no run, or the file cannot be written.
    """
    run = contents.read(root)
    name = root.absolute().name
    text = rendering.render(f"Run {name}", [section.make(run) for section in SECTIONS])
    try:
        files.write_text(run.folder.report_page, text)
    except PermissionError as error:
        raise errors.UserError(f"`{run.folder.report_page}` cannot be written: {error.strerror}.") from error
    return run.folder.report_page
