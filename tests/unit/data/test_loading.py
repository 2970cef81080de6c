"""Loading in threads: the order stays, bad examples are listed, and what fails for another reason stops it."""

import dataclasses
import threading
import time

import pytest

from data import errors, example_rules, loading, progress, sources
from data.sources import annotated
from tests.memory_source import MemorySource, record


class Slow(MemorySource):
    """Notes the threads that load, and makes early items the slowest."""

    def __init__(self, records):
        super().__init__(records)
        self.threads = set()

    def load(self, item):
        self.threads.add(threading.get_ident())
        time.sleep(0.002 * (item.index % 3 == 0))
        return super().load(item)


def test_the_order_stays_and_several_threads_load(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    source = Slow({"train": [record(f"{number:03d}") for number in range(100)]})
    assert [each.source_id for each in loading.load_items(source, source.items("train"))] == [
        f"{number:03d}" for number in range(100)
    ]
    assert 1 < len(source.threads) <= 3


def test_bad_examples_are_listed_and_counted_as_done():
    bad = errors.BadExampleError("b.jpg", "not an image")
    source = MemorySource({"train": [record("a"), bad, record("c")]})
    left_out, done = [], []
    with progress.listen(lambda kind, fields: done.append((fields["done"], fields["total"]))):
        assert [each.source_id for each in loading.load_split(source, "train", left_out)] == ["a", "c"]
    assert left_out == [{"file": "b.jpg", "reason": "not an image"}]
    assert done == [(1, 3), (2, 3), (3, 3)]


def test_what_was_mended_and_sizes_that_differ_are_said_at_the_end():
    changed = [
        dataclasses.replace(record("a"), mended=(annotated.OTHER_SIZE,)),
        dataclasses.replace(record("b"), mended=(annotated.OTHER_SIZE, example_rules.CLIPPED)),
    ]
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields.get("text"))):
        assert len(list(loading.load_split(MemorySource({"train": changed}), "train", []))) == 2
    assert notes[-2:] == [
        f"Mended 1 time in train: {example_rules.CLIPPED}.",
        f"Noticed 2 times in train: {annotated.OTHER_SIZE}.",
    ]


def test_another_error_stops_it_and_no_thread_stays():
    class Broken(MemorySource):
        def load(self, item):
            if item.index == 20:
                raise ZeroDivisionError
            return super().load(item)

    source = Broken({"train": [record(str(number)) for number in range(50)]})
    with pytest.raises(ZeroDivisionError):
        list(loading.load_items(source, source.items("train")))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("load-examples")]


def test_who_stops_taking_stops_the_loading():
    source = Slow({"train": [record(str(number)) for number in range(200)]})
    loaded = loading.load_items(source, source.items("train"))
    next(loaded)
    loaded.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("load-examples")]


def test_tiles_loaded_in_threads_are_those_of_their_image():
    """An image is decoded once for its tiles; threads must not take one another's."""
    source = sources.open_source(
        "road_scenes:train=12,val=1,test=1,size=64x64", sources.DataOptions(tile="2x2"), ["train"]
    )
    items = source.items("train")
    expected = [source.load(item) for item in items]
    for found, wanted in zip(loading.load_items(source, items), expected, strict=True):
        assert (found.source_id, found.encoded) == (wanted.source_id, wanted.encoded)
