import pathlib

import numpy as np
import pytest

from data import errors, progress
from data.sources import base, coco, voc, xml_files
from tests import coco_folder, format_folders
from tests.format_folders import Scene, put, voc_xml, write_images
from tests.single_images import notices

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


def test_files_of_a_voc_database_with_a_corner_below_1_are_all_read_from_0_with_a_notice(tmp_path):
    scenes = [Scene("a.jpg", (("car", 0, 0, 32, 24),)), Scene("b.jpg", (("car", 17, 13, 32, 24),), 1)]
    source = open_voc(write_flat(tmp_path, scenes, database="The VOC2007 Database"))
    assert [item.boxes for item in source.items("train")] == [((0, 0, 32, 24),), ((17, 13, 32, 24),)]
    detail = (
        "2 XML files name a VOC database, which counts from 1; 1 of them with a corner below 1, so all are read from 0"
    )
    assert notices(source) == [("counted_from_0", "a.jpg", detail)]


@pytest.mark.parametrize("corners", [(-3, 4, 20, 20), (0, 4, 90, 20), (20, 0, 4, 20)])
def test_a_broken_box_moves_no_other_one_of_a_voc_database(tmp_path, corners):
    scenes = [Scene("a.jpg", (("car", *corners),)), Scene("b.jpg", (("car", 17, 13, 32, 24),), 1)]
    source = open_voc(write_flat(tmp_path, scenes, database="The VOC2007 Database"))
    assert (source.items("train")[1].boxes, notices(source)) == (((16, 12, 32, 24),), [])


def test_a_turned_box_of_a_voc_database_is_judged_as_it_stands(tmp_path):
    attributes = "<attributes><attribute><name>rotation</name><value>90</value></attribute></attributes>"
    scenes = [Scene("a.jpg", (("car", 1, 21, 40, 28),)), Scene("b.jpg", (("car", 17, 13, 32, 24),), 1)]
    write_flat(tmp_path, scenes, database="The VOC2007 Database")
    text = (tmp_path / "a.xml").read_text()
    put(tmp_path / "a.xml", text.replace("</object>", f"<occluded>0</occluded>{attributes}</object>"))
    source = open_voc(tmp_path)
    assert [item.boxes[0] for item in source.items("train")] == [pytest.approx((16, 4, 24, 44)), (16, 12, 32, 24)]


def test_a_box_over_the_whole_image_is_inside_by_either_rule(tmp_path):
    extra = object_xml("car")
    full = first(open_voc(write_flat(tmp_path / "voc", SCENES[:1], extra=extra, database="The VOC2007 Database")))
    np.testing.assert_array_equal(full.boxes[1], [0, 0, 1, 1])
    assert len(first(open_voc(write_flat(tmp_path / "tool", SCENES[:1], extra=extra))).labels) == 2


TWICE = {
    "boxes": ("</bndbox>", "</bndbox><bndbox><xmin>4</xmin><ymin>6</ymin><xmax>60</xmax><ymax>18</ymax></bndbox>"),
    "names": ("<name>car</name>", "<name>car</name><name>dog</name>"),
    "corners": ("<xmax>24</xmax>", "<xmax>24</xmax><xmax>60</xmax>"),
    "flags": ("<difficult>0</difficult>", "<difficult>0</difficult><difficult>1</difficult>"),
    "polygon": (
        "</bndbox>",
        "</bndbox><polygon><x1>40</x1><y1>30</y1><x2>60</x2><y2>30</y2><x3>60</x3><y3>44</y3></polygon>",
    ),
}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("boxes", "object 1 (car) has several `bndbox/xmax`: 24 and 60; keep one"),
        ("names", "object 1 has several `name`: car and dog; keep one"),
        ("corners", "object 1 (car) has several `bndbox/xmax`: 24 and 60; keep one"),
        ("flags", "object 1 (car) has several `difficult`: 0 and 1; keep one"),
        ("polygon", "object 1 (car) has a `polygon` outside its `bndbox`; correct one of them"),
    ],
)
def test_an_object_that_says_two_things_makes_its_image_bad(tmp_path, case, reason):
    write_flat(tmp_path)
    put(tmp_path / "a.xml", voc_xml(SCENES[0]).replace(*TWICE[case]))
    assert problem(open_voc(tmp_path)) == f"{tmp_path}/a.xml: {reason}"


@pytest.mark.parametrize(
    "more",
    [
        "<bndbox><xmin>4.0</xmin><ymin>6</ymin><xmax>24.00</xmax><ymax>18</ymax></bndbox>",
        "<polygon><x1>3.6</x1><y1>6.2</y1><x2>24.4</x2><y2>6</y2><x3>24</x3><y3>18.3</y3></polygon>",
        "<polygon><x1>4</x1><y1>6</y1><x2>9</x2><y2>6</y2><x3>9</x3><y3>8</y3></polygon>",  # of the part that is seen
        "<polygon><x1>1</x1><y1>1</y1><x2>60</x2><y2>1</y2><x3>60</x3><y3>46</y3></polygon>",  # looser
        "<polygon><x1>4</x1></polygon>",
        "<name> car </name>",
    ],
)
def test_an_object_that_says_a_thing_twice_is_read(tmp_path, more):
    write_flat(tmp_path, SCENES[:1])
    put(tmp_path / "a.xml", voc_xml(SCENES[0]).replace("</bndbox>", f"</bndbox>{more}"))
    np.testing.assert_allclose(first(open_voc(tmp_path)).boxes * [48, 64, 48, 64], [[6, 4, 18, 24]], atol=1e-5)


def test_what_labelme_calls_deleted_is_no_object(tmp_path):
    extra = object_xml("person", deleted=1) + "<object><deleted>1</deleted></object>" + object_xml("dog", deleted=0)
    assert open_voc(write_flat(tmp_path, SCENES[:1], extra=extra)).class_names == ("car", "dog")


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


def test_trainval_without_val_is_train_where_val_is_listed(tmp_path):
    root = format_folders.write_voc(tmp_path)
    lists = root / "ImageSets" / "Main"
    put(lists / "trainval.txt", (lists / "train.txt").read_text() + (lists / "val.txt").read_text())
    (lists / "train.txt").unlink()
    source = open_voc(root)
    assert {split: [item.source_id for item in source.items(split)] for split in source.splits} == {
        "train": ["a0.jpg", "a1.jpg", "a2.jpg"],
        "val": ["b0.jpg"],
        "test": ["c0.jpg"],
    }
    assert source.notices == ()


def test_names_that_end_in_a_number_are_no_names_with_a_flag(tmp_path):
    names = ("cat", "cat 1", "dog 0", "a  b")
    for name in names:
        scene = Scene(f"{name}.jpg", (("car", 4, 6, 24, 18),))
        write_images(tmp_path / "JPEGImages", [scene])
        put(tmp_path / "Annotations" / f"{name}.xml", format_folders.voc_xml(scene))
    put(tmp_path / "ImageSets" / "Main" / "train.txt", "cat\ndog 0\na  b\n")
    put(tmp_path / "ImageSets" / "Main" / "val.txt", "cat 1\n")
    source = open_voc(tmp_path)
    assert [item.source_id for item in source.items("train")] == ["a  b.jpg", "cat.jpg", "dog 0.jpg"]
    assert [item.source_id for item in source.items("val")] == ["cat 1.jpg"]
    assert source.notices == ()


def test_lists_of_single_classes_alone_are_left_out_with_a_note(tmp_path):
    root = format_folders.write_voc(tmp_path)
    lists = root / "ImageSets" / "Main"
    for split in ("train", "val", "test"):
        (lists / f"{split}.txt").rename(lists / f"cat_{split}.txt")
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        assert open_voc(root).splits == ("train",)
    assert notes == [
        f"{lists} has lists, as cat_test.txt, cat_train.txt, cat_val.txt, but none of a whole split, as train.txt; they"
        " are left out."
    ]


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
    ("text", "words", "is_recognised"),
    [
        ("<foo/>", "its root is <foo>, where VOC has <annotation>", False),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "unknown encoding", True),
    ],
)
def test_xml_of_another_kind_is_a_problem_of_its_image(tmp_path, text, words, is_recognised):
    write_flat(tmp_path)
    put(tmp_path / "a.xml", text)
    assert words in problem(open_voc(tmp_path))
    assert bool(voc.VocSource.recognises(tmp_path)) == is_recognised


# --- files as people have them


def test_the_photo_is_told_from_its_mask_by_the_filename(tmp_path):
    write_flat(tmp_path, SCENES[:1])
    (tmp_path / "a.png").write_bytes(coco_folder.image_bytes(9, "PNG"))
    (item,) = open_voc(tmp_path).items("train")
    assert item.source_id == "a.jpg"


@pytest.mark.parametrize("filename", ["", "unknown.jpg"])
def test_a_photo_and_its_mask_that_nothing_tells_apart_are_an_error_that_names_both(tmp_path, filename):
    write_flat(tmp_path)
    (tmp_path / "a.png").write_bytes(coco_folder.image_bytes(9, "PNG"))
    put(tmp_path / "a.xml", voc_xml(SCENES[0]).replace("a.jpg", filename))
    assert problem(open_voc(tmp_path)).endswith("`a.jpg` and `a.png` have its name; say which in `filename`")


def test_a_filename_that_names_another_image_is_noted(tmp_path):
    write_flat(tmp_path)
    put(tmp_path / "a.xml", voc_xml(SCENES[0]).replace("a.jpg", "b.jpg"))
    source = open_voc(tmp_path)
    assert [item.source_id for item in source.items("train")] == ["a.jpg", "b.jpg"]
    assert [(notice.kind, notice.detail) for notice in source.notices] == [("other_filename", "`filename` says b.jpg")]


def test_an_image_goes_by_a_filename_without_an_ending(tmp_path):
    write_images(tmp_path / "images", [Scene("shot 1.JPG")])
    put(tmp_path / "annotations" / "0.xml", voc_xml(SCENES[0]).replace("a.jpg", "shot 1"))
    source = open_voc(tmp_path)
    assert [item.source_id for item in source.items("train")] == ["shot 1.JPG"]
    assert [notice.kind for notice in source.notices] == ["inexact_name"]


def test_flat_and_nested_files_are_paired_by_their_paths(tmp_path):
    for folder in ("", "batch2"):
        write_images(tmp_path / "JPEGImages" / folder, SCENES[:1])
        put(tmp_path / "Annotations" / folder / "a.xml", voc_xml(SCENES[0]))
    source = open_voc(tmp_path)
    assert [item.source_id for item in source.items("train")] == ["a.jpg", "batch2/a.jpg"]
    assert all(len(source.load(item).labels) == 1 for item in source.items("train"))
    assert source.notices == ()


@pytest.mark.parametrize("folder", ["annots", "Labels_XML", "ANNOTATIONS"])
def test_xml_is_known_wherever_it_lies(tmp_path, folder):
    write_images(tmp_path / "images", SCENES)
    for scene in SCENES:
        put(tmp_path / folder / f"{scene.name[:-4]}.XML", voc_xml(scene))
    assert f"{folder}/a.XML is VOC XML" in voc.VocSource.recognises(tmp_path)
    assert len(first(open_voc(tmp_path)).labels) == 1


def test_files_that_begin_with_a_dot_are_nobodys(tmp_path):
    write_flat(tmp_path)
    for name in ("._a.xml", "._a.jpg", "._b.xml"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7Mac OS X")
    source = open_voc(tmp_path)
    assert [item.source_id for item in source.items("train")] == ["a.jpg", "b.jpg"]
    assert source.notices == ()


def test_lists_are_known_in_any_case_and_what_they_leave_out_is_said(tmp_path):
    scenes = (*SCENES, Scene("c.jpg", SCENES[0].boxes, 2))
    root = format_folders.write_voc(tmp_path, {"Train": scenes[:1], "Validation": scenes[1:2], "extra": scenes[2:]})
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        source = open_voc(root)
    assert {split: [item.source_id for item in source.items(split)] for split in source.splits} == {
        "train": ["a.jpg"],
        "val": ["b.jpg"],
    }
    assert [(notice.kind, notice.file) for notice in source.notices] == [
        ("left_out", str(root / "Annotations" / "c.xml"))
    ]
    lists = root / "ImageSets" / "Main"
    assert notes == [f"{lists}/extra.txt is not a split (train, val or test) by its name; it is left out."]


@pytest.mark.parametrize(
    "points",
    [
        "<x1>4</x1><y1>6</y1><x2>24</x2><y2>6</y2><x3>24</x3><y3>18</y3>",
        "<pt><x>4</x><y>6</y></pt><pt><x>24</x><y>10</y></pt><pt><x>9</x><y>18</y></pt>",
    ],
)
def test_a_polygon_counts_as_the_box_around_it(tmp_path, points):
    extra = f"<object><name>car</name><polygon>{points}</polygon></object>"
    record = first(open_voc(write_flat(tmp_path, [Scene("a.jpg")], extra=extra)))
    np.testing.assert_allclose(record.boxes * [48, 64, 48, 64], [[6, 4, 18, 24]], atol=1e-5)


def test_a_polygon_without_points_makes_its_image_bad(tmp_path):
    extra = "<object><name>car</name><polygon><x1>4</x1></polygon></object>"
    write_flat(tmp_path)
    put(tmp_path / "a.xml", voc_xml(SCENES[0], extra=extra))
    assert problem(open_voc(tmp_path)).endswith(
        "object 2 (car) needs three points of numbers in `polygon`, or a `bndbox`"
    )


@pytest.mark.parametrize(("text", "is_crowd"), [("1", True), ("true", True), ("0", False), ("False", False)])
def test_difficult_may_be_a_word(tmp_path, text, is_crowd):
    source = open_voc(write_flat(tmp_path, [Scene("a.jpg")], extra=object_xml("car", difficult=text)))
    assert first(source).is_crowd.tolist() == [is_crowd]


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", 'encoding="utf-8"'),
        ("utf-8", 'encoding="UTF-16"'),
        ("utf-8-sig", ""),
        ("utf-16", 'encoding="utf-8"'),
        ("utf-16-le", 'encoding="utf-16"'),
        ("gbk", "encoding='GBK'"),
        ("latin-1", 'encoding="ISO-8859-1"'),
    ],
)
def test_xml_is_read_in_its_own_encoding_whatever_it_declares(tmp_path, encoding, declared):
    name = "车" if encoding not in ("latin-1",) else "vélo"
    write_flat(tmp_path, SCENES[:1])
    text = f'<?xml version="1.0" {declared}?>\n' + voc_xml(SCENES[0]).replace("car", name)
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    assert open_voc(tmp_path).class_names == (name,)


def test_when_no_file_can_be_read_the_error_says_so(tmp_path):
    write_flat(tmp_path, SCENES[:1])
    put(tmp_path / "a.xml", "<annotation>")
    with pytest.raises(errors.UserError, match="has no class: no annotation can be read. First problem: .*malformed"):
        open_voc(tmp_path)


# --- splits that only folders of images tell, and what lies beside


def test_folders_of_images_and_xml_tell_the_split(tmp_path):
    for split, scene in zip(("train", "test"), SCENES, strict=True):
        write_images(tmp_path / "images" / split, [scene])
        put(tmp_path / "annotations" / split / f"{scene.name[:-4]}.xml", voc_xml(scene))
    source = open_voc(tmp_path)
    found = {split: [item.source_id for item in source.items(split)] for split in source.splits}
    assert found == {"train": ["train/a.jpg"], "test": ["test/b.jpg"]}


def test_a_folder_of_no_split_is_noted(tmp_path):
    write_flat(tmp_path / "train", SCENES[:1])
    write_flat(tmp_path / "dev", SCENES[1:])
    notices = [(notice.kind, notice.file, notice.detail) for notice in open_voc(tmp_path).notices]
    assert notices == [
        ("left_out", f"{tmp_path}/dev", "1 XML file is not read, as b.xml"),
        ("left_out", f"{tmp_path}/dev", "1 image that is not read, as b.jpg"),
    ]


@pytest.mark.parametrize("folder", ["labels", "images", "more"])
def test_xml_in_a_second_folder_is_noted_and_where_it_differs_said(tmp_path, folder):
    write_images(tmp_path / "images", SCENES)
    for scene in SCENES:
        put(tmp_path / "Annotations" / f"{scene.name[:-4]}.xml", voc_xml(scene))
    put(tmp_path / folder / "a.xml", voc_xml(Scene("a.jpg", (("person", 1, 1, 9, 9),))))
    detail = f"1 XML file is not read, as a.xml; `{tmp_path}/Annotations/a.xml` is read, which states other objects"
    assert [(notice.kind, notice.file, notice.detail) for notice in open_voc(tmp_path).notices] == [
        ("left_out", str(tmp_path / folder), detail)
    ]
    put(tmp_path / folder / "a.xml", voc_xml(SCENES[0]))
    assert open_voc(tmp_path).notices[0].detail == "1 XML file is not read, as a.xml"


def test_a_copy_of_the_xml_is_not_parsed_file_by_file(tmp_path, monkeypatch):
    scenes = [Scene(f"{number}.jpg", (("car", 4, 6, 24, 18),), number) for number in range(5)]
    write_images(tmp_path / "images", scenes)
    for folder in ("Annotations", "backup"):
        for scene in scenes:
            put(tmp_path / folder / f"{scene.name[:-4]}.xml", voc_xml(scene))
    parsed, parse = [], xml_files.parse
    monkeypatch.setattr(xml_files, "parse", lambda file: parsed.append(file) or parse(file))
    (notice,) = open_voc(tmp_path).notices
    assert notice.detail == "5 XML files are not read, as 0.xml"
    assert len([file for file in parsed if file.parent.name == "backup"]) == 1
