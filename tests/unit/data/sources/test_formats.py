"""The contract of every file format: equal examples from the same ground truth, whatever it is written in."""

import io
import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data import convert, errors, progress, sources
from data.sources import annotated, base
from tests import coco_folder, format_folders

SPLIT_SIZES = {split: len(scenes) for split, scenes in format_folders.GROUND_TRUTH.items()}


@pytest.fixture(params=format_folders.WRITERS)
def format_name(request):
    return request.param


@pytest.fixture
def folder(format_name, tmp_path):
    return format_folders.WRITERS[format_name](tmp_path / "set")


@pytest.fixture
def source(format_name, folder):
    return open_format(format_name, folder)


def open_format(format_name, folder, **options):
    kind = format_folders.KINDS[format_name]
    return sources.READERS[kind].open(f"{kind}:{folder}", str(folder), base.ReadOptions(**options))


@pytest.fixture(params=[*format_folders.WRITERS, "tfrecord", "tfds"])
def any_source(request, tmp_path):
    """The formats of image files, and those that hold images and boxes together."""
    if request.param in format_folders.WRITERS:
        return open_format(request.param, format_folders.WRITERS[request.param](tmp_path / "set"))
    if request.param == "tfds":
        argument = format_folders.write_tfds(tmp_path / "set")
    else:
        argument = str(tmp_path / "set")
        convert.convert(open_format("coco", format_folders.write_coco(tmp_path / "coco")), "tfrecord", argument)
    return sources.READERS[request.param].open(f"{request.param}:{argument}", argument, base.ReadOptions())


def contents(source):
    """Lists what a source says of each image, boxes in px."""
    found = {}
    for split in source.splits:
        found[split] = []
        for record in map(source.load, source.items(split)):
            ymin, xmin, ymax, xmax = record.boxes.T * [[record.height], [record.width], [record.height], [record.width]]
            boxes = np.stack([xmin, ymin, xmax, ymax, record.area_px], axis=1).round(3)
            names = [source.class_names[label] for label in record.labels]
            found[split].append(
                {
                    "name": record.source_id.rsplit(".", 1)[0],
                    "boxes": [(name, *box) for name, box in zip(names, boxes.tolist(), strict=True)],
                    "crowd": record.is_crowd.any(),
                    "image": (record.height, record.width, record.image_format),
                    "mended": record.mended,
                }
            )
    return found


EXPECTED = {
    split: [
        {
            "name": scene.name.removesuffix(".jpg"),
            "boxes": [(name, x1, y1, x2, y2, (x2 - x1) * (y2 - y1)) for name, x1, y1, x2, y2 in scene.boxes],
            "crowd": False,
            "image": (48, 64, "jpeg"),
            "mended": (),
        }
        for scene in scenes
    ]
    for split, scenes in format_folders.GROUND_TRUTH.items()
}


def test_examples_equal_the_ground_truth(any_source):
    assert contents(any_source) == EXPECTED
    assert any_source.splits == sources.SPLITS
    assert sorted(any_source.class_names) == sorted(format_folders.CLASS_NAMES)
    assert [notice.kind for notice in getattr(any_source, "notices", ()) if notice.kind != "unlabelled_image"] == []


@pytest.mark.parametrize("kind", convert.FORMATS)
def test_what_convert_writes_of_each_format_reads_the_same(any_source, kind, tmp_path):
    convert.convert(any_source, kind, tmp_path / "converted")
    written = sources.READERS[kind].open("converted", str(tmp_path / "converted"), base.ReadOptions())
    assert contents(written) == EXPECTED
    assert sorted(written.class_names) == sorted(format_folders.CLASS_NAMES)


def test_the_image_files_bytes_are_kept(any_source):
    for split in any_source.splits:
        for item, scene in zip(any_source.items(split), format_folders.GROUND_TRUTH[split], strict=True):
            assert any_source.load(item).encoded == coco_folder.image_bytes(scene.seed)


def test_a_glance_tells_what_loading_does(any_source):
    for split in any_source.splits:
        for item in any_source.items(split):
            glance, record = any_source.glance(item), any_source.load(item)
            assert glance.labels == tuple(record.labels.tolist())
            assert glance.read() == record.encoded
            assert glance.num_bytes == len(record.encoded)


def test_items_are_unique_and_load_in_another_process_without_tensorflow(tmp_path):
    opened = [open_format(name, write(tmp_path / name)) for name, write in format_folders.WRITERS.items()]
    items = [source.items("train") for source in opened]
    assert all(len({item.source_id for item in of_one}) == SPLIT_SIZES["train"] for of_one in items)
    (tmp_path / "work.pickle").write_bytes(pickle.dumps(list(zip(opened, items, strict=True))))
    script = (
        "import pickle, sys\n"
        "for source, items in pickle.load(open(sys.argv[1], 'rb')):\n"
        "    print([(item.source_id, source.load(item).labels.tolist()) for item in items])\n"
        "assert 'tensorflow' not in sys.modules"
    )
    worker = [sys.executable, "-c", script, str(tmp_path / "work.pickle")]
    printed = subprocess.run(worker, check=True, capture_output=True, text=True).stdout.splitlines()
    expected = [
        str([(item.source_id, source.load(item).labels.tolist()) for item in of_one])
        for source, of_one in zip(opened, items, strict=True)
    ]
    assert printed == expected


def test_a_pickled_source_is_small(source):
    assert len(pickle.dumps(source)) < 3000  # items travel one by one


def test_the_fingerprint_is_of_what_is_read(format_name, folder, tmp_path):
    """A copy, an editor's cache and a file manager's note change nothing; an image or a box does."""
    source = open_format(format_name, folder)
    before = source.fingerprint()
    assert pickle.loads(pickle.dumps(source)).fingerprint() == before
    copy = pathlib.Path(shutil.copytree(folder, tmp_path / "copy" / folder.name, copy_function=shutil.copyfile))
    for place in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        (place / ".DS_Store").write_bytes(b"view")
        (place / "labels.cache").write_bytes(b"cache")
    assert open_format(format_name, copy).fingerprint() == before
    image = sorted(copy.rglob("a0.*p*g"))[0]
    content = image.read_bytes()
    image.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert open_format(format_name, copy).fingerprint() != before
    image.write_bytes(content)
    assert open_format(format_name, copy).fingerprint() == before
    for path in copy.rglob("*"):
        if path.suffix in (".json", ".xml", ".txt", ".csv") and path.stem != "data":
            path.write_text(path.read_text().replace("24", "25").replace("0.625", "0.626"))
    assert open_format(format_name, copy).fingerprint() != before


def test_the_bare_folder_is_recognised_and_the_reason_said(format_name, folder):
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None):
        source = sources.open_source(str(folder))
    expected = {
        "coco": "train.json has its images in train/",
        "voc": "Annotations/a0.xml is VOC XML for images in JPEGImages/",
        "yolo": "data.yaml has `names` and `train`, `val`, `test`",
        "kitti": "training/label_2/ has KITTI's rows of 15 fields",
        "csv": "train.csv starts as a table of boxes (header)",
        "automl": "boxes.csv starts as a table of boxes (AutoML)",
        "flir_v1": "train/thermal_annotations lies beside thermal_8_bit/",
        "flir_v2": "images_thermal_train/coco.json lies beside data/",
        "cvat": "annotations.xml is written as cvat has it",
        "datumaro": "annotations/test.json is written as datumaro has it",
        "supervisely": "test/ann/c0.jpg.json is written as supervisely has it",
        "labelme": "test/c0.json is written as labelme has it",
        "via": "test/via_region_data.json is written as via has it",
        "createml": "test/_annotations.createml.json is written as createml has it",
        "bdd100k": "labels/det_20/det_test.json is written as bdd100k has it",
    }[format_name]
    assert f"Recognised {folder} as {format_folders.KINDS[format_name]}, because {expected}." in notes
    assert {split: len(source.items(split)) for split in source.splits} == SPLIT_SIZES


def test_a_missing_image_is_found_when_it_is_loaded(source):
    item = source.items("val")[0]
    pathlib.Path(item.path).unlink()
    with pytest.raises(errors.BadExampleError) as caught:
        source.load(item)
    assert caught.value.file == item.path
    assert caught.value.reason.startswith("the image file does not exist")


def test_an_empty_folder_ends_with_what_was_looked_for(format_name, tmp_path):
    kind = format_folders.KINDS[format_name]
    with pytest.raises(errors.UserError) as caught:
        sources.READERS[kind].open(f"{kind}:{tmp_path}", str(tmp_path), base.ReadOptions())
    assert str(caught.value).startswith(f"Dataset `{kind}:{tmp_path}`: looked in `{tmp_path}` for ")
    assert str(caught.value).endswith("; found nothing. Add the files or correct the path.")


@pytest.mark.parametrize("argument", ["", "/no/such"])
def test_a_missing_path_ends_with_a_clear_line(format_name, argument):
    kind = format_folders.KINDS[format_name]
    with pytest.raises(errors.UserError, match=f"Write {kind}:PATH with the path of an existing folder"):
        sources.READERS[kind].open(f"{kind}:{argument}", argument, base.ReadOptions())


def test_boxes_in_other_units_end_with_a_question_that_an_answer_decides(format_name, folder):
    with pytest.raises(errors.UserError) as caught:
        open_format(format_name, in_other_units(format_name, folder))
    in_fractions = format_name in ("yolo", "automl")
    answer, own = ("pixels", "normalized") if in_fractions else ("normalized", "pixels")
    assert f"Answer with --box_units={answer}, or with --box_units={own} if they are right" in str(caught.value)
    source = open_format(format_name, folder, box_units=answer)
    assert contents(source) == EXPECTED
    as_they_stand = open_format(format_name, folder, box_units=own)
    if in_fractions:
        with pytest.raises(errors.BadExampleError, match="lies outside its image"):
            as_they_stand.load(as_they_stand.items("train")[0])
    else:
        assert as_they_stand.load(as_they_stand.items("train")[0]).boxes.max() < 1 / 48


def in_other_units(format_name, folder):
    """Writes a format's ground truth anew with its boxes in the units that the format does not have."""
    scale = (1 / 64, 1 / 48) if format_name not in ("yolo", "automl") else (64, 48)
    ground_truth = {
        split: tuple(
            format_folders.Scene(
                scene.name,
                tuple(
                    (name, x1 * scale[0], y1 * scale[1], x2 * scale[0], y2 * scale[1])
                    for name, x1, y1, x2, y2 in scene.boxes
                ),
                scene.seed,
            )
            for scene in scenes
        )
        for split, scenes in format_folders.GROUND_TRUTH.items()
    }
    shutil.rmtree(folder)
    return format_folders.WRITERS[format_name](folder, ground_truth)


CVAT = """<annotations><image id="0" name="a.jpg" width="64" height="48">{shape}</image></annotations>"""


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ('<box label="car" xtl="12" ytl="20" xbr="52" ybr="28" rotation="90.00"/>', (28, 4, 36, 44)),
        ('<box label="car" xtl="22" ytl="14" xbr="42" ybr="34" rotation="45.00"/>', (17.858, 9.858, 46.142, 38.142)),
        ('<ellipse label="car" cx="32" cy="24" rx="20" ry="4" rotation="90.00"/>', (28, 4, 36, 44)),
        (
            '<cuboid label="car" xtl1="10" ytl1="12" xbl1="10" ybl1="30" xtr1="20" ytr1="12" xbr1="20" ybr1="31"'
            ' xtl2="30" ytl2="9" xbl2="30" ybl2="25" xtr2="24" ytr2="9" xbr2="24" ybr2="25"/>',
            (10, 9, 30, 31),
        ),
        (
            '<skeleton label="car"><points label="1" points="5,6" outside="0"/><points label="2" points="25,16"/>'
            '<points label="3" points="0,0" outside="1"/></skeleton>',
            (5, 6, 25, 16),
        ),
    ],
)
def test_the_box_around_a_turned_or_solid_shape_of_cvat(tmp_path, shape, box):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.jpg").write_bytes(coco_folder.image_bytes())
    (tmp_path / "set" / "annotations.xml").write_text(CVAT.format(shape=shape))
    source = sources.READERS["cvat"].open("cvat", str(tmp_path / "set"), base.ReadOptions())
    record = source.load(source.items("train")[0])
    ymin, xmin, ymax, xmax = record.boxes[0] * [48, 64, 48, 64]
    assert (xmin, ymin, xmax, ymax) == pytest.approx(box, abs=0.01)


def test_regions_to_ignore_of_datumaro(tmp_path):
    folder = format_folders.WRITERS["datumaro"](tmp_path / "set")
    path = folder / "annotations" / "train.json"
    table = json.loads(path.read_text())
    entry = table["items"][0]["annotations"][0]
    marks = [{}, {"is_crowd": True}, {"difficult": 1}, {"is_crowd": False}]
    boxes = [[2.0 + 6 * number, 3.0, 5.0, 7.0] for number in range(len(marks))]
    entries = [entry | {"attributes": mark, "bbox": box} for mark, box in zip(marks, boxes, strict=True)]
    table["items"][0]["annotations"] = entries
    path.write_text(json.dumps(table))
    source = open_format("datumaro", folder)
    assert source.load(source.items("train")[0]).is_crowd.tolist() == [False, True, True, False]


def test_another_image_size_in_the_annotation_is_named(tmp_path):
    """A picture that was shrunk after it was annotated; its box happens to fit."""
    table = coco_folder.table(2)
    table["images"][1] |= {"height": 96, "width": 128}
    table["annotations"][1]["bbox"] = [5, 20, 10, 10]
    source = open_format("coco", coco_folder.write(tmp_path / "set", train=table))
    assert [source.load(item).mended for item in source.items("train")] == [(), (annotated.OTHER_SIZE,)]


@pytest.mark.parametrize("kind", ["coco", "voc", "csv", "labelme", "cvat", "datumaro"])
def test_height_and_width_that_changed_places_are_another_size(tmp_path, kind):
    """A picture that was turned after it was annotated; without EXIF, nothing else tells."""
    folder = format_folders.WRITERS[kind](tmp_path / "set")
    for image in folder.rglob("a0.jpg"):
        image.write_bytes(coco_folder.image_bytes(size=(48, 64)))
    source = open_format(kind, folder)
    assert [source.load(item).mended for item in source.items("train")[:2]] == [(annotated.OTHER_SIZE,), ()]


@pytest.mark.parametrize("exif", ["apply", "ignore"])
@pytest.mark.parametrize("sides", [(48, 64), (64, 48)])
def test_height_and_width_may_change_places_where_exif_turns_the_image(tmp_path, exif, sides):
    table = coco_folder.table(1)
    table["images"][0] |= {"height": sides[0], "width": sides[1]}
    folder = coco_folder.write(tmp_path / "set", train=table)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(io.BytesIO(coco_folder.image_bytes())).save(folder / "train" / "0.jpg", exif=turned)
    source = open_format("coco", folder, exif=exif)
    assert annotated.OTHER_SIZE not in source.load(source.items("train")[0]).mended


def test_a_corrected_orientation_changes_the_fingerprint(tmp_path):
    """It stands at the beginning of the file, whose size and end stay as they are."""
    folder = coco_folder.write(tmp_path / "set", train=coco_folder.table(1))
    found = []
    for orientation in (1, 6):
        picture = Image.open(io.BytesIO(coco_folder.image_bytes(size=(640, 480))))
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.save(folder / "train" / "0.jpg", exif=exif)
        found.append(open_format("coco", folder).fingerprint())
    assert found[0] != found[1]
