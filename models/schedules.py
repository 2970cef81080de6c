"""Learning rates over the steps of a training, with live parameters."""

import math
from typing import Any

import keras
from keras import ops

from models.hyperparameters import OptimizerConfig

Tensor = Any
_LIVE = ("peak", "warmup_steps", "total_steps", "decay_steps", "decay_factor", "final_fraction")


class LiveSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a constant, exponential or cosine rate; or a cyclic triangular one, which needs no warm-up.

    Its parameters are variables, so that one traced training step serves trainings of any rate and length.

    Source: cosine: Loshchilov and Hutter 2017 (arXiv:1608.03983), eq. 5, without restarts. Cyclic: Smith 2017
    (arXiv:1506.01186), section 3.2, "triangular". Exponential: TensorFlow's `exponential_decay`.
    """

    def __init__(self, kind: str, staircase: bool = False) -> None:
        """Creates the schedule; `configure` gives it its numbers.

        Args:
            kind: "constant", "exponential", "cosine" or "cyclic".
            staircase: whether the exponential decays in jumps.

        Raises:
            ValueError: any other kind.
        """
        if kind not in ("constant", "exponential", "cosine", "cyclic"):
            raise ValueError(f"`kind` must be constant, exponential, cosine or cyclic: got {kind!r}.")
        self.kind, self.staircase = kind, staircase
        self.live = {name: keras.Variable(1.0, dtype="float32", trainable=False, name=name) for name in _LIVE}

    def configure(self, config: OptimizerConfig, total_steps: int) -> None:
        """Sets the parameters.

        Args:
            config: learning rate after the warm-up, share of the warm-up, decay and lowest rate.
            total_steps: steps of the whole training, at least 1.
        """
        values = {
            "peak": config.learning_rate,
            "warmup_steps": max(1.0, round(config.warmup_fraction * total_steps)),
            "total_steps": max(total_steps, 2),
            "decay_steps": config.decay_steps,
            "decay_factor": config.decay_factor,
            "final_fraction": config.final_fraction,
        }
        for name, value in values.items():
            self.live[name].assign(value)

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the learning rate, a float32 scalar, of a step counted from 0."""
        step = ops.cast(step, "float32")
        if self.kind == "cyclic":
            return self.live["peak"] * self._share(step)
        warm = ops.minimum((step + 1.0) / self.live["warmup_steps"], 1.0)
        return self.live["peak"] * warm * self._share(step)

    def _share(self, step: Tensor) -> Tensor:
        """Returns rate / peak without the warm-up."""
        lowest = self.live["final_fraction"]
        if self.kind == "constant":
            return 1.0
        if self.kind == "exponential":
            decays = step / self.live["decay_steps"]
            return ops.power(self.live["decay_factor"], ops.floor(decays) if self.staircase else decays)
        if self.kind == "cyclic":
            cycles = step / (2.0 * self.live["decay_steps"])
            rise = 1.0 - ops.abs(2.0 * (cycles - ops.floor(cycles)) - 1.0)
            return lowest + (1.0 - lowest) * rise
        warmup, total = self.live["warmup_steps"], self.live["total_steps"]
        progress = ops.clip((step - warmup) / ops.maximum(total - warmup, 1.0), 0.0, 1.0)
        return lowest + (1.0 - lowest) * 0.5 * (1.0 + ops.cos(math.pi * progress))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"kind": self.kind, "staircase": self.staircase}
