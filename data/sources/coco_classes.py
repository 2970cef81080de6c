"""Checks what the annotations of a COCO JSON say of their classes, and that they are ground truth."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors
from data.sources import class_labels, detections, values


def check(
    spec: str,
    stated: Sequence[tuple[Path, Sequence[Mapping[str, Any]]]],
    categories: Sequence[Mapping[int, str]],
    headings: Collection[str],
) -> None:
    """Checks that annotations are ground truth, and of the classes that `categories` lists.

    Args:
        spec: what the user typed, for errors.
        stated: each JSON and its annotations.
        categories: {id: name} of each.
        headings: names of categories that are no classes.

    Raises:
        UserError: their scores differ, they name another class than their id, or the ids are one off.
    """
    used: dict[int, str] = {}
    for (path, annotations), named in zip(stated, categories, strict=True):
        detections.check(annotations, path)
        used |= _check_names(annotations, named, path)
    known = {key for by_id in categories for key, name in by_id.items() if name not in headings}
    class_labels.check_shift(spec, stated[0][0], known, used, "give its `categories` the ids that the boxes have")


def _check_names(annotations: Sequence[Mapping[str, Any]], categories: Mapping[int, str], path: Path) -> dict[int, str]:
    """Checks that the `category_name` of each annotation is the name of its `category_id`.

    Returns:
        Where an annotation of each id is, for errors.

    Raises:
        UserError: one names another.
    """
    used = {}
    for entry in annotations:
        named, key = entry.get("category_name"), values.whole(entry.get("category_id"))
        if key is None:
            continue
        if key not in used:
            used[key] = f"annotation {entry.get('id', 'without id')} of `{path}`"
        name = categories.get(key)
        if name is not None and isinstance(named, str) and _folded(named) != _folded(name):
            raise errors.UserError(
                f"{path}: annotation {entry.get('id', 'without id')} has category_id {key}, in `categories` `{name}`,"
                f" and the category_name `{named}`. Which is right decides what every box means: correct one of them."
            )
    return used


def _folded(name: str) -> str:
    return class_labels.plain(name).casefold()
