"""What an error means to the user: the line to print and the exit status."""

import dataclasses
import errno
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from data import errors

STATUS_BUG = 1
STATUS_USER_ERROR = 2
STATUS_INTERRUPTED = 130  # 128 + SIGINT, as shells count

# What makes a path unusable wherever it is met first: its name, links in a circle, a disk that cannot be written.
_BAD_PATH_NUMBERS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS)
_DISK_FULL_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
# As errno, TensorFlow's file system, SQLite (through ml-metadata) and Beam's re-raised texts say it.
_DISK_FULL_TEXT = re.compile(
    r"no space left on device|disk quota exceeded|database or disk is full|not enough disk space",
    re.IGNORECASE,
)
# Beam raises a worker's error again, without naming it as the cause, and appends the step to its text.
_BEAM_SUFFIX = re.compile(r"\s*\[while running .*\]\s*$", re.DOTALL)


class CommandFailedError(RuntimeError):
    """An error that the log file tells the whole story of; the original is its `__cause__`.

    Attributes:
        log_file: where the traceback is.
        last_lines: the end of what was in the log before the traceback.
    """

    def __init__(self, log_file: pathlib.Path, last_lines: str = "") -> None:
        super().__init__(str(log_file))
        self.log_file = log_file
        self.last_lines = last_lines


@dataclasses.dataclass(frozen=True)
class Failure:
    """What to tell the user.

    Attributes:
        status: the exit status.
        message: one line, or one line and the log's tail for a bug.
    """

    status: int
    message: str


def explain(error: BaseException, continues: bool = False) -> Failure:
    """Turns an error into what the user reads.

    The causes of a wrapped error count as well. What was only being handled when a later error was raised counts for a
    full disk and Ctrl-C alone: otherwise the later error is the bug.

    Args:
        error: what ended the command.
        continues: whether the same command, given again, continues where this one stopped.

    Returns:
        Status 2 for a user's mistake, an unusable path or a full disk, 130 for Ctrl-C, 1 for everything else.
    """
    chain = list(_chain(error))
    if is_interruption(error):
        more = "; the same command continues where this one stopped" if continues else ""
        return Failure(STATUS_INTERRUPTED, f"interrupted{more}.")
    for link in chain:
        if is_disk_full(link):
            return Failure(STATUS_USER_ERROR, _disk_full_message(link, continues))
    for link in _causes(chain):
        if isinstance(link, OSError) and link.errno in _BAD_PATH_NUMBERS:
            return Failure(STATUS_USER_ERROR, _one_line(f"{link.strerror}: {link.filename}. Name another path."))
        if isinstance(link, errors.UserError):
            return Failure(STATUS_USER_ERROR, _one_line(_BEAM_SUFFIX.sub("", str(link))))
        if type(link).__module__.partition(".")[0] == "grpc":
            return Failure(STATUS_USER_ERROR, _one_line(_no_answer_message(link)))
    return Failure(STATUS_BUG, _bug_message(chain))


def is_interruption(error: BaseException) -> bool:
    """Returns whether this error, or one of its causes, is the user's Ctrl-C."""
    return any(isinstance(link, KeyboardInterrupt) for link in _chain(error))


def is_disk_full(error: BaseException) -> bool:
    """Returns whether this error, its causes aside, says that a disk or a quota is full."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL_NUMBERS:
        return True
    return not isinstance(error, errors.UserError) and bool(_DISK_FULL_TEXT.search(str(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _causes(chain: Sequence[BaseException]) -> Iterator[BaseException]:
    """Yields the links of a chain up to the first that neither names its cause nor is Beam's."""
    for link in chain:
        yield link
        if link.__cause__ is None and not _BEAM_SUFFIX.search(str(link)):
            return


def _disk_full_message(error: BaseException, continues: bool) -> str:
    where = getattr(error, "filename", None)
    place = f" (writing {where})" if where else ""
    if continues:
        return f"the disk is full{place}. Free some space; then the same command continues where this one stopped."
    return f"the disk is full{place}. Free some space, or write to another disk."


def _no_answer_message(error: Any) -> str:
    reason = f"{error.code().name}: {error.details()}" if hasattr(error, "code") else str(error) or type(error).__name__
    return (
        f"Beam's job service or its workers do not answer ({reason}). The workers that --beam_args names need this"
        " package and the dataset under the same paths; their own log says more."
    )


def _bug_message(chain: list[BaseException]) -> str:
    wrapper = next((link for link in chain if isinstance(link, CommandFailedError)), None)
    original = next((link for link in chain if not isinstance(link, CommandFailedError)), chain[0])
    text = _one_line(f"{type(original).__name__}: {original}")
    if wrapper is None:
        return text
    tail = f"\nThe last lines of the log:\n{wrapper.last_lines}" if wrapper.last_lines else ""
    return f"{text} The whole story: {wrapper.log_file}{tail}"


def _one_line(text: str, limit: int = 600) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 4]} ..."
