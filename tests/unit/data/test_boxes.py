import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data import boxes


def test_coco_to_normalized_by_hand():
    normalized = boxes.coco_to_normalized(np.array([[32, 12, 16, 24]]), height=48, width=64)
    assert normalized.dtype == np.float32
    np.testing.assert_array_equal(normalized, [[0.25, 0.5, 0.75, 0.75]])


def test_areas_by_hand():
    areas = boxes.areas_px(np.array([[0.25, 0.5, 0.75, 0.75]]), height=48, width=64)
    np.testing.assert_array_equal(areas, [24 * 16])


@hypothesis.given(
    hnp.arrays(np.float64, st.tuples(st.integers(0, 5), st.just(4)), elements=st.floats(0, 1000)),
    st.integers(1, 4000),
    st.integers(1, 4000),
)
def test_normalized_to_coco_inverts(xywh, height, width):
    back = boxes.normalized_to_coco(boxes.coco_to_normalized(xywh, height, width), height, width)
    # float32 keeps 24 bits of a corner, which is a sum of up to 2,000 px
    np.testing.assert_allclose(back, xywh, atol=2000 * 2.0**-22)


@pytest.mark.parametrize("convert", [boxes.coco_to_normalized, boxes.normalized_to_coco, boxes.areas_px])
def test_no_boxes_stay_no_boxes(convert):
    assert len(convert(np.zeros((0, 4)), 10, 10)) == len(convert([], 10, 10)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 5)), 10, 10), r"`boxes` needs the shape \[N, 4\]: got \[3, 5\]"),
        ((np.zeros((1, 4)), 0, 10), "`height` and `width` must be positive: got 0 and 10"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        boxes.coco_to_normalized(*arguments)
