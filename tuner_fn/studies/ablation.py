"""An ablation: the baseline and each variant of it trained with the same seeds, every training kept."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras_tuner

from data import files, progress
from data.errors import UserError
from models.evaluation import coco
from models.hyperparameters import ExperimentConfig
from tuner_fn import objectives, reporting, search_files
from tuner_fn.studies.variants import BASELINE, Variant
from tuner_fn.supervisor import DiedError, EpochReport, TrainingProcess
from tuner_fn.worker import Job

_SLOWER, _LEAST_TIMEOUT_S = 20.0, 600.0  # as of the search: a training that takes so much longer hangs
_BUILDING_S = 13.0  # to build and trace a detector, on two cores
_SEED_S = 2.0  # to draw the initial weights of another seed of it


@dataclasses.dataclass(frozen=True)
class Ablation:
    """What is compared, on what.

    Attributes:
        baseline: all settings; `training.seed` is the first seed, `training.epochs` the length of each training.
        variants: changes of it, at least one.
        repeats: seeds, at least 1.
        metric: of `objectives.every`, on the val split after the last epoch.
        class_names: in label order.
        train_files: GZIP TFRecord files.
        val_files: GZIP TFRecord files.
        depends_on: what a training's result depends on beside settings and epochs, as JSON values; files of weights
            that the settings name count by their content, too.
    """

    baseline: ExperimentConfig
    variants: tuple[Variant, ...]
    repeats: int
    metric: str
    class_names: tuple[str, ...]
    train_files: tuple[str, ...]
    val_files: tuple[str, ...]
    depends_on: Mapping[str, Any]

    @property
    def seeds(self) -> range:
        """The seeds of the repeats."""
        return range(self.baseline.training.seed, self.baseline.training.seed + self.repeats)

    def trainings(self) -> Iterator[tuple[Variant, int]]:
        """Yields variant and seed of each training: the baseline with all seeds, then all variants seed by seed."""
        for seed in self.seeds:
            yield Variant(BASELINE, {}), seed
        for seed in self.seeds:
            for variant in self.variants:
                yield variant, seed

    def config(self, variant: Variant, seed: int) -> ExperimentConfig:
        """Returns the settings of a training."""
        return self.baseline.replace({**variant.settings, "training.seed": seed})

    def key(self, config: ExperimentConfig) -> str:
        """Names a training by all that decides it: 16 hexadecimal digits."""
        weights = config.model.weights_digests()
        parts = json.dumps([config.to_dict(), self.class_names, self.depends_on, weights], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Training:
    """A training that has ended.

    Attributes:
        variant: name of the variant; `BASELINE` for the baseline.
        seed: that it was trained with.
        losses: mean training loss of each epoch, the penalty on the weights included.
        metrics: of the last epoch, as `coco.coco_metrics` with None for NaN; {} where it failed.
        failed: why; "" where it did not, and has a score.
        is_passing: whether the failure may pass: its process was killed or hung. The next start tries it again.
    """

    variant: str
    seed: int
    losses: tuple[float, ...]
    metrics: Mapping[str, float | None]
    failed: str = ""
    is_passing: bool = False


def run(ablation: Ablation, folder: pathlib.Path, process: TrainingProcess) -> None:
    """Trains what has not been trained; `read` returns what has.

    A training that was interrupted continues from its last epoch.

    Args:
        ablation: what to compare.
        folder: of the trainings.
        process: that trains; it is closed in the end.

    Raises:
        UserError: the baseline cannot be trained.
        FatalError: as `TrainingProcess.train`.
    """
    todo = list(ablation.trainings())
    waiting = [one for one in todo if _is_open(_kept(ablation, folder, *one))]
    try:
        timeout_s = _announce(ablation, len(todo), waiting, process) if waiting else None
        for number, (variant, seed) in enumerate(todo, start=1):
            found = _kept(ablation, folder, variant, seed)
            if _is_open(found):
                about = {"number": number, "total": len(todo), "trial_id": f"{variant.name}, seed {seed}"}
                about["hyperparameters"] = {"change": variant.name, "seed": seed}
                found = _train(ablation, folder, variant, seed, process, timeout_s, about)
            if variant.name == BASELINE and found.failed:
                way_out = "Change the baseline with --set, for example --set=optimizer.learning_rate=0.0005."
                if found.is_passing:
                    way_out = "The same command tries it again."
                raise UserError(
                    f"The baseline cannot be trained with seed {seed}, so nothing can be compared: {found.failed}"
                    f" {way_out}"
                )
    finally:
        process.close()


def read(ablation: Ablation, folder: pathlib.Path) -> list[Training]:
    """Reads the trainings that have ended, in the order of `Ablation.trainings`."""
    found = [_kept(ablation, folder, *one) for one in ablation.trainings()]
    return [one for one in found if one is not None]


def _announce(
    ablation: Ablation, total: int, waiting: Sequence[tuple[Variant, int]], process: TrainingProcess
) -> float | None:
    """Says how much there is to do and how long it takes; returns the seconds after which a training hangs."""
    epochs, done = ablation.baseline.training.epochs, total - len(waiting)
    plan = {"trials": total, "epochs": total * epochs, "done_epochs": done * epochs}
    seconds = timeout_s = None
    try:
        training_s = process.measure(_job(ablation, ablation.baseline, "")).seconds(epochs, 1)
        built = len({variant.name for variant, _ in waiting})  # of the same one all seeds train a traced network
        seconds = built * _BUILDING_S + len(waiting) * (_SEED_S + training_s)
        timeout_s = max(_SLOWER * (_BUILDING_S + training_s), _LEAST_TIMEOUT_S)
    except keras_tuner.errors.FailedTrialError:
        pass  # the baseline's training will say why
    progress.emit("plan", done_trials=done, seconds=seconds, **plan)
    return timeout_s


def _train(
    ablation: Ablation,
    folder: pathlib.Path,
    variant: Variant,
    seed: int,
    process: TrainingProcess,
    timeout_s: float | None,
    about: Mapping[str, Any],
) -> Training:
    config = ablation.config(variant, seed)
    path = _file(ablation, folder, config)
    epochs = config.training.epochs
    objective = objectives.get(ablation.metric).text
    progress.emit("trial", state="started", score=None, reason=None, objective=objective, **about)

    def on_epoch(report: EpochReport) -> None:
        progress.emit("epoch", stage="search", epochs=epochs, **reporting.progress_fields(report))

    state = path.with_suffix(".npz")
    try:
        history = process.train(_job(ablation, config, str(state)), on_epoch, timeout_s)
    except keras_tuner.errors.FailedTrialError as failure:
        is_passing = isinstance(failure.__cause__, DiedError | TimeoutError)
        found = Training(variant.name, seed, (), {}, str(failure).partition("\n")[0], is_passing)
        progress.emit("trial", state="failed", score=None, reason=found.failed, objective=objective, **about)
    else:
        last = {name: value for name, value in history[-1].items() if name in _metric_names(history[-1])}
        losses = tuple(float(report["loss"]) for report in history)
        found = _with_score(ablation, Training(variant.name, seed, losses, coco.to_json_numbers(last)))
        score = last[ablation.metric]
        progress.emit("trial", state="done", score=score, reason=None, objective=objective, **about)
    failed = found.failed if not found.metrics else ""  # whether it has a score depends on the metric asked for
    files.write_json(path, dataclasses.asdict(found) | {"failed": failed, "settings": config.to_dict()})
    state.unlink(missing_ok=True)
    return found


def _is_open(training: Training | None) -> bool:
    """Tells whether a start trains what it has found so."""
    return training is None or training.is_passing


def _with_score(ablation: Ablation, training: Training) -> Training:
    """Says of a training that ended without a score in the metric that it has none."""
    if training.failed or training.metrics.get(ablation.metric) is not None:
        return training
    reason = "is not a number" if ablation.metric in training.metrics else "was not computed"
    return dataclasses.replace(training, failed=f"Its val {ablation.metric} {reason}.")


def _metric_names(report: Mapping[str, float]) -> list[str]:
    """Names what a validation added to an epoch's report."""
    return [name for name in report if name.startswith(("AP", "AR")) or name in objectives.every()]


def _job(ablation: Ablation, config: ExperimentConfig, checkpoint: str) -> Job:
    return Job(
        settings=config.to_dict(),
        train_files=ablation.train_files,
        val_files=ablation.val_files,
        class_names=ablation.class_names,
        epochs=config.training.epochs,
        schedule_epochs=config.training.epochs,
        validate_at=(),
        checkpoint=checkpoint,
        objective=ablation.metric,
    )


def _file(ablation: Ablation, folder: pathlib.Path, config: ExperimentConfig) -> pathlib.Path:
    return folder / f"{ablation.key(config)}.json"


def _kept(ablation: Ablation, folder: pathlib.Path, variant: Variant, seed: int) -> Training | None:
    """Reads a training; one of the same settings counts whatever its variant was called."""
    names = [field.name for field in dataclasses.fields(Training)]

    def training(saved: Mapping[str, Any]) -> Training:
        values = {"is_passing": False, **saved}
        values = {name: values[name] for name in names} | {"variant": variant.name, "losses": tuple(saved["losses"])}
        return _with_score(ablation, Training(**values))

    return search_files.read(_file(ablation, folder, ablation.config(variant, seed)), training)
