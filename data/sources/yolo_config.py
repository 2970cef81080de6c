"""Reads what says where the images of YOLO labels lie and what their classes are: data.yaml and its like."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data import errors, progress
from data.sources import base, layout, locate, values

_YAML = (".yaml", ".yml")
_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_DARKNET_NAMES = re.compile(rb"^\s*names\s*=", re.MULTILINE)
_CLASSES_FILES = ("classes.txt", "labels/classes.txt", "obj.names")


@dataclasses.dataclass(frozen=True)
class YoloConfig:
    """What data.yaml says.

    Attributes:
        file: its path.
        root: the folder its places are relative to.
        names: of the classes, by number.
        places: existing folders and list files, by split.
        has_keypoints: rows hold keypoints behind the box.
    """

    file: Path
    root: Path
    names: tuple[str, ...]
    places: Mapping[str, tuple[Path, ...]]
    has_keypoints: bool = False


def recognise(path: Path) -> str | None:
    """Says what names the classes at a path, data.yaml or a file of classes; None where nothing does."""
    file = path if path.suffix.lower() in _YAML else _find_config(path) if path.is_dir() else None
    if file is None:
        return None
    if file.suffix.lower() == ".data":
        return f"{file.name} is Darknet's"
    if file.suffix.lower() not in _YAML:
        beside = "images/ and labels/" if _has_both(path) else "images and their label files"
        return f"{file.relative_to(path)} lies with {beside}"
    try:
        table = _parse_yaml(file)
    except errors.UserError:
        return f"there is a {file.name}" if file.name in _YAML_NAMES else None
    keys = [key for key in table if base.split_named(str(key))]
    if "names" not in table or not keys:
        return None
    return f"{file.name} has `names` and {', '.join(f'`{key}`' for key in keys)}"


def read_config(spec: str, path: Path) -> YoloConfig:
    """Reads data.yaml or classes.txt.

    Args:
        spec: what the user typed, for errors.
        path: of the file, or of the folder that holds it.

    Returns:
        What it says; splits whose places do not exist are left out, with a note.

    Raises:
        UserError: there is none, it is malformed, or nothing that it names exists.
    """
    if path.is_file() and path.suffix.lower() not in (*_YAML, ".data"):
        raise errors.UserError(f"Dataset `{spec}`: `{path}` is not a data.yaml. Name the folder, or its data.yaml.")
    file = path if path.is_file() else _find_config(path)
    if file is None:
        raise layout.nothing_found(spec, path, "`data.yaml`, or `classes.txt` with `images/` and `labels/`")
    if file.suffix.lower() not in (*_YAML, ".data"):
        return _read_classes(file)
    table = _parse_yaml(file) if file.suffix.lower() in _YAML else _parse_darknet(file)
    root = _root(table, file)
    places, missing = {}, []
    for key, value in ((key, value) for key, value in table.items() if base.split_named(str(key)) and value):
        given = value if isinstance(value, list) else [value]
        if not all(isinstance(place, str) for place in given):
            raise errors.UserError(f"{file}: `{key}` must be a path or a list of paths: got {value!r}.")
        split = base.split_named(key)
        if split in places:
            raise errors.UserError(f"{file}: it names {split} twice. Keep one of them.")
        found = tuple(place for place in (_place(text, root, file.parent) for text in given) if place)
        if len(found) == len(given):
            places[split] = found
        else:
            missing.append(f"`{key}: {' '.join(str(value).split())}`")
    if not places:
        said = f"none of its places exists: {', '.join(missing)}" if missing else "it has no `train`, `val` or `test`"
        raise errors.UserError(
            f"{file}: {said}. Paths start from `{root.absolute()}`, which holds {base.found_in(root)}. Correct them."
        )
    if missing:
        progress.emit("note", text=f"{file}: there is no {', '.join(missing)}; left out.")
    ordered = {split: places[split] for split in base.SPLITS if split in places}
    return YoloConfig(file, root, _class_names(table, file), ordered, "kpt_shape" in table)


def _find_config(folder: Path) -> Path | None:
    files = sorted(path for end in _YAML for path in layout.files(folder, end))
    named = [path for name in _YAML_NAMES for path in files if path.name.casefold() == name]
    for file in [*named, *files]:
        if file in named or (file.is_file() and "names:" in file.read_text(errors="replace")):
            return file
    darknet = [path for path in layout.files(folder, ".data") if _DARKNET_NAMES.search(path.read_bytes())]
    if len(darknet) == 1:
        return darknet[0]
    classes = [folder / name for name in _CLASSES_FILES if (folder / name).is_file()]
    return classes[0] if classes and (_has_both(folder) or _has_labels_beside(folder)) else None


def _has_both(folder: Path) -> bool:
    return bool(layout.folder_named(folder, "images") and layout.folder_named(folder, "labels"))


def _has_labels_beside(folder: Path) -> bool:
    parents = [folder, *filter(None, [layout.folder_named(folder, "images")])]
    for place in (place for parent in parents for place in (parent, *layout.split_folders(parent).values())):
        stems = {layout.stem(name) for name in layout.image_names(place, deep=False)}
        if any(layout.stem(name) in stems for name in layout.file_names(place, ".txt")):
            return True
    return False


def _read_classes(file: Path) -> YoloConfig:
    root = file.parent.parent if file.parent.name == "labels" else file.parent
    images = layout.folder_named(root, "images") or root
    places = {split: (folder,) for split, folder in layout.split_folders(images).items()}
    return YoloConfig(file, root, _listed_names(file), places or {"train": (images,)})


def _listed_names(file: Path) -> tuple[str, ...]:
    """Reads a file of classes, one a line."""
    return tuple(line.strip() for line in layout.read_text(file, "text").splitlines() if line.strip())


def _parse_darknet(file: Path) -> dict[str, Any]:
    """Reads Darknet's `key = value` lines as data.yaml's table; its `names` is the path of a file."""
    lines = (line.partition("=") for line in layout.read_text(file, "text").splitlines())
    table: dict[str, Any] = {key.strip(): value.strip() for key, equals, value in lines if equals}
    for key, value in table.items():  # exports write `data/` in front, where Darknet keeps its own
        name = Path(locate.plain(value)).name
        table[key] = name if not (file.parent / value).exists() and (file.parent / name).is_file() else value
    names = file.parent / table.get("names", "")
    return table | ({"names": list(_listed_names(names))} if names.is_file() else {})


def _parse_yaml(file: Path) -> dict[str, Any]:
    try:
        table = yaml.safe_load(layout.read_text(file, "YAML"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", error)).split())
        raise errors.UserError(f"{file}: malformed YAML{where}: {reason}. Correct it.") from error
    if not isinstance(table, dict):
        raise errors.UserError(f"{file}: YOLO's data.yaml is `key: value` lines: got {type(table).__name__}.")
    return table


def _class_names(table: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    names = table.get("names")
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise errors.UserError(
                f"{file}: `names` must be numbered from 0 without gaps: got {', '.join(map(str, names))}."
            )
        names = [name for _, name in sorted(names.items(), key=lambda entry: int(entry[0]))]
    if not isinstance(names, list) or not names:
        raise errors.UserError(f"{file}: needs the classes as a list `names`: got {names!r}.")
    for number, name in enumerate(names):
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise errors.UserError(f"{file}: name {number} of `names` must be text: got {name!r}. Write it in quotes.")
    if values.whole(table.get("nc", len(names))) != len(names):
        raise errors.UserError(
            f"{file}: `nc` is {table['nc']!r}, but `names` has {len(names)} names. Correct one of them."
        )
    result = tuple(str(name) for name in names)
    for other in (file.parent / name for name in _CLASSES_FILES):
        listed = _listed_names(other) if other.is_file() else result
        if any(one != two for one, two in zip(result, listed, strict=False)):
            raise errors.UserError(
                f"{file} names the classes {', '.join(result)}; {other} names them {', '.join(listed)}. Which is right"
                " decides what every label means: correct one of them, or remove it."
            )
    return result


def _root(table: Mapping[str, Any], file: Path) -> Path:
    path = table.get("path")
    root = file.parent / Path(locate.plain(path)).expanduser() if isinstance(path, str) else file.parent
    return root if root.is_dir() else file.parent


def _place(text: str, root: Path, folder: Path) -> Path | None:
    """Returns the folder or list file that data.yaml means; None where there is none."""
    plain = locate.plain(text)
    if not plain:
        return None
    path = Path(plain).expanduser()
    below = [part for part in path.parts if part not in ("..", path.anchor)]
    shortest = max(1, len(below) - 2) if path.is_absolute() else 0  # two parts still tell one split from another
    ends = [Path(*below[start:]) for start in range(shortest + 1)]
    candidates = [root / text, root / path, *(parent / end for end in ends for parent in dict.fromkeys((root, folder)))]
    found = next((place for place in candidates if place.exists()), None)
    if found is not None:
        return found
    inside = [(name, files) for name, files in layout.walk(root) if any(map(layout.is_image, files))]
    lists = [name + file for name, files in layout.walk(root) for file in files if file.lower().endswith(".txt")]
    parents = {str(parent) for name, _ in inside for parent in (Path(name), *Path(name).parents)} - {"."}
    names = locate.Names(lists if path.suffix.lower() == ".txt" else parents)
    matches = names.matches(plain, least=2)
    if len(matches) != 1:
        return None
    progress.emit("note", text=f"`{text}` is not there; `{root / matches[0]}` is taken for it.")
    return root / matches[0]
