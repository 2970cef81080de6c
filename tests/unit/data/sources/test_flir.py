import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from data import errors, thermal
from data.sources import base, flir
from tests import coco_folder, format_folders


def open_flir(root, suffix=""):
    return flir.FlirSource.open(f"flir:{root}{suffix}", f"{root}{suffix}", base.ReadOptions())


@pytest.fixture(params=[format_folders.write_flir_v1, format_folders.write_flir_v2], ids=["v1", "v2"])
def folder(request, tmp_path):
    return request.param(tmp_path / "flir")


def first(source):
    return source.load(source.items("train")[0])


def test_the_same_boxes_on_8_and_on_16_bit_images(folder):
    shallow, deep = open_flir(folder, ",bits=8"), open_flir(folder, ",bits=16")
    assert shallow.class_names == deep.class_names == ("person", "bicycle", "car")
    for split in ("train", "val", "test"):
        for item, same in zip(shallow.items(split), deep.items(split), strict=True):
            assert pathlib.Path(same.path).suffix == ".tiff"
            records = shallow.load(item), deep.load(same)
            np.testing.assert_array_equal(records[0].boxes, records[1].boxes)
            np.testing.assert_array_equal(records[0].labels, records[1].labels)
            assert (records[0].image_format, records[1].image_format) == ("jpeg", "png")
    assert open_flir(folder).items("train") == shallow.items("train")
    assert shallow.fingerprint() != deep.fingerprint()


def test_16_bit_images_are_stretched_by_the_documented_rule(folder):
    record = first(open_flir(folder, ",bits=16"))
    pixels = np.asarray(Image.open(io.BytesIO(format_folders.deep_tiff_bytes(0))))
    stored = np.asarray(Image.open(io.BytesIO(record.encoded)))
    np.testing.assert_array_equal(stored, thermal.stretch_to_8bit(pixels.astype(np.uint16)))


def test_other_categories_are_left_out(folder):
    for file in folder.rglob("*.json"):
        table = json.loads(file.read_text())
        entries = table.get("annotation", table.get("annotations"))
        entries += [entry | {"category_id": other} for entry in entries[:1] for other in (17, 18, "91", None)]
        file.write_text(json.dumps(table))
    record = first(open_flir(folder))
    assert record.labels.tolist() == [2, 0]


def test_the_first_releases_names_are_read(tmp_path):
    root = format_folders.write_flir_v1(tmp_path)
    renamed = {"thermal_8_bit": "PreviewData", "thermal_16_bit": "Data", "thermal_annotations": "Annotations"}
    for split, name in (("train", "training"), ("val", "validation")):
        for old, new in renamed.items():
            (root / split / old).rename(root / split / new)
        (root / split).rename(root / name)
    source = open_flir(root)
    assert source.splits == ("train", "val", "test")
    assert len(first(source).labels) == 2
    assert flir.FlirSource.recognises(root) == "training/Annotations lies beside PreviewData/"
    assert first(open_flir(root, ",bits=16")).image_format == "png"


def test_one_json_a_split_as_release_1_3_has_it(tmp_path):
    root = format_folders.write_flir_v1(tmp_path)
    for folder, split in (("train", "train"), ("val", "val")):
        for file in (root / folder / "thermal_annotations").iterdir():
            file.unlink()
        (root / folder / "thermal_annotations").rmdir()
        table = format_folders.coco_table(
            format_folders.GROUND_TRUTH[split], format_folders.FLIR_IDS, prefix="thermal_8_bit/"
        )
        text = json.dumps(table).replace(".jpg", ".jpeg")
        (root / folder / "thermal_annotations.json").write_text(text)
    source = open_flir(root)
    assert [item.source_id for item in source.items("train")] == ["a0.jpeg", "a1.jpeg", "a2.jpeg"]
    assert first(source).labels.tolist() == [2, 0]
    assert first(open_flir(root, ",bits=16")).labels.tolist() == [2, 0]


def test_16_bits_are_read_where_there_is_nothing_else(tmp_path):
    root = format_folders.write_flir_v2(tmp_path)
    for folder in root.iterdir():
        (folder / "data").rename(folder / "unpacked_elsewhere")
    assert first(open_flir(root)).image_format == "png"
    with pytest.raises(errors.UserError) as caught:
        open_flir(root, ",bits=8")
    assert "and images in `thermal_8_bit/` or `PreviewData/` or `data/`; found `images_thermal_train/`" in str(
        caught.value
    )


def test_an_unknown_depth_ends_with_a_clear_line(folder):
    with pytest.raises(errors.UserError) as caught:
        open_flir(folder, ",bits=14")
    assert str(caught.value) == f"Dataset `flir:{folder},bits=14`: `bits` must be 8 or 16: got `14`."


def test_images_without_annotation_are_noticed(folder):
    images = pathlib.Path(open_flir(folder).items("val")[0].path).parent
    (images / "new.jpeg").touch()
    (notice,) = open_flir(folder).notices
    assert (notice.kind, notice.file) == ("unnamed_image", str(images / "new.jpeg"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "{file}: malformed JSON at line 1, column 2: Expecting property name enclosed in double quotes."),
        ("{}", "its JSON needs `annotation`, a list of objects"),
        (
            '{"annotation": [{"id": 4, "category_id": "1", "bbox": [1, 2]}]}',
            "annotation 4 needs a `bbox` of four numbers (x, y, width, height): got [1, 2]",
        ),
    ],
)
def test_a_broken_json_of_one_image_makes_it_bad_and_no_other(tmp_path, text, reason):
    root = format_folders.write_flir_v1(tmp_path)
    file = root / "train" / "thermal_annotations" / "a0.json"
    file.write_text(text)
    source = open_flir(root)
    with pytest.raises(errors.BadExampleError) as caught:
        first(source)
    assert caught.value.file == str(root / "train" / "thermal_8_bit" / "a0.jpeg")
    assert caught.value.reason.startswith(reason.replace("{file}", str(file)))
    assert len(source.load(source.items("train")[1]).labels) == 1


def test_a_broken_json_of_a_split_ends_with_its_position(tmp_path):
    root = format_folders.write_flir_v2(tmp_path)
    file = root / "images_thermal_val" / "coco.json"
    file.write_text('{"images": [}')
    with pytest.raises(errors.UserError, match=r"coco.json: malformed JSON at line 1, column 13: Expecting value."):
        open_flir(root)


def test_two_images_of_one_name_are_an_error_that_names_both(tmp_path):
    root = format_folders.write_flir_v1(tmp_path)
    (root / "train" / "thermal_8_bit" / "a0.png").write_bytes(coco_folder.image_bytes(9, "PNG"))
    source = open_flir(root)
    with pytest.raises(errors.BadExampleError, match="`a0.jpeg` and `a0.png` have its name; keep the image there only"):
        source.load(source.items("train")[0])


def test_categories_that_are_not_flirs_are_an_error(tmp_path):
    root = format_folders.write_flir_v2(tmp_path)
    file = root / "images_thermal_train" / "coco.json"
    file.write_text(file.read_text().replace('"person"', '"car"'))
    with pytest.raises(errors.UserError, match="category 1 is `car`, in FLIR ADAS person. Read it as coco:PATH, or c"):
        open_flir(root)
