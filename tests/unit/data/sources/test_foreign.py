"""What cannot be read names its reason, with and without the kind."""

import json

import pytest

from data import errors, sources
from tests import coco_folder
from tests.format_folders import Scene, put, write_images

TRACK = "0 2 Car 0 0 -1.79 296.7 161.7 455.2 292.3 2.0 1.8 4.4 -4.5 1.8 13.4 -2.1\n"


def refusal(spec):
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(str(spec))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["", "coco:"])
def test_a_coco_json_without_categories_is_told_that_it_needs_them(tmp_path, kind):
    table = coco_folder.table(1)
    del table["categories"]
    write_images(tmp_path / "images", [Scene("0.jpg")])
    file = put(tmp_path / "labels.json", json.dumps(table))
    said = f"{file}: COCO JSON needs the key `categories`: got images, annotations. Export it again."
    assert refusal(f"{kind}{tmp_path}") == said


@pytest.mark.parametrize("row", ["0 0.5 0.5 0.25 1\n", "12 .5 0.5 1.0 2.5e-05", "0 0.1 0.1 0.5 0.5 0.1 0.5\n"])
def test_labels_of_yolo_without_names_are_told_what_they_lack(tmp_path, row):
    write_images(tmp_path / "images", [Scene("0.jpg")])
    file = put(tmp_path / "labels" / "0.txt", row)
    assert refusal(tmp_path) == (
        f"Dataset `{tmp_path}`: `{file}` is a label file of YOLO without names, which is not read. Write the classes'"
        " names into classes.txt beside images/ and labels/, one a line, by number."
    )


@pytest.mark.parametrize("row", [TRACK, TRACK.replace("0 2 Car 0", "0 -1 DontCare -1")])
def test_kittis_tracks_are_named(tmp_path, row):
    write_images(tmp_path / "image_02" / "0000", [Scene("000000.png")])
    file = put(tmp_path / "label_02" / "0000.txt", row)
    assert refusal(tmp_path) == (
        f"Dataset `{tmp_path}`: `{file}` is KITTI's tracking labels, which is not read. Convert it to COCO."
    )
