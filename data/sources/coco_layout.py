"""Finds the JSON files and the folders of images of a COCO dataset, in the layouts of `data.sources.coco`."""

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data import errors, progress
from data.sources import base, json_files, layout, text_bytes

WHOLE_SET = ("_annotations.coco.json", "annotations.json", "labels.json", "coco.json", "result.json")

_OTHER_TASKS = ("person_keypoints", "captions", "image_info", "stuff", "panoptic")  # beside COCO's own instances
_COCO_KEYS = (b'"images"', b'"annotation')
_COCO_ONLY = (b'"categories"', b'"bbox"')  # one of them: reading says which is missing, and captions have none


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """Where a split lies.

    Attributes:
        annotations: the JSON file.
        folders: existing folders that its file names may start from, the likeliest first.
        is_whole: it is a set without splits, so that folders of its images may tell them.
    """

    annotations: Path
    folders: tuple[Path, ...]
    is_whole: bool = False


def find_splits(root: Path) -> dict[str, SplitFiles]:
    """Finds the splits of a folder.

    Args:
        root: the folder, in one of the layouts of `data.sources.coco`.

    Returns:
        Where each split lies, in the order train, val, test; only those that are there.

    Raises:
        UserError: two files could be the annotations of one split.
    """
    folders, beside = layout.split_folders(root), layout.split_files(root, ".json")
    instances = _instances(root)
    found = {}
    for split in base.SPLITS:
        files = instances.get(split)
        if split in beside:
            files = _existing(beside[split], [root / beside[split].stem, folders.get(split)]) or files
        if files is None and split in folders:
            files = _in_folder(folders[split])
        if files:
            found[split] = files
    return found or _named_within(root) or _whole(root)


def _instances(root: Path) -> dict[str, SplitFiles]:
    """Finds the splits in COCO's own layout."""
    folder = layout.folder_named(root, "annotations")
    if folder is None:
        return {}
    found: dict[str, list[Path]] = collections.defaultdict(list)
    for path in layout.files(folder, ".json"):
        if split := _split_of_instances(path.stem.casefold()):
            found[split].append(path)
    found = found or {split: [path] for split, path in layout.split_files(folder, ".json").items()}
    for split, paths in found.items():
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise errors.UserError(f"`{folder}` has several files for {split}: {names}. Keep one.")
    there = {split: _existing(path, _image_folders(root, split, path)) for split, (path,) in found.items()}
    return {split: files for split, files in there.items() if files}


def _image_folders(root: Path, split: str, path: Path) -> list[Path | None]:
    """Returns where the images of a split may lie."""
    name = path.stem[len("instances_") :] if path.stem.casefold().startswith("instances_") else path.stem
    images = layout.folder_named(root, "images")
    parents = [root, *filter(None, [images])]
    named = [layout.folder_named(parent, end) for end in (name, split) for parent in parents]
    return [*named, *(layout.split_folders(parent).get(split) for parent in parents), images]


def _named_within(root: Path) -> dict[str, SplitFiles]:
    """Finds JSON files whose names hold the word of a split, as train_labels.json."""
    found: dict[str, SplitFiles] = {}
    for path in (path for folder in _json_folders(root) for path in layout.files(folder, ".json")):
        split = layout.split_within(path.stem)
        files = split and is_coco(path) and _existing(path, [*_image_folders(root, split, path), root])
        if split and files and found.setdefault(split, files) != files:
            raise errors.UserError(f"`{root}` has two for {split}: {found[split].annotations}, {path}. Keep one.")
    return {split: found[split] for split in base.SPLITS if split in found}


def _whole(root: Path) -> dict[str, SplitFiles]:
    """Finds the one JSON of a set without splits."""
    whole = _in_folder(root)
    jsons = [path for folder in _json_folders(root) for path in layout.files(folder, ".json") if is_coco(path)]
    if whole is None and len(jsons) == 1:
        images = layout.folder_named(root, "images")
        default = images and layout.folder_named(images, "default")
        has_images = next((True for _, names in layout.walk(root) if any(map(layout.is_image, names))), False)
        whole = _existing(jsons[0], [default, images, root / "data", root if has_images else None])
    return {"train": dataclasses.replace(whole, is_whole=True)} if whole else {}


def check_left_out(root: Path, files: Mapping[str, SplitFiles]) -> None:
    """Says which JSON files of COCO's kind are not read.

    Args:
        root: the folder.
        files: those that are read, by split.

    Raises:
        UserError: one is called as a split whose annotations another file has, and says something else.
    """
    used = {entry.annotations for entry in files.values()}
    for file in (path for folder in _json_folders(root) for path in layout.files(folder, ".json")):
        if file not in used and not file.stem.startswith(_OTHER_TASKS) and is_coco(file):
            name = file.stem.casefold()
            _check_second(file, base.split_named(name) or _split_of_instances(name), files)
    for split, folder in layout.split_folders(root).items():
        for file in _whole_sets(folder):
            if file not in used:
                _check_second(file, split, files)


def _check_second(file: Path, split: str | None, files: Mapping[str, SplitFiles]) -> None:
    """Compares a JSON file that is not read with the one that is read for its split, None if its name does not say."""
    read = files.get(split or layout.split_within(file.stem) or "")
    if read is None:
        progress.emit("note", text=f"{file} is not a split (train, val or test) by its name; it is left out.")
    elif split and not json_files.say_the_same(file, read.annotations):
        raise errors.UserError(f"`{read.annotations}` and `{file}` are both {split}'s, and differ. Keep one.")
    else:
        progress.emit("note", text=f"{file} is left out: `{read.annotations}` is read for its split.")


def _split_of_instances(name: str) -> str | None:
    """Returns the split of a name as instances_train2017, in lower case."""
    match = re.match(r"instances_([a-z]+)", name)
    return base.split_named(match[1]) if match else None


def _json_folders(root: Path) -> list[Path]:
    return [root, *filter(None, [layout.folder_named(root, "annotations")])]


def _in_folder(folder: Path) -> SplitFiles | None:
    """Finds one JSON and its images in a folder."""
    path = next(_whole_sets(folder), None)
    if path is None:
        return None
    has_images = bool(layout.image_names(folder, deep=False))
    images = layout.folder_named(folder, "images")
    return _existing(path, [images, folder / "data", folder if has_images else None])


def _whole_sets(folder: Path) -> Iterator[Path]:
    """Yields the JSON files in a folder that are called as those of all its images."""
    paths = (folder / name for name in WHOLE_SET)
    return (path for path in paths if path.is_file() and is_coco(path))


def is_coco(path: Path) -> bool:
    """Says whether a JSON has COCO's keys, without parsing it; a file that cannot be read has its own message later."""
    try:
        text = text_bytes.content(path)
    except OSError:
        return True
    return all(key in text for key in _COCO_KEYS) and any(key in text for key in _COCO_ONLY)


def _existing(annotations: Path, folders: Sequence[Path | None]) -> SplitFiles | None:
    there = tuple(dict.fromkeys(folder for folder in folders if folder and folder.is_dir()))
    return SplitFiles(annotations, there) if there else None
