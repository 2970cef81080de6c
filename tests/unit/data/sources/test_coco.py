import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from data import errors, image_decoding, progress, sources
from data.sources import annotated, base, coco
from tests import coco_folder


def open_coco(root):
    return coco.CocoSource.open(f"coco:{root}", str(root), base.ReadOptions())


def open_train(root, train):
    """Writes a train split and opens it; returns the source and its items."""
    source = open_coco(coco_folder.write(root, train=train))
    return source, source.items("train")


def message_of(root, train=None):
    if train is not None:
        coco_folder.write(root, train=train)
    with pytest.raises(errors.UserError) as caught:
        open_coco(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def bad_example(source, item):
    with pytest.raises(errors.BadExampleError) as caught:
        source.load(item)
    return caught.value


# --- what is read


def test_boxes_labels_crowds_and_areas_by_hand(tmp_path):
    annotations = [
        coco_folder.annotation(0, [32, 12, 16, 24], category_id=7, area=99.5),
        coco_folder.annotation(0, [0, 0, 64, 48], category_id=3, iscrowd=1),
    ]
    table = coco_folder.table(1, annotations, {7: "car", 3: "person"})
    source, (item,) = open_train(tmp_path / "set", table)
    assert source.class_names == ("person", "car")  # by category id
    record = source.load(item)
    assert (record.source_id, record.height, record.width, record.image_format) == ("0.jpg", 48, 64, "jpeg")
    assert record.encoded == (tmp_path / "set" / "train" / "0.jpg").read_bytes()
    np.testing.assert_array_equal(record.boxes, np.float32([[0.25, 0.5, 0.75, 0.75], [0, 0, 1, 1]]))
    assert record.labels.tolist() == [1, 0]
    assert record.is_crowd.tolist() == [False, True]
    assert record.area_px.tolist() == [99.5, 64 * 48]  # the JSON's, else the box's


CORNERS = [10, 8, 40, 36]
AROUND_THEM = [[10, 8, 40, 8, 40, 36]]


@pytest.mark.parametrize(
    "says",
    [
        {"area": 30 * 28},
        {"segmentation": AROUND_THEM},
        {"segmentation": AROUND_THEM[0], "area": 420},
        {"segmentation": [[12, 10, 38, 10, 38, 34]], "area": 30 * 28},  # tighter; it lies in the box misread, too
    ],
)
def test_corners_that_areas_or_polygons_tell_are_a_question(tmp_path, says):
    annotations = [coco_folder.annotation(number, CORNERS, **says) for number in range(2)]
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(3, [*annotations, coco_folder.annotation(2)]))
    assert message_of(root) == (
        f"Dataset `coco:{root}`: COCO's `bbox` is x, y, width, height, but the area or polygon of 2 of 3 annotations"
        f" says xmin, ymin, xmax, ymax, as of [10, 8, 40, 36] of annotation 0 in `{root}/train.json`. Write x, y,"
        " width and height, or answer with --box_units=pixels if the boxes are right as they stand."
    )
    assert len(coco.CocoSource.open("", str(root), base.ReadOptions(box_units="pixels")).items("train")) == 3


@pytest.mark.parametrize("says", [{"area": 40 * 36}, {"area": 500}, {"segmentation": [[10, 8, 50, 8, 50, 44]]}, {}])
def test_boxes_that_could_be_corners_are_read_where_nothing_tells(tmp_path, says):
    annotations = [coco_folder.annotation(number, CORNERS, **says) for number in range(2)]
    source, items = open_train(tmp_path / "set", coco_folder.table(2, annotations))
    assert (source.notices, items[0].boxes) == ((), (tuple(CORNERS),))


TRIANGLE = [[10, 8, 40, 8, 40, 36]]  # the box around it is [10, 8, 30, 28]
ELSEWHERE = "that the object lies elsewhere"


@pytest.mark.parametrize(
    ("bbox", "said"),
    [
        ([25, 22, 30, 28], "the centre's x and y, width, height"),
        ([8, 10, 28, 30], "y, x, height, width"),
        ([8, 10, 36, 40], "ymin, xmin, ymax, xmax"),
        ([45, 30, 10, 12], ELSEWHERE),
        ([24, 23, 30, 27], ELSEWHERE),  # nearly the centre, as of polygons that were simplified
    ],
)
def test_polygons_that_lie_elsewhere_than_most_boxes_are_a_question_and_few_are_noted(tmp_path, bbox, said):
    apart = coco_folder.annotation(0, bbox, segmentation=TRIANGLE)
    message = message_of(tmp_path / "most", coco_folder.table(1, [apart]))
    assert f"the area or polygon of 1 of 1 annotations says {said}, as of {bbox} of annotation 0 in" in message
    source, items = open_train(tmp_path / "few", coco_folder.table(2, [apart, coco_folder.annotation(1)]))
    assert [len(item.boxes) for item in items] == [1, 1]
    (notice,) = source.notices
    said = "`segmentation` or `area` contradicts the box in 1 of 2 annotations, as in annotation 0"
    assert notice.detail == f"{said}; the box counts there"


def test_a_small_split_of_boxes_that_look_otherwise_is_noted_and_a_large_one_asked_about(tmp_path):
    for count in (2, 10):
        odd = [coco_folder.annotation(number, CORNERS, area=30 * 28) for number in range(count)]
        tables = {"train": coco_folder.table(30), "val": coco_folder.table(count, odd)}
        root = coco_folder.write(tmp_path / str(count), **tables)
        if count == 10:
            assert "polygon of 10 of 10 annotations says xmin, ymin, xmax, ymax, as of" in message_of(root)
        else:
            (notice,) = open_coco(root).notices
            assert notice.detail.startswith("`segmentation` or `area` contradicts the box in 2 of 2 annotations, as in")


def test_the_question_counts_the_form_that_most_boxes_have(tmp_path):
    boxes = [[45, 30, 10, 12], [44, 30, 10, 12], [25, 22, 30, 28]]
    annotations = [coco_folder.annotation(n, box, segmentation=TRIANGLE) for n, box in enumerate(boxes)]
    message = message_of(tmp_path / "set", coco_folder.table(3, annotations))
    assert f"of 2 of 3 annotations says {ELSEWHERE} (and of 1 more something else), as of [45, 30, 10, 12]" in message
    assert message.endswith(
        "Correct the boxes or the polygons, or answer with --box_units=pixels if the boxes are right as they stand."
    )


@pytest.mark.parametrize(
    ("bbox", "segmentation"),
    [
        ([9, 7, 32, 30], TRIANGLE),  # rounded
        ([2, 1, 60, 46], TRIANGLE),  # looser
        ([20, 10, 15, 20], TRIANGLE),  # of the part that is seen
        ([10, 8, 54, 28], [*TRIANGLE, [50, 10, 90, 10, 90, 30]]),  # cut off at the edge of its image
        ([45, 30, 10, 12], {"size": [48, 64], "counts": [0, 9]}),
        ([45, 30, 10, 12], [[10, 8, 40, 36]]),  # no polygon
        ([45, 30, 10, 12], [[0.1, 0.2, 0.3, 0.2, 0.3, 0.4]]),  # in fractions
        ([45, 30, 10, 12], [[]]),
        ([45, 30, 10, 12], []),
    ],
)
def test_boxes_that_their_polygons_do_not_contradict_are_read(tmp_path, bbox, segmentation):
    annotations = [coco_folder.annotation(0, bbox, segmentation=segmentation)]
    source, items = open_train(tmp_path / "set", coco_folder.table(1, annotations))
    assert (source.notices, items[0].boxes) == ((), (tuple(bbox),))


def test_detectron2s_bbox_mode_is_read_where_it_is_cocos(tmp_path):
    annotations = [coco_folder.annotation(0, bbox_mode=1), coco_folder.annotation(1, bbox_mode=0)]
    assert message_of(tmp_path, coco_folder.table(2, annotations)) == (
        f"{tmp_path}/train.json: annotation 1 has `bbox_mode` 0; only 1 (x, y, width, height in px) is read. Convert"
        " the boxes (detectron2: BoxMode.convert)."
    )
    assert open_train(tmp_path / "set", coco_folder.table(1, annotations[:1]))[1]


@pytest.mark.parametrize("mode", [None, "xywh", "XYWH_ABS", "BoxMode.XYWH_ABS", "1"])
def test_a_bbox_mode_of_cocos_own_boxes_in_any_case_is_read(tmp_path, mode):
    assert open_train(tmp_path, coco_folder.table(1, [coco_folder.annotation(0, bbox_mode=mode)]))[1][0].boxes


def test_an_area_larger_than_its_box_is_left_out_and_noted(tmp_path):
    areas = (9999, 20 * 10 + 20)  # a mask covers a little more than its box
    annotations = [coco_folder.annotation(number, area=area) for number, area in enumerate(areas)]
    source, items = open_train(tmp_path / "set", coco_folder.table(2, annotations))
    assert [source.load(item).area_px.tolist() for item in items] == [[200], [220]]
    (notice,) = source.notices
    assert notice.detail == "`area` is larger than the box in 1 of 2 annotations; the box's counts there"


def test_images_come_sorted_by_name_whatever_the_files_order(tmp_path):
    table = coco_folder.table(12)
    table["images"].reverse()
    _, items = open_train(tmp_path / "set", table)
    assert [item.source_id for item in items] == sorted(f"{n}.jpg" for n in range(12))


def test_an_image_without_objects_is_kept(tmp_path):
    source, items = open_train(tmp_path / "set", coco_folder.table(2, [coco_folder.annotation(0)]))
    assert [len(source.load(item).labels) for item in items] == [1, 0]


@pytest.mark.parametrize("name", ["DontCare", "dontcare", "Dont-Care", "ignore", "Ignored Regions"])
def test_an_ignore_category_becomes_a_crowd_box_for_every_class(tmp_path, name):
    annotations = [coco_folder.annotation(0, category_id=9), coco_folder.annotation(0, category_id=2)]
    table = coco_folder.table(1, annotations, {1: "car", 2: "person", 9: name})
    source, (item,) = open_train(tmp_path / "set", table)
    assert source.class_names == ("car", "person")
    record = source.load(item)
    assert record.labels.tolist() == [0, 1, 1]
    assert record.is_crowd.tolist() == [True, True, False]


def test_category_ids_may_differ_between_splits(tmp_path):
    train = coco_folder.table(1, [coco_folder.annotation(0, category_id=1)], {1: "car", 2: "person"})
    val = coco_folder.table(1, [coco_folder.annotation(0, category_id=5)], {5: "person", 6: "car"})
    root = coco_folder.write(tmp_path / "set", train=train, val=val)
    source = open_coco(root)
    assert source.splits == ("train", "val")
    assert source.class_names == ("car", "person")
    assert source.load(source.items("val")[0]).labels.tolist() == [1]


@pytest.mark.parametrize("images", ["train2017", "images/train2017"])
def test_cocos_own_layout_is_read(tmp_path, images):
    coco_folder.write(tmp_path, train=coco_folder.table(2))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train.json").rename(tmp_path / "annotations" / "instances_train2017.json")
    (tmp_path / images).parent.mkdir(exist_ok=True)
    (tmp_path / "train").rename(tmp_path / images)
    source = open_coco(tmp_path)
    assert len(source.load(source.items("train")[0]).labels) == 1
    said = coco.CocoSource.recognises(tmp_path)
    assert said == f"annotations/instances_train2017.json has its images in {images}/"


def test_one_folder_of_images_may_serve_all_splits(tmp_path):
    coco_folder.write(tmp_path, train=coco_folder.table(3), val=coco_folder.table(3))
    for split, own in (("train", [0, 1]), ("val", [2])):
        table = json.loads((tmp_path / f"{split}.json").read_text())
        table["images"] = [table["images"][number] for number in own]
        table["annotations"] = [entry for entry in table["annotations"] if entry["image_id"] in own]
        (tmp_path / f"{split}.json").unlink()
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"{split}.json").write_text(json.dumps(table))
    (tmp_path / "train").rename(tmp_path / "images")
    for name in (tmp_path / "val").iterdir():
        name.unlink()
    (tmp_path / "val").rmdir()
    source = open_coco(tmp_path)
    assert {split: [item.source_id for item in source.items(split)] for split in source.splits} == {
        "train": ["0.jpg", "1.jpg"],
        "val": ["2.jpg"],
    }
    assert source.notices == ()  # an image of the other split is not an unannotated image


def roboflow(root, **tables):
    """Writes Roboflow's layout: the JSON lies among the images."""
    for folder, table in tables.items():
        coco_folder.write(root, **{folder: table})
        (root / f"{folder}.json").rename(root / folder / "_annotations.coco.json")
    return root


def test_roboflows_layout_is_read_and_its_heading_is_no_class(tmp_path):
    table = coco_folder.table(2)
    table["categories"] = [
        {"id": 0, "name": "road-users", "supercategory": "none"},
        {"id": 1, "name": "car", "supercategory": "road-users"},
        {"id": 2, "name": "person", "supercategory": "road-users"},
    ]
    source = open_coco(roboflow(tmp_path, train=table, valid=table, test=table))
    assert (source.splits, source.class_names) == (sources.SPLITS, ("car", "person"))
    assert source.load(source.items("val")[1]).labels.tolist() == [0]
    said = coco.CocoSource.recognises(tmp_path)
    assert said == "train/_annotations.coco.json has its images beside it"


def test_a_heading_with_boxes_is_a_class(tmp_path):
    table = coco_folder.table(1, [coco_folder.annotation(0, category_id=1), coco_folder.annotation(0, category_id=2)])
    table["categories"][1]["supercategory"] = "car"
    source, _ = open_train(tmp_path / "set", table)
    assert source.class_names == ("car", "person")


@pytest.mark.parametrize(("json_name", "images"), [("result.json", "images"), ("labels.json", "data")])
def test_a_set_without_splits_is_all_train(tmp_path, json_name, images):
    coco_folder.write(tmp_path, train=coco_folder.table(2))
    (tmp_path / "train.json").rename(tmp_path / json_name)
    (tmp_path / "train").rename(tmp_path / images)
    source = open_coco(tmp_path)
    assert (source.splits, len(source.items("train"))) == (("train",), 2)


def test_two_folders_for_one_split(tmp_path):
    message = message_of(roboflow(tmp_path, val=coco_folder.table(1), valid=coco_folder.table(1)))
    assert message == f"`{tmp_path}` has two for val: val, valid. Keep one."


def test_images_that_no_annotation_names_are_noticed(tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(1))
    for name in ("new.png", "notes.txt", ".hidden.jpg"):
        (root / "train" / name).touch()
    (notice,) = open_coco(root).notices
    assert (notice.kind, notice.file) == ("unnamed_image", str(root / "train" / "new.png"))


def test_a_wrong_size_in_the_json_counts_for_nothing_where_the_boxes_fit(tmp_path):
    table = coco_folder.table(1)
    table["images"][0] |= {"height": 480, "width": 640}
    source, (item,) = open_train(tmp_path / "set", table)
    assert (source.load(item).height, source.load(item).width) == (48, 64)


def test_the_fingerprint_follows_what_is_read(tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(2))

    def fingerprint():
        return open_coco(root).fingerprint()

    seen = [fingerprint()]
    (root / "train" / "1.jpg").write_bytes(b"other")
    seen.append(fingerprint())
    (root / "train" / "1.jpg").rename(root / "train" / "2.jpg")
    seen.append(fingerprint())
    (root / "train.json").write_text((root / "train.json").read_text().replace("car", "lorry"))
    seen.append(fingerprint())
    assert len(set(seen)) == len(seen)
    os.utime(root / "train" / "0.jpg", ns=(1, 1))
    (root / "train" / "dangling.jpg").symlink_to(root / "nowhere")
    (root / "train.json").write_text((root / "train.json").read_text() + " ")
    assert fingerprint() == seen[-1]


# --- bad examples


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        (
            [60, 40, 30, 30],
            "box [60, 40, 30, 30] (x, y, width, height in px) lies outside its image of 64x48 px",
        ),
        (
            [9, 9, -3, 4],
            "box [9, 9, -3, 4] (x, y, width, height in px) is inverted (negative width or height)",
        ),
        ([9, 9, 0, 4], "box [9, 9, 0, 4] (x, y, width, height in px) has zero area"),
        (
            [float("nan"), 9, 3, 4],
            "box [nan, 9, 3, 4] (x, y, width, height in px) has a coordinate that is not a number",
        ),
        ([1, 2, 3], "annotation 0 needs a `bbox` of four numbers (x, y, width, height): got [1, 2, 3]"),
        (
            ["one", 2, 3, 4],
            "annotation 0 needs a `bbox` of four numbers (x, y, width, height): got ['one', 2, 3, 4]",
        ),
        (None, "annotation 0 needs a `bbox` of four numbers (x, y, width, height): got None"),
    ],
)
def test_a_bad_box_makes_its_example_bad_and_no_other(tmp_path, bbox, reason):
    annotations = [coco_folder.annotation(0, bbox), coco_folder.annotation(1)]
    source, items = open_train(tmp_path / "set", coco_folder.table(2, annotations))
    error = bad_example(source, items[0])
    assert (error.file, error.reason) == (str(tmp_path / "set" / "train" / "0.jpg"), reason)
    assert len(source.load(items[1]).labels) == 1


def test_an_unlisted_category_makes_its_example_bad(tmp_path):
    table = coco_folder.table(1, [coco_folder.annotation(0, category_id=99)])
    source, (item,) = open_train(tmp_path / "set", table)
    assert bad_example(source, item).reason == "annotation 0 has category_id 99, which `categories` does not list"


@pytest.mark.parametrize(("used", "beyond", "unused", "way"), [((1, 2, 0), 0, 3, "low"), ((2, 3, 4), 4, 1, "high")])
def test_ids_that_are_one_off_are_a_question_however_few_show_it(tmp_path, used, beyond, unused, way):
    ids = [*used[:2] * 20, used[2]]
    table = coco_folder.table(41, [coco_folder.annotation(*pair) for pair in enumerate([coco_folder.BOX] * 41)])
    for entry, key in zip(table["annotations"], ids, strict=True):
        entry["category_id"] = key
    table["categories"] = [{"id": key, "name": name} for key, name in enumerate(("car", "person", "dog"), start=1)]
    assert message_of(tmp_path / "set", table) == (
        f"Dataset `coco:{tmp_path}/set`: annotation 40 of `{tmp_path}/set/train.json` is of class {beyond}, which"
        f" `{tmp_path}/set/train.json` does not list (it has 1 to 3), and no box is of class {unused}. Is every number"
        f" one too {way}? Then give its `categories` the ids that the boxes have, or correct the labels; if not,"
        " correct that one."
    )
    table["annotations"][0]["category_id"] = unused  # both ends are used: a stray
    assert len(open_train(tmp_path / "stray", table)[1]) == 41


def test_roboflows_heading_is_no_end_of_the_list_and_no_category_is_none(tmp_path):
    table = coco_folder.table(3)
    table["categories"] = [{"id": 0, "name": "all", "supercategory": "none"}] + [
        {"id": number, "name": name, "supercategory": "all"} for number, name in enumerate(("car", "dog"), start=1)
    ]
    for entry, key in zip(table["annotations"], (1, 2, 3), strict=True):
        entry["category_id"] = key
    _, items = open_train(tmp_path / "heading", table)
    assert [bool(item.problem) for item in items] == [False, False, True]
    assert "has no class: no annotation can" in message_of(tmp_path / "no", coco_folder.table(1) | {"categories": []})


def test_missing_and_truncated_images_are_bad(tmp_path):
    source, items = open_train(tmp_path / "set", coco_folder.table(2))
    pathlib.Path(items[0].path).unlink()
    pathlib.Path(items[1].path).write_bytes(coco_folder.image_bytes()[:-20])
    assert bad_example(source, items[0]).reason.startswith("the image file does not exist")
    assert "image file is truncated" in bad_example(source, items[1]).reason


def test_a_box_that_only_fits_the_size_in_the_json_names_both(tmp_path):
    table = coco_folder.table(1, [coco_folder.annotation(0, [100, 100, 50, 50])])
    table["images"][0] |= {"height": 480, "width": 640}
    source, (item,) = open_train(tmp_path / "set", table)
    assert bad_example(source, item).reason.endswith(
        "lies outside its image of 64x48 px; the annotation states 640x480 px"
    )


# --- broken datasets


def test_a_path_that_is_missing_or_a_file(tmp_path):
    assert message_of("") == (
        "Dataset `coco:`: the path is missing. Write coco:PATH with the path of an existing folder."
    )
    assert message_of("/no/such") == (
        "Dataset `coco:/no/such`: there is no folder `/no/such`. Write coco:PATH with the path of an existing folder."
    )
    file = tmp_path / "train.json"
    file.touch()
    assert message_of(file) == (f"Dataset `coco:{file}`: `{file}` is a file. Name the folder that holds it.")


def test_a_folder_in_no_layout_names_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "train.json").touch()
    assert message_of(tmp_path) == (
        f"Dataset `coco:{tmp_path}`: looked in `{tmp_path}` for `train.json` beside a folder `train/`,"
        " `annotations/instances_train*.json` with its images, or `train/_annotations.coco.json`, and the same for val"
        " and test; found `train.json`. Add the files or correct the path."
    )


def test_malformed_json_has_its_position(tmp_path):
    coco_folder.write(tmp_path, train=coco_folder.table(1))
    (tmp_path / "train.json").write_text('{\n  "images": [}\n')
    assert message_of(tmp_path) == (
        f"{tmp_path}/train.json: malformed JSON at line 2, column 14: Expecting value. Correct or export it again."
    )


def test_text_that_is_not_utf8_has_its_position(tmp_path):
    coco_folder.write(tmp_path, train=coco_folder.table(1))
    (tmp_path / "train.json").write_bytes(b'{"images": "\xff"}')
    assert message_of(tmp_path) == f"{tmp_path}/train.json: not UTF-8 text at byte 12. Export it again as JSON."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "COCO JSON is one object: got list."),
        (
            {"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 1, "name": "car"}]},
            "COCO JSON needs the key `annotations`: got images, categories. Export it again.",
        ),
        (
            {"images": [], "annotations": []},
            "COCO JSON needs the key `categories`: got images, annotations. Export it again.",
        ),
        (
            {"images": {}, "annotations": [], "categories": [{"id": 1, "name": "car"}]},
            "`images` must be a list of objects.",
        ),
        (
            {"images": [], "annotations": [], "categories": [{"id": 1, "name": "car"}]},
            "`images` is empty. Add images or correct the path.",
        ),
        (
            {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "car"}]},
            "`images[0]` needs a text `file_name` and an `id`, a number or text: got {'id': 1}.",
        ),
        (
            {"images": [], "annotations": [], "categories": [{"name": "car"}]},
            "`categories[0]` needs a text `name` and a whole-number `id` of its own: got {'name': 'car'}.",
        ),
    ],
)
def test_json_that_is_not_coco_names_what_is_wrong(tmp_path, content, message):
    (tmp_path / "train").mkdir()
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert message_of(tmp_path) == f"{tmp_path}/train.json: {message}"


def test_duplicate_names_and_ids(tmp_path):
    table = coco_folder.table(2)
    table["images"][1]["file_name"] = "0.jpg"
    assert "train.json repeats the name `0.jpg`; names must be unique" in message_of(tmp_path / "a", table)
    table["images"][1] |= {"file_name": "1.jpg", "id": 0}
    assert "`images[1]` (1.jpg) and 0.jpg share the id 0" in message_of(tmp_path / "b", table)


def test_annotations_of_no_image_are_noted_or_stop_the_run(tmp_path):
    table = coco_folder.table(1, [coco_folder.annotation(0), coco_folder.annotation(7)])
    source, (item,) = open_train(tmp_path / "a", table)
    assert len(source.load(item).labels) == 1
    file = tmp_path / "a" / "train.json"
    text = "1 of 2 annotations name an image that is not in `images`; they are left out"
    assert source.notices == (annotated.Notice("lost_annotation", str(file), text),)
    table["annotations"] = table["annotations"][1:]
    assert message_of(tmp_path / "b", table).endswith(
        "1 of 1 annotations name an image that is not in `images`, as `image_id` 7 beside `id` 0. Make them agree."
    )


def test_two_annotation_files_for_one_split(tmp_path):
    (tmp_path / "annotations").mkdir()
    for name in ("instances_train2014.json", "instances_train2017.json"):
        (tmp_path / "annotations" / name).touch()
    assert message_of(tmp_path) == (
        f"`{tmp_path}/annotations` has several files for train: instances_train2014.json,"
        " instances_train2017.json. Keep one."
    )


# --- real thermal images


@pytest.fixture(scope="module")
def hituav(shared_data):
    return open_coco(shared_data / "hituav_night_dev")


def test_hituav_is_read_whole(hituav):
    # counts of its own JSON files: annotations, of which DontCare; each DontCare is a crowd box for 4 classes
    published = {"train": (318, 2397, 11), "val": (31, 319, 0), "test": (72, 1091, 2)}
    assert hituav.class_names == ("Person", "Car", "Bicycle", "OtherVehicle")
    objects = np.zeros(4, int)
    for split, (images, annotations, ignored) in published.items():
        records = [hituav.load(item) for item in hituav.items(split)]
        assert len(records) == images
        assert sum(len(record.labels) for record in records) == annotations + 3 * ignored
        assert sum(int(record.is_crowd.sum()) for record in records) == 4 * ignored
        assert {(r.height, r.width, r.image_format) for r in records} == {(512, 640, "jpeg")}
        objects += sum(np.bincount(record.labels[~record.is_crowd], minlength=4) for record in records)
    assert objects[:3].tolist() == [2061, 818, 902]  # its data sheet


def test_hituav_keeps_the_files_bytes(hituav):
    item = hituav.items("val")[0]
    assert hituav.load(item).encoded == pathlib.Path(item.path).read_bytes()
    assert image_decoding.read_image(item.path).image_format == "jpeg"


def test_a_split_without_its_folder_of_images_is_not_left_out_in_silence(tmp_path):
    root = coco_folder.write(tmp_path / "set", **{split: coco_folder.table(1) for split in ("train", "val", "test")})
    shutil.rmtree(root / "val")
    with pytest.raises(errors.UserError, match=r"val\.json` has no folder of images: .*val/` is missing"):
        open_coco(root)


def test_a_split_whose_name_is_misspelt_is_told(tmp_path):
    tables = {split: coco_folder.table(1) for split in ("train", "vall", "test")}
    root = coco_folder.write(tmp_path / "set", **tables)
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        assert open_coco(root).splits == ("train", "test")
    assert notes == [f"{root}/vall.json is not a split (train, val or test) by its name; it is left out."]


@pytest.mark.parametrize("supercategory", [None, [], 3])
def test_a_supercategory_that_is_no_name_heads_nothing(tmp_path, supercategory):
    table = coco_folder.table(1, categories={1: "car", 2: "None"})
    for entry in table["categories"]:
        entry["supercategory"] = supercategory
    root = coco_folder.write(tmp_path / "set", train=table)
    assert open_coco(root).class_names == ("car", "None")


# --- files as people have them


def read_whole(root):
    (item,) = (source := open_coco(root)).items("train")
    return source.load(item), [notice.kind for notice in source.notices]


def write_whole(root, table, json_name="result.json", folder="images"):
    (root / folder).mkdir(parents=True)
    (root / folder / "0.jpg").write_bytes(coco_folder.image_bytes())
    (root / json_name).parent.mkdir(parents=True, exist_ok=True)
    (root / json_name).write_text(json.dumps(table))
    return root


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("images/0.jpg", []), ("images\\0.jpg", []), ("0.JPG", ["inexact_name"]), ("C:\\set\\0.jpg", ["inexact_name"])],
)
def test_names_may_start_from_the_dataset_and_be_written_on_windows(tmp_path, name, kinds):
    table = coco_folder.table(1)
    table["images"][0]["file_name"] = name
    record, found = read_whole(write_whole(tmp_path, table))
    assert (len(record.labels), found) == (1, kinds)


def test_numbers_and_flags_may_be_text_or_floats(tmp_path):
    table = coco_folder.table(1, [coco_folder.annotation(0, ["4", 5.0, "20", 10], iscrowd="0")])
    table["annotations"] += [coco_folder.annotation(0, [30, 8, 9, 25], 2, iscrowd="true")]
    for entry in table["annotations"]:
        entry.update(image_id=0.0, category_id=str(entry["category_id"]), area="200")
    table["images"][0].update(id="0", height="48", width=64.0)
    table["categories"][0]["id"] = "1"
    record, _ = read_whole(write_whole(tmp_path, table))
    assert (record.labels.tolist(), record.is_crowd.tolist()) == ([0, 1], [False, True])
    np.testing.assert_array_equal(record.area_px, [200, 200])


@pytest.mark.parametrize("key", ["iscrowd", "ignore"])
def test_a_flag_that_is_neither_yes_nor_no_makes_its_image_bad(tmp_path, key):
    table = coco_folder.table(1, [coco_folder.annotation(0, **{key: "perhaps"})])
    source = open_coco(write_whole(tmp_path, table))
    assert bad_example(source, source.items("train")[0]).reason == (
        f"annotation 0: `{key}`: a flag is 0 or 1, false or true: got 'perhaps'"
    )


def test_that_every_box_is_ignored_is_said(tmp_path):
    record, kinds = read_whole(write_whole(tmp_path, coco_folder.table(1, [coco_folder.annotation(0, iscrowd="1")])))
    assert (record.is_crowd.tolist(), kinds) == ([True], ["all_ignored"])


def test_categories_of_one_name_are_said_to_be_one_class(tmp_path):
    two = [coco_folder.annotation(0), coco_folder.annotation(0, [30, 8, 9, 25], 2)]
    source = open_coco(write_whole(tmp_path, coco_folder.table(1, two, {1: "car", 2: "car", 3: "car"})))
    assert source.class_names == ("car",)
    assert [(notice.kind, notice.detail) for notice in source.notices] == [("merged_class", "1 and 2 are both `car`")]


def test_an_image_with_two_names_is_an_error(tmp_path):
    table = coco_folder.table(1)
    table["images"][0]["filename"] = "other.jpg"
    assert "`images[0]` is called 0.jpg and other.jpg. Keep one name." in message_of(tmp_path, table)


def test_an_absolute_and_a_relative_name_of_one_file_mean_one_file(tmp_path, monkeypatch):
    table = coco_folder.table(2)
    table["images"][1]["file_name"] = str(tmp_path / "images" / "0.jpg")
    write_whole(tmp_path, table)
    monkeypatch.chdir(tmp_path)
    for root in (".", str(tmp_path)):
        source = open_coco(root)
        for item in source.items("train"):
            assert "mean one file; name each image once" in bad_example(source, item).reason


def test_absolute_names_are_the_images_of_a_relative_folder(tmp_path, monkeypatch):
    table = coco_folder.table(1)
    table["images"][0]["file_name"] = str(tmp_path / "images" / "0.jpg")
    write_whole(tmp_path, table)
    monkeypatch.chdir(tmp_path)
    assert [open_coco(root).notices for root in (".", str(tmp_path))] == [(), ()]


def test_two_entries_that_mean_one_file_are_both_bad_unless_one_names_it_and_the_other_is_empty(tmp_path):
    table = coco_folder.table(2)
    for entry, name in zip(table["images"], ("one/0.jpg", "two/0.jpg"), strict=True):
        entry["file_name"] = name
    source = open_coco(write_whole(tmp_path / "a", table))
    for item in source.items("train"):
        assert bad_example(source, item).reason == "`one/0.jpg` and `two/0.jpg` mean one file; name each image once"
    table["images"][0]["file_name"] = "0.jpg"
    source = open_coco(write_whole(tmp_path / "b", table))
    for item in source.items("train"):
        assert bad_example(source, item).reason == "`0.jpg` and `two/0.jpg` mean one file; name each image once"
    table["annotations"] = table["annotations"][:1]
    source = open_coco(write_whole(tmp_path / "c", table))
    good, bad = source.items("train")
    assert len(source.load(good).labels) == 1
    assert "mean one file" in bad_example(source, bad).reason


def test_names_that_look_alike_are_one_class(tmp_path):
    names = {1: "cat", 2: " cat", 3: "caf\u00e9", 4: "cafe\u0301", 5: "Cat"}
    boxes = [coco_folder.annotation(0, [4 * key, 5, 3, 9], key) for key in names]
    source = open_coco(write_whole(tmp_path, coco_folder.table(1, boxes, names)))
    assert source.class_names == ("cat", "caf\u00e9", "Cat")
    assert source.load(source.items("train")[0]).labels.tolist() == [0, 0, 1, 1, 2]
    merged = ["1 and 2 are both `cat`", "3 and 4 are both `caf\u00e9`"]
    assert [notice.detail for notice in source.notices] == merged


@pytest.mark.parametrize(
    ("json_name", "folder", "split"),
    [
        ("annotations/instances_Train.json", "images/Train", "train"),
        ("annotations/instances_Validation.json", "images/Validation", "val"),
        ("Annotations/instances_default.json", "images/default", "train"),
        ("annotations/anything.json", "photos", "train"),
        ("Train.json", "Train", "train"),
        ("test_labels.json", "images", "test"),
        ("Valid/_annotations.coco.json", "Valid", "val"),
    ],
)
def test_layouts_in_any_case(tmp_path, json_name, folder, split):
    write_whole(tmp_path, coco_folder.table(1), json_name, folder)
    assert coco.CocoSource.recognises(tmp_path)
    source = open_coco(tmp_path)
    assert source.splits == (split,)
    assert len(source.load(source.items(split)[0]).labels) == 1


def test_a_missing_image_is_told_with_the_nearest_that_is_there(tmp_path):
    table = coco_folder.table(1)
    table["images"][0]["file_name"] = "street_1.jpg"
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "street_10.jpg").touch()
    (tmp_path / "result.json").write_text(json.dumps(table))
    source = open_coco(tmp_path)
    error = bad_example(source, source.items("train")[0])
    assert error.file == str(tmp_path / "images" / "street_1.jpg")
    assert error.reason == "the image file does not exist; the nearest is `street_10.jpg`"


def test_the_fingerprint_follows_images_that_lie_elsewhere(tmp_path):
    table = coco_folder.table(1)
    table["images"][0]["file_name"] = "1.JPG"
    root = write_whole(tmp_path, table)
    (root / "more").mkdir()
    (root / "more" / "1.jpg").write_bytes(coco_folder.image_bytes())
    before = open_coco(root).fingerprint()
    (root / "more" / "1.jpg").write_bytes(coco_folder.image_bytes(1) + b"longer")
    assert open_coco(root).fingerprint() != before


# --- what is said twice, and folders that tell the split


def test_a_key_that_comes_twice_is_an_error(tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(1))
    text = (root / "train.json").read_text()
    categories = coco_folder.table(1, categories={1: "person", 2: "car"})["categories"]
    other = json.dumps(categories)
    shown = f"{str(json.loads(text)['categories'])[:40]}... and {str(categories)[:40]}..."
    (root / "train.json").write_text(f'{text[:-1]}, "categories": {other}}}')
    assert message_of(root) == f"{root}/train.json: the key `categories` comes twice, as {shown}. Keep one of them."


def test_a_key_that_comes_twice_is_told_with_its_object(tmp_path):
    table = coco_folder.table(1, [coco_folder.annotation(0, id=17, area=300)])
    root = coco_folder.write(tmp_path / "set", train=table)
    text = (root / "train.json").read_text().replace('"area": 300', '"area": 300, "area": 301')
    (root / "train.json").write_text(text)
    said = "the key `area` comes twice, as 300 and 301, in the object with `id` 17. Keep one of them."
    assert message_of(root) == f"{root}/train.json: {said}"


@pytest.mark.parametrize("name", ["annotations.json", "labels.json"])
def test_every_json_in_a_splits_folder_is_compared(tmp_path, name):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(1))
    first, second = root / "train" / "_annotations.coco.json", root / "train" / name
    (root / "train.json").rename(first)
    second.write_text(json.dumps(coco_folder.table(1, [coco_folder.annotation(0, [1, 2, 3, 4])])))
    assert message_of(root) == f"`{first}` and `{second}` are both train's, and differ. Keep one."
    second.write_text(json.dumps(json.loads(first.read_text()), indent=1, sort_keys=True))
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        open_coco(root)
    assert notes == [f"{second} is left out: `{first}` is read for its split."]


def test_a_second_json_of_a_split_is_an_error_where_it_differs(tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(1))
    second = root / "annotations" / "instances_train.json"
    second.parent.mkdir()
    second.write_text(json.dumps(coco_folder.table(1, [coco_folder.annotation(0, [1, 2, 3, 4])])))
    assert message_of(root) == f"`{root}/train.json` and `{second}` are both train's, and differ. Keep one."
    second.write_text((root / "train.json").read_text())
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        open_coco(root)
    assert notes == [f"{second} is left out: `{root}/train.json` is read for its split."]
    (root / "train" / "_annotations.coco.json").write_text("{}" + json.dumps(coco_folder.table(1)))
    assert message_of(root).startswith(
        f"`{root}/train.json` and `{root}/train/_annotations.coco.json` are both train's"
    )


def test_a_category_name_beside_another_id_is_an_error(tmp_path):
    annotations = [coco_folder.annotation(0, category_id=1, category_name="person")]
    assert message_of(tmp_path / "set", coco_folder.table(1, annotations)) == (
        f"{tmp_path}/set/train.json: annotation 0 has category_id 1, in `categories` `car`, and the category_name"
        " `person`. Which is right decides what every box means: correct one of them."
    )
    annotations = [coco_folder.annotation(0, category_id=1, category_name="Car")]
    assert len(open_train(tmp_path / "same", coco_folder.table(1, annotations))[1][0].boxes) == 1


def test_the_box_around_a_polygon_stands_for_a_missing_one(tmp_path):
    annotations = [coco_folder.annotation(0, None, segmentation=[[4, 6, 24, 6, 24, 18]])]
    del annotations[0]["bbox"]
    _, (item,) = open_train(tmp_path / "set", coco_folder.table(1, annotations))
    assert item.boxes == ((4, 6, 20, 12),)


def test_folders_of_images_tell_the_split_of_a_whole_set(tmp_path):
    table = coco_folder.table(3)
    for image, split in zip(table["images"], ("train", "val", "test"), strict=True):
        image["file_name"] = f"{split}/{image['file_name']}"
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "images" / image["file_name"]).write_bytes(coco_folder.image_bytes())
    (tmp_path / "annotations.json").write_text(json.dumps(table))
    source = open_coco(tmp_path)
    found = {split: [item.source_id for item in source.items(split)] for split in source.splits}
    assert found == {"train": ["train/0.jpg"], "val": ["val/1.jpg"], "test": ["test/2.jpg"]}


def test_a_folder_of_no_split_beside_roboflows_is_noted(tmp_path):
    for split in ("train", "dev"):
        coco_folder.write(tmp_path, **{split: coco_folder.table(1)})
        (tmp_path / f"{split}.json").rename(tmp_path / split / "_annotations.coco.json")
    source = open_coco(tmp_path)
    assert [(notice.kind, notice.file) for notice in source.notices] == [("left_out", str(tmp_path / "dev"))]
