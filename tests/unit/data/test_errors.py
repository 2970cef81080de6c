import pickle

import pytest

from data import errors


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("road_scene", " Did you mean `road_scenes`?"),
        ("COCO", " Did you mean `coco`?"),
        ("zzz", " Known: coco, road_scenes."),
    ],
)
def test_nearest_names_the_close_name_or_lists_the_known_ones(word, hint):
    assert errors.nearest(word, ["coco", "road_scenes"]) == hint


def test_nearest_says_nothing_where_nothing_is_known():
    assert errors.nearest("a", []) == ""


def test_nearest_cuts_a_long_list():
    assert errors.nearest("zzz", [f"k{n}" for n in range(25)]).endswith("k19, and 5 more.")


def test_bad_example_error_survives_the_way_from_a_worker():
    error = pickle.loads(pickle.dumps(errors.BadExampleError("a.jpg", "empty file (0 bytes)")))
    assert (error.file, error.reason, str(error)) == (
        "a.jpg",
        "empty file (0 bytes)",
        "a.jpg: empty file (0 bytes)",
    )
