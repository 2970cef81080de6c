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

from collections.abc import Iterable, Sequence
from pathlib import Path

from data import errors, progress
from data.sources import annotated, base, class_labels, layout, locate, yolo_config

_NO_LABELS = ("classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt")


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
        config = yolo_config.read_config(spec, layout.existing(spec, cls.kind, argument))
        class_names, labels = class_labels.number_classes(config.names)
        by_number = [labels[name] for name in config.names]
        images, pairs, notices = {}, [], class_labels.merged_names(enumerate(config.names), config.file)
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
        notices += [*finder.notices(), *_lost_labels(config, pairs)]
        unlabelled = (file for file, label_file in pairs if file.is_file() and not label_file.is_file())
        notices += [annotated.Notice("unlabelled_image", str(file), "") for file in unlabelled]
        return cls(spec, images, class_names, options, notices)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says what names the classes, data.yaml or a file of classes; None where nothing does."""
        return yolo_config.recognise(path)


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


def _lost_labels(config: yolo_config.YoloConfig, pairs: Iterable[tuple[Path, Path]]) -> list[annotated.Notice]:
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
    name: str, file: Path, label_file: Path, labels: Sequence[int], config: yolo_config.YoloConfig, problem: str | None
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


def _parse_row(words: Sequence[str], row: int, config: yolo_config.YoloConfig) -> tuple[tuple[float, ...], int]:
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
