"""Reading a search's JSON files: a damaged one is named and set aside, not guessed at."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

from data import progress


def read(path: pathlib.Path, restore: Callable[[Any], Any]) -> Any:
    """Passes a file's JSON on.

    A damaged file is renamed to end in ".damaged" and named in a note.

    Args:
        path: of the file.
        restore: makes of the JSON value what is wanted; raises ValueError, KeyError, TypeError or AttributeError where
            that cannot be.

    Returns:
        What `restore` returns; None where the file is missing or damaged.
    """
    try:
        return restore(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        progress.emit("note", text=f"{path} is damaged ({type(error).__name__}: {error}); set aside as {aside.name}.")
        return None
