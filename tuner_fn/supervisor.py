"""Keeps a training process going: what ends it is a result of the trial, not of the search."""

import contextlib
import math
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner

from data import files, progress
from data.errors import UserError
from tuner_fn import devices, worker

EpochReport = dict[str, float]
MEMORY_SHARE = 0.5  # of the machine's: a bigger worker is replaced after its trial
_POLL_S = 0.5
_MEASURE_LIMIT_S = 3600.0  # a large dataset is decoded first
_START_LIMIT_S = 600.0  # TensorFlow is imported in 10 s; a machine that needs this long hangs
LEASE_S = 60.0  # a worker that shows no sign of life for so long has lost its job
_LEAST_WORK = 0.005  # of the time, that a worker must use the processor: one that hangs only sends beats


class DiedError(Exception):
    """The process ended before its job did; says how."""


class CancelledError(Exception):
    """The job was given up, by `TrainingProcess.cancel`; it is no result of the trial."""


class TrainingProcess:
    """Trains in a worker process, which is started when it is needed and anew when it has died or grown too big.

    A worker holds its job on a lease, which every message and every beat of a worker that computes renews; one whose
    lease is over is ended, as if it had died. A worker that dies is replaced, and the job continues from its last
    epoch. A job whose worker dies again before it has finished another epoch has failed. So a process killed or stopped
    from outside costs an epoch, and a crash costs a trial.

    Attributes:
        log: where the worker's output goes.
        size_bytes: resident size of the worker after its last job, 0 before.
        pid: of the worker, None where none runs.
    """

    def __init__(
        self,
        log: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        training: str = worker.TRAINING,
        environment: Mapping[str, str] | None = None,
        lease_s: float = LEASE_S,
        most_bytes: int | None = None,
    ) -> None:
        """Prepares; nothing is started yet.

        Args:
            log: file that the worker's output is added to.
            max_bytes: resident size from which on a worker is replaced after its job; None for half the memory.
            training: name of a module with the `train`, `measure` and `costs` of `models.training.train`.
            environment: what the worker's differs in, as its device.
            lease_s: seconds without a sign of life after which a worker counts as dead.
            most_bytes: resident size of a worker above which its job fails, for the sake of others; None for no limit.
        """
        self.log = pathlib.Path(log)
        self._environment, self._lease_s, self._most_bytes = dict(environment or {}), lease_s, most_bytes
        self._is_cancelled = threading.Event()
        self._max_bytes = max_bytes or int(MEMORY_SHARE * devices.memory_bytes())
        self._training = training
        self.size_bytes = 0
        self._process: subprocess.Popen | None = None
        self._connection: Any = None

    @property
    def pid(self) -> int | None:
        """Process number of the worker."""
        return self._process.pid if self._process else None

    def train(
        self,
        job: worker.Job,
        on_epoch: Callable[[EpochReport], None] = lambda report: None,
        timeout_s: float | None = None,
    ) -> list[EpochReport]:
        """Trains one job; whatever is raised, Ctrl-C too, leaves no process behind that works on it.

        Args:
            job: what to train.
            on_epoch: called with each epoch's report; an exception of it ends the job.
            timeout_s: most seconds for the job.

        Returns:
            One report an epoch, from the first, also over earlier parts that were continued.

        Raises:
            FailedTrialError: it diverged, ran out of memory or time, or crashed twice in the same epoch.
            FatalError: a mistake, with the traceback; or with a `UserError` as its cause.
            CancelledError: another thread has called `cancel`.
        """
        return self._persist(job, "train", on_epoch, timeout_s)

    def costs(self, job: worker.Job, timeout_s: float | None = None) -> dict[str, float]:
        """Counts and measures what a job's network costs, as `train.costs`; a worker that dies is replaced.

        Args:
            job: what is to be trained.
            timeout_s: most seconds for it.

        Raises:
            FailedTrialError: as `train`.
            FatalError: as `train`.
        """
        return self._persist(job, "costs", lambda report: None, timeout_s)

    def _persist(
        self, job: worker.Job, action: str, on_epoch: Callable[[EpochReport], None], timeout_s: float | None
    ) -> Any:
        """Starts the action again where the worker dies, until it dies twice in the same epoch."""
        epochs: list[EpochReport] = []
        died_at = -1

        def count(report: EpochReport) -> None:
            epochs.append(report)
            on_epoch(report)

        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                return self._attempt(job, action, count, deadline)
            except DiedError as death:
                if len(epochs) == died_at:
                    raise keras_tuner.errors.FailedTrialError(f"{death}\n{files.tail(self.log)}") from death
                died_at = len(epochs)
                again = "continues from the last epoch" if action == "train" else "begins again"
                progress.emit("note", text=f"{death} A new one {again}.")
            except TimeoutError as error:
                text = f"It took longer than {timeout_s:g} s and was stopped.\n{files.tail(self.log)}"
                raise keras_tuner.errors.FailedTrialError(text) from error

    def measure(self, job: worker.Job) -> Any:
        """Measures a job's first steps: `models.training.train.measure`; a worker that dies is replaced once.

        Raises:
            FailedTrialError: it cannot be trained, or a second worker died, or it hangs.
            FatalError: a mistake, with the traceback; or with a `UserError` as its cause.
        """
        return self._persist(job, "measure", lambda report: None, _MEASURE_LIMIT_S)

    def cancel(self) -> None:
        """Makes the thread that waits for a job, now or later, end its worker and raise `CancelledError`."""
        self._is_cancelled.set()

    def release(self) -> None:
        """Gives back what it holds while it has nothing to do; a worker of this machine stays for the next job."""

    def close(self) -> None:
        """Ends the worker, if there is one; what was cancelled before no longer is."""
        self._is_cancelled.clear()
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._connection.close()
            self._process = None

    def _start(self) -> None:
        """Starts a worker unless there is one.

        Raises:
            FatalError: it did not come up, twice: no trial could.
        """
        if self._process is not None and self._process.poll() is None:
            return
        for _ in range(2):
            self._end()
            self._launch()
            with contextlib.suppress(DiedError, TimeoutError):
                self._receive(time.monotonic() + _START_LIMIT_S, math.inf)
                return
        raise keras_tuner.errors.FatalError(f"The training process does not start.\n{files.tail(self.log)}")

    def _launch(self) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        root = str(pathlib.Path(__file__).resolve().parent.parent)  # the worker runs this very code
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tuner_fn.worker", str(os.getpid()), str(theirs.fileno()), self._training],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **self._environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the search, which ends the worker
            )

    def _attempt(
        self, job: worker.Job, action: str, on_epoch: Callable[[EpochReport], None], deadline: float | None
    ) -> Any:
        """Sends the job and takes what comes back until it is done; an exception from elsewhere ends the worker."""
        try:
            self._start()
            self._send((job, action))
            while True:
                kind, *content = self._receive(deadline, self._lease_s)
                if kind == "epoch":
                    on_epoch(*content)
                elif kind == "progress":
                    name, fields = content
                    progress.emit(name, **fields)
                else:
                    break
        except BaseException:
            self._end()
            raise
        if kind == "mistake":
            reason, is_users = content
            raise keras_tuner.errors.FatalError(reason) from UserError(reason) if is_users else None
        if kind == "failed":
            reason, is_out_of_memory = content
            if is_out_of_memory:
                self._end()  # what is left of the trial could be in the way of the next one
            raise keras_tuner.errors.FailedTrialError(reason)
        result, self.size_bytes = content
        if self.size_bytes > self._max_bytes:
            self._end()
        return result

    def _send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise DiedError(self._how_it_died()) from error

    def _receive(self, deadline: float | None, lease_s: float) -> tuple[Any, ...]:
        """Waits for a message, for as long as the worker shows signs of life.

        Raises:
            DiedError: there will be none.
            TimeoutError: the deadline passed.
            CancelledError: the job was given up.
        """
        lease = _Lease(lease_s)
        try:
            while True:
                if self._is_cancelled.is_set():
                    raise CancelledError
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError
                if self._connection.poll(_POLL_S):
                    kind, *content = self._connection.recv()
                    if kind != "alive":
                        return kind, *content
                    lease.renew(content[0])
                    self._check_size(content[1])
                elif lease.is_over():
                    raise DiedError(f"The training process has shown no sign of life for {self._lease_s:g} s.")
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:  # OSError: it died in the middle of a message
            raise DiedError(self._how_it_died()) from error

    def _check_size(self, size_bytes: int) -> None:
        if self._most_bytes is not None and size_bytes > self._most_bytes:
            raise keras_tuner.errors.FailedTrialError(
                f"Its process took {size_bytes / 1e9:.1f} GB of memory, more than its share,"
                f" {self._most_bytes / 1e9:.1f} GB. Fewer --parallel_trials (with --ray: more --trial_cpus) leave"
                " more to each."
            )

    def _how_it_died(self) -> str:
        status = self._process.wait()
        if status == -signal.SIGKILL:
            return "The training process was killed (SIGKILL), as the system does when memory runs out."
        if status < 0:
            return f"The training process crashed ({signal.Signals(-status).name})."
        return f"The training process ended by itself with status {status}."


class _Lease:
    """Ends some time after a worker has last computed."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._worked_s = seconds, 0.0
        self._renewed_s = time.monotonic()

    def renew(self, worked_s: float) -> None:
        """Takes a beat: how many seconds of the processor the worker has used so far."""
        now = time.monotonic()
        if worked_s - self._worked_s > _LEAST_WORK * (now - self._renewed_s):
            self._worked_s, self._renewed_s = worked_s, now

    def is_over(self) -> bool:
        """Tells whether the worker has not computed for too long."""
        return time.monotonic() - self._renewed_s > self._seconds
