"""Labels from the names and numbers of classes, for readers of every format."""

import collections
import dataclasses
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors, progress
from data.sources import base
from data.sources.annotated import IGNORE_LABEL, AnnotatedImage, NamedImage, Notice


def label_by_name(
    found: Mapping[str, Sequence[NamedImage]],
) -> tuple[dict[str, list[AnnotatedImage]], tuple[str, ...]]:
    """Numbers the classes of images whose boxes name theirs.

    Args:
        found: the images, by split.

    Returns:
        The images with labels, by split, and the class names in label order: sorted, without those that
        `base.is_ignore_category` says are regions to ignore.
    """
    names = sorted({name for images in found.values() for image in images for name in image.names}, key=plain)
    class_names, labels = number_classes(names)
    labelled = {
        split: [
            dataclasses.replace(
                named.image,
                labels=tuple(labels[name] for name in named.names),
                is_crowd=tuple(
                    crowd or labels[name] == IGNORE_LABEL
                    for crowd, name in zip(named.image.is_crowd, named.names, strict=True)
                ),
            )
            for named in images
        ]
        for split, images in found.items()
    }
    return labelled, class_names


def number_classes(names: Iterable[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Numbers the classes of a dataset.

    Args:
        names: of all categories, in the data's own order; a name may come twice, or in several spellings (`plain`).

    Returns:
        The plain names in label order without those of regions to ignore, and {name: label} for each name as it was
        given, with `IGNORE_LABEL` for regions to ignore.
    """
    given = {name: plain(name) for name in names}
    class_names = tuple(name for name in dict.fromkeys(given.values()) if not base.is_ignore_category(name))
    numbers = {name: number for number, name in enumerate(class_names)}
    return class_names, {name: numbers.get(known, IGNORE_LABEL) for name, known in given.items()}


def plain(name: str) -> str:
    """Returns a class name without space around it and in Unicode's composed form, as all that look alike have it."""
    return unicodedata.normalize("NFC", name.strip())


def check_shift(spec: str, file: Path, known: Collection[int], used: Mapping[int, str], way_out: str) -> None:
    """Checks that boxes do not count the classes from another number than the list of classes does.

    The sign is a number just beyond one end of the list, while the number at the other end is not used. Where boxes
    use every number of the list moved by one, they may all be one off, and it is a question, however few rows show it.
    Where some are not used, it is more likely a stray row, and only a note.

    Args:
        spec: what the user typed, for the error.
        file: that lists the classes.
        known: their numbers.
        used: where a box of each number is.
        way_out: how to make the list agree with the boxes, if they are right.

    Raises:
        UserError: boxes use exactly the numbers of the list moved by one, or these and others.
    """
    if not known:
        return
    low, high = min(known), max(known)
    for step, beyond, unused, words in ((1, high + 1, low, "high"), (-1, low - 1, high, "low")):
        if beyond < 0 or beyond not in used or unused in used:  # -1 often stands for what is to be ignored
            continue
        text = (
            f"Dataset `{spec}`: {used[beyond]} is of class {beyond}, which `{file}` does not list (it has {low} to"
            f" {high}), and no box is of class {unused}. Is every number one too {words}? Then {way_out}, or correct"
            " the labels; if not, correct that one."
        )
        if all(number + step in used for number in known):
            raise errors.UserError(text)
        progress.emit("note", text=text)


def merged_names(numbered: Iterable[tuple[Any, str]], path: Path) -> list[Notice]:
    """Notes the classes' names that come with several numbers.

    Args:
        numbered: (number, name) of each class.
        path: of the file that says so.
    """
    numbers: dict[str, list[str]] = collections.defaultdict(list)
    for number, name in numbered:
        numbers[plain(name)].append(str(number))
    return [
        Notice("merged_class", str(path), f"{' and '.join(several)} are both `{name}`")
        for name, several in numbers.items()
        if len(several) > 1
    ]
