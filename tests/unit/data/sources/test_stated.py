"""What the formats have in common whose annotations name their images."""

import json

import numpy as np
import pytest

from data import errors, sources
from tests import coco_folder, format_folders
from tests.format_folders import Scene, put, write_images
from tests.single_images import RECT, boxes_px, labelme, notices, open_as, problem, via, write_json


def test_one_broken_file_of_many_is_that_images_problem(tmp_path):
    root = format_folders.write_labelme(tmp_path)
    file = root / "train" / "a0.json"
    file.write_text(file.read_text()[:-5])
    assert "malformed JSON at line 1" in problem(open_as("labelme", root))


def test_a_broken_file_of_a_whole_split_ends_with_a_clear_line(tmp_path):
    root = format_folders.write_via(tmp_path)
    file = root / "train" / "via_region_data.json"
    file.write_text(file.read_text()[:-5])
    with pytest.raises(errors.UserError, match=r"via_region_data.json: malformed JSON at line 1"):
        open_as("via", root)


def test_cvats_mask_counts_as_its_box(tmp_path):
    write_images(tmp_path, [Scene("a.jpg")])
    row = '<mask label="car" rle="1, 2" left="4" top="6" width="20" height="12"/>'
    put(tmp_path / "annotations.xml", f'<annotations><image name="a.jpg">{row}</image></annotations>')
    assert boxes_px(open_as("cvat", tmp_path)) == [("car", 4, 6, 24, 18)]


@pytest.mark.parametrize("shape", ["polygon", "polyline", "points"])
def test_cvats_shapes_count_as_the_box_around_them(tmp_path, shape):
    write_images(tmp_path, [Scene("a.jpg")])
    row = f'<{shape} label="car" points="4,6;24,10;9,18"></{shape}>'
    put(tmp_path / "annotations.xml", f'<annotations><image name="a.jpg">{row}</image></annotations>')
    assert boxes_px(open_as("cvat", tmp_path)) == [("car", 4, 6, 24, 18)]


def test_cvat_for_video_is_named(tmp_path):
    put(tmp_path / "annotations.xml", "<annotations><track id='0' label='car'><box/></track></annotations>")
    with pytest.raises(errors.UserError, match="this is CVAT for video, whose images are frames. Export it as CVAT"):
        sources.open_source(str(tmp_path))


def test_visdrones_rows(tmp_path):
    root = tmp_path / "VisDrone2019-DET-train"
    write_images(root / "images", [Scene("a.jpg")])
    put(root / "annotations" / "a.txt", "4,6,20,12,1,4,0,0\n30,8,9,25,0,0,0,0,\n1,1,5,5,0,11,0,0\n")
    source = open_as("visdrone", tmp_path)
    assert (source.splits, source.class_names) == (("train",), ("car", "others"))
    record = source.load(source.items("train")[0])
    cars = record.labels == 0
    np.testing.assert_array_equal(record.is_crowd[cars], [False, True])  # an object, and the ignored region
    assert source.notices == ()


def test_supervisely_says_which_shape_has_no_corners(tmp_path):
    good = {"classTitle": "car", "points": {"exterior": [[4, 6], [24, 18]]}}
    bitmap = {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"origin": [1, 2]}}
    for name, objects in (("a.jpg", [good, bitmap]), ("b.jpg", [good])):
        write_images(tmp_path / "ds0" / "img", [Scene(name)])
        table = {"tags": [], "size": {"height": 48, "width": 64}, "objects": objects}
        put(tmp_path / "ds0" / "ann" / f"{name}.json", json.dumps(table))
    assert problem(open_as("supervisely", tmp_path)).endswith("object 2 (car) is a bitmap, which has no corners")


def test_a_datumaro_label_that_is_none_makes_its_image_bad(tmp_path):
    root = format_folders.write_datumaro(tmp_path)
    file = root / "annotations" / "train.json"
    file.write_text(file.read_text().replace('"label_id": 1', '"label_id": 7'))
    assert problem(open_as("datumaro", root)) == "a0.jpg: an annotation has label_id 7; there are 3 labels, from 0"


def datumaro(*annotations):
    items = [{"id": "a", "image": {"path": "a.jpg"}, "annotations": [{"label_id": 0} | entry for entry in annotations]}]
    good = {"type": "bbox", "label_id": 0, "bbox": [4, 6, 20, 12]}
    items.append({"id": "b", "image": {"path": "b.jpg"}, "annotations": [good]})
    return {"categories": {"label": {"labels": [{"name": "car"}]}}, "items": items}


def test_a_datumaro_mask_is_told_by_its_group_or_makes_its_image_bad(tmp_path):
    mask, box = {"type": "mask", "rle": {}}, {"type": "bbox", "bbox": [4, 6, 20, 12]}
    alone = open_as("datumaro", write_json(tmp_path / "alone", datumaro(mask | {"group": 2}, box | {"group": 1})))
    assert problem(alone) == "a.jpg: an annotation has the type `mask`, which is not read; export it with its bbox"
    grouped = datumaro(mask | {"group": 1}, box | {"group": 1}, {"type": "caption", "caption": "a car"})
    assert boxes_px(open_as("datumaro", write_json(tmp_path / "grouped", grouped))) == [("car", 4, 6, 24, 18)]


def createml(name, key="annotations", name_key="image"):
    coordinates = {"x": 14, "y": 12, "width": 20, "height": 12}
    return {name_key: name, key: [{"label": "car", "coordinates": coordinates}]}


def test_createmls_keys_as_apple_documents_them(tmp_path):
    root = write_json(tmp_path, [createml("a.jpg", "annotation", "imagefilename"), createml("b.jpg")])
    assert boxes_px(open_as("createml", root)) == [("car", 4, 6, 24, 18)]
    assert sources.READERS["createml"].recognises(root) == "a.json is written as createml has it"


@pytest.mark.parametrize("keys", [["objects"], ["annotation", "annotations"]])
def test_a_createml_image_needs_its_annotations_once(tmp_path, keys):
    entry = {"image": "a.jpg"} | {key: [] for key in keys}
    given = ", ".join(f"`{key}`" for key in entry)
    said = f"a.jpg: it needs either the key `annotations` or the key `annotation`: got {given}"
    assert problem(open_as("createml", write_json(tmp_path, [entry, createml("b.jpg")]))) == said


def supervisely(size):
    return {"tags": [], "size": size, "objects": [{"classTitle": "car", "points": {"exterior": [[4, 6], [24, 18]]}}]}


GOOD_VIA = {"b.jpg1": {"filename": "b.jpg", "regions": via(RECT, {"class": "car"})["a.jpg1"]["regions"]}}
OTHER_TYPES = {
    "labelme, a list": ("labelme", [labelme()], "labelme's JSON, one an image, must be an object with keys: got [{"),
    "labelme, flags": ("labelme", labelme(flags=["x"]), "`flags` of shape 1 (car) must be an object with keys"),
    "via, attributes as text": ("via", via('{"name": "rect"}', {}) | GOOD_VIA, "`shape_attributes` must be an object"),
    "via, a list of attributes": ("via", via(RECT, ["car"]) | GOOD_VIA, "`region_attributes` must be an object"),
    "via, points as a number": (
        "via",
        via({"name": "polygon", "all_points_x": 4, "all_points_y": [6]}, {}) | GOOD_VIA,
        "a region of the shape polygon needs numbers: got 4",
    ),
    "via, a point without y": (
        "via",
        via({"name": "polygon", "all_points_x": [4, 5, 6], "all_points_y": [6, 7]}, {}) | GOOD_VIA,
        "needs as many y as x: got 3 and 2",
    ),
    "datumaro, an object as bbox": (
        "datumaro",
        datumaro({"type": "bbox", "bbox": {"x": 1}}),
        "`bbox` needs 4 numbers: got {'x': 1}",
    ),
    "datumaro, a short bbox": (
        "datumaro",
        datumaro({"type": "bbox", "bbox": [1, 2, 3]}),
        "`bbox` needs 4 numbers: got [1, 2, 3]",
    ),
    "datumaro, a point without y": (
        "datumaro",
        datumaro({"type": "polygon", "points": [1, 2, 3]}),
        "a polygon needs as many y as x: got 3 numbers",
    ),
}


@pytest.mark.parametrize("case", OTHER_TYPES)
def test_json_of_other_types_makes_its_image_bad(tmp_path, case):
    kind, table, said = OTHER_TYPES[case]
    root = write_json(tmp_path, table)
    if kind == "labelme":
        write_images(root, [Scene("b.jpg")])
        put(root / "b.json", json.dumps(labelme(image="b.jpg")))
    assert said in problem(open_as(kind, root))


def test_a_supervisely_size_that_is_a_list_makes_its_image_bad(tmp_path):
    for name, size in (("a.jpg", [48, 64]), ("b.jpg", {"height": 48, "width": 64})):
        write_images(tmp_path / "img", [Scene(name)])
        put(tmp_path / "ann" / f"{name}.json", json.dumps(supervisely(size)))
    assert problem(open_as("supervisely", tmp_path)).endswith("`size` must be an object with keys: got [48, 64]")


def test_bdd100ks_crowd_is_a_region_to_ignore(tmp_path):
    box = {"category": "car", "box2d": {"x1": 4, "y1": 6, "x2": 24, "y2": 18}}
    table = [{"name": "a.jpg", "labels": [box | {"attributes": {"crowd": True, "occluded": False}}, box]}]
    source = open_as("bdd100k", write_json(tmp_path, table))
    assert source.items("train")[0].is_crowd == (True, False)


def test_an_unusable_annotation_is_no_name_that_is_not_exact(tmp_path):
    write_json(tmp_path, labelme())
    write_images(tmp_path, [Scene("b.jpg"), Scene("c.jpg"), Scene("d.jpg")])
    put(tmp_path / "b.json", json.dumps(labelme(points=((4, 6),), kind="point", image="b.jpg")))
    put(tmp_path / "c.json", json.dumps(labelme(image="c.jpg"))[:30])
    put(tmp_path / "d.json", "")
    put(tmp_path / "classes.json", "{}")
    source = open_as("labelme", tmp_path)
    assert source.notices == ()
    problems = [item.problem for item in source.items("train")[1:]]
    assert "b.json: shape 1 (car, point) needs two or more points" in problems[0]
    assert all("malformed JSON at line 1" in text for text in problems[1:])


def test_visdrones_files_without_rows_and_with_broken_ones(tmp_path):
    root = tmp_path / "VisDrone2019-DET-train"
    write_images(root / "images", [Scene("a.jpg"), Scene("b.jpg"), Scene("c.jpg")])
    for name, rows in (("a", "4,6,20,12,1,4,0,0\n"), ("b", ""), ("c", "4,6,20,12,1,12,0,0\n")):
        put(root / "annotations" / f"{name}.txt", rows)
    source = open_as("visdrone", tmp_path)
    assert source.notices == ()
    assert [len(item.boxes) for item in source.items("train")] == [1, 0, 0]
    assert "row 1 has category 12" in source.items("train")[2].problem
    assert source.items("train")[1].problem is None


def test_visdrones_labels_that_were_converted_for_yolo_are_not_its_annotations(tmp_path):
    root = tmp_path / "VisDrone2019-DET-train"
    write_images(root / "images", [Scene("a.jpg"), Scene("b.jpg")])
    for name in ("a", "b"):
        put(root / "annotations" / f"{name}.txt", "4,6,20,12,1,4,0,0\n" if name == "a" else "")
        put(root / "labels" / f"{name}.txt", "3 0.5 0.5 0.25 0.5\n")
    source = open_as("visdrone", tmp_path)
    assert boxes_px(source) == [("car", 4, 6, 24, 18)]
    assert [(len(item.boxes), item.problem) for item in source.items("train")] == [(1, None), (0, None)]


def test_bdd100ks_files_without_boxes_are_of_images_without_objects(tmp_path):
    box = {"category": "car", "box2d": {"x1": 4, "y1": 6, "x2": 24, "y2": 18}}
    for name, labels in (("a", [box]), ("b", [{"category": "lane", "poly2d": []}]), ("c", [])):
        write_images(tmp_path / "images" / "100k" / "train", [Scene(f"{name}.jpg")])
        table = {"name": name, "frames": [{"objects": labels}]}
        put(tmp_path / "labels" / "100k" / "train" / f"{name}.json", json.dumps(table))
    source = open_as("bdd100k", tmp_path)
    assert [len(source.load(item).labels) for item in source.items("train")] == [1, 0, 0]
    assert {notice.kind for notice in source.notices} == {"inexact_name"}  # the format names images without an ending


def test_bdd100ks_older_form_is_one_file_an_image(tmp_path):
    write_images(tmp_path / "images" / "100k" / "train", [Scene("a.jpg")])
    labels = [{"category": "car", "box2d": {"x1": 4, "y1": 6, "x2": 24, "y2": 18}}, {"category": "lane", "poly2d": []}]
    put(tmp_path / "labels" / "100k" / "train" / "a.json", json.dumps({"name": "a", "frames": [{"objects": labels}]}))
    assert boxes_px(open_as("bdd100k", tmp_path)) == [("car", 4, 6, 24, 18)]


def test_files_of_no_split_beside_those_of_one_are_asked_about(tmp_path):
    write_json(tmp_path, labelme())
    write_json(tmp_path / "val", labelme())
    with pytest.raises(errors.UserError, match=rf"which split is `{tmp_path}/a.json`\? Others lie in folders of a spl"):
        open_as("labelme", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", '[{"annotations": [{"result": [{"from_name": "x", "to_name": "y"}]}]}]', "Label Studio's own JSON"),
        ("export.ndjson", '{"data_row": {}}', "Labelbox's export"),
        ("all.zip", "PK", "an archive"),
        ("data.parquet", "PAR1", "a Parquet table"),
        ("gt/gt.txt", "1,1,4,6,20,12,1,1,1", "MOTChallenge's tracks"),
        ("labels/a.txt", "imagesource:GoogleEarth", "DOTA's oriented boxes"),
        ("a.json", '[{"label": [{"x": 5, "rectanglelabels": ["car"]}]}]', "Label Studio's own table"),
        ("a.csv", 'image,label\na.jpg,"[{""x"":5,""rectanglelabels"":[""car""]}]"\n', "Label Studio's own table"),
        ("a.csv", "filename,region_shape_attributes,region_attributes\na.jpg,{},{}\n", "VIA's CSV"),
        ("a.json", '[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "a list of detections, as COCO's results"),
        ("train/_darknet.labels", "car\n", "Roboflow's export for Darknet"),
        ("train.txt", "images/0.jpg 10,20,60,90,0 1,2,30,40,1\n", "keras-yolo3's list"),
        ("a.csv", "a.jpg,64,48,car,1,2,30,40\n", "a table of boxes without its header"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path, name, content, said):
    put(tmp_path / name, content)
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(str(tmp_path))
    assert f"`{tmp_path / name}` is {said}, which is not read. " in str(caught.value)


def test_a_format_is_named_among_many_other_files(tmp_path):
    for number in range(30):
        put(tmp_path / "train" / f"{number}.txt", "0 0.5 0.5 0.25 0.5\n")
    put(tmp_path / "train" / "_darknet.labels", "car\n")
    with pytest.raises(errors.UserError, match="is Roboflow's export for Darknet, which is not read"):
        sources.open_source(str(tmp_path))


def test_images_without_an_annotation_are_said_to_be_that(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(coco_folder.image_bytes(number))
    with pytest.raises(errors.UserError, match="It holds 2 images and no annotation. Add the annotations."):
        sources.open_source(str(tmp_path))


# --- what is said twice, and subsets that are no splits

CVAT_BOX = '<box label="car" xtl="4" ytl="6" xbr="24" ybr="18"/>'


def write_cvat(root, **images):
    """Writes annotations.xml with an image for each text of attributes."""
    rows = "".join(f"<image {attributes}>{CVAT_BOX}</image>" for attributes in images.values())
    put(root / "annotations.xml", f"<annotations>{rows}</annotations>")
    return root


def test_cvats_subsets_that_are_no_splits_are_left_out_with_a_notice(tmp_path):
    write_images(tmp_path / "images", [Scene(f"{name}.jpg") for name in "abcde"])
    rows = {"a": "train", "b": "val", "c": "Holdout", "d": "Holdout"}
    images = {name: f'name="{name}.jpg" subset="{subset}"' for name, subset in rows.items()}
    source = open_as("cvat", write_cvat(tmp_path, **images, e='name="e.jpg"'))
    assert {split: [item.source_id for item in source.items(split)] for split in source.splits} == {
        "train": ["a.jpg"],
        "val": ["b.jpg"],
    }
    assert notices(source) == [
        (
            "left_out",
            "annotations.xml",
            "2 images of the subset `Holdout`, which is no split (train, val or test), as c.jpg",
        ),
        ("left_out", "annotations.xml", "1 image of no split (train, val or test), as e.jpg"),
    ]


def test_datumaros_default_subset_beside_train_is_left_out_with_a_notice(tmp_path):
    root = format_folders.write_datumaro(tmp_path, {"train": (Scene("a.jpg", (("car", 4, 6, 24, 18),)),)})
    format_folders.write_datumaro(root, {"default": (Scene("b.jpg", (("car", 4, 6, 24, 18),), 1),)})
    source = open_as("datumaro", root)
    assert source.splits == ("train",)
    assert notices(source) == [("left_out", "default.json", "1 image of no split (train, val or test), as b.jpg")]


def test_an_image_in_the_folder_of_another_split_is_noted(tmp_path):
    for split, name in (("train", "a.jpg"), ("val", "b.jpg"), ("val", "c.jpg")):
        write_images(tmp_path / "images" / split, [Scene(name)])
    rows = {"a": ("train", "train"), "b": ("val", "val"), "c": ("val", "train")}
    images = {name: f'name="{folder}/{name}.jpg" subset="{said}"' for name, (folder, said) in rows.items()}
    source = open_as("cvat", write_cvat(tmp_path, **images))
    assert [item.source_id for item in source.items("train")] == ["train/a.jpg", "val/c.jpg"]
    detail = "its annotation says train, which counts, and its folder val"
    assert notices(source) == [("other_split", "c.jpg", detail)]


def test_one_folder_called_as_a_split_that_all_images_lie_in_says_nothing(tmp_path):
    write_images(tmp_path / "training", [Scene("a.jpg"), Scene("b.jpg")])
    images = {name: f'name="training/{name}.jpg" subset="{split}"' for name, split in (("a", "train"), ("b", "val"))}
    source = open_as("cvat", write_cvat(tmp_path, **images))
    assert (source.splits, notices(source)) == (("train", "val"), [])


def test_a_cvat_image_without_a_name_ends_with_a_clear_line(tmp_path):
    with pytest.raises(
        errors.UserError, match="annotations.xml: `name` of an <image> must be a text: got None. Export"
    ):
        open_as("cvat", write_cvat(tmp_path, a='name="a.jpg"', b='id="1"'))


@pytest.mark.parametrize(("key", "noted"), [("b", True), ("train/b", True), ("a", False), ("7", False), (7, False)])
def test_a_datumaro_id_that_is_another_images_name_is_noted(tmp_path, key, noted):
    write_images(tmp_path, [Scene("b.jpg")])
    table = datumaro({"type": "bbox", "bbox": [4, 6, 20, 12]})
    table["items"][0]["id"] = key
    source = open_as("datumaro", write_json(tmp_path, table))
    assert [item.source_id for item in source.items("train")] == ["a.jpg", "b.jpg"]
    detail = "it is the image of `b` by its path, and `b.jpg` is there, too"
    assert notices(source) == ([("other_id", "a.jpg", detail)] if noted else [])


@pytest.mark.parametrize(("number", "is_bad"), [(1, False), (2, True), ("2", True), (3, False), (None, False)])
def test_a_supervisely_object_whose_class_id_is_another_class_makes_its_image_bad(tmp_path, number, is_bad):
    table = supervisely({"height": 48, "width": 64})
    for name, key in (("a.jpg", number), ("b.jpg", 1)):
        write_images(tmp_path / "ds0" / "img", [Scene(name)])
        objects = [table["objects"][0] | {"classId": key}]
        put(tmp_path / "ds0" / "ann" / f"{name}.json", json.dumps(table | {"objects": objects}))
    classes = [{"title": "car", "id": 1, "shape": "rectangle"}, {"title": "dog", "id": 2, "shape": "rectangle"}]
    put(tmp_path / "meta.json", json.dumps({"classes": classes}))
    source = open_as("supervisely", tmp_path)
    if is_bad:
        assert problem(source).endswith("object 1 is a car, but its `classId` is that of dog in meta.json")
    else:
        assert boxes_px(source) == [("car", 4, 6, 24, 18)]


@pytest.mark.parametrize("content", ["", "[]", '{"classes": {"1": "dog"}}', '{"classes": [{"id": 1}]}'])
def test_a_stray_meta_json_says_nothing_of_superviselys_classes(tmp_path, content):
    table = supervisely({"height": 48, "width": 64})
    write_images(tmp_path / "img", [Scene("a.jpg")])
    put(tmp_path / "ann" / "a.jpg.json", json.dumps(table | {"objects": [table["objects"][0] | {"classId": 1}]}))
    put(tmp_path / "meta.json", content)
    assert boxes_px(open_as("supervisely", tmp_path)) == [("car", 4, 6, 24, 18)]


# --- several annotations, and files of one name


def test_frames_of_one_name_in_two_recordings_go_by_their_paths(tmp_path):
    for folder in ("task1", "task2"):
        write_json(tmp_path / folder, labelme())
    write_images(tmp_path / "task2", [Scene("b.jpg")])
    put(tmp_path / "task2" / "b.json", json.dumps(labelme(image="b.jpg")))
    source = open_as("labelme", tmp_path)
    assert [item.source_id for item in source.items("train")] == ["b.jpg", "task1/a.jpg", "task2/a.jpg"]
    assert all(len(source.load(item).labels) == 1 for item in source.items("train"))


def test_cvats_tasks_with_frames_of_one_name_are_read_together(tmp_path):
    for task in ("task1", "task2"):
        write_images(tmp_path / task / "images", [Scene("frame_000000.jpg")])
        box = '<box label="car" xtl="4" ytl="6" xbr="24" ybr="18"/>'
        xml = f'<annotations><image name="frame_000000.jpg">{box}</image></annotations>'
        put(tmp_path / task / "annotations.xml", xml)
    names = [item.source_id for item in open_as("cvat", tmp_path).items("train")]
    assert names == ["task1/images/frame_000000.jpg", "task2/images/frame_000000.jpg"]


def test_two_files_that_differ_about_an_image_are_both_named(tmp_path):
    root = write_json(tmp_path, labelme())
    put(root / "a (copy).json", json.dumps(labelme("person")))
    write_images(root, [Scene("b.jpg")])
    put(root / "b.json", json.dumps(labelme(image="b.jpg")))
    assert problem(open_as("labelme", root)) == (
        f"`{root}/a (copy).json` and `{root}/a.json` differ about it; keep one annotation of each image"
    )
    put(root / "a (copy).json", json.dumps(labelme()))  # a copy says nothing else
    assert boxes_px(open_as("labelme", root)) == [("car", 4, 6, 24, 18)]


def test_folders_of_images_tell_the_split_of_one_file(tmp_path):
    for name in ("train/a.jpg", "val/b.jpg"):
        write_images(tmp_path / "images" / name[:-6], [Scene(name[-5:])])
    box = '<box label="car" xtl="4" ytl="6" xbr="24" ybr="18"/>'
    rows = "".join(f'<image name="{name}">{box}</image>' for name in ("train/a.jpg", "val/b.jpg"))
    put(tmp_path / "annotations.xml", f"<annotations>{rows}</annotations>")
    source = open_as("cvat", tmp_path)
    found = {split: [item.source_id for item in source.items(split)] for split in source.splits}
    assert found == {"train": ["train/a.jpg"], "val": ["val/b.jpg"]}


def test_a_key_that_comes_twice_in_json_is_an_error(tmp_path):
    write_images(tmp_path, [Scene("a.jpg")])
    regions = json.dumps(via({"name": "rect", "x": 4, "y": 6, "width": 20, "height": 12}, {"class": "car"})["a.jpg1"])
    put(tmp_path / "via.json", f'{{"a.jpg1": {regions}, "a.jpg1": {regions.replace("car", "dog")}}}')
    with pytest.raises(
        errors.UserError, match="via.json: the key `a.jpg1` comes twice, as {.* and {.*. Keep one of the"
    ):
        open_as("via", tmp_path)
    put(tmp_path / "via.json", f'{{"a.jpg1": {regions}, "a.jpg1": {regions}}}')
    assert boxes_px(open_as("via", tmp_path)) == [("car", 4, 6, 24, 18)]
