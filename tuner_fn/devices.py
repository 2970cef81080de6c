"""What the training processes of one machine share: its GPUs, or its cores, and its memory."""

import contextlib
import ctypes.util
import dataclasses
import itertools
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import psutil

from data.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
CORES = "SSD_TUNER_CORES"  # in a worker's environment: numbers of the cores that it may use, by comma
FOLDER = pathlib.Path("/dev")  # of the GPUs' files
CONTAINER_MEMORY = pathlib.Path("/sys/fs/cgroup/memory.max")
CONTAINER_CPU = pathlib.Path("/sys/fs/cgroup/cpu.max")
_NAME = re.compile(r"\d+|(GPU|MIG)-.+")  # of a GPU, as CUDA takes it
_REPLACED_ABOVE, _FAILED_ABOVE = 0.5, 0.9  # of a process' share of the memory


@dataclasses.dataclass(frozen=True)
class Share:
    """What one of several training processes has.

    Attributes:
        environment: of the process, what differs from this one's.
        max_bytes: resident size above which it is replaced after a job; None for the usual limit.
        most_bytes: resident size above which its job fails; None for no limit.
    """

    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    max_bytes: int | None = None
    most_bytes: int | None = None


def gpus() -> list[str]:
    """Names the GPUs that this process may use, as CUDA_VISIBLE_DEVICES does; TensorFlow would take 10 s to tell."""
    there = _present()
    return _asked_for() if there and VISIBLE in os.environ else there


def check(count: int | None) -> None:
    """Checks a number of parallel trials against this machine.

    Args:
        count: asked for; None for the default.

    Raises:
        UserError: more than there are GPUs, or cores where there is no GPU; or CUDA_VISIBLE_DEVICES names a GPU that
            is not there, or one twice. Where no GPU is found, one may have a file of another name: then a name is
            refused only for several trials, and TensorFlow decides for one.
    """
    _check_visible(count)
    if count is None:
        return
    found = gpus()
    if found and count > len(found):
        whose = f"this process may use {len(found)} of them" if _asked_for() else f"this machine has {len(found)}"
        raise UserError(
            f"`parallel_trials={count}` needs a GPU for each trial: {whose} ({', '.join(found)}). Take {len(found)} or"
            " fewer."
        )
    cores = _num_cores()
    if not found and count > cores:
        raise UserError(
            f"`parallel_trials={count}` needs a core for each trial: this process may use {cores}. Take {cores} or"
            " fewer."
        )


def check_reserved(cpus: int, gpus: float | None) -> None:
    """Raises `UserError` where a trial is to have a part of this machine: only Ray reserves such parts.

    Args:
        cpus: of `--trial_cpus`, 1 by default.
        gpus: of `--trial_gpus`, None by default.
    """
    given = {"trial_cpus": None if cpus == 1 else cpus, "trial_gpus": gpus}
    for name, value in given.items():
        if value is not None:
            raise UserError(
                f"`--{name}={value:g}` is what Ray reserves for a trial, and has no effect without --ray. Leave it"
                " out, or name a cluster with --ray."
            )


def default_count() -> int:
    """Returns how many trials are trained at a time where nobody says: one a GPU, and one without a GPU."""
    return max(len(gpus()), 1)


def shares(count: int) -> list[Share]:
    """Divides the machine among training processes.

    Args:
        count: of processes, as `check` allows; a single one has all there is, as if there were no shares.
    """
    if count == 1:
        return [Share()]
    found, memory = gpus(), limits(memory_bytes() / count)
    if found:
        from models.training import devices  # it imports Keras

        shared = {devices.SHARED_GPUS: ",".join(found)}
        return [Share({VISIBLE: name, **shared}, **memory) for name in found[:count]]
    return [Share({CORES: ",".join(map(str, own))}, **memory) for own in _parts(_cores(), count)]


def limits(bytes_each: float) -> dict[str, int]:
    """Returns `max_bytes` and `most_bytes` of a process that has so much of the memory."""
    return {"max_bytes": int(_REPLACED_ABOVE * bytes_each), "most_bytes": int(_FAILED_ABOVE * bytes_each)}


def _check_visible(count: int | None) -> None:
    """Refuses what CUDA would answer by hiding GPUs, without a word."""
    there, wanted = _numbered(), _asked_for()
    if wanted and count is not None and count > 1 and not _present():
        raise UserError(
            f"{VISIBLE}={os.environ[VISIBLE]} asks for a GPU, and this machine has none (no /dev/nvidia0). Unset it to"
            " train on the CPU, or leave out --parallel_trials if its GPU has a file of another name."
        )
    twice = next((name for name in wanted if wanted.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{VISIBLE}={os.environ[VISIBLE]} names the GPU {twice} twice. Name each once.")
    missing = next((name for name in wanted if name.isdecimal() and int(name) >= len(there)), None)
    if there and missing is not None:
        raise UserError(
            f"{VISIBLE}={os.environ[VISIBLE]} names GPU {missing}, but the GPUs of this machine are numbered"
            f" {', '.join(there)}. Name only these, or unset it to use all."
        )


def _present() -> list[str]:
    """Names the GPUs of this machine; under Windows, where a Linux sees them as one file, the first."""
    has_one = (FOLDER / "dxg").exists() and ctypes.util.find_library("cuda")  # other makers' GPUs have that file, too
    return _numbered() or (["0"] if has_one else [])


def _numbered() -> list[str]:
    """Names the GPUs that have files as CUDA does: from 0, though a container's files keep the host's numbers."""
    files = [path for path in FOLDER.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    return [str(number) for number in range(len(files))]


def _asked_for() -> list[str]:
    """Lists what the user lets CUDA see; a -1, or any word that names no GPU, hides what follows it."""
    names = (name.strip() for name in os.environ.get(VISIBLE, "").split(","))
    return list(itertools.takewhile(_NAME.fullmatch, filter(None, names)))


def memory_bytes() -> int:
    """Returns the memory of this machine, or of the container where that has less."""
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        return min(psutil.virtual_memory().total, int(CONTAINER_MEMORY.read_text(encoding="ascii")))
    return psutil.virtual_memory().total


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def _num_cores() -> int:
    """Counts the cores that this process may keep busy: a container sees all cores, and has the time of some."""
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        quota, period = map(int, CONTAINER_CPU.read_text(encoding="ascii").split())
        return min(len(_cores()), math.ceil(quota / period))
    return len(_cores())


def _parts(cores: Sequence[int], count: int) -> list[Sequence[int]]:
    """Divides cores as evenly as can be; where there are fewer than parts, some share one."""
    if len(cores) < count:
        return [[cores[number % len(cores)]] for number in range(count)]
    bounds = [len(cores) * number // count for number in range(count + 1)]
    return [cores[bounds[number] : bounds[number + 1]] for number in range(count)]
