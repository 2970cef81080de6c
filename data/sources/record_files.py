"""Which files of a folder are TFRecord files, and of which split."""

import collections
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data import errors
from data.sources import base, layout

FILE_NAME = re.compile(r".*(tf_?rec(ord)?s?|[._-]records?)(-\d+-of-\d+)?(\.gz)?|\w+-\d{5}-of-\d{5}")
_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)(.*)")
_SPLIT_NAMES = base.SPLIT_NAMES | {"eval": "val", "evaluation": "val"}  # what TFX and the Object Detection API say
_DEPTH = 2  # folders: the given one and those in it


def find_files(root: Path) -> list[Path]:
    """Lists the files in a folder and in its folders that are named as TFRecord files, sorted."""
    walked = ((inside, names) for inside, names in layout.walk(root) if inside.count("/") < _DEPTH)
    named = (root / inside / name for inside, names in walked for name in names if FILE_NAME.fullmatch(name))
    return sorted(path for path in named if path.is_file())


def by_split(spec: str, paths: Sequence[Path], root: Path) -> dict[str, list[Path]]:
    """Returns the files of each split; all are train where no name says anything.

    Args:
        spec: the dataset, for the message.
        paths: of the files.
        root: the dataset's folder; the names of folders in it count, its own does not.

    Raises:
        UserError: some names say a split and others do not, or two words are one split, as val and valid.
    """
    word_of = {path: _split_word(path.name) or _split_word(_folder(path, root)) for path in paths}
    split_of = {path: _SPLIT_NAMES[word] if word else None for path, word in word_of.items()}
    unnamed = [path for path, split in split_of.items() if split is None]
    if unnamed and len(unnamed) < len(paths):
        raise errors.UserError(
            f"Dataset `{spec}`: which split is `{unnamed[0]}`? Other files say it in their names. Put train, val or"
            " test into its name, or into the name of its folder."
        )
    files: dict[str, list[Path]] = collections.defaultdict(list)
    for path, split in split_of.items():
        files[split or "train"].append(path)
    for split, of_split in files.items():
        first, *others = {word_of[path]: path for path in reversed(of_split)}.values()
        if others:
            raise errors.UserError(
                f"Dataset `{spec}`: `{others[0]}` and `{first}` both mean {split}, under two words. Keep one, or use"
                " the same word in both names."
            )
    return files


def _folder(path: Path, root: Path) -> str:
    return path.parent.name if path.parent != root else ""


def _split_word(name: str) -> str | None:
    """Returns the word of a name that means a split."""
    words = re.split("[^a-z]+", name.lower())
    return next((word for word in words if word in _SPLIT_NAMES), None)


def check_shards(paths: Sequence[Path]) -> None:
    """Raises `UserError` where one of a set of shards is missing."""
    sets: dict[tuple[Any, ...], set[int]] = collections.defaultdict(set)
    for path in paths:
        if match := _SHARD.fullmatch(path.name):
            sets[path.parent, match[1], int(match[3]), match[4]].add(int(match[2]))
    for (folder, stem, count, _), numbers in sets.items():
        missing = sorted(set(range(count)) - numbers)
        if missing:
            raise errors.UserError(
                f"{folder / stem}: {len(missing)} of its {count} files are missing, the first is number {missing[0]}."
                " Copy them again, or name the files to read, as tfrecord:'PATH/train-0000*'."
            )
