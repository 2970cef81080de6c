"""The losses of mini-batches while the learning rate rises from step to step: Smith's range test."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from data import input_pipeline, tiles
from models.hyperparameters import ExperimentConfig
from models.training import devices, programs, train
from models.training.schedules import LiveSchedule

DIVERGED = 4.0  # times the lowest smoothed loss; fast.ai stops there, too
_WINDOW_SHARE = 1 / 20  # of the steps, that the smoothing averages over


def rates(low: float, high: float, steps: int) -> np.ndarray:
    """Returns the learning rates of a sweep, float64 [steps], evenly spaced on a logarithmic scale."""
    return np.geomspace(low, high, steps)


def sweep(
    config: ExperimentConfig,
    train_files: Sequence[str],
    class_names: Sequence[str],
    *,
    low: float,
    high: float,
    steps: int,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Trains a configuration from its start with a learning rate that rises from step to step.

    Args:
        config: all settings; neither learning rate nor schedule are read.
        train_files: GZIP TFRecord files of tf.Examples.
        class_names: C names in label order.
        low: as of `losses`, which says what is returned.
        high: likewise.
        steps: likewise.
        on_step: likewise.

    Raises:
        ValueError: the split holds no example, or as `losses`.
    """
    devices.configure_device()
    loader = (config.input.size, config.input.max_boxes, config.input.cache_bytes)
    share = (config.training.data_share, tiles.parse_grid(config.input.tile).count)
    split = input_pipeline.load_split(tuple(train_files), *loader, *share)
    if split.length == 0:
        raise ValueError("The train split holds no examples.")
    epochs = -(-steps // input_pipeline.steps_per_epoch(split.length, config.input.batch_size))
    program = programs.get_program(config, len(class_names))
    program.reset(config)
    program.start(config, class_names)
    program.configure(config, steps)
    batches = train.training_batches(split, config, first_epoch=0, epochs=epochs)
    return losses(program.detector, program.schedule, batches, low, high, steps, on_step)


def losses(
    model: keras.Model,
    schedule: LiveSchedule,
    batches: Any,
    low: float,
    high: float,
    steps: int,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Trains a model for `steps` mini-batches, each at a higher rate, until the loss diverges.

    Args:
        model: compiled, with an optimizer whose learning rate is `schedule` and which has made no step.
        schedule: gets the rates.
        batches: dataset of at least so many batches.
        low: first learning rate, above 0.
        high: last one, above `low`.
        steps: at least 2.
        on_step: called after each step with its number from 1 and its loss.

    Returns:
        The loss of each mini-batch before its step, at most `steps`: fewer where it became NaN or infinite, which is
        left out, or where its smoothed value exceeded `DIVERGED` times the lowest one.

    Raises:
        ValueError: the rates do not ascend from above 0, or there are fewer than 2 steps.

    Source: Smith 2017 (arXiv:1506.01186), section 3.3, with exponential steps as in Howard's fast.ai.
    """
    if not 0.0 < low < high or steps < 2:
        raise ValueError(f"A sweep needs rates 0 < low < high and 2 steps: got {low}, {high} and {steps}.")
    schedule.sweep(low, high, steps)
    recorder = _Recorder(steps, on_step)
    model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[recorder])
    return recorder.found


def smooth(found: Sequence[float], steps: int) -> np.ndarray:
    """Smooths the losses of a sweep by an exponential moving average without the bias of its start.

    Args:
        found: N losses.
        steps: of the whole sweep, at least N; the average reaches over a twentieth of them.

    Returns:
        float64 [N].

    Source: Kingma and Ba 2015 (arXiv:1412.6980), section 3, for the correction.
    """
    momentum, average, values = smoothing(steps), 0.0, []
    for number, loss in enumerate(found, start=1):
        average = momentum * average + (1.0 - momentum) * loss
        values.append(average / (1.0 - momentum**number))
    return np.array(values)


def smoothing(steps: int) -> float:
    """Returns the share of the old average that each step keeps, in [0, 1)."""
    return max(0.0, 1.0 - 1.0 / max(1.0, _WINDOW_SHARE * steps))


class _Recorder(keras.callbacks.Callback):
    """Keeps the loss of each mini-batch alone, and ends the training when it diverges."""

    def __init__(self, steps: int, on_step: Callable[[int, float], None]) -> None:
        super().__init__()
        self.found: list[float] = []
        self._steps, self._on_step = steps, on_step

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Makes the next loss that of one mini-batch."""
        self.model.reset_metrics()  # Keras reports the mean of an epoch so far

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the loss, and stops where it is not finite or has diverged."""
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            self.model.stop_training = True
            return
        self.found.append(loss)
        self._on_step(len(self.found), loss)
        smoothed = smooth(self.found, self._steps)
        self.model.stop_training = bool(smoothed[-1] > DIVERGED * smoothed.min())
