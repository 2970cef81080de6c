"""Training states on disk: the values of everything that training changes, their names, and the reports so far."""

import json
import os
import pathlib
import socket
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data import progress

_DAMAGE = (ValueError, KeyError, EOFError, zipfile.BadZipFile)
_TEXTS = ("history", "names")  # JSON; every other entry is a value


def save(path: str | os.PathLike[str], variables: Sequence[Any], history: Sequence[Mapping[str, float]]) -> None:
    """Writes a state to a temporary name and renames it, so that it is there whole or not at all.

    Args:
        path: of the file; missing folders are made.
        variables: of Keras, with a `path` each.
        history: one report an epoch.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.tmp")  # a lost node may still be writing
    texts = dict(zip(_TEXTS, (history, [variable.path for variable in variables]), strict=True))
    arrays = {name: np.frombuffer(json.dumps(text).encode(), np.uint8) for name, text in texts.items()}
    arrays |= {f"v{number}": np.asarray(variable) for number, variable in enumerate(variables)}
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(
    path: str | os.PathLike[str], variables: Sequence[Any]
) -> tuple[list[np.ndarray], list[dict[str, float]]] | None:
    """Reads the values in the order in which they were saved, and the reports.

    Args:
        path: of the file.
        variables: that the values are for.

    Returns:
        Both; None where the file is damaged or of other variables, as those of another version of a library: it is
        renamed to end in ".damaged" then, and named in a note.
    """
    path = pathlib.Path(path)
    try:
        with np.load(path) as state:
            count = len(set(state.files).difference(_TEXTS))
            values = [state[f"v{number}"] for number in range(count)]
            shapes, wanted = [value.shape for value in values], [tuple(variable.shape) for variable in variables]
            if shapes != wanted:
                raise ValueError(f"it holds other variables, {len(shapes)} for {len(wanted)}; another version wrote it")
            return values, _text(state, "history")
    except _DAMAGE as error:
        _set_aside(path, error)
        return None


def load_named(path: str | os.PathLike[str]) -> dict[str, np.ndarray] | None:
    """Reads the values by the paths of their variables, for a network of another architecture.

    Returns:
        {path: value}; None where there is no such file, where it was written before states held names, or where it is
        damaged: it is renamed to end in ".damaged" then. A note says so.
    """
    path = pathlib.Path(path)
    try:
        with np.load(path) as state:
            if "names" in state.files:
                names = _text(state, "names")
                return {name: state[f"v{number}"] for number, name in enumerate(names)}
        progress.emit("note", text=f"{path} holds no names of weights; the training starts without them.")
    except FileNotFoundError:
        progress.emit("note", text=f"There is no training state {path}; the training starts without its weights.")
    except _DAMAGE as error:
        _set_aside(path, error)
    return None


def _set_aside(path: pathlib.Path, error: Exception) -> None:
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    text = f"{path} is damaged ({type(error).__name__}: {error}); set aside as {aside.name}, the training starts over."
    progress.emit("note", text=text)


def _text(state: Any, name: str) -> Any:
    return json.loads(state[name].tobytes())
