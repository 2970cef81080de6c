"""Training processes on a Ray cluster: each an actor, on whatever node has room, that keeps a worker of its own.

Ray finds the nodes, starts the actors and tells when one is lost. The search's process decides what is trained, and
takes the results, as on one machine. Ray's core alone is used: the schedulers of Ray Tune would replace ours.
"""

import contextlib
import os
import pathlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
import ray

from data import plugins, progress
from data.errors import UserError
from models.training import devices as training_devices
from tuner_fn import devices, worker
from tuner_fn.ray_connection import Reserved
from tuner_fn.supervisor import LEASE_S, CancelledError, DiedError, TrainingProcess

_POLL_S, _BEAT_S = 0.5, 5.0
_MOST_STARTS = 5  # of an actor, for one attempt at a job
_ALIVE = ("alive",)
# What this process' environment says that holds for a worker elsewhere, too.
_SHARED = (plugins.VARIABLE, "TF_FORCE_GPU_ALLOW_GROWTH", "TF_USE_LEGACY_KERAS", "KERAS_BACKEND")


def make_processes(
    folder: pathlib.Path, count: int, each: Reserved, training: str = worker.TRAINING
) -> tuple["RayTrainingProcess", ...]:
    """Makes processes on the cluster's nodes; nothing is started yet.

    Args:
        folder: of the search, on storage that all nodes share.
        count: of them.
        each: what each gets.
        training: as of `TrainingProcess`.
    """
    logs = (folder / f"worker_{number}.log" for number in range(1, count + 1))
    return tuple(RayTrainingProcess(log, each, count, training) for log in logs)


class RayTrainingProcess(TrainingProcess):
    """Trains in an actor. A job starts the actor where there is none, on any node that has room.

    The actor keeps a worker process on its node. An actor or a node that is lost counts as a worker that has died: the
    job continues on another node from its last epoch.
    """

    def __init__(self, log: pathlib.Path, each: Reserved, count: int, training: str) -> None:
        """Prepares; nothing is started yet.

        Args:
            log: as of `TrainingProcess`, on shared storage.
            each: what it gets.
            count: of all such processes, which share the memory of a node.
            training: as of `TrainingProcess`.
        """
        super().__init__(log, max_bytes=sys.maxsize, training=training)  # the actor replaces a worker that is too big
        self._each, self._count, self._waited_s = each, count, 0.0
        self._actor: Any = None
        self._messages: Any = None

    @property
    def pid(self) -> int | None:
        """None: the worker is one of another machine."""
        return None

    def release(self) -> None:
        """Gives its place back to the cluster, where another training may wait for it."""
        self._end()

    def _persist(self, *arguments: Any) -> Any:
        self._waited_s = 0.0
        return super()._persist(*arguments)

    def _attempt(self, job: worker.Job, action: str, on_epoch: Any, deadline: float | None) -> Any:
        """Waits for a place and does the job there; the wait does not count as the job's time."""
        began_s = time.monotonic()
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        self._waited_s += time.monotonic() - began_s
        return super()._attempt(job, action, on_epoch, None if deadline is None else deadline + self._waited_s)

    def _start(self) -> None:
        """Starts an actor unless one answers, and waits until the cluster has room for it."""
        if self._actor is not None:
            try:
                ray.get(self._actor.is_up.remote(), timeout=LEASE_S)
                return
            except ray.exceptions.RayError:  # it was lost, or hangs, with nothing to do
                self._end()
        for _ in range(_MOST_STARTS - 1):
            with contextlib.suppress(DiedError):  # Ray still sends actors to a node that was lost some seconds ago
                return self._start_actor()
        self._start_actor()

    def _start_actor(self) -> None:
        self._end()
        actor = ray.remote(num_cpus=self._each.cpus, num_gpus=self._each.gpus, max_restarts=0)(_Node)
        self._actor = actor.remote(str(self.log), self._training, self._each, self._count, _environment())
        waiting, noted_s = self._actor.is_up.remote(), time.monotonic()
        while not ray.wait([waiting], timeout=_POLL_S)[0]:
            if self._is_cancelled.is_set():
                raise CancelledError
            if time.monotonic() - noted_s > LEASE_S:
                progress.emit(
                    "note", text="Waiting for the Ray cluster to begin a training: it has no room, or is slow."
                )
                noted_s = float("inf")
        _get(lambda: waiting)

    def _send(self, message: tuple[worker.Job, str]) -> None:
        self._messages = self._actor.run.options(num_returns="streaming").remote(*message)

    def _receive(self, deadline: float | None, lease_s: float) -> tuple[Any, ...]:
        end_s = time.monotonic() + lease_s
        while True:
            if self._is_cancelled.is_set():
                raise CancelledError
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError
            if ray.wait([self._messages], timeout=_POLL_S)[0]:
                message = _get(lambda: next(self._messages))
                if message != _ALIVE:
                    return message
                end_s = time.monotonic() + lease_s
            elif time.monotonic() > end_s:
                raise DiedError(f"A training on the Ray cluster has shown no sign of life for {lease_s:g} s.")

    def _end(self) -> None:
        if self._actor is not None:
            if ray.is_initialized():
                ray.kill(self._actor)
            self._actor = self._messages = None


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _SHARED if name in os.environ}


def _get(reference: Callable[[], Any]) -> Any:
    """Fetches what an actor gives.

    Raises:
        DiedError: it, its node or the value was lost.
        FatalError: a mistake: the actor cannot be made, or its own code failed.
    """
    try:
        return ray.get(reference())
    except (ray.exceptions.RayError, StopIteration) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, ray.exceptions.RayTaskError) or getattr(error, "actor_init_failed", False):
            raise keras_tuner.errors.FatalError(f"A training on the Ray cluster cannot begin.\n{error}") from error
        raise DiedError(f"A training on the Ray cluster was lost ({reason}).") from error


class _Node:
    """The actor: it hands jobs to a worker process beside it, and what comes back to the search."""

    def __init__(self, log: str, training: str, each: Reserved, count: int, environment: Mapping[str, str]) -> None:
        own = ray.get_runtime_context().get_node_id()
        (node,) = (one["Resources"] for one in ray.nodes() if one["NodeID"] == own)
        limits = devices.limits(devices.memory_bytes() / max(min(each.fits(node), count), 1))
        cpu_alone = {"TF_NUM_INTRAOP_THREADS": str(each.cpus), devices.VISIBLE: "-1"}
        # Ray hides the GPUs of a node from nobody.
        device = {training_devices.TRIAL_GPUS: f"{each.gpus:g}"} if each.gpus else cpu_alone
        self._process = TrainingProcess(log, training=training, environment={**environment, **device}, **limits)

    def is_up(self) -> bool:
        """Answers as soon as the actor has its place."""
        return True

    def run(self, job: worker.Job, action: str) -> Iterator[tuple[Any, ...]]:
        """Yields the messages of `worker.serve` on a job."""
        messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        actions: dict[str, Callable[[], Any]] = {
            "train": lambda: self._process.train(job, lambda report: messages.put(("epoch", report))),
            "measure": lambda: self._process.measure(job),
            "costs": lambda: self._process.costs(job),
        }

        def work() -> None:
            try:
                with progress.listen(lambda kind, fields: messages.put(("progress", kind, fields))):
                    result = actions[action]()
            except keras_tuner.errors.FailedTrialError as failure:
                messages.put(("failed", str(failure), False))
            except BaseException as error:
                messages.put(("mistake", str(error), isinstance(error.__cause__, UserError)))
            else:
                messages.put(("done", result, self._process.size_bytes))

        threading.Thread(target=work, daemon=True).start()
        while True:
            try:
                message = messages.get(timeout=_BEAT_S)
            except queue.Empty:
                message = _ALIVE
            yield message
            if message[0] in ("done", "failed", "mistake"):
                return


def describe(processes: Sequence[RayTrainingProcess]) -> str:
    """Says in a sentence where trials are trained."""
    nodes = sum(node["Alive"] for node in ray.nodes())
    return f"Trials are trained on a Ray cluster of {nodes} node{'s' * (nodes != 1)}, {len(processes)} at a time."
