"""The folder of a search: found again by all that its trials depend on, begun from one of a smaller space."""

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from data import dataset_info, files, progress
from data.run_directory import ENDED
from models.hyperparameters import ExperimentConfig
from tuner_fn import reporting, search_files, search_options
from tuner_fn.search_space import Ranges

FILE_NAME = "search.json"
LOGS_FILE = "tensorboard.txt"  # names the search's folder of logs
_MOST_NAMED = 5  # fields that changed
_SETTLED = "grid"  # its order is that of the whole space
Parts = dict[str, Any]


def search_parts(info: dataset_info.DatasetInfo, custom_config: Mapping[str, Any]) -> Parts:
    """Names what the trials of a search depend on: dataset, settings, search, code and versions of libraries.

    A file of weights counts by its content, wherever it lies.

    The budget is not among them: with a larger one the search continues.

    Args:
        info: of the ingested dataset.
        custom_config: "config", "search" and "trials": {"code", "versions", "weights": {setting of `model`: digest}}.

    Returns:
        {name: JSON value}.
    """
    search = {
        name: value for name, value in custom_config["search"].items() if name not in search_options.not_deciding()
    }
    settings, trials = custom_config["config"], custom_config["trials"]
    parts = {
        "dataset": [info.fingerprint, list(info.class_names)],
        "settings": {**settings, "model": {**settings["model"], **trials["weights"]}},
        "search": search,
        "code": trials["code"],
        "versions": trials["versions"],
    }
    return json.loads(json.dumps(parts))


def search_key(parts: Parts) -> str:
    """Names a search by its parts: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def prepare(folder: pathlib.Path, logs: pathlib.Path, parts: Parts) -> pathlib.Path:
    """Makes the folder of a search if it is new, and says what it has to do with the search before.

    Where that one differs in nothing but a smaller space, the new search begins with a copy of it: its trials count,
    with the settings' own values of what is searched now and was not.

    Args:
        folder: `<workdir>/search/<key>`.
        logs: of TensorBoard's logs of all searches.
        parts: as `search_parts` returns.

    Returns:
        The folder of this search's logs: search_1, search_2 and so on, in the order of their beginnings.
    """
    if folder.exists():
        if not (folder / FILE_NAME).exists():  # it was damaged
            files.write_json(folder / FILE_NAME, parts)
        return logs / _logs_name(folder)
    # What begins with a dot is a copy that was never finished.
    found = sorted(folder.parent.glob(f"[!.]*/{FILE_NAME}"), key=lambda one: one.stat().st_mtime_ns, reverse=True)
    read = {path.parent: search_files.read(path, lambda its: {name: its.get(name) for name in parts}) for path in found}
    others = {other: its_parts for other, its_parts in read.items() if its_parts is not None}
    smaller = next((other for other, its_parts in others.items() if extends(parts, its_parts)), None)
    if smaller is not None:
        _copy(smaller, folder, parts)
        _copy(logs / _logs_name(smaller), logs / _logs_name(folder))
        text = f"The space is larger: the search continues with the trials of {smaller}, which stays as it is."
        progress.emit("note", text=text)
        return logs / _logs_name(folder)
    for last, its_parts in list(others.items())[:1]:
        changes = [name for name, value in parts.items() if its_parts[name] != value]
        changed = "; ".join(f"{name}: {differences(its_parts[name], parts[name])}" for name in changes)
        text = f"A new search starts, because this changed: {changed}. The one before stays in {last}."
        progress.emit("note", text=text)
    files.write_json(folder / FILE_NAME, parts)
    return logs / _logs_name(folder)


def logs_name(folder: pathlib.Path) -> str:
    """Names a search's folder of logs, which is its number, too; "" where it has none yet."""
    path = folder / LOGS_FILE
    return path.read_text() if path.exists() else ""


def _logs_name(folder: pathlib.Path) -> str:
    """Returns the name of a search's folder of logs, the next number where it has none."""
    path = folder / LOGS_FILE
    if not path.exists():
        taken = [int(one.read_text().rpartition("_")[2]) for one in folder.parent.glob(f"[!.]*/{LOGS_FILE}")]
        files.write_text(path, f"search_{max(taken, default=0) + 1}")
    return path.read_text()


def differences(before: Any, now: Any) -> str:
    """Says what changed in one of the parts: the fields of settings, or that it is another one.

    Args:
        before: JSON value.
        now: JSON value.

    Returns:
        "max_epochs 4 -> 6, ranges.loss.l2 new", the first few fields, or "another one" where there are no fields.
    """
    flat = [dict(_fields(value)) if isinstance(value, dict) else None for value in (before, now)]
    if None in flat:
        return "another one"
    texts = []
    for name in dict.fromkeys([*flat[1], *flat[0]]):
        old, new = (one.get(name) for one in flat)
        if name not in flat[0] or name not in flat[1]:
            texts.append(f"{name} {'new' if name in flat[1] else 'left out'}")
        elif old != new:
            texts.append(f"{name} {old} -> {new}")
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _fields(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted name and the value of every field; a range of the space is one value."""
    for name, value in values.items():
        is_group = isinstance(value, dict) and not {"choices", "low"} & value.keys()
        yield from _fields(value, f"{prefix}{name}.") if is_group else [(f"{prefix}{name}", value)]


def extends(parts: Parts, older: Parts) -> bool:
    """Tells whether a search differs from an older one in its space alone, which holds the older one's."""
    spaces = [one["search"]["ranges"] for one in (parts, older)]
    others = [one | {"search": one["search"] | {"ranges": None}} for one in (parts, older)]
    if others[0] != others[1] or parts["search"]["strategy"] == _SETTLED:
        return False
    own = ExperimentConfig.from_dict(parts["settings"]).flat()
    new = [path for path in spaces[0] if path not in spaces[1]]
    # A trial before had the settings' own value, which a logarithmic range cannot hold if it is 0.
    is_known = all(spaces[0][path].get("scale") != "log" or own[path] > 0 for path in new)
    return is_known and _holds(*spaces)


def _holds(larger: Ranges, smaller: Ranges) -> bool:
    """Tells whether each range of a space lies in the other space's of the same hyperparameter."""
    for path, entry in smaller.items():
        other = larger.get(path)
        if other is None or ("choices" in entry) != ("choices" in other):
            return False
        if "choices" in entry:
            if not set(entry["choices"]) <= set(other["choices"]):
                return False
        elif entry["scale"] != other["scale"] or other["low"] > entry["low"] or other["high"] < entry["high"]:
            return False
    return True


def _copy(source: pathlib.Path, folder: pathlib.Path, parts: Parts | None = None) -> None:
    """Copies a folder, there whole or not at all; training states, which are only ever replaced, share their bytes."""
    if not source.exists() or folder.exists():
        return
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary, copy_function=_copy_file, ignore=shutil.ignore_patterns(LOGS_FILE, ENDED))
    if parts is not None:
        files.write_json(temporary / FILE_NAME, parts)
    os.replace(temporary, folder)


def _copy_file(source: str, target: str) -> None:
    if pathlib.Path(source).name == reporting.state_file("").name:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # no hard links on this file system
    shutil.copy2(source, target)
