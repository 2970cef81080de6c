"""Labels from the names and numbers of classes, for readers of every format."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    names = sorted({name for images in found.values() for image in images for name in image.names})
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
        names: of all categories, in the data's own order; a name may come twice.

    Returns:
        The names in label order without those of regions to ignore, and {name: label} with `IGNORE_LABEL` for these.
    """
    given = dict.fromkeys(names)
    class_names = tuple(name for name in given if not base.is_ignore_category(name))
    numbers = {name: number for number, name in enumerate(class_names)}
    return class_names, {name: numbers.get(name, IGNORE_LABEL) for name in given}


def merged_names(numbered: Iterable[tuple[Any, str]], path: Path) -> list[Notice]:
    """Notes the classes' names that come with several numbers.

    Args:
        numbered: (number, name) of each class.
        path: of the file that says so.
    """
    numbers: dict[str, list[str]] = collections.defaultdict(list)
    for number, name in numbered:
        numbers[name].append(str(number))
    return [
        Notice("merged_class", str(path), f"{' and '.join(several)} are both `{name}`")
        for name, several in numbers.items()
        if len(several) > 1
    ]
