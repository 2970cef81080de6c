import pytest

from data import errors, progress, sources
from data.sources import division, layout


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_are_listed_by_their_paths_without_what_begins_with_a_dot(tmp_path):
    put(tmp_path, "b/0.JPG", "a.png", "._a.png", ".hidden/1.jpg", "notes.txt", "b/c/2.webp")
    assert layout.image_names(tmp_path) == ["a.png", "b/0.JPG", "b/c/2.webp"]
    assert layout.image_names(tmp_path, deep=False) == ["a.png"]


def test_links_are_followed_and_loops_end(tmp_path):
    put(tmp_path, "elsewhere/0.jpg", "set/1.jpg", "set/a/2.jpg", "set/b/3.jpg")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set" / "b")
    (tmp_path / "set" / "b" / "up").symlink_to(tmp_path / "set" / "a")
    assert layout.image_names(tmp_path / "set") == ["1.jpg", "a/2.jpg", "b/3.jpg", "linked/0.jpg"]


def test_folders_that_link_to_one_another_are_visited_once(tmp_path):
    names = [f"f{number}" for number in range(9)]  # by every path, there are a million
    put(tmp_path, *(f"{name}/{name}.jpg" for name in names), "elsewhere/0.jpg")
    for name in names:
        for other in {*names, "elsewhere"} - {name}:
            (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    assert layout.image_names(tmp_path) == ["elsewhere/0.jpg", *(f"{name}/{name}.jpg" for name in names)]
    assert len(layout.image_names(tmp_path / "f8")) == 10


def test_a_folder_goes_by_its_own_path_and_not_by_a_links(tmp_path):
    put(tmp_path, "images/b/0.jpg")
    (tmp_path / "images" / "a").symlink_to(tmp_path / "images" / "b")
    assert layout.image_names(tmp_path) == ["images/b/0.jpg"]


def test_two_splits_may_be_links_to_one_folder_and_hold_links_to_its_files(tmp_path):
    put(tmp_path, "all/0.jpg", "all/1.jpg")
    root = tmp_path / "set"
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / split / "images").symlink_to(tmp_path / "all")
        (root / split / "0.jpg").symlink_to(tmp_path / "all" / "0.jpg")
    inside = ["0.jpg", "images/0.jpg", "images/1.jpg"]
    assert layout.image_names(root) == [f"{split}/{name}" for split in ("train", "val") for name in inside]


@pytest.mark.parametrize("names", [("Train", "VAL", "test"), ("training", "valid", "TEST"), ("TRAIN", "Validation")])
def test_splits_are_named_in_any_case(tmp_path, names):
    put(tmp_path, *(f"{name}/0.jpg" for name in names), *(f"lists/{name}.TXT" for name in names), ".train/0.jpg")
    assert [folder.name for folder in layout.split_folders(tmp_path).values()] == list(names)
    assert [file.stem for file in layout.split_files(tmp_path / "lists", ".txt").values()] == list(names)


def test_two_folders_of_one_split_are_an_error(tmp_path):
    put(tmp_path, "val/0.jpg", "Valid/0.jpg")
    with pytest.raises(errors.UserError, match="has two for val: Valid, val. Keep one."):
        layout.split_folders(tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [("train_labels", "train"), ("my-Valid-2", "val"), ("labels", None), ("train_val", None), ("constrained", None)],
)
def test_a_split_is_told_by_a_word_of_a_name(name, split):
    assert layout.split_within(name) == split


@pytest.mark.parametrize("name", ["train.json", "data.yaml", "obj.data", "train.csv", "train.txt", "a.xml", "x.record"])
def test_a_link_to_nowhere_is_no_dataset(tmp_path, name):
    put(tmp_path, "train/0.jpg")
    (tmp_path / name).symlink_to(tmp_path / "gone")
    assert all(reader.recognises(tmp_path) is None for reader in sources.READERS.values())


@pytest.mark.parametrize(
    ("text", "known", "names"),
    [
        ("a 1\nb.jpg -1\n", (), ["a", "b"]),
        ("a 1\nb\n", (), ["a 1", "b"]),
        ("a 1\nb\n", ("a", "b"), ["a", "b"]),
        ("a 1\nb 0\n", ("a 1", "b"), ["a 1", "b"]),
        (" a  b \n\n", (), ["a  b"]),
    ],
)
def test_a_number_at_a_lines_end_is_a_flag_or_of_the_name(tmp_path, text, known, names):
    file = tmp_path / "train.txt"
    file.write_text(text)
    assert layout.read_names(file, known) == names


# --- splits that only folders of images tell, and what lies beside them


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["images/train/0.jpg", "images/Val/1.jpg"], {"train": 1, "val": 1}),
        (["train/day/0.jpg", "test/day/1.jpg", "test/2.jpg"], {"train": 1, "test": 2}),
        (["images/0.jpg", "images/1.jpg"], {"train": 2}),
        (["images/train/0.jpg", "images/1.jpg"], {"train": 2}),
        (["train/test/0.jpg", "train/1.jpg"], {"train": 2}),  # two splits in one path say nothing
    ],
)
def test_folders_divide_all_images_or_none(tmp_path, names, splits):
    put(tmp_path, *names)
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        found = division.divide_by_folder([str(tmp_path / name) for name in names], str, tmp_path)
    assert {split: len(paths) for split, paths in found.items()} == splits
    assert list(found) == list(splits)
    assert notes == []


def test_images_of_which_only_some_lie_in_folders_of_splits_stay_together_with_a_note(tmp_path):
    put(tmp_path, "train/0.jpg", "val/1.jpg", "more/2.jpg")
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        found = division.divide_by_folder(
            [f"{tmp_path}/{name}" for name in layout.image_names(tmp_path)], str, tmp_path
        )
    assert {split: len(paths) for split, paths in found.items()} == {"train": 3}
    assert notes == [
        f"{tmp_path}: 1 of 3 images are in no folder of a split, as {tmp_path}/more/2.jpg, so all are train. Put each"
        " image below train/, val/ or test/ to divide them so."
    ]


@pytest.mark.parametrize("split", ["test", "val"])
def test_images_that_all_lie_below_one_split_are_train_with_a_note(tmp_path, split):
    put(tmp_path, f"images/{split}/0.jpg")
    paths = [str(tmp_path / "images" / split / "0.jpg"), str(tmp_path / "gone.jpg")]
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        assert division.divide_by_folder(paths, str, tmp_path) == {"train": paths}
    assert notes == [f"{tmp_path}: all images lie below {split}/; they count as train."]


def test_images_that_all_lie_below_test_are_test_where_the_user_tests_on_them(tmp_path):
    put(tmp_path, "images/test/0.jpg")
    path = str(tmp_path / "images" / "test" / "0.jpg")
    assert division.divide_by_folder([path], str, tmp_path, is_test_set=True) == {"test": [path]}


def test_a_missing_image_does_not_keep_the_others_together(tmp_path):
    put(tmp_path, "train/0.jpg", "val/1.jpg")
    paths = [str(tmp_path / name) for name in ("train/0.jpg", "val/1.jpg", "gone.jpg")]
    assert {split: len(of) for split, of in division.divide_by_folder(paths, str, tmp_path).items()} == {
        "train": 2,
        "val": 1,
    }


def test_images_beside_the_folders_that_are_read_are_noted(tmp_path):
    put(tmp_path, "images/train/0.jpg", "images/dev/1.jpg", "images/dev/2.jpg", "images/3.jpg", "labels/train/0.txt")
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "images" / "train")
    notices = layout.beside(tmp_path, [tmp_path / "images" / "train"])
    assert [(notice.kind, notice.file, notice.detail) for notice in notices] == [
        ("left_out", f"{tmp_path}/images", "1 image that is not read, as 3.jpg"),
        ("left_out", f"{tmp_path}/images/dev", "2 images that are not read, as 1.jpg"),
    ]
    assert layout.beside(tmp_path, [tmp_path / "images"]) == []


def test_links_to_folders_above_and_to_themselves_end(tmp_path):
    root = tmp_path / "set"
    put(root, "train/0.jpg", "1.jpg")
    put(tmp_path, "2.jpg", "other/3.jpg", "more/4.jpg")
    for name, target in (("latest", "."), ("up", ".."), ("itself", "itself"), ("more", "../more")):
        (root / name).symlink_to(target)
    assert [(notice.file, notice.detail) for notice in layout.beside(root, [root / "train"])] == [
        (str(root), "1 image that is not read, as 1.jpg"),
        (f"{root}/more", "1 image that is not read, as 4.jpg"),
    ]
    assert "train/0.jpg" in layout.image_names(root)


def test_a_folder_is_found_by_its_exact_name_without_a_scan(tmp_path, monkeypatch):
    put(tmp_path, "Labels/0.txt", "labels/1.txt")
    assert layout.folder_named(tmp_path, "LABELS", "none") == tmp_path / "Labels"
    monkeypatch.setattr(layout.os, "scandir", None)
    assert layout.folder_named(tmp_path, "annotations", "labels") == tmp_path / "labels"
