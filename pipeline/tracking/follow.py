"""Keeps MLflow up to date while a run continues. A server that is away costs a warning, never the run."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from data import progress
from data.run_directory import RunDirectory
from pipeline.tracking import mlflow_store


class Follower:
    """Exports a run directory each time that a trial has ended, until that fails once."""

    def __init__(self, folder: RunDirectory, uri: str) -> None:
        """Prepares.

        Args:
            folder: of the run.
            uri: as `mlflow_store.export` takes it.
        """
        self._folder, self._uri = folder, uri
        self._is_away = False

    def handle(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Exports where a trial begins: by then the one before it is in the files."""
        if kind == "trial" and fields["state"] == "started" and not self._is_away:
            self.update()

    def update(self) -> mlflow_store.Exported | None:
        """Exports; None and a warning where MLflow cannot be used."""
        try:
            return mlflow_store.export(self._folder, self._uri)
        except mlflow_store.UnreachableError as error:
            self._is_away = True
            again = f"`ssd-tuner mlflow {self._folder.root} --tracking_uri={self._uri}`"
            progress.emit("note", text=f"Warning: {error}. The run continues; {again} makes up for it.")
            return None


@contextlib.contextmanager
def follow(folder: RunDirectory, uri: str | None) -> Iterator[None]:
    """Keeps MLflow up to date while the context is open, and once more at its end unless that is an error.

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
    found = follower.update()
    if found is not None:
        progress.emit("note", text=f"MLflow: {found.runs} runs in experiment `{found.experiment}` at {found.uri}")
