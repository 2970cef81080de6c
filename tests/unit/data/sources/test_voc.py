import pathlib

import numpy as np
import pytest

from data import errors
from data.sources import base, coco, voc
from tests import format_folders
from tests.format_folders import Scene, put, voc_xml, write_images

SCENES = (Scene("a.jpg", (("car", 4, 6, 24, 18),)), Scene("b.jpg", (("person", 8, 24, 16, 48),), 1))


def open_voc(root):
    return voc.VocSource.open(f"voc:{root}", str(root), base.ReadOptions())


def write_flat(root, scenes=SCENES, annotations="", extra="", database="Unknown"):
    """Writes images and their XML into one folder, or the XML into another."""
    write_images(root, scenes)
    for scene in scenes:
        put(root / annotations / f"{scene.name[:-4]}.xml", voc_xml(scene, database, extra))
    return root


def first(source, split="train"):
    return source.load(source.items(split)[0])


def problem(source):
    with pytest.raises(errors.BadExampleError) as caught:
        first(source)
    return caught.value.reason


def object_xml(name, corners=(1, 1, 64, 48), **fields):
    tags = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    box = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name>{tags}<bndbox>{box}</bndbox></object>"


# --- rules


def test_coordinates_are_read_as_they_stand_except_in_vocs_own_files(tmp_path):
    scene = Scene("a.jpg", (("car", 17, 13, 32, 24),))
    as_written = first(open_voc(write_flat(tmp_path / "tool", [scene])))
    np.testing.assert_allclose(as_written.boxes * [48, 64, 48, 64], [[13, 17, 24, 32]], atol=1e-5)
    from_one = first(open_voc(write_flat(tmp_path / "voc", [scene], database="The VOC2012 Database")))
    np.testing.assert_allclose(from_one.boxes * [48, 64, 48, 64], [[12, 16, 24, 32]], atol=1e-5)


def test_a_box_over_the_whole_image_is_inside_by_either_rule(tmp_path):
    extra = object_xml("car")
    full = first(open_voc(write_flat(tmp_path / "voc", SCENES[:1], extra=extra, database="The VOC2007 Database")))
    np.testing.assert_array_equal(full.boxes[1], [0, 0, 1, 1])
    assert len(first(open_voc(write_flat(tmp_path / "tool", SCENES[:1], extra=extra))).labels) == 2


def test_difficult_objects_and_dontcare_are_regions_to_ignore(tmp_path):
    extra = object_xml("person", difficult=1) + object_xml("DontCare", (2, 2, 9, 9))
    source = open_voc(write_flat(tmp_path, SCENES[:1], extra=extra))
    assert source.class_names == ("car", "person")
    record = first(source)
    assert record.labels.tolist() == [0, 1, 0, 1]
    assert record.is_crowd.tolist() == [False, True, True, True]


def test_parts_of_an_object_are_no_objects(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    extra = object_xml("person").replace("</object>", f"{part}</object>")
    source = open_voc(write_flat(tmp_path, SCENES[:1], extra=extra))
    assert source.class_names == ("car", "person")
    assert len(first(source).labels) == 2


def test_a_stale_filename_in_the_xml_does_not_matter(tmp_path):
    root = write_flat(tmp_path, SCENES[:1])
    put(root / "a.xml", voc_xml(SCENES[0]).replace("a.jpg", "somewhere/else/IMG_1.png"))
    assert open_voc(root).items("train")[0].source_id == "a.jpg"


def test_an_image_that_only_the_filename_in_the_xml_names_is_found(tmp_path):
    root = write_flat(tmp_path, SCENES[:1])
    (root / "a.xml").rename(root / "0001.xml")
    source = open_voc(root)
    assert [item.source_id for item in source.items("train")] == ["a.jpg"]
    assert len(first(source).labels) == 1


# --- layouts


@pytest.mark.parametrize("annotations", ["", "Annotations", "annotations/xmls"])
def test_a_set_without_splits_is_all_train(tmp_path, annotations):
    source = open_voc(write_flat(tmp_path, annotations=annotations))
    assert {split: len(source.items(split)) for split in source.splits} == {"train": 2}


@pytest.mark.parametrize("annotations", ["", "Annotations"])
def test_folders_of_splits_hold_their_own_xml(tmp_path, annotations):
    write_flat(tmp_path / "train", SCENES[:1], annotations)
    write_flat(tmp_path / "valid", SCENES[1:], annotations)
    source = open_voc(tmp_path)
    found = {split: [item.source_id for item in source.items(split)] for split in source.splits}
    assert found == {"train": ["a.jpg"], "val": ["b.jpg"]}


def test_one_folder_of_xml_serves_folders_of_splits_and_its_strays_are_noticed(tmp_path):
    for split, scene in zip(("train", "test"), SCENES, strict=True):
        write_images(tmp_path / split, [scene])
        put(tmp_path / "annotations_xml" / f"{scene.name[:-4]}.xml", voc_xml(scene))
    put(tmp_path / "annotations_xml" / "stray.xml", voc_xml(SCENES[0]))
    write_images(tmp_path / "test", [Scene("unnamed.jpg")])
    source = open_voc(tmp_path)
    assert {split: len(source.items(split)) for split in source.splits} == {"train": 1, "test": 1}
    assert {(notice.kind, pathlib.Path(notice.file).name) for notice in source.notices} == {
        ("lost_annotation", "stray.xml"),
        ("unnamed_image", "unnamed.jpg"),
    }


@pytest.mark.parametrize("below", ["VOCdevkit/VOC2007", "VOC2012"])
def test_the_development_kits_folder_is_found(tmp_path, below):
    format_folders.write_voc(tmp_path / below)
    assert open_voc(tmp_path).splits == ("train", "val", "test")
    assert voc.VocSource.recognises(tmp_path) == f"{below}/Annotations/a0.xml is VOC XML for images in JPEGImages/"


def test_two_years_at_once_end_with_a_question(tmp_path):
    for year in (2007, 2012):
        format_folders.write_voc(tmp_path / f"VOC{year}")
    with pytest.raises(
        errors.UserError, match="holds several VOC datasets: .*VOC2007, .*VOC2012. Name the path of one"
    ):
        open_voc(tmp_path)


def test_lists_may_hold_class_flags_and_endings(tmp_path):
    root = format_folders.write_voc(tmp_path)
    put(root / "ImageSets" / "Main" / "train.txt", "a0  1\na1 -1\n\na2.jpg\n")
    assert [item.source_id for item in open_voc(root).items("train")] == ["a0.jpg", "a1.jpg", "a2.jpg"]


def test_trainval_stands_for_train(tmp_path):
    root = format_folders.write_voc(tmp_path)
    lists = root / "ImageSets" / "Main"
    (lists / "train.txt").rename(lists / "trainval.txt")
    (lists / "val.txt").unlink()
    assert open_voc(root).splits == ("train", "test")


# --- what is broken


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation>\n  <object></annotation>", "malformed XML at line 2, column 13: mismatched tag"),
        ("", "malformed XML at line 1, column 1: no element found"),
        ("<annotation><object/></annotation>", "object 1 has no `name`"),
        (
            "<annotation><object><name>car</name></object></annotation>",
            "object 1 (car) needs a number in `bndbox/xmin`: it is missing",
        ),
        (
            f"<annotation>{object_xml('car', (1, 'two', 3, 4))}</annotation>",
            "object 1 (car) needs a number in `bndbox/ymin`: got `two`",
        ),
    ],
)
def test_broken_xml_makes_its_example_bad_and_no_other(tmp_path, text, reason):
    root = write_flat(tmp_path)
    put(root / "a.xml", text)
    source = open_voc(root)
    assert problem(source) == f"{root}/a.xml: {reason}"
    assert len(source.load(source.items("train")[1]).labels) == 1


def test_a_listed_image_without_xml_is_bad(tmp_path):
    root = format_folders.write_voc(tmp_path)
    (root / "Annotations" / "a0.xml").unlink()
    assert problem(open_voc(root)) == "there is no XML file for `a0`"


def test_xml_whose_image_is_missing_is_bad(tmp_path):
    root = write_flat(tmp_path)
    (root / "a.jpg").unlink()
    assert problem(open_voc(root)).startswith("the image file does not exist")


def test_a_size_of_zero_states_nothing(tmp_path):
    root = write_flat(tmp_path, SCENES[:1])
    put(root / "a.xml", voc_xml(SCENES[0]).replace("<width>64</width>", "<width>0</width>"))
    assert open_voc(root).items("train")[0].size is None


def test_other_xml_is_not_recognised(tmp_path):
    put(tmp_path / "pom.xml", "<project/>")
    assert voc.VocSource.recognises(tmp_path) is None


# --- real thermal images


def test_hituavs_xml_gives_the_boxes_of_its_json(shared_data):
    folder = shared_data / "hituav_night_dev"
    from_xml = open_voc(folder)
    from_json = coco.CocoSource.open(f"coco:{folder}", str(folder), base.ReadOptions())
    assert from_xml.splits == from_json.splits
    assert from_xml.notices == from_json.notices == ()
    num_boxes = 0
    for split in from_json.splits:
        for item, same in zip(from_json.items(split), from_xml.items(split), strict=True):
            assert (item.source_id, item.size) == (same.source_id, same.size)
            x1, y1, x2, y2 = np.array(same.boxes).reshape(-1, 4).T
            np.testing.assert_array_equal(np.array(item.boxes).reshape(-1, 4), np.stack([x1, y1, x2 - x1, y2 - y1], 1))
            assert [names(from_json)[label] for label in item.labels] == [names(from_xml)[n] for n in same.labels]
            num_boxes += len(item.boxes)
        expected, got = from_json.load(from_json.items(split)[0]), from_xml.load(from_xml.items(split)[0])
        np.testing.assert_array_equal(expected.boxes, got.boxes)
    assert num_boxes == 3807  # annotations in its three JSON files


def names(source):
    return dict(enumerate(source.class_names)) | {-1: "DontCare"}


def test_images_that_share_a_name_are_told_apart_by_nobody(tmp_path):
    for camera in ("cam1", "cam2"):
        write_images(tmp_path / "JPEGImages" / camera, SCENES[:1])
    put(tmp_path / "Annotations" / "a.xml", voc_xml(SCENES[0]))
    put(tmp_path / "Annotations" / "b.xml", voc_xml(SCENES[1]))
    source = open_voc(tmp_path)
    reasons = []
    for item in source.items("train"):
        with pytest.raises(errors.BadExampleError) as caught:
            source.load(item)
        reasons.append(caught.value.reason)
    assert sum("`cam1/a.jpg` and `cam2/a.jpg` have its name" in reason for reason in reasons) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<foo/>", "its root is <foo>, where VOC has <annotation>"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "unknown encoding"),
    ],
)
def test_xml_of_another_kind_is_a_problem_of_its_image(tmp_path, text, words):
    write_flat(tmp_path)
    put(tmp_path / "a.xml", text)
    assert words in problem(open_voc(tmp_path))
    assert voc.VocSource.recognises(tmp_path) or text == "<foo/>"
