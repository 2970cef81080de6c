"""The minutes that a search may take, all its starts together."""

import os
import pathlib
import time

import keras_tuner

from data import files
from tuner_fn import search_files


class TimeIsUpError(keras_tuner.errors.FatalError):
    """The minutes of this search are over; Keras Tuner lets a fatal error through."""


class Clock:
    """Counts the seconds that a run has taken, and keeps them in a file for when it continues.

    A later start finds in the cache what an earlier one did before its search; that time was spent all the same.

    Attributes:
        reserved_s: as given; a new estimate may be set at any time.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_minutes: float | None,
        reserved_s: float = 0.0,
        before_s: float = 0.0,
    ) -> None:
        """Prepares.

        Args:
            path: of the JSON file.
            max_minutes: of the run; None for no limit.
            reserved_s: seconds of them that come after the search.
            before_s: seconds that this start has taken before the search.
        """
        self._path, self._max_minutes = pathlib.Path(path), max_minutes
        self._limit_s = None if max_minutes is None else 60.0 * max_minutes  # of the whole run
        self.reserved_s = reserved_s
        self._began_s, self._before_s = 0.0, before_s

    def start(self) -> None:
        """Goes on from what the file says, and writes what this start has added."""
        earlier_s = search_files.read(self._path, lambda saved: float(saved["seconds"]))
        self._began_s = time.monotonic() - self._before_s - (earlier_s or 0.0)
        self._write()

    def left_s(self) -> float | None:
        """Returns the seconds that are left; None without a limit."""
        if self._limit_s is None:
            return None
        return self._limit_s - self.reserved_s - (time.monotonic() - self._began_s)

    def lift(self) -> None:
        """Takes the limit away, for what has to be brought to its end."""
        self._limit_s = None

    def check(self, to_come_s: float = 0.0) -> None:
        """Writes the file.

        Args:
            to_come_s: seconds that have to be left.

        Raises:
            TimeIsUpError: the minutes are over, but for those seconds.
        """
        seconds = self._write()
        if self._limit_s is not None and seconds + to_come_s >= self._limit_s - self.reserved_s:
            left = f", but for {to_come_s:.0f} s that the trainings after the search need" if to_come_s else ""
            raise TimeIsUpError(f"the {self._max_minutes:g} minutes are over{left}")

    def _write(self) -> float:
        """Writes the file; returns its seconds."""
        seconds = time.monotonic() - self._began_s
        files.write_json(self._path, {"seconds": round(seconds, 1)})
        return seconds
