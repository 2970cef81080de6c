"""Opening a run directory: the lock that keeps two runs out of one another's way, and the checks at the start."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import shutil
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from data import errors, files
from data.run_directory import RunDirectory
from data.sources import DataOptions, canonical
from pipeline import failures
from pipeline.cluster import uris

if TYPE_CHECKING:
    from pipeline import configs

_LOCK = ".lock"
# Either file tells that a folder is a run directory; a copy made without hidden files has lost the first.
_MARKS = (_LOCK, RunDirectory(pathlib.Path()).metadata.name)


@contextlib.contextmanager
def open_workdir(path: str | os.PathLike[str], min_free_gb: float = 0.0) -> Iterator[RunDirectory]:
    """Makes and locks a run directory; the lock goes with the process, however that ends.

    A folder that this call made and that holds nothing when a user's mistake ends the run is removed again.

    Args:
        path: the run directory, an empty folder, or a folder yet to be made.
        min_free_gb: least free space on its disk, in 10^9 bytes.

    Yields:
        The locked run directory.

    Raises:
        errors.UserError: another process uses it, it is not a run directory, it cannot be written, its disk is too
            full, the clock is behind its last pushed model, or it is a URI.
    """
    uris.check_folder(str(path), "--workdir")
    root = pathlib.Path(path).expanduser().absolute()
    made = not root.exists()
    _prepare(root)
    try:
        with locked(root):
            check_free_space(root, min_free_gb)
            check_clock(RunDirectory(root).serving_model)
            yield RunDirectory(root)
    except errors.UserError:
        if made:
            _remove_if_unused(root)
        raise


def is_run_directory(root: pathlib.Path) -> bool:
    """Tells whether a folder holds runs or studies of this kit; what lies in others is not ours to read or mend."""
    return any((root / mark).exists() for mark in _MARKS)


def claim(config: "configs.RunConfig") -> None:
    """Ties a run directory to one dataset, so that no model is compared with one of other classes or images.

    How the images are cut into tiles may change: models are compared on whole images.

    Args:
        config: of the run. Paths of its datasets are kept absolute, so that they mean the same from every folder.

    Raises:
        errors.UserError: the run directory holds another dataset's runs; nothing in it is changed.
    """
    path = config.paths.dataset
    defaults = DataOptions().to_dict()
    taken = {k: v for k, v in config.data.to_dict().items() if v != defaults[k] and k != "tile"}
    wanted = _located({"dataset": config.dataset, **taken})
    if path.exists():
        found = _located(json.loads(path.read_text()))  # an older version kept what was typed
        if wanted != found:
            raise errors.UserError(
                f"The run directory {config.workdir} belongs to {_as_flags(found)}; this run has {_as_flags(wanted)}."
                " Choose another --workdir for other data."
            )
    else:
        files.write_json(path, wanted)


def _located(values: dict[str, Any]) -> dict[str, Any]:
    """Writes the datasets among data options with absolute paths."""
    return values | {name: canonical(values[name]) for name in ("dataset", "test_dataset") if name in values}


def _as_flags(values: dict[str, Any]) -> str:
    """Writes data options as the user would."""
    shown = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in values.items()}
    return " ".join(f"--{name}={value}" for name, value in shown.items())


def check_free_space(folder: pathlib.Path, min_free_gb: float) -> None:
    """Raises `errors.UserError` where a folder's disk has less than `min_free_gb` * 10^9 bytes left."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < min_free_gb:
        raise errors.UserError(
            f"the disk of {folder} has {free_gb:.1f} GB left, and a run needs {min_free_gb:g} GB. "
            "Free some space, choose a --workdir on another disk, or lower --min_free_gb."
        )


def check_clock(serving_model: pathlib.Path) -> None:
    """Checks that a model that is pushed now gets a higher version than the others, as servers take the highest.

    Args:
        serving_model: folder of the pushed models, named by their seconds since 1970; it need not exist.

    Raises:
        errors.UserError: the clock was set back.
    """
    newest = max((int(path.name) for path in serving_model.glob("*/") if path.name.isdecimal()), default=0)
    if newest > time.time():
        raise errors.UserError(
            f"{serving_model} holds version {newest}, but by the clock it is {time.time():.0f} s since 1970: a newer"
            " model would count as the older one. Set the clock, or choose another --workdir."
        )


def _prepare(root: pathlib.Path) -> None:
    if root.exists() and not root.is_dir():
        raise errors.UserError(f"--workdir={root} is a file, not a folder. Name a new folder or that of a run.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in root.iterdir()}
    except OSError as error:
        raise _unwritable(root, error) from error
    visible = sorted(name for name in names if not name.startswith("."))
    if visible and names.isdisjoint(_MARKS):
        some = ", ".join(visible[:3]) + (", ..." if len(visible) > 3 else "")
        raise errors.UserError(
            f"--workdir={root} holds other files ({some}) and no run. Name a new folder or that of a run."
        )


@contextlib.contextmanager
def locked(root: pathlib.Path, *, is_needed: bool = True) -> Iterator[None]:
    """Holds the lock of a run directory; it goes with the process, however that ends.

    Args:
        root: the run directory, which exists.
        is_needed: False to continue where the file system knows no locks, as some volumes of a cluster.

    Raises:
        errors.UserError: another process holds it, or there are none and one is needed.
    """
    try:
        file = open(root / _LOCK, "a+", encoding="utf-8")  # noqa: SIM115 - closed by the `with` below
    except OSError as error:
        raise _unwritable(root, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.UserError(_in_use(root, file)) from error
        except OSError as error:
            if is_needed:
                raise errors.UserError(
                    f"--workdir={root} cannot be locked ({error.strerror}). Choose a folder on a local disk."
                ) from error
        _sign(file)
        yield


def _sign(file: TextIO) -> None:
    now = datetime.datetime.now().astimezone().isoformat(" ", timespec="seconds")
    file.truncate(0)
    json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": now}, file)
    file.flush()


def _in_use(root: pathlib.Path, file: TextIO) -> str:
    try:
        file.seek(0)
        owner = json.load(file)
        who = f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return f"--workdir={root} is in use by {who}. Wait for it, stop it, or choose another --workdir."


def _unwritable(root: pathlib.Path, error: OSError) -> errors.UserError | OSError:
    if failures.is_disk_full(error):
        return error
    return errors.UserError(f"--workdir={root} cannot be written: {error.strerror}. Choose another folder.")


def _remove_if_unused(root: pathlib.Path) -> None:
    if {entry.name for entry in root.iterdir()} <= {_LOCK, RunDirectory(root).log.parent.name}:
        shutil.rmtree(root, ignore_errors=True)
