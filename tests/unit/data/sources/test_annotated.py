"""What readers state of one image."""

import pytest

from data.sources import annotated


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"labels": (0,), "is_crowd": (False,)}, "areas_px"),
        ({"labels": (0,), "areas_px": (None,)}, "is_crowd"),
        ({"labels": (0, 1), "is_crowd": (False,), "areas_px": (None,)}, "labels"),
    ],
)
def test_each_box_has_a_label_a_flag_and_an_area(given, wrong):
    with pytest.raises(ValueError, match=rf"`{wrong}` needs one entry a box: got \d for 1 boxes"):
        annotated.AnnotatedImage("a", "a.jpg", boxes=((0.0, 0.0, 4.0, 4.0),), **given)
