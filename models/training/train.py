"""Training of one configuration: the same function for a trial and for the final model."""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
import numpy as np

from data import augment, files, input_pipeline, tiles
from data.errors import UserError
from models.evaluation import coco, detections, paired_bootstrap
from models.hyperparameters import ExperimentConfig
from models.network.detector import Detector
from models.training import best_epoch, devices, initial_weights, network_cost, programs, training_state
from models.training.divergence import DivergedError

EpochReport = dict[str, float]
EVAL_BATCH = 32  # images a batch of validation; results do not depend on it
NAN_CHECK_STEPS = 10
NUM_RESAMPLES = 200  # of the validation images; a standard error is then known to a twentieth
_MEASURED_STEPS = 5


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        detector: the model with the weights of `epoch`, or their moving average where the optimizer keeps one. Valid
            until the next `train` of the process, which may reuse it.
        history: one report an epoch, from the first, also over earlier parts that were continued.
        epoch: from 1; 0 before the first one.
    """

    detector: Detector
    history: list[EpochReport]
    epoch: int


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long training takes, once it is traced.

    Attributes:
        step_s: seconds a step, the median of a few.
        steps: of an epoch.
        validation_s: seconds to predict the validation split.
    """

    step_s: float
    steps: int
    validation_s: float

    def seconds(self, epochs: int, validations: int) -> float:
        """Estimates the seconds of so many epochs and validations."""
        return epochs * self.steps * self.step_s + validations * self.validation_s


def train(
    config: ExperimentConfig,
    train_files: Sequence[str],
    val_files: Sequence[str],
    class_names: Sequence[str],
    *,
    epochs: int,
    schedule_epochs: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    start_from: str | os.PathLike[str] | None = None,
    inherit_from: str | os.PathLike[str] | None = None,
    validate_at: Collection[int] | None = None,
    resampled: str | None = None,
    best_by: str | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_validation: Callable[[int, Sequence[coco.ImageResult]], None] = lambda epoch, results: None,
    should_stop: Callable[[Sequence[EpochReport]], bool] = lambda history: False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainingResult:
    """Trains one configuration and scores it on the validation split.

    Args:
        config: all settings; `training.epochs` is not read.
        train_files: GZIP TFRecord files of tf.Examples.
        val_files: the same; may not be empty.
        class_names: C names in label order.
        epochs: train until this many epochs are done, those of `start_from` included.
        schedule_epochs: that the learning rate's schedule spans, at least `epochs`; None for `epochs`. A training that
            ends before is at that point of the longer one.
        checkpoint: file that gets the whole training state after every epoch. If it exists already, training continues
            from it.
        start_from: file of an earlier part of the same training to continue from, unless `checkpoint` exists.
        inherit_from: training state of any other network, whose weights (nothing else) a training begins with that has
            no earlier part, unless it is missing or damaged; see `inheritance.inherit`.
        validate_at: epochs, counted from 1, after which the model is scored; the last one always is. None for all.
        resampled: metric whose values over resamples of the validation images the last epoch writes to
            `resampled_file(checkpoint)`; None for none.
        best_by: metric by which the best of the validated epochs gives the weights in the end, that of the state which
            is continued among them; None for the last epoch.
        on_epoch: called after every epoch with its report: epoch (from 1), loss, images_per_s, seconds and, where it
            was validated, the metrics of `detection_metrics.coco_metrics`.
        on_validation: called before it with each validated epoch, from 1, and what was found in the validation images,
            in the order of the files.
        should_stop: asked with all reports, before the first epoch and after each one, whether training ends here;
            "seconds" of the last one are still missing then.
        callbacks: of Keras, called before the rest at the end of an epoch; they may only watch.

    Returns:
        The trained detector and the reports.

    Raises:
        DivergedError: the loss became NaN or infinite.
        ValueError: a split holds no example.
    """
    devices.configure_device()
    split, validation = load_data(config, train_files, val_files, class_names)
    steps = input_pipeline.steps_per_epoch(split.length, config.input.batch_size)
    program = programs.get_program(config, len(class_names))
    history = _restore(program, config, checkpoint, start_from)
    if not history:
        program.start(config, class_names)
    if inherit_from is not None and not history:
        initial_weights.inherit(program.detector.network, inherit_from)
    program.configure(config, steps * (schedule_epochs or epochs))
    network = program.detector.variables
    best = best_epoch.BestEpoch(best_by, checkpoint, network) if best_by else None
    if best is not None and history and not best.report:
        with program.scored_weights():
            best.consider(history[-1], network)
    if len(history) < epochs and not should_stop(history):
        batches = training_batches(split, config, first_epoch=len(history), epochs=epochs)
        images = steps * min(config.input.batch_size, split.length)
        lengths = {"initial_epoch": len(history), "epochs": epochs, "steps_per_epoch": steps}
        asked = (validate_at, resampled, checkpoint, best, on_epoch, on_validation, should_stop)
        report = _Reporter(program, validation, history, images, epochs, *asked)
        program.detector.fit(batches, **lengths, verbose=0, callbacks=[*callbacks, report])
    program.detector.optimizer.finalize_variable_values(program.detector.trainable_variables)
    if best is not None and best.report:
        best.put_back(network)
        return TrainingResult(program.detector, history, int(best.report["epoch"]))
    return TrainingResult(program.detector, history, len(history))


def resampled_file(checkpoint: str | os.PathLike[str]) -> pathlib.Path:
    """Names the file of a training's resampled metric, beside its state."""
    return pathlib.Path(checkpoint).with_name("resampled.json")


def load_data(
    config: ExperimentConfig, train_files: Sequence[str], val_files: Sequence[str], class_names: Sequence[str]
) -> tuple[input_pipeline.Split, "Validation"]:
    """Loads both splits; raises ValueError where one is empty."""
    loader = (config.input.size, config.input.max_boxes, config.input.cache_bytes)
    share = (config.training.data_share, tiles.parse_grid(config.input.tile).count)
    split = input_pipeline.load_split(tuple(train_files), *loader, *share)
    validation = Validation(tuple(val_files), config, tuple(class_names))
    if split.length == 0:
        raise ValueError("The train split holds no examples.")
    return split, validation


def training_batches(split: input_pipeline.Split, config: ExperimentConfig, *, first_epoch: int, epochs: int) -> Any:
    """Makes the dataset of augmented batches of epochs `first_epoch` (from 0) to `epochs`."""
    return input_pipeline.training_batches(
        split,
        batch_size=config.input.batch_size,
        seed=config.training.seed,
        first_epoch=first_epoch,
        epochs=epochs,
        augment=augment.augmentation(**dataclasses.asdict(config.augment)),
    )


def measure(
    config: ExperimentConfig, train_files: Sequence[str], val_files: Sequence[str], class_names: Sequence[str]
) -> Pace:
    """Measures the speed of training by its first steps; what was traced for it is used by `train`, too.

    Args:
        config: as of `train`.
        train_files: as of `train`.
        val_files: as of `train`.
        class_names: as of `train`.

    Raises:
        ValueError: as of `train`.
    """
    devices.configure_device()
    split, validation = load_data(config, train_files, val_files, class_names)
    steps = input_pipeline.steps_per_epoch(split.length, config.input.batch_size)
    program = programs.get_program(config, len(class_names))
    program.reset(config)
    program.configure(config, steps)
    clock = _Clock()
    batches = training_batches(split, config, first_epoch=0, epochs=1)
    program.detector.fit(batches, steps_per_epoch=min(steps, 1 + _MEASURED_STEPS), verbose=0, callbacks=[clock])
    return Pace(float(np.median(clock.steps_s()[1:] or clock.steps_s())), steps, validation.seconds(program.detector))


def restore(config: ExperimentConfig, num_classes: int, checkpoint: str | os.PathLike[str]) -> Detector:
    """Builds the detector of a training state, with the weights that its last validation scored.

    Args:
        config: as it was trained with.
        num_classes: C.
        checkpoint: as `train` wrote it.

    Raises:
        FileNotFoundError: there is none.
        UserError: it is damaged.
    """
    if not pathlib.Path(checkpoint).exists():
        raise FileNotFoundError(f"There is no training state {checkpoint}.")
    program = programs.get_program(config, num_classes)
    if not _restore(program, config, checkpoint):
        raise UserError(f"The training state {checkpoint} is damaged. Train it again.")
    program.detector.apply_live_settings(config)
    program.detector.optimizer.finalize_variable_values(program.detector.trainable_variables)
    return program.detector


def costs(
    config: ExperimentConfig, num_classes: int, *, latency: bool, formats: Sequence[str] = ()
) -> dict[str, float]:
    """Returns `network_cost.costs` of a configuration that is to be trained; with `network_cost.latency` if asked."""
    devices.configure_device()
    detector = programs.get_program(config, num_classes).detector
    return network_cost.costs(detector) | (network_cost.latency(detector, formats) if latency else {})


class _Clock(keras.callbacks.Callback):
    """Notes when steps begin and end."""

    def __init__(self) -> None:
        super().__init__()
        self.times_s: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time."""
        self.times_s.append(time.perf_counter())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Waits for the step to end, and notes the time."""
        float(logs["loss"])  # a GPU may still be at work
        self.times_s.append(time.perf_counter())

    def steps_s(self) -> list[float]:
        """Returns how long each step took."""
        return [end - start for start, end in zip(self.times_s[::2], self.times_s[1::2], strict=True)]


class _Reporter(keras.callbacks.Callback):
    """Checks the loss, validates, saves the state and reports, after every epoch."""

    def __init__(
        self,
        program: programs.Program,
        validation: "Validation",
        history: list[EpochReport],
        images: int,
        epochs: int,
        validate_at: Collection[int] | None,
        resampled: str | None,
        checkpoint: str | os.PathLike[str] | None,
        best: best_epoch.BestEpoch | None,
        on_epoch: Callable[[EpochReport], None],
        on_validation: Callable[[int, Sequence[coco.ImageResult]], None],
        should_stop: Callable[[Sequence[EpochReport]], bool],
    ) -> None:
        super().__init__()
        self.program, self.validation, self.history, self.images = program, validation, history, images
        self.validate_at = range(1, epochs + 1) if validate_at is None else {*validate_at, epochs}
        self.checkpoint, self.epochs, self.resampled, self.best = checkpoint, epochs, resampled, best
        self.report_epoch, self.report_validation, self.should_stop = on_epoch, on_validation, should_stop

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time."""
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the loss now and then."""
        if batch % NAN_CHECK_STEPS == 0:
            self._check(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Validates where it is due, saves the state, reports, and stops where that is asked for."""
        self._check(logs)
        trained = time.perf_counter()
        report = {
            "epoch": epoch + 1,
            "loss": float(logs["loss"]),
            "learning_rate": float(self.program.schedule(self.program.detector.optimizer.iterations - 1)),
            "images_per_s": self.images / (trained - self.started),
        }
        self.history.append(report)
        if epoch + 1 in self.validate_at:
            self._validate(report)
        stops = self.should_stop(self.history)
        if stops and epoch + 1 not in self.validate_at:
            self._validate(report)
        report["seconds"] = time.perf_counter() - self.started
        if self.checkpoint is not None:
            training_state.save(self.checkpoint, self.program.variables(), self.history)
        self.report_epoch(report)
        self.model.stop_training = stops

    def _validate(self, report: EpochReport) -> None:
        """Adds the metrics to an epoch's report."""
        detector = self.program.detector
        with self.program.scored_weights():
            results = self.validation.results(detector)
            report.update(coco.coco_metrics(results, self.validation.class_names))
            if self.best is not None:
                self.best.consider(report, detector.variables)
        self.report_validation(int(report["epoch"]), results)
        if self.resampled is not None and report["epoch"] == self.epochs:
            self._write_resampled(results)

    def _write_resampled(self, results: Sequence[coco.ImageResult]) -> None:
        about = (results, self.validation.class_names, self.resampled)
        values = paired_bootstrap.resampled(*about, num_resamples=NUM_RESAMPLES)
        numbers = [None if math.isnan(value) else round(float(value), 6) for value in values]
        files.write_json(resampled_file(self.checkpoint), numbers)

    def _check(self, logs: dict[str, Any]) -> None:
        if not math.isfinite(float(logs["loss"])):
            raise DivergedError("The loss is not finite; a lower `optimizer.learning_rate` may help.")


class Validation:
    """Scores a detector on the validation split."""

    def __init__(self, files: tuple[str, ...], config: ExperimentConfig, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        loader = (config.input.size, config.input.max_boxes, config.input.cache_bytes)
        self.split = input_pipeline.load_split(files, *loader)
        if self.split.length == 0:
            raise ValueError("The val split holds no examples.")
        self.truth = input_pipeline.read_ground_truth(files)

    def metrics(self, detector: Detector) -> dict[str, float]:
        """Returns `detection_metrics.coco_metrics` of the detector."""
        return coco.coco_metrics(self.results(detector), self.class_names)

    def results(self, detector: Detector) -> list[coco.ImageResult]:
        """Returns the detections and the ground truth of every image."""
        is_spread = detector.distribute_strategy.num_replicas_in_sync > 1
        found = detector.predict(self.split.images(EVAL_BATCH, is_padded=is_spread), verbose=0)
        return [
            detections.image_result(record, detections.image_detections(found, row))
            for row, record in enumerate(self.truth)
        ]

    def seconds(self, detector: Detector) -> float:
        """Measures how long the predictions take, from one batch."""
        batch = self.split.images(EVAL_BATCH).take(1)
        detector.predict(batch, verbose=0)  # traces
        started = time.perf_counter()
        detector.predict(batch, verbose=0)
        return (time.perf_counter() - started) * math.ceil(len(self.truth) / EVAL_BATCH)


def _restore(
    program: programs.Program, config: ExperimentConfig, *paths: str | os.PathLike[str] | None
) -> list[EpochReport]:
    """Loads the first state that exists and is whole, else the initial one; returns its history."""
    for path in paths:
        exists = path is not None and pathlib.Path(path).exists()
        found = training_state.load(path, program.variables()) if exists else None
        if found is not None:
            program.restore(found[0])
            return found[1]
    program.reset(config)
    return []
