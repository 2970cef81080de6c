import gzip
import json
import multiprocessing
import os
import pickle

import numpy as np
import pytest

from data import errors, examples, image_decoding, label_map, progress, tfrecord_files
from data.checks import dataset
from data.sources import annotated, base, tfrecord
from tests import coco_folder
from tests.memory_source import record

CLASSES = ("car", "person")


def example(source_id="a.jpg", drop=(), **changes):
    """Encodes an example of one car; `changes` are features by the end of their key."""
    message = examples.encode_example(record(source_id), CLASSES)
    features = message.features.feature
    for key in drop:
        del features[f"image/{key}"]
    for name, values in changes.items():
        key = f"image/{name}" if name in ("filename", "height", "width", "encoded") else f"image/object/{name}"
        key = key.replace("__", "/")
        features[key].Clear()
        kind = {bytes: "bytes_list", float: "float_list", int: "int64_list"}[type(values[0])]
        getattr(features[key], kind).value.extend(values)
    return message.SerializeToString(deterministic=True)


def write(path, serialized, compressed=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(map(tfrecord_files.frame, serialized))
    path.write_bytes(gzip.compress(content) if compressed else content)


def open_at(path, **options):
    return tfrecord.TfrecordSource.open(f"tfrecord:{path}", str(path), base.ReadOptions(**options))


def load_one(tmp_path, *serialized, **options):
    write(tmp_path / "train.record", serialized)
    source = open_at(tmp_path, **options)
    return source.load(source.items("train")[0])


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.record", "val.record", "test.record"], ("train", "val", "test")),
        (["pet_faces_train.record-00000-of-00002", "pet_faces_train.record-00001-of-00002"], ("train",)),
        (["coco_val.tfrecord-00000-of-00001", "coco_testdev.tfrecords"], None),
        (
            ["Split-train/data_tfrecord-00000-of-00001.gz", "Split-eval/data_tfrecord-00000-of-00001.gz"],
            ("train", "val"),
        ),
        (["train/cells.tfrecord", "valid/cells.tfrecord", "test/cells.tfrecord"], ("train", "val", "test")),
        (["all.tfrec"], ("train",)),
        (["validation-00000-of-00001"], ("val",)),
    ],
)
def test_splits_are_told_by_names_of_files_and_folders(tmp_path, names, splits):
    for number, name in enumerate(names):
        write(tmp_path / name, [example(str(number))], name.endswith(".gz"))
    if splits is None:
        with pytest.raises(errors.UserError, match=r"which split is `.*coco_testdev.tfrecords`\?"):
            open_at(tmp_path)
        return
    assert tfrecord.TfrecordSource.recognises(tmp_path).endswith("is a TFRecord file")
    source = open_at(tmp_path)
    assert source.splits == splits
    assert sum(len(source.items(split)) for split in splits) == len(names)
    assert source.class_names == ("car",)


@pytest.mark.parametrize("compressed", [False, True])
def test_records_are_loaded_as_they_were_written(tmp_path, compressed):
    wanted = [
        record(f"{n}.jpg", [(4, 5, 20, 10 + n), (1, 2, 3, 4)], (0, 1), [False, True], [99.5, 3], seed=n)
        for n in range(4)
    ]
    serialized = [examples.encode_example(r, CLASSES).SerializeToString(deterministic=True) for r in wanted]
    write(tmp_path / "train.record", serialized, compressed)
    source = open_at(tmp_path)
    items = source.items("train")
    for number in (3, 0, 1, 2, 1):
        found = source.load(items[number])
        assert found.encoded == wanted[number].encoded
        assert found.source_id == f"{number}.jpg"
        for name in ("boxes", "labels", "is_crowd", "area_px"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted[number], name))


@pytest.mark.parametrize("sides", [(96, 128), (64, 48)])
def test_another_image_size_in_the_record_is_named_where_boxes_are_in_pixels(tmp_path, sides):
    in_px = {f"bbox__{corner}": [value] for corner, value in (("xmin", 4.0), ("ymin", 5.0))}
    in_px |= {f"bbox__{corner}": [value] for corner, value in (("xmax", 24.0), ("ymax", 15.0))}
    other = example(height=[sides[0]], width=[sides[1]], **in_px)
    assert load_one(tmp_path, other, box_units="pixels").mended == (annotated.OTHER_SIZE,)
    found = dataset.check(
        tfrecord.TfrecordSource.open(f"tfrecord:{tmp_path}", str(tmp_path), base.ReadOptions(box_units="pixels"))
    )
    assert found.findings.count("other_size") == 1
    assert load_one(tmp_path, example(**in_px), box_units="pixels").mended == ()
    assert load_one(tmp_path, example(height=[sides[0]], width=[sides[1]])).mended == ()


def test_another_process_loads_an_item(tmp_path):
    write(tmp_path / "train.record", [example("a"), example("b")], compressed=True)
    source = open_at(tmp_path)
    travelled = pickle.dumps((source, source.items("train")[1]))
    assert len(pickle.dumps(source)) < 2000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        source_there, item = pickle.loads(travelled)
        assert pool.apply(source_there.load, (item,)).source_id == "b"


def test_optional_features_may_be_missing(tmp_path):
    serialized = example(drop=["format", "height", "width", "object/is_crowd", "object/area"])
    found = load_one(tmp_path, serialized)
    assert (found.image_format, found.height, found.width) == ("jpeg", 48, 64)
    np.testing.assert_allclose(found.area_px, [200], rtol=1e-5)
    assert found.is_crowd.tolist() == [False]


@pytest.mark.parametrize("key", ["is_crowd", "difficult", "group_of"])
def test_flags_make_regions_to_ignore(tmp_path, key):
    assert load_one(tmp_path, example(**{key: [1]})).is_crowd.tolist() == [True]


def test_an_image_without_boxes_is_a_negative(tmp_path):
    empty = examples.encode_example(record("a", [], ()), CLASSES).SerializeToString()
    write(tmp_path / "train.record", [empty, example("b")])
    source = open_at(tmp_path)
    assert source.load(source.items("train")[0]).boxes.shape == (0, 4)


def test_a_label_map_names_the_classes_and_orders_them(tmp_path):
    (tmp_path / "my_label_map.pbtxt").write_text(
        "item { id: 7 name: '/m/1' display_name: 'cat' } item { id: 1 name: 'dog' } item { id: 3 name: 'DontCare' }"
    )
    write(
        tmp_path / "train.record",
        [
            example(name, drop=["object/class/text"], class__label=[key])
            for name, key in (("a.jpg", 7), ("b", 3), ("c", 2))
        ]
        + [example("d", drop=["object/class/label"], class__text=[b"/m/1"])],
    )
    source = open_at(tmp_path)
    assert source.class_names == ("dog", "cat")
    items = source.items("train")
    assert source.load(items[0]).labels.tolist() == [1]
    ignored = source.load(items[1])
    assert (ignored.labels.tolist(), ignored.is_crowd.tolist()) == ([0, 1], [True, True])
    with pytest.raises(
        errors.BadExampleError, match=r"record at byte \d+ \(c\): it has a box of class 2, which has no n"
    ):
        source.load(items[2])
    assert source.load(items[3]).labels.tolist() == [1]


def test_label_maps_that_differ_are_an_error(tmp_path):
    for split, name in (("train", "a"), ("val", "b")):
        write(tmp_path / split / "x.tfrecord", [example()])
        (tmp_path / split / "x.pbtxt").write_text(label_map.to_text([name]))
    with pytest.raises(errors.UserError, match="Several label maps differ"):
        open_at(tmp_path)


def test_dataset_json_names_the_classes_of_our_own_files(tmp_path):
    write(tmp_path / "Split-train" / "data_tfrecord-00000-of-00001.gz", [example()], compressed=True)
    (tmp_path / "dataset.json").write_text(json.dumps({"class_names": ["car", "bus"]}))
    assert open_at(tmp_path).class_names == ("car", "bus")


def test_without_any_names_the_error_says_what_is_missing(tmp_path):
    write(tmp_path / "train.record", [example(drop=["object/class/text"])])
    with pytest.raises(errors.UserError, match=r"the classes have no names: .* Put the label_map.pbtxt"):
        open_at(tmp_path)


def test_an_id_with_two_names_is_an_error(tmp_path):
    write(tmp_path / "train.record", [example(), example("b", class__text=[b"cab"])])
    with pytest.raises(errors.UserError, match="class 1 is called cab and car. Put the label_map.pbtxt"):
        open_at(tmp_path)


@pytest.mark.parametrize(
    ("records", "names"),
    [
        ([example("1"), example("2")], ["1", "2"]),
        ([example("1", filename=[b"x.jpg"]), example("1", filename=[b"y.jpg"])], ["x.jpg", "y.jpg"]),
        ([example(drop=["source_id"], filename=[b"x.jpg"])], ["x.jpg"]),
        ([example("1"), example("1")], ["train.record-000000", "train.record-000001"]),
        ([example(drop=["source_id"])], ["train.record-000000"]),
    ],
)
def test_examples_get_names_of_their_own(tmp_path, records, names):
    write(tmp_path / "train.record", records)
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        source = open_at(tmp_path)
    assert [item.source_id for item in source.items("train")] == names
    shared = len(records) == 2 and names[0] != "1"
    assert notes == (
        [f"Split train of `tfrecord:{tmp_path}`: examples share an id, so they are named otherwise, as {names[0]}."]
        if shared
        else []
    )


def test_files_of_one_name_in_two_folders_give_different_names(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder / "train.record", [example(drop=["source_id"])])
    names = [item.source_id for item in open_at(tmp_path).items("train")]
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    ("serialized", "reason"),
    [
        (example(encoded=[coco_folder.image_bytes()[:200]]), "the image does not decode"),
        (example(**{"bbox__xmax": [0.01]}), "is inverted"),
        (example(**{"bbox__xmax": [float("nan")]}), "is not a number"),
        (example(**{"bbox__xmax": [1.5]}), "lies outside its image of 64x48 px"),
        (example(**{"bbox__xmax": [0.5, 0.6]}), "`image/object/bbox/.*` have 1, 1, 2, 1 values"),
        (example(area=[1.0, 2.0]), "`image/object/area` has 2 values for 1 boxes"),
        (example(drop=["object/class/label", "object/class/text"]), "it has 1 boxes and 0 labels"),
        (b"\xff\xff\xff", "it is not a tf.Example"),
    ],
)
def test_a_bad_example_says_file_byte_and_reason(tmp_path, serialized, reason):
    write(tmp_path / "train.record", [example("good"), serialized])
    source = open_at(tmp_path)
    with pytest.raises(errors.BadExampleError, match=rf"record at byte \d+.*: .*{reason}") as caught:
        source.load(source.items("train")[1])
    assert caught.value.file == str(tmp_path / "train.record")
    assert source.load(source.items("train")[0]).source_id == "good"


def test_damaged_bytes_lose_one_example_and_a_cut_file_is_an_error(tmp_path):
    path = tmp_path / "train.record"
    write(path, [example("a"), example("b")])
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    source = open_at(tmp_path)
    with pytest.raises(errors.BadExampleError, match="record at byte 0: its bytes do not match their checksum"):
        source.load(source.items("train")[0])
    assert source.load(source.items("train")[1]).source_id == "b"
    path.write_bytes(content[:-10])
    with pytest.raises(errors.UserError, match=rf"{path}: the file ends within the record at byte {len(content) // 2}"):
        open_at(tmp_path)


def test_boxes_in_pixels_raise_a_question_that_an_option_answers(tmp_path):
    pixels = example(bbox__ymin=[5.0], bbox__xmin=[4.0], bbox__ymax=[15.0], bbox__xmax=[24.0])
    write(tmp_path / "train.record", [pixels])
    with pytest.raises(errors.UserError, match=r"1 of 1 boxes have coordinates above 2.*--box_units=pixels"):
        open_at(tmp_path)
    found = load_one(tmp_path, pixels, box_units="pixels")
    np.testing.assert_array_equal(found.boxes, record("a").boxes)
    with pytest.raises(errors.BadExampleError, match="lies outside"):
        load_one(tmp_path, pixels, box_units="normalized")


def test_an_exif_turned_image_goes_by_the_size_that_the_record_states(tmp_path):
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(coco_folder.image_bytes(size=(48, 64))))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    turned = load_one(tmp_path, example(encoded=[buffer.getvalue()], height=[48], width=[64]))
    assert (turned.height, turned.width, turned.mended) == (48, 64, (image_decoding.TURNED,))
    with pytest.raises(image_decoding.AmbiguousImageError, match="--exif=apply"):
        load_one(tmp_path, example(encoded=[buffer.getvalue()], drop=["height", "width"]))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"no TFRecord file is there; `.*` holds nothing"),
        (
            ["train.record-00000-of-00003", "train.record-00002-of-00003"],
            "1 of its 3 files are missing, the first is n",
        ),
        (["x.record", "train.record"], "which split is `.*x.record`"),
    ],
)
def test_files_that_are_missing_or_unclear_are_an_error(tmp_path, names, message):
    for number, name in enumerate(names):
        write(tmp_path / name, [example(str(number))])
    with pytest.raises(errors.UserError, match=message):
        open_at(tmp_path)


def test_a_file_or_a_pattern_may_be_named(tmp_path):
    for name in ("a.record-00000-of-00002", "a.record-00001-of-00002", "b_val.record"):
        write(tmp_path / name, [example(name)])
    assert [i.source_id for i in open_at(tmp_path / "a.record-00001-of-00002").items("train")] == [
        "a.record-00001-of-00002"
    ]
    assert len(open_at(tmp_path / "a.record*").items("train")) == 2
    with pytest.raises(errors.UserError, match="no TFRecord file is there"):
        open_at(tmp_path / "c.record*")


def test_records_of_other_keys_are_an_error(tmp_path):
    message = examples.encode_example(record("a"), CLASSES)
    message.features.feature["image"].CopyFrom(message.features.feature["image/encoded"])
    del message.features.feature["image/encoded"]
    write(tmp_path / "train.record", [message.SerializeToString()])
    with pytest.raises(errors.UserError, match="lack the Object Detection API's key `image/encoded`.* tfds:NAME"):
        open_at(tmp_path)


def test_data_of_tfds_and_checkpoints_are_not_recognised(tmp_path):
    write(tmp_path / "voc-train.tfrecord-00000-of-00001", [example()])
    assert tfrecord.TfrecordSource.recognises(tmp_path)
    (tmp_path / "features.json").write_text("{}")
    assert tfrecord.TfrecordSource.recognises(tmp_path) is None
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "variables.data-00000-of-00001").write_bytes(b"")
    assert tfrecord.TfrecordSource.recognises(tmp_path / "model") is None
    assert tfrecord.TfrecordSource.recognises(tmp_path / "voc-train.tfrecord-00000-of-00001")
    assert tfrecord.TfrecordSource.recognises(tmp_path / "features.json") is None


def test_the_fingerprint_changes_with_the_data_and_the_answers(tmp_path):
    write(tmp_path / "train.record", [example()])
    first = open_at(tmp_path).fingerprint()
    assert open_at(tmp_path).fingerprint() == first
    os.utime(tmp_path / "train.record", (0, 0))  # as a copy has another time
    assert open_at(tmp_path).fingerprint() == first
    assert open_at(tmp_path, exif="apply").fingerprint() != first
    write(tmp_path / "train.record", [example("b"), example("c")])
    assert open_at(tmp_path).fingerprint() != first


@pytest.mark.parametrize("text", ["[]", "{", '{"class_names": 5}', '{"other": []}'])
def test_a_foreign_dataset_json_is_one_clear_line(tmp_path, text):
    write(tmp_path / "train.record", [example()])
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(errors.UserError, match=r"dataset\.json: "):
        open_at(tmp_path)


# --- labels and texts that contradict each other


def contradicting(root, names="item { id: 1 name: 'car' } item { id: 2 name: 'person' }"):
    if names:
        (root / "map.pbtxt").write_text(names)
    write(root / "train.record", [example(class__label=[2], class__text=[b"car"])])
    return root


def test_a_text_that_the_label_map_contradicts_is_a_question_with_answers(tmp_path):
    root = contradicting(tmp_path)
    with pytest.raises(errors.UserError) as caught:
        open_at(root)
    assert str(caught.value) == (
        f"Dataset `tfrecord:{root}`: 1 boxes have the label 2, in the label map `person`, and the text `car`. Which is"
        f" right? Correct the label map, or say it: tfrecord:{root},classes=label or tfrecord:{root},classes=text."
    )
    for answer, name in (("label", "person"), ("text", "car")):
        source = open_at(f"{root},classes={answer}")
        (label,) = source.load(source.items("train")[0]).labels
        assert source.class_names[label] == name
    prints = {open_at(f"{root},classes={answer}").fingerprint() for answer in ("label", "text")}
    assert len(prints) == 2  # what was ingested with one answer is not taken for the other
    with pytest.raises(errors.UserError, match="`classes` must be label or text: got `both`"):
        open_at(f"{root},classes=both")


@pytest.mark.parametrize("text", [b"Person", b"", b"/m/1"])
def test_a_text_that_says_the_same_is_none(tmp_path, text):
    (tmp_path / "map.pbtxt").write_text("item { id: 2 name: '/m/1' display_name: 'person' }")
    assert load_one(tmp_path, example(class__label=[2], class__text=[text])).labels.tolist() == [0]


def test_flags_may_be_text(tmp_path):
    assert load_one(tmp_path, example(difficult=[b"0"])).is_crowd.tolist() == [False]
    assert load_one(tmp_path, example(difficult=[b"1"])).is_crowd.tolist() == [True]


def test_files_that_begin_with_a_dot_are_nobodys(tmp_path):
    write(tmp_path / "train.record", [example()])
    (tmp_path / "._train.record").write_bytes(b"Mac OS X")
    assert len(open_at(tmp_path).items("train")) == 1


def test_two_words_for_one_split_are_an_error(tmp_path):
    for name in ("train", "val", "valid"):
        write(tmp_path / f"{name}.record", [example(f"{name}.jpg")])
    with pytest.raises(errors.UserError, match=r"`.*/val.record` and `.*/valid.record` both mean val, under two words"):
        open_at(tmp_path)


def test_a_split_without_a_record_is_left_out_with_a_note(tmp_path):
    write(tmp_path / "train.record", [example()])
    (tmp_path / "val.record").touch()
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        source = open_at(tmp_path)
    assert source.splits == ("train",)
    assert notes == [f"{tmp_path}/val.record holds no record; val is left out."]


def test_ids_that_are_one_off_from_the_label_map_are_a_question(tmp_path):
    label_map_text = "".join(f"item {{ id: {key} name: '{name}' }}\n" for key, name in enumerate(CLASSES, start=1))
    (tmp_path / "label_map.pbtxt").write_text(label_map_text)
    labels = [*[1] * 20, 0]
    write(
        tmp_path / "train.record",
        [example(f"{n}", ("object/class/text",), class__label=[key]) for n, key in enumerate(labels)],
    )
    with pytest.raises(errors.UserError) as caught:
        open_at(tmp_path)
    assert f"which `{tmp_path}/label_map.pbtxt` does not list (it has 1 to 2), and no box is of class 2." in str(
        caught.value
    )


@pytest.mark.parametrize("has_map", [True, False])
def test_texts_that_look_alike_name_one_class(tmp_path, has_map):
    texts = ("caf\u00e9", "cafe\u0301 ")
    if has_map:
        (tmp_path / "label_map.pbtxt").write_text(f"item {{ id: 1 name: '{texts[1]}' }}\n", encoding="utf-8")
    records = [example(f"{n}", class__label=[1], class__text=[text.encode()]) for n, text in enumerate(texts)]
    write(tmp_path / "train.record", records)
    source = open_at(tmp_path)
    assert source.class_names == texts[:1]
    assert [source.load(item).labels.tolist() for item in source.items("train")] == [[0], [0]]
    by_text = tfrecord.TfrecordSource.open("", f"{tmp_path},classes=text", base.ReadOptions())
    assert [by_text.load(item).labels.tolist() for item in by_text.items("train")] == [[0], [0]]
