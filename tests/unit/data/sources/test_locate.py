import unicodedata

import pytest

from data.sources import locate


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def find(root, stated, *folders, split="", splits=()):
    finder = locate.Finder(root, splits)
    file, problem = finder.find(stated, [root / folder for folder in folders] or [root], split)
    return file.relative_to(root).as_posix() if file.exists() else None, problem, len(finder.notices())


@pytest.mark.parametrize(
    ("there", "stated"),
    [
        ("images/a.jpg", "images/a.jpg"),
        ("images/a.jpg", "images\\a.jpg"),
        ("images/a.jpg", "./images/a.jpg"),
        ("images/a.jpg", "images/../images/a.jpg"),
        ("images/a.jpg", "'images/a.jpg' "),
        ("odd\\name.jpg", "odd\\name.jpg"),
        ("images/a%20b.jpg", "images/a%20b.jpg"),
    ],
)
def test_a_path_that_is_right_but_for_its_slashes_and_quotes_is_exact(tmp_path, there, stated):
    put(tmp_path, there)
    assert find(tmp_path, stated) == (there, None, 0)


@pytest.mark.parametrize(
    ("there", "stated"),
    [
        ("images/IMG_1.jpg", "IMG_1.JPG"),
        ("images/Street 1.png", "street%201.png"),
        ("images/street%201.png", "street 1.png"),
        (unicodedata.normalize("NFD", "images/café.jpg"), unicodedata.normalize("NFC", "café.jpg")),
        (unicodedata.normalize("NFC", "images/café.jpg"), unicodedata.normalize("NFD", "café.jpg")),
        ("images/tr1.jpg", "tr1"),
        ("images/frame.0001.jpg", "frame.0001"),
        ("images/a.jpg", "C:\\Users\\me\\set\\images\\a.jpg"),
        ("images/a.jpg", "/home/me/set/images/a.jpg"),
    ],
)
def test_a_path_that_is_alike_is_found_and_counted(tmp_path, there, stated):
    put(tmp_path, there, "images/other.jpg", "labels/a.txt")
    assert find(tmp_path, stated) == (there, None, 1)


def test_the_longest_common_end_decides_and_a_draw_decides_nothing(tmp_path):
    put(tmp_path, "one/cam/0.jpg", "two/cam/0.jpg", "two/1.jpg", "three/2.jpg", "three/2.png")
    assert find(tmp_path, "old/two/cam/0.jpg")[0] == "two/cam/0.jpg"
    assert find(tmp_path, "old/1.jpg")[0] == "two/1.jpg"
    file, problem, num_notices = find(tmp_path, "cam/0.jpg")
    assert (file, num_notices) == (None, 0)
    assert problem == f"`cam/0.jpg` may be `{tmp_path}/one/cam/0.jpg` or `{tmp_path}/two/cam/0.jpg`; name one of them"
    assert "2.jpg` or `" in find(tmp_path, "2")[1]
    assert find(tmp_path, "3.jpg") == (None, None, 0)


def test_of_two_names_that_differ_in_case_only_the_same_spelling_is_taken(tmp_path):
    put(tmp_path, "images/A.jpg", "images/a.jpg")
    assert find(tmp_path, "old/a.jpg")[0] == "images/a.jpg"
    assert find(tmp_path, "old/A.JPG")[1]


def test_another_splits_image_is_never_taken(tmp_path):
    put(tmp_path, "train/0.jpg", "val/1.jpg")
    assert find(tmp_path, "0.jpg", "val", split="val", splits=("train", "val")) == (None, None, 0)
    assert find(tmp_path, "old/1.jpg", "val", split="val", splits=("train", "val"))[0] == "val/1.jpg"


def test_names_that_begin_with_a_dot_are_nobodys(tmp_path):
    put(tmp_path, "images/._a.jpg", ".cache/b.jpg")
    assert find(tmp_path, "._a.JPG") == (None, None, 0)
    assert find(tmp_path, "b") == (None, None, 0)
