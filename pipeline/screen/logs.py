"""Output capture: the libraries' chatter goes to a log file, the terminal stays with the display.

The redirection is of the file descriptors 1 and 2, because TensorFlow's C++ code and Beam's worker processes
write there without asking Python.
"""

import contextlib
import dataclasses
import io
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import TextIO

from data import errors, files
from pipeline import failures

# What `--verbosity` chooses from: the display alone, or with the log beside it.
VERBOSITIES = ("progress", "info", "debug")
_FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


@dataclasses.dataclass(frozen=True)
class Capture:
    """An open redirection.

    Attributes:
        terminal: text stream to where standard output went before.
        log_file: where everything else goes now.
    """

    terminal: TextIO
    log_file: pathlib.Path


@contextlib.contextmanager
def capture_output(log_file: pathlib.Path | None = None, verbosity: str = "progress") -> Iterator[Capture]:
    """Sends standard output and error to a log file until the context ends.

    Args:
        log_file: file to append to, its folder is made; None for a temporary one, kept only after a failure.
        verbosity: one of `VERBOSITIES`; "info" and "debug" show the log on the terminal as well.

    Yields:
        The terminal to write to, and the log.

    Raises:
        failures.CommandFailedError: the body failed by no fault of the user; the traceback is in the log.
        errors.UserError: the log cannot be written; or the body raised it.
    """
    path, keep = _log_path(log_file), log_file is not None
    try:
        with _redirected(path, tee=verbosity != "progress") as terminal, _logging_to_stderr(verbosity):
            try:
                yield Capture(terminal, path)
            except (errors.UserError, BrokenPipeError, KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                keep = True
                last_lines = files.tail(path)
                with contextlib.suppress(OSError):  # the disk may be full
                    traceback.print_exc()
                raise failures.CommandFailedError(path, last_lines) from error
    finally:
        if not keep:
            path.unlink(missing_ok=True)


def _log_path(log_file: pathlib.Path | None) -> pathlib.Path:
    if log_file is None:
        descriptor, name = tempfile.mkstemp(prefix="ssd-tuner-", suffix=".log")
        os.close(descriptor)
        return pathlib.Path(name)
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.touch()
    except OSError as error:
        if failures.is_disk_full(error):
            raise
        raise errors.UserError(f"the log {log_file} cannot be written: {error.strerror}.") from error
    return log_file


@contextlib.contextmanager
def _redirected(path: pathlib.Path, *, tee: bool) -> Iterator[TextIO]:
    """Points descriptors 1 and 2 at the log and yields a stream to the old descriptor 1."""
    _flush()
    saved = os.dup(1), os.dup(2)
    terminal = open(  # noqa: SIM115 - closed below, after the descriptors are back
        os.dup(saved[0]), "w", buffering=1, encoding=getattr(sys.stdout, "encoding", None), errors="replace"
    )
    pump = None
    try:
        if tee:
            # A process of its own, not a thread: C++ code may fill the pipe while it holds Python's lock.
            pump = subprocess.Popen(["tee", "-a", path], stdin=subprocess.PIPE, stdout=saved[1], start_new_session=True)
            sink = os.dup(pump.stdin.fileno())
            pump.stdin.close()
        else:
            sink = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os.close(sink)
        yield terminal
    finally:
        _flush()
        for target, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, target)
            os.close(descriptor)
        with contextlib.suppress(OSError):
            terminal.close()
        if pump is not None:
            _finish(pump)


def _finish(pump: subprocess.Popen) -> None:
    try:
        pump.wait(timeout=5)
    except subprocess.TimeoutExpired:  # a worker process that outlives the run still holds the pipe
        pump.terminate()
        pump.wait()


@contextlib.contextmanager
def _logging_to_stderr(verbosity: str) -> Iterator[None]:
    """Makes Python's root logger and absl's write to descriptor 2, and nothing else."""
    from absl import logging as absl_logging

    level = logging.DEBUG if verbosity == "debug" else logging.INFO
    # Never closed: libraries that are imported meanwhile keep it in log handlers of their own. Unbuffered:
    # what a full disk refuses must not come out on the terminal later.
    raw = open(2, "wb", buffering=0, closefd=False)  # noqa: SIM115
    stream = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(_FORMAT))
    root = logging.getLogger()
    handlers, root_level, absl_level = root.handlers[:], root.level, absl_logging.get_verbosity()
    reporting, logging.raiseExceptions = (
        logging.raiseExceptions,
        False,
    )  # a full disk is reported once, by the run
    root.handlers[:] = [handler]
    root.setLevel(level)
    absl_logging.set_verbosity(absl_logging.DEBUG if verbosity == "debug" else absl_logging.INFO)
    try:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(root_level)
        absl_logging.set_verbosity(absl_level)
        logging.raiseExceptions = reporting


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
