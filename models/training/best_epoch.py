"""The weights of a training's best validated epoch, kept beside its state."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.training import training_state

FILE_NAME = "best.npz"


class BestEpoch:
    """Keeps the weights of the epoch with the highest score; of equal ones the latest.

    Attributes:
        report: of that epoch; {} before one was scored.
    """

    def __init__(self, metric: str, checkpoint: str | os.PathLike[str] | None, variables: Sequence[Any]) -> None:
        """Goes on from what was kept before an interruption.

        Args:
            metric: that counts, higher is better.
            checkpoint: of the training; None keeps the weights in memory only.
            variables: of the network.
        """
        self._metric = metric
        self._path = None if checkpoint is None else pathlib.Path(checkpoint).with_name(FILE_NAME)
        self._values: list[np.ndarray] = []
        self.report: Mapping[str, float] = {}
        found = training_state.load(self._path, variables) if self._path is not None and self._path.exists() else None
        if found is not None:
            self._values, (self.report,) = found

    def consider(self, report: Mapping[str, float], variables: Sequence[Any]) -> None:
        """Keeps the weights if their score is the best so far.

        Args:
            report: of the epoch; without the metric it counts for nothing.
            variables: of the network, with the weights that were scored.
        """
        if not report.get(self._metric, np.nan) >= self.report.get(self._metric, -np.inf):  # NaN is not a score
            return
        self._values, self.report = [np.asarray(variable) for variable in variables], dict(report)
        if self._path is not None:
            training_state.save(self._path, variables, [self.report])

    def put_back(self, variables: Sequence[Any]) -> None:
        """Sets the network's variables to what was kept, if anything was."""
        for variable, value in zip(variables, self._values, strict=False):
            variable.assign(value)
