"""Training one trial: in any thread without touching it, and then taking over what came of it."""

import contextlib
import dataclasses
import functools
import math
import os
import pathlib
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from data import progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import cost_limits, objectives, reporting, search_space
from tuner_fn.early_stopping import keep_curve, make_rule
from tuner_fn.oracles.base import SeededOracle
from tuner_fn.oracles.configuration import INHERITED, REJECTED, SPENT
from tuner_fn.search_results import ON_VAL
from tuner_fn.search_time import TimedTuner
from tuner_fn.supervisor import EpochReport, TrainingProcess
from tuner_fn.worker import Job

_NEAR, _MEASURED_AGAIN = 0.8, 2  # share of the limit of a time, and how often one above it is measured again
_NO_SIGNAL = 0.01  # a score below it is that of a network that has hardly learned anything


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


class TrialTuner(TimedTuner):
    """A tuner that trains single trials; `DetectionTuner` decides which.

    Attributes:
        lock: of all that several trials share.
    """

    def __init__(
        self,
        oracle: SeededOracle,
        config: ExperimentConfig,
        *,
        directory: pathlib.Path,
        logdir: str | os.PathLike[str],
        limits: Mapping[str, float] | None,
        formats: tuple[str, ...],
        second_objective: str | None,
        **settings: Any,
    ) -> None:
        """Opens the folder; the arguments are those of `DetectionTuner`."""
        super().__init__(oracle, config, directory=directory, **settings)
        self.logdir = pathlib.Path(logdir)
        self.limits, self.formats = dict(limits or {}), formats
        self.costs_asked_for = cost_limits.asked_for(self.limits, second_objective)
        self.lock = threading.RLock()
        self._known_costs, self._costs_lock = cost_limits.KnownCosts(directory / "costs.json"), threading.Lock()
        self._failures: dict[str, str] = {}  # {trial: reason}
        self._data: dict[str, Any] = {}  # the files of a job

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
        if outcome.failure is None and math.isnan(history[-1][self.metric]):
            text = f"val {objectives.get(self.metric).text} is not a number: it is not defined for what was detected"
            failure = keras_tuner.errors.FailedTrialError(text)
            outcome = dataclasses.replace(outcome, failure=failure, spent=values["tuner/epochs"])
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
        found = {f"{ON_VAL}{name}": float(last[name]) for name in dict.fromkeys(("AP", "AP50", "AP75", self.metric))}
        seconds = [report["seconds"] for report in history[values["tuner/initial_epoch"] :]]
        pace = statistics.median_low(seconds[1:] or seconds)  # the first one traces, and so does the first validation
        return {**found, "epochs": len(history), "seconds": sum(seconds), "epoch_seconds": pace, **outcome.costs}

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
            rungs=self.oracle.rungs_after(ended),
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

    def _find_costs(self, values: Mapping[str, Any], process: TrainingProcess) -> Mapping[str, float]:
        """Finds what the final model of a trial's values costs; over a limit the trial fails and spends no epoch."""
        config = _valid_configuration(self.config, values)
        job = self._job(config, "", epochs=values["tuner/epochs"])
        found = self._look_costs_up(config, job, process)
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

    def _look_costs_up(self, config: ExperimentConfig, job: Job, process: TrainingProcess) -> Mapping[str, float]:
        """Returns the costs that are known of a configuration; others are found, each time with nothing beside it."""
        find = functools.partial(self._known_costs.find, config, latency=job.latency)
        measure = functools.partial(self._measure_costs, job, process)
        if self._known_costs.has(config, latency=job.latency):
            return find(measure)  # whoever measures another one may wait for room in a cluster
        if not job.latency:
            counted = measure()  # whoever else does so finds the same
            with self._costs_lock:
                return find(lambda: counted)
        with self._measuring(process):
            return find(measure)

    @contextlib.contextmanager
    def _measuring(self, process: TrainingProcess) -> Iterator[None]:
        """Holds the lock of measured times; who waits for it gives back a place that its holder may be waiting for."""
        if not self._costs_lock.acquire(blocking=False):
            process.release()
            self._costs_lock.acquire()
        try:
            yield
        finally:
            self._costs_lock.release()

    def _find_missing_costs(self) -> None:
        """Finds the costs of trials of an earlier start, which was not asked for them."""
        for trial in self.oracle.trials.values():
            if trial.status != "COMPLETED" or all(map(trial.metrics.exists, self.costs_asked_for)):
                continue
            with contextlib.suppress(keras_tuner.errors.FailedTrialError):  # it stays without
                for name, cost in self._find_costs(trial.hyperparameters.values, self.process).items():
                    trial.metrics.update(name, cost)
                self.oracle._save_trial(trial)

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

    def _job(
        self, config: ExperimentConfig, checkpoint: str, *, epochs: int, rungs: Sequence[int] = (), **others: Any
    ) -> Job:
        return Job(
            settings=config.to_dict(),
            class_names=self.class_names,
            epochs=epochs,
            schedule_epochs=max(epochs, config.training.epochs),
            validate_at=range(1, epochs + 1) if others.get("stopping") else rungs or self.oracle.rungs,
            checkpoint=checkpoint,
            latency="latency_ms" in self.costs_asked_for,
            formats=self.formats,
            objective=self.metric,
            resample=epochs == self.oracle.max_epochs,
            **others,
            **self._data,
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
