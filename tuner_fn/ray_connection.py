"""Joins a Ray cluster and asks its nodes whether they can train.

Nothing here imports TensorFlow, which takes 10 s: a command asks before it starts anything, and a node answers soon.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import logging
import os
import pathlib
import platform
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

import ray
from ray.util import scheduling_strategies

from data import endpoints, files, plugins
from data.errors import UserError

AUTO = "auto"  # the cluster that this machine belongs to
_PATIENCE_S = 10
# `ray.init` takes no limit of time: a process of its own asks first, and ends in the middle of it.
_ASK = f"""
import os, signal, sys, ray
signal.alarm({_PATIENCE_S})
try:
    ray.init(sys.argv[1])
except Exception as error:
    print(*str(error).split(), flush=True)
    os._exit(1)
os._exit(0)  # to leave a cluster properly takes seconds, which would count as its patience
"""
_PROBE_S = 300.0  # for a node, which starts a process
_ROOT = pathlib.Path(__file__).resolve().parents[1]
_CODE = ("data", "models", "tuner_fn")  # what a worker runs
_VERSIONS = ("tensorflow", "keras")


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
        by_cpu, gpus = int(resources.get("CPU", 0.0) // self.cpus), int(resources.get("GPU", 0.0))
        if not self.gpus:
            return by_cpu
        return min(by_cpu, gpus * int(1.0 / self.gpus + 1e-9) if self.gpus < 1.0 else int(gpus // self.gpus))


def join(address: str, count: int | None, cpus: int, gpus: float | None) -> tuple[int, Reserved]:
    """Joins a cluster and asks it for room.

    Args:
        address: as of `connect`.
        count: as of `check_room`.
        cpus: as of `reserved`.
        gpus: as of `reserved`.

    Returns:
        How many trials are trained at a time, and what each gets.

    Raises:
        UserError: as those.
    """
    connect(address)
    each = reserved(cpus, gpus)
    return check_room(count, each), each


def connect(address: str) -> None:
    """Joins a cluster; nothing happens where this process has done so.

    Args:
        address: HOST:PORT of its head, or `AUTO`.

    Raises:
        UserError: there is no such cluster, or it does not answer within 10 s.
    """
    if ray.is_initialized():
        return
    _check_answers(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(address=address, namespace="ssd-tuner", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:  # it has gone since it answered
        raise _not_joined(address, " ".join(str(error).split())) from error
    finally:  # SIGTERM keeps its meaning: what was done is saved
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _check_answers(address: str) -> None:
    """Raises `UserError` where no cluster lets a process join within 10 s."""
    try:
        reason = "" if address == AUTO else endpoints.why_silent(address)
    except ValueError as error:
        raise UserError(
            f"`--ray={address}` {error} of the cluster's head, as 10.0.0.1:6379, or {AUTO}. The command itself has to"
            " run on a node of the cluster."
        ) from error
    if reason:
        raise UserError(f"`--ray={address}`: no Ray cluster answers there ({reason}).")
    asked = subprocess.run(
        [sys.executable, "-P", "-c", _ASK, address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    if asked.returncode:
        raise _not_joined(address, asked.stdout.strip() or f"no answer within {_PATIENCE_S} s")


def _not_joined(address: str, reason: str) -> UserError:
    """Words why a cluster was not joined."""
    variable = os.environ.get("RAY_ADDRESS") if address == AUTO else None
    where = f"--ray={address}" if variable is None else f"--ray={address}` with `RAY_ADDRESS={variable}"
    return UserError(
        f"`{where}`: no Ray cluster was joined ({reason.rstrip('.')}). Give HOST:PORT of its head, by default port"
        " 6379, and run the command on a node of the cluster."
    )


def reserved(cpus: int, gpus: float | None) -> Reserved:
    """Says what a trial gets; without a word of the user a whole GPU where the cluster has any.

    Raises:
        UserError: more than one GPU, and not whole ones.
    """
    if gpus is not None and gpus > 1.0 and gpus != int(gpus):
        raise UserError(f"`--trial_gpus={gpus:g}`: Ray reserves whole GPUs, or a part of one.")
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
                asked = probe.options(scheduling_strategy=there).remote(str(file), os.environ.get(plugins.VARIABLE, ""))
                found = ray.get(asked, timeout=_PROBE_S)
            except ray.exceptions.GetTimeoutError as error:
                text = f"Ray's node {name} has started no process in {_PROBE_S:g} s. Ray's logs there say why."
                raise UserError(text) from error
            except ray.exceptions.RayTaskError as error:
                reason = str(error).strip().splitlines()[-1]
                raise UserError(f"Ray's node {name} cannot run this package ({reason}). Install it there.") from error
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[0]
                raise UserError(f"Ray's node {name} was lost while it was asked ({reason}).") from error
            _compare(name, found, _look(str(file), os.environ.get(plugins.VARIABLE, "")), folder)
    finally:
        file.unlink(missing_ok=True)


def _compare(name: str, found: Mapping[str, Any], own: Mapping[str, Any], folder: pathlib.Path) -> None:
    for what in ("python", *_VERSIONS, "code of this package", "plug-ins"):
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


def _look(file: str, plugin_names: str) -> dict[str, Any]:
    """Describes the machine that this runs on: what it has, and what it reads in a file."""
    os.environ[plugins.VARIABLE] = plugin_names
    plugins.load_again()
    digest = hashlib.sha256()
    for path in sorted(path for package in _CODE for path in (_ROOT / package).rglob("*.py")):
        digest.update(path.read_bytes())
    word = None
    with contextlib.suppress(OSError):
        word = pathlib.Path(file).read_text(encoding="utf-8")
    versions = {name: importlib.metadata.version(name) for name in _VERSIONS}
    code = f"{importlib.metadata.version('ssd-tuner')} ({digest.hexdigest()[:8]})"
    own = {"code of this package": code, "plug-ins": plugins.digest()[:8] or "none", "word": word}
    return {"python": platform.python_version(), **versions, **own}
