"""Learning rates over the steps of a training, with live parameters."""

import math
from typing import Any

import keras
from keras import ops

from models.hyperparameters import OptimizerConfig

Tensor = Any
KINDS = ("constant", "exponential", "cosine", "cyclic")
_LIVE = ("kind", "staircase", "peak", "warmup_steps", "total_steps", "decay_steps", "decay_factor", "final_fraction")


class LiveSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a constant, exponential or cosine rate; or a cyclic triangular one, which needs no warm-up.

    Its parameters are variables, so that one traced training step serves trainings of any rate, length and kind.

    Source: cosine: Loshchilov and Hutter 2017 (arXiv:1608.03983), eq. 5, without restarts. Cyclic: Smith 2017
    (arXiv:1506.01186), section 3.2, "triangular". Exponential: TensorFlow's `exponential_decay`.
    """

    def __init__(self) -> None:
        """Creates the schedule; `configure` gives it its numbers."""
        self.live = {name: keras.Variable(1.0, dtype="float32", trainable=False, name=name) for name in _LIVE}

    def configure(self, config: OptimizerConfig, total_steps: int) -> None:
        """Sets the parameters.

        Args:
            config: schedule, learning rate after the warm-up, share of the warm-up, decay and lowest rate.
            total_steps: steps of the whole training, at least 1.

        Raises:
            ValueError: the schedule is none of `KINDS`.
        """
        if config.schedule not in KINDS:
            raise ValueError(f"`schedule` must be {', '.join(KINDS[:-1])} or {KINDS[-1]}: got {config.schedule!r}.")
        values = {
            "kind": KINDS.index(config.schedule),
            "staircase": config.staircase,
            "peak": config.learning_rate,
            "warmup_steps": max(1.0, round(config.warmup_fraction * total_steps)),
            "total_steps": max(total_steps, 2),
            "decay_steps": config.decay_steps,
            "decay_factor": config.decay_factor,
            "final_fraction": config.final_fraction,
        }
        for name, value in values.items():
            self.live[name].assign(value)

    def sweep(self, low: float, high: float, steps: int) -> None:
        """Makes the rate rise exponentially: `low` in the first step, `high` in the last of `steps`, at least 2."""
        values = {"kind": KINDS.index("exponential"), "staircase": 0.0, "peak": low, "warmup_steps": 1.0}
        values |= {"decay_steps": steps - 1, "decay_factor": high / low}
        for name, value in values.items():
            self.live[name].assign(value)

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the learning rate, a float32 scalar, of a step counted from 0."""
        step = ops.cast(step, "float32")
        warm = ops.minimum((step + 1.0) / self.live["warmup_steps"], 1.0)
        shares = [warm, warm * self._exponential(step), warm * self._cosine(step), self._cyclic(step)]  # as KINDS
        return self.live["peak"] * ops.take(ops.stack(shares), ops.cast(self.live["kind"], "int32"))

    def _exponential(self, step: Tensor) -> Tensor:
        decays = step / self.live["decay_steps"]
        decays = ops.where(self.live["staircase"] > 0.0, ops.floor(decays), decays)
        return ops.power(self.live["decay_factor"], decays)

    def _cosine(self, step: Tensor) -> Tensor:
        lowest, warmup, total = (self.live[name] for name in ("final_fraction", "warmup_steps", "total_steps"))
        progress = ops.clip((step - warmup) / ops.maximum(total - warmup, 1.0), 0.0, 1.0)
        return lowest + (1.0 - lowest) * 0.5 * (1.0 + ops.cos(math.pi * progress))

    def _cyclic(self, step: Tensor) -> Tensor:
        lowest, cycles = self.live["final_fraction"], step / (2.0 * self.live["decay_steps"])
        rise = 1.0 - ops.abs(2.0 * (cycles - ops.floor(cycles)) - 1.0)
        return lowest + (1.0 - lowest) * rise

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {}
