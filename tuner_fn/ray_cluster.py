"""Training processes on a Ray cluster: each an actor, on whatever node has room, that keeps a worker of its own.

Ray finds the nodes, starts the actors and tells when one is lost. The search's process decides what is trained, and
takes the results, as on one machine. Ray's core alone is used: the schedulers of Ray Tune would replace ours.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
import ray
from ray.util import scheduling_strategies

from data import files, plugins, progress
from data.errors import UserError
from tuner_fn import devices, worker
from tuner_fn.supervisor import LEASE_S, CancelledError, DiedError, TrainingProcess

_PROBE_S = 120.0  # a node imports the package
_POLL_S = 0.5
_ROOT = pathlib.Path(__file__).resolve().parents[1]
_CODE = ("data", "models", "tuner_fn")  # what a worker runs
# What this process' environment says that holds for a worker elsewhere, too.
_SHARED = (plugins.VARIABLE, "TF_FORCE_GPU_ALLOW_GROWTH", "TF_USE_LEGACY_KERAS", "KERAS_BACKEND")
_VERSIONS = ("tensorflow", "keras")
_LOST = (ray.exceptions.RayActorError, ray.exceptions.NodeDiedError, ray.exceptions.OwnerDiedError)


@dataclasses.dataclass(frozen=True)
class Reserved:
    """What Ray reserves for a trial.

    Attributes:
        cpus: whole ones, at least 1.
        gpus: also a part of one; 0 for none.
    """

    cpus: int
    gpus: float

    def fits(self, resources: Mapping[str, float]) -> int:
        """Counts how many trials a node's resources hold."""
        by_cpu = int(resources.get("CPU", 0.0) // self.cpus)
        return by_cpu if not self.gpus else min(by_cpu, int(resources.get("GPU", 0.0) / self.gpus + 1e-9))


def reserved(cpus: int, gpus: float | None) -> Reserved:
    """Says what a trial gets; without a word of the user a whole GPU where the cluster has any."""
    has_gpus = ray.cluster_resources().get("GPU", 0.0) > 0
    return Reserved(cpus, float(has_gpus) if gpus is None else gpus)


def check_room(count: int | None, each: Reserved) -> int:
    """Returns how many trials are trained at a time: as asked for, by default as many as the nodes hold.

    Raises:
        UserError: the nodes hold fewer, or none.
    """
    room = sum(each.fits(node["Resources"]) for node in ray.nodes() if node["Alive"])
    wanted = f"{each.cpus} CPUs and {each.gpus:g} GPUs (--trial_cpus, --trial_gpus)"
    if not room:
        raise UserError(f"No node of the Ray cluster has room for a trial: each gets {wanted}.")
    if count is not None and count > room:
        raise UserError(
            f"`parallel_trials={count}`: the Ray cluster has room for {room} trials, each with {wanted}. Take {room} or"
            " fewer, or reserve less."
        )
    return count or room


def check_nodes(folder: pathlib.Path) -> None:
    """Asks every node whether it has this code, and whether it sees the search's folder.

    Args:
        folder: of the search.

    Raises:
        UserError: names the node and what it lacks.
    """
    word = secrets.token_hex(8)
    file = folder / "ray_check"
    files.write_text(file, word)
    probe = ray.remote(num_cpus=0, max_retries=0)(_look)
    try:
        for node in (node for node in ray.nodes() if node["Alive"]):
            there = scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            name = node["NodeManagerHostname"]
            try:
                found = ray.get(probe.options(scheduling_strategy=there).remote(str(file)), timeout=_PROBE_S)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
                raise UserError(f"Ray's node {name} cannot run this package ({reason}). Install it there.") from error
            _compare(name, found, _look(str(file)), folder)
    finally:
        file.unlink(missing_ok=True)


def _compare(name: str, found: Mapping[str, Any], own: Mapping[str, Any], folder: pathlib.Path) -> None:
    for what in ("python", *_VERSIONS, "code of this package"):
        if found[what] != own[what]:
            raise UserError(
                f"Ray's node {name} has another {what}: {found[what]}, and here is {own[what]}. Install the same on all"
                " nodes."
            )
    if found["word"] != own["word"]:
        raise UserError(
            f"Ray's node {name} does not see {folder}: --workdir has to lie on storage that all nodes share, under one"
            " path."
        )


def _look(file: str) -> dict[str, Any]:
    """Describes the machine that this runs on."""
    digest = hashlib.sha256()
    for path in sorted(path for package in _CODE for path in (_ROOT / package).rglob("*.py")):
        digest.update(path.read_bytes())
    word = None
    with contextlib.suppress(OSError):
        word = pathlib.Path(file).read_text(encoding="utf-8")
    versions = {name: importlib.metadata.version(name) for name in _VERSIONS}
    code = f"{importlib.metadata.version('ssd-tuner')} ({digest.hexdigest()[:8]})"
    return {"python": platform.python_version(), **versions, "code of this package": code, "word": word}


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
    return tuple(RayTrainingProcess(log, each, training) for log in logs)


class RayTrainingProcess(TrainingProcess):
    """Trains in an actor, which is started when it is needed and anew, anywhere, when it was lost.

    What a worker process does on its node, the actor there answers for. An actor or node that is lost is a worker that
    has died: the job continues elsewhere from its last epoch.
    """

    def __init__(self, log: pathlib.Path, each: Reserved, training: str) -> None:
        """Prepares; nothing is started yet.

        Args:
            log: as of `TrainingProcess`, on shared storage.
            each: what it gets.
            training: as of `TrainingProcess`.
        """
        super().__init__(log, training=training)
        self._each = each
        self._actor: Any = None
        self._messages: Any = None

    @property
    def pid(self) -> int | None:
        """None: the worker is one of another machine."""
        return None

    def _start(self) -> None:
        """Starts an actor unless there is one, and waits until the cluster has room for it."""
        if self._actor is not None:
            return
        actor = ray.remote(num_cpus=self._each.cpus, num_gpus=self._each.gpus, max_restarts=0)(_Node)
        self._actor = actor.remote(str(self.log), self._training, self._each, _environment())
        waiting, noted_s = self._actor.is_up.remote(), time.monotonic()
        while not ray.wait([waiting], timeout=_POLL_S)[0]:
            if self._is_cancelled.is_set():
                raise CancelledError
            if time.monotonic() - noted_s > LEASE_S:
                progress.emit("note", text="The Ray cluster has no room for a training at present: waiting for it.")
                noted_s = float("inf")
        try:
            ray.get(waiting)
        except _LOST as error:
            raise DiedError(f"A training on the Ray cluster was lost ({_reason(error)}).") from error

    def _send(self, message: tuple[worker.Job, str]) -> None:
        self._messages = self._actor.run.options(num_returns="streaming").remote(*message)

    def _receive(self, deadline: float | None, lease_s: float) -> tuple[Any, ...]:
        del lease_s  # the actor has one with its worker, and Ray one with the actor
        while True:
            if self._is_cancelled.is_set():
                raise CancelledError
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError
            if not ray.wait([self._messages], timeout=_POLL_S)[0]:
                continue
            try:
                return ray.get(next(self._messages))
            except (*_LOST, StopIteration) as error:
                raise DiedError(f"A training on the Ray cluster was lost ({_reason(error)}).") from error

    def _end(self) -> None:
        if self._actor is not None:
            if ray.is_initialized():
                ray.kill(self._actor)
            self._actor = self._messages = None


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _SHARED if name in os.environ}


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _Node:
    """The actor: it hands jobs to a worker process beside it, and what comes back to the search."""

    def __init__(self, log: str, training: str, each: Reserved, environment: Mapping[str, str]) -> None:
        own = ray.get_runtime_context().get_node_id()
        (node,) = (one["Resources"] for one in ray.nodes() if one["NodeID"] == own)
        limits = devices.limits(devices.memory_bytes() / max(each.fits(node), 1))
        threads = {} if each.gpus else {"TF_NUM_INTRAOP_THREADS": str(each.cpus)}
        self._process = TrainingProcess(log, training=training, environment={**environment, **threads}, **limits)

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
            except Exception as error:
                messages.put(("mistake", str(error), isinstance(error.__cause__, UserError)))
            else:
                messages.put(("done", result, self._process.size_bytes))

        threading.Thread(target=work, daemon=True).start()
        while True:
            message = messages.get()
            yield message
            if message[0] in ("done", "failed", "mistake"):
                return


def describe(processes: Sequence[RayTrainingProcess]) -> str:
    """Says in a sentence where trials are trained."""
    nodes = sum(node["Alive"] for node in ray.nodes())
    return f"Trials are trained on a Ray cluster of {nodes} node{'s' * (nodes != 1)}, {len(processes)} at a time."
