"""A profile of a few training steps, for the profiler of TensorBoard."""

import os
from typing import Any

import keras
import tensorflow as tf

_SKIPPED_STEPS = 2  # the first one traces
_STEPS = 5


class StepProfile(keras.callbacks.Callback):
    """Records the operations of a few steps: the third one and those after it, fewer in a short training."""

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        """Prepares.

        Args:
            logdir: of the training's log; the profile goes to `plugins/profile` in it.
        """
        super().__init__()
        self._logdir = str(logdir)
        self._steps = 0
        self._records = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts or ends the recording."""
        self._steps += 1
        if self._steps == _SKIPPED_STEPS:
            tf.profiler.experimental.start(self._logdir)
            self._records = True
        elif self._steps == _SKIPPED_STEPS + _STEPS:
            self._stop()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Ends the recording of a training that was shorter."""
        self._stop()

    def _stop(self) -> None:
        if self._records:
            tf.profiler.experimental.stop()
            self._records = False
