"""Reads what says where the images of YOLO labels lie and what their classes are: data.yaml and its like."""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data import errors, progress
from data.sources import base, layout, locate, yolo_names

_YAML = yolo_names.YAML
_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_DARKNET_NAMES = re.compile(rb"^\s*names\s*=", re.MULTILINE)
_CLASSES_FILES = (("", "classes.txt"), ("labels", "classes.txt"), ("", "obj.names"))  # folder and name
_SEGMENT = "segment"  # what Ultralytics calls the task that has polygons


@dataclasses.dataclass(frozen=True)
class YoloConfig:
    """What data.yaml says.

    Attributes:
        file: its path.
        root: the folder its places are relative to.
        names: of the classes, by number.
        places: existing folders and list files, by split.
        has_keypoints: rows hold keypoints behind the box.
        has_polygons: the file says that rows longer than a box are polygons.
        was_chosen: the user has named the file itself.
        says_splits: the file, or a folder, says which split an image is of.
        others: existing places under keys that are no split, by key.
    """

    file: Path
    root: Path
    names: tuple[str, ...]
    places: Mapping[str, tuple[Path, ...]]
    has_keypoints: bool = False
    has_polygons: bool = False
    was_chosen: bool = False
    says_splits: bool = True
    others: Mapping[str, Path] = dataclasses.field(default_factory=dict)


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
        table = yolo_names.parse_yaml(file)
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
    table = yolo_names.parse_yaml(file) if file.suffix.lower() in _YAML else _parse_darknet(file)
    root = _root(table, file)
    return YoloConfig(
        file=file,
        root=root,
        names=yolo_names.of_table(table, file),
        places=_places(table, root, file),
        has_keypoints="kpt_shape" in table,
        has_polygons=table.get("task") == _SEGMENT,
        was_chosen=path.is_file(),
        others=_other_places(table, root, file.parent),
    )


def has_place(table: Mapping[str, Any], file: Path) -> bool:
    """Says whether one of the places that a data.yaml names is there.

    Args:
        table: of the file.
        file: its path.
    """
    given = [value for key, value in table.items() if base.split_named(str(key))]
    texts = [text for value in given for text in (value if isinstance(value, list) else [value])]
    own = [_without(text, table.get("path")) for text in texts if isinstance(text, str)]
    return any(_exact_place(text, _root(table, file), file.parent) for text in own)


def _places(table: Mapping[str, Any], root: Path, file: Path) -> dict[str, tuple[Path, ...]]:
    """Returns the existing folders and lists of each split; a note says which are missing."""
    places, missing = {}, []
    for key, value in ((key, value) for key, value in table.items() if base.split_named(str(key)) and value):
        given = value if isinstance(value, list) else [value]
        if not all(isinstance(place, str) for place in given):
            raise errors.UserError(f"{file}: `{key}` must be a path or a list of paths: got {value!r}.")
        split = base.split_named(key)
        if split in places:
            raise errors.UserError(f"{file}: it names {split} twice. Keep one of them.")
        own = [_without(text, table.get("path")) for text in given]
        found = tuple(place for place in (_place(text, root, file.parent) for text in own) if place)
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
    return {split: places[split] for split in base.SPLITS if split in places}


def _other_places(table: Mapping[str, Any], root: Path, folder: Path) -> dict[str, Path]:
    """Returns the folders of images and the lists under keys that are no split."""
    named = [(str(key), value) for key, value in table.items() if isinstance(value, str) and value.strip()]
    others = {}
    for key, value in named:
        place = next(filter(os.path.exists, (os.path.join(parent, value) for parent in (root, folder))), None)
        if place and key != "path" and not base.split_named(key) and _has_images(Path(place)):
            others[key] = Path(place)
    return others


def _has_images(place: Path) -> bool:
    """Says whether a place is a folder of images or a list of them."""
    if place.is_dir():
        return bool(layout.image_names(place))
    is_list = place.suffix.lower() == ".txt"
    return is_list and any(map(layout.is_image, layout.read_text(place, "text").split()))


def _find_config(folder: Path) -> Path | None:
    files = sorted(path for end in _YAML for path in layout.files(folder, end))
    named = [path for name in _YAML_NAMES for path in files if path.name.casefold() == name]
    for file in [*named, *files]:
        if file in named or (file.is_file() and "names:" in file.read_text(errors="replace")):
            return file
    darknet = [path for path in layout.files(folder, ".data") if _DARKNET_NAMES.search(path.read_bytes())]
    if len(darknet) == 1:
        return darknet[0]
    classes = _classes_file(folder)
    return classes if classes and (_has_both(folder) or _has_labels_beside(folder)) else None


def _classes_file(folder: Path) -> Path | None:
    """Returns the file that names the classes, one a line, in any case."""
    places = ((layout.folder_named(folder, inside) if inside else folder, name) for inside, name in _CLASSES_FILES)
    files = (path for place, name in places if place for path in layout.files(place, name) if _is_called(path, name))
    return next(files, None)


def _is_called(path: Path, name: str) -> bool:
    return path.name.casefold() == name


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
    root = file.parent.parent if _is_called(file.parent, "labels") else file.parent
    images = layout.folder_named(root, "images") or root
    places = {split: (folder,) for split, folder in layout.split_folders(images).items()}
    names = yolo_names.read_list(file)
    return YoloConfig(file, root, names, places or {"train": (images,)}, says_splits=bool(places))


def _parse_darknet(file: Path) -> dict[str, Any]:
    """Reads Darknet's `key = value` lines as data.yaml's table; its `names` is the path of a file."""
    lines = (line.partition("=") for line in layout.read_text(file, "text").splitlines())
    table: dict[str, Any] = {key.strip(): value.strip() for key, equals, value in lines if equals}
    for key, value in table.items():  # exports write `data/` in front, where Darknet keeps its own
        name = Path(locate.plain(value)).name
        table[key] = name if not (file.parent / value).exists() and (file.parent / name).is_file() else value
    names = file.parent / table.get("names", "")
    return table | ({"names": list(yolo_names.read_list(names))} if names.is_file() else {})


def _root(table: Mapping[str, Any], file: Path) -> Path:
    path = table.get("path")
    root = file.parent / os.path.expanduser(locate.plain(path)) if isinstance(path, str) else file.parent
    return root if root.is_dir() else file.parent


def _without(text: str, path: Any) -> str:
    """Returns what follows data.yaml's `path` in a place, where the place begins with it and is not there."""
    start = locate.plain(path).rstrip("/") + "/" if isinstance(path, str) else ""
    inside = len(start) > 1 and start[0] == "/" and locate.plain(text).startswith(start)
    return locate.plain(text)[len(start) :] if inside and not Path(text).exists() else text


def _place(text: str, root: Path, folder: Path) -> Path | None:
    """Returns the folder or list file that data.yaml means, or what is alike; None where there is none."""
    found = _exact_place(text, root, folder)
    plain = locate.plain(text)
    if found or not plain:
        return found
    is_list = _is_list(plain)
    inside = [(name, files) for name, files in layout.walk(root) if any(map(layout.is_image, files))]
    lists = [name + file for name, files in layout.walk(root) for file in files if file.lower().endswith(".txt")]
    parents = {str(parent) for name, _ in inside for parent in (Path(name), *Path(name).parents)} - {"."}
    names = locate.Names(lists if is_list else parents)
    matches = names.matches(plain, least=2)
    if len(matches) != 1:
        return None
    progress.emit("note", text=f"`{text}` is not there; `{root / matches[0]}` is taken for it.")
    return root / matches[0]


def _is_list(place: str) -> bool:
    return place.lower().endswith(".txt")


def _exact_place(text: str, root: Path, folder: Path) -> Path | None:
    """Returns the folder or list file that data.yaml names, wherever it was moved; None where there is none."""
    plain = locate.plain(text)
    if not plain:
        return None
    path = Path(os.path.expanduser(plain))  # which leaves a home folder of another machine as it is
    below = [part for part in path.parts if part not in ("..", path.anchor)]
    needed = 1 if _is_list(plain) else 2  # parts that tell the split: a list's name does, of a folder two parts
    shortest = max(1, len(below) - needed) if path.is_absolute() or plain.startswith("~") else 0
    ends = [Path(*below[start:]) for start in range(shortest + 1)]
    candidates = [root / text, root / path, *(parent / end for end in ends for parent in dict.fromkeys((root, folder)))]
    return next((place for place in candidates if place.exists()), None)
