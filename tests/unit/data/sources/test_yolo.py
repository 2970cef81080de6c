import os
import pathlib

import numpy as np
import pytest

from data import errors, progress, sources
from data.sources import base, yolo
from tests import coco_folder, format_folders
from tests.format_folders import put


def open_yolo(root, **options):
    return yolo.YoloSource.open(f"yolo:{root}", str(root), base.ReadOptions(**options))


def write(root, rows="0 0.5 0.5 0.25 0.5\n", config="train: images/train\nnames: [car, person]\n", count=1):
    """Writes a train split; images after the first have the same good row."""
    for number in range(count):
        file = root / "images" / "train" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(coco_folder.image_bytes(number))
        put(root / "labels" / "train" / f"{number}.txt", rows if number == 0 else "1 0.5 0.5 0.25 0.5\n")
    put(root / "data.yaml", config)
    return root


def message_of(root, **options):
    with pytest.raises(errors.UserError) as caught:
        open_yolo(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def first(source):
    return source.load(source.items("train")[0])


def notes_of(root):
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        source = open_yolo(root)
    return source, notes


# --- rows


def test_a_row_by_hand(tmp_path):
    record = first(open_yolo(write(tmp_path, "1 0.5 0.5 0.25 0.5\n\n0 0.125 0.25 0.25 0.5\n")))
    np.testing.assert_array_equal(record.boxes, np.float32([[0.25, 0.375, 0.75, 0.625], [0, 0, 0.5, 0.25]]))
    assert record.labels.tolist() == [1, 0]
    assert record.area_px.tolist() == [16 * 24, 16 * 24]


def test_a_polygon_becomes_the_box_around_it(tmp_path):
    record = first(open_yolo(write(tmp_path, "0 0.25 0.5 0.5 0.25 0.75 0.75\n")))
    np.testing.assert_array_equal(record.boxes, np.float32([[0.25, 0.25, 0.75, 0.75]]))


def test_keypoints_behind_the_box_are_left_out(tmp_path):
    config = "train: images/train\nnames: [person]\nkpt_shape: [2, 3]\n"
    record = first(open_yolo(write(tmp_path, "0 0.5 0.5 0.25 0.5 0.1 0.1 2 0.2 0.2 2\n", config)))
    np.testing.assert_array_equal(record.boxes, np.float32([[0.25, 0.375, 0.75, 0.625]]))


def test_images_without_rows_are_negatives(tmp_path):
    root = write(tmp_path, "", count=3)
    (root / "labels" / "train" / "2.txt").unlink()
    source = open_yolo(root)
    assert [len(source.load(item).labels) for item in source.items("train")] == [0, 1, 0]


def test_dontcare_is_a_region_to_ignore(tmp_path):
    config = "train: images/train\nnames: [DontCare, car, person]\n"
    source = open_yolo(write(tmp_path, "0 0.5 0.5 0.25 0.5\n2 0.5 0.5 0.5 0.5\n", config))
    record = first(source)
    assert source.class_names == ("car", "person")
    assert (record.labels.tolist(), record.is_crowd.tolist()) == ([0, 1, 1], [True, True, False])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0 0.5 0.5 0.25", "row 2 has 4 numbers: a box has 5, a polygon 7, 9, 11, ..."),
        (
            "0 0.5 0.5 0.25 0.5 0.9",
            "row 2 has 6 numbers: a box has 5, a polygon 7, 9, 11, ...; a sixth is a detection's score,"
            " not ground truth",
        ),
        ("0 0.5 x 0.25 0.5", "row 2 must hold numbers only: got `0 0.5 x 0.25 0.5`"),
        ("7 0.5 0.5 0.25 0.5", "row 2 has class 7, but data.yaml names 2 classes, from 0"),
        ("-1 0.5 0.5 0.25 0.5", "row 2 has class -1, but data.yaml names 2 classes, from 0"),
        ("0.5 0.5 0.5 0.25 0.5", "row 2 has class 0.5, but data.yaml names 2 classes, from 0"),
    ],
)
def test_a_bad_row_makes_its_example_bad_and_no_other(tmp_path, row, reason):
    source = open_yolo(write(tmp_path, f"0 0.5 0.5 0.25 0.5\n{row}\n", count=2))
    with pytest.raises(errors.BadExampleError) as caught:
        first(source)
    assert caught.value.reason == f"{tmp_path}/labels/train/0.txt: {reason}"
    assert len(source.load(source.items("train")[1]).labels) == 1


def test_a_label_file_that_is_not_text_makes_its_example_bad(tmp_path):
    root = write(tmp_path, count=2)
    (root / "labels" / "train" / "0.txt").write_bytes(b"0 0.5 \xff")
    with pytest.raises(errors.BadExampleError, match=r"labels/train/0.txt: not UTF-8 text at byte 6"):
        first(open_yolo(root))


def test_a_few_rows_in_pixels_are_bad_examples_and_most_are_a_question(tmp_path):
    source = open_yolo(write(tmp_path / "few", "0 32 24 16 24\n", count=3))
    with pytest.raises(errors.BadExampleError, match="lies outside its image"):
        first(source)
    root = write(tmp_path / "most", "0 32 24 16 24\n0 16 24 16 24\n", count=2)
    assert message_of(root) == (
        f"Dataset `yolo:{root}`: yolo states boxes as fractions of the image's sides, but 2 of 3 have a number above 2,"
        f" as [32, 24, 16, 24] of `{root}/images/train/0.jpg`. Are they in px? Answer with --box_units=pixels, or with"
        " --box_units=normalized if they are right as they stand."
    )


# --- layouts


@pytest.mark.parametrize(
    "place",
    [
        *("../train/images", "train/images", "./train/images", "/content/set/train/images"),
        "~nobody_here/set/train/images",
    ],
)
def test_roboflows_layout_is_read_wherever_it_was_moved(tmp_path, place):
    root = write(tmp_path / "set", config=f"train: {place}\nval: ../valid/images\nnc: 1\nnames: ['car']\n")
    (root / "train").mkdir()
    (root / "images" / "train").rename(root / "train" / "images")
    (root / "labels" / "train").rename(root / "train" / "labels")
    source, notes = notes_of(root)
    assert source.splits == ("train",)
    assert len(first(source).labels) == 1
    assert notes == [f"{root}/data.yaml: there is no `val: ../valid/images`; left out."]


@pytest.mark.parametrize("path", ["..", "/no/such/place", "~nobody_here/place"])
def test_path_in_the_yaml_is_the_root_where_it_exists(tmp_path, path):
    root = write(tmp_path)
    there = root / "configs" if path == ".." else root
    file = put(there / "own.yaml", f"path: {path}\ntrain: images/train\nnames: {{0: car, 1: person}}\n")
    source = open_yolo(file)
    assert source.class_names == ("car", "person")
    assert [item.source_id for item in source.items("train")] == ["0.jpg"]


def test_lists_of_images_are_read(tmp_path):
    root = write(tmp_path, count=3, config="train: train.txt\nval: [val.txt]\nnames: [car, person]\n")
    put(root / "train.txt", "./images/train/0.jpg\nimages/train/1.jpg\n\n")
    put(root / "val.txt", f"{root}/images/train/2.jpg\n")
    source = open_yolo(root)
    found = {split: [item.source_id for item in source.items(split)] for split in source.splits}
    assert found == {"train": ["images/train/0.jpg", "images/train/1.jpg"], "val": ["images/train/2.jpg"]}
    assert [source.load(item).labels.tolist() for item in source.items("train")] == [[0], [1]]
    assert source.notices == ()


def test_labels_beside_the_images_are_read(tmp_path):
    root = write(tmp_path, config="train: obj\nnames: [car]\n")
    (root / "images" / "train").rename(root / "obj")
    (root / "labels" / "train" / "0.txt").rename(root / "obj" / "0.txt")
    assert len(first(open_yolo(root)).labels) == 1


def test_classes_txt_stands_for_the_yaml(tmp_path):
    root = write(tmp_path)
    (root / "data.yaml").unlink()
    assert yolo.YoloSource.recognises(root) is None
    put(root / "classes.txt", "car\nperson\n")
    source = open_yolo(root)
    assert (source.splits, source.class_names) == (("train",), ("car", "person"))
    assert yolo.YoloSource.recognises(root) == "classes.txt lies with images/ and labels/"


def test_labels_without_an_image_are_noticed(tmp_path):
    root = write(tmp_path)
    put(root / "labels" / "train" / "lost.txt", "")
    (notice,) = open_yolo(root).notices
    assert (notice.kind, pathlib.Path(notice.file).name) == ("lost_annotation", "lost.txt")


def test_a_split_without_any_label_file_is_left_out(tmp_path):
    root = write(tmp_path, config="train: images/train\ntest: images/test\nnames: [car]\n")
    format_folders.write_images(root / "images" / "test", [format_folders.Scene("t.jpg")])
    source, notes = notes_of(root)
    assert source.splits == ("train",)
    expected = f"test has no label file (no `{root}/labels/test/t.txt`, for example); it is left out."
    assert notes == [f"{root}/data.yaml: {expected}"]


# --- broken datasets


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("names: [car\ntrain: images/train\n", "malformed YAML at line 2, column 6: expected ',' or ']', but got ':'."),
        ("- car\n", "YOLO's data.yaml is `key: value` lines: got list."),
        ("train: images/train\n", "needs the classes as a list `names`: got None."),
        ("train: images/train\nnames: []\n", "needs the classes as a list `names`: got []."),
        (
            "train: images/train\nnames: [yes, car]\n",
            "name 0 of `names` must be text: got True. Write it in quotes.",
        ),
        (
            "train: images/train\nnames: {0: car, 2: person}\n",
            "`names` must be numbered from 0 without gaps: got 0, 2.",
        ),
        ("train: images/train\nnc: 3\nnames: [car]\n", "`nc` is 3, but `names` has 1 names."),
        ("names: [car]\n", "it has no `train`, `val` or `test`."),
        ("train: pictures\nnames: [car]\n", "none of its places exists: `train: pictures`. Paths start from `"),
        ("train: {a: b}\nnames: [car]\n", "`train` must be a path or a list of paths: got {'a': 'b'}."),
    ],
)
def test_a_broken_yaml_ends_with_a_clear_line(tmp_path, config, message):
    root = write(tmp_path, config=config)
    assert message_of(root).startswith(f"{root}/data.yaml: {message}")


def test_images_without_any_labels_are_an_error(tmp_path):
    root = write(tmp_path)
    (root / "labels").rename(root / "annotations")
    assert message_of(root).startswith(f"Dataset `yolo:{root}`: no split of `{root}/data.yaml` has images with label")


@pytest.mark.parametrize("config", ["a: 1\n", "names: [car]\n"])
def test_another_yaml_is_not_recognised(tmp_path, config):
    root = write(tmp_path, config=config)
    assert yolo.YoloSource.recognises(root) is None


def test_a_broken_data_yaml_is_recognised_so_that_its_error_is_said(tmp_path):
    assert yolo.YoloSource.recognises(write(tmp_path, config="names: [")) == "there is a data.yaml"


def test_images_without_a_label_file_are_noted(tmp_path):
    root = write(tmp_path, "", count=3)
    (root / "labels" / "train" / "2.txt").unlink()
    (notice,) = (notice for notice in open_yolo(root).notices if notice.kind == "unlabelled_image")
    assert notice.file == str(root / "images" / "train" / "2.jpg")


def test_a_link_to_nowhere_beside_the_data_is_left_alone(tmp_path):
    (tmp_path / "x.yaml").symlink_to(tmp_path / "gone.yaml")
    assert yolo.YoloSource.recognises(tmp_path) is None


def test_a_file_that_is_no_data_yaml_is_named(tmp_path):
    (tmp_path / "list.txt").write_text("images/a.jpg\n")
    with pytest.raises(errors.UserError, match=r"list\.txt` is not a data\.yaml"):
        open_yolo(tmp_path / "list.txt")


# --- files as people have them


@pytest.mark.parametrize(
    "config",
    [
        "path: .\ntrain: images\\train\n",
        "path: 'C:/Users/me/set'\ntrain: ./images/train'\n",
        "train: C:\\Users\\me\\set\\images\\train\n",
        "Train: Images/TRAIN\n",
        "train: data/images/train\n",
    ],
)
def test_places_written_on_another_machine_are_found(tmp_path, config):
    source = open_yolo(write(tmp_path, config=config + "names: [car, person]\n"))
    assert len(first(source).labels) == 1


def test_what_is_taken_for_a_place_that_is_not_there_is_said(tmp_path):
    _, notes = notes_of(write(tmp_path, config="train: data/images/train\nnames: [car, person]\n"))
    assert notes == [f"`data/images/train` is not there; `{tmp_path}/images/train` is taken for it."]


def test_a_list_of_images_from_another_folder_is_read_and_counted(tmp_path):
    root = write(tmp_path, config="train: train.txt\nnames: [car, person]\n", count=2)
    put(root / "train.txt", "data/images/train/0.jpg\ndata\\images\\train\\1.JPG\n")
    source = open_yolo(root)
    assert [len(source.load(item).labels) for item in source.items("train")] == [1, 1]
    assert [notice.kind for notice in source.notices] == ["inexact_name"] * 2


def test_labels_named_as_a_url_are_paired_and_counted(tmp_path):
    root = write(tmp_path, count=2)
    (root / "images" / "train" / "0.jpg").rename(root / "images" / "train" / "a é.jpg")
    (root / "labels" / "train" / "0.txt").rename(root / "labels" / "train" / "a%20%C3%A9.txt")
    source = open_yolo(root)
    assert [len(source.load(item).labels) for item in source.items("train")] == [1, 1]
    assert [(notice.kind, notice.file) for notice in source.notices] == [
        ("inexact_name", str(root / "labels" / "train" / "a%20%C3%A9.txt"))
    ]


def test_a_photo_and_its_mask_share_a_label_file_and_are_both_bad(tmp_path):
    root = write(tmp_path)
    (root / "images" / "train" / "0.png").write_bytes(coco_folder.image_bytes(9, "PNG"))
    source = open_yolo(root)
    for item in source.items("train"):
        with pytest.raises(errors.BadExampleError, match=r"0.jpg` and `.*0.png` have its name; keep the photo there"):
            source.load(item)


@pytest.mark.parametrize("name", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_two_lists_of_classes_that_differ_are_an_error(tmp_path, name):
    root = write(tmp_path)
    put(root / name, "person\ncar\n")
    assert f"names the classes car, person; {root / name} names them person, car. Which" in message_of(root)
    put(root / name, "car\nperson\n")
    assert open_yolo(root).class_names == ("car", "person")


def test_lists_of_classes_that_look_alike_are_one(tmp_path):
    root = write(tmp_path, config="train: images/train\nnames: ['caf\u00e9 ', person]\n")
    put(root / "classes.txt", "cafe\u0301\nperson\n")
    assert open_yolo(root).class_names == ("caf\u00e9", "person")


def test_classes_of_one_name_are_said_to_be_one(tmp_path):
    source = open_yolo(write(tmp_path, config="train: images/train\nnames: [car, car]\n"))
    assert source.class_names == ("car",)
    assert [(notice.kind, notice.detail) for notice in source.notices] == [("merged_class", "0 and 1 are both `car`")]


def test_one_folder_for_train_and_val_counts_once_when_it_is_divided(tmp_path):
    config = "train: images/train\nval: images/train\nnames: [car, person]\n"
    source = open_yolo(write(tmp_path, config=config, count=6))
    assert [notice.kind for notice in source.notices] == ["shared_image"] * 6
    divided = sources.open_source(f"yolo:{tmp_path}", sources.DataOptions(splits=(0.5, 0.25, 0.25)))
    names = [item.source_id for split in divided.splits for item in divided.items(split)]
    assert sorted(names) == [f"{number}.jpg" for number in range(6)]


def test_labelimgs_one_folder_is_read(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.JPG").write_bytes(coco_folder.image_bytes(number))
        put(tmp_path / f"{number}.txt", "1 0.5 0.5 0.25 0.5\n")
    put(tmp_path / "classes.txt", "car\nperson\n")
    assert yolo.YoloSource.recognises(tmp_path) == "classes.txt lies with images and their label files"
    source = open_yolo(tmp_path)
    assert [source.load(item).labels.tolist() for item in source.items("train")] == [[1], [1]]
    assert source.notices == ()


def test_darknets_data_file_is_read(tmp_path):
    root = write(tmp_path, count=2)
    (root / "data.yaml").unlink()
    put(root / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    put(root / "obj.names", "car\nperson\n")
    put(root / "train.txt", "data/images/train/0.jpg\ndata/images/train/1.jpg\n")
    assert yolo.YoloSource.recognises(root) == "obj.data is Darknet's"
    assert open_yolo(root).class_names == ("car", "person")
    assert len(open_yolo(root).items("train")) == 2


def test_a_link_to_the_folder_of_train_is_the_same_folder(tmp_path):
    root = write(tmp_path, config="train: images/train\nval: images/val\nnames: [car, person]\n", count=2)
    for kind in ("images", "labels"):
        (root / kind / "val").symlink_to(root / kind / "train")
    assert [notice.kind for notice in open_yolo(root).notices] == ["shared_image"] * 2


@pytest.mark.parametrize("folder", ["", "images"])
def test_labels_beside_the_images_of_each_split_are_read(tmp_path, folder):
    for number, split in enumerate(("train", "Val")):
        put(tmp_path / folder / split / f"{number}.txt", "1 0.5 0.5 0.25 0.5\n")
        (tmp_path / folder / split / f"{number}.jpg").write_bytes(coco_folder.image_bytes(number))
    put(tmp_path / "classes.txt", "car\nperson\n")
    assert yolo.YoloSource.recognises(tmp_path)
    assert open_yolo(tmp_path).splits == ("train", "val")


def test_a_binary_file_of_another_kind_is_left_alone(tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(1))
    (root / "weights.data").write_bytes(bytes(range(256)))
    assert yolo.YoloSource.recognises(root) is None


# --- what is said twice


@pytest.mark.parametrize(
    "name", ["labels/train/classes.txt", "labels/classes.txt", "_darknet.labels", "dataset.yaml", "labels/obj.names"]
)
def test_names_of_classes_are_compared_wherever_they_stand(tmp_path, name):
    root = write(tmp_path)
    lists = {True: "names: [{}]\ntrain: images/train\n", False: "{}\n"}[name.endswith(".yaml")]
    separator = ", " if name.endswith(".yaml") else "\n"
    put(root / name, lists.format(separator.join(["person", "car"])))
    assert f"names the classes car, person; {root / name} names them person, car. Which" in message_of(root)
    put(root / name, lists.format(separator.join(["car", "person"])))
    assert open_yolo(root).class_names == ("car", "person")


def test_two_files_of_classes_without_a_yaml_are_compared(tmp_path):
    root = write(tmp_path)
    (root / "data.yaml").unlink()
    put(root / "classes.txt", "car\nperson\n")
    put(root / "labels" / "classes.txt", "person\ncar\n")
    assert f"{root}/labels/classes.txt names them person, car" in message_of(root)


def test_a_yaml_that_is_named_counts_against_others_beside_it(tmp_path):
    root = write(tmp_path)
    put(root / "dataset.yaml", "train: images/train\nnames: [person, car]\n")
    assert f"or name the one that counts, as yolo:{root}/data.yaml." in message_of(root)
    source = open_yolo(root / "dataset.yaml")
    assert (source.class_names, source.notices) == (("person", "car"), ())


def test_a_second_yaml_that_says_other_splits_is_noted(tmp_path):
    root = write(tmp_path)
    put(root / "dataset.yaml", "val: images/train\nnames: [car, person]\n")
    assert [(notice.kind, notice.file, notice.detail) for notice in open_yolo(root).notices] == [
        ("left_out", f"{root}/dataset.yaml", "data.yaml is read")
    ]


def test_a_key_that_comes_twice_in_the_yaml_is_an_error(tmp_path):
    root = write(tmp_path, config="train: images/train\nnames: [car, person]\nnames: [person, car]\n")
    assert message_of(root).startswith(
        f"{root}/data.yaml: malformed YAML at line 3, column 1: the key `names` comes twice."
    )


def test_names_that_yaml_takes_for_octal_numbers_stay_text(tmp_path):
    config = "train: images/train\nnames: [0010, 12, 1_0, 1.50]\n"
    assert open_yolo(write(tmp_path, config=config)).class_names == ("0010", "12", "1_0", "1.50")


def test_a_blank_line_between_names_is_an_error_and_at_the_end_nothing(tmp_path):
    root = write(tmp_path)
    (root / "data.yaml").unlink()
    put(root / "classes.txt", "car\n\nperson\n")
    assert message_of(root).startswith(f"{root}/classes.txt: line 2 is blank. A class has the number of its line")
    put(root / "classes.txt", "car\nperson\n\n \n")
    assert open_yolo(root).class_names == ("car", "person")


def test_darknets_number_of_classes_must_agree_with_its_names(tmp_path):
    root = write(tmp_path)
    (root / "data.yaml").unlink()
    put(root / "obj.data", "classes = 3\ntrain = train.txt\nnames = obj.names\n")
    put(root / "obj.names", "car\nperson\n")
    put(root / "train.txt", "images/train/0.jpg\n")
    assert message_of(root).startswith(f"{root}/obj.data: `classes` is '3', but `names` has 2 names.")


@pytest.mark.parametrize("rows", ["0 0.5 0.5 0.5 0.5\n", "1 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.25 0.5\n"])
def test_labels_beside_an_image_and_in_labels_must_agree(tmp_path, rows):
    root = write(tmp_path, "0 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.25 0.5\n", count=2)
    put(root / "images" / "train" / "0.txt", rows)
    source = open_yolo(root)
    if rows.count("\n") == 2:  # the same rows in another order
        assert len(first(source).labels) == 2
        return
    with pytest.raises(errors.BadExampleError, match=r"labels/train/0.txt and .*images/train/0.txt differ; keep the"):
        first(source)


def test_labels_of_a_linked_folder_of_images_must_agree_and_count_where_they_are_alone(tmp_path):
    config = "train: [a/images, b/images]\nnames: [car, person]\n"
    root = write(tmp_path, config=config, count=2)
    for kind in ("images", "labels"):
        (root / "a").mkdir(exist_ok=True)
        (root / kind / "train").rename(root / "a" / kind)
    (root / "b").mkdir()
    (root / "b" / "images").symlink_to(root / "a" / "images")
    put(root / "b" / "labels" / "0.txt", "1 0.5 0.5 0.25 0.5\n")
    put(root / "b" / "labels" / "1.txt", "0 0.5 0.5 0.5 0.5\n")
    (root / "a" / "labels" / "1.txt").unlink()
    first_one, second = open_yolo(root).items("train")
    labels = [root / folder / "labels" / "0.txt" for folder in "ab"]
    assert first_one.problem == f"{labels[0]} and {labels[1]} differ; keep the one that is right"
    assert second.labels == (0,)


def test_an_image_that_a_list_names_twice_counts_once(tmp_path):
    root = write(tmp_path, config="train: train.txt\nnames: [car, person]\n", count=2)
    put(root / "train.txt", "images/train/0.jpg\n./images/train/0.jpg\nimages/train/0.jpg\nimages/train/1.jpg\n")
    source = open_yolo(root)
    assert [source.load(item).labels.tolist() for item in source.items("train")] == [[0], [1]]


def test_an_image_that_a_list_names_in_two_ways_counts_once_however_the_dataset_is_named(tmp_path, monkeypatch):
    root = write(tmp_path, config="train: train.txt\nnames: [car, person]\n", count=2)
    put(root / "train.txt", f"images/train/0.jpg\n{root}/images/train/0.jpg\n{root}/images/train/1.jpg\n")
    monkeypatch.chdir(tmp_path)
    for place in (".", str(tmp_path)):
        assert len(open_yolo(place).items("train")) == 2


# --- classes


def test_classes_that_are_one_off_are_a_question_however_few_show_it(tmp_path):
    rows = "3 0.5 0.5 0.25 0.5\n1 x\n"
    root = write(tmp_path, rows, "train: images/train\nnames: [car, person, dog]\n", count=40)
    said = (
        f"Dataset `yolo:{root}`: row 1 of `{root}/labels/train/0.txt` is of class 3, which `{root}/data.yaml`"
        " does not list (it has 0 to 2), and no box is of class 0. Is every number one too high? Then put a name for"
        f" class 0 in front of those in `{root}/data.yaml`, or correct the labels; if not, correct that one."
    )
    assert notes_of(root)[1] == [said]  # no box is of class 2: more likely a stray row
    put(root / "labels" / "train" / "1.txt", "2 0.5 0.5 0.25 0.5\n")
    assert message_of(root) == said
    put(root / "labels" / "train" / "1.txt", "0 0.5 0.5 0.25 0.5\n")  # both ends are used
    assert notes_of(root)[1] == []


def test_a_class_below_0_is_an_unknown_one(tmp_path):
    source, notes = notes_of(write(tmp_path, "-1 0.5 0.5 0.25 0.5\n", "train: images/train\nnames: [a, b]\n", count=3))
    assert ([item.problem_kind for item in source.items("train")][0], notes) == ("unknown_class", [])


# --- rows that may be no polygons

POSES = {
    "[2, 3]": "0 0.5 0.5 0.2 0.2 0.45 0.45 1 0.55 0.55 2\n",
    "[2, 2]": "0 0.5 0.5 0.2 0.2 0.45 0.45 0.55 0.55\n",
    "[4, 3]": "0 0.5 0.5 0.2 0.2 0.45 0.45 1 0.55 0.55 2 0 0 0 0.5 0.5 1\n",
}


@pytest.mark.parametrize("shape", list(POSES))
def test_rows_that_could_all_be_keypoints_are_a_question_with_answers(tmp_path, shape):
    root = write(tmp_path, POSES[shape] + "1" + POSES[shape][1:])
    message = message_of(root)
    assert message.startswith(f"Dataset `yolo:{root}`: 2 of 2 rows that are longer than a box could be boxes with keyp")
    assert f"Write `kpt_shape: {shape}` into {root}/data.yaml if they are keypoints, or `task: segment`" in message
    config = (root / "data.yaml").read_text()
    put(root / "data.yaml", f"{config}kpt_shape: {shape}\n")
    np.testing.assert_allclose(first(open_yolo(root)).boxes[0], [0.4, 0.4, 0.6, 0.6], atol=1e-6)
    put(root / "data.yaml", f"{config}task: segment\n")
    polygons = open_yolo(root).items("train")[0].boxes
    assert len(polygons) == 2
    assert polygons[0] != (0.5, 0.5, 0.2, 0.2)


def test_a_trackers_rows_are_no_polygons(tmp_path):
    root = write(tmp_path, "0 0.5 0.5 0.2 0.2 0.91 1\n0 0.5 0.5 0.2 0.2 0.87 0\n")
    assert "They look like a tracker's output (box, score, id)" in message_of(root)
    source = open_yolo(
        write(tmp_path / "some", "0 0.5 0.5 0.2 0.2 0.91 7\n0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n", count=2)
    )
    with pytest.raises(errors.BadExampleError, match="row 1 has 7 numbers and ends with 7: that is a track's id"):
        first(source)


@pytest.mark.parametrize(
    "rows",
    [
        "0 0.1 0.9 0.5 0.2 0.9 1\n0 0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3\n",  # a triangle at the lower edge
        "0 0.5 0.5 0.52 0.5 0.52 0.52 0.5 0.52\n",  # a small one, which a box of half the image would hold
        "0 0.5 0.5 0.9 0.5 0.9 0.9 0.5 0.9\n0 0.5 0.5 0.2 0.2 0.45 0.45 0.55 0.55\n",
        "0 0.5 0.5 0.2 0.2 0.45 0.45 0.55 0.55\n1 0.5 0.5 0.2 0.2 0.45 0.45 0.55 0.55 0.5 0.5\n",
        "0 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.6 0.6 0.45 0.55\n",  # a stray triangle in a dataset of boxes
        "0 0.5 0.5 0.6 0.6 0.45 0.55\n0 0.1 0.1 0.05 0.2 0.15 0.2\n",  # triangles alone, of which one could be a pose
    ],
)
def test_true_polygons_stay_readable(tmp_path, rows):
    assert len(first(open_yolo(write(tmp_path, rows))).labels) == rows.count("\n")


def test_triangles_alone_are_readable_or_a_question_that_the_task_answers(tmp_path):
    root = write(tmp_path, "0 0.5 0.5 0.6 0.6 0.45 0.55\n0 0.1 0.9 0.5 0.2 0.9 1\n0 0.1 0.9 0.5 0.3 0.9 1\n")
    message = message_of(root)  # two of three triangles end at the lower edge
    assert message.endswith(f"If they are polygons, write `task: segment` into {root}/data.yaml to say so.")
    put(root / "data.yaml", "train: images/train\nnames: [car, person]\ntask: segment\n")
    assert len(first(open_yolo(root)).labels) == 3
    put(root / "labels" / "train" / "0.txt", "0 0.5 0.5 0.6 0.6 0.45 0.55\n")
    put(root / "data.yaml", "train: images/train\nnames: [car, person]\n")
    assert "Write `kpt_shape: [1, 2]` into" in message_of(root)
    put(root / "data.yaml", "train: images/train\nnames: [car, person]\ntask: segment\n")
    np.testing.assert_allclose(first(open_yolo(root)).boxes, [[0.5, 0.45, 0.6, 0.6]], atol=1e-6)


def test_triangles_in_pixels_are_no_tracks(tmp_path):
    root = write(tmp_path, "0 8 6 40 12 20 36\n")
    np.testing.assert_allclose(first(open_yolo(root, box_units="pixels")).boxes, [[6 / 48, 8 / 64, 36 / 48, 40 / 64]])
    for row in ("0 0.5 0.5 0.2 0.2 0.91 7\n", "0 32 24 16 12 0.91 7\n"):
        source = open_yolo(write(tmp_path, row, count=2), box_units="pixels")
        with pytest.raises(errors.BadExampleError, match="row 1 has 7 numbers and ends with 7: that is a track's id"):
            first(source)


def test_without_a_yaml_the_question_says_what_a_new_one_needs(tmp_path):
    root = write(tmp_path, POSES["[2, 3]"])
    (root / "data.yaml").unlink()
    put(root / "labels" / "classes.txt", "car\nperson\n")
    where = f"into a data.yaml in `{root}`, which needs `names` and `train`, too, if they are keypoints"
    assert where in message_of(root)


# --- what lies beside, and other names


def test_a_yaml_of_another_dataset_is_not_compared(tmp_path):
    root = write(tmp_path)
    text = "path: ../datasets/coco\n{}: images/train2017\nval: val2017.txt\nnames: {{0: person, 1: bicycle}}\n"
    put(root / "coco.yaml", text.format("train"))
    source = open_yolo(root)
    assert source.class_names == ("car", "person")
    assert [(notice.kind, notice.file) for notice in source.notices] == [("left_out", f"{root}/coco.yaml")]
    put(root / "coco.yaml", text.replace("images/train2017", "../images/train").format("train"))
    assert f"{root}/coco.yaml names them person, bicycle. Which is right" in message_of(root)


def test_folders_of_labels_are_found_without_listing_those_beside_them(tmp_path, monkeypatch):
    root = write(tmp_path)
    for number in range(9):
        put(root / "labels" / "train" / f"{number}" / "0.txt", "0 0.5 0.5 0.25 0.5\n")
        (root / "images" / "train" / f"{number}").mkdir()
    images = [root / "images" / "train" / f"{number}" / "0.jpg" for number in range(9)]
    monkeypatch.setattr(os, "scandir", None)
    assert yolo._label_files(images) == [root / "labels" / "train" / f"{number}" / "0.txt" for number in range(9)]


def test_a_key_and_a_folder_of_no_split_are_noted(tmp_path):
    root = write(tmp_path, config="train: images/train\ndev: images/dev\nnames: [car, person]\n")
    format_folders.write_images(root / "images" / "dev", [format_folders.Scene("d.jpg")])
    format_folders.write_images(root / "images" / "more", [format_folders.Scene("m.jpg")])
    format_folders.write_images(root / "images", [format_folders.Scene("x.jpg")])
    assert [(notice.kind, notice.file, notice.detail) for notice in open_yolo(root).notices] == [
        ("left_out", f"{root}/data.yaml", "`dev` is not a split (train, val or test) by its name"),
        ("left_out", f"{root}/images", "1 image that is not read, as x.jpg"),
        ("left_out", f"{root}/images/more", "1 image that is not read, as m.jpg"),
    ]


def test_folders_deep_in_images_tell_the_split_where_nothing_else_does(tmp_path):
    for split in ("train", "val"):
        format_folders.write_images(tmp_path / "images" / "day" / split, [format_folders.Scene(f"{split}.jpg")])
        put(tmp_path / "labels" / "day" / split / f"{split}.txt", "0 0.5 0.5 0.25 0.5\n")
    put(tmp_path / "classes.txt", "car\n")
    assert open_yolo(tmp_path).splits == ("train", "val")


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train2017", "val2017"), ("train", "val")),
        (("images_train", "val_set_2"), ("train", "val")),
        (("train_station", "test_track"), ("train",)),
        (("train_a/test_1", "val_a"), ("train",)),  # the first could be two
        (("train_a", "more"), ("train",)),
    ],
)
def test_folders_whose_names_hold_a_split_tell_it_where_all_do(tmp_path, names, splits):
    for name in names:
        format_folders.write_images(tmp_path / "images" / name, [format_folders.Scene("a.jpg")])
        put(tmp_path / "labels" / name / "a.txt", "0 0.5 0.5 0.25 0.5\n")
    put(tmp_path / "classes.txt", "car\n")
    source, notes = notes_of(tmp_path)
    assert source.splits == splits
    assert any("its folders tell the split, as" in note for note in notes) == (len(splits) > 1)


@pytest.mark.parametrize("name", ["Classes.txt", "Labels/CLASSES.TXT", "Obj.Names"])
def test_files_and_folders_without_a_yaml_count_in_any_case(tmp_path, name):
    format_folders.write_images(tmp_path / "Images", [format_folders.Scene("a.jpg")])
    put(tmp_path / "Labels" / "a.txt", "0 0.5 0.5 0.25 0.5\n")
    put(tmp_path / name, "car\n")
    assert yolo.YoloSource.recognises(tmp_path) == f"{name} lies with images/ and labels/"
    assert len(first(open_yolo(tmp_path)).labels) == 1


def test_folders_of_labels_count_in_any_case(tmp_path):
    root = write(tmp_path, config="train: images/Train\nnames: [car, person]\n")
    (root / "images" / "train").rename(root / "images" / "Train")
    source = open_yolo(root)
    assert (len(first(source).labels), source.notices) == (1, ())


def test_a_jfif_is_read_and_a_gif_named(tmp_path):
    root = write(tmp_path, count=2)
    (root / "images" / "train" / "0.jpg").rename(root / "images" / "train" / "0.jfif")
    (root / "images" / "train" / "1.jpg").rename(root / "images" / "train" / "1.gif")
    source = open_yolo(root)
    assert [item.source_id for item in source.items("train")] == ["0.jfif"]
    assert len(first(source).labels) == 1
    (notice,) = source.notices
    assert notice.detail == f"{root}/images/train/1.gif is of no format that is read"


def test_thumbnails_of_a_server_are_nobodys(tmp_path):
    root = write(tmp_path)
    format_folders.write_images(root / "images" / "train" / "@eaDir" / "0.jpg", [format_folders.Scene("THUMB_M.jpg")])
    source = open_yolo(root)
    assert [item.source_id for item in source.items("train")] == ["0.jpg"]
    assert source.notices == ()


def test_lists_with_a_drive_of_windows_are_found(tmp_path):
    config = "path: D:\\work\\set\ntrain: train.txt\nval: D:\\work\\set\\val.txt\nnames: [car, person]\n"
    root = write(tmp_path, config=config)
    format_folders.write_images(root / "images" / "val", [format_folders.Scene("1.jpg")])
    put(root / "labels" / "val" / "1.txt", "0 0.5 0.5 0.25 0.5\n")
    put(root / "train.txt", "D:\\work\\set\\images\\train\\0.jpg\r\n")
    put(root / "val.txt", "D:\\work\\set\\images\\val\\1.jpg\r\n")
    source = open_yolo(root)
    assert [len(source.load(source.items(split)[0]).labels) for split in ("train", "val")] == [1, 1]
