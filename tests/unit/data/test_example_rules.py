import numpy as np
import pytest

from data import errors, example_rules


@pytest.mark.parametrize(
    ("box", "rule"),
    [
        ([1, 2, float("nan"), 4], "has a coordinate that is not a number"),
        ([1, 2, float("inf"), 4], "has a coordinate that is not a number"),
        ([10, 2, -5, 4], "is inverted (negative width or height)"),
        ([10, 2, 5, -4], "is inverted (negative width or height)"),
        ([10, 2, 0, 4], "has zero area"),
        ([90, 2, 5, 4], "lies outside its image of 64x48 px"),
        ([-3, 2, 10, 4], "lies outside its image of 64x48 px"),
        ([60, 40, 3, 9.5], "lies outside its image of 64x48 px"),
        ([64, 10, 0.5, 4], "has no area inside its image"),
        ([-0.5, 10, 0.5, 4], "has no area inside its image"),
    ],
)
def test_bad_boxes_make_the_example_bad(box, rule):
    good = [1, 1, 5, 5]
    with pytest.raises(errors.BadExampleError) as caught:
        example_rules.check_boxes(np.array([good, box]), 48, 64, "a.jpg")
    shown = ", ".join(f"{value:g}" for value in box)
    assert caught.value.reason == f"box [{shown}] (x, y, width, height in px) {rule}"


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([0, 0, 64, 48], [0, 0, 1, 1]),
        ([-1, -1, 33, 25], [0, 0, 0.5, 0.5]),
        ([32, 24, 33, 25], [0.5, 0.5, 1, 1]),
    ],
)
def test_boxes_up_to_one_pixel_outside_are_clipped(box, clipped):
    np.testing.assert_array_equal(example_rules.check_boxes(np.array([box]), 48, 64, "f"), [clipped])


def test_no_boxes_are_fine():
    assert example_rules.check_boxes(np.zeros((0, 4)), 48, 64, "f").shape == (0, 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_huge_and_infinite_numbers_are_bad_boxes_not_warnings(value):
    for box in ([value, -value, value, 1], [-value, 0, value, 1]):
        assert len(example_rules.broken_boxes(np.array([box]), 48, 64)) == 1
        example_rules.mend_boxes(np.array([box]), [0], [False], 48, 64)


def test_all_broken_boxes_are_found_each_once():
    boxes = np.array([[1, 1, 5, 5], [9, 2, -5, 4], [90, 2, 0, 4], [1, 1, 0, 0], [0, 0, np.nan, 1]])
    found = example_rules.broken_boxes(boxes, 48, 64)
    assert [(box.kind, box.row) for box in found] == [
        ("box_not_a_number", 4),
        ("box_inverted", 1),
        ("box_without_area", 2),
        ("box_without_area", 3),
    ]


def test_exact_duplicates_go_and_others_stay():
    box, near = [4, 5, 20, 10], [4, 5, 20, 10.001]
    keep, mended = example_rules.mend_boxes(
        np.array([box, box, near, box, box]), [0, 0, 0, 1, 0], [False, False, False, False, True], 48, 64
    )
    assert keep.tolist() == [0, 2, 3, 4]
    assert mended == (example_rules.DUPLICATE,)


@pytest.mark.parametrize(
    ("overhang_px", "mended"),
    [(0.0, ()), (0.005, ()), (0.5, (example_rules.CLIPPED,)), (1.0, (example_rules.CLIPPED,)), (1.1, ())],
)
def test_clipping_counts_from_more_than_rounding_to_the_tolerance(overhang_px, mended):
    assert example_rules.mend_boxes(np.array([[0, 0, 64 + overhang_px, 48]]), [0], [False], 48, 64)[1] == mended


def test_no_boxes_have_nothing_to_mend():
    keep, mended = example_rules.mend_boxes(np.zeros((0, 4)), [], [], 48, 64)
    assert keep.shape == (0,)
    assert mended == ()


def test_names_must_be_unique():
    example_rules.check_unique(["a", "b"], "train.json")
    with pytest.raises(errors.UserError, match="train.json repeats the name `a` and 1 more; names must be unique"):
        example_rules.check_unique(["a", "b", "a", "b", "c"], "train.json")
