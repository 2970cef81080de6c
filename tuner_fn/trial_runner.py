"""The Keras Tuner of this kit: trains trials with `models.training`, reports them, and leaves a leaderboard."""

import csv
import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras_tuner

from data import files, progress
from models import training
from models.hyperparameters import ExperimentConfig
from tuner_fn import failures, reporting, search_space

OBJECTIVE = "val_AP"


class DetectionTuner(keras_tuner.Tuner):
    """Searches hyperparameters of the detector for the COCO mAP on the validation split.

    The learning rate of every trial falls to zero by its last epoch, so that short trials can be compared; one that
    goes on from another starts from that one's whole training state. After every trial `leaderboard.csv`,
    `leaderboard.json` and `best_config.json` in the project's folder are written anew.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        config: ExperimentConfig,
        *,
        class_names: Sequence[str],
        max_epochs: int,
        directory: str | os.PathLike[str],
        logdir: str | os.PathLike[str],
    ) -> None:
        """Opens the search; one that was interrupted in `directory` goes on.

        Args:
            oracle: as `make_oracle` returns.
            config: base settings of all trials.
            class_names: in label order.
            max_epochs: of one trial, unless the oracle says otherwise.
            directory: of the search's state.
            logdir: of TensorBoard's logs.
        """
        directory = pathlib.Path(directory)
        super().__init__(oracle=oracle, directory=str(directory.parent), project_name=directory.name)
        self.config, self.class_names, self.max_epochs = config, tuple(class_names), max_epochs
        self.logdir = pathlib.Path(logdir)

    def on_search_begin(self) -> None:
        """Announces the plan."""
        self.save()  # so that a search killed in its first trial is found again
        searched = [parameter.name for parameter in self.oracle.hyperparameters.space]
        reporting.write_hparams_domain(self.logdir, self.config, searched)
        progress.emit("plan", trials=self.oracle.planned_trials(), epochs=self.oracle.planned_epochs())

    def run_trial(
        self, trial: keras_tuner.engine.trial.Trial, train_files: Sequence[str], val_files: Sequence[str], **_: Any
    ) -> dict[str, float]:
        """Trains one trial.

        Args:
            trial: values to train with; `tuner/epochs` and `tuner/trial_id` as Keras Tuner's Hyperband gives them.
            train_files: GZIP TFRecord files.
            val_files: GZIP TFRecord files.

        Returns:
            The metrics of the last epoch, `val_AP` among them.

        Raises:
            FailedTrialError: the configuration cannot be trained; the search goes on.
            FatalError: anything else; the search stops.
        """
        values = trial.hyperparameters.values
        number, total = int(trial.trial_id) + 1, self.oracle.planned_trials()
        searched = {name: value for name, value in values.items() if not name.startswith("tuner/")}
        about = {"number": number, "total": total, "trial_id": trial.trial_id, "hyperparameters": searched}
        progress.emit("trial", state="started", score=None, reason=None, **about)
        epochs, parent = values.get("tuner/epochs", self.max_epochs), values.get("tuner/trial_id")
        log = reporting.TrialLog(self.logdir / f"trial_{trial.trial_id}", searched, f"trial {trial.trial_id}")

        def on_epoch(report: training.EpochReport) -> None:
            log.epoch(report)
            progress.emit("epoch", stage="search", epochs=epochs, **reporting.progress_fields(report))

        try:
            result = training.train(
                search_space.configuration(self.config, values),
                train_files,
                val_files,
                self.class_names,
                epochs=epochs,
                checkpoint=reporting.state_file(self.get_trial_dir(trial.trial_id)),
                start_from=reporting.state_file(self.get_trial_dir(parent)) if parent is not None else None,
                validate_every=epochs,
                on_epoch=on_epoch,
            )
        except Exception as error:
            failure = failures.as_trial_failure(error)
            progress.emit("trial", state="failed", score=None, reason=str(failure), **about)
            raise failure from error
        last = result.history[-1]
        progress.emit("trial", state="done", score=last["AP"], reason=None, **about)
        scores = {name: float(last[name]) for name in ("AP", "AP50", "AP75")}
        return {OBJECTIVE: scores["AP"], "val_AP50": scores["AP50"], "val_AP75": scores["AP75"], "epochs": epochs}

    def on_trial_end(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Ends the trial and writes the leaderboard."""
        super().on_trial_end(trial)
        self._write_results()

    def on_search_end(self) -> None:
        """Writes the leaderboard.

        Raises:
            FatalError: no trial succeeded.
        """
        self._write_results()
        if not any(row["rank"] for row in self.leaderboard()):
            reasons = "; ".join(sorted({row["reason"] for row in self.leaderboard()})) or "no trial was run"
            raise keras_tuner.errors.FatalError(f"No trial of the search succeeded: {reasons}")

    def leaderboard(self) -> list[dict[str, Any]]:
        """Returns `reporting.leaderboard` of this search."""
        return reporting.leaderboard(self.oracle.trials[trial_id] for trial_id in self.oracle.start_order)

    def _write_results(self) -> None:
        rows = self.leaderboard()
        folder = pathlib.Path(self.project_dir)
        files.write_text(folder / "leaderboard.json", json.dumps(rows, indent=1))
        table = io.StringIO()
        names = sorted({name for row in rows for name in row["hyperparameters"]})
        writer = csv.writer(table, lineterminator="\n")
        columns = [name for name in (rows[0] if rows else {}) if name != "hyperparameters"]
        writer.writerow([*columns, *names])
        writer.writerows([*(row[c] for c in columns), *(row["hyperparameters"].get(n) for n in names)] for row in rows)
        files.write_text(folder / "leaderboard.csv", table.getvalue())
        if rows and rows[0]["rank"]:
            best = search_space.configuration(self.config, rows[0]["hyperparameters"])
            files.write_text(folder / "best_config.json", json.dumps(best.to_dict(), indent=1))
