"""Reads YOLO label files as Ultralytics' tools (v5, v8 and later) and Roboflow lay them out.

- data.yaml names for `train`, `val` and `test` a folder of images, a text file that lists images, or several of these,
  relative to its `path`, or to its own folder where there is no such folder. `names` is a list or numbered.
- A place that does not exist is looked for below data.yaml's folder: by the end of an absolute path, since datasets
  are moved, without `..`, since Roboflow writes `../train/images`, and by likeness (`locate`). A split without images
  or without any label file is left out, with a note.
- An image's labels lie at its own path with the last `images` in it replaced by `labels` and the ending by ".txt", or
  beside the image. An image without a label file has no objects.
- A row is `class x y width height`: centre and sides as fractions of the image's. A longer row is a polygon,
  `class x1 y1 x2 y2 x3 y3 ...`: the box around it is taken. With `kpt_shape` in data.yaml, what follows the box is left
  out.
- Without data.yaml, Darknet's obj.data names the lists of images and the file of classes; without that, classes.txt (or
  labels/classes.txt) names the classes, one a line, of images/ and labels/, or of images with their labels beside them.
- Where data.yaml and such a file of classes name them otherwise, neither is taken.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from data import errors, progress
from data.sources import annotated, base, layout, locate, values

_YAML = (".yaml", ".yml")
_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASSES_FILES = ("classes.txt", "labels/classes.txt", "obj.names")
_NO_LABELS = ("classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt")


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
        images, pairs, notices = {}, [], annotated.merged_names(enumerate(config.names), config.file)
        finder = locate.Finder(config.root, config.places)
        for split, places in config.places.items():
            found, problems = _list_images(places, config.root, finder, split)
            labelled, inexact = _pair(found)
            if not any(label_file.is_file() for _, _, label_file in labelled):
                example = f"no `{labelled[0][2]}`, for example" if labelled else "it has no image"
                progress.emit("note", text=f"{config.file}: {split} has no label file ({example}); it is left out.")
                continue
            notices += inexact
            pairs += [(file, label_file) for _, file, label_file in labelled]
            problems |= _photo_and_mask(labelled)
            images[split] = [_read(*each, by_number, config, problems.get(each[1])) for each in labelled]
        if not images:
            raise errors.UserError(
                f"Dataset `{spec}`: no split of `{config.file}` has images with label files. Correct its"
                " `train`, `val` and `test`, or put the labels into `labels/` beside `images/`."
            )
        roots = [config.file, *(place for split in images for place in config.places[split])]
        roots += [label_file.parent for _, label_file in pairs if label_file.parent.is_dir()]
        roots += [file.parent for file, _ in pairs if file.parent.is_dir()]
        notices += [*finder.notices(), *_lost_labels(config, pairs)]
        unlabelled = (file for file, label_file in pairs if file.is_file() and not label_file.is_file())
        notices += [annotated.Notice("unlabelled_image", str(file), "") for file in unlabelled]
        return cls(spec, images, class_names, layout.outermost(roots), options, notices)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says what names the classes, data.yaml or classes.txt beside labels/; None where nothing does."""
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
        raise errors.UserError(f"Dataset `{spec}`: `{path}` is no data.yaml. Name the folder, or its data.yaml.")
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
    darknet = [path for path in layout.files(folder, ".data") if "names" in _parse_darknet(path)]
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


def _list_images(
    places: Sequence[Path], root: Path, finder: locate.Finder, split: str
) -> tuple[list[tuple[str, Path]], dict[Path, str]]:
    """Returns (name, path) of a split's images, and why it is not clear which a list means, by path."""
    found, problems = [], {}
    for place in places:
        if place.is_dir():
            prefix = "" if len(places) == 1 else f"{_inside(place, root)}/"
            found += [(prefix + name, place / name) for name in layout.image_names(place)]
            continue
        for line in layout.read_text(place, "text").splitlines():
            listed = line.strip()
            if not listed:
                continue
            file, problem = finder.find(listed, (place.parent, root), split)
            found.append((_inside(Path(locate.plain(listed)), root), file))
            if problem:
                problems[file] = problem
    return found, problems


def _pair(found: Sequence[tuple[str, Path]]) -> tuple[list[tuple[str, Path, Path]], list[annotated.Notice]]:
    """Finds each image's label file; of those that are left, the one that is named alike."""
    labels = [_label_file(file) for _, file in found]
    taken = {label for label in labels if label.is_file()}
    spare: dict[Path, locate.Names] = {}
    inexact: dict[Path, list[int]] = {}
    for index, label in enumerate(labels):
        if label in taken:
            continue
        if label.parent not in spare:
            files = [path for path in layout.files(label.parent, ".txt") if path not in taken]
            spare[label.parent] = locate.Names(path.name for path in files)
        matches = spare[label.parent].matches(label.name)
        if len(matches) == 1:
            inexact.setdefault(label.parent / matches[0], []).append(index)
    for file, indices in inexact.items():
        if len(indices) == 1:
            labels[indices[0]] = file
    paired = [(name, file, label) for (name, file), label in zip(found, labels, strict=True)]
    alike = [(found[indices[0]][1].name, file) for file, indices in inexact.items() if len(indices) == 1]
    return paired, locate.inexact(alike)


def _photo_and_mask(pairs: Sequence[tuple[str, Path, Path]]) -> dict[Path, str]:
    """Says of images that share a label file that nothing tells which of them it means, by image."""
    sharing: dict[Path, list[Path]] = {}
    for _, file, label_file in pairs:
        if label_file.is_file():
            sharing.setdefault(label_file, []).append(file)
    return {
        file: f"{label_file}: {' and '.join(f'`{each}`' for each in files)} have its name; keep the photo there only"
        for label_file, files in sharing.items()
        for file in files
        if len(set(files)) > 1
    }


def _inside(path: Path, root: Path) -> str:
    """Returns a path relative to the root where it lies inside."""
    inside = path.is_relative_to(root)
    return (path.relative_to(root) if inside else path).as_posix()


def _label_file(image: Path) -> Path:
    """Returns where an image's labels are, or would be."""
    parts = list(image.parts)
    places = [index for index, part in enumerate(parts[:-1]) if part.casefold() == "images"]
    beside = image.with_suffix(".txt")
    if not places:
        return beside
    above = Path(*parts[: places[-1]])
    folder = above / "labels"
    folder = folder if folder.is_dir() else layout.folder_named(above, "labels") or folder
    labels = folder.joinpath(*parts[places[-1] + 1 :]).with_suffix(".txt")
    return beside if not labels.is_file() and beside.is_file() else labels


def _lost_labels(config: YoloConfig, pairs: Iterable[tuple[Path, Path]]) -> list[annotated.Notice]:
    """Notes the label files of no image; files that only a list leaves out are none of them."""
    used = {label_file for _, label_file in pairs}
    lists = {place for places in config.places.values() for place in places}
    if any(place.is_file() for place in lists):
        return []
    files = (file for folder in sorted({file.parent for file in used}) for file in layout.files(folder, ".txt"))
    return [
        annotated.Notice("lost_annotation", str(file), "no image has its name")
        for file in files
        if file not in used and file.name not in _NO_LABELS
    ]


def _read(
    name: str, file: Path, label_file: Path, labels: Sequence[int], config: YoloConfig, problem: str | None
) -> annotated.AnnotatedImage:
    """Reads one image's labels; `labels` by class number; `problem` is why it is unusable, where that is known."""
    boxes, numbers, kind = [], [], "broken_annotation"
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
