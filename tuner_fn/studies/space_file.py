"""Writing a range into a file of `--space`, with what else the file holds left as it is."""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import yaml

from data import files
from data.errors import UserError


def check(path: str) -> None:
    """Checks, before long work, that `write_range` can write a file; an existing one must be a space.

    Raises:
        UserError: it cannot.
    """
    files.check_writable(path, "--write_space")
    _read(path)


def write_range(path: str, setting: str, entry: Mapping[str, Any]) -> None:
    """Writes the range of one setting, in the place of an earlier one; other lines and their comments stay.

    Args:
        path: of a YAML or JSON file as `search_space.named_space` reads it; a new one is YAML.
        setting: its name.
        entry: "low", "high" and "scale".

    Raises:
        UserError: the file exists and is not a space.
    """
    text, entries = _read(path)
    wanted = {**entries, setting: dict(entry)}
    line = f"{setting}: {{{', '.join(f'{name}: {_yaml(value)}' for name, value in entry.items())}}}\n"
    start = re.compile(rf"^(['\"]?){re.escape(setting)}\1[ \t]*:.*\n?(?:(?:[ \t]+|- ).*\n?|\n)*", re.MULTILINE)
    if start.search(text):
        merged = start.sub(line, text, count=1)
    else:
        merged = text + ("" if not text or text.endswith("\n") else "\n") + line
    try:
        if yaml.safe_load(merged) != wanted:
            raise ValueError
    except (yaml.YAMLError, ValueError):  # JSON, or YAML that is written otherwise: what it says stays, not its form
        merged = json.dumps(wanted, indent=1) + "\n"
    files.write_text(path, merged)


def _read(path: str) -> tuple[str, dict[str, Any]]:
    """Returns a space file's text and entries; nothing where there is no file or an empty one."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        entries = _load(text)
    except FileNotFoundError:
        return "", {}
    except OSError as error:
        raise UserError(f"`--write_space={path}` cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"`--write_space={path}` exists and is neither YAML nor JSON. Name another file.") from error
    if entries is not None and not isinstance(entries, dict):
        raise UserError(f"`--write_space={path}` exists and is not a space. Name another file.")
    return text, entries or {}


def _load(text: str) -> Any:
    """Reads JSON as such, because YAML 1.1 takes its 1e-05 for text; else YAML."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


def _yaml(value: Any) -> str:
    """Writes a value so that YAML 1.1 reads a number: 1.0e-05, for which Python would write 1e-05."""
    return re.sub(r"^(\d+)e", r"\1.0e", repr(value)) if isinstance(value, float) else str(value)
