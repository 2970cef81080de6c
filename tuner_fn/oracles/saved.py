"""Keras Tuner's state files, made to survive: each is written whole or not at all, a damaged one is set aside."""

import json
import pathlib
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from data import files
from tuner_fn import search_files


class SavedOracle(keras_tuner.Oracle):
    """An oracle that a kill at any moment leaves readable, and that names what it cannot read.

    Keras Tuner writes its files in place; and where it is killed while it ends a trial, the trial is run again.
    """

    def save(self) -> None:
        """Writes the oracle's state; the trials have files of their own."""
        files.write_text(self._get_oracle_fname(), json.dumps(self.get_state()))

    def _save_trial(self, trial: Trial) -> None:
        files.write_text(self._trial_file(trial.trial_id), json.dumps(trial.get_state()))

    def reload(self) -> None:
        """Reads the state of a search that was interrupted.

        A damaged file is renamed to end in ".damaged" and named in a note. The trial of a damaged file counts as
        failed; the oracle's own state is made anew from the trials.
        """
        self.trials = {}
        for path in sorted(pathlib.Path(self._project_dir).glob("trial_*/trial.json")):
            trial = search_files.read(path, Trial.from_state)
            if trial is not None:
                self.trials[trial.trial_id] = trial
        known = {*self.trials}
        if not search_files.read(pathlib.Path(self._get_oracle_fname()), self._restore):
            self._rebuild(known)
        ended = set(self.end_order)
        again = [trial.trial_id for trial in self.ongoing_trials.values() if trial.trial_id not in ended]
        self._retry_queue = list(dict.fromkeys([*self._retry_queue, *again]))
        for trial in map(self.trials.get, self._retry_queue):
            trial.metrics = type(trial.metrics)()  # what a kill left of its end is found anew
        self.ongoing_trials = {}

    def _restore(self, state: dict[str, Any]) -> bool:
        """Takes over a saved state."""
        # A kill may have come between the writing of a trial and that of this state: then it is proposed again.
        self.trials = {trial_id: self.trials.get(trial_id) or self._lost(trial_id) for trial_id in state["start_order"]}
        self.set_state(state)
        # Ctrl-C may have come while a trial was ended: it had an end in memory, and another end was saved after it.
        half_ended = [trial_id for trial_id in self.end_order if self.trials[trial_id].status == "RUNNING"]
        self.end_order = [trial_id for trial_id in self.end_order if trial_id not in half_ended]
        self._retry_queue += half_ended
        lost = [trial_id for trial_id, trial in self.trials.items() if trial.status == "FAILED"]
        self.end_order += [trial_id for trial_id in lost if trial_id not in self.end_order]
        return True

    def _rebuild(self, known: set[str]) -> None:
        """Makes the state from the trials alone, in the order of their numbers; those of damaged files have failed."""
        damaged = pathlib.Path(self._project_dir).glob("trial_*/trial.json.damaged")
        numbers = {int(one): one for one in {path.parent.name.removeprefix("trial_") for path in damaged} | known}
        # A number that is missing would be given to a new trial, which finds the old one's training state.
        order = [numbers.get(number, str(number)) for number in range(max(numbers, default=-1) + 1)]
        self.trials = {trial_id: self.trials.get(trial_id) or self._lost(trial_id) for trial_id in order}
        state = self.get_state() | {"ongoing_trials": {}, "start_order": order}
        state["end_order"] = [trial_id for trial_id in order if self.trials[trial_id].status != "RUNNING"]
        state["retry_queue"] = [trial_id for trial_id in order if self.trials[trial_id].status == "RUNNING"]
        self.set_state(state)

    def _lost(self, trial_id: str) -> Trial:
        trial = Trial(self.hyperparameters.copy(), trial_id=trial_id, status="FAILED")
        trial.hyperparameters.values = {}
        trial.message = "Its file trial.json was damaged."
        return trial

    def _trial_file(self, trial_id: str) -> pathlib.Path:
        return pathlib.Path(self._project_dir) / f"trial_{trial_id}" / "trial.json"
