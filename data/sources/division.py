"""Divides datasets whose annotations say no split by the names of the folders that their images lie in."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from data import progress
from data.sources import base, layout

_Image = TypeVar("_Image")
_BESIDE_A_SPLIT = ("data", "dataset", "image", "images", "img", "imgs", "set", "split")  # words that mean nothing else


def divide_by_folder(
    found: Sequence[_Image], path_of: Callable[[_Image], str], root: Path, is_test_set: bool = False
) -> dict[str, list[_Image]]:
    """Divides a dataset whose annotations say no split by the folders of its images.

    Args:
        found: the images.
        path_of: an image's path.
        root: folder of the dataset.
        is_test_set: the user tests on it, so that all may be test.

    Returns:
        The images by split, if the path of every image that exists has a folder with the name of a split, or nearly
        that name (`split_nearly`; a note says so). All images are "train", with a note, if only some paths have such a
        folder, or if all images are val or test and the dataset is not a test set.
    """
    groups: dict[str, list[_Image]] = {}
    unsaid, said, nearly = [], set(), None
    for image in found:
        path = Path(path_of(image))
        split = split_above(path, root)
        if not split and (split := split_above(path, root, split_nearly)):
            nearly = nearly or path.parent
        groups.setdefault(split or "train", []).append(image)
        if split:
            said.add(split)
        elif os.path.isfile(path_of(image)):
            unsaid.append(path_of(image))
    divides = len(said) > 1 or "train" in said or (is_test_set and "test" in said)
    if divides and not unsaid:
        if nearly and said != {"train"}:
            text = f"{root}: its folders tell the split, as `{nearly}`. Divide it with --splits if they do not mean it."
            progress.emit("note", text=text)
        return {split: groups[split] for split in base.SPLITS if split in groups}
    if said and not unsaid:
        progress.emit("note", text=f"{root}: all images lie below {said.pop()}/; they count as train.")
    elif len(groups) > 1:
        text = f"{root}: {len(unsaid)} of {len(found)} images are in no folder of a split, as {unsaid[0]}, so all are"
        progress.emit("note", text=f"{text} train. Put each image below train/, val/ or test/ to divide them so.")
    return {"train": list(found)}


def split_above(path: Path, root: Path, split_of: Callable[[str], str | None] = base.split_named) -> str | None:
    """Returns the one split that folders above a path, in the root, are named as, by what `split_of` says of a name."""
    inside = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    splits = {split for part in inside if (split := split_of(part))}
    return next(iter(splits)) if len(splits) == 1 else None


def split_nearly(name: str) -> str | None:
    """Returns the split that a folder's name means, as "train2017" and "images_train"; None for "train_station"."""
    words = re.findall("[^\\W\\d_]+", name.casefold())
    is_plain = all(word in _BESIDE_A_SPLIT or base.split_named(word) for word in words)
    return layout.split_within(name) if is_plain else None
