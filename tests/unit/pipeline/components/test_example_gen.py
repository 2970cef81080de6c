import csv
import errno
import gzip
import json
import pathlib

import apache_beam as beam
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import standard_artifacts

from data import errors, examples, progress, sources
from pipeline.components import example_gen, ingest
from tests import coco_folder

FN_API = {"runner": "FnApiRunner"}


def ingest_dataset(root, dataset, options=None, beam_options=None):
    """Runs the executor as TFX does; returns the artifact."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(root / "examples")
    context = example_gen.Executor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(
            options=beam.options.pipeline_options.PipelineOptions(**FN_API | (beam_options or {}))
        )
    )
    component = example_gen.DetectionExampleGen(
        dataset=dataset, fingerprint="f", options=options, report_dir=str(root / "report")
    )
    example_gen.Executor(context).Do({}, {"examples": [artifact]}, component.exec_properties)
    return artifact


def read_split(artifact, split):
    files = sorted(str(path) for path in pathlib.Path(artifact.uri, f"Split-{split}").iterdir())
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return [examples.decode_example(record) for record in records]


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def folder(tmp_path):
    """A dataset of 40 + 3 + 2 images."""
    tables = {split: coco_folder.table(count) for split, count in (("train", 40), ("val", 3), ("test", 2))}
    return coco_folder.write(tmp_path / "set", **tables)


def test_a_source_becomes_records_tensorflow_reads(tmp_path, folder):
    events = []
    with progress.listen(lambda kind, fields: events.append((kind, fields))):
        artifact = ingest_dataset(tmp_path, f"coco:{folder}")
    source = sources.open_source(f"coco:{folder}")
    for split in source.splits:
        items = source.items(split)
        records = read_split(artifact, split)
        assert [record.source_id for record in records] == [item.source_id for item in items]
        for record, item in zip(records, items, strict=True):
            assert record.encoded == (folder / split / item.source_id).read_bytes()
            assert record.boxes.tolist() == source.load(item).boxes.tolist()
    assert json.loads(pathlib.Path(artifact.uri, "dataset.json").read_text()) == {
        "class_names": ["car", "person"],
        "spec": f"coco:{folder}",
        "fingerprint": source.fingerprint(),
        "num_examples": {"train": 40, "val": 3, "test": 2},
        "num_boxes": {"train": 40, "val": 3, "test": 2},
        "num_quarantined": {"train": 0, "val": 0, "test": 0},
        "mended": {},
        "max_boxes": 1,
    }
    assert read_rows(pathlib.Path(artifact.uri, "quarantine.csv")) == [["split", "file", "reason"]]
    assert sorted(path.name for path in pathlib.Path(artifact.uri).iterdir()) == [
        *("Split-test", "Split-train", "Split-val"),
        *("dataset.json", "quarantine.csv"),
    ]
    assert json.loads(artifact.split_names) == ["train", "val", "test"]
    assert artifact.get_int_custom_property("span") == 0
    assert artifact.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert artifact.get_string_custom_property("file_format") == "tfrecords_gzip"
    assert events[-1] == ("ingest", {"done": 45, "total": 45})


def test_one_bad_example_of_forty_goes_to_quarantine_and_the_rest_goes_on(tmp_path, folder):
    (folder / "train" / "7.jpg").write_bytes(b"")
    artifact = ingest_dataset(tmp_path, f"coco:{folder}")
    assert len(read_split(artifact, "train")) == 39
    assert read_rows(pathlib.Path(artifact.uri, "quarantine.csv")) == [
        ["split", "file", "reason"],
        ["train", str(folder / "train" / "7.jpg"), "empty file (0 bytes)"],
    ]
    description = json.loads(pathlib.Path(artifact.uri, "dataset.json").read_text())
    assert description["num_examples"]["train"] == 39
    assert description["num_quarantined"] == {"train": 1, "val": 0, "test": 0}
    copy = tmp_path / "report" / "quarantine.csv"  # where the user looks while the run continues
    assert copy.read_text() == pathlib.Path(artifact.uri, "quarantine.csv").read_text()


def test_more_than_five_per_cent_bad_stop_the_run(tmp_path, folder):
    for number in range(4):
        (folder / "train" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(errors.UserError) as caught:
        ingest_dataset(tmp_path, f"coco:{folder}")
    files = [str(folder / "train" / f"{number}.jpg") for number in range(4)]
    report = tmp_path / "report" / "quarantine.csv"
    assert str(caught.value) == (
        f"4 of 40 images of split train of `coco:{folder}` are bad,"
        " more than the 5% that a run continues with:"
        f" {files[0]}: empty file (0 bytes); {files[1]}: empty file (0 bytes);"
        f" {files[2]}: empty file (0 bytes)."
        f" Mend or remove them; all are listed in {report}."
    )
    assert read_rows(report)[1:] == [["train", file, "empty file (0 bytes)"] for file in files]


def test_one_bad_example_stops_no_split_however_small(tmp_path, folder):
    for name in ("0.jpg", "1.jpg"):
        (folder / "val" / name).write_bytes(b"")
        if name == "0.jpg":
            assert len(read_split(ingest_dataset(tmp_path / "first", f"coco:{folder}"), "val")) > 0
    with pytest.raises(errors.UserError, match="2 of . images of split val .* are bad"):
        ingest_dataset(tmp_path / "second", f"coco:{folder}")


def test_a_train_split_without_boxes_stops_the_run(tmp_path, folder):
    with pytest.raises(errors.UserError, match=r"Split train .* has no box of person\. Check the annotations"):
        ingest_dataset(tmp_path, f"coco:{folder}", sources.DataOptions(classes=("person",)))


@pytest.mark.parametrize(("split", "reason"), [("val", "no settings can be told apart"), ("test", "be judged")])
@pytest.mark.parametrize("is_crowd", [False, True])
def test_a_split_without_objects_stops_the_run_before_anything_is_trained(tmp_path, folder, split, reason, is_crowd):
    path = folder / f"{split}.json"
    content = json.loads(path.read_text())
    content["annotations"] = [one | {"iscrowd": 1} for one in content["annotations"]] if is_crowd else []
    path.write_text(json.dumps(content))
    with pytest.raises(errors.UserError, match=rf"Split {split} .* has no box of .*, so that .*{reason}"):
        ingest_dataset(tmp_path, f"coco:{folder}")


def test_a_full_disk_stops_the_run_with_one_line(tmp_path, folder, monkeypatch):
    def full(data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ingest.tfrecord_files, "frame", full)
    with pytest.raises(errors.UserError, match=r"The disk that holds .*examples is full\. Free some space"):
        ingest_dataset(tmp_path, f"coco:{folder}")


def test_a_mistake_in_the_code_is_not_taken_for_bad_data(tmp_path, folder, monkeypatch):
    def broken(data):
        raise KeyError("a bug")

    monkeypatch.setattr(ingest.tfrecord_files, "frame", broken)
    with pytest.raises(KeyError):
        ingest_dataset(tmp_path, f"coco:{folder}")


@pytest.mark.parametrize(
    "beam_options",
    [
        {"direct_running_mode": "multi_threading", "direct_num_workers": 2},
        {"runner": "BundleBasedDirectRunner"},
    ],
)
def test_equal_data_gives_equal_files_whoever_works(tmp_path, beam_options):
    spec = "road_scenes:train=70,val=2,test=2,size=32x48"
    contents = []
    for run in ("first", "second"):
        artifact = ingest_dataset(tmp_path / run, spec, beam_options=beam_options if run == "second" else None)
        files = sorted(path for path in pathlib.Path(artifact.uri).rglob("*") if path.is_file())
        contents.append({str(path.relative_to(artifact.uri)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert "Split-train/data_tfrecord-00001-of-00002.gz" in contents[0]


def test_shards_hold_64_items_or_number_256_or_hold_4096():
    shards = ingest.plan_shards("train", list(range(130)), "/folder")
    assert [len(shard.items) for shard in shards] == [64, 64, 2]
    assert shards[2].path == "/folder/data_tfrecord-00002-of-00003.gz"
    shards = ingest.plan_shards("train", list(range(100_000)), "/folder")
    assert len(shards) == 256
    assert [item for shard in shards for item in shard.items] == list(range(100_000))
    many = range(1_200_000)
    shards = ingest.plan_shards("train", many, "/folder")
    assert {len(shard.items) for shard in shards} == {4096, len(many) % 4096}


def test_files_carry_no_time_stamp(tmp_path, folder):
    artifact = ingest_dataset(tmp_path, f"coco:{folder}")
    file = next(pathlib.Path(artifact.uri, "Split-val").iterdir())
    assert file.read_bytes()[4:8] == bytes(4)
    assert gzip.decompress(file.read_bytes())


def test_what_a_lost_worker_left_unfinished_is_gone_in_the_end(tmp_path, folder):
    """Beam tries its bundle again; TFX would read all files of a split's folder, and fail at this one."""
    examples_dir = tmp_path / "examples"
    (examples_dir / "Split-train").mkdir(parents=True)
    for name in ("Split-train/data_tfrecord-00000-of-00001.gz.0123abcd.tmp", "summaries.json.0123abcd.tmp"):
        (examples_dir / name).write_bytes(b"half of it")
    artifact = ingest_dataset(tmp_path, f"coco:{folder}")
    assert len(read_split(artifact, "train")) == 40
    assert not list(examples_dir.rglob("*.tmp"))


def test_every_parameter_is_part_of_the_cache_key():
    def properties(**changes):
        arguments = {"dataset": "road_scenes", "fingerprint": "f", "options": None, "source_hash": "h"}
        return example_gen.DetectionExampleGen(**arguments | changes).exec_properties

    changes = [
        {"dataset": "d"},
        {"fingerprint": "g"},
        {"options": sources.DataOptions(classes=("car",))},
        {"source_hash": "i"},
    ]
    seen = {json.dumps(properties(**change)) for change in [{}, *changes]}
    assert len(seen) == 5


def test_a_question_about_one_image_stops_the_run_and_names_the_option(tmp_path, folder):
    path = folder / "train" / "3.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: the size does not tell which way up the boxes are
    Image.open(path).save(path, exif=exif)
    with pytest.raises(errors.UserError, match=r"3.jpg: EXIF orientation 3 .*--exif=apply.*--exif=ignore"):
        ingest_dataset(tmp_path / "auto", f"coco:{folder}")
    artifact = ingest_dataset(tmp_path / "apply", f"coco:{folder}", sources.DataOptions(exif="apply"))
    (mended,) = json.loads(pathlib.Path(artifact.uri, "dataset.json").read_text())["mended"].values()
    assert mended == 1


def test_a_bad_image_of_a_tiled_dataset_is_listed_once(tmp_path, folder):
    (folder / "train" / "3.jpg").write_bytes(b"")
    artifact = ingest_dataset(tmp_path, f"coco:{folder}", sources.DataOptions(tile="2x2"))
    rows = read_rows(pathlib.Path(artifact.uri, "quarantine.csv"))
    assert rows[1:] == [["train", str(folder / "train" / "3.jpg"), "empty file (0 bytes)"]]
    assert len(read_split(artifact, "train")) == 39 * 4
    assert len(read_split(artifact, "test")) == 2


def test_one_bad_image_of_a_small_tiled_split_stops_nothing(tmp_path, folder):
    """It is bad in all of its tiles, which are one file."""
    (folder / "val" / "0.jpg").write_bytes(b"")
    artifact = ingest_dataset(tmp_path, f"coco:{folder}", sources.DataOptions(tile="2x2"))
    assert len(read_split(artifact, "val")) > 0


def test_tiles_do_not_dilute_the_share_of_bad_images(tmp_path, folder):
    for file in sorted((folder / "train").iterdir())[:3]:
        file.write_bytes(b"")
    options = sources.DataOptions(tile="3x3")
    with pytest.raises(errors.UserError, match=r"3 of 40 images of split train .* more than the 5%"):
        ingest_dataset(tmp_path, f"coco:{folder}", options)
    rows = read_rows(tmp_path / "report" / "quarantine.csv")
    assert len(rows) == 1 + 3  # one row a file, though tiles of one lie in two shards
