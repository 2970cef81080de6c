"""What `data.checks` is made of; whole broken datasets are in test_broken_corpus.py."""

import io
import itertools
import pickle

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from data import errors, example_rules, progress, sources
from data.checks import dataset, findings, image_headers, similar_images
from tests import coco_folder

HIT_UAV = "hituav_night_dev"


def encode(image, image_format="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def bits_apart(first, second):
    return (similar_images.recognise(first).hash ^ similar_images.recognise(second).hash).bit_count()


def copies(image):
    """Yields what becomes of a picture on its way into another dataset."""
    width, height = image.size
    noise = np.random.default_rng(0).normal(0, 6, (height, width))
    yield encode(image, quality=30)
    yield encode(image.resize((width // 2, height // 2)), "PNG")
    yield encode(ImageEnhance.Brightness(image).enhance(1.2))
    yield encode(Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)), "PNG")


@pytest.fixture(scope="module")
def night(shared_data):
    """Reads 43 of the real thermal images, of different recordings and moments, by path inside their folder."""
    paths = sorted((shared_data / HIT_UAV).glob("*/*.jpg"))[::10]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


def test_copies_of_real_night_images_are_nearly_the_same(night):
    apart = [
        bits_apart(encoded, copy)
        for encoded in list(night.values())[::4]
        for copy in copies(Image.open(io.BytesIO(encoded)).convert("L"))
    ]
    assert np.mean(np.array(apart) <= similar_images.SIMILAR_BITS) >= 0.95


def test_different_real_night_images_are_not(night):
    hashes = {name: similar_images.recognise(encoded).hash for name, encoded in night.items()}
    apart = [
        (hashes[first] ^ hashes[second]).bit_count()
        for first, second in itertools.combinations(hashes, 2)
        if first.rsplit("_", 1)[0] != second.rsplit("_", 1)[0]
    ]
    assert len(apart) > 500
    assert min(apart) > similar_images.SIMILAR_BITS + 3


def test_scaled_decoding_of_jpeg_changes_hardly_a_bit():
    rows, columns = np.mgrid[:480, :640]
    waves = sum(np.sin(rows / (30 + 9 * n) + columns / (25 + 7 * n) + n) for n in range(5))
    image = Image.fromarray((127 + 25 * waves).astype(np.uint8))
    assert bits_apart(encode(image, "PNG"), encode(image, quality=90)) <= 2


@pytest.mark.parametrize("level", [0, 30, 255])
def test_a_picture_of_one_colour_has_no_hash(level):
    assert similar_images.recognise(encode(Image.new("RGB", (64, 48), (level,) * 3))).hash is None


@pytest.mark.parametrize("num_keys", [0, 1, 20_000])
def test_nearest_hashes_are_those_of_brute_force(num_keys):
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 2**64, num_keys, np.uint64)
    queries = rng.integers(0, 2**64, 70, np.uint64)
    for row in range(min(num_keys, 40)):  # 0 to 7 bits away from a key
        queries[row] = keys[row * num_keys // 40] ^ np.uint64(2 ** (row % 8) - 1)
    nearest, apart = similar_images.nearest_hashes(queries, keys, most_bits=4)
    for row, query in enumerate(queries):
        bits = np.array([(int(query) ^ int(key)).bit_count() for key in keys[:: max(num_keys // 400, 1)]] or [64])
        assert (nearest[row] >= 0) == (apart[row] <= 4)
        if nearest[row] >= 0:
            assert (int(query) ^ int(keys[nearest[row]])).bit_count() == apart[row] <= bits.min()
        else:
            assert bits.min() > 4
    assert (nearest >= 0).sum() == sum(row % 8 <= 4 for row in range(min(num_keys, 40)))


@pytest.mark.parametrize(
    ("names", "splits", "pairs"),
    [
        (["a_1.jpg", "a_2.jpg"], "tv", [(0, 1)]),
        (["a_2.jpg", "a_1.jpg"], "tv", [(0, 1)]),
        (["a_1.jpg", "a_2.jpg"], "tt", []),
        (["a_1.jpg", "b_2.jpg"], "tv", []),
        (["a_9.jpg", "a_10.jpg", "a_100.jpg"], "tvt", [(0, 1), (2, 1)]),
        (["a_001_ir.png", "a_002_ir.png", "a_002_rgb.png"], "tvv", [(0, 1)]),
        (["train/drive/7.jpg", "valid/drive/8.jpg"], "tv", [(0, 1)]),
        (["drive1/7.jpg", "drive2/8.jpg"], "tv", []),
        (["f_3_jpg.rf." + "a" * 32 + ".jpg", "f_4_jpg.rf." + "1" * 32 + ".jpg"], "tv", [(0, 1)]),
        (["street.jpg", "road.jpg"], "tv", []),
    ],
)
def test_neighbours_are_told_by_the_numbers_in_their_names(names, splits, pairs):
    assert similar_images.neighbours(names, splits) == pairs


def test_each_leak_is_reported_once_as_its_worst():
    one, other, third = (coco_folder.image_bytes(seed) for seed in (1, 2, 3))
    gallery = similar_images.Gallery()
    near = encode(Image.open(io.BytesIO(one)), quality=50)
    for split, name, encoded in (
        ("train", "a_1", one),
        ("train", "copy", one),
        ("train", "b", other),
        ("val", "a_2", one),
        ("test", "a_3", near),
        ("test", "c", third),
    ):
        gallery.add(split, name, similar_images.recognise(encoded))
    found = []
    gallery.find_leaks(lambda kind, index, detail: found.append((kind, gallery.path(index), detail.split(" (")[0])))
    assert found == [
        ("repeated_picture", "train/copy", "as train/a_1"),
        ("same_picture", "val/a_2", "as train/a_1"),
        ("similar_picture", "test/a_3", "like train/a_1"),
    ]


def test_findings_count_all_and_keep_the_first():
    counted, kept = findings.Findings(), findings.Findings(keep_all=True)
    for gathered in (counted, kept):
        for number in range(5):
            gathered.add("box_clipped", "train", f"{number}.jpg")
        gathered.add("made_up", "val", "x.jpg", "odd")
        gathered.add("empty_image", "val", "y.jpg")
        assert gathered.kinds() == ["empty_image", "made_up", "box_clipped"]
        assert gathered.count("box_clipped") == 5
        assert gathered.worst() is findings.Severity.QUARANTINED
    assert [len(gathered.examples("box_clipped")) for gathered in (counted, kept)] == [3, 5]
    row = kept.to_json()[1]
    assert (row["kind"], row["severity"], row["title"]) == ("made_up", "warning", "made up")
    assert row["examples"] == [{"split": "val", "file": "x.jpg", "detail": "odd"}]
    assert findings.Findings().worst() is None


@pytest.mark.parametrize("box", [[1, 2, np.nan, 4], [9, 2, -5, 4], [1, 2, 0, 4], [90, 2, 5, 4], [64, 1, 0.5, 4]])
def test_an_error_about_a_box_says_its_kind(box):
    (broken,) = example_rules.broken_boxes(np.array([box]), 48, 64)
    assert broken.kind in example_rules.BROKEN_BOX_KINDS
    with pytest.raises(errors.BadExampleError) as caught:
        example_rules.check_boxes(np.array([box]), 48, 64, "a.jpg")
    assert pickle.loads(pickle.dumps(caught.value)).kind == broken.kind


def test_headers_are_read_without_pixels():
    encoded = encode(Image.new("P", (64, 48)), "PNG", transparency=0)
    header = image_headers.read_header(io.BytesIO(encoded[:-20]))
    assert (header.format, header.mode, header.size, header.is_transparent) == ("PNG", "P", (48, 64), True)
    assert [kind for kind, _ in header.facts("a.jpeg")] == ["palette_image", "transparent_image", "renamed_image"]
    assert image_headers.read_header(io.BytesIO(b"no image")) is None


def test_sources_without_files_are_checked_too():
    source = sources.open_source("road_scenes:train=6,val=2,test=2,size=96x96", sources.DataOptions(classes=("car",)))
    events = []
    with progress.listen(lambda kind, fields: events.append((kind, fields))):
        report = dataset.check(source)
    assert report.is_usable
    assert {split: totals.num_images for split, totals in report.totals.items()} == {"train": 6, "val": 2, "test": 2}
    boxes = sum(len(source.load(item).labels) for item in source.items("train"))
    assert report.totals["train"].num_boxes.tolist() == [boxes]
    assert events[-1] == ("ingest", {"done": 10, "total": 10})


def test_a_bad_example_of_any_source_is_counted(monkeypatch):
    source = sources.open_source("road_scenes:train=3,val=2,test=2,size=96x96")
    load, broken = type(source).load, source.items("val")[0].source_id

    def load_but_one(self, item):
        if item.source_id == broken:
            raise errors.BadExampleError("some.tfrecord", "empty file (0 bytes)", "empty_image")
        return load(self, item)

    monkeypatch.setattr(type(source), "load", load_but_one)
    report = dataset.check(source)
    assert not report.is_usable
    assert report.totals["val"].num_good == 1
    assert [str(one) for one in report.findings.examples("empty_image")] == [f"{broken}: empty file (0 bytes)"]


def test_ctrl_c_ends_it(monkeypatch):
    source = sources.open_source("road_scenes:train=3,val=2,test=2,size=96x96")

    def interrupt(kind, **fields):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "emit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        dataset.check(source)


def test_the_real_night_set_is_sound_and_its_splits_do_not_leak(shared_data):
    report = dataset.check(sources.open_source(f"coco:{shared_data / HIT_UAV}"))
    assert report.findings.kinds() == ["uneven_class"]
    assert "OtherVehicle: boxes: train 13, val 0, test 0" in str(report.findings.examples("uneven_class")[0])
    assert {split: totals.num_good for split, totals in report.totals.items()} == {"train": 318, "val": 31, "test": 72}


def test_dividing_the_real_night_set_by_chance_leaks_and_by_recording_does_not(shared_data):
    leaks = {"similar_picture", "neighbouring_frames"}
    shares = {"splits": (0.7, 0.15, 0.15)}
    spec = f"coco:{shared_data / HIT_UAV}"
    by_chance = dataset.check(sources.open_source(spec, sources.DataOptions(**shares)))
    assert leaks <= set(by_chance.findings.kinds())
    assert sum(by_chance.findings.count(kind) for kind in leaks) > 40
    by_recording = dataset.check(sources.open_source(spec, sources.DataOptions(**shares, group_by="^(.*)_")))
    assert not leaks & set(by_recording.findings.kinds())


def kinds_of(spec, **options):
    report = dataset.check(sources.open_source(spec, sources.DataOptions(**options), []))
    return report.findings.kinds(), report.is_usable


def test_what_a_run_cannot_start_with_is_found(tmp_path):
    spec = "road_scenes:train=3,val=2,test=2,size=96x96"
    assert kinds_of(spec, min_box_px=90) == (["no_objects", *kinds_of(spec, min_box_px=90)[0][1:]], False)
    found, is_usable = kinds_of(spec, splits=(1.0, 0.0, 0.0))
    assert ("missing_split" in found, "refused" in found, is_usable) == (True, True, False)
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(3), val=coco_folder.table(1))
    (root / "val" / "0.jpg").write_bytes(b"")
    found, is_usable = kinds_of(f"coco:{root}")
    assert ("empty_split" in found, is_usable) == (True, False)


def test_regions_to_ignore_are_counted_once(tmp_path):
    report = dataset.check(
        sources.open_source("road_scenes:train=3,val=2,test=2,size=96x96", sources.DataOptions(min_box_px=90))
    )
    assert report.totals["train"].num_boxes.sum() == 0
    assert report.totals["train"].num_ignored > 3


def test_class_names_that_differ_in_case_only_are_found(tmp_path):
    tables = {split: coco_folder.table(2, categories={1: "Car", 2: "car"}) for split in ("train", "val", "test")}
    root = coco_folder.write(tmp_path / "set", **tables)
    report = dataset.check(sources.open_source(f"coco:{root}"))
    assert [one.file for one in report.findings.examples("similar_class")] == ["Car and car"]
