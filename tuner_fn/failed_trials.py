"""What makes a trial fail, as against what stops the search."""

from models.training.divergence import DivergedError

_OUT_OF_MEMORY = ("out of memory", "oom when allocating", "resource exhausted", "resourceexhausted")


def fails_the_trial(error: Exception) -> bool:
    """Sorts an exception of a training: a property of the configuration, or a mistake.

    Args:
        error: what the training raised.

    Returns:
        True for a diverged loss and for exhausted memory: the trial is recorded as failed and the search continues.
        False for everything else, which stops the search at once.
    """
    return isinstance(error, DivergedError) or is_out_of_memory(error)


def is_out_of_memory(error: Exception) -> bool:
    """Tells whether memory ran out, the machine's or the GPU's; TensorFlow's name for that is the full disk's, too."""
    text = describe(error).lower().replace("_", " ")
    if "no space left" in text:
        return False
    return isinstance(error, MemoryError) or any(mark in text for mark in _OUT_OF_MEMORY)


def describe(error: Exception) -> str:
    """Returns the error's kind and text."""
    return f"{type(error).__name__}: {error}"
