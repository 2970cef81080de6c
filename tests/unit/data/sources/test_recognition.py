import json

import pytest

from data import errors, progress, sources
from tests import format_folders
from tests.format_folders import Scene, put, voc_xml, write_images

CAR, DOG = ("car", 4, 6, 24, 18), ("dog", 8, 24, 16, 48)


def write_flat(folder, *boxes):
    """Writes an image with its XML beside it for each box."""
    scenes = [Scene(f"{number}.jpg", (box,), number) for number, box in enumerate(boxes)]
    write_images(folder, scenes)
    for scene in scenes:
        put(folder / f"{scene.name[:-4]}.xml", voc_xml(scene))
    return folder


def write_pair(folder, *boxes):
    """Writes images/ and annotations/."""
    write_flat(folder / "images", *boxes)
    (folder / "annotations").mkdir()
    for file in (folder / "images").glob("*.xml"):
        file.rename(folder / "annotations" / file.name)
    return folder


def refusal(spec):
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(str(spec))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(root):
    return sources.open_reader(str(root), sources.DataOptions())


# --- folders of datasets


def test_a_folder_of_datasets_of_several_kinds_lists_them(tmp_path):
    write_flat(tmp_path / "street", CAR)
    format_folders.write_coco(tmp_path / "night")
    put(tmp_path / "README.md", "Data.")
    put(tmp_path / "weights" / "best.h5", "")
    listed = f"{tmp_path}/night (coco), {tmp_path}/street (voc)"
    whole = f" If it is one dataset, write voc:{tmp_path}."
    assert refusal(tmp_path) == f"Dataset `{tmp_path}` holds 2 datasets: {listed}. Name the folder of one.{whole}"


def test_a_folder_of_datasets_of_one_kind_without_a_common_class_lists_them(tmp_path):
    write_pair(tmp_path / "pets", DOG)
    write_pair(tmp_path / "street", CAR)
    assert f"holds 2 datasets: {tmp_path}/pets (voc), {tmp_path}/street (voc)." in refusal(tmp_path)


def test_a_folder_that_is_recognised_as_no_dataset_lists_those_in_it(tmp_path):
    format_folders.write_coco(tmp_path / "unpacked")
    message = refusal(tmp_path)
    assert message.endswith(f"holds a dataset: {tmp_path}/unpacked (coco). Name the folder of one.")


def test_many_datasets_are_not_all_listed(tmp_path):
    for number in range(10):
        format_folders.write_coco(tmp_path / f"set{number}")
    assert "holds 10 datasets: " in refusal(tmp_path)
    assert f"{tmp_path}/set7 (coco) and 2 more." in refusal(tmp_path)


def test_a_folder_of_datasets_is_read_as_one_where_the_user_says_so(tmp_path):
    write_pair(tmp_path / "pets", DOG, DOG)
    write_pair(tmp_path / "street", CAR)
    source = sources.open_reader(f"voc:{tmp_path}", sources.DataOptions())
    assert source.kind == "voc"


@pytest.mark.parametrize("write", [write_flat, write_pair])
def test_recordings_with_common_classes_are_parts_of_one_dataset(tmp_path, write):
    write(tmp_path / "monday", CAR)
    write(tmp_path / "tuesday", CAR, DOG)
    write(tmp_path / "wednesday", DOG)
    assert read(tmp_path).kind == "voc"


def test_flat_folders_one_a_class_are_one_dataset_and_all_of_it_is_read(tmp_path):
    write_flat(tmp_path / "cars", CAR, CAR)
    write_flat(tmp_path / "dogs", DOG)
    source = read(tmp_path)
    assert source.class_names == ("car", "dog")
    assert [item.source_id for item in source.items("train")] == ["cars/0.jpg", "cars/1.jpg", "dogs/0.jpg"]
    assert source.notices == ()


def test_splits_and_folders_of_annotations_are_parts_of_one_dataset(tmp_path):
    write_pair(tmp_path / "train", CAR)
    write_pair(tmp_path / "Validation", DOG)
    source = read(tmp_path)
    assert source.splits == ("train", "val")


def test_old_datasets_beside_a_whole_one_do_not_count(tmp_path):
    format_folders.write_coco(tmp_path)
    format_folders.write_coco(tmp_path / "older")
    format_folders.write_kitti(tmp_path / "oldest")
    assert read(tmp_path).kind == "coco"


# --- annotations of the same images in two formats


def write_twice(root, edit=lambda xml: xml):
    """Writes COCO's JSON and, of the same boxes, VOC's XML."""
    format_folders.write_coco(root)
    for scenes in format_folders.GROUND_TRUTH.values():
        for scene in scenes:
            put(root / "annotations_xml" / f"{scene.name[:-4]}.xml", edit(voc_xml(scene)))
    return root


def test_of_two_formats_that_say_the_same_coco_is_read_and_that_is_said(tmp_path):
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        source = sources.open_source(str(write_twice(tmp_path)))
    assert source.origins[0].kind == "coco"
    assert notes[1:] == [
        f"`{tmp_path}`: annotations in two formats: {tmp_path}: coco and voc state the same boxes; coco is read."
    ]
    assert sources.canonical(str(tmp_path)) == f"coco:{tmp_path}"


def test_flags_that_only_one_of_two_formats_has_are_counted(tmp_path):
    root = write_twice(tmp_path, lambda xml: xml.replace("<difficult>0", "<difficult>1", 1))
    (notice,) = read(root).notices
    assert notice.kind == "told_twice"
    assert "coco is read, although 4 of them are to be ignored in one of the two only" in notice.detail


@pytest.mark.parametrize(
    "edit",
    [
        lambda xml: xml.replace("<xmin>4<", "<xmin>6<"),
        lambda xml: xml.replace("<name>car", "<name>person"),
        lambda xml: xml.replace("<name>car", "<name>lorry"),
        lambda xml: xml.replace("<object>", "<part>", 1).replace("</object>", "</part>", 1),
        lambda xml: xml.replace("<xmin>4<", "<xmin>four<"),
    ],
)
def test_two_formats_that_differ_are_a_question(tmp_path, edit):
    root = write_twice(tmp_path, edit)
    message = refusal(root)
    assert message.startswith(f"Dataset `{root}` could be coco, because ")
    assert message.endswith(f"Say which, as coco:{root}.")


def test_an_image_that_only_one_of_two_formats_has_is_a_question(tmp_path):
    root = write_twice(tmp_path)
    table = json.loads((root / "train.json").read_text())
    table["images"] = table["images"][1:]
    table["annotations"] = [entry for entry in table["annotations"] if entry["image_id"]]
    (root / "train.json").write_text(json.dumps(table))
    assert " could be coco, because " in refusal(root)
