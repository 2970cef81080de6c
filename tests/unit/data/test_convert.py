import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import boxes as box_forms
from data import convert, errors, image_decoding, image_names, progress, writers
from data.sources import base, box_units, coco, tfrecord, voc, yolo
from tests import coco_folder
from tests.memory_source import MemorySource, record

READERS = {
    "coco": coco.CocoSource,
    "voc": voc.VocSource,
    "yolo": yolo.YoloSource,
    "tfrecord": tfrecord.TfrecordSource,
}


def reopen(kind, folder):
    return READERS[kind].open(f"{kind}:{folder}", str(folder), base.ReadOptions())


def records_of(source, split):
    return {item.source_id: source.load(item) for item in source.items(split)}


def assert_same(one, other, *, crowd=True, area=True):
    keep = slice(None) if crowd else ~one.is_crowd
    assert one.encoded == other.encoded
    assert (one.image_format, one.height, one.width) == (other.image_format, other.height, other.width)
    np.testing.assert_array_equal(one.boxes[keep], other.boxes)
    np.testing.assert_array_equal(one.labels[keep], other.labels)
    np.testing.assert_array_equal(one.is_crowd[keep], other.is_crowd)
    if area:
        np.testing.assert_allclose(one.area_px[keep], other.area_px, rtol=1e-5)
    assert other.mended == ()


def tricky_coco(root):
    """A COCO folder with fractions of pixels, an empty image, a crowd box, a mask's area, PNG and JPEG."""
    boxes = [[4, 5, 20, 10], [0, 0, 64, 48], [1 / 3, 2 / 7, 10.123456, 30.987654], [63.2, 47.1, 0.8, 0.9]]
    rows = [coco_folder.annotation(n, box, category_id=1 + n % 2) for n, box in enumerate(boxes)]
    rows.append(coco_folder.annotation(0, [7, 7, 7, 7], 2, iscrowd=1))
    rows.append(coco_folder.annotation(0, [8.25, 7.5, 9, 9], 1, area=33.125))
    for number, row in enumerate(rows):
        row["id"] = number
    train = coco_folder.table(5, rows)
    val = coco_folder.table(2)
    for image in val["images"]:
        image["file_name"] = f"v{image['file_name']}"
    coco_folder.write(root, train=train, val=val)
    (root / "train" / "3.jpg").write_bytes(coco_folder.image_bytes(3, mode="RGB"))
    return coco.CocoSource.open(f"coco:{root}", str(root), base.ReadOptions())


@pytest.mark.parametrize("kind", convert.FORMATS)
def test_coco_to_each_format_and_back_keeps_what_both_can_say(tmp_path, kind):
    original = tricky_coco(tmp_path / "coco")
    result = convert.convert(original, kind, tmp_path / "there")
    there = reopen(kind, tmp_path / "there")
    convert.convert(there, "coco", tmp_path / "back")
    back = reopen("coco", tmp_path / "back")
    assert result.num_images == {"train": 5, "val": 2}
    assert result.num_boxes == {"train": 5, "val": 2}
    assert result.num_ignored == {"train": 1, "val": 0}
    for copy in (there, back):
        assert copy.splits == original.splits
        assert copy.class_names == original.class_names
        for split in original.splits:
            wanted, found = records_of(original, split), records_of(copy, split)
            assert found.keys() == wanted.keys()
            for name in wanted:
                says_area = kind in ("coco", "tfrecord")
                assert_same(wanted[name], found[name], crowd=kind != "yolo", area=says_area)
    lost = {"voc": {writers.AREA: 1}, "yolo": {writers.AREA: 1, writers.CROWD: 1}}
    assert result.lost == lost.get(kind, {})
    assert result.num_renamed == 0


@pytest.mark.parametrize("kind", convert.FORMATS)
def test_one_example_twice_converted_gives_equal_files(tmp_path, kind):
    source = MemorySource({"train": [record("a.jpg"), record("b.jpg", seed=1)]})
    for name in ("one", "two"):
        convert.convert(source, kind, tmp_path / name)
    files = {
        name: {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    }
    for content in files.values():
        del content[convert.SUMMARY_NAME]  # names its own folder
    assert files["one"] == files["two"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("coco", {"a.jpg", "x.png", "seq/x.jpg", "x-2.png", "b.jpeg", "up.jpg", "v1.2.jpg"}),
        ("yolo", {"a.jpg", "x.png", "seq/x.jpg", "x-2.png", "b.jpeg", "up.jpg", "v1.2.jpg"}),
        ("voc", {"a.jpg", "x.png", "seq_x.jpg", "x-2.png", "b.jpeg", "up.jpg", "v1.2.jpg"}),
        ("tfrecord", {"a", "x.jpg", "seq/x", "x.png", "b.jpeg", "../up.jpg", "v1.2"}),
    ],
)
def test_any_id_becomes_a_file_of_its_own_with_the_right_suffix(tmp_path, kind, names):
    ids = ["a", "x.jpg", "seq/x", "x.png", "b.jpeg", "../up.jpg", "v1.2"]
    formats = ["JPEG", "PNG", "JPEG", "PNG", "JPEG", "JPEG", "JPEG"]
    examples = [record(i, seed=n, image_format=f) for n, (i, f) in enumerate(zip(ids, formats, strict=True))]
    result = convert.convert(MemorySource({"train": examples}, ["car"]), kind, tmp_path / "out")
    found = records_of(reopen(kind, tmp_path / "out"), "train")
    assert found.keys() == names
    assert {r.encoded for r in found.values()} == {r.encoded for r in examples}
    assert result.num_renamed == (0 if kind == "tfrecord" else 6)


@pytest.mark.parametrize("kind", convert.FORMATS)
def test_splits_that_share_an_id_keep_both_images(tmp_path, kind):
    source = MemorySource({"train": [record("1.jpg")], "val": [record("1.jpg", seed=1)]}, ["car"])
    convert.convert(source, kind, tmp_path / "out")
    copy = reopen(kind, tmp_path / "out")
    for split in ("train", "val"):
        (found,) = records_of(copy, split).values()
        assert_same(source.load(source.items(split)[0]), found)


@pytest.mark.parametrize("kind", ["coco", "voc", "tfrecord"])
def test_a_region_that_every_class_ignores_stays_one(tmp_path, kind):
    both = record(
        "a.jpg", [(4, 5, 20, 10), (30, 9, 9, 9), (30, 9, 9, 9), (1, 1, 5, 5)], (1, 0, 1, 0), [False, True, True, False]
    )
    source = MemorySource({"train": [both]})
    convert.convert(source, kind, tmp_path / "out")
    found = records_of(reopen(kind, tmp_path / "out"), "train")["a.jpg"]
    assert_same(both, found)
    if kind == "voc":
        tree = ElementTree.parse(tmp_path / "out" / "Annotations" / "a.xml")
        assert [node.text for node in tree.iter("name")] == ["person", "DontCare", "car"]
        assert [node.text for node in tree.iter("difficult")] == ["0", "1", "0"]


def test_yolo_counts_a_region_that_every_class_ignores_once(tmp_path):
    example = record("a.jpg", [(30, 9, 9, 9)] * 2 + [(1, 1, 5, 5)] * 2, (0, 1, 0, 1), [True, True, True, False])
    result = convert.convert(MemorySource({"train": [example]}), "yolo", tmp_path / "out")
    assert result.lost == {writers.CROWD: 2}
    assert (tmp_path / "out/labels/train/a.txt").read_text().split()[0] == "1"


def test_voc_counts_what_a_list_of_classes_would_say(tmp_path):
    source = MemorySource({"train": [record("a.jpg", [(1, 1, 5, 5), (2, 2, 5, 5)], (0, 1))]}, ["person", "car", "bus"])
    result = convert.convert(source, "voc", tmp_path / "out")
    assert result.lost == {writers.UNUSED_CLASS: 1, writers.CLASS_ORDER: 1}
    assert reopen("voc", tmp_path / "out").class_names == ("car", "person")


def test_whole_pixels_are_written_as_whole_numbers(tmp_path):
    source = MemorySource({"train": [record("a.jpg", [(4, 5, 20, 10)])]}, ["car"])
    for kind in ("voc", "coco"):
        convert.convert(source, kind, tmp_path / kind)
    tree = ElementTree.parse(tmp_path / "voc/Annotations/a.xml")
    assert [tree.findtext(f".//{c}") for c in ("xmin", "ymin", "xmax", "ymax")] == ["4", "5", "24", "15"]
    assert '"bbox": [4, 5, 20, 10]' in (tmp_path / "coco/train.json").read_text()


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    seed=st.integers(0, 2**32 - 1),
    form=st.sampled_from(["xywh_px", "xyxy_px", "cxcywh"]),
)
def test_written_numbers_come_back_as_the_same_boxes(size, seed, form):
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.random((6, 2, 2), np.float32), axis=1).reshape(6, 4)  # [6, ymin xmin ymax xmax]
    corners[0] = (0, 0, 1, 1)
    corners[1] = (1 / 3, 0, 1, 2 / 3)
    boxes = corners[(corners[:, 2:] > corners[:, :2]).all(axis=1)]
    n = len(boxes)
    example = dataclasses.replace(
        record("a"),
        height=size[0],
        width=size[1],
        boxes=boxes,
        labels=np.zeros(n, np.int32),
        is_crowd=np.zeros(n, bool),
        area_px=np.ones(n, np.float32),
    )
    texts = writers.written_boxes(example, form)
    xywh = box_units.to_xywh_px([list(map(float, box)) for box in texts], form, *size)
    np.testing.assert_array_equal(np.clip(box_forms.coco_to_normalized(xywh, *size), 0, 1), boxes)


def test_bad_examples_are_left_out_counted_and_listed(tmp_path):
    bad = errors.BadExampleError("photos/2.jpg", "empty file (0 bytes)")
    source = MemorySource({"train": [record("1.jpg"), bad, record("3.jpg")]}, ["car"])
    events = []
    with progress.listen(lambda kind, fields: events.append((kind, fields["done"], fields["total"]))):
        result = convert.convert(source, "coco", tmp_path / "out")
    assert result.left_out == (convert.LeftOut("train", "photos/2.jpg", "empty file (0 bytes)"),)
    assert result.num_images == {"train": 2}
    written = json.loads((tmp_path / "out" / convert.SUMMARY_NAME).read_text())
    assert written["left_out"] == [{"split": "train", "file": "photos/2.jpg", "reason": "empty file (0 bytes)"}]
    assert events == [("ingest", 1, 3), ("ingest", 2, 3), ("ingest", 3, 3)]


def test_a_question_about_one_image_stops_with_it(tmp_path):
    question = image_decoding.AmbiguousImageError("2.jpg", "turned (--exif=apply) or not (--exif=ignore)?")
    with pytest.raises(errors.UserError, match=r"2.jpg: turned \(--exif=apply\)"):
        convert.convert(MemorySource({"train": [record("1.jpg"), question]}, ["car"]), "coco", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_split_without_a_usable_example_is_an_error(tmp_path):
    bad = errors.BadExampleError("2.jpg", "empty file (0 bytes)")
    source = MemorySource({"train": [record("1.jpg")], "val": [bad]}, ["car"])
    with pytest.raises(errors.UserError, match=r"Split val of `memory` has no usable example. First: 2.jpg: empty"):
        convert.convert(source, "yolo", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    source = MemorySource({"train": [record("1.jpg")]}, ["car"])
    with pytest.raises(errors.UserError, match=r"is not empty: it holds `mine.txt`. Name a new or empty folder"):
        convert.convert(source, "coco", tmp_path)
    with pytest.raises(errors.UserError, match="is a file"):
        convert.convert(source, "coco", tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_taken(tmp_path):
    convert.convert(MemorySource({"train": [record("1.jpg")]}, ["car"]), "coco", tmp_path)
    assert (tmp_path / "train.json").exists()


@pytest.mark.parametrize("kind", convert.FORMATS)
def test_an_interrupted_conversion_leaves_nothing(tmp_path, kind):
    class Interrupted(MemorySource):
        def load(self, item):
            if item.index == 1:
                assert [path.name.endswith(".partial") for path in tmp_path.iterdir()] == [True]
                raise KeyboardInterrupt
            return super().load(item)

    source = Interrupted({"train": [record("1.jpg"), record("2.jpg")]}, ["car"])
    with pytest.raises(KeyboardInterrupt):
        convert.convert(source, kind, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_names_the_nearest(tmp_path):
    with pytest.raises(errors.UserError, match="`tfrecords` is not a format to convert to. Did you mean `tfrecord`?"):
        convert.convert(MemorySource({"train": []}, ["car"]), "tfrecords", tmp_path / "out")


def test_tfrecord_shards_hold_512_and_are_all_there(tmp_path):
    example = record("a")
    examples = [dataclasses.replace(example, source_id=str(n)) for n in range(513)]
    examples[5:8] = [errors.BadExampleError("f", "bad")] * 3  # 510 are left, which need one shard only
    convert.convert(MemorySource({"train": examples}, ["car"]), "tfrecord", tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").glob("train*"))
    assert names == ["train.tfrecord-00000-of-00002", "train.tfrecord-00001-of-00002"]
    assert len(reopen("tfrecord", tmp_path / "out").items("train")) == 510


def test_class_names_of_any_letters_survive(tmp_path):
    names = ("a b", 'quo"te', "straße: 1", "it's")
    example = record("a.jpg", [(1, 1, 5, 5), (9, 9, 5, 5), (2, 8, 5, 5), (20, 20, 4, 4)], (0, 1, 2, 3))
    for kind in convert.FORMATS:
        convert.convert(MemorySource({"train": [example]}, names), kind, tmp_path / kind)
        copy = reopen(kind, tmp_path / kind)
        assert set(copy.class_names) == set(names)
        found = records_of(copy, "train")["a.jpg"]
        assert [copy.class_names[label] for label in found.labels] == list(names)


@pytest.mark.parametrize(
    ("ids", "options", "names"),
    [
        (["a.jpg", "A.jpg", "a.JPG"], {"one_stem": False}, ["a.jpg", "A-2.jpg", "a-3.JPG"]),
        (["a.jpg", "a.png"], {"one_stem": False}, ["a.jpg", "a-2.jpg"]),
        (["a.jpg", "a.jpeg"], {"one_stem": True}, ["a.jpg", "a-2.jpeg"]),
        (["a.jpg/b", "a.jpg"], {"one_stem": False}, ["a.jpg/b.jpg", "a-2.jpg"]),
        (["a.jpg", "a.jpg/b"], {"one_stem": False}, ["a.jpg", "a.jpg_b.jpg"]),
        (["", "..", "/"], {"one_stem": False}, ["image.jpg", "image-2.jpg", "image-3.jpg"]),
        (["C:\\x\\y.jpg", ".hidden"], {"one_stem": False}, ["C:/x/y.jpg", "_hidden.jpg"]),
        (["a\n1", "images/x"], {"one_stem": True, "reserved": ("images",)}, ["a_1.jpg", "x.jpg"]),
        (["a.txt", "b.png.jpg"], {"one_stem": True}, ["a_txt.jpg", "b_png.jpg"]),
        (["s 1/f 1"], {"one_stem": True, "flat": True}, ["s_1_f_1.jpg"]),
    ],
)
def test_file_names(ids, options, names):
    given_names = image_names.FileNames(**options)
    assert [given_names.add(source_id, "jpeg") for source_id in ids] == names


def test_long_ids_give_names_that_file_systems_take():
    names = image_names.FileNames(one_stem=True)
    found = [names.add("ä" * 300 + tail, "png") for tail in ("1", "2")]
    assert found[0] != found[1]
    assert all(len(name.encode()) < 200 and name.endswith(".png") for name in found)


def test_memory_does_not_grow_with_the_images(tmp_path, monkeypatch):
    import tracemalloc

    class Endless(MemorySource):
        def items(self, split):
            return [dataclasses.replace(super(Endless, self).items(split)[0], source_id=str(n)) for n in range(300)]

        def load(self, item):
            return dataclasses.replace(big, source_id=item.source_id, encoded=big.encoded + bytes(200_000))

    monkeypatch.setattr("os.cpu_count", lambda: 2)
    big = record("a")
    tracemalloc.start()
    convert.convert(Endless({"train": [big]}, ["car"]), "coco", tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9_000_000  # all images together are 60 MB


def rows(example, class_names, skip_crowd):
    """Lists the boxes by class name, in an order of their own."""
    found = zip(example.boxes.tolist(), example.labels, example.is_crowd, strict=True)
    return sorted((*box, class_names[label], bool(crowd)) for box, label, crowd in found if not (skip_crowd and crowd))


@pytest.mark.parametrize("kind", convert.FORMATS)
def test_real_thermal_images_go_to_each_format_and_back(shared_data, tmp_path, kind):
    root = shared_data / "hituav_night_dev"
    source = coco.CocoSource.open(f"coco:{root}", str(root), base.ReadOptions())
    convert.convert(source, kind, tmp_path / kind)
    copy = reopen(kind, tmp_path / kind)
    for split in source.splits:
        found = {item.source_id: item for item in copy.items(split)}
        assert len(found) == len(source.items(split))
        for item in source.items(split)[::4]:
            wanted, got = source.load(item), copy.load(found[item.source_id])
            skip_crowd = kind == "yolo"
            assert rows(got, copy.class_names, False) == rows(wanted, source.class_names, skip_crowd)
            assert got.encoded == wanted.encoded
