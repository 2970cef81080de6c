"""Reads JSON files: the one way for all readers."""

import json
from pathlib import Path
from typing import Any

from data import errors
from data.sources import layout, values


def read(file: Path) -> Any:
    """Reads a JSON file.

    Args:
        file: its path.

    Returns:
        What it holds.

    Raises:
        UserError: it cannot be read, is not UTF-8 text or not JSON (says line and column), or has a key twice with
            different values.
    """
    try:
        return json.loads(layout.read_text(file, "JSON"), object_pairs_hook=values.unique_keys)
    except values.RepeatedKeyError as error:
        raise errors.UserError(f"{file}: {error}.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise errors.UserError(
            f"{file}: malformed JSON at {where}: {error.msg}. Correct or export it again."
        ) from error
    except RecursionError as error:
        raise errors.UserError(f"{file}: malformed JSON: nested too deep. Export it again.") from error


def say_the_same(one: Path, other: Path) -> bool:
    """Says whether two JSON files hold the same, however it is written; one that is broken says something else."""
    if one.read_bytes() == other.read_bytes():
        return True
    try:
        return bool(read(one) == read(other))
    except errors.UserError:
        return False
