import pathlib

import numpy as np
import pytest

from data import errors, progress
from data.sources import base, kitti
from tests import coco_folder, format_folders
from tests.format_folders import Scene, kitti_row, put, write_images

SCENES = (Scene("000000.png", (("Car", 4, 6, 24, 18),)), Scene("000001.png", (("Pedestrian", 8, 24, 16, 48),), 1))


def open_kitti(root):
    return kitti.KittiSource.open(f"kitti:{root}", str(root), base.ReadOptions())


def write(root, scenes=SCENES, images="image_2", labels="label_2", rows=""):
    """Writes scenes; `rows` comes behind the first one's."""
    write_images(root / images, scenes)
    for number, scene in enumerate(scenes):
        text = "".join(kitti_row(*box) for box in scene.boxes) + (rows if number == 0 else "")
        put(root / labels / f"{scene.name[:-4]}.txt", text)
    return root


def first(source):
    return source.load(source.items("train")[0])


def test_a_row_by_hand(tmp_path):
    row = "Cyclist 0.88 3 -0.69 16.00 12.00 32.00 36.00 1.60 1.57 3.23 -2.70 1.74 3.68 -1.29\n"
    source = open_kitti(write(tmp_path, [Scene("000000.png")], rows=f"\n{row}"))
    np.testing.assert_array_equal(first(source).boxes, np.float32([[0.25, 0.25, 0.75, 0.5]]))
    assert source.class_names == ("Cyclist",)


def test_dontcare_is_a_region_to_ignore_and_misc_a_class(tmp_path):
    dontcare = "DontCare -1 -1 -10 16.0 12.0 32.0 36.0 -1 -1 -1 -1000 -1000 -1000 -10\n"
    source = open_kitti(write(tmp_path, rows=dontcare + kitti_row("Misc", 0, 0, 8, 8)))
    assert source.class_names == ("Car", "Misc", "Pedestrian")
    record = first(source)
    assert record.labels.tolist() == [0, 0, 1, 2, 1]
    assert record.is_crowd.tolist() == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("below", "images", "labels"),
    [("", "image_2", "label_2"), ("training", "image_2", "label_2"), ("", "images", "labels")],
)
def test_without_lists_all_is_train(tmp_path, below, images, labels):
    write(tmp_path / below, images=images, labels=labels)
    write_images(tmp_path / "testing" / "image_2", SCENES)
    source = open_kitti(tmp_path)
    assert {split: len(source.items(split)) for split in source.splits} == {"train": 2}
    assert source.notices == ()
    inside = f"{below}/{labels}" if below else labels
    assert kitti.KittiSource.recognises(tmp_path) == f"{inside}/ has KITTI's rows of 15 fields"


def test_folders_of_splits(tmp_path):
    write(tmp_path / "train", SCENES[:1])
    write(tmp_path / "val", SCENES[1:], "images", "labels")
    source = open_kitti(tmp_path)
    assert {split: len(source.items(split)) for split in source.splits} == {"train": 1, "val": 1}


@pytest.mark.parametrize("lists", ["ImageSets", "training/ImageSets", ""])
def test_lists_divide_and_test_txt_is_of_testing(tmp_path, lists):
    write(tmp_path / "training")
    write_images(tmp_path / "testing" / "image_2", SCENES)
    for split, name in (("train", "000001"), ("val", "000000"), ("test", "000000")):
        put(tmp_path / lists / f"{split}.txt", f"{name}\n")
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        source = open_kitti(tmp_path)
    found = {split: [item.source_id for item in source.items(split)] for split in source.splits}
    assert found == {"train": ["000001.png"], "val": ["000000.png"]}
    assert notes == [f"{tmp_path / lists}/test.txt names images of testing/, which has no labels; left out."]


def test_images_without_labels_are_noticed_and_labels_without_image_are_bad(tmp_path):
    root = write(tmp_path)
    write_images(root / "image_2", [Scene("new.png")])
    (root / "image_2" / "000000.png").unlink()
    source = open_kitti(root)
    ((kind, file),) = [(notice.kind, pathlib.Path(notice.file).name) for notice in source.notices]
    assert (kind, file) == ("unnamed_image", "new.png")
    with pytest.raises(errors.BadExampleError, match="the image file does not exist"):
        first(source)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Car 0 0 0 1 2 3\n", "row 2 has 7 fields, KITTI's labels 15"),
        (
            kitti_row("Car", 1, 2, 3, 4).replace("\n", " 0.98 1\n"),
            "row 2 has 17 fields, KITTI's labels 15",
        ),
        (
            kitti_row("Car", 1, 2, 3, "4px"),
            "row 2 (Car) needs left, top, right, bottom as numbers: got `4px`",
        ),
    ],
)
def test_a_bad_row_makes_its_example_bad_and_no_other(tmp_path, row, reason):
    source = open_kitti(write(tmp_path, rows=row))
    with pytest.raises(errors.BadExampleError) as caught:
        first(source)
    assert caught.value.reason == f"{tmp_path}/label_2/000000.txt: {reason}"
    assert len(source.load(source.items("train")[1]).labels) == 1


def test_a_listed_image_without_labels_is_bad(tmp_path):
    root = write(tmp_path)
    put(root / "train.txt", "000007\n")
    put(root / "val.txt", "000000\n")
    with pytest.raises(errors.BadExampleError) as caught:
        first(open_kitti(root))
    assert caught.value.reason == f"there is no label file `{root}/label_2/000007.txt`"


@pytest.mark.parametrize("tail", ["", " 1.0"])
def test_a_type_of_two_words_is_one_class(tmp_path, tail):
    row = f"Traffic light 0 0 0 16 12 32 36 0 0 0 0 0 0 0{tail}\n"
    root = write(tmp_path, [Scene("000000.png")], rows=row * 2 + row.replace("16 12", "20 12"))
    source = open_kitti(root)
    assert source.class_names == ("Traffic light",)
    np.testing.assert_array_equal(first(source).boxes[0], np.float32([0.25, 0.25, 0.75, 0.5]))
    assert kitti.KittiSource.recognises(root) == f"label_2/ has KITTI's rows of {15 + bool(tail)} fields"


def test_a_field_behind_the_type_that_is_no_number_is_bad(tmp_path):
    root = write(tmp_path, rows="Lane 2 left 0 0 0 16 12 32 36 0 0 0 0 0 0\n")
    with pytest.raises(errors.BadExampleError, match=r"row 2 \(Lane\) needs numbers behind its type: got `left`"):
        first(open_kitti(root))


def test_labels_are_recognised_behind_many_that_are_empty(tmp_path):
    scenes = [Scene(f"{number:06d}.png", ((("Car", 4, 6, 24, 18),) if number == 22 else ())) for number in range(23)]
    assert kitti.KittiSource.recognises(write(tmp_path, scenes)) == "label_2/ has KITTI's rows of 15 fields"


def test_yolos_rows_are_not_recognised(tmp_path):
    assert kitti.KittiSource.recognises(format_folders.write_yolo(tmp_path)) is None


# --- files as people have them


def test_a_photo_and_its_mask_of_one_name_are_an_error_that_names_both(tmp_path):
    root = write(tmp_path)
    (root / "image_2" / "000000.jpg").write_bytes(coco_folder.image_bytes(9))
    with pytest.raises(errors.BadExampleError, match="`000000.jpg` and `000000.png` have its name; keep the photo"):
        first(open_kitti(root))


def with_scores(root, *scores):
    scored = [kitti_row("Car", 4, 6, 24, 18).replace("\n", f" {score}\n") for score in scores]
    write(root, [Scene(f"{number}.png", (), number) for number in range(len(scores))])
    for number, row in enumerate(scored):
        put(root / "label_2" / f"{number}.txt", row)
    return root


def test_a_16th_field_that_is_equal_everywhere_is_left_out(tmp_path):
    root = with_scores(tmp_path / "default", "1.0", "1.0").parent
    assert kitti.KittiSource.recognises(root) == "default/label_2/ has KITTI's rows of 16 fields"
    assert len(first(open_kitti(root)).labels) == 1


def test_a_16th_field_that_differs_is_a_question_with_an_answer(tmp_path):
    root = with_scores(tmp_path, "0.9", "0.8")
    with pytest.raises(errors.UserError, match=r"looks like a detection's score.* write kitti:.*,score=ignore\.$"):
        open_kitti(root)
    assert len(first(open_kitti(f"{root},score=ignore")).labels) == 1
    with pytest.raises(errors.UserError, match="`score` must be ignore: got `keep`"):
        open_kitti(f"{root},score=keep")


def test_nested_folders_are_paired_by_their_paths_and_lists_count_in_any_case(tmp_path):
    for drive in ("drive1", "drive2"):
        write(tmp_path, SCENES, f"image_2/{drive}", f"label_2/{drive}")
    put(tmp_path / "ImageSets" / "Train.txt", "drive1/000000\ndrive1/000001\ndrive2/000000\n")
    source = open_kitti(tmp_path)
    assert [item.source_id for item in source.items("train")] == [
        "drive1/000000.png",
        "drive1/000001.png",
        "drive2/000000.png",
    ]
    assert [(notice.kind, notice.file) for notice in source.notices] == [
        ("left_out", str(tmp_path / "image_2" / "drive2" / "000001.png"))
    ]


def test_folders_below_images_and_labels_tell_the_split(tmp_path):
    for split, scene in zip(("train", "val"), SCENES, strict=True):
        write(tmp_path, [scene], f"images/{split}", f"labels/{split}")
    source = open_kitti(tmp_path)
    found = {split: [item.source_id for item in source.items(split)] for split in source.splits}
    assert found == {"train": ["train/000000.png"], "val": ["val/000001.png"]}


def test_a_folder_of_no_split_beside_those_of_splits_is_noted(tmp_path):
    write(tmp_path / "train", SCENES[:1])
    write(tmp_path / "dev", SCENES[1:])
    assert [(notice.kind, notice.file) for notice in open_kitti(tmp_path).notices] == [
        ("left_out", str(tmp_path / "dev"))
    ]


def test_training_beside_validation_is_one_of_two_splits(tmp_path):
    write(tmp_path / "training", SCENES[:1])
    write(tmp_path / "validation", SCENES[1:])
    source = open_kitti(tmp_path)
    assert {split: len(source.items(split)) for split in source.splits} == {"train": 1, "val": 1}
    assert source.notices == ()


def test_a_number_at_the_end_of_a_type_is_a_question_where_15_others_follow(tmp_path):
    row = "Type 2 0 0 0 16 12 32 36 0 0 0 0 0 0 0\n"
    root = write(tmp_path, [Scene("000000.png")], rows=row)
    with pytest.raises(errors.UserError) as caught:
        open_kitti(root)
    assert str(caught.value) == (
        f"Dataset `kitti:{root}`: row 1 of `{root}/label_2/000000.txt` has 15 numbers behind `Type`, one more than"
        " KITTI, and the first is 2, which is no truncation (0 to 1). If the type is `Type 2`, write it as Type_2. If"
        f" the last number is a score, write kitti:{root},score=ignore."
    )
    put(root / "label_2" / "000000.txt", row.replace("Type 2", "Type_2"))
    assert open_kitti(root).class_names == ("Type_2",)
