"""Trains several trials at a time: one oracle, one thread that decides, and a thread for each training process."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from keras_tuner.engine.trial import Trial

from data import progress
from tuner_fn.clock import TimeIsUpError
from tuner_fn.journal import Event, Journal
from tuner_fn.oracles.base import SeededOracle
from tuner_fn.supervisor import TrainingProcess

_WAIT_S, _LOOK_S = 1.0, 0.2  # between two looks, so that a signal is heeded

Attempt = Callable[[Trial, TrainingProcess, Sequence[str]], Any]


class ParallelTrials:
    """Keeps every process at work until the oracle has nothing left to propose.

    The thread that calls `run` asks the oracle and ends trials, one after the other; each start and each end is in the
    journal before it is acted on. What the journal says and the oracle does not know yet, after a kill or in the folder
    of a search that is repeated, happens again in that order: a trial that was trained too early waits for its turn.
    """

    def __init__(
        self,
        oracle: SeededOracle,
        journal: Journal,
        processes: Sequence[TrainingProcess],
        lock: threading.RLock,  # type: ignore[valid-type]
        *,
        may_start: Callable[[], None],
        attempt: Attempt,
        conclude: Callable[[Trial, Any], None],
    ) -> None:
        """Prepares.

        Args:
            oracle: of the search, asked here alone.
            journal: of its events.
            processes: that train.
            lock: held while anything is decided, and by the threads when they touch what is shared.
            may_start: raises what ends the search before a trial is started.
            attempt: trains a trial in a process, in a thread of its own; takes the trials that had ended when it was
                started, returns its outcome and raises what ends the search.
            conclude: ends a trial with its outcome.
        """
        self._oracle, self._journal, self._free = oracle, journal, list(processes)
        self._processes, self._changed = tuple(processes), threading.Condition(lock)
        self._may_start, self._attempt, self._conclude = may_start, attempt, conclude
        self._threads: dict[str, threading.Thread] = {}  # by the trial
        self._outcomes: dict[str, Any] = {}  # of trials that are trained and have not ended
        self._fault: BaseException | None = None
        self._is_deciding = False  # a start or an end of a trial has begun and is not on disk as a whole
        self._asked_at = -1  # ended trials when the oracle last had nothing to propose

    def run(self) -> None:
        """Runs trials until the oracle stops and none is left.

        Raises:
            BaseException: what a thread or `may_start` raised; no process works any longer, and the trials that were
                running continue from their last epochs when the search does.
        """
        try:
            while self._step():
                pass
        except BaseException as error:
            self._give_up()
            # What was trained in the meantime counts. But what Ctrl-C left half decided must not be saved as it is.
            if isinstance(error, TimeIsUpError | KeyboardInterrupt) and not self._is_deciding:
                with self._changed:
                    while self._end_next():
                        pass
            raise

    def _step(self) -> bool:
        """Ends or starts a trial, or waits until that may be; False where nothing is left."""
        with self._changed:
            if self._fault is not None:
                raise self._fault
            if self._end_next() or self._start_next():
                return True
            if not self._threads and not self._outcomes:
                return self._forget()
            if not self._threads and self._journal.to_come:
                return self._forget()
            for process in self._free:  # one that waits for room in a cluster may need what these hold
                process.release()
            self._changed.wait(_WAIT_S)
            return True

    def _end_next(self) -> bool:
        """Ends the trial whose turn it is, if it is trained."""
        to_come = self._journal.to_come
        trial_id = to_come[0].trial if to_come else next(iter(self._outcomes), None)
        if trial_id not in self._outcomes or (to_come and to_come[0].event != "end"):
            return False
        self._is_deciding = True
        self._journal.note("end", trial_id)
        self._conclude(self._oracle.trials[trial_id], self._outcomes.pop(trial_id))
        self._is_deciding = False
        return True

    def _start_next(self) -> bool:
        """Starts a trial where a process is free: one that was interrupted, or the oracle's next one."""
        if not self._free:
            return False
        to_come, waiting = self._journal.to_come, bool(self._oracle._retry_queue)
        may_ask = to_come[0].event == "start" if to_come else self._asked_at != len(self._oracle.end_order)
        if not waiting and not may_ask:
            return False
        self._may_start()
        self._is_deciding = True
        trial = self._oracle.create_trial(self._worker_id())
        if trial.status != "RUNNING":
            self._is_deciding = False
            self._asked_at = len(self._oracle.end_order)
            return self._forget()
        self._note_start(trial.trial_id)
        process, ended = self._free.pop(0), self._journal.ended_before(trial.trial_id)
        thread = threading.Thread(target=self._work, args=(trial, process, ended), daemon=True)
        self._threads[trial.trial_id] = thread
        thread.start()
        self._is_deciding = False
        return True

    def _note_start(self, trial_id: str) -> None:
        """Writes that a trial begins, unless that is known of one that was interrupted."""
        start, to_come = Event("start", trial_id), self._journal.to_come
        if start in self._journal.events and start not in to_come:
            return
        if to_come and to_come[0] != start:
            self._forget()
        self._journal.note("start", trial_id)

    def _worker_id(self) -> str:
        """Names a worker that the oracle knows no running trial of."""
        taken = self._oracle.ongoing_trials
        return next(name for number in range(len(taken) + 1) if (name := f"tuner{number}") not in taken)

    def _work(self, trial: Trial, process: TrainingProcess, ended: Sequence[str]) -> None:
        """Trains a trial, in its thread."""
        outcome, fault = None, None
        try:
            outcome = self._attempt(trial, process, ended)
        except BaseException as error:  # to be raised by `run`
            fault = error
        with self._changed:
            self._free.append(process)
            del self._threads[trial.trial_id]
            if fault is None:
                self._outcomes[trial.trial_id] = outcome
            else:
                self._fault = self._fault or fault
            self._changed.notify_all()

    def _forget(self) -> bool:
        """Lets the search take its own course where the journal's cannot be followed; False where it does already."""
        if not self._journal.to_come:
            return False
        left = len(self._journal.to_come)
        text = f"{left} events of {self._journal.path} cannot happen again; the search continues without them."
        progress.emit("note", text=text)
        self._journal.forget()
        return True

    def _give_up(self) -> None:
        """Ends the trainings; their trials stay as they are in the files."""
        with self._changed:
            threads = list(self._threads.values())
        _end(self._processes, threads)


def run_all(works: Sequence[Callable[[TrainingProcess], Any]], processes: Sequence[TrainingProcess]) -> list[Any]:
    """Does several things at the same time, each with a process of its own.

    Args:
        works: what to do, at most as many as there are processes; a single one is done in this thread.
        processes: that train.

    Returns:
        What each returned.

    Raises:
        BaseException: what the first one raised, or Ctrl-C; no process works any longer.
    """
    if len(works) == 1:
        return [works[0](processes[0])]
    results, faults = [None] * len(works), []

    def run(number: int) -> None:
        try:
            results[number] = works[number](processes[number])
            processes[number].release()
        except BaseException as error:  # to be raised by the thread that waits
            faults.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    for thread in threads:
        thread.start()
    try:
        while not faults and (working := [thread for thread in threads if thread.is_alive()]):
            working[0].join(_LOOK_S)
        if faults:
            raise faults[0]
    except BaseException:
        _end(processes, threads)
        raise
    return results


def _end(processes: Sequence[TrainingProcess], threads: Sequence[threading.Thread]) -> None:
    """Ends what processes do, and waits for the threads that use them."""
    for process in processes:
        process.cancel()
    for thread in threads:
        if thread.ident is not None:  # one that Ctrl-C kept from starting cannot be joined
            thread.join()
    for process in processes:
        process.close()
