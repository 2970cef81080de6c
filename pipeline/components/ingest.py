"""Writes shards of examples; what Beam's workers run.

Nothing here imports TFX or TensorFlow, so a worker process starts in 4 s instead of 25 s.

A shard is a run of consecutive items of one split. A worker loads them and writes them to the shard's file in
that order, so no image travels through Beam, memory does not grow with the dataset, and equal data gives the
same files whatever the runner and the number of workers.
"""

import collections
import contextlib
import csv
import dataclasses
import gzip
import io
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from apache_beam.io import filesystem, filesystems

from data import errors, examples, image_decoding, loading, sources, tfrecord_files
from pipeline import environment

_EXAMPLES_PER_SHARD = 64
_SHARDS = 256  # of a split, from where shards hold more examples than that
_MOST_EXAMPLES_PER_SHARD = 4096  # from a million on there are more shards: a worker that is lost costs one
_UNFINISHED = ".tmp"  # end of a file's name until it is whole
_GZIP_LEVEL = 0  # the file's readers expect GZIP; JPEG and PNG shrink by 1 % at more than the time of everything else


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file to write.

    Attributes:
        split: it belongs to.
        path: of the file.
        items: of the source, in the order to write.
    """

    split: str
    path: str
    items: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class ShardSummary:
    """What became of a shard.

    Attributes:
        split: it belongs to.
        path: of the file.
        num_examples: written.
        num_boxes: in all written examples, crowd boxes included.
        num_objects: of those, the ones that are not crowds.
        max_boxes: in one written example.
        num_bad: examples that were left out.
        quarantined: (file, reason) of each bad file; its tiles say the same.
        mended: how often each thing was mended.
        questions: those of `quarantined` that an answer of the user would make good.
    """

    split: str
    path: str
    num_examples: int
    num_boxes: int
    num_objects: int
    max_boxes: int
    num_bad: int
    quarantined: tuple[tuple[str, str], ...]
    mended: dict[str, int] = dataclasses.field(default_factory=dict)
    questions: tuple[tuple[str, str], ...] = ()


def plan_shards(split: str, items: Sequence[Any], folder: str) -> list[Shard]:
    """Cuts a split into shards; their number depends on the number of items only.

    Args:
        split: name of the split.
        items: of the source, in its order.
        folder: to write to.

    Returns:
        The shards: of 64 items each; 256 of more items where that would make more; of 4,096 items each from about a
        million items on.
    """
    size = min(max(_EXAMPLES_PER_SHARD, -(-len(items) // _SHARDS)), _MOST_EXAMPLES_PER_SHARD)
    starts = range(0, len(items), size)
    return [
        Shard(
            split,
            filesystems.FileSystems.join(folder, f"data_tfrecord-{number:05d}-of-{len(starts):05d}.gz"),
            tuple(items[start : start + size]),
        )
        for number, start in enumerate(starts)
    ]


def write_shard(shard: Shard, source: sources.Source) -> ShardSummary:
    """Loads a shard's examples and writes the good ones as a GZIP TFRecord file of tf.Examples.

    Args:
        shard: what to load and where to write.
        source: the items come from.

    Returns:
        Counts, and what was left out and why.

    Raises:
        OSError: the file cannot be written.
    """
    environment.ignore_pillow_warnings()  # Beam's worker may be a process of its own
    counts, num_objects, quarantined, questions, mended = [], 0, [], [], collections.Counter()
    with _new_file(shard.path) as file, _gzip(file) as records:
        for loaded in loading.load_items(source, shard.items):
            if isinstance(loaded, errors.BadExampleError):
                quarantined.append((loaded.file, loaded.reason))
                if isinstance(loaded, image_decoding.AmbiguousImageError):
                    questions.append((loaded.file, loaded.reason))
                continue
            example = examples.encode_example(loaded, source.class_names)
            records.write(tfrecord_files.frame(example.SerializeToString(deterministic=True)))
            counts.append(len(loaded.labels))
            num_objects += int((~loaded.is_crowd).sum())
            mended.update(loaded.mended)
    return ShardSummary(
        split=shard.split,
        path=shard.path,
        num_examples=len(counts),
        num_boxes=sum(counts),
        num_objects=num_objects,
        max_boxes=max(counts, default=0),
        num_bad=len(quarantined),
        quarantined=tuple(dict.fromkeys(quarantined)),
        mended=dict(mended),
        questions=tuple(questions),
    )


def write_summaries(summaries: Sequence[ShardSummary], path: str) -> None:
    """Writes summaries as JSON, where `read_summaries` finds them."""
    write_text(path, json.dumps([dataclasses.asdict(summary) for summary in summaries]))


def read_summaries(path: str) -> list[ShardSummary]:
    """Reads what `write_summaries` wrote, in the order of the shards' paths."""
    with filesystems.FileSystems.open(path) as file:
        rows = json.loads(file.read())
    summaries = [
        ShardSummary(**row | {name: tuple(map(tuple, row[name])) for name in ("quarantined", "questions")})
        for row in rows
    ]
    return sorted(summaries, key=lambda summary: summary.path)


def quarantined(summaries: Sequence[ShardSummary]) -> list[tuple[str, str, str]]:
    """Lists split, file and reason of every bad file, each once: the tiles of one may lie in two shards."""
    return list(dict.fromkeys((summary.split, *row) for summary in summaries for row in summary.quarantined))


def write_quarantine(path: str, summaries: Sequence[ShardSummary]) -> None:
    """Writes quarantine.csv: split, file and reason of every bad example, below a header."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "file", "reason"))
    writer.writerows(quarantined(summaries))
    write_text(path, text.getvalue())


def write_text(path: str, text: str) -> None:
    """Writes a text file as UTF-8 under a temporary name and renames it."""
    with _new_file(path) as file:
        file.write(text.encode())


def remove_unfinished(folders: Iterable[str]) -> None:
    """Deletes what workers that were lost left unfinished: TFX reads every file of a split's folder."""
    patterns = [filesystems.FileSystems.join(folder, f"*{_UNFINISHED}") for folder in folders]
    found = [one.path for result in filesystems.FileSystems.match(patterns) for one in result.metadata_list]
    if found:
        filesystems.FileSystems.delete(found)


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[BinaryIO]:
    """Opens a file under a temporary name, on any file system Beam knows; renames it once it is whole."""
    temporary = f"{path}.{uuid.uuid4().hex}{_UNFINISHED}"
    file = filesystems.FileSystems.create(temporary, compression_type=filesystem.CompressionTypes.UNCOMPRESSED)
    with file:
        yield file
    filesystems.FileSystems.rename([temporary], [path])


def _gzip(file: BinaryIO) -> gzip.GzipFile:
    """Compresses without name and time, so that equal contents give equal bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0)
