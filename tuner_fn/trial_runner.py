"""The Keras Tuner of this kit: has trials trained, reports them, and leaves a leaderboard."""

import dataclasses
import functools
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from data import progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import (
    devices,
    disk,
    objectives,
    pareto_report,
    reporting,
    search_space,
)
from tuner_fn.clock import TimeIsUpError
from tuner_fn.journal import FILE_NAME as JOURNAL
from tuner_fn.journal import Journal
from tuner_fn.oracles.base import SeededOracle
from tuner_fn.oracles.configuration import REJECTED
from tuner_fn.parallel_trials import ParallelTrials, run_all
from tuner_fn.search_results import ON_VAL
from tuner_fn.supervisor import TrainingProcess
from tuner_fn.trial_training import Outcome, TrialTuner


def make_objective(metric: str) -> keras_tuner.Objective:
    """Makes the objective of a search: the highest value of one of `objectives.every` on the val split."""
    return keras_tuner.Objective(f"{ON_VAL}{metric}", "max")


class DetectionTuner(TrialTuner):
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
        further_seeds: int = 0,
        inherit: bool = False,
        limits: Mapping[str, float] | None = None,
        formats: tuple[str, ...] = (),
        second_objective: str | None = None,
        fidelity: Mapping[str, Any] | None = None,
        early_stopping: float | None = None,
        reserved_s: float = 0.0,
        test_share: float = 0.0,
        before_s: float = 0.0,
        processes: Sequence[TrainingProcess] = (),
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
            reserved_s: seconds of them that come after the search, beside those of the test images.
            test_share: images of the test split, which are evaluated after the search / those of the val split.
            before_s: seconds of them that this start has taken before the search.
            trial_timeout_s: a trial that takes longer has failed; None for 20 times what the first steps let
                expect.
            max_disk_bytes: of training states. Those that no later trial continues from are deleted in any case; above
                this limit the least promising ones are given up.
            repeats: seeds that the start and its challenger are trained with in the end; see `Finalists`.
            min_confidence: probability of being better from which on the challenger wins, in (0, 1).
            further_seeds: that both get at most while the challenger looks better but not surely enough.
            inherit: whether a new configuration starts with the nearest trained one's weights; states are kept for it.
            limits: {name of `costs.LIMITS`: limit}; a configuration that exceeds one is not trained.
            formats: that the time of an image is measured in, as `network_cost.latency`.
            second_objective: of `costs.SECOND_OBJECTIVES`; the front of the score and this cost is written in the end,
                beside those of the costs that have limits.
            fidelity: {setting: value} that trials have less of than `config` says.
            early_stopping: chance with which a trial that would become the best may be stopped early; None: none is.
            processes: train, each a trial at a time; by default a single one.
        """
        directory = pathlib.Path(directory)
        super().__init__(
            oracle,
            config,
            class_names=class_names,
            directory=directory,
            fidelity=fidelity,
            repeats=repeats,
            min_confidence=min_confidence,
            further_seeds=further_seeds,
            inherit=inherit,
            ranges=ranges,
            processes=processes or make_processes(directory, 1),
            early_stopping=early_stopping,
            max_minutes=max_minutes,
            max_trainings=max_trainings,
            reserved_s=reserved_s,
            test_share=test_share,
            before_s=before_s,
            trial_timeout_s=trial_timeout_s,
            logdir=logdir,
            limits=limits,
            formats=formats,
            second_objective=second_objective,
        )
        self.max_disk_bytes, self.end_reason = max_disk_bytes, ""
        self._set_aside_single_training()
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
        self._data = {"train_files": tuple(train_files), "val_files": tuple(val_files)}
        try:
            self._search_and_compare(**settings)
        except KeyboardInterrupt:
            self._export_best()  # last: it takes longer than some give a process that is to end
            raise
        rejected = sum(trial.hyperparameters.values.get(REJECTED, False) for trial in self.oracle.trials.values())
        over = f" Configurations over a limit, not trained: {rejected}." if rejected else ""
        progress.emit("note", text=f"The search ended: {self.end_reason}.{over}")
        if not any(row["rank"] for row in self.leaderboard()):
            reasons = "; ".join(sorted({row["reason"] for row in self.leaderboard()} - {""}))
            text = f"No trial of the search succeeded: {reasons or f'none was finished, because {self.end_reason}'}"
            raise keras_tuner.errors.FatalError(text) from (None if reasons else UserError(text))

    def _search_and_compare(self, **settings: Any) -> None:
        """Searches and trains the finalists; whatever ends that, all that tells of it is written."""
        try:
            self._search(**settings)
            self._find_missing_costs()
            self._repeat()
        except TimeIsUpError as reason:
            self.end_reason += f"; {reason}" if self.end_reason else str(reason)
        finally:
            self._close()
            self._write_results()
            self._write_study()
            pareto_report.write(self.project_dir, self.leaderboard(), self.costs_asked_for, self.metric)

    def _search(self, **settings: Any) -> None:
        """Runs trials until the oracle ends it, or until the time left is that of the trainings after it."""
        try:
            if self._is_journalled:
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
    def _is_journalled(self) -> bool:
        """Tells whether the order of the trials is recorded, or repeated from a record."""
        return len(self.processes) > 1 or self._journal_file.exists()

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
        self._pace = self._measure()
        if self._pace is not None:
            self._measured_s = self._pace.seconds(1, 1)
        self._allot(self._pace)
        self._keep_time()
        progress.emit("plan", **self._plan())

    def pre_create_trial(self) -> None:
        """Ends the search where its time is up; else it says how many epochs fit, and whose weights are at hand."""
        super().pre_create_trial()
        if not self._is_journalled:  # what is repeated from a journal must not depend on the time
            self.oracle.epochs_in_time = self._epochs_in_time()
        if self.inherit:  # at each proposal: a search that is continued must find the same
            disk.find_donors(self.oracle, self._state_path)

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

    def _repeat(self) -> None:
        """Trains start and challenger with the seeds that are missing, each as long as a trial may."""
        epochs, rows = self.oracle.max_epochs, self._trial_rows()
        while to_come := self._finalists.missing(rows):
            left = to_come[: len(self.processes)]
            fitting = [one for number, one in enumerate(left, start=1) if self._has_room(number * epochs)]
            is_further = self._finalists.is_undecided(rows)  # taken where there is room, not asked for
            if is_further and not (fitting and self._has_time([row for row, _ in to_come])):
                return
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
            with self.lock:
                begun = self._state_to_continue(row) if seed == self.config.training.seed else None
            job = self._job(config, str(state), epochs=epochs, start_from=begun)
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
        """Tells whether the budget holds so many further epochs of finalists."""
        total = self.oracle.max_epochs_total
        if total is None:
            return True
        given = self.oracle.epochs_given(self.oracle.trials) + self._finalists.epochs_of_pair(self._trial_rows())
        more = self._finalists.more_epochs if self._is_allotted else 0  # a limit in minutes is kept by the clock
        return given + epochs <= total + self._finalists.num_epochs + more

    def _state_path(self, trial_id: str) -> pathlib.Path:
        return pathlib.Path(self._state_of(trial_id))

    def _free_disk(self) -> None:
        rows = self._trial_rows()
        disk.free(
            self.oracle,
            rows,
            self._state_path,
            finalists=[] if self.fidelity else self._finalists.trials(rows),
            inherit=self.inherit,
            max_bytes=self.max_disk_bytes,
        )


def make_processes(folder: pathlib.Path, count: int) -> tuple[TrainingProcess, ...]:
    """Makes processes that share this machine; nothing is started yet.

    Args:
        folder: of the search, for their logs.
        count: of them, at least 1.
    """
    if count == 1:
        return (TrainingProcess(folder / "worker.log"),)
    return tuple(
        TrainingProcess(folder / f"worker_{number}.log", **dataclasses.asdict(share))
        for number, share in enumerate(devices.shares(count), start=1)
    )
