"""`ssd-tuner settings`: what `--set` can change, with default, range and meaning."""

import dataclasses
import fnmatch
from collections.abc import Sequence
from typing import Any

from absl import flags

from data.errors import UserError, nearest
from models import declarations, foreign_names
from models.hyperparameters import ExperimentConfig
from pipeline.screen import display

SUMMARY = "List the settings that `--set` changes, with their defaults, ranges and meaning."
USAGE = "[PATTERN ...] [flags]"
EXAMPLE = "ssd-tuner settings 'loss.*' learning_rate"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds no flag of its own."""
    del flag_values


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Prints the settings.

    Args:
        arguments: names, parts of names, or patterns with `*`; none for all.
        flag_values: as `define_flags`.

    Returns:
        0 once they are printed.

    Raises:
        UserError: an argument matches no setting.
    """
    declared = {path: (field, value) for path, field, value in ExperimentConfig().items()}
    chosen = _choose(arguments, list(declared))
    rows = []
    for path in chosen:
        field, default = declared[path]
        rows.append((path, declarations.text(default), _allowed(field), _about(field)))
    with display.open_display(flag_values["verbosity"].value) as screen:
        screen.print_table("", ("setting", "default", "allowed", "meaning"), rows, first_is_whole=True)
    return 0


def _choose(patterns: Sequence[str], known: Sequence[str]) -> list[str]:
    found: set[str] = set()
    for pattern in patterns:
        whole = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
        matches = fnmatch.filter(known, whole)
        if not matches:
            hint = foreign_names.setting_hint(pattern) or nearest(pattern, known)
            raise UserError(f"No setting matches `{pattern}`.{hint}")
        found |= set(matches)
    return [path for path in known if path in found or not patterns]


def _allowed(field: dataclasses.Field[Any]) -> str:
    """Words what a setting may be; what a search varies by itself is marked."""
    about = field.metadata
    if about.get("choices"):
        text = ", ".join(map(declarations.text, about["choices"]))
    elif about.get("low") is not None or about.get("high") is not None:
        low, high = ("" if about[end] is None else f"{about[end]:g}" for end in ("low", "high"))
        text = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
    else:
        text = "true, false" if isinstance(field.default, bool) else ""
    return f"{text} {about['unit']}".strip() if about.get("unit") else text


def _about(field: dataclasses.Field[Any]) -> str:
    searched = " (can be searched)" if "search" in field.metadata else ""
    return f"{field.metadata['help'].rstrip('.')}{searched}"
