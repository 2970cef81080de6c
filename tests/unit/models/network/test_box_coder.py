"""The box coder: by hand, and as an inverse pair."""

import math

import numpy as np
import pytest
from boxes_strategy import make_boxes, seeds
from hypothesis import given, settings
from keras import ops

from models.network import box_coder

ANCHOR = np.array([[0.2, 0.2, 0.6, 0.4]], np.float32)  # centre (0.4, 0.3), height 0.4, width 0.2


def test_a_shifted_and_scaled_box_by_hand() -> None:
    """Centre moved by (0.1, -0.02), height doubled, width halved; scales (10, 10, 5, 5)."""
    box = np.array([[[0.1, 0.23, 0.9, 0.33]]], np.float32)
    expected = [10 * 0.1 / 0.4, 10 * -0.02 / 0.2, 5 * math.log(2), 5 * math.log(0.5)]
    assert np.asarray(box_coder.encode(box, ANCHOR))[0, 0] == pytest.approx(expected, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_decode_inverts_encode(rng: np.random.Generator) -> None:
    """Within float32 rounding of exp(log(x)), for sides up to the limit of e^4 anchor sides."""
    boxes, anchors = make_boxes(rng, 2, 30, smallest=0.03), make_boxes(rng, 30, smallest=0.03)
    decoded = box_coder.decode(box_coder.encode(boxes, anchors), anchors)
    assert np.asarray(decoded) == pytest.approx(boxes, abs=2e-5)


def test_wild_deltas_stay_finite() -> None:
    """An untrained head must not overflow exp."""
    assert np.isfinite(ops.convert_to_numpy(box_coder.decode(np.full((1, 1, 4), 1e4, np.float32), ANCHOR))).all()


def test_wrong_shapes_and_variances_are_named() -> None:
    """Both messages say what arrived."""
    with pytest.raises(ValueError, match="last dimension of 4: got shape"):
        box_coder.encode(np.zeros((1, 1, 5), np.float32), ANCHOR)
    with pytest.raises(ValueError, match="`variances` needs 4 positive numbers: got"):
        box_coder.decode(np.zeros((1, 1, 4), np.float32), ANCHOR, (0.0, 0.1, 0.2, 0.2))
