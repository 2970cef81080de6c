"""The minutes that a search may take, all its starts together."""

import os
import pathlib
import time

import keras_tuner

from data import files
from tuner_fn import state_files

_MEASURED_COUNTS = 10
_MARGIN = 1.25  # the winner may be slower than the mean of those tried


class TimeIsUpError(keras_tuner.errors.FatalError):
    """The minutes of this search are over; Keras Tuner lets a fatal error through."""


class Clock:
    """Counts the seconds that a search and its epochs have taken, and keeps them in a file for when it goes on."""

    def __init__(self, path: str | os.PathLike[str], max_minutes: float | None, reserved_s: float = 0.0) -> None:
        """Prepares.

        Args:
            path: of the JSON file.
            max_minutes: of the run; None for no limit.
            reserved_s: seconds of them that are not the search's.
        """
        self._path, self._max_minutes = pathlib.Path(path), max_minutes
        self._limit_s = None if max_minutes is None else 60.0 * max_minutes - reserved_s
        self._began_s, self._epochs, self._epochs_s = 0.0, 0, 0.0

    def start(self) -> None:
        """Goes on from what the file says."""
        names = ("seconds", "epochs", "epochs_s")
        found = state_files.read(self._path, lambda saved: [float(saved[name]) for name in names])
        before_s, self._epochs, self._epochs_s = found or (0.0, 0.0, 0.0)
        self._began_s = time.monotonic() - before_s

    def left_s(self) -> float | None:
        """Returns the seconds that are left; None without a limit."""
        return None if self._limit_s is None else self._limit_s - self._seconds()

    def lift(self) -> None:
        """Takes the limit away, for what has to be brought to its end."""
        self._limit_s = None

    def count_epoch(self, seconds: float) -> None:
        """Notes how long an epoch took."""
        self._epochs += 1
        self._epochs_s += seconds

    def check(self, epochs_to_come: int = 0, measured_s: float = 0.0) -> None:
        """Writes the file.

        Args:
            epochs_to_come: for which time has to be left.
            measured_s: what an epoch takes by the first steps; it counts as much as `_MEASURED_COUNTS` epochs do, so
                that the first ones, which trace, do not decide.

        Raises:
            TimeIsUpError: the minutes are over, but for those epochs.
        """
        seconds = self._seconds()
        saved = {"seconds": round(seconds, 1), "epochs": self._epochs, "epochs_s": round(self._epochs_s, 1)}
        files.write_json(self._path, saved)
        epoch_s = (_MEASURED_COUNTS * measured_s + self._epochs_s) / (_MEASURED_COUNTS + self._epochs)
        to_come_s = _MARGIN * epochs_to_come * epoch_s
        if self._limit_s is not None and seconds + to_come_s >= self._limit_s:
            left = f", but for what {epochs_to_come} epochs more will take" if epochs_to_come else ""
            raise TimeIsUpError(f"the {self._max_minutes:g} minutes are over{left}")

    def _seconds(self) -> float:
        return time.monotonic() - self._began_s
