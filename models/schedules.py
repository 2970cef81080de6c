"""Learning rates over the steps of a training, with live parameters."""

import math
from typing import Any

import keras
from keras import ops

Tensor = Any


class LiveSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a constant rate or a cosine to zero.

    Its parameters are variables, so that one traced training step serves trainings of any rate and length.

    Source: Loshchilov and Hutter 2017 (arXiv:1608.03983), eq. 5, without restarts.
    """

    def __init__(self, kind: str) -> None:
        """Creates the schedule; `configure` gives it its numbers.

        Args:
            kind: "cosine" or "constant".

        Raises:
            ValueError: any other kind.
        """
        if kind not in ("cosine", "constant"):
            raise ValueError(f"`kind` must be cosine or constant: got {kind!r}.")
        self.kind = kind
        self.peak, self.warmup_steps, self.total_steps = (
            keras.Variable(1.0, dtype="float32", trainable=False, name=name) for name in ("peak", "warmup", "total")
        )

    def configure(self, peak: float, warmup_fraction: float, total_steps: int) -> None:
        """Sets the parameters.

        Args:
            peak: learning rate after the warm-up, positive.
            warmup_fraction: share of `total_steps` in [0, 1).
            total_steps: steps of the whole training, at least 1.
        """
        self.peak.assign(peak)
        self.warmup_steps.assign(max(1.0, round(warmup_fraction * total_steps)))
        self.total_steps.assign(max(total_steps, 2))

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the learning rate, a float32 scalar, of a step counted from 0."""
        step = ops.cast(step, "float32")
        warm = ops.minimum((step + 1.0) / self.warmup_steps, 1.0)
        if self.kind == "constant":
            return self.peak * warm
        progress = (step - self.warmup_steps) / ops.maximum(self.total_steps - self.warmup_steps, 1.0)
        return self.peak * warm * 0.5 * (1.0 + ops.cos(math.pi * ops.clip(progress, 0.0, 1.0)))

    def get_config(self) -> dict[str, str]:
        """Returns the arguments of the constructor."""
        return {"kind": self.kind}
