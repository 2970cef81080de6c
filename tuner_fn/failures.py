"""What makes a trial fail, as against what stops the search."""

import keras_tuner

from models.training import DivergedError

_OUT_OF_MEMORY = ("out of memory", "oom when allocating", "resource_exhausted", "resourceexhausted")


def as_trial_failure(error: Exception) -> Exception:
    """Sorts an exception of a training: a property of the configuration, or a mistake.

    Args:
        error: what the training raised.

    Returns:
        `FailedTrialError` for a diverged loss and for exhausted memory: the trial is recorded as failed and the search
        goes on. `FatalError` for everything else: it stops the search at once.
    """
    text = f"{type(error).__name__}: {error}"
    exhausted = isinstance(error, MemoryError) or any(mark in text.lower() for mark in _OUT_OF_MEMORY)
    if "no space left" in text.lower():
        exhausted = False
    if isinstance(error, DivergedError) or exhausted:
        return keras_tuner.errors.FailedTrialError(text)
    return keras_tuner.errors.FatalError(text)
