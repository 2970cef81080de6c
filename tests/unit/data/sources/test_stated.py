"""What the formats have in common whose annotations name their images."""

import json

import numpy as np
import pytest

from data import errors, sources
from data.sources import base
from tests import coco_folder, format_folders
from tests.format_folders import Scene, put, write_images


def open_as(kind, root):
    return sources.READERS[kind].open(f"{kind}:{root}", str(root), base.ReadOptions())


def boxes_px(source, split="train"):
    """Lists class and corners of the first image's boxes, px."""
    record = source.load(source.items(split)[0])
    corners = (record.boxes[:, [1, 0, 3, 2]] * [64, 48, 64, 48]).round(3).tolist()
    return [(source.class_names[label], *box) for label, box in zip(record.labels, corners, strict=True)]


def problem(source):
    with pytest.raises(errors.BadExampleError) as caught:
        source.load(source.items("train")[0])
    return caught.value.reason


def write_json(root, table, name="a.json"):
    write_images(root, [Scene("a.jpg")])
    put(root / name, json.dumps(table))
    return root


def via(shape, attributes):
    return {"a.jpg1": {"filename": "a.jpg", "regions": [{"shape_attributes": shape, "region_attributes": attributes}]}}


def labelme(label="car", points=((4, 6), (24, 18)), kind="rectangle", image="a.jpg"):
    shape = {"label": label, "points": [list(point) for point in points], "shape_type": kind}
    return {"shapes": [shape], "imagePath": image, "imageHeight": 48, "imageWidth": 64}


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "rect", "x": "4", "y": 6, "width": 20, "height": 12},
        {"name": "polygon", "all_points_x": [4, 24, 9], "all_points_y": [6, 7, 18]},
        {"name": "ellipse", "cx": 14, "cy": 12, "rx": 10, "ry": 6},
    ],
)
@pytest.mark.parametrize(
    "attributes", [{"anything": "car"}, {"colour": "red", "type": "car"}, {"cls": {"car": True, "person": False}}]
)
def test_vias_shapes_and_attributes(tmp_path, shape, attributes):
    assert boxes_px(open_as("via", write_json(tmp_path, via(shape, attributes)))) == [("car", 4, 6, 24, 18)]


def test_vias_project_and_regions_without_attributes(tmp_path):
    table = via({"name": "circle", "cx": 20, "cy": 20, "r": 10}, {})
    table["a.jpg1"]["regions"] = {"0": table["a.jpg1"]["regions"][0]}
    source = open_as("via", write_json(tmp_path, {"_via_img_metadata": table, "_via_settings": {}}))
    assert boxes_px(source) == [("object", 10, 10, 30, 30)]


def test_a_region_of_several_attributes_is_asked_about(tmp_path):
    rect = {"name": "rect", "x": 4, "y": 6, "width": 20, "height": 12}
    table = via(rect, {"colour": "red", "size": "big"})
    table["b.jpg1"] = {"filename": "b.jpg", "regions": via(rect, {"class": "car"})["a.jpg1"]["regions"]}
    assert problem(open_as("via", write_json(tmp_path, table))) == (
        "a.jpg: a region has the attributes colour, size; which is its class? Call it `class`"
    )


def test_labelmes_circle_is_a_centre_and_a_point(tmp_path):
    source = open_as("labelme", write_json(tmp_path, labelme(points=((20, 20), (23, 24)), kind="circle")))
    assert boxes_px(source) == [("car", 15, 15, 25, 25)]


def test_labelmes_image_goes_by_its_path_or_by_the_files_name(tmp_path):
    renamed = open_as("labelme", write_json(tmp_path / "renamed", labelme(image="..\\old\\before.jpg")))
    assert boxes_px(renamed) == [("car", 4, 6, 24, 18)]
    root = write_json(tmp_path / "both", labelme(image="b.jpg"))
    write_json(root, labelme(), "c.json")
    write_images(root, [Scene("b.jpg"), Scene("c.jpg")])
    put(root / "c.json", json.dumps(labelme(image="c.jpg")))
    assert problem(open_as("labelme", root)).endswith(
        "`imagePath` says b.jpg, and `a.jpg` has its name; correct one of them"
    )


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
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path, name, content, said):
    put(tmp_path / name, content)
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(str(tmp_path))
    assert f"`{tmp_path / name}` is {said}, which is not read. " in str(caught.value)


def test_images_without_an_annotation_are_said_to_be_that(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(coco_folder.image_bytes(number))
    with pytest.raises(errors.UserError, match="It holds 2 images and no annotation. Add the annotations."):
        sources.open_source(str(tmp_path))
