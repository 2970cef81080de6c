import dataclasses
import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data import errors, sources, tiles
from data.examples import DetectionRecord
from data.sources import selection
from tests import coco_folder
from tests.memory_source import MemorySource, record

SCENES = "road_scenes:train=6,val=3,test=2,size=96x128"


def open_with(**options):
    return sources.open_source(SCENES, sources.DataOptions(**options))


def named_boxes(source, split="train"):
    """Lists (source id, class, box) of a split."""
    rows = []
    for item in source.items(split):
        record = source.load(item)
        rows += [
            (record.source_id, source.class_names[label], tuple(box))
            for label, box in zip(record.labels, record.boxes.tolist(), strict=True)
        ]
    return rows


def record_of(boxes, labels, is_crowd=None, side=100):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(side * side, dtype=np.uint32).astype(np.uint8).reshape(side, side)).save(buffer, "PNG")
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return DetectionRecord(
        source_id="a",
        encoded=buffer.getvalue(),
        image_format="png",
        height=side,
        width=side,
        boxes=boxes,
        labels=np.array(labels, np.int32),
        is_crowd=np.array(is_crowd if is_crowd is not None else [False] * len(labels), bool),
        area_px=((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * side * side).astype(np.float32),
    )


def test_classes_are_chosen_renamed_and_merged_in_the_order_given():
    whole = named_boxes(open_with())
    chosen = open_with(classes=("vehicle=car+bicycle", "human=person"))
    assert chosen.class_names == ("vehicle", "human")
    new = {"car": "vehicle", "bicycle": "vehicle", "person": "human"}
    assert named_boxes(chosen) == [(name, new[cls], box) for name, cls, box in whole]
    only = open_with(classes=("car",))
    assert named_boxes(only) == [row for row in whole if row[1] == "car"]
    assert len(only.items("train")) == 6  # images without a car stay as negatives


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("perzon",), "Unknown class `perzon`. Did you mean `person`?"),
        (("man=perzon",), "Unknown class `perzon`. Did you mean `person`?"),
        (("person", "person"), "Class `person` is named twice; name each class once."),
        (("a=person+car", "car"), "Class `car` is named twice; name each class once."),
        (("a=person", "a=car"), "Class `a` is named twice; merge classes as a=ONE+OTHER."),
        ((), "No class is left to detect; name at least one."),
    ],
)
def test_wrong_classes_end_with_a_clear_line(classes, message):
    with pytest.raises(errors.UserError) as caught:
        open_with(classes=classes)
    assert str(caught.value) == message


def test_a_region_that_every_class_ignores_is_kept_once_after_a_merge():
    record = record_of([[0, 0, 1, 1]] * 3 + [[0, 0, 0.5, 0.5]] * 2, [0, 1, 2, 0, 1], [True] * 3 + [False] * 2)
    merged = selection.relabel(record, np.array([0, 0, -1], np.int32))
    assert merged.labels.tolist() == [0, 0, 0]
    assert merged.is_crowd.tolist() == [True, False, False]


def test_shares_divide_the_whole_dataset_anew_and_the_same_way_each_time():
    divided = open_with(splits=(0.6, 0.2, 0.2), split_seed=3)
    names = {split: [item.source_id for item in divided.items(split)] for split in divided.splits}
    assert {split: len(ids) for split, ids in names.items()} == {"train": 7, "val": 2, "test": 2}
    assert len({name for ids in names.values() for name in ids}) == 11
    again = open_with(splits=(0.6, 0.2, 0.2), split_seed=3)
    assert names == {split: [item.source_id for item in again.items(split)] for split in again.splits}
    other = open_with(splits=(0.6, 0.2, 0.2), split_seed=4)
    assert names["train"] != [item.source_id for item in other.items("train")]
    assert divided.fingerprint() == again.fingerprint() != other.fingerprint()


@given(st.lists(st.integers(0, 12), min_size=30, max_size=200), st.integers(0, 5))
def test_a_group_is_never_divided(groups, seed):
    keys = [str(group) for group in groups]
    splits = selection.assign_splits(keys, (0.7, 0.2, 0.1), seed)
    assert len(set(zip(keys, splits, strict=True))) == len(set(keys))


def test_shares_come_out_as_asked_for():
    splits = selection.assign_splits([str(number) for number in range(1000)], (8, 1, 1), 0)
    assert [splits.count(split) for split in sources.SPLITS] == [800, 100, 100]


def test_frames_of_one_sequence_stay_together():
    grouped = open_with(splits=(0.5, 0.3, 0.2), group_by=r"s0_(train|val|test)_")
    split_of = {item.source_id.split("_")[1]: split for split in grouped.splits for item in grouped.items(split)}
    assert sorted(split_of.values()) == ["test", "train", "val"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": (0.5, 0.5)}, "`--splits` needs shares of train, val and test, as 0.8,0.1,0.1: got 0.5,0.5."),
        ({"splits": (0.0, 0.5, 0.5)}, "`--splits` needs shares of train, val and test"),
        ({"splits": (1, 1, 1), "group_by": "("}, "`--group_by=(` is not a regular expression: "),
        ({"splits": (1, 1, 1), "group_by": "cam"}, "`--group_by=cam` finds nothing in the name `s0_"),
        ({"splits": (1, 1, 1), "group_by": "^s"}, "`--splits` leaves train, test of `road_scenes"),
        ({"splits": (0.5, 0.5, 0)}, "Dataset `road_scenes:train=6,val=3,test=2,size=96x128` has no split test; it has"),
        ({"tile": "2by2"}, "Tiles are written ROWSxCOLS"),
    ],
)
def test_wrong_options_end_with_a_clear_line(options, message):
    with pytest.raises(errors.UserError) as caught:
        open_with(**options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_limit_takes_images_from_the_whole_split():
    limited = open_with(limit=3)
    assert [item.source_id[-1] for item in limited.items("train")] == ["0", "2", "4"]
    assert len(limited.items("test")) == 2


def test_small_objects_become_regions_to_ignore():
    record = record_of([[0, 0, 0.05, 0.5], [0, 0, 0.1, 0.1]], [0, 1])
    assert selection.ignore_small(record, 8.0).is_crowd.tolist() == [True, False]
    assert selection.ignore_small(record, 0.0) is record


def test_a_tile_holds_the_pixels_and_the_boxes_of_its_window():
    record = record_of(
        [[0.1, 0.1, 0.3, 0.3], [0.4, 0.1, 0.9, 0.2], [0.45, 0.1, 0.95, 0.2], [0.6, 0.6, 0.7, 0.7]], [0, 1, 2, 0]
    )
    tile = selection.cut_tile(record, Image.open(io.BytesIO(record.encoded)), tiles.TileGrid(2, 2, 0), 0)
    whole = np.asarray(Image.open(io.BytesIO(record.encoded)))
    assert (np.asarray(Image.open(io.BytesIO(tile.encoded))) == whole[:50, :50]).all()
    assert (tile.height, tile.width) == (50, 50)
    np.testing.assert_allclose(
        tile.boxes, [[0.2, 0.2, 0.6, 0.6], [0.8, 0.2, 1.0, 0.4], [0.9, 0.2, 1.0, 0.4]], atol=1e-6
    )
    # Of the second box 20 % is inside, of the third 10 %: too little to learn it by.
    assert tile.is_crowd.tolist() == [False, True, True]
    np.testing.assert_allclose(tile.area_px, [400, 100, 50], rtol=1e-4)


def test_train_and_val_are_tiled_and_test_stays_whole():
    tiled = open_with(tile="2x2:0.2")
    assert {split: len(tiled.items(split)) for split in tiled.splits} == {"train": 24, "val": 12, "test": 2}
    names = [item.tile for item in tiled.items("train")]
    assert names[:5] == [0, 1, 2, 3, 0]
    records = [tiled.load(item) for item in tiled.items("train")[:4]]
    assert [record.source_id for record in records] == [item.source_id for item in tiled.items("train")[:4]]
    assert len({item.source_id for item in tiled.items("train")}) == 24
    assert {(record.height, record.width) for record in records} == {(54, 72)}


def test_an_image_is_decoded_once_for_its_tiles(monkeypatch, tmp_path):
    root = coco_folder.write(tmp_path / "set", **{split: coco_folder.table(2) for split in ("train", "val", "test")})
    source = sources.open_source(f"coco:{root}", sources.DataOptions(tile="2x2"))
    opened = []
    monkeypatch.setattr(
        selection.Image, "open", lambda file, original=Image.open: opened.append(file) or original(file)
    )
    for item in source.items("train"):
        source.load(item)
    assert len(opened) == 2 * 2  # once to check it, once for its tiles


def test_tiles_of_a_cmyk_image_are_png(tmp_path):
    tables = {split: coco_folder.table(2) for split in ("train", "val", "test")}
    root = coco_folder.write(tmp_path / "set", **tables)
    for file in (root / "train").iterdir():
        file.write_bytes(coco_folder.image_bytes(mode="CMYK"))
    source = sources.open_source(f"coco:{root}", sources.DataOptions(tile="2x2"))
    tile = source.load(source.items("train")[0])
    assert Image.open(io.BytesIO(tile.encoded)).mode == "RGB"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_by": "a"}, "`--group_by` only works where images are divided"),
        ({"test_classes": ("car",)}, "`--test_classes` only works with --test_dataset"),
    ],
)
def test_an_option_that_would_do_nothing_is_a_mistake(options, message):
    with pytest.raises(errors.UserError, match=message):
        open_with(**options)


def test_another_dataset_can_be_the_test_split(tmp_path):
    real = f"coco:{coco_folder.write(tmp_path / 'set', test=coco_folder.table(2, categories={1: 'Auto', 2: 'Person'}))}"
    pairs = ("Person=Person", "car=Auto")
    both = open_with(classes=("person", "car"), test_dataset=real, test_classes=("person=Person", "car=Auto"))
    assert both.class_names == ("person", "car")
    assert [len(both.items(split)) for split in both.splits] == [6, 3, 2]
    record = pickle.loads(pickle.dumps(both)).load(both.items("test")[0])
    assert record.labels.tolist() == [1]
    with pytest.raises(errors.UserError, match=r"has no class car, or .*; it has Auto, Person\. Pair them, as --test_"):
        open_with(classes=("person", "car"), test_dataset=real)
    with pytest.raises(errors.UserError, match="They must be the same"):
        open_with(classes=("person", "car"), test_dataset=real, test_classes=pairs)
    alone = open_with(classes=("person",), test_dataset=real)  # names that agree in all but case
    assert alone.load(alone.items("test")[0]).labels.tolist() == []


def test_options_survive_json():
    options = sources.DataOptions(classes=("a=b",), splits=(0.8, 0.1, 0.1), limit=3, tile="2x2")
    assert sources.DataOptions.from_dict(options.to_dict()) == options


def test_classes_that_differ_in_case_only_pair_with_their_own_spelling():
    train = MemorySource({"train": [record("a")]}, ("Car", "car"))
    pair = {"test": [record("b", labels=(1,))]}
    options = selection.DataOptions(test_dataset="memory")
    both = selection.SelectedSource(train, options, MemorySource(pair, ("car", "Car")), carve=False)
    assert both.load(both.items("test")[0]).labels.tolist() == [0]  # Car is the first one here
    with pytest.raises(errors.UserError, match=r"has no class Car, car, or several .*; it has CAR, cAr\. Pair"):
        selection.SelectedSource(train, options, MemorySource(pair, ("CAR", "cAr")), carve=False)


def test_one_file_with_other_boxes_in_another_split_cannot_be_divided(tmp_path):
    tables = {"train": coco_folder.table(2), "val": coco_folder.table(1, [coco_folder.annotation(0, [1, 1, 5, 5])])}
    tables["val"]["images"][0]["file_name"] = "../train/0.jpg"
    root = coco_folder.write(tmp_path / "set", **tables)
    with pytest.raises(errors.UserError, match=r"has other boxes, .* in val than in train\. Leave it out"):
        sources.open_source(f"coco:{root}", sources.DataOptions(splits=(0.5, 0.5, 0.0)))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x07", "a\x85b", "a\u2028b", "\ud800"])
def test_a_class_name_that_no_list_of_names_can_hold_is_refused(name):
    source = MemorySource({"train": [record("a")]}, ("car", name))
    with pytest.raises(errors.UserError, match="is blank or holds a control character") as caught:
        selection.SelectedSource(source, selection.DataOptions())
    assert "\n" not in str(caught.value)
    assert selection.SelectedSource(source, selection.DataOptions(classes=("car",))).class_names == ("car",)


@pytest.mark.parametrize("name", ["a/b", "c|d", "<b>", "Ünïcode 車", "it's 100 %"])
def test_other_class_names_are_taken(name):
    source = MemorySource({"train": [record("a")]}, ("car", name))
    assert selection.SelectedSource(source, selection.DataOptions()).class_names == ("car", name)


@pytest.mark.parametrize(("names", "found"), [(("car ", "person"), ("car", "person")), (("car", "car "),) * 2])
def test_space_around_a_class_name_counts_only_where_two_names_differ_in_it(names, found):
    source = MemorySource({"train": [record("a", labels=(1,))]}, names)
    assert selection.SelectedSource(source, selection.DataOptions()).class_names == found
    chosen = selection.SelectedSource(source, selection.DataOptions(classes=("car",)))
    assert chosen.class_names == ("car",)


def test_unicodes_form_of_a_class_name_does_not_count():
    source = MemorySource({"train": [record("a", labels=(1,))]}, ("car", "cafe\u0301"))
    for typed in ("caf\u00e9", "cafe\u0301"):
        chosen = selection.SelectedSource(source, selection.DataOptions(classes=(f"bar={typed}",)))
        assert chosen.load(chosen.items("train")[0]).labels.tolist() == [0]


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 5])
def test_sequences_stay_together_though_a_file_name_occurs_in_two_splits(tmp_path, seed):
    """The user's expression is about the names as they are."""
    names = [f"seq{sequence}_{frame:03d}.jpg" for sequence in range(4) for frame in range(6)]
    tables = {"train": coco_folder.table(len(names)), "val": coco_folder.table(2)}
    for split, own in (("train", names), ("val", ["seq3_005.jpg", "seq0_000.jpg"])):
        for image, name in zip(tables[split]["images"], own, strict=True):
            image["file_name"] = name
    root = coco_folder.write(tmp_path / "set", **tables)
    options = sources.DataOptions(splits=(0.6, 0.2, 0.2), split_seed=seed, group_by=r"^(seq\d)_\d+")
    source = sources.open_source(f"coco:{root}", options)
    found = {split: {one.source_id.rpartition("/")[2][:4] for one in source.items(split)} for split in source.splits}
    assert sum(map(len, found.values())) == 4


def test_one_file_that_is_ignored_in_another_split_cannot_be_divided(tmp_path):
    """The order of boxes says nothing; a region to ignore does."""
    boxes = [coco_folder.annotation(0), coco_folder.annotation(0, [1, 1, 5, 5])]
    for number, (own, message) in enumerate([(boxes[::-1], None), ([boxes[0] | {"iscrowd": 1}, boxes[1]], "ignore")]):
        tables = {"train": coco_folder.table(2, boxes), "val": coco_folder.table(1, own)}
        for table in tables.values():
            for index, one in enumerate(table["annotations"]):
                table["annotations"][index] = one | {"id": index}
        tables["val"]["images"][0]["file_name"] = "../train/0.jpg"
        root = coco_folder.write(tmp_path / str(number), **tables)
        options = sources.DataOptions(splits=(0.5, 0.5, 0.0))
        if message is None:
            source = sources.open_source(f"coco:{root}", options, required_splits=["train"])
            assert sum(len(source.items(split)) for split in ("train", "val")) == 2
            continue
        with pytest.raises(errors.UserError, match="other boxes, classes or regions to ignore in val than in train"):
            sources.open_source(f"coco:{root}", options)


def test_images_that_are_trained_on_test_no_model(tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(20), test=coco_folder.table(2))
    options = sources.DataOptions(test_dataset=f"coco:{root}")
    assert len(sources.open_source(f"coco:{root}", options).items("test")) == 2
    with pytest.raises(errors.UserError, match=r"of its test images are in the \w+ split, too, the first is "):
        sources.open_source(f"coco:{root}", dataclasses.replace(options, splits=(0.7, 0.3, 0.0)))


def test_a_dataset_to_test_on_may_have_all_its_images_below_test(tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(20))
    other = coco_folder.write(tmp_path / "other", test=coco_folder.table(2))
    (other / "test.json").rename(other / "annotations.json")
    (other / "images").mkdir()
    (other / "test").rename(other / "images" / "test")
    options = sources.DataOptions(test_dataset=f"coco:{other}")
    assert len(sources.open_source(f"coco:{root}", options).items("test")) == 2
    assert sources.open_reader(f"coco:{other}", options).splits == ("train",)
