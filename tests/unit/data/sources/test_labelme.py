import json

import pytest

from tests.format_folders import Scene, put, write_images
from tests.single_images import boxes_px, labelme, open_as, problem, write_json


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
    source = open_as("labelme", root)
    assert problem(source).endswith("a.json: it says b.jpg, and `a.jpg` has its name; correct one of them")
    assert [item.source_id for item in source.items("train") if item.problem] == ["a.jpg"]


@pytest.mark.parametrize("path", ["{}.jpg", "../images/{}.jpg"])
def test_images_that_changed_places_in_another_folder_are_not_taken(tmp_path, path):
    write_images(tmp_path / "images", [Scene("0.jpg"), Scene("1.jpg"), Scene("2.jpg")])
    for name, other in (("0", "1"), ("1", "0"), ("2", "2")):
        put(tmp_path / "ann" / f"{name}.json", json.dumps(labelme(image=path.format(other))))
    problems = [item.problem for item in open_as("labelme", tmp_path).items("train")]
    assert ["and `0.jpg` has its name" in problems[0], "and `1.jpg` has its name" in problems[1]] == [True, True]
    assert problems[2] is None


@pytest.mark.parametrize("folder", ["ann", "images"])
@pytest.mark.parametrize("path", ["/old/{}.jpg", "C:\\work\\{}.jpg"])
def test_images_that_were_renamed_since_their_absolute_path_was_written_are_taken(tmp_path, folder, path):
    write_images(tmp_path / folder, [Scene("0.jpg"), Scene("1.jpg")])
    for name, other in (("0", "1"), ("1", "2")):
        put(tmp_path / "ann" / f"{name}.json", json.dumps(labelme(image=path.format(other))))
    source = open_as("labelme", tmp_path)
    own, *_ = source.items("train")
    assert (own.path.endswith(f"{folder}/0.jpg"), own.problem, len(own.boxes)) == (True, None, 1)
    (notice,) = [notice for notice in source.notices if notice.kind == "other_filename"]
    assert notice.detail == f"`{tmp_path}/ann/0.json` says {path.format(1)}"


def test_a_path_of_another_machine_beside_the_file_is_its_image(tmp_path):
    source = open_as("labelme", write_json(tmp_path, labelme(image="C:\\old\\a.jpg")))
    assert boxes_px(source) == [("car", 4, 6, 24, 18)]
    assert source.notices == ()


def test_labelmes_numbers_may_be_text(tmp_path):
    table = labelme(points=(("20", "20"), ("23", "24")), kind="circle")
    assert boxes_px(open_as("labelme", write_json(tmp_path, table))) == [("car", 15, 15, 25, 25)]


@pytest.mark.parametrize("fields", [{"difficult": True}, {"flags": {"crowd": True}}, {"flags": {"difficult": "1"}}])
def test_labelmes_flags_make_a_region_to_ignore(tmp_path, fields):
    root = write_json(tmp_path, labelme(**fields))
    assert open_as("labelme", root).items("train")[0].is_crowd == (True,)
