"""Reads YOLO label files as Ultralytics' tools (v5, v8 and later) and Roboflow lay them out.

- data.yaml names for `train`, `val` and `test` a folder of images, a text file that lists images, or several of these,
  relative to its `path`, or to its own folder where there is no such folder. `names` is a list or numbered.
- A place that does not exist is looked for below data.yaml's folder: by the end of an absolute path, since datasets
  are moved, and without `..`, since Roboflow writes `../train/images`. A split without images or without any label file
  is left out, with a note.
- An image's labels lie at its own path with the last `images` in it replaced by `labels` and the ending by ".txt", or
  beside the image. An image without a label file has no objects.
- A row is `class x y width height`: centre and sides as fractions of the image's. A longer row is a polygon,
  `class x1 y1 x2 y2 x3 y3 ...`: the box around it is taken. With `kpt_shape` in data.yaml, what follows the box is left
  out.
- Without data.yaml, classes.txt (or labels/classes.txt) names the classes, one a line, of images/ and labels/.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from data import errors, progress
from data.sources import annotated, base, layout

_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASSES_FILES = ("classes.txt", "labels/classes.txt")


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


class _UnknownClassError(ValueError):
    """A row of a class without a name."""


class YoloSource(annotated.AnnotatedSource):
    """YOLO label files with their images."""

    kind = "yolo"
    argument_help = ":PATH (a folder with data.yaml, or that file)"

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "YoloSource":
        """Opens a folder or a data.yaml; classes in the order of their numbers.

        Raises:
            UserError: the path is missing, data.yaml is malformed, or nothing that it names exists.
        """
        config = read_config(spec, layout.existing(spec, cls.kind, argument))
        class_names, labels = annotated.number_classes(config.names)
        by_number = [labels[name] for name in config.names]
        images, pairs = {}, []
        for split, places in config.places.items():
            found = [(name, file, _label_file(file)) for name, file in _list_images(places, config.root)]
            if not any(label_file.is_file() for _, _, label_file in found):
                example = f"no `{found[0][2]}`, for example" if found else "it has no image"
                progress.emit("note", text=f"{config.file}: {split} has no label file ({example}); it is left out.")
                continue
            pairs += [(file, label_file) for _, file, label_file in found]
            images[split] = [_read(*each, by_number, config) for each in found]
        if not images:
            raise errors.UserError(
                f"Dataset `{spec}`: no split of `{config.file}` has images with label files. Correct its"
                " `train`, `val` and `test`, or put the labels into `labels/` beside `images/`."
            )
        roots = [config.file, *(place for split in images for place in config.places[split])]
        roots += [label_file.parent for _, label_file in pairs if label_file.parent.is_dir()]
        roots += [file.parent for file, _ in pairs if file.parent.is_dir()]
        notices = _lost_labels(config, pairs)
        unlabelled = (file for file, label_file in pairs if file.is_file() and not label_file.is_file())
        notices += [annotated.Notice("unlabelled_image", str(file), "") for file in unlabelled]
        return cls(spec, images, class_names, layout.outermost(roots), options, notices)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says what names the classes, data.yaml or classes.txt beside labels/; None where nothing does."""
        file = path if path.suffix in (".yaml", ".yml") else _find_config(path) if path.is_dir() else None
        if file is None:
            return None
        if file.name == "classes.txt":
            return f"{file.relative_to(path)} lies with images/ and labels/"
        try:
            table = _parse_yaml(file)
        except errors.UserError:
            return f"there is a {file.name}" if file.name in _YAML_NAMES else None
        if "names" not in table or not set(table) & set(base.SPLIT_NAMES):
            return None
        return f"{file.name} has `names` and {', '.join(f'`{key}`' for key in table if key in base.SPLIT_NAMES)}"


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
    if path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise errors.UserError(f"Dataset `{spec}`: `{path}` is no data.yaml. Name the folder, or its data.yaml.")
    file = path if path.is_file() else _find_config(path)
    if file is None:
        raise layout.nothing_found(spec, path, "`data.yaml`, or `classes.txt` with `images/` and `labels/`")
    if file.suffix not in (".yaml", ".yml"):
        return _read_classes(file)
    table = _parse_yaml(file)
    root = _root(table, file)
    places, missing = {}, []
    for key, value in ((key, table[key]) for key in base.SPLIT_NAMES if table.get(key)):
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(place, str) for place in values):
            raise errors.UserError(f"{file}: `{key}` must be a path or a list of paths: got {value!r}.")
        found = tuple(place for place in (_place(text, root, file.parent) for text in values) if place)
        if len(found) == len(values):
            places[base.SPLIT_NAMES[key]] = found
        else:
            missing.append(f"`{key}: {' '.join(str(value).split())}`")
    if not places:
        said = f"none of its places exists: {', '.join(missing)}" if missing else "it has no `train`, `val` or `test`"
        raise errors.UserError(f"{file}: {said}. Paths start from `{root}`. Correct them.")
    if missing:
        progress.emit("note", text=f"{file}: there is no {', '.join(missing)}; left out.")
    ordered = {split: places[split] for split in base.SPLITS if split in places}
    return YoloConfig(file, root, _class_names(table, file), ordered, "kpt_shape" in table)


def _find_config(folder: Path) -> Path | None:
    named = [folder / name for name in _YAML_NAMES if (folder / name).is_file()]
    others = sorted(path for end in ("yaml", "yml") for path in folder.glob(f"*.{end}") if path not in named)
    for file in [*named, *others]:
        if file in named or (file.is_file() and "names:" in file.read_text(errors="replace")):
            return file
    has_both = (folder / "images").is_dir() and (folder / "labels").is_dir()
    classes = [folder / name for name in _CLASSES_FILES if has_both and (folder / name).is_file()]
    return classes[0] if classes else None


def _read_classes(file: Path) -> YoloConfig:
    root = file.parent.parent if file.parent.name == "labels" else file.parent
    names = tuple(line.strip() for line in layout.read_text(file, "text").splitlines() if line.strip())
    places = {split: (folder,) for split, folder in layout.split_folders(root / "images").items()}
    return YoloConfig(file, root, names, places or {"train": (root / "images",)})


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
    if table.get("nc", len(names)) != len(names):
        raise errors.UserError(
            f"{file}: `nc` is {table['nc']!r}, but `names` has {len(names)} names. Correct one of them."
        )
    return tuple(str(name) for name in names)


def _root(table: Mapping[str, Any], file: Path) -> Path:
    path = table.get("path")
    root = file.parent / Path(path).expanduser() if isinstance(path, str) else file.parent
    return root if root.is_dir() else file.parent


def _place(text: str, root: Path, folder: Path) -> Path | None:
    """Returns the folder or list file that data.yaml means; None where there is none."""
    path = Path(text).expanduser()
    below = [part for part in path.parts if part not in ("..", path.anchor)]
    shortest = max(1, len(below) - 2) if path.is_absolute() else 0  # two parts still tell one split from another
    ends = [Path(*below[start:]) for start in range(shortest + 1)]
    candidates = [root / path, *(parent / end for end in ends for parent in dict.fromkeys((root, folder)))]
    return next((place for place in candidates if place.exists()), None)


def _list_images(places: Sequence[Path], root: Path) -> list[tuple[str, Path]]:
    """Returns (name, path) of a split's images."""
    found = []
    for place in places:
        if place.is_dir():
            prefix = "" if len(places) == 1 else f"{_inside(place, root)}/"
            found += [(prefix + name, place / name) for name in layout.image_names(place)]
            continue
        for line in layout.read_text(place, "text").splitlines():
            listed = Path(line.strip())
            if not listed.name:
                continue
            candidates = (place.parent / listed, root / listed)
            file = next((path for path in candidates if path.is_file()), None)
            file = file or _place(line.strip(), root, place.parent) or candidates[0]
            found.append((_inside(listed, root), file))
    return found


def _inside(path: Path, root: Path) -> str:
    """Returns a path relative to the root where it lies inside."""
    inside = path.is_relative_to(root)
    return (path.relative_to(root) if inside else path).as_posix()


def _label_file(image: Path) -> Path:
    """Returns where an image's labels are, or would be."""
    parts = list(image.parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    beside = image.with_suffix(".txt")
    if not places:
        return beside
    parts[places[-1]] = "labels"
    labels = Path(*parts).with_suffix(".txt")
    return beside if not labels.is_file() and beside.is_file() else labels


def _lost_labels(config: YoloConfig, pairs: Iterable[tuple[Path, Path]]) -> list[annotated.Notice]:
    """Notes the label files of no image; files that only a list leaves out are none of them."""
    used = {label_file for _, label_file in pairs}
    notices = []
    for folder in sorted({label_file.parent for label_file in used}):
        for file in sorted(folder.glob("*.txt")):
            if (
                file in used
                or file.name == "classes.txt"
                or file in (place for p in config.places.values() for place in p)
            ):
                continue
            notices.append(annotated.Notice("lost_annotation", str(file), "no image has its name"))
    return notices if all(place.is_dir() for places in config.places.values() for place in places) else []


def _read(
    name: str, file: Path, label_file: Path, labels: Sequence[int], config: YoloConfig
) -> annotated.AnnotatedImage:
    """Reads one image's labels; `labels` by class number."""
    boxes, numbers, problem, kind = [], [], None, "broken_annotation"
    try:
        text = label_file.read_text(encoding="utf-8-sig")
        for row, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                box, number = _parse_row(line.split(), row, config)
                boxes.append(box)
                numbers.append(labels[number])
    except FileNotFoundError:
        pass
    except OSError as error:
        problem = f"{label_file}: the file cannot be read: {error.strerror or error}"
    except UnicodeDecodeError as error:
        problem = f"{label_file}: not UTF-8 text at byte {error.start}"
    except _UnknownClassError as error:
        problem, kind = f"{label_file}: {error}", "unknown_class"
    except ValueError as error:
        problem = f"{label_file}: {error}"
    return annotated.AnnotatedImage(
        source_id=name,
        path=str(file),
        boxes=tuple(boxes),
        labels=tuple(numbers),
        is_crowd=tuple(number == annotated.IGNORE_LABEL for number in numbers),
        areas_px=(None,) * len(boxes),
        box_form="cxcywh",
        problem=problem,
        problem_kind=kind,
    )


def _parse_row(words: Sequence[str], row: int, config: YoloConfig) -> tuple[tuple[float, ...], int]:
    """Returns a row's (centre x, y, width, height) and its class number.

    Raises:
        _UnknownClassError: the row is of a class that the configuration does not name.
        ValueError: the row is malformed.
    """
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"row {row} must hold numbers only: got `{' '.join(words[:6])}`") from error
    count = len(numbers)
    if count < 5 or (count > 5 and not config.has_keypoints and (count < 7 or count % 2 == 0)):
        score = "; a sixth is a detection's score, not ground truth" if count == 6 else ""
        raise ValueError(f"row {row} has {count} numbers: a box has 5, a polygon 7, 9, 11, ...{score}")
    if numbers[0] not in range(len(config.names)):
        known = f"{config.file.name} names {len(config.names)} classes, from 0"
        raise _UnknownClassError(f"row {row} has class {words[0]}, but {known}")
    if count == 5 or config.has_keypoints:
        return tuple(numbers[1:5]), int(numbers[0])
    xs, ys = numbers[1::2], numbers[2::2]
    centre = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)
    return (*centre, max(xs) - min(xs), max(ys) - min(ys)), int(numbers[0])
