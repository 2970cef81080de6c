"""What every reader of detection data offers, and what readers share."""

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from data import errors
from data.examples import DetectionRecord

SPLITS = ("train", "val", "test")

_IGNORE_NAMES = ("dontcare", "ignore", "ignored", "ignoreregion", "ignoredregion", "ignoredregions")


class Source(abc.ABC):
    """Detection data of one origin.

    A source travels to Beam workers by pickling: leave out of its state what `load` does not need.

    Attributes:
        kind: the word before the colon in `--dataset=KIND:ARGUMENT`.
        argument_help: one line on what the argument may be.
        spec: what the user typed.
        class_names: in label order.
        splits: those it has, in the order train, val, test.
    """

    kind: ClassVar[str]
    argument_help: ClassVar[str]
    spec: str
    class_names: tuple[str, ...]
    splits: tuple[str, ...]

    @classmethod
    @abc.abstractmethod
    def open(cls, spec: str, argument: str, classes: Sequence[str] | None, required_splits: Sequence[str]) -> "Source":
        """Opens the data that `argument` names; arguments and errors are those of `open_source`."""

    @classmethod
    def recognises(cls, path: str) -> bool:
        """Says whether an existing path, given without a kind, holds data in this reader's layout."""
        del path
        return False

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Returns a hexadecimal digest that changes when the data changes."""

    @abc.abstractmethod
    def items(self, split: str) -> list[Any]:
        """Lists a split's examples, in an order that depends on the data only.

        Args:
            split: one of `splits`.

        Returns:
            Small picklable objects without image bytes, each with an attribute `source_id` (str).
        """

    @abc.abstractmethod
    def load(self, item: Any) -> DetectionRecord:
        """Reads and checks one example; called in Beam workers.

        Args:
            item: one of `items`.

        Returns:
            The example.

        Raises:
            BadExampleError: the example is unusable.
        """


def is_ignore_category(name: str) -> bool:
    """Says whether a category marks regions to ignore (DontCare, ignore, "ignored regions", in any case)."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) in _IGNORE_NAMES


def select_classes(available: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Picks the classes to detect.

    Args:
        available: names the data has, in its own order.
        wanted: names to keep, in label order; None keeps all.

    Returns:
        Class names in label order.

    Raises:
        UserError: a name is unknown or comes twice, or none is left.
    """
    chosen = tuple(available) if wanted is None else tuple(wanted)
    for name in chosen:
        if name not in available:
            raise errors.UserError(f"Unknown class `{name}`.{errors.nearest(name, available)}")
    if len(set(chosen)) != len(chosen):
        twice = next(name for name in chosen if chosen.count(name) > 1)
        raise errors.UserError(f"Class `{twice}` is named twice; name each class once.")
    if not chosen:
        raise errors.UserError("No class is left to detect; name at least one.")
    return chosen


def found_in(folder: Path, most: int = 8) -> str:
    """Lists what a path holds, for errors about missing files.

    Args:
        folder: an existing path.
        most: names to list.

    Returns:
        "`a/`, `b.json` and 3 more", or words for an empty folder or a file.
    """
    if not folder.is_dir():
        return "one file, not a folder"
    names = sorted(f"`{entry.name}/`" if entry.is_dir() else f"`{entry.name}`" for entry in folder.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
