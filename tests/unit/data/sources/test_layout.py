import pytest

from data import errors, sources
from data.sources import layout


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
    found = layout.image_names(tmp_path / "set")
    assert {"1.jpg", "a/2.jpg", "b/3.jpg", "linked/0.jpg"} <= set(found)
    assert len(found) == 6  # a/up and b/up hold the other's


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
