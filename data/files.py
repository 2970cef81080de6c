"""Writing files that must survive a crash: under a temporary name first, then renamed."""

import hashlib
import json
import os
import pathlib
import socket
from typing import Any

from data import errors

_TAIL_LINES, _TAIL_BYTES = 12, 64 * 1024


def check_writable(path: str | os.PathLike[str], flag: str) -> None:
    """Checks, before long work, that a file can be written; nothing is made yet.

    Args:
        path: of the file.
        flag: that names it, for the error.

    Raises:
        UserError: it is a folder, or lies where no file can be made.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise errors.UserError(f"`{flag}={path}` is a folder. Name a file, as {path / 'NAME'}.")
    folder = next((parent for parent in path.absolute().parents if parent.exists()), pathlib.Path("/"))
    if not folder.is_dir():
        raise errors.UserError(f"`{flag}={path}` cannot be written: `{folder}` is a file. Name another folder.")
    if not os.access(folder, os.W_OK):
        raise errors.UserError(f"`{flag}={path}` cannot be written: no permission in `{folder}`. Name another folder.")


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file whole or not at all; missing folders are made.

    Args:
        path: file to write or to replace.
        data: its content.

    Raises:
        OSError: the disk is full or the folder cannot be written; an older file is left as it was.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes JSON as `write_bytes` does; NaN is not JSON and raises `ValueError`."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def tail(path: pathlib.Path, lines: int = _TAIL_LINES) -> str:
    """Returns the last lines of a text file, "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def digest(path: str | os.PathLike[str]) -> str:
    """Returns 64 hexadecimal digits of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
