"""What readers share whose images and boxes lie together in records of tf.Examples."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from data import errors, examples, progress, tfrecords, validation
from data.examples import DetectionRecord
from data.sources import annotated, base

Features = dict[str, list[Any]]
# The names of an example, best first; None where it has none of that kind.
NamesOf = Callable[[Features], tuple[str | None, ...]]

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


@dataclasses.dataclass(frozen=True, eq=False)
class RecordBoxes:
    """One example as its record states it; nothing of it is checked yet.

    Attributes:
        encoded: the image file's bytes.
        boxes: four numbers a box: xmin, ymin, xmax, ymax.
        labels: one a box, from 0; `annotated.IGNORE_LABEL` for a region that every class ignores.
        is_crowd: one flag a box: a region to ignore.
        areas_px: one area a box, px^2, or empty where the record has none.
        box_form: "xyxy" or "xyxy_px", of `annotated.BOX_FORMS`.
        size: (height, width) that the record states, px, or None.
    """

    encoded: bytes
    boxes: np.ndarray
    labels: Sequence[int]
    is_crowd: Sequence[bool]
    areas_px: Sequence[float] = ()
    box_form: str = "xyxy"
    size: tuple[int, int] | None = None


def scan(paths: Sequence[str]) -> Iterator[tuple[RecordItem, Features | None]]:
    """Reads all tf.Examples of some files, one at a time.

    Args:
        paths: of TFRecord files.

    Yields:
        Each record's place, without a name, and its features; None where it is unusable.

    Raises:
        UserError: a file is no TFRecord file, or is cut off or damaged so that the rest of it is lost.
    """
    total_bytes = sum(os.path.getsize(path) for path in paths)
    if total_bytes > _WORTH_A_NOTE_BYTES:
        progress.emit("note", text=f"Indexing {len(paths)} files ({total_bytes / 1e9:.1f} GB) ...")
    for path in paths:
        compressed = tfrecords.is_gzip(path)
        for record in tfrecords.scan(path, compressed):
            features, problem = None, tfrecords.DAMAGED if record.data is None else None
            if record.data is not None:
                try:
                    features = examples.read_features(record.data)
                except ValueError:
                    problem = "it is no tf.Example"
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
    return examples.read_features(tfrecords.read(item.path, item.offset, item.length, item.compressed))


def to_record(
    source_id: str, found: RecordBoxes, num_classes: int, options: base.ReadOptions, file: str
) -> DetectionRecord:
    """Checks what a record states.

    Args:
        source_id: of the example.
        found: image and boxes.
        num_classes: C; a region that every class ignores becomes C crowd boxes.
        options: answers to what the data leaves open.
        file: the record's file, for errors.

    Returns:
        The example.

    Raises:
        BadExampleError: the image or a box is unusable.
    """
    image = validation.check_image(found.encoded, file, options.exif, found.size, len(found.labels) > 0)
    xywh_px = annotated.to_xywh_px(found.boxes, found.box_form, image.height, image.width)
    labels = np.array(found.labels, np.int32)
    is_crowd = np.array(found.is_crowd, bool) | (labels == annotated.IGNORE_LABEL)
    keep, mended = validation.mend_boxes(xywh_px, labels, is_crowd, image.height, image.width)
    boxes = validation.check_boxes(xywh_px[keep], image.height, image.width, file)
    stated = found.areas_px or [0.0] * len(xywh_px)
    areas = [area if area > 0 else w * h for area, (_, _, w, h) in zip(stated, xywh_px, strict=True)]
    rows = [
        (row, target)
        for row, label in enumerate(labels[keep].tolist())
        for target in (range(num_classes) if label == annotated.IGNORE_LABEL else (label,))
    ]
    chosen = np.array([row for row, _ in rows], np.intp)
    return DetectionRecord(
        source_id=source_id,
        encoded=image.encoded,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        boxes=boxes[chosen],
        labels=np.array([label for _, label in rows], np.int32),
        is_crowd=is_crowd[keep][chosen],
        area_px=np.array(areas, np.float32)[keep][chosen],
        mended=image.mended + mended,
    )


def digest(paths: Iterable[str | os.PathLike[str]], *state: Any) -> str:
    """Returns a hexadecimal digest of `state` and of the names, sizes and modification times of files."""
    result = hashlib.sha256(repr(state).encode())
    for path in sorted(map(str, paths)):
        stat = os.stat(path)
        result.update(f"{os.path.basename(path)}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
    return result.hexdigest()


def _distinct(names: Sequence[str | None]) -> bool:
    return all(names) and len(set(names)) == len(names)
