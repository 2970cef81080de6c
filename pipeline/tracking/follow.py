"""Keeps MLflow up to date while a run continues. A server that is away costs a warning, never the run."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from data import progress
from data.run_directory import RunDirectory
from pipeline.tracking import mlflow_store

_EVERY_S = 30.0  # at most; trials may take less
_AGAIN_S = 300.0  # after a failure


class Follower:
    """Exports a run directory when a trial has ended, until that fails once."""

    def __init__(self, folder: RunDirectory, uri: str) -> None:
        """Prepares.

        Args:
            folder: of the run.
            uri: as `mlflow_store.export` takes it.
        """
        self._folder, self._uri = folder, uri
        self.failed_s = -math.inf
        self._next_s = -math.inf

    def handle(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Exports where a trial begins: by then the one before it is in the files."""
        begins = kind == "trial" and fields["state"] == "started"
        if begins and self.failed_s == -math.inf and time.monotonic() >= self._next_s:
            self.update()
            self._next_s = time.monotonic() + _EVERY_S

    def update(self) -> mlflow_store.Exported | None:
        """Exports; None and a warning where MLflow cannot be used."""
        try:
            return mlflow_store.export(self._folder, self._uri)
        except Exception as error:  # whatever it is, it is not worth a run
            self.failed_s = time.monotonic()
            is_known = isinstance(error, mlflow_store.UnreachableError)
            reason = str(error) if is_known else f"the export to MLflow failed ({type(error).__name__}: {error})"
            again = f"`ssd-tuner mlflow {self._folder.root} --tracking_uri={self._uri}`"
            progress.emit("note", text=f"Warning: {reason}. The run continues. Export it later by {again}.")
            return None


@contextlib.contextmanager
def follow(folder: RunDirectory, uri: str | None) -> Iterator[None]:
    """Keeps MLflow up to date while the context is open, and once more at its end unless that is an error.

    Where an export has just failed, the one at the end is left out: it would wait for the same server again.

    Args:
        folder: of the run.
        uri: as `mlflow_store.export` takes it; None for no MLflow.
    """
    if uri is None:
        yield
        return
    follower = Follower(folder, uri)
    with progress.listen(follower.handle):
        yield
    found = follower.update() if time.monotonic() - follower.failed_s > _AGAIN_S else None
    if found is not None:
        progress.emit("note", text=f"MLflow: {found.runs} runs in experiment `{found.experiment}` at {found.uri}")
