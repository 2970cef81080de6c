"""Datasets that lack val, or val and test: what is taken out of train, and what is said of it."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data import convert, errors, progress, sources
from data.checks import similar_images
from data.sources import carving
from tests import coco_folder


@pytest.fixture(autouse=True)
def _forget():
    carving._carvings.clear()


def opened(spec, required=sources.SPLITS, carve=True, **options):
    """Opens a dataset; returns it and the notes that came with it."""
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        source = sources.open_source(str(spec), sources.DataOptions(**options), required, carve)
    return source, [note for note in notes if not note.startswith("Recognised")]


def names_in(source):
    return {split: [item.source_id for item in source.items(split)] for split in source.splits}


def sizes_in(source):
    return {split: len(source.items(split)) for split in source.splits}


def classes_in(source):
    """Counts the images of each split by class."""
    return {
        split: {
            name: sum(label in set(record.labels) for record in map(source.load, source.items(split)))
            for label, name in enumerate(source.class_names)
        }
        for split in source.splits
    }


def write(root, train=40, labels=None, **others):
    """Writes a COCO set; `labels` are the category ids of each train image's boxes, `others` images by split."""
    labels = [(1,)] * train if labels is None else labels
    boxes = [coco_folder.annotation(n, category_id=label) for n, each in enumerate(labels) for label in each]
    categories = {1: "car", 2: "person", 3: "bicycle"}
    tables = {"train": coco_folder.table(train, boxes, categories)}
    tables |= {split: coco_folder.table(count, categories=categories) for split, count in others.items()}
    coco_folder.write(root, **tables)
    for number, split in enumerate(others, start=1):
        for index in range(others[split]):
            (root / split / f"{index}.jpg").write_bytes(coco_folder.image_bytes(1000 * number + index))
    return root


def again(path, quality=40):
    """Encodes an image file anew."""
    buffer = io.BytesIO()
    Image.open(path).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("num_images", "missing", "expected"),
    [
        (2, ["val"], [1, 1]),
        (3, ["val", "test"], [1, 1, 1]),
        (10, ["val", "test"], [6, 2, 2]),
        (40, ["val"], [30, 10]),
        (60, ["val", "test"], [30, 15, 15]),
        (100, ["val", "test"], [60, 20, 20]),
        (200, ["val", "test"], [140, 30, 30]),
        (10_000, ["val"], [8_500, 1_500]),
    ],
)
def test_each_missing_split_gets_its_share_and_of_small_sets_more(num_images, missing, expected):
    assert list(carving.targets(num_images, missing).values()) == expected


def test_val_and_test_are_taken_out_of_train_and_one_line_says_so(tmp_path):
    root = write(tmp_path / "set")
    source, notes = opened(root)
    assert source.splits == sources.SPLITS
    assert sizes_in(source) == {"train": 20, "val": 10, "test": 10}
    assert sorted(sum(names_in(source).values(), [])) == sorted(f"{n}.jpg" for n in range(40))
    assert notes == [
        f"`{root}` has no val and no test: 10 of its 40 train images become val and 10 test (seed 0; no near-duplicates"
        " found). To choose otherwise, give --split_seed, --group_by=REGEX or, to divide all images anew,"
        " --splits=0.8,0.1,0.1."
    ]
    record = source.load(source.items("test")[0])
    assert record.source_id == source.items("test")[0].source_id


@pytest.mark.parametrize(("given", "carved"), [("val", "test"), ("test", "val")])
def test_a_given_split_is_left_alone(tmp_path, given, carved):
    source, notes = opened(write(tmp_path / "set", **{given: 7}))
    assert sizes_in(source) == {"train": 30, carved: 10, given: 7}
    assert names_in(source)[given] == [f"{n}.jpg" for n in range(7)]
    assert source.load(source.items(given)[3]).encoded == (tmp_path / "set" / given / "3.jpg").read_bytes()
    assert notes[0].startswith(f"`{tmp_path / 'set'}` has no {carved}: 10 of its 40 train images become {carved} (seed")


def test_a_dataset_with_all_splits_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(carving, "carve", lambda *_: pytest.fail("nothing is missing"))
    for spec in (write(tmp_path / "set", val=3, test=3), "road_scenes:train=4,val=2,test=2,size=96x96"):
        source, notes = opened(spec)
        assert source.carving is None
        assert notes == []


def test_the_division_is_a_function_of_data_seed_and_groups_alone(tmp_path):
    labels = [(1, 2), (2,), (3,), (1,)] * 10
    root = write(tmp_path / "set", labels=labels)
    first, _ = opened(root)
    carving._carvings.clear()
    shutil.copytree(root, tmp_path / "copy")
    for path, options in ((root, {}), (tmp_path / "copy", {}), (root, {"classes": ("car",), "min_box_px": 100})):
        assert names_in(opened(path, **options)[0]) == names_in(first)
    assert names_in(opened(root, required=["test"])[0]) == names_in(first)
    other, notes = opened(root, split_seed=5)
    assert names_in(other)["val"] != names_in(first)["val"]
    assert "(seed 5;" in notes[0]
    assert other.fingerprint() != first.fingerprint() == opened(root)[0].fingerprint()


def test_each_class_is_in_each_split_and_a_single_object_in_train(tmp_path):
    labels = [(1,)] * 30 + [(1, 2)] * 3 + [(3,)] + [()] * 6
    found = classes_in(opened(write(tmp_path / "set", labels=labels))[0])
    assert {split: counts["person"] for split, counts in found.items()} == {"train": 1, "val": 1, "test": 1}
    assert {split: counts["bicycle"] for split, counts in found.items()} == {"train": 1, "val": 0, "test": 0}


def test_where_19_of_20_images_are_empty_the_others_are_in_each_split(tmp_path):
    source, _ = opened(write(tmp_path / "set", train=120, labels=[(1,)] * 6 + [()] * 114))
    assert sizes_in(source) == {"train": 80, "val": 20, "test": 20}
    assert {split: counts["car"] for split, counts in classes_in(source).items()} == {"train": 4, "val": 1, "test": 1}


def test_regions_to_ignore_are_no_objects(tmp_path):
    root = write(tmp_path / "set", labels=[(1,)] * 20 + [()] * 20)
    table = json.loads((root / "train.json").read_text())
    table["annotations"] += [coco_folder.annotation(n, category_id=2, iscrowd=1) for n in range(20, 40)]
    (root / "train.json").write_text(json.dumps(table))
    reader = sources.open_reader(str(root), sources.DataOptions())
    assert {reader.glance(item).labels for item in reader.items("train")} == {(0,), ()}


def test_near_duplicates_and_equal_files_stay_together(tmp_path):
    root = write(tmp_path / "set")
    for number in range(0, 20, 2):
        (root / "train" / f"{number + 1}.jpg").write_bytes(again(root / "train" / f"{number}.jpg"))
    (root / "train" / "39.jpg").write_bytes((root / "train" / "38.jpg").read_bytes())
    blank = io.BytesIO()
    Image.new("L", (64, 48)).save(blank, "PNG")
    for number in (36, 37):
        (root / "train" / f"{number}.jpg").write_bytes(blank.getvalue())
    for seed in range(5):
        source, notes = opened(root, split_seed=seed)
        split_of = {name: split for split, names in names_in(source).items() for name in names}
        for number in (*range(0, 20, 2), 36, 38):
            assert split_of[f"{number}.jpg"] == split_of[f"{number + 1}.jpg"]
        assert f"(seed {seed}; 24 near-duplicates kept together)" in notes[0]
        assert sizes_in(source) == {"train": 20, "val": 10, "test": 10}


def test_frames_of_a_fixed_camera_are_divided_all_the_same(tmp_path):
    root = write(tmp_path / "set")
    scene = Image.open(root / "train" / "0.jpg")
    for number in range(38):
        frame = scene.copy()
        ImageDraw.Draw(frame).point((number, 20), 255)
        frame.save(root / "train" / f"{number}.jpg", quality=90)
    (root / "train" / "1.jpg").write_bytes((root / "train" / "0.jpg").read_bytes())
    source, notes = opened(root)
    assert sizes_in(source) == {"train": 20, "val": 10, "test": 10}
    split_of = {name: split for split, names in names_in(source).items() for name in names}
    assert split_of["0.jpg"] == split_of["1.jpg"]
    assert (
        "near-duplicates not kept together, only 2 equal files, because they link 38 images in one chain)" in notes[0]
    )


def test_unusable_images_do_not_stop_it(tmp_path):
    root = write(tmp_path / "set")
    for number, content in enumerate((b"", b"no image", (root / "train" / "9.jpg").read_bytes()[:200])):
        (root / "train" / f"{number}.jpg").write_bytes(content)
    (root / "train" / "3.jpg").unlink()
    source, _ = opened(root)
    assert sizes_in(source) == {"train": 20, "val": 10, "test": 10}
    with pytest.raises(errors.BadExampleError):
        source.load(next(item for split in source.splits for item in source.items(split) if item.source_id == "1.jpg"))


def test_images_behind_the_bound_are_compared_as_files(tmp_path, monkeypatch):
    root = write(tmp_path / "set")
    names = sorted(f"{number}.jpg" for number in range(40))
    monkeypatch.setattr(
        carving, "MOST_COMPARED_BYTES", sum((root / "train" / name).stat().st_size for name in names[:10])
    )
    (root / "train" / names[-1]).write_bytes((root / "train" / names[-2]).read_bytes())
    (root / "train" / names[-3]).write_bytes(again(root / "train" / names[-4]))
    _, notes = opened(root)
    assert "(seed 0; 2 near-duplicates kept together among the first 10 images)" in notes[0]


@pytest.mark.parametrize(("train", "given", "needed"), [(1, {}, 3), (2, {}, 3), (1, {"val": 2}, 2)])
def test_too_few_images_end_with_a_clear_line(tmp_path, train, given, needed):
    root = write(tmp_path / "set", train, **given)
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(str(root))
    message = str(caught.value)
    assert f"; it has train ({train} images)" in message
    assert message.endswith(f". To be divided, train needs {needed} usable images. Add images, or the splits.")
    assert "\n" not in message
    assert names_in(sources.open_source(str(root), required_splits=[]))["train"] == [f"{n}.jpg" for n in range(train)]


def test_two_images_are_enough_where_one_split_is_missing(tmp_path):
    assert sizes_in(opened(write(tmp_path / "set", 2, test=1))[0]) == {"train": 1, "val": 1, "test": 1}


def test_images_that_are_all_unusable_end_with_a_clear_line(tmp_path):
    root = write(tmp_path / "set", 5)
    for number in range(3):
        (root / "train" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(errors.UserError, match="train needs 3 usable images"):
        sources.open_source(str(root))


def test_frames_of_one_sequence_stay_together_without_splits(tmp_path):
    root = write(tmp_path / "set")
    source, _ = opened(root, group_by=r"(\d)\.jpg")  # ten groups of four, by the last digit
    groups = {split: {name[-5] for name in names} for split, names in names_in(source).items()}
    assert sizes_in(source) == {"train": 20, "val": 12, "test": 8}
    assert sum(map(len, groups.values())) == 10
    with pytest.raises(errors.UserError, match="3 usable images in as many groups of --group_by=jpg. Add images"):
        opened(root, group_by="jpg")
    with pytest.raises(errors.UserError, match="finds nothing in the name `0.jpg`"):
        opened(root, group_by="cam")


def test_groups_where_nothing_is_divided_are_a_mistake(tmp_path):
    with pytest.raises(
        errors.UserError, match="`--group_by` only works where images are divided, but .* has its splits"
    ):
        opened(write(tmp_path / "set", val=3, test=3), group_by="a")


def test_what_given_splits_share_with_train_is_a_warning(tmp_path):
    root = write(tmp_path / "set", test=5)
    (root / "test" / "0.jpg").write_bytes((root / "train" / "7.jpg").read_bytes())
    (root / "test" / "1.jpg").write_bytes(again(root / "train" / "8.jpg", quality=95))
    source, notes = opened(root)
    assert sizes_in(source)["test"] == 5
    assert notes[1:] == [
        f"Warning: 2 of 5 images of test of `{root}` are near-duplicates of train images, so scores there are too good;"
        " `ssd-tuner data check` names them."
    ]


def test_whole_images_are_taken_and_then_cut_and_thinned(tmp_path):
    root = write(tmp_path / "set")
    whole = names_in(opened(root)[0])
    tiled, _ = opened(root, tile="2x2")
    assert sizes_in(tiled) == {"train": 80, "val": 40, "test": 10}
    assert [name.partition("#")[0] for name in names_in(tiled)["val"][::4]] == whole["val"]
    limited, _ = opened(root, limit=5)
    assert sizes_in(limited) == {"train": 5, "val": 5, "test": 5}
    assert all(set(names) <= set(whole[split]) for split, names in names_in(limited).items())


def test_a_test_split_of_another_dataset_is_not_taken_out_of_train(tmp_path):
    other = write(tmp_path / "other", test=4)
    for given in ({}, {"test": 3}):
        root = write(tmp_path / f"set{len(given)}", **given)
        source, notes = opened(root, test_dataset=str(other))
        assert sizes_in(source) == {"train": 30, "val": 10, "test": 4}
        assert "has no val: 10 of its 40" in notes[0]


def test_records_are_divided_as_the_files_that_they_were_written_from(tmp_path):
    root = write(tmp_path / "set", labels=[(1, 2), (2,), (3,), ()] * 10)
    (root / "train" / "1.jpg").write_bytes(again(root / "train" / "0.jpg"))
    whole = sources.open_source(str(root), required_splits=[], carve=False)
    convert.convert(whole, "tfrecord", tmp_path / "records")
    source, notes = opened(f"tfrecord:{tmp_path / 'records'}")
    assert names_in(source) == names_in(opened(root)[0])
    assert "2 near-duplicates kept together" in notes[0]


def test_a_command_that_shows_the_data_as_it_is_says_what_a_run_takes(tmp_path):
    root = write(tmp_path / "set")
    source, notes = opened(root, required=[], carve=False)
    assert sizes_in(source) == {"train": 40}
    assert "has no val and no test: in `ssd-tuner run` 10 of its 40 train images become val and 10 test" in notes[0]
    assert opened(root)[0].carving == source.carving


def test_groups_of_similar_pictures_are_those_of_brute_force():
    draw = np.random.default_rng(0)
    hashes = draw.integers(0, 2**12, 300).astype(np.uint64)
    groups = similar_images.similar_groups(hashes, 1)
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= 1
    reachable = np.linalg.matrix_power(near.astype(float), 299) > 0
    assert (groups == reachable.argmax(axis=1)).all()
    assert 1 < len(set(groups.tolist())) < 300
    assert similar_images.similar_groups(hashes[:0], 1).tolist() == []


def test_16_bit_pictures_are_recognised_whatever_their_range():
    smooth = Image.fromarray(np.random.default_rng(0).integers(7000, 9000, (6, 8)).astype(np.float32)).resize((64, 48))
    hashes = set()
    for pixels, image_format in (
        (np.asarray(smooth).astype(np.uint16), "TIFF"),
        (np.asarray(smooth).astype(np.uint16) * 4, "PNG"),
        ((np.asarray(smooth) / 64).astype(np.uint8), "PNG"),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, image_format)
        hashes.add(similar_images.recognise(buffer.getvalue()).hash)
    first, *others = hashes
    assert all((first ^ other).bit_count() <= similar_images.SIMILAR_BITS for other in others)


def test_the_raccoons_keep_their_copies_together(shared_data):
    source, notes = opened(shared_data / "raccoon")
    assert sizes_in(source) == {"train": 140, "val": 30, "test": 30}
    split_of = {name: split for split, names in names_in(source).items() for name in names}
    for group in ((11, 116), (120, 83), (50, 52, 74), (65, 98), (21, 45), (51, 85)):  # seen by eye
        assert len({split_of[f"raccoon-{number}.jpg"] for number in group}) == 1
    assert "13 near-duplicates kept together" in notes[0]


def test_the_cards_keep_their_test_split_and_share_out_each_class(shared_data):
    source, _ = opened(shared_data / "cards")
    assert sizes_in(source) == {"train": 252, "val": 44, "test": 67}
    found = classes_in(source)
    for name in source.class_names:
        share = found["val"][name] / (found["val"][name] + found["train"][name])
        assert share == pytest.approx(44 / 296, abs=0.02)
