"""`run_fn(fn_args)`, the function that the TFX Trainer component calls: trains the winner in full and exports it."""

import dataclasses
import hashlib
import json
import math
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from data import dataset_info, files, progress
from data.run_directory import RunDirectory
from models.evaluation import coco, detections
from models.export import model_card, saved_model, versions
from models.hyperparameters import ExperimentConfig
from models.training import train
from pipeline.components import step_profile
from tuner_fn import objectives, reporting, search_results, search_space, validation_summary

_ENDED = "ended"  # file beside the state of a training that has ended
HISTORY_FILE = f"{detections.EXTRAS}/history.json"  # epoch by epoch, beside the model
VALIDATIONS = 6  # during the training; each costs a fraction of an epoch


def run_fn(fn_args: Any) -> None:
    """Trains the best configuration of the search on the train split and writes the SavedModel.

    The weights are those of the best validated epoch; the last epoch of the winner's trial is among them, so that the
    model is no worse on val than its own trial.

    It continues from the winner's state, where the search has left one: no epoch is trained twice. A training that was
    interrupted continues from its last epoch; its state lies in `<workdir>/training/<key>`.

    Args:
        fn_args: TFX's FnArgs; `hyperparameters` is the best trial's, `custom_config` holds "config"
            (`ExperimentConfig.to_dict`), "objective" (the metric that the best epoch is chosen by), "workdir", "origin"
            (goes to `training.json`), "trials" (as `search_folder.search_parts`) and, to record a few steps for
            TensorBoard's profiler, "profile".
    """
    settings = fn_args.custom_config
    values = fn_args.hyperparameters.get("values", {})
    config = search_space.configuration(ExperimentConfig.from_dict(settings["config"]), values)
    folder = dataset_info.examples_dir(fn_args.train_files)
    info = dataset_info.read(folder)
    val_files = dataset_info.split_files(folder, "val")
    paths = RunDirectory(pathlib.Path(settings["workdir"]))
    depends_on = [settings["trials"], settings["objective"], values.get(search_results.STATE)]
    state = paths.training(_training_key(info, config, depends_on)) / "state.npz"
    forget_ended(paths, but=state.parent)
    shutil.rmtree(paths.training_logs, ignore_errors=True)  # of an earlier training, or of this one, logged again
    epochs = config.training.epochs
    followed = _Followed(paths.training_logs, validation_summary.Summariser(val_files, info.class_names), epochs)
    result = train.train(
        config,
        dataset_info.split_files(folder, "train"),
        val_files,
        info.class_names,
        epochs=epochs,
        checkpoint=state,
        start_from=values.get(search_results.STATE),
        validate_at=range(0, epochs, max(1, epochs // VALIDATIONS)),
        best_by=settings["objective"],
        on_epoch=followed.on_epoch,
        on_validation=followed.on_validation,
        should_stop=followed.begin,
        callbacks=[step_profile.StepProfile(paths.training_logs)] if settings.get("profile") else [],
    )
    for text in exported_texts(result.history, result.epoch, settings["objective"], values.get(search_results.SCORE)):
        progress.emit("note", text=text)
    followed.begin(result.history)  # where the search has trained it all
    if not followed.validated:
        validation = train.Validation(tuple(val_files), config, info.class_names)
        followed.on_validation(result.epoch, validation.results(result.detector))
    _export(result, info, settings["origin"], pathlib.Path(fn_args.serving_model_dir))
    followed.log.graph(saved_model.network_graph(result.detector))
    followed.log.close(succeeded=True)
    files.write_text(state.parent / _ENDED, "")  # the state stays until the model is known to ML Metadata


class _Followed:
    """What TensorBoard and the screen are told of the training."""

    def __init__(self, logs: pathlib.Path, summariser: validation_summary.Summariser, epochs: int) -> None:
        self.log = reporting.TrialLog(logs, {}, "final")
        self.validated = False
        self._summariser, self._epochs, self._begun = summariser, epochs, False

    def begin(self, history: Sequence[train.EpochReport]) -> bool:
        """Logs what was trained before, ahead of the rest: TensorBoard drops the epochs that precede an earlier one.

        Returns:
            False: the training need not stop.
        """
        for report in () if self._begun else history:
            self.log.epoch(report)
        self._begun = True
        return False

    def on_epoch(self, report: train.EpochReport) -> None:
        """Logs and shows an epoch."""
        self.log.epoch(report)
        progress.emit("epoch", stage="train", epochs=self._epochs, **reporting.progress_fields(report))

    def on_validation(self, epoch: int, results: Sequence[coco.ImageResult]) -> None:
        """Logs the curves and pictures of a validated epoch."""
        self.validated = True
        self.log.validation(self._summariser.summarise(epoch, results))


def _export(
    result: train.TrainingResult, info: dataset_info.DatasetInfo, origin: Mapping[str, Any], folder: pathlib.Path
) -> None:
    """Writes the SavedModel with what it was trained on, with which versions, and its epochs."""
    saved_model.export_saved_model(result.detector, info.class_names, folder)
    files.write_json(
        folder / detections.EXTRAS / model_card.TRAINING_FILE,
        {
            "dataset": dataclasses.asdict(info),
            "versions": versions.installed(),
            "epoch": result.epoch,
            "epochs": len(result.history),
            **origin,
        },
    )
    files.write_json(folder / HISTORY_FILE, [coco.to_json_numbers(one) for one in result.history])


def forget_ended(paths: RunDirectory, but: pathlib.Path | None = None) -> None:
    """Deletes the states of trainings that have ended.

    Args:
        paths: of the run.
        but: folder that stays.
    """
    for mark in (paths.root / "training").glob(f"*/{_ENDED}"):
        if mark.parent != but:
            shutil.rmtree(mark.parent, ignore_errors=True)


def exported_texts(
    history: Sequence[train.EpochReport], epoch: int, metric: str, trial_score: float | None
) -> list[str]:
    """Says what a user would not expect of the exported weights.

    Args:
        history: one report an epoch.
        epoch: whose weights are exported, from 1.
        metric: of `objectives.every`.
        trial_score: that the winner's trial ended with; None where there was none.

    Returns:
        Sentences: that the last epoch is not the best, and that the model is worse on val than its own trial.
    """
    name, best, last = objectives.get(metric).text, history[epoch - 1].get(metric, math.nan), history[-1]
    texts = []
    if epoch < len(history):
        texts.append(
            f"The weights of epoch {epoch} are exported, with val {name} {best:.3f} the best of the training; its last"
            f" epoch, {len(history)}, has {last[metric]:.3f}."
        )
    if trial_score is not None and best < trial_score:
        texts.append(
            f"The final model has val {name} {best:.3f}, less than the {trial_score:.3f} of the winner's trial."
        )
    return texts


def _training_key(info: dataset_info.DatasetInfo, config: ExperimentConfig, depends_on: Sequence[Any]) -> str:
    parts = json.dumps([info.fingerprint, info.class_names, config.to_dict(), depends_on])
    return hashlib.sha256(parts.encode()).hexdigest()[:12]
