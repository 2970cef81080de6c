"""The upright box around one that is turned, as the tools that turn boxes export it."""

import json

import pytest

from data.sources import box_units
from tests import format_folders
from tests.format_folders import Scene, put, write_images
from tests.single_images import boxes_px, open_as, via, write_json

LYING, UPRIGHT = (12, 20, 52, 28), (28, 4, 36, 44)  # by hand: 40x8 px around (32, 24), before and after 90 degrees


@pytest.mark.parametrize(
    ("degrees", "is_ellipse", "box"),
    [
        (0, False, LYING),
        (90, False, UPRIGHT),
        (-90, True, UPRIGHT),
        (180, False, LYING),
        (360, True, LYING),
        (45, False, (15.0294, 7.0294, 48.9706, 40.9706)),  # (40 + 8) / 2 / sqrt(2) to each side
        (45, True, (17.5777, 9.5777, 46.4223, 38.4223)),  # sqrt(20^2 + 4^2) / sqrt(2)
    ],
)
def test_the_box_around_a_turned_shape(degrees, is_ellipse, box):
    assert box_units.around_turned(LYING, degrees, is_ellipse) == pytest.approx(box, abs=1e-3)


def coco(rotation, **fields):
    left, top, right, bottom = LYING
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [left, top, right - left, bottom - top]}
    return {
        "images": [{"id": 0, "file_name": "a.jpg", "height": 48, "width": 64}],
        "annotations": [box | {"attributes": {"occluded": False, "rotation": rotation}} | fields],
        "categories": [{"id": 1, "name": "car"}],
    }


def write_coco(root, rotation):
    return write_json(root, coco(rotation, segmentation=[]), "annotations.json")


def write_voc(root, rotation):
    text = format_folders.voc_xml(Scene("a.jpg", (("car", *LYING),)))
    write_images(root, [Scene("a.jpg")])
    attributes = f"<attribute><name>rotation</name><value>{rotation}</value></attribute>"
    more = f"<occluded>0</occluded><attributes>{attributes}</attributes></object>"
    put(root / "a.xml", text.replace("</object>", more))
    return root


def write_labelme_xml(root, rotation):
    left, top, right, bottom = LYING
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x in (left, right) for y in (top, bottom))
    row = f"<name>car</name><deleted>0</deleted><attributes>occluded=no, rotation={rotation}</attributes>"
    write_images(root, [Scene("a.jpg")])
    shape = f"<type>bounding_box</type><polygon>{points}</polygon>"
    put(root / "a.xml", f"<annotation><filename>a.jpg</filename><object>{row}{shape}</object></annotation>")
    return root


def write_datumaro(root, rotation):
    left, top, right, bottom = LYING
    box = {"type": "bbox", "label_id": 0, "bbox": [left, top, right - left, bottom - top]}
    box["attributes"] = {"occluded": False, "rotation": rotation}
    items = [{"id": "a", "image": {"path": "a.jpg"}, "annotations": [box]}]
    return write_json(root, {"categories": {"label": {"labels": [{"name": "car"}]}}, "items": items})


def write_cvat(root, rotation):
    left, top, right, bottom = LYING
    box = f'<box label="car" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" rotation="{rotation}"/>'
    write_images(root, [Scene("a.jpg")])
    put(root / "annotations.xml", f'<annotations><image name="a.jpg">{box}</image></annotations>')
    return root


EXPORTS = {
    "coco": write_coco,
    "voc": write_voc,
    "voc, LabelMe's XML": write_labelme_xml,
    "datumaro": write_datumaro,
    "cvat": write_cvat,
}


@pytest.mark.parametrize("export", EXPORTS)
@pytest.mark.parametrize(("rotation", "box"), [("90.0", UPRIGHT), (0.0, LYING)])
def test_every_export_of_cvat_gives_the_box_around_a_turned_one(tmp_path, export, rotation, box):
    source = open_as(export.partition(",")[0], EXPORTS[export](tmp_path, rotation))
    assert boxes_px(source) == [("car", *box)]


@pytest.mark.parametrize("export", ["coco", "voc", "datumaro"])
def test_an_attribute_rotation_of_the_users_own_turns_nothing(tmp_path, export):
    assert boxes_px(open_as(export, EXPORTS[export](tmp_path, "left"))) == [("car", *LYING)]


@pytest.mark.parametrize("export", [name for name in EXPORTS if name != "cvat"])
def test_a_rotation_that_cvat_did_not_write_turns_nothing(tmp_path, export):
    root = EXPORTS[export](tmp_path, 90.0)
    for file in (*root.glob("*.json"), *root.glob("*.xml")):
        file.write_text(file.read_text().replace("occluded", "hidden"))
    assert boxes_px(open_as(export.partition(",")[0], root)) == [("car", *LYING)]


def test_a_box_of_coco_that_has_its_polygon_is_not_turned_once_more(tmp_path):
    left, top, right, bottom = UPRIGHT
    polygon = [left, top, right, top, right, bottom, left, bottom]
    table = coco(90.0, bbox=[left, top, right - left, bottom - top], segmentation=[polygon])
    assert boxes_px(open_as("coco", write_json(tmp_path, table, "annotations.json"))) == [("car", *UPRIGHT)]


def test_superviselys_turned_box_and_vias_turned_ellipse_are_in_radians(tmp_path):
    left, top, right, bottom = LYING
    points = {"exterior": [[left, top], [right, bottom]], "interior": []}
    entry = {"classTitle": "car", "geometryType": "oriented_bbox", "points": points, "angle": 1.5707963}
    write_images(tmp_path / "img", [Scene("a.jpg")])
    put(tmp_path / "ann" / "a.jpg.json", json.dumps({"tags": [], "size": {}, "objects": [entry]}))
    assert boxes_px(open_as("supervisely", tmp_path)) == [("car", *UPRIGHT)]
    ellipse = {"name": "ellipse", "cx": 32, "cy": 24, "rx": 20, "ry": 4, "theta": 1.5707963}
    assert boxes_px(open_as("via", write_json(tmp_path / "via", via(ellipse, {})))) == [("object", *UPRIGHT)]
