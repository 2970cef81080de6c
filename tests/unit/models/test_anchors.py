"""Anchors against values drawn by hand and the Object Detection API's count."""

import math

import numpy as np
import pytest

from models import anchors
from models.hyperparameters import AnchorConfig


def test_300_px_with_six_levels_has_1917_anchors() -> None:
    """The count of the Object Detection API's SSD MobileNet v2 at 300 px."""
    maps = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    assert anchors.make_anchors(maps, AnchorConfig()).shape == (1917, 4)


def test_scales_are_evenly_spaced_as_in_the_paper() -> None:
    """Liu et al. 2016, eq. 4, with s_min 0.2, s_max 0.9 and m = 6."""
    assert anchors.level_scales(0.2, 0.9) == pytest.approx([0.2, 0.34, 0.48, 0.62, 0.76, 0.9])


def test_a_one_cell_map_by_hand() -> None:
    """On one cell the anchors lie around the image's centre, ratio is width / height."""
    config = AnchorConfig(min_scale=0.2, max_scale=0.4, aspect_ratios=(1.0, 4.0), reduce_lowest_level=False)
    found = anchors.make_anchors([(1, 1), (1, 1)], config)
    extra = math.sqrt(0.2 * 0.4) / 2
    assert found[:3] == pytest.approx(
        np.array(
            [
                [0.4, 0.4, 0.6, 0.6],
                [0.45, 0.3, 0.55, 0.7],
                [0.5 - extra, 0.5 - extra, 0.5 + extra, 0.5 + extra],
            ]
        ),
        abs=1e-6,
    )
    last = math.sqrt(0.4 * 1.0) / 2  # the scale after the coarsest is 1
    assert found[5] == pytest.approx([0.5 - last, 0.5 - last, 0.5 + last, 0.5 + last], abs=1e-6)


def test_the_reduced_lowest_level_by_hand() -> None:
    """Half the scale at ratio 1, then ratios 2 and 0.5 at the scale."""
    found = anchors.make_anchors([(1, 1), (1, 1)], AnchorConfig(min_scale=0.2, max_scale=0.4))[:3]
    sides = np.stack([found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]], axis=-1)
    root = math.sqrt(2)
    assert sides == pytest.approx(np.array([[0.1, 0.1], [0.2 / root, 0.2 * root], [0.2 * root, 0.2 / root]]), abs=1e-6)


def test_anchors_run_by_row_then_column() -> None:
    """The order must be that of the box predictor's flattened map."""
    config = AnchorConfig(aspect_ratios=(1.0,), reduce_lowest_level=False)
    found = anchors.make_anchors([(2, 3), (1, 1)], config)[:12:2]
    centres = (found[:, :2] + found[:, 2:]) / 2
    assert centres == pytest.approx(
        np.array([[0.25, 1 / 6], [0.25, 0.5], [0.25, 5 / 6], [0.75, 1 / 6], [0.75, 0.5], [0.75, 5 / 6]]), abs=1e-6
    )


def test_map_sizes_of_the_published_detector() -> None:
    assert anchors.map_sizes(300, 16) == [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]


@pytest.mark.parametrize(("image_size", "first_stride"), [(97, 8), (300, 16)])
def test_map_sizes_are_those_of_the_network(image_size: int, first_stride: int) -> None:
    from models import backbones
    from models.hyperparameters import ModelConfig

    network = backbones.feature_levels(ModelConfig(alpha=0.35, first_stride=first_stride), image_size)
    assert [tuple(level.shape[1:3]) for level in network.outputs] == anchors.map_sizes(image_size, first_stride)


def test_given_scales_are_those_of_the_levels() -> None:
    scales = (0.05, 0.1, 0.2, 0.4, 0.6, 0.9)
    shapes = anchors.cell_shapes(AnchorConfig(scales=scales, reduce_lowest_level=False))
    assert [level[0] for level in shapes] == [pytest.approx((scale, scale)) for scale in scales]
    assert shapes[0][-1] == pytest.approx((math.sqrt(0.05 * 0.1),) * 2)


def test_evenly_spaced_scales_may_be_written_out() -> None:
    """`scales` changes nothing where it says what the two ends say."""
    spelled = AnchorConfig(scales=tuple(anchors.level_scales(0.2, 0.95)))
    maps = anchors.map_sizes(128, 8)
    assert (anchors.make_anchors(maps, spelled) == anchors.make_anchors(maps, AnchorConfig())).all()


def test_scales_that_are_not_one_a_level_are_an_error() -> None:
    with pytest.raises(ValueError, match="needs one number a level: got 2 for 6"):
        anchors.cell_shapes(AnchorConfig(scales=(0.1, 0.2)))
