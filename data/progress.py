"""Progress events: long work tells what it does here, and whoever shows it listens.

The lowest package owns this module, so that ingestion, training and search can report without knowing of the
command line. With no listener an event is one line in the log.
"""

import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

# The kinds and what comes with them; a listener ignores fields it does not know.
KINDS = frozenset(
    {
        "component",  # name, state: started|cached|done|failed, index, total, seconds
        "plan",  # trials, epochs (at most, or None), done_trials, done_epochs, best (score), seconds (expected)
        "trial",  # number, total, trial_id, hyperparameters, state: started|done|failed, objective, score, reason
        "epoch",  # stage: search|train, epoch, epochs, loss, map, map50, images_per_s, seconds; number (of the trial)
        "ingest",  # done, total
        "sweep",  # repeat, repeats, step, steps, learning_rate, loss
        "note",  # text
        "begun",  # epoch: that a training continues from
        "validated",  # summary: of `tuner_fn.validation_summary`
    }
)

Listener = Callable[[str, dict[str, Any]], None]

_logger = logging.getLogger(__name__)
_lock = threading.Lock()
_listeners: list[Listener] = []
_is_silent: contextvars.ContextVar[bool] = contextvars.ContextVar("is_silent", default=False)


def emit(kind: str, **fields: Any) -> None:
    """Reports one event to the listeners, or to the log at INFO where nobody listens.

    A listener that raises is logged and skipped: showing progress never stops the work.

    Args:
        kind: one of `KINDS`.
        **fields: what `KINDS` names beside the kind.

    Raises:
        ValueError: `kind` is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(sorted(KINDS))}: got {kind!r}. See `KINDS`.")
    if _is_silent.get():
        return
    with _lock:
        listeners = list(_listeners)
    if not listeners:
        _logger.info("%s %s", kind, " ".join(f"{name}={value}" for name, value in fields.items()))
    for listener in listeners:
        try:
            listener(kind, dict(fields))
        except Exception:
            _logger.exception("The progress listener %r failed on a %r event.", listener, kind)


@contextlib.contextmanager
def listen(callback: Listener) -> Iterator[None]:
    """Calls `callback(kind, fields)` for every event of this process while the context is open.

    Args:
        callback: called in the thread that emits; `fields` is a copy of its own.
    """
    with _lock:
        _listeners.append(callback)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(callback)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drops the events of this thread while the context is open, as where data is only looked at."""
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)
