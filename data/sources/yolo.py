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
  out. Where most long rows could be either, it is a question (`yolo_rows`).
- Without data.yaml, Darknet's obj.data names the lists of images and the file of classes; without that, classes.txt (or
  labels/classes.txt), in any case, names the classes, one a line, of images/ and labels/, or of images with labels
  beside them.
- Where two of data.yaml and such files of classes differ, also beside the labels, neither is taken; a second data.yaml
  none of whose places exists is of another dataset. Where an image has two label files that differ, it is unusable.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from data import errors, progress
from data.sources import annotated, base, class_labels, division, layout, locate, yolo_config, yolo_names, yolo_rows

_NO_LABELS = ("classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt")


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
        seen = yolo_rows.SeenRows(config.has_keypoints or config.has_polygons)
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
            problems |= _photo_and_mask(labelled) | _two_label_files(labelled)
            images[split] = [_read(*each, by_number, config, seen, problems.get(each[1])) for each in labelled]
        if not images:
            raise errors.UserError(
                f"Dataset `{spec}`: no split of `{config.file}` has images with label files. Correct its"
                " `train`, `val` and `test`, or put the labels into `labels/` beside `images/`."
            )
        yolo_names.check_all(
            config.file, config.names, _folders_of_names(config, pairs), config.was_chosen, yolo_config.has_place
        )
        way_out = f"put a name for class 0 in front of those in `{config.file}`"
        class_labels.check_shift(spec, config.file, range(len(config.names)), seen.used, way_out)
        seen.check(spec, config.file, config.root)
        if not config.says_splits:
            images = division.divide_by_folder(
                images["train"], lambda image: image.path, config.root, options.is_test_set
            )
        notices += [*finder.notices(), *_lost_labels(config, pairs), *_left_out(config, pairs), *_unlabelled(pairs)]
        return cls(spec, images, class_names, options, notices)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says what names the classes, data.yaml or a file of classes; None where nothing does."""
        return yolo_config.recognise(path)


def _list_images(
    places: Sequence[Path], root: Path, finder: locate.Finder, split: str
) -> tuple[list[tuple[str, Path]], dict[Path, str]]:
    """Returns (name, path) of a split's images, each once, and why it is not clear which a list means, by path."""
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
    once, differing = _once(found)
    return once, problems | differing


def _once(found: Iterable[tuple[str, Path]]) -> tuple[list[tuple[str, Path]], dict[Path, str]]:
    """Returns each image once, at the first path that has labels, and why paths of one image contradict each other."""
    same: dict[str, list[tuple[str, Path]]] = {}  # by where the file really is, however the list and --dataset write it
    for name, file in found:
        same.setdefault(annotated.real_path(str(file)), []).append((name, file))
    once, problems = [], {}
    for each in same.values():
        labels = _label_files(file for _, file in each) if len(each) > 1 else []
        first = next((index for index, label_file in enumerate(labels) if label_file.is_file()), 0)
        once.append(each[first])
        for other in dict.fromkeys(labels[first + 1 :]):
            if problem := _contradiction(labels[first], other):
                problems[each[first][1]] = problem
    return once, problems


def _pair(found: Sequence[tuple[str, Path]]) -> tuple[list[tuple[str, Path, Path]], list[annotated.Notice]]:
    """Finds each image's label file; of those that are left, the one that is named alike."""
    labels = _label_files(file for _, file in found)
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


def _label_files(images: Iterable[Path]) -> list[Path]:
    """Returns where each image's labels are, or would be."""
    folders: dict[Path, Path | None] = {}
    labels = []
    for image in images:
        if image.parent not in folders:
            folders[image.parent] = _label_folder(image.parent)
        folder, beside = folders[image.parent], image.with_suffix(".txt")
        apart = folder / beside.name if folder else beside
        labels.append(beside if not apart.is_file() and beside.is_file() else apart)
    return labels


def _label_folder(images: Path) -> Path | None:
    """Returns the folder of labels that goes with a folder of images; its parts count in any case."""
    parts = list(images.parts)
    places = [index for index, part in enumerate(parts) if part.casefold() == "images"]
    if not places:
        return None
    folder = Path(*parts[: places[-1]])
    for part in ("labels", *parts[places[-1] + 1 :]):
        folder = layout.folder_named(folder, part) or folder / part
    return folder


def _two_label_files(pairs: Iterable[tuple[str, Path, Path]]) -> dict[Path, str]:
    """Says of images with labels both beside them and in labels/ that nothing tells which count, by image."""
    problems = {}
    for _, file, label_file in pairs:
        beside = file.with_suffix(".txt")
        if beside != label_file and (problem := _contradiction(label_file, beside)):
            problems[file] = problem
    return problems


def _contradiction(one: Path, other: Path) -> str | None:
    """Says that two label files of one image differ; None where they do not, or one has no row."""
    if not (one.is_file() and other.is_file()) or one.samefile(other):
        return None
    rows, others = _rows_of(one), _rows_of(other)
    return f"{one} and {other} differ; keep the one that is right" if rows and others and rows != others else None


def _rows_of(label_file: Path) -> list[tuple[float, ...]] | None:
    """Returns a file's rows in an order of their own; None where it is no label file."""
    try:
        lines = label_file.read_text(encoding="utf-8-sig").splitlines()
        return sorted(tuple(map(float, line.split())) for line in lines if line.strip())
    except (OSError, ValueError):
        return None


def _folders_of_names(config: yolo_config.YoloConfig, pairs: Iterable[tuple[Path, Path]]) -> list[Path]:
    """Returns where files may lie that name the classes: the root, data.yaml's folder, those of labels and above."""
    labels = {label_file.parent for _, label_file in pairs if label_file.is_file()}
    above = {parent for folder in labels for parent in (folder, *folder.parents) if config.root in parent.parents}
    return [config.file.parent, config.root, *sorted(labels | above)]


def _left_out(config: yolo_config.YoloConfig, pairs: Iterable[tuple[Path, Path]]) -> list[annotated.Notice]:
    """Notes what data.yaml names under keys of no split, and images beside the folders of the splits."""
    used = {place for places in config.places.values() for place in places}
    folders = {file.parent for _, file in pairs}
    above = {parent for folder in folders for parent in (folder.resolve(), *folder.resolve().parents)}
    others = {key: place for key, place in config.others.items() if place.resolve() not in above}
    notices = [
        annotated.Notice("left_out", str(config.file), f"`{key}` is not a split (train, val or test) by its name")
        for key, place in others.items()
    ]
    tables = [path for end in yolo_names.YAML for path in layout.files(config.file.parent, end) if path != config.file]
    seconds = () if config.was_chosen else filter(yolo_config.recognise, tables)
    notices += [annotated.Notice("left_out", str(file), f"{config.file.name} is read") for file in seconds]
    if any(place.is_file() for place in used):  # a list leaves out what it does not name
        return notices
    return [*notices, *layout.beside(config.root, [*used, *others.values()])]


def _unlabelled(pairs: Iterable[tuple[Path, Path]]) -> list[annotated.Notice]:
    """Notes the images that have no label file."""
    without = (file for file, label_file in pairs if file.is_file() and not label_file.is_file())
    return [annotated.Notice("unlabelled_image", str(file), "") for file in without]


def _lost_labels(config: yolo_config.YoloConfig, pairs: Iterable[tuple[Path, Path]]) -> list[annotated.Notice]:
    """Notes the label files of no image; files that only a list leaves out are none of them."""
    used = {label_file for _, label_file in pairs}
    lists = {place for places in config.places.values() for place in places}
    if any(place.is_file() for place in lists):
        return []
    notices = []
    for folder, images in _image_folders(pairs).items():
        lost = [file for file in layout.files(folder, ".txt") if file not in used]
        unread = _unread_files(images) if lost else {}
        for file in (file for file in lost if file.name.casefold() not in _NO_LABELS):
            why = (
                f"{unread[file.stem]} is of no format that is read" if file.stem in unread else "no image has its name"
            )
            notices.append(annotated.Notice("lost_annotation", str(file), why))
    return notices


def _image_folders(pairs: Iterable[tuple[Path, Path]]) -> dict[Path, set[Path]]:
    """Returns the folders of the images that go with each folder of labels."""
    folders: dict[Path, set[Path]] = {}
    for image, label_file in pairs:
        folders.setdefault(label_file.parent, set()).add(image.parent)
    return dict(sorted(folders.items()))


def _unread_files(folders: Iterable[Path]) -> dict[str, Path]:
    """Returns the files in folders of images that are no images that can be read, as GIFs, by their names."""
    paths = (folder / name for folder in sorted(folders) for name in layout.file_names(folder, ""))
    return {path.stem: path for path in paths if path.suffix.lower() not in (".txt", *layout.IMAGE_SUFFIXES)}


def _read(
    name: str,
    file: Path,
    label_file: Path,
    labels: Sequence[int],
    config: yolo_config.YoloConfig,
    seen: yolo_rows.SeenRows,
    problem: str | None,
) -> annotated.AnnotatedImage:
    """Reads one image's labels; `labels` by class number; `problem` is why it is unusable, where that is known."""
    boxes, numbers, kind = [], [], "broken_annotation"
    try:
        text = label_file.read_text(encoding="utf-8-sig")
        rows = [(row, line.split()) for row, line in enumerate(text.splitlines(), start=1) if line.strip()]
        seen.look_at_classes(rows, label_file)
        for row, words in rows:
            read = yolo_rows.parse(words, row, len(labels), config.file.name, config.has_keypoints)
            boxes.append(read.box)
            numbers.append(labels[read.number])
            seen.look_at(read.numbers, label_file, row)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            problem = f"{label_file}: the file cannot be read: {error.strerror or error}"
    except UnicodeDecodeError as error:
        problem = f"{label_file}: not UTF-8 text at byte {error.start}"
    except yolo_rows.UnknownClassError as error:
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
