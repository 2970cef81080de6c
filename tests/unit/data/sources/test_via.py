import json

import pytest

from data import errors
from tests.format_folders import Scene, put, write_images
from tests.single_images import RECT, boxes_px, open_as, problem, via, write_json


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


def two_images(first, *others):
    """Makes the JSON of a.jpg, whose region has the attributes `first`, and of others."""
    table = via(RECT, first)
    for name, attributes in zip("bcd", others, strict=False):
        table[name] = via(RECT, attributes)["a.jpg1"] | {"filename": f"{name}.jpg"}
    return table


def test_regions_of_several_attributes_are_asked_about(tmp_path):
    table = two_images({"colour": "red", "size": "big"}, {"colour": "blue"})
    with pytest.raises(errors.UserError) as caught:
        open_as("via", write_json(tmp_path, table))
    said = f"{tmp_path}/a.json: the regions have the attributes colour, size; which is their class? Call it `class`."
    assert str(caught.value) == said


@pytest.mark.parametrize("attributes", [{}, {"occluded": "yes"}, {"class": ""}, {"colour": "red", "size": "big"}])
def test_a_region_without_the_attribute_that_is_the_class_makes_its_image_bad(tmp_path, attributes):
    source = open_as("via", write_json(tmp_path, two_images(attributes, {"class": "cat", "occluded": "no"})))
    assert source.class_names == ("cat",)
    assert problem(source).startswith("a.jpg: attribute `class` of a region must be a text: got ")


def test_the_attribute_of_the_class_is_the_same_in_all_files(tmp_path):
    root = write_json(tmp_path / "train", two_images({"occluded": "yes"}))
    write_images(root, [Scene("b.jpg")])
    put(
        root / "b.json",
        json.dumps({"b": via(RECT, {"occluded": "no", "Class": "cat"})["a.jpg1"] | {"filename": "b.jpg"}}),
    )
    source = open_as("via", tmp_path)
    assert source.class_names == ("cat",)
    assert [bool(item.problem) for item in source.items("train")] == [True, False]


def test_the_only_attribute_of_each_file_is_its_class(tmp_path):
    for split, attributes in (("train", {"class": "car"}), ("val", {"label": "dog"})):
        write_json(tmp_path / split, via(RECT, attributes))
    source = open_as("via", tmp_path)
    assert source.class_names == ("car", "dog")
    assert not any(item.problem for split in source.splits for item in source.items(split))


def test_class_is_the_class_whatever_else_could_be_it(tmp_path):
    source = open_as("via", write_json(tmp_path, via(RECT, {"type": "round", "class": "cat", "name": "Tom"})))
    assert source.class_names == ("cat",)


def test_an_image_without_a_name_ends_with_a_clear_line(tmp_path):
    table = two_images({}, {})
    del table["b"]["filename"]
    with pytest.raises(errors.UserError, match="a.json: `filename` of an image must be a text: got None. Export it"):
        open_as("via", write_json(tmp_path, table))


def test_a_via_file_of_other_types_ends_with_a_clear_line(tmp_path):
    table = {"regions": "none", "filename": "a.jpg"}
    with pytest.raises(errors.UserError, match=r"a.json: .*its images must be a list of objects. Export it again.$"):
        open_as("via", write_json(tmp_path, table))
