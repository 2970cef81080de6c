"""The Keras Tuner of this kit: has trials trained, reports them, and leaves a leaderboard."""

import dataclasses
import functools
import json
import math
import os
import pathlib
import shutil
import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from data import files, progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.network import layers
from tuner_fn import (
    allotment,
    cost_limits,
    devices,
    disk,
    objectives,
    optuna_study,
    pareto_report,
    reporting,
    search_files,
    search_space,
)
from tuner_fn.clock import Clock, TimeIsUpError
from tuner_fn.early_stopping import keep_curve, make_rule
from tuner_fn.finalists import DECISION_FILE, Finalists, heirs
from tuner_fn.journal import FILE_NAME as JOURNAL
from tuner_fn.journal import Journal
from tuner_fn.oracles.base import INHERITED, REJECTED, SPENT, SeededOracle
from tuner_fn.parallel_trials import ParallelTrials, run_all
from tuner_fn.supervisor import EpochReport, TrainingProcess
from tuner_fn.worker import Job

STATE = "tuner/state"  # among the winner's values: the file of its training state
SCORE = "tuner/score"  # among the winner's values: what its trial ended with
_ON_VAL = "val_"
_MARGIN = 1.5  # of the time that is kept for the finalists: the machine may get busier
_TRAINING_S = 10.0  # that a training takes beside its epochs: loading, tracing, scores of resamples
_SLOWER = 20.0  # than the first settings is the slowest that a trial may be: wider, larger images, a busier machine
_LEAST_TIMEOUT_S = 600.0  # loading and tracing take minutes on a slow machine
_UNMEASURED_TIMEOUT_S = 86_400.0
_NEAR, _MEASURED_AGAIN = 0.8, 2  # share of the limit of a time, and how often one above it is measured again
_NO_SIGNAL = 0.01  # a score below it is that of a network that has hardly learned anything


def make_objective(metric: str) -> keras_tuner.Objective:
    """Makes the objective of a search: the highest value of one of `objectives.every` on the val split."""
    return keras_tuner.Objective(f"{_ON_VAL}{metric}", "max")


class RejectedError(keras_tuner.errors.FailedTrialError):
    """A configuration exceeds a limit on costs."""


@dataclasses.dataclass
class Outcome:
    """What came of a trial's training.

    Attributes:
        history: one report an epoch; empty where it failed.
        costs: of its network, as far as they were found.
        failure: why it failed; None where it did not.
        spent: epochs up to the one that it failed in.
        donor_was_lost: whether the weights to inherit turned out to be damaged.
    """

    history: list[EpochReport] = dataclasses.field(default_factory=list)
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    failure: keras_tuner.errors.FailedTrialError | None = None
    spent: int = 0
    donor_was_lost: bool = False


class DetectionTuner(keras_tuner.Tuner):
    """Searches hyperparameters of the detector for the oracle's objective, a COCO mAP on the validation split.

    Trials train in a process of their own. Every trial follows the schedule of the final training, `training.epochs`
    long: a short one is at that point of it, and one that continues from another starts from that one's whole training
    state. They may have less data or smaller images than the final training (`fidelity`), the finalists have what that
    has. After every trial `leaderboard.csv`, `leaderboard.json` and `best_config.json` in the project's folder are
    written anew.

    Attributes:
        metric: the objective's, of `objectives.every`.
        end_reason: why the search ended, "" before that.
    """

    def __init__(
        self,
        oracle: SeededOracle,
        config: ExperimentConfig,
        *,
        ranges: search_space.Ranges,
        class_names: Sequence[str],
        directory: str | os.PathLike[str],
        logdir: str | os.PathLike[str],
        max_minutes: float | None = None,
        max_trainings: int | None = None,
        trial_timeout_s: float | None = None,
        max_disk_bytes: float | None = None,
        repeats: int = 1,
        min_confidence: float = 0.8,
        inherit: bool = False,
        limits: Mapping[str, float] | None = None,
        formats: tuple[str, ...] = (),
        second_objective: str | None = None,
        fidelity: Mapping[str, Any] | None = None,
        early_stopping: float | None = None,
        reserved_s: float = 0.0,
        process: TrainingProcess | None = None,
        processes: Sequence[TrainingProcess] = (),
        parallel_trials: int = 1,
    ) -> None:
        """Opens the search; one that was interrupted in `directory` continues.

        Args:
            oracle: as `make_oracle` returns, with an objective of `make_objective`.
            config: base settings of all trials.
            ranges: what is searched, for TensorBoard.
            class_names: in label order.
            directory: of the search's state.
            logdir: of TensorBoard's logs.
            max_minutes: of the run, all its starts together; they decide how much is searched, and the search stops
                after the epoch in which they are over. A later one with more continues with the trial cut short.
            max_trainings: whole trials that they are spent on at most, where they are a preset's; see `SearchConfig`.
            reserved_s: seconds of them that are not the search's.
            trial_timeout_s: a trial that takes longer has failed; None for `_SLOWER` times what the first steps let
                expect.
            max_disk_bytes: of training states. Those that no later trial continues from are deleted in any case; above
                this limit the least promising ones are given up.
            repeats: seeds that the start and its challenger are trained with in the end; see `Finalists`.
            min_confidence: probability of being better from which on the challenger wins, in (0, 1).
            inherit: whether a new configuration starts with the nearest trained one's weights; states are kept for it.
            limits: {name of `costs.LIMITS`: limit}; a configuration that exceeds one is not trained.
            formats: that the time of an image is measured in, as `network_cost.latency`.
            second_objective: of `costs.SECOND_OBJECTIVES`; the front of the score and this cost is written in the end,
                beside those of the costs that have limits.
            fidelity: {setting: value} that trials have less of than `config` says.
            early_stopping: chance with which a trial that would become the best may be stopped early; None: none is.
            process: trains; None for those of `processes`.
            processes: train, each a trial at a time; by default `parallel_trials` of them, which share this machine and
                write their logs into `directory`.
            parallel_trials: processes where none are given, at least 1.
        """
        directory = pathlib.Path(directory)
        super().__init__(oracle=oracle, directory=str(directory.parent), project_name=directory.name)
        self.metric = oracle.objective.name.removeprefix(_ON_VAL)
        self.config, self.ranges, self.class_names = config, ranges, tuple(class_names)
        self.logdir = pathlib.Path(logdir)
        self.trial_timeout_s, self.max_disk_bytes = trial_timeout_s, max_disk_bytes
        self.inherit, self.limits = inherit, dict(limits or {})
        self.formats = formats
        self.costs_asked_for = cost_limits.asked_for(self.limits, second_objective)
        self._known_costs = cost_limits.KnownCosts(directory / "costs.json")
        self.fidelity = dict(fidelity or {})
        self.early_stopping = early_stopping
        self._trial_config = config.replace(self.fidelity)
        self._finalists = Finalists(
            directory / "repeats.json",
            repeats,
            oracle.max_epochs,
            config.training.seed,
            min_confidence=min_confidence,
            has_fidelity=bool(self.fidelity),
            inherits=inherit,
        )
        self.lock = threading.RLock()  # of all that several trials share
        self._costs_lock = threading.Lock()
        given = processes or ([process] if process is not None else ())
        self.processes = tuple(given) or _make_processes(directory, parallel_trials)
        self.process = self.processes[0]
        self.end_reason = ""
        self.max_minutes, self.max_trainings = max_minutes, max_trainings
        self._clock = Clock(directory / "clock.json", max_minutes, reserved_s)
        self._pace: Any = None  # as measured with the first settings
        self._measured_s = 0.0  # an epoch's seconds, where the minutes decide how much is searched
        self._allotted = directory / "allotment.json"
        self._failures: dict[str, str] = {}  # {trial: reason}
        if any(directory.glob("trial_*/trial.json")) or pathlib.Path(oracle._get_oracle_fname()).exists():
            self.reload()
            order = {trial_id: number for number, trial_id in enumerate(Journal(self._journal_file).ends())}
            oracle.end_order.sort(key=lambda trial_id: order.get(trial_id, len(order)))  # a damaged file knows none

    def search(self, train_files: Sequence[str], val_files: Sequence[str], **settings: Any) -> None:
        """Searches until the oracle ends it or the minutes are over.

        Args:
            train_files: GZIP TFRecord files.
            val_files: GZIP TFRecord files.
            **settings: Keras Tuner's own.

        Raises:
            FatalError: a mistake in settings or code, or no trial succeeded.
        """
        self._clock.start()
        self._data: dict[str, Any] = {"train_files": tuple(train_files), "val_files": tuple(val_files)}
        try:
            self._search(**settings)
            self._repeat()
        except TimeIsUpError as reason:
            self.end_reason += f"; {reason}" if self.end_reason else str(reason)
        except KeyboardInterrupt:
            self._close()
            self._export_best()
            raise
        finally:
            self._close()
            self._write_results()
            self._write_study()
            pareto_report.write(self.project_dir, self.leaderboard(), self.costs_asked_for, self.metric)
        rejected = sum(trial.hyperparameters.values.get(REJECTED, False) for trial in self.oracle.trials.values())
        over = f" Configurations over a limit, not trained: {rejected}." if rejected else ""
        progress.emit("note", text=f"The search ended: {self.end_reason}.{over}")
        if not any(row["rank"] for row in self.leaderboard()):
            reasons = "; ".join(sorted({row["reason"] for row in self.leaderboard()})) or "no trial was finished"
            raise keras_tuner.errors.FatalError(f"No trial of the search succeeded: {reasons}")

    def _search(self, **settings: Any) -> None:
        """Runs trials until the oracle ends it, or until the time left is that of the trainings after it."""
        try:
            if len(self.processes) > 1 or self._journal_file.exists():
                self._search_in_parallel(**settings)
            else:
                super().search(**settings)
            self.end_reason = self.oracle.end_reason
        except TimeIsUpError as reason:
            self.end_reason = str(reason)

    def _search_in_parallel(self, verbose: int = 1, **_: Any) -> None:
        """Runs trials in all processes, in an order that is journalled."""
        self.oracle.verbose = verbose
        self.on_search_begin()
        events = Journal(self._journal_file)
        events.meet(self.oracle.start_order, self.oracle.end_order)
        ParallelTrials(
            self.oracle,
            events,
            self.processes,
            self.lock,
            may_start=self.pre_create_trial,
            attempt=self.attempt,
            conclude=self._end_with,
        ).run()
        self.on_search_end()

    def _end_with(self, trial: Trial, outcome: Outcome) -> None:
        self._try_run_and_update_trial(trial, outcome=outcome)
        self.on_trial_end(trial)

    @property
    def _journal_file(self) -> pathlib.Path:
        return pathlib.Path(self.project_dir) / JOURNAL

    def _close(self) -> None:
        for process in self.processes:
            process.close()

    def on_search_begin(self) -> None:
        """Announces the plan, with the time that the first steps let expect."""
        self.save()  # so that a search killed in its first trial is found again
        self._allot(None)
        self._free_disk()
        reporting.write_hparams_domain(self.logdir, self.ranges, self.metric)
        self._pace = pace = self._measure()
        self._allot(pace)
        trials, epochs = self.oracle.planned_trials(), self.oracle.planned_epochs()
        plan = {"trials": trials, "epochs": epochs, "done_trials": len(self.oracle.end_order), "seconds": None}
        plan["best"] = next((row["score"] for row in self._trial_rows() if row["rank"]), None)
        plan["done_epochs"] = self.oracle.epochs_given(self.oracle.end_order)
        if epochs is not None:
            plan["epochs"] = epochs + self._finalists.num_epochs
            if pace is not None:
                left = max(plan["epochs"] - plan["done_epochs"], 0)
                to_come = max((trials or epochs) - plan["done_trials"], 0)
                seconds = pace.seconds(left, to_come if self.early_stopping is None else left)
                seconds += _TRAINING_S * to_come if self._rebuilds() else 0.0
                seconds /= len(self.processes)
                plan["seconds"] = min(seconds, self._clock.left_s() or seconds)
        if (limit_s := self._clock.left_s()) is not None:
            plan["limit_s"] = limit_s
        progress.emit("plan", **plan)

    def _rebuilds(self) -> bool:
        """Tells whether trials differ in what a network is traced anew for; one that was traced is used again."""
        declared = {path: field.metadata["live"] for path, field, _ in self.config.items()}
        return any(not declared[path] for path in self.ranges if not path.startswith("augment."))

    def _measure(self) -> Any:
        """Measures how long training takes; None where all is done, or where the first settings do not train."""
        epochs = self.oracle.planned_epochs()
        if epochs is not None and epochs <= self.oracle.epochs_given(self.oracle.end_order):
            return None
        try:
            pace = self.process.measure(self._job(self._trial_config, "", epochs=1))
        except keras_tuner.errors.FailedTrialError:
            return None  # the trial with these settings will say why
        momentum, steps = self._trial_config.model.batch_norm_momentum, pace.steps * self.oracle.max_epochs
        if "model.batch_norm_momentum" not in self.ranges and (slow := layers.slow_averages(momentum, steps)):
            progress.emit("note", text=slow)
        return pace

    def _allot(self, pace: Any) -> None:
        """Decides, once in a search's life, what `max_minutes` are spent on; other budgets are the user's word.

        Args:
            pace: of training; None to do what was decided before, if it was.
        """
        left_s = self._clock.left_s()
        if left_s is None or self.oracle.has_budget():
            return
        found = search_files.read(self._allotted, lambda saved: allotment.Allotment(**saved))
        if found is None and pace is None:
            return
        if found is None:
            about = {"epochs": self.config.training.epochs, "trial_epochs": self.oracle.max_epochs}
            about |= {"final_epochs": self._final_epochs(), "trainings": self.max_trainings}
            room = allotment.Room(left_s, pace.seconds(1, 1), **about)
            found = allotment.allot(room)
            files.write_json(self._allotted, dataclasses.asdict(found))
            progress.emit("note", text=found.text(room, self.max_minutes))
        if found.is_search:
            self._measured_s = found.epoch_s
            at_once = len(self.processes) if self.max_trainings is None else 1  # a preset's minutes are of trainings
            self.oracle.set_budget(at_once * found.search_epochs(self._finalists.num_epochs))
        else:
            self.config = self.config.replace({"training.epochs": found.epochs})
            self._trial_config = self._trial_config.replace({"training.epochs": found.epochs})
            self.oracle.start_alone(found.epochs)
            self._finalists.num_epochs = 0
            self._clock.lift()  # without its last epochs there would be no model

    def pre_create_trial(self) -> None:
        """Ends the search where its time is up."""
        self._clock.check(self._after_s())

    def _final_epochs(self) -> int:
        """Counts the epochs that the final training has beside the winner's trial."""
        is_part = not self.fidelity and not self.inherit
        return self.config.training.epochs - (self.oracle.max_epochs if is_part else 0)

    def _after_s(self, own_s: float = 0.0, *, of_final: bool = False) -> float:
        """Estimates the seconds of the finalists' trainings and of the final one, by what the finalists' epochs took.

        Args:
            own_s: seconds of an epoch of the trial that is trained: it may become the challenger.
            of_final: whether the finalists' are over.

        Returns:
            0 for a search whose length the user gave in trials or epochs.
        """
        if not self._measured_s:
            return 0.0
        rows = self._trial_rows()
        trained = {row["trial"]: row["epochs"] or 0 for row in rows}
        to_come = self._finalists.to_come(rows)
        paces = [row["seconds"] / max(row["epochs"] - trained.get(row["parent"], 0), 1) for row in to_come]
        start = self._finalists.trials(rows)[:1]
        paces = [pace if row["trial"] in start else max(pace, own_s) for row, pace in zip(to_come, paces, strict=True)]
        slowest = max([*paces, own_s]) or self._measured_s
        if start:
            repeats_s = sum(paces) * self.oracle.max_epochs + len(paces) * _TRAINING_S
        else:  # half of the epochs are the start's
            pace = statistics.mean([self._measured_s, max(self._measured_s, own_s)])
            repeats_s = self._finalists.num_epochs * (pace + _TRAINING_S / self.oracle.max_epochs)
        return _MARGIN * (self._final_epochs() * slowest + (0.0 if of_final else repeats_s))

    def run_trial(self, trial: Trial, outcome: Outcome | None = None, **_: Any) -> dict[str, float]:
        """Trains one trial.

        Args:
            trial: values to train with; `tuner/epochs` and `tuner/trial_id` as Keras Tuner's Hyperband gives them.
            outcome: of its training, where that was done elsewhere.

        Returns:
            The metrics of the last epoch, the objective among them, and the costs.

        Raises:
            FailedTrialError: the configuration cannot be trained; the search continues.
            FatalError: anything else; the search stops.
        """
        return self.conclude(trial, outcome or self.attempt(trial, self.process, self.oracle.end_order))

    def attempt(self, trial: Trial, process: TrainingProcess, ended: Sequence[str]) -> Outcome:
        """Trains one trial and changes nothing of it, in any thread.

        Args:
            trial: as of `run_trial`.
            process: that trains.
            ended: the trials that had ended when this one was started.

        Returns:
            What came of it, for `conclude`.

        Raises:
            FatalError: as `run_trial`.
        """
        values, thread = dict(trial.hyperparameters.values), threading.get_ident()
        with self.lock:
            progress.emit("trial", state="started", score=None, reason=None, **self._about(trial))
            shown = _searched(values) | {reporting.RUNG: values["tuner/epochs"]}
            log = reporting.TrialLog(self.logdir / f"trial_{trial.trial_id}", shown, f"trial {trial.trial_id}")
        trained = [values["tuner/initial_epoch"]]

        def on_epoch(report: EpochReport) -> None:
            trained.append(int(report["epoch"]))
            log.epoch(report)

        def on_event(kind: str, fields: Mapping[str, Any]) -> None:
            if threading.get_ident() != thread:
                return  # of another trial
            if kind == "begun":
                trained.append(fields["epoch"])
            elif kind == "validated":
                log.validation(fields["summary"])

        outcome = Outcome()
        try:
            with self.lock:
                job = self._trial_job(trial.trial_id, values, ended)
            outcome.costs = self._find_costs(values, process)
            with progress.listen(on_event):
                outcome.history = self._train(job, process, self._after_s, on_epoch, number=int(trial.trial_id) + 1)
            outcome.donor_was_lost = job.inherit_from is not None and not os.path.exists(job.inherit_from)
        except keras_tuner.errors.FailedTrialError as failure:
            outcome.failure, outcome.spent = failure, min(trained[-1] + 1, values["tuner/epochs"])
        with self.lock:
            log.close(succeeded=outcome.failure is None)
        return outcome

    def conclude(self, trial: Trial, outcome: Outcome) -> dict[str, float]:
        """Takes over what came of a trial.

        Args:
            trial: that ends now.
            outcome: of `attempt`.

        Returns:
            As `run_trial`.

        Raises:
            FailedTrialError: the trial has failed.
        """
        values, history = trial.hyperparameters.values, outcome.history
        if outcome.failure is not None:
            if isinstance(outcome.failure, RejectedError):
                values[REJECTED] = True
            values[SPENT] = outcome.spent
            self._failures[trial.trial_id] = str(outcome.failure)
            reason = str(outcome.failure).partition("\n")[0]
            progress.emit("trial", state="failed", score=None, reason=reason, **self._about(trial))
            raise outcome.failure
        last = history[-1]
        keep_curve(trial, history, self.metric)
        early = reporting.stopped_early(values) or None
        progress.emit("trial", state="done", score=last[self.metric], reason=early, **self._about(trial))
        if int(trial.trial_id) == 0 and last[self.metric] < _NO_SIGNAL:
            progress.emit("note", text=self._no_signal_text(last))
        if outcome.donor_was_lost:  # its file was damaged
            del values[INHERITED]
        found = {f"{_ON_VAL}{name}": float(last[name]) for name in dict.fromkeys(("AP", "AP50", "AP75", self.metric))}
        seconds = sum(report["seconds"] for report in history[values["tuner/initial_epoch"] :])
        return {**found, "epochs": len(history), "seconds": seconds, **outcome.costs}

    def _about(self, trial: Trial) -> dict[str, Any]:
        """Names a trial in the progress."""
        return {
            "number": int(trial.trial_id) + 1,
            "total": self.oracle.planned_trials(),
            "trial_id": trial.trial_id,
            "objective": objectives.get(self.metric).text,
            "hyperparameters": _searched(trial.hyperparameters.values),
        }

    def _trial_job(self, trial_id: str, values: Mapping[str, Any], ended: Sequence[str]) -> Job:
        epochs = values["tuner/epochs"]
        return self._job(
            _valid_configuration(self._trial_config, values),
            str(reporting.state_file(self.get_trial_dir(trial_id))),
            epochs=epochs,
            start_from=self._state_of(values.get("tuner/trial_id")),
            inherit_from=self._state_of(values.get(INHERITED)),
            stopping=make_rule(self.early_stopping, map(self.oracle.trials.get, ended), epochs),
        )

    def _no_signal_text(self, report: EpochReport) -> str:
        return (
            f"No signal yet: the settings that the search begins with have val {objectives.get(self.metric).text}"
            f" {report[self.metric]:.3f} after {report['epoch']} epochs, too little to compare others with. Pretrained"
            " weights (--set=model.backbone_weights=...), more epochs (--epochs) or larger images"
            " (--set=input.image_size=...) would help."
        )

    def _try_run_and_update_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        """Trains one trial; only what its training found can fail it.

        With Keras Tuner any exception does, one of a full disk too. Here the search ends with it and the trial is run
        again.
        """
        try:
            self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = "COMPLETED"
        except keras_tuner.errors.FailedTrialError:
            trial.status = "FAILED"

    def save(self) -> None:
        """Saves the oracle. Keras Tuner adds an empty file for the tuner, without which it would begin anew."""
        self.oracle.save()

    def reload(self) -> None:
        """Reloads the oracle."""
        self.oracle.reload()

    def on_trial_end(self, trial: Trial) -> None:
        """Ends the trial and writes the leaderboard."""
        trial.message = self._failures.pop(trial.trial_id, trial.message)  # in place of a traceback
        super().on_trial_end(trial)
        self._write_results()
        self._free_disk()

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
        state = pathlib.Path(self._state_of(row["trial"]))
        is_part = row["epochs"] <= hyperparameters.values["training.epochs"] and not self.fidelity
        if state.exists() and is_part and row["trial"] not in heirs(self._trial_rows()):
            hyperparameters.values[STATE] = str(state)
        return hyperparameters

    def _fidelity_text(self) -> str:
        return " ".join(f"{name}={value:g}" for name, value in self.fidelity.items())

    def _trial_rows(self) -> list[dict[str, Any]]:
        trials = (self.oracle.trials[trial_id] for trial_id in self.oracle.start_order)
        rows = reporting.leaderboard(trials, self._fidelity_text())
        for row in rows:
            if row["hyperparameters"]:  # those that the space got later had their own value
                row["hyperparameters"] = self.oracle.space.completed(row["hyperparameters"])
        return rows

    def _repeat(self) -> None:
        """Trains start and challenger with the seeds that are missing, each as long as a trial may."""
        epochs, rows = self.oracle.max_epochs, self._trial_rows()
        while left := self._finalists.missing(rows)[: len(self.processes)]:
            fitting = [one for number, one in enumerate(left, start=1) if self._has_room(number * epochs)]
            if not fitting:
                self.end_reason += "; too few epochs are left to compare the best with the start, give a larger budget"
                return
            self._clock.check(self._after_s(of_final=True))
            run_all([functools.partial(self._train_finalist, *one) for one in fitting], self.processes)

    def _train_finalist(self, row: Mapping[str, Any], seed: int, process: TrainingProcess) -> None:
        """Trains one of the finalists with a seed, in any thread, and notes its score."""
        epochs = self.oracle.max_epochs
        config = search_space.configuration(self.config, row["hyperparameters"]).replace({"training.seed": seed})
        state = reporting.state_file(pathlib.Path(self.project_dir) / f"repeat_{row['trial']}_{seed}")
        try:
            job = self._job(config, str(state), epochs=epochs)
            history = self._train(job, process, lambda _: self._after_s(of_final=True))
            score = history[-1][self.metric]
            outcome = f"val {objectives.get(self.metric).text} {score:.3f}"
        except keras_tuner.errors.FailedTrialError as failure:
            score, outcome = None, f"failed: {str(failure).partition(chr(10))[0]}"
        with self.lock:
            self._finalists.add(row["trial"], seed, score, state.with_name("resampled.json"))
            shutil.rmtree(state.parent, ignore_errors=True)
            progress.emit("note", text=f"finalist: trial {row['trial']}, seed {seed}, {epochs} epochs: {outcome}")
            self._write_results()

    def _has_room(self, epochs: int) -> bool:
        """Tells whether the budget holds another training of a finalist."""
        total = self.oracle.max_epochs_total
        if total is None:
            return True
        given = self.oracle.epochs_given(self.oracle.trials) + epochs * sum(map(len, self._finalists.scores.values()))
        return given + epochs <= total + self._finalists.num_epochs

    def _find_costs(self, values: Mapping[str, Any], process: TrainingProcess) -> Mapping[str, float]:
        """Finds what the final model of a trial's values costs; over a limit the trial fails and spends no epoch."""
        config = _valid_configuration(self.config, values)
        job = self._job(config, "", epochs=values["tuner/epochs"])
        with self._costs_lock:  # an architecture is measured once, and one at a time
            found = self._known_costs.find(config, lambda: self._measure_costs(job, process), latency=job.latency)
        excess = cost_limits.excess(found, self.limits)
        if excess:
            if not self.ranges.keys() & cost_limits.deciding(config).keys():
                text = (
                    f"{excess} No searched setting changes that. Search one that does, as"
                    " --tune=model.alpha,input.image_size, set it with --set, or raise the limit."
                )
                raise keras_tuner.errors.FatalError(text) from UserError(text)
            raise RejectedError(excess)
        return found

    def _measure_costs(self, job: Job, process: TrainingProcess) -> dict[str, float]:
        """Finds what a job's network costs; a time near or above its limit is measured again, the least one counts."""
        found = process.costs(job, self._timeout_s(job))
        limit = self.limits.get("max_latency_ms", math.inf)
        for _ in range(_MEASURED_AGAIN):
            if job.latency and found["latency_ms"] > _NEAR * limit:
                found = min(found, process.costs(job, self._timeout_s(job)), key=lambda one: one["latency_ms"])
        return found

    def _train(
        self,
        job: Job,
        process: TrainingProcess,
        after_s: Callable[[float], float],
        log: Callable[[EpochReport], None] = lambda report: None,
        **about: Any,
    ) -> list[EpochReport]:
        """Trains, shows each epoch, and stops where the time is up, but for the seconds that come after it.

        Args:
            job: what to train.
            process: that trains.
            after_s: tells those by the seconds of this job's epochs.
            log: gets each report.
            **about: fields of the progress beside the report's.
        """
        seconds: list[float] = []

        def on_epoch(report: EpochReport) -> None:
            with self.lock:
                log(report)
                seconds.append(report["seconds"])
                progress.emit("epoch", stage="search", epochs=job.epochs, **about, **reporting.progress_fields(report))
                if report["epoch"] < job.epochs:
                    self._clock.check(after_s(statistics.median(seconds[1:] or [0.0])))  # the first one traces

        return process.train(job, on_epoch, self._timeout_s(job))

    def _timeout_s(self, job: Job) -> float:
        """Tells after how many seconds a job has failed, so that a hang costs a trial and not the search."""
        if self.trial_timeout_s is not None:
            return self.trial_timeout_s
        if self._pace is None:
            return _UNMEASURED_TIMEOUT_S
        return max(_SLOWER * self._pace.seconds(job.epochs, job.epochs), _LEAST_TIMEOUT_S)

    def _state_of(self, trial_id: str | None) -> str | None:
        return None if trial_id is None else str(reporting.state_file(self.get_trial_dir(trial_id)))

    def _job(self, config: ExperimentConfig, checkpoint: str, *, epochs: int, **others: Any) -> Job:
        return Job(
            settings=config.to_dict(),
            class_names=self.class_names,
            epochs=epochs,
            schedule_epochs=max(epochs, config.training.epochs),
            validate_at=range(1, epochs + 1) if others.get("stopping") else self.oracle.rungs,
            checkpoint=checkpoint,
            latency="latency_ms" in self.costs_asked_for,
            formats=self.formats,
            objective=self.metric,
            resample=epochs == self.oracle.max_epochs,
            **others,
            **self._data,
        )

    def _free_disk(self) -> None:
        rows = self._trial_rows()
        disk.free(
            self.oracle,
            rows,
            lambda one: pathlib.Path(self._state_of(one)),
            finalists=[] if self.fidelity else self._finalists.trials(rows),
            inherit=self.inherit,
            max_bytes=self.max_disk_bytes,
        )

    def _export_best(self) -> None:
        """Exports the model of the best trial so far, for who ends the search by hand."""
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
        files.write_text(folder / "leaderboard.json", json.dumps(rows, indent=1))
        files.write_text(folder / "leaderboard.csv", reporting.csv_table(rows))
        if rows and rows[0]["rank"]:
            best = search_space.configuration(self.config, rows[0]["hyperparameters"])
            files.write_text(folder / "best_config.json", json.dumps(best.to_dict(), indent=1))


def _make_processes(folder: pathlib.Path, count: int) -> tuple[TrainingProcess, ...]:
    """Makes processes that share this machine."""
    if count == 1:
        return (TrainingProcess(folder / "worker.log"),)
    return tuple(
        TrainingProcess(folder / f"worker_{number}.log", **dataclasses.asdict(share))
        for number, share in enumerate(devices.shares(count), start=1)
    )


def _searched(values: Mapping[str, Any]) -> dict[str, Any]:
    """Picks the hyperparameters among a trial's values."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


def _valid_configuration(config: ExperimentConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """Applies a trial's values; those that do not go together fail the trial."""
    try:
        return search_space.configuration(config, values)
    except UserError as error:
        raise keras_tuner.errors.FailedTrialError(str(error)) from error
