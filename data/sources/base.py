"""What every reader of detection data offers, and what readers share."""

import abc
import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from data import errors
from data.examples import DetectionRecord

SPLITS = ("train", "val", "test")

# Asked with `split_named`, without case.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}

_UNSPEAKABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control characters, half characters
_IGNORE_NAMES = ("dontcare", "ignore", "ignored", "ignoreregion", "ignoredregion", "ignoredregions")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Answers to what a dataset may leave open; "auto" stops with a question where it matters.

    Attributes:
        exif: whether the boxes belong to the image as its EXIF orientation turns it ("apply") or as it is stored
            ("ignore"); "auto" decides by the size that the annotation states.
        box_units: "pixels" or "normalized"; "auto" takes the format's own and asks where the numbers speak against it.
        is_test_set: it is a dataset to test on.
    """

    exif: str = "auto"
    box_units: str = "auto"
    is_test_set: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Glance:
    """What an example tells without its image being decoded.

    Attributes:
        labels: one an object, from 0; regions to ignore have none.
        num_bytes: of the image file.
        read: returns the image file's bytes; raises `BadExampleError` where it cannot be read.
    """

    labels: tuple[int, ...]
    num_bytes: int
    read: Callable[[], bytes]


class Source(abc.ABC):
    """Detection data of one origin.

    A source travels to Beam workers by pickling: leave out of its state what `load` does not need. `load` is called in
    several threads at once.

    Attributes:
        spec: what the user typed.
        class_names: in label order.
        splits: those it has, in the order train, val, test.
        tiles_per_image: items of train and val, one after another, that an image is cut into.
    """

    spec: str
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    tiles_per_image: int = 1

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

    def glance(self, item: Any) -> Glance:
        """Tells what an example holds; a reader overrides it where that is cheaper than to load the example.

        Args:
            item: one of `items`.

        Raises:
            BadExampleError: the example is unusable, as far as can be told.
        """
        record = self.load(item)
        labels = tuple(record.labels[~record.is_crowd].tolist())
        return Glance(labels, len(record.encoded), lambda: record.encoded)


class Reader(Source):
    """A source that a user can name: one format, with all the classes and splits that the data has.

    Attributes:
        kind: the word before the colon in `--dataset=KIND:ARGUMENT`.
        argument_help: one line on what the argument may be.
        looks_below: whether files in any folder below a path make it recognise the path.
    """

    kind: ClassVar[str]
    argument_help: ClassVar[str]
    looks_below: ClassVar[bool] = False

    @classmethod
    @abc.abstractmethod
    def open(cls, spec: str, argument: str, options: ReadOptions) -> "Reader":
        """Opens all of the data that `argument` names.

        Args:
            spec: what the user typed, for errors.
            argument: the part behind the colon.
            options: answers to what the data leaves open.

        Returns:
            The source, with every class and split that it has; `class_names` in the data's own order.

        Raises:
            UserError: path, layout or a parameter is wrong, or an annotation file is malformed.
        """

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says why an existing path, given without a kind, is data in this reader's layout.

        Args:
            path: an existing file or folder.

        Returns:
            What was found, to be read after "because": "train.json lies beside train/"; None where it is not.
        """
        del path
        return None


def split_named(name: str) -> str | None:
    """Returns the split that a name means, in any case; None where it means none."""
    return SPLIT_NAMES.get(name.strip().casefold())


def is_ignore_category(name: str) -> bool:
    """Says whether a category marks regions to ignore (DontCare, ignore, "ignored regions", in any case)."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) in _IGNORE_NAMES


def check_class_names(spec: str, names: Iterable[str]) -> None:
    """Checks that names fit into files with one a line, as labels.txt, and into XML.

    Args:
        spec: what the user typed, for the error.
        names: of the classes.

    Raises:
        UserError: one is blank, or holds a line break or another control character.
    """
    for name in names:
        if not name.strip() or _UNSPEAKABLE.search(name):
            raise errors.UserError(
                f"Dataset `{spec}`: the class name {name!r} is blank or holds a control character. Rename the class in"
                " the annotations, or leave it out with --classes."
            )


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
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    names = sorted(f"`{entry.name}/`" if entry.is_dir() else f"`{entry.name}`" for entry in entries)
    if not names:
        return "nothing"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
