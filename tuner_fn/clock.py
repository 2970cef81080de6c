"""The minutes that a search may take, all its starts together."""

import os
import pathlib
import time

import keras_tuner

from data import files
from tuner_fn import state_files


class TimeIsUpError(keras_tuner.errors.FatalError):
    """The minutes of this search are over; Keras Tuner lets a fatal error through."""


class Clock:
    """Counts the seconds that a search has taken, and keeps them in a file for when it goes on."""

    def __init__(self, path: str | os.PathLike[str], max_minutes: float | None) -> None:
        """Prepares.

        Args:
            path: of the JSON file.
            max_minutes: of the search; None for no limit.
        """
        self._path, self._max_minutes = pathlib.Path(path), max_minutes
        self._began_s = 0.0

    def start(self) -> None:
        """Goes on from what the file says."""
        before_s = state_files.read(self._path, lambda saved: float(saved["seconds"]))
        self._began_s = time.monotonic() - (before_s or 0.0)

    def check(self) -> None:
        """Writes the file.

        Raises:
            TimeIsUpError: the minutes are over.
        """
        seconds = time.monotonic() - self._began_s
        files.write_json(self._path, {"seconds": round(seconds, 1)})
        if self._max_minutes is not None and seconds >= 60.0 * self._max_minutes:
            raise TimeIsUpError(f"the {self._max_minutes:g} minutes given are over")
