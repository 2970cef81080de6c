"""How long a search may take: what its first steps let expect, what the minutes are spent on, when they are over."""

import abc
import dataclasses
import math
import pathlib
import shutil
import statistics
from collections.abc import Sequence
from typing import Any

import keras_tuner

from data import files, progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.network import layers
from tuner_fn import allotment, search_files
from tuner_fn.clock import Clock
from tuner_fn.finalists import Row
from tuner_fn.journal import FILE_NAME as JOURNAL
from tuner_fn.oracles.base import SeededOracle
from tuner_fn.search_results import ReportedTuner
from tuner_fn.search_space import Ranges
from tuner_fn.supervisor import TrainingProcess
from tuner_fn.worker import Job

_SINGLE_TRAINING = "single_training"  # folder of what was trained in place of a search
_MOST_FOR_FINALISTS = 0.5  # of a search's minutes: where further seeds take more, one decides
_MARGIN = 1.5  # of the time that is kept for the finalists: the machine may get busier
_TRAINING_S = 10.0  # that a training takes beside its epochs: loading, tracing, scores of resamples
_RECENT = 3  # trials that say how long an epoch takes now
_SLOWER = 20.0  # than the first settings is the slowest that a trial may be: wider, larger images, a busier machine
_LEAST_TIMEOUT_S = 600.0  # loading and tracing take minutes on a slow machine
_UNMEASURED_TIMEOUT_S = 86_400.0


class TimedTuner(ReportedTuner):
    """A tuner that knows how long its trainings take.

    Attributes:
        ranges: what is searched.
        processes: train, each a trial at a time.
        early_stopping: as of `DetectionTuner`.
    """

    def __init__(
        self,
        oracle: SeededOracle,
        config: ExperimentConfig,
        *,
        directory: pathlib.Path,
        ranges: Ranges,
        processes: Sequence[TrainingProcess],
        early_stopping: float | None,
        max_minutes: float | None,
        max_trainings: int | None,
        reserved_s: float,
        test_share: float,
        before_s: float,
        trial_timeout_s: float | None,
        **settings: Any,
    ) -> None:
        """Opens the folder; the arguments are those of `DetectionTuner`."""
        super().__init__(oracle, config, directory=directory, **settings)
        self.ranges, self.processes, self.early_stopping = ranges, tuple(processes), early_stopping
        self.max_minutes, self.max_trainings, self.trial_timeout_s = max_minutes, max_trainings, trial_timeout_s
        self._clock = Clock(directory / "clock.json", max_minutes, reserved_s, before_s)
        self._test_share, self._reserved_s = test_share, reserved_s
        self._pace: Any = None  # as measured with the first settings
        self._measured_s = 0.0  # an epoch's seconds with the first settings
        self._slower = 1.0  # than a trial's epoch is the final training's, where trials have less of it
        self._is_allotted = False  # the minutes decide how much is searched
        self._allotted = directory / "allotment.json"

    @property
    def process(self) -> TrainingProcess:
        """The first process, which measures, too."""
        return self.processes[0]

    @abc.abstractmethod
    def _job(self, config: ExperimentConfig, checkpoint: str, *, epochs: int, **others: Any) -> Job:
        """Makes a job of the search's data."""

    def _plan(self) -> dict[str, Any]:
        """Says how much is to be done, and in which time, by what was measured."""
        trials, epochs = self.oracle.planned_trials(), self.oracle.planned_epochs()
        plan: dict[str, Any] = {
            "trials": trials,
            "epochs": epochs,
            "done_trials": len(self.oracle.end_order),
            "seconds": None,
        }
        plan["best"] = next((row["score"] for row in self._trial_rows() if row["rank"]), None)
        plan["done_epochs"] = self.oracle.epochs_given(self.oracle.end_order)
        if epochs is not None:
            plan["epochs"] = epochs + self._finalists.num_epochs
            if self._pace is not None:
                left = max(plan["epochs"] - plan["done_epochs"], 0)
                to_come = max((trials or epochs) - plan["done_trials"], 0)
                seconds = self._pace.seconds(left, to_come if self.early_stopping is None else left)
                seconds += _TRAINING_S * to_come if self._rebuilds() else 0.0
                seconds /= len(self.processes)
                plan["seconds"] = min(seconds, self._clock.left_s() or seconds)
        if (limit_s := self._clock.left_s()) is not None:
            plan["limit_s"] = limit_s
        return plan

    def pre_create_trial(self) -> None:
        """Ends the search where its time is up."""
        self._clock.check(self._after_s())

    def _epochs_in_time(self) -> int | None:
        """Estimates how many epochs of one process the search has time for, by what its last trials took.

        Returns:
            None without a limit of time, and before anything was measured.
        """
        left_s = self._clock.left_s()
        if left_s is None:
            return None
        seconds = {row["trial"]: row["epoch_seconds"] for row in self._trial_rows()}
        known = [seconds[trial] for trial in self.oracle.end_order if seconds.get(trial)]
        epoch_s = statistics.fmean(known[-_RECENT:] or [self._measured_s])
        return max(int((left_s - self._after_s()) / epoch_s), 0) if epoch_s else None

    def _rebuilds(self) -> bool:
        """Tells whether trials differ in what a network is traced anew for; one that was traced is used again."""
        declared = {path: field.metadata["live"] for path, field, _ in self.config.items()}
        return any(not declared[path] for path in self.ranges if not path.startswith("augment."))

    def _measure(self) -> Any:
        """Measures how long training takes; None where all is done, or where the first settings do not train."""
        epochs = self.oracle.planned_epochs()
        is_done = epochs is not None and epochs <= self.oracle.epochs_given(self.oracle.end_order)
        if is_done and not (self.fidelity and self._finalists.missing(self._trial_rows())):
            return None
        try:
            pace = self.process.measure(self._job(self._trial_config, "", epochs=1))
            if self.fidelity and self._clock.left_s() is not None:
                whole = self.process.measure(self._job(self.config, "", epochs=1))
                self._slower = max(whole.seconds(1, 1) / pace.seconds(1, 1), 1.0)
        except keras_tuner.errors.FailedTrialError as failure:
            reason = str(failure).partition("\n")[0]
            text = f"The first steps could not be measured, so how long an epoch takes is not known: {reason}"
            progress.emit("note", text=text)
            return None
        self._clock.reserved_s = self._reserved_s + allotment.EVALUATING * self._test_share * pace.validation_s
        momentum, steps = self._trial_config.model.batch_norm_momentum, pace.steps * self.oracle.max_epochs
        if "model.batch_norm_momentum" not in self.ranges and (slow := layers.slow_averages(momentum, steps)):
            progress.emit("note", text=slow)
        return pace

    def _allot(self, pace: Any) -> None:
        """Decides what `max_minutes` are spent on, and again where they grew; other budgets are the user's word.

        Args:
            pace: of training; None to do what was decided before, if it was.

        Raises:
            UserError: the minutes have no room for what is asked for. Nothing is kept of this decision.
        """
        left_s = self._clock.left_s()
        if left_s is None or self.oracle.has_budget():
            return
        known = search_files.read(self._allotted, lambda saved: allotment.Allotment(**saved))
        found = None if known is None or self._is_outgrown(known) else known
        if found is None and pace is None:
            return
        if found is None:
            room = allotment.Room(
                left_s,
                pace.seconds(1, 1),
                self.config.training.epochs,
                self.oracle.max_epochs,
                final_epochs=self._final_epochs(),
                trainings=self.max_trainings,
                slower=self._slower,
                after_s=self._clock.reserved_s,
            )
            found = allotment.allot(room, self.oracle.epochs_given(self.oracle.end_order))
            progress.emit("note", text=found.text(room, self.max_minutes))
            found = dataclasses.replace(found, minutes=self.max_minutes)
        if self.max_trainings is None:  # a preset's minutes are of trainings
            found = dataclasses.replace(found, processes=max(found.processes, len(self.processes)))
        if found.is_search:
            self._measured_s, self._is_allotted = found.epoch_s, True
            done = self._finalists.epochs_trained if found.done else 0
            repeated = math.ceil(self._slower * max(self._finalists.num_epochs - done, 0))
            self.oracle.set_budget(found.search_epochs(repeated))
        else:
            self.fidelity = {}  # the only training is the final one
            self.config = self._trial_config = self.config.replace({"training.epochs": found.epochs})
            self.oracle.start_alone(found.epochs)
            self._finalists.num_epochs = 0
            self._clock.lift()  # without its last epochs there would be no model
        if found != known:
            files.write_json(self._allotted, dataclasses.asdict(found))

    def _keep_time(self) -> None:
        """Sees to the time after a search whose budget is of trials or epochs and that has minutes as a limit, too.

        Raises:
            UserError: the final training alone takes all of them.
        """
        left_s = self._clock.left_s()
        if left_s is None or self._is_allotted or not self._measured_s:
            return
        repeats_s = _MARGIN * self._finalists.num_epochs * self._slower * self._measured_s
        if repeats_s > _MOST_FOR_FINALISTS * 60.0 * self.max_minutes:
            progress.emit(
                "note",
                text=f"--max_minutes={self.max_minutes:g} has no time to train the start and its challenger with"
                f" further seeds, which would take about {math.ceil(repeats_s / 60.0)} minutes: one seed decides.",
            )
            self._finalists.compare_once()
        after_s = self._after_s()
        if after_s >= left_s and not self.oracle.trials:
            others_s = 60.0 * self.max_minutes - left_s
            needed = math.ceil((others_s + after_s + self._measured_s) / 60.0)
            raise UserError(
                f"`--max_minutes={self.max_minutes:g}` leaves no time for a search: {after_s:.0f} s are for the"
                f" trainings after it and {others_s:.0f} s for what else a run does. Give at least {needed}, or leave"
                " out the other limits of the search: then the minutes go into one training."
            )

    def _set_aside_single_training(self) -> None:
        """Begins anew where minutes without room for a search were spent on one training and a budget is given now.

        That training followed a schedule of its own length, so no trial may continue from it or be compared with it.
        """
        known = search_files.read(self._allotted, lambda saved: allotment.Allotment(**saved))
        if known is None or known.is_search or not self.oracle.has_budget():
            return
        folder = self._allotted.parent
        aside = folder / _SINGLE_TRAINING
        if (aside / self._allotted.name).exists():  # of an earlier time, and complete
            shutil.rmtree(aside)
        aside.mkdir(exist_ok=True)
        # The last one tells of the training: a kill before it was moved begins this again.
        patterns = ("trial_*", "oracle.json", JOURNAL, "repeats.json", "resampled_*", self._allotted.name)
        for path in (path for pattern in patterns for path in sorted(folder.glob(pattern))):
            path.replace(aside / path.name)
        text = f"The start before had no time for a search and trained once, {known.epochs} epochs with a schedule of"
        progress.emit("note", text=f"{text} their own. A search begins now; that training lies in {aside}.")

    def _is_outgrown(self, known: allotment.Allotment) -> bool:
        """Tells whether the minutes have grown since a decision. A single training that was begun is never given up."""
        return self.max_minutes > known.minutes and (known.is_search or not self.oracle.trials)

    def _final_epochs(self) -> int:
        """Counts the epochs that the final training has beside the winner's trial."""
        is_part = not self.fidelity and not self.inherit
        return self.config.training.epochs - (self.oracle.max_epochs if is_part else 0)

    def _after_s(self, own_s: float = 0.0, *, of_final: bool = False) -> float:
        """Estimates the seconds of the finalists' trainings and of the final one, by what the finalists' epochs took.

        A slow trial that is trained may become the challenger and then the final model. That training must find its
        time; a further seed of the comparison need not, so one slow trial does not end a search early.

        Args:
            own_s: seconds of an epoch of the trial that is trained.
            of_final: whether the finalists' are over.

        Returns:
            0 without a limit of time.
        """
        if self._clock.left_s() is None:
            return 0.0
        rows = self._trial_rows()
        to_come, finalists = self._finalists.to_come(rows), self._finalists.trials(rows)
        known = {row["trial"]: row["epoch_seconds"] or 0.0 for row in rows}
        slowest = max([own_s, *map(known.get, finalists)]) or self._measured_s
        if finalists:
            trainings_s = sum(epochs * known[row["trial"]] for row, epochs in to_come)
            repeats_s = self._slower * trainings_s + len(to_come) * _TRAINING_S
        else:  # half of the epochs are the start's
            pace = statistics.mean([self._measured_s, max(self._measured_s, own_s)])
            repeats_s = self._finalists.num_epochs * (self._slower * pace + _TRAINING_S / self.oracle.max_epochs)
        final_s = self._final_epochs() * self._slower * slowest
        return _MARGIN * (final_s + (0.0 if of_final else repeats_s))

    def _has_time(self, rows: Sequence[Row]) -> bool:
        """Tells whether the minutes have room for further trainings of these rows, and for the final one after them."""
        left_s = self._clock.left_s()
        seconds = [self._slower * row["epoch_seconds"] * self.oracle.max_epochs + _TRAINING_S for row in rows]
        return left_s is None or _MARGIN * sum(seconds) + self._after_s(of_final=True) < left_s

    def _timeout_s(self, job: Job) -> float:
        """Tells after how many seconds a job has failed, so that a hang costs a trial and not the search."""
        if self.trial_timeout_s is not None:
            return self.trial_timeout_s
        if self._pace is None:
            return _UNMEASURED_TIMEOUT_S
        return max(_SLOWER * self._pace.seconds(job.epochs, job.epochs), _LEAST_TIMEOUT_S)
