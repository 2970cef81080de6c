"""The classes that a user chooses of a dataset: picked, renamed, merged, and paired with those of another one."""

from collections.abc import Sequence

import numpy as np

from data import errors
from data.sources import base, class_labels


def map_classes(available: Sequence[str], wanted: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Picks, renames and merges classes.

    Args:
        available: names that the data has, in its own order; what `class_labels.plain` takes away does not count.
        wanted: as `DataOptions.classes`.

    Returns:
        Class names in label order, and int32 [len(available)]: each available class' new label, -1 where it is dropped.

    Raises:
        UserError: a name is unknown or comes twice, or none is left.
    """
    known = [class_labels.plain(name) for name in available]
    if len(set(known)) != len(known):  # a plug-in's names differ in nothing else
        known = list(available)
    targets = np.full(len(known), -1, np.int32)
    names: list[str] = []
    for given in known if wanted is None else wanted:
        entry = given if given in known else class_labels.plain(given)
        new, equals, old = (entry, "", "") if entry in known else map(str.strip, entry.partition("="))
        if not new or (equals and not old):
            raise errors.UserError(f"`--classes` needs NAME, NEW=OLD or NEW=OLD+OLD: got `{entry}`.")
        for name in map(str.strip, old.split("+")) if equals else [new]:
            if name not in known:
                raise errors.UserError(f"Unknown class `{name}`.{errors.nearest(name, known)}")
            if targets[known.index(name)] >= 0:
                raise errors.UserError(f"Class `{name}` is named twice; name each class once.")
            targets[known.index(name)] = len(names)
        names.append(new)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.UserError(f"Class `{twice}` is named twice; merge classes as {twice}=ONE+OTHER.")
    if not names:
        raise errors.UserError("No class is left to detect; name at least one.")
    return tuple(names), targets


def same_names(names: Sequence[str], other: base.Source) -> tuple[str, ...]:
    """Pairs classes of equal names, or else of names that differ in case only.

    Raises:
        UserError: a class has no partner, or several that differ from it in case.
    """
    pairs = {}
    for name in names:
        alike = [its for its in other.class_names if its.casefold() == name.casefold()]
        pairs[name] = [name] if name in alike else alike
    unpaired = [name for name, alike in pairs.items() if len(alike) != 1]
    if unpaired:
        raise errors.UserError(
            f"`--test_dataset={other.spec}` has no class {', '.join(unpaired)}, or several that differ in case; it has"
            f" {', '.join(other.class_names)}. Pair them, as --test_classes={names[0]}={other.class_names[0]},..."
        )
    return tuple(f"{name}={its}" for name, (its,) in pairs.items())


def renumber(targets: np.ndarray, names: Sequence[str], wanted: Sequence[str], spec: str) -> np.ndarray:
    """Changes labels that index `names` to labels that index `wanted`.

    Raises:
        UserError: the two do not hold the same names.
    """
    if set(names) != set(wanted):
        raise errors.UserError(
            f"`--test_classes` gives `{spec}` the classes {', '.join(names)}; training has {', '.join(wanted)}."
            " They must be the same."
        )
    position = np.array([list(wanted).index(name) for name in names], np.int32)
    return np.where(targets >= 0, position[targets], -1).astype(np.int32)
