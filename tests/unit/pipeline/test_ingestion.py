"""Examples without TFX: written once, only the splits asked for, and stopped by what stops a run."""

import pytest

from data import dataset_info, errors, examples, input_pipeline
from pipeline import ingestion
from tests.memory_source import MemorySource, record


def source(val=None, bad: int = 0) -> MemorySource:
    good = [record(f"image {number}") for number in range(30)]
    lost = [errors.BadExampleError(f"{number}.jpg", "empty file (0 bytes)") for number in range(bad)]
    return MemorySource({"train": [*good, *lost], "val": val or good[:2], "test": [record("hidden")]})


def test_the_splits_asked_for_are_written_once(tmp_path) -> None:
    info = ingestion.examples(source(), tmp_path / "set", ("train", "val"))
    assert info.num_examples == {"train": 30, "val": 2}
    assert not dataset_info.split_files(tmp_path / "set", "test")
    files = dataset_info.split_files(tmp_path / "set", "train")
    records = list(input_pipeline.read_records(files))
    assert isinstance(records[0], examples.DetectionRecord)
    assert [one.source_id for one in records] == [f"image {number}" for number in range(30)]
    written = (tmp_path / "set" / "Split-train").stat().st_mtime_ns
    assert ingestion.examples(source(), tmp_path / "set", ("train", "val")) == info
    assert (tmp_path / "set" / "Split-train").stat().st_mtime_ns == written


def test_a_bad_example_is_left_out_and_named(tmp_path) -> None:
    info = ingestion.examples(source(bad=1), tmp_path, ("train", "val"))
    assert info.num_quarantined["train"] == 1
    assert "train,0.jpg,empty file (0 bytes)" in (tmp_path / "quarantine.csv").read_text()


def test_a_val_split_without_objects_stops_and_a_second_start_says_the_same(tmp_path) -> None:
    empty = source(val=[record("none", xywh_px=(), labels=())])
    for _ in range(2):
        with pytest.raises(
            errors.UserError, match="Split val .* has no box of car, person, so that no settings can be"
        ):
            ingestion.examples(empty, tmp_path, ("train", "val"))
