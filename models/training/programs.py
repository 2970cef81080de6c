"""Detectors that are traced once and used for many trainings."""

import collections
import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data import progress
from models.hyperparameters import ExperimentConfig
from models.network.detector import Detector
from models.training import devices, initial_weights, optimizers, schedules

_MOST_SEEDS = 4  # whose initial values a program keeps; drawing them again takes as long as building the network
_MOST_PROGRAMS = 6  # about 200 MB each on a CPU; making one and tracing it takes as long as 300 small images


class Program:
    """A detector with its optimizer, traced once and used for every training of the same architecture and any seed.

    Attributes:
        detector: the compiled model.
    """

    def __init__(self, config: ExperimentConfig, num_classes: int) -> None:
        """Builds detector and optimizer; tracing waits for the first step.

        Args:
            config: all settings.
            num_classes: at least 1.
        """
        self._started = ""
        with devices.distribution(config.input.batch_size):
            self.detector = build(config, num_classes)
            self.schedule = schedules.LiveSchedule()
            self.optimizer = optimizers.make_optimizer(config.optimizer, self.schedule)
            self.detector.compile(optimizer=self.optimizer, jit_compile=False)
            # Compiling may have wrapped it, to scale the loss of float16; what the wrapper keeps is state, too.
            self.detector.optimizer.build(self.detector.trainable_variables)
        network, optimizer = self.detector.variables, self.detector.optimizer.variables
        self._optimizer_start = [np.asarray(variable) for variable in optimizer]
        self._starts = collections.OrderedDict({config.training.seed: [np.asarray(variable) for variable in network]})

    def variables(self) -> list[Any]:
        """Lists everything that training changes: weights, random seeds, the optimizer's state."""
        return [*self.detector.variables, *self.detector.optimizer.variables]

    def restore(self, values: Sequence[np.ndarray]) -> None:
        """Sets everything that training changes, in the order of `variables`."""
        for variable, value in zip(self.variables(), values, strict=True):
            variable.assign(value)

    def reset(self, config: ExperimentConfig) -> None:
        """Sets everything that training changes to what it is before the first step with `training.seed`.

        The seed decides initial values alone, which are variables: another detector, built with it and never traced,
        has them.
        """
        seed = config.training.seed
        if seed not in self._starts:
            while len(self._starts) >= _MOST_SEEDS:
                self._starts.popitem(last=False)
            drawn = build(config, self.detector.num_classes)
            self._starts[seed] = [np.asarray(variable) for variable in drawn.variables]
        self._starts.move_to_end(seed)
        self.restore([*self._starts[seed], *self._optimizer_start])

    def start(self, config: ExperimentConfig, class_names: Sequence[str]) -> None:
        """Takes over the weights of `model.weights`; says what came and what did not, unless it did so last time."""
        text = initial_weights.start(self.detector.network, config, class_names)
        if text and text != self._started:
            progress.emit("note", text=text)
        self._started = text

    def configure(self, config: ExperimentConfig, total_steps: int) -> None:
        """Takes over the live settings of a training of `total_steps` steps."""
        self.detector.apply_live_settings(config)
        self.schedule.configure(config.optimizer, total_steps)
        optimizers.configure(self.optimizer, config.optimizer)

    @contextlib.contextmanager
    def scored_weights(self) -> Iterator[None]:
        """Puts the moving averages in the place of the weights for a while, where the optimizer keeps any."""
        optimizer, weights = self.detector.optimizer, self.detector.trainable_variables
        averaged = getattr(optimizer, "inner_optimizer", optimizer).use_ema
        own = [np.asarray(weight) for weight in weights] if averaged else []
        optimizer.finalize_variable_values(weights)
        try:
            yield
        finally:
            for weight, value in zip(weights, own, strict=False):
                weight.assign(value)


def build(config: ExperimentConfig, num_classes: int) -> Detector:
    """Builds a detector whose initial values `training.seed` decides; the process's random state stays as it was.

    Args:
        config: all settings.
        num_classes: at least 1.
    """
    # Keras draws its initializers' seeds from `random`. `keras.utils.set_random_seed` would also set TensorFlow's,
    # which drops every compiled function of the process: 20 s for each program on two cores.
    outside = random.getstate()
    random.seed(config.training.seed)
    try:
        return Detector(config, num_classes)
    finally:
        random.setstate(outside)


_programs: collections.OrderedDict[str, Program] = collections.OrderedDict()


def get_program(config: ExperimentConfig, num_classes: int) -> Program:
    """Finds or builds the program of an architecture, in whatever state its last training left it.

    The last few are kept.

    Args:
        config: all settings.
        num_classes: at least 1.
    """
    shaping = {}
    for path, field, value in config.items():
        if field.metadata["live"] == "above 0":
            shaping[path] = value > 0
        elif not field.metadata["live"] and not path.startswith("augment."):
            shaping[path] = value
    unread = (
        "training.epochs",
        "training.data_share",
        "training.seed",
        "input.cache_bytes",
        "input.max_boxes",
        "model.weights",
    )
    for path in unread:
        del shaping[path]
    key = json.dumps([shaping, num_classes])
    if key not in _programs:
        while len(_programs) >= _MOST_PROGRAMS:
            _programs.popitem(last=False)
        _programs[key] = Program(config, num_classes)
        restored = _programs[key].detector.restored
        if restored is not None:
            progress.emit("note", text=restored.summary())
    _programs.move_to_end(key)
    return _programs[key]
