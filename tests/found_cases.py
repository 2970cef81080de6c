"""What a dataset as tools and people leave it is in the tests: its files, and what must be made of them."""

import dataclasses
from collections.abc import Callable

from tests import broken_corpus, coco_folder
from tests.broken_corpus import NUM_IMAGES, Files

ALL_BOXES = {"car": 7, "person": 7}


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of dataset.

    Attributes:
        kind: of the reader that a bare path must be recognised for.
        make: (corpus) -> its files.
        found: kinds of findings of `data check`.
        splits: images that can be used, by split; None for all as they are.
        boxes: objects in them, by class.
        stops: what the error says where nothing is read; a regular expression.
    """

    kind: str
    make: Callable[[broken_corpus.Corpus], Files]
    found: tuple[str, ...] = ()
    splits: dict[str, int] = dataclasses.field(default_factory=lambda: dict(NUM_IMAGES))
    boxes: dict[str, int] = dataclasses.field(default_factory=lambda: dict(ALL_BOXES))
    stops: str = ""


def changed(kind, name=lambda name: name, content=lambda name, content: content):
    """Makes the corpus in a format, with other names and contents."""

    def make(corpus):
        files = broken_corpus.FORMATS[kind](corpus)
        return {name(old): content(old, given) for old, given in files.items()}

    return make


def with_tables(edit):
    """Makes the corpus as COCO after `edit(split, table)`."""

    def make(corpus):
        for split, table in corpus.tables.items():
            edit(split, table)
        return broken_corpus.coco_files(corpus)

    return make


def each_image(edit):
    """Makes the corpus as COCO after `edit(split, image)` of every image in its tables."""
    return with_tables(lambda split, table: [edit(split, image) for image in table["images"]])


def each_annotation(edit):
    """Makes the corpus as COCO after `edit(split, annotation)` of every box."""
    return with_tables(lambda split, table: [edit(split, one) for one in table["annotations"]])


def in_text(old, new, ending=""):
    """Replaces text in files with an ending."""
    return lambda name, content: (
        content.replace(old, new) if isinstance(content, str) and name.endswith(ending) else content
    )


def with_file(name, content, kind):
    """Makes the corpus in a format, with one more file."""
    return lambda corpus: broken_corpus.FORMATS[kind](corpus) | {name: content}


def mask(seed=50):
    return coco_folder.image_bytes(seed, "PNG")
