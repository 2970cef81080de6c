"""What a search leaves: its leaderboard, the winner's settings and state, the study, the best model after Ctrl-C."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner

from data import files, progress
from models.hyperparameters import ExperimentConfig
from tuner_fn import objectives, optuna_study, reporting, search_space
from tuner_fn.finalists import DECISION_FILE, Finalists, heirs
from tuner_fn.oracles.base import SeededOracle

STATE = "tuner/state"  # among the winner's values: the file of its training state
SCORE = "tuner/score"  # among the winner's values: what its trial ended with
ON_VAL = "val_"
LEADERBOARD_FILE, TABLE_FILE, BEST_CONFIG_FILE = "leaderboard.json", "leaderboard.csv", "best_config.json"
RESULTS = (LEADERBOARD_FILE, TABLE_FILE, BEST_CONFIG_FILE, DECISION_FILE)  # what a report needs


class ReportedTuner(keras_tuner.Tuner):
    """A tuner of the detector that has trials and finalists to tell of; `DetectionTuner` trains them.

    Attributes:
        metric: the objective's, of `objectives.every`.
    """

    oracle: SeededOracle

    def __init__(
        self,
        oracle: SeededOracle,
        config: ExperimentConfig,
        *,
        class_names: Sequence[str],
        directory: pathlib.Path,
        fidelity: Mapping[str, Any] | None,
        repeats: int,
        min_confidence: float,
        further_seeds: int,
        inherit: bool,
    ) -> None:
        """Opens the folder; the arguments are those of `DetectionTuner`."""
        super().__init__(oracle=oracle, directory=str(directory.parent), project_name=directory.name)
        self.metric = oracle.objective.name.removeprefix(ON_VAL)
        self.config, self.class_names = config, tuple(class_names)
        self.fidelity, self.inherit = dict(fidelity or {}), inherit
        self._trial_config = config.replace(self.fidelity)
        self._finalists = Finalists(
            directory / "repeats.json",
            repeats,
            oracle.max_epochs,
            config.training.seed,
            min_confidence=min_confidence,
            scale=objectives.get(self.metric).scale,
            further_seeds=further_seeds,
            has_fidelity=bool(self.fidelity),
            inherits=inherit,
        )

    def leaderboard(self) -> list[dict[str, Any]]:
        """Returns `reporting.leaderboard` of this search, with the finalists' means."""
        return self._finalists.annotate(self._trial_rows())

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """Returns the leaderboard's first configurations: what TFX's Tuner hands to the Trainer."""
        best = [row for row in self.leaderboard() if row["rank"]][:num_trials]
        return [self._with_state(row) for row in best]

    def _with_state(self, row: Mapping[str, Any]) -> keras_tuner.HyperParameters:
        """Adds to a trial's hyperparameters its score, and what the final training needs to continue from it."""
        hyperparameters = self.oracle.trials[row["trial"]].hyperparameters.copy()
        hyperparameters.values[SCORE] = float(row["score"])
        hyperparameters.values.setdefault("training.epochs", self.config.training.epochs)
        state = self._state_to_continue(row)
        if state is not None and row["epochs"] <= hyperparameters.values["training.epochs"]:
            hyperparameters.values[STATE] = state
        return hyperparameters

    def _state_to_continue(self, row: Mapping[str, Any]) -> str | None:
        """Names the state of a trial that a whole training with the same seed would pass through; None without one."""
        state = pathlib.Path(self._state_of(row["trial"]))
        is_part = not self.fidelity and row["trial"] not in heirs(self._trial_rows())
        return str(state) if is_part and state.exists() else None

    def _fidelity_text(self) -> str:
        return " ".join(f"{name}={value:g}" for name, value in self.fidelity.items())

    def _trial_rows(self) -> list[dict[str, Any]]:
        trials = (self.oracle.trials[trial_id] for trial_id in self.oracle.start_order)
        rows = reporting.leaderboard(trials, self._fidelity_text())
        for row in rows:
            if row["hyperparameters"]:  # those that the space got later had their own value
                row["hyperparameters"] = self.oracle.space.completed(row["hyperparameters"])
        return rows

    def _state_of(self, trial_id: str | None) -> str | None:
        return None if trial_id is None else str(reporting.state_file(self.get_trial_dir(trial_id)))

    def _export_best(self) -> None:
        """Exports the model of the best trial so far, for a user who interrupts the search."""
        best = next((row for row in self._trial_rows() if row["rank"] == 1), None)
        if best is None:
            return
        folder = pathlib.Path(self.project_dir) / "best_model"
        less = f", trained with {self._fidelity_text()}," if self.fidelity else ""
        progress.emit(
            "note", text=f"Interrupted: exporting the best trial so far{less} to {folder} (Ctrl-C again: no export)"
        )
        from models.export import saved_model
        from models.training import train  # TensorFlow is needed here alone

        detector = train.restore(
            search_space.configuration(self._trial_config, best["hyperparameters"]),
            len(self.class_names),
            reporting.state_file(self.get_trial_dir(best["trial"])),
        )
        saved_model.export_saved_model(detector, self.class_names, folder)

    def _write_study(self) -> None:
        trials = (self.oracle.trials[trial_id] for trial_id in self.oracle.start_order)
        path = pathlib.Path(self.project_dir) / optuna_study.STUDY_FILE
        optuna_study.write(path, trials, self.oracle.hyperparameters, self.oracle.objective.direction)

    def _write_results(self) -> None:
        rows, decision = self.leaderboard(), self._finalists.decision(self._trial_rows())
        folder = pathlib.Path(self.project_dir)
        files.write_json(folder / DECISION_FILE, None if decision is None else dataclasses.asdict(decision))
        files.write_text(folder / LEADERBOARD_FILE, json.dumps(rows, indent=1))
        files.write_text(folder / TABLE_FILE, reporting.csv_table(rows))
        if rows and rows[0]["rank"]:
            best = search_space.configuration(self.config, rows[0]["hyperparameters"])
            files.write_text(folder / BEST_CONFIG_FILE, json.dumps(best.to_dict(), indent=1))
