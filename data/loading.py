"""Loads many examples in order and in several threads: decoding an image leaves the interpreter to the others."""

import collections
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, TypeVar

from data import errors, progress
from data.examples import DetectionRecord
from data.sources import annotated, base

T = TypeVar("T")

_ITEMS_PER_TASK = 8  # neighbours stay in one thread: the tiles of an image share its decoding
_MOST_THREADS = 16  # the rest of the work is one thread's; more would only hold more images in memory


def load_items(source: base.Source, items: Sequence[Any]) -> Iterator[DetectionRecord | errors.BadExampleError]:
    """Loads examples, as `read_items`.

    Args:
        source: the items come from.
        items: of one split.

    Yields:
        For each item, in order, the example, or why it is unusable.
    """
    yield from read_items(source.load, items)


def read_items(read: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T | errors.BadExampleError]:
    """Reads items, one thread a core, a few ahead of what is taken: memory does not grow with their number.

    Args:
        read: takes an item; called in several threads at once.
        items: what to read.

    Yields:
        For each item, in order, what was read, or the `BadExampleError` that was raised.
    """
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    tasks = (items[start : start + _ITEMS_PER_TASK] for start in range(0, len(items), _ITEMS_PER_TASK))
    with futures.ThreadPoolExecutor(threads, thread_name_prefix="load-examples") as pool:
        running = collections.deque(pool.submit(_read, read, task) for task in itertools.islice(tasks, threads + 1))
        try:
            while running:
                results = running.popleft().result()
                running.extend(pool.submit(_read, read, task) for task in itertools.islice(tasks, 1))
                yield from results
        finally:
            pool.shutdown(cancel_futures=True)


def load_split(source: base.Source, split: str, left_out: list[dict[str, str]]) -> Iterator[DetectionRecord]:
    """Loads the usable examples of a split, reports progress, and says at the end what was mended.

    Args:
        source: the dataset.
        split: one of its splits.
        left_out: gets file and reason of each unusable example.

    Yields:
        The others, in the source's order.
    """
    items, mended = source.items(split), collections.Counter()
    for done, loaded in enumerate(load_items(source, items), start=1):
        if isinstance(loaded, errors.BadExampleError):
            row = {"file": loaded.file, "reason": loaded.reason}
            if left_out[-1:] != [row]:  # the tiles of an image, one after another, say the same
                left_out.append(row)
        else:
            mended.update(loaded.mended)
            yield loaded
        progress.emit("ingest", done=done, total=len(items))
    say_mended(mended, f" in {split}")


def say_mended(mended: Mapping[str, int], where: str = "") -> None:
    """Says what was mended in examples, or only noticed, one note a kind.

    Args:
        mended: how often each thing was, by what it is, as `DetectionRecord.mended` words it.
        where: continues "3 times", as " in train".
    """
    for what, count in sorted(mended.items()):
        done = "Noticed" if what == annotated.OTHER_SIZE else "Mended"
        progress.emit("note", text=f"{done} {count} time{'s' if count > 1 else ''}{where}: {what}.")


def _read(read: Callable[[Any], T], items: Sequence[Any]) -> list[T | errors.BadExampleError]:
    results: list[T | errors.BadExampleError] = []
    for item in items:
        try:
            results.append(read(item))
        except errors.BadExampleError as error:
            results.append(error)
    return results
