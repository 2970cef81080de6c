"""What readers share whose images and boxes lie together in records of tf.Examples."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data import errors, examples, image_decoding, progress, tfrecord_files
from data.examples import DetectionRecord
from data.sources import annotated, base

Features = dict[str, list[Any]]

_WORTH_A_NOTE_BYTES = 2_000_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class RecordItem:
    """Where one example lies.

    Attributes:
        source_id: its name, unique in its split.
        path: of its file.
        offset: of its record's frame, bytes (in the unpacked content, where the file is compressed).
        length: of its record, bytes.
        compressed: whether the file is GZIP.
        problem: why the record is unusable, or None.
    """

    source_id: str
    path: str
    offset: int
    length: int
    compressed: bool = False
    problem: str | None = None


def scan(paths: Sequence[str]) -> Iterator[tuple[RecordItem, Features | None]]:
    """Reads all tf.Examples of some files, one at a time.

    Args:
        paths: of TFRecord files.

    Yields:
        Each record's place, without a name, and its features; None where it is unusable.

    Raises:
        UserError: a file is not a TFRecord file, or is cut off or damaged so that the rest of it is lost.
    """
    total_bytes = sum(os.path.getsize(path) for path in paths)
    if total_bytes > _WORTH_A_NOTE_BYTES:
        progress.emit("note", text=f"Indexing {len(paths)} files ({total_bytes / 1e9:.1f} GB) ...")
    for path in paths:
        compressed = tfrecord_files.is_gzip(path)
        for record in tfrecord_files.scan(path, compressed):
            features, problem = None, tfrecord_files.DAMAGED if record.data is None else None
            if record.data is not None:
                try:
                    features = examples.read_features(record.data)
                except ValueError:
                    problem = "it is not a tf.Example"
            yield RecordItem("", path, record.offset, record.length, compressed, problem), features


def name_items(items: Sequence[Any], names: Sequence[tuple[str | None, ...]], where: str) -> list[Any]:
    """Gives each item of a split a name of its own, all of one kind.

    Args:
        items: dataclasses with `source_id` and `problem`.
        names: of each item, best first, None where it has none; the last is unique.
        where: names the split, for the note.

    Returns:
        The items with the best names of which every usable item has one and no two the same; a note says where that
        are not the first ones.
    """
    usable = [column for item, column in zip(items, names, strict=True) if item.problem is None]
    kinds = range(len(names[0]) if names else 0)
    kind = next((k for k in kinds if _distinct([column[k] for column in usable])), len(kinds) - 1)
    if kind and usable and all(column[0] for column in usable):
        progress.emit("note", text=f"{where}: examples share an id, so they are named otherwise, as {usable[0][kind]}.")
    return [
        dataclasses.replace(item, source_id=(column[kind] if item.problem is None else column[-1]) or column[-1])
        for item, column in zip(items, names, strict=True)
    ]


def read_item(item: RecordItem) -> Features:
    """Reads an item's features.

    Raises:
        BadExampleError: the record is unusable.
    """
    if item.problem:
        raise errors.BadExampleError(item.path, f"record at byte {item.offset}: {item.problem}")
    return examples.read_features(tfrecord_files.read(item.path, item.offset, item.length, item.compressed))


def to_record(
    encoded: bytes, stated: annotated.AnnotatedImage, num_classes: int, options: base.ReadOptions
) -> DetectionRecord:
    """Checks what a record states.

    Args:
        encoded: the image file's bytes.
        stated: what the record says of it; `path` is the record's file.
        num_classes: C; a region that every class ignores becomes C crowd boxes.
        options: answers to what the data leaves open.

    Returns:
        The example.

    Raises:
        BadExampleError: the image or a box is unusable.
    """
    image = image_decoding.check_image(encoded, stated.path, options.exif, stated.size, has_boxes=len(stated.boxes) > 0)
    record = annotated.to_record(image, stated, stated.box_form, num_classes)
    # Fractions of the sides mean the same in an image of any size.
    return annotated.with_other_size(record, stated, lambda: encoded) if stated.box_form.endswith("_px") else record


def glance(encoded: bytes, stated: annotated.AnnotatedImage) -> base.Glance:
    """Returns what a record tells, as `base.Source.glance`.

    Args:
        encoded: the image file's bytes.
        stated: what the record says of it.
    """
    return base.Glance(annotated.object_labels(stated), len(encoded), lambda: encoded)


def areas_px(values: Sequence[float] | None, count: int) -> tuple[float | None, ...]:
    """Turns a record's areas into those of `AnnotatedImage`.

    Args:
        values: px^2, one a box, 0 where there is none; None where the record has no areas.
        count: of boxes.
    """
    return (None,) * count if values is None else tuple(value if value > 0 else None for value in values)


def digest(paths: Iterable[str | os.PathLike[str]], *state: Any) -> str:
    """Returns a hexadecimal digest of `state` and of the names and contents of files."""
    result = hashlib.sha256(repr(state).encode())
    for path in sorted(map(str, paths)):
        stat = os.stat(path)
        result.update(f"{os.path.basename(path)}\t{_content(path, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return result.hexdigest()


@functools.lru_cache(maxsize=4096)
def _content(path: str, size: int, time_ns: int) -> str:
    """Returns the digest of a file's content, which is read once a process while size and time stay."""
    del size, time_ns
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _distinct(names: Sequence[str | None]) -> bool:
    return all(names) and len(set(names)) == len(names)
