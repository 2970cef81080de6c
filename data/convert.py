"""Writes any source as another format's dataset."""

import collections
import contextlib
import dataclasses
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from data import errors, files, image_decoding, loading, progress, writers
from data.sources import base

FORMATS = tuple(writers.WRITERS)
SUMMARY_NAME = "conversion.json"


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """An example that could not be used.

    Attributes:
        split: it belongs to.
        file: path at fault.
        reason: one line.
    """

    split: str
    file: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What was written, as conversion.json says it.

    Attributes:
        dataset: as the user named it.
        format: one of `FORMATS`.
        output: folder that was written.
        class_names: in label order.
        num_images: by split.
        num_boxes: by split, objects in the examples that were written.
        num_ignored: by split, regions to ignore in them; one that several classes ignore counts once.
        num_renamed: images whose file is named otherwise than their id.
        lost: how much of what the examples say the format cannot say, by what it is.
        mended: how often each thing was mended in the examples that were written, by what it is.
        left_out: bad examples.
    """

    dataset: str
    format: str
    output: str
    class_names: tuple[str, ...]
    num_images: dict[str, int]
    num_boxes: dict[str, int]
    num_ignored: dict[str, int]
    num_renamed: int
    lost: dict[str, int]
    mended: dict[str, int]
    left_out: tuple[LeftOut, ...]


def convert(source: base.Source, format_name: str, output: str | os.PathLike[str]) -> Conversion:
    """Writes all splits of a source, one example in memory at a time; image bytes are copied as they are.

    Everything is written into a hidden folder beside `output`, which gets its name when it is whole: what is there is
    never half a dataset.

    Args:
        source: what to write.
        format_name: one of `FORMATS`.
        output: folder to write: new, or empty.

    Returns:
        What was written, and what was not; also in `output`/conversion.json.

    Raises:
        UserError: the format is unknown, `output` holds something or cannot be written, a split has no usable example,
            or one needs an answer of the user first.
    """
    if format_name not in writers.WRITERS:
        hint = errors.nearest(format_name, FORMATS)
        raise errors.UserError(f"`{format_name}` is not a format to convert to.{hint}")
    target = check_output(output)
    with _folder_in_one_piece(target) as folder:
        with writers.WRITERS[format_name](folder, source.class_names) as writer:
            counts, mended, left_out = _write_splits(source, writer)
        result = Conversion(
            dataset=source.spec,
            format=format_name,
            output=str(output),
            class_names=source.class_names,
            **counts,
            num_renamed=writer.num_renamed,
            lost={what: count for what, count in writer.lost.items() if count},
            mended=dict(sorted(mended.items())),
            left_out=tuple(left_out),
        )
        files.write_json(folder / SUMMARY_NAME, dataclasses.asdict(result))
    return result


def check_output(output: str | os.PathLike[str]) -> Path:
    """Checks that a folder can be written without mixing with what is there.

    Args:
        output: path of the folder.

    Returns:
        The absolute path.

    Raises:
        UserError: it is a file or holds something.
    """
    path = Path(output).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise errors.UserError(f"`{output}` is a file. Name a new folder to write to.")
    if path.is_dir() and any(path.iterdir()):
        raise errors.UserError(f"`{output}` is not empty: it holds {base.found_in(path)}. Name a new or empty folder.")
    if path.is_mount():
        raise errors.UserError(f"`{output}` is a mount point, which cannot be replaced. Name a folder in it.")
    return path


def _write_splits(
    source: base.Source, writer: writers.Writer
) -> tuple[dict[str, dict[str, int]], collections.Counter[str], list[LeftOut]]:
    """Returns the counts of `Conversion` by their names, how often each thing was mended, and the bad examples."""
    items = {split: source.items(split) for split in source.splits}
    total = sum(map(len, items.values()))
    num_images, num_boxes, num_ignored, left_out, done = {}, {}, {}, [], 0
    mended: collections.Counter[str] = collections.Counter()
    for split in items:
        num_images[split] = num_boxes[split] = num_ignored[split] = 0
        writer.start(split, len(items[split]))
        for loaded in loading.load_items(source, items[split]):
            done += 1
            if isinstance(loaded, image_decoding.AmbiguousImageError):
                raise errors.UserError(f"{loaded.file}: {loaded.reason}") from loaded
            if isinstance(loaded, errors.BadExampleError):
                left_out.append(LeftOut(split, loaded.file, loaded.reason))
            else:
                writer.write(loaded)
                num_images[split] += 1
                num_boxes[split] += int((~loaded.is_crowd).sum())
                num_ignored[split] += loaded.num_ignored
                mended.update(loaded.mended)
            progress.emit("ingest", done=done, total=total)
        writer.finish()
    writer.close()
    empty = [split for split, count in num_images.items() if not count]
    if empty:
        first = f" First: {left_out[0].file}: {left_out[0].reason}." if left_out else ""
        raise errors.UserError(f"Split {empty[0]} of `{source.spec}` has no usable example.{first}")
    return {"num_images": num_images, "num_boxes": num_boxes, "num_ignored": num_ignored}, mended, left_out


@contextlib.contextmanager
def _folder_in_one_piece(target: Path) -> Iterator[Path]:
    """Makes a hidden folder beside the target, which becomes the target at the end or goes."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise errors.UserError(f"`{target.parent}` cannot be written: {error.strerror}.") from error
    try:
        yield partial
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
