"""Anchors against values drawn by hand and the Object Detection API's count."""

import math

import numpy as np
import pytest

from models.hyperparameters import AnchorConfig, ExperimentConfig
from models.network import anchors
from models.network.detector import Detector

GRID = anchors.make_grid((128, 128), 8, 6)


def test_300_px_with_six_levels_has_1917_anchors() -> None:
    """The count of the Object Detection API's SSD MobileNet v2 at 300 px."""
    maps = anchors.Grid(((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)))
    assert anchors.make_anchors(maps, AnchorConfig()).shape == (1917, 4)


def test_scales_are_evenly_spaced_as_in_the_paper() -> None:
    """Liu et al. 2016, eq. 4, with s_min 0.2, s_max 0.9 and m = 6."""
    assert anchors.level_scales(0.2, 0.9, 6) == pytest.approx([0.2, 0.34, 0.48, 0.62, 0.76, 0.9])


def test_a_one_cell_map_by_hand() -> None:
    """On one cell the anchors lie around the image's centre, ratio is width / height."""
    config = AnchorConfig(min_scale=0.2, max_scale=0.4, aspect_ratios=(1.0, 4.0), reduce_lowest_level=False)
    found = anchors.make_anchors(anchors.Grid(((1, 1), (1, 1))), config)
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
    found = anchors.make_anchors(anchors.Grid(((1, 1), (1, 1))), AnchorConfig(min_scale=0.2, max_scale=0.4))[:3]
    sides = np.stack([found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]], axis=-1)
    root = math.sqrt(2)
    assert sides == pytest.approx(np.array([[0.1, 0.1], [0.2 / root, 0.2 * root], [0.2 * root, 0.2 / root]]), abs=1e-6)


def test_anchors_run_by_row_then_column() -> None:
    """The order must be that of the box predictor's flattened map."""
    config = AnchorConfig(aspect_ratios=(1.0,), reduce_lowest_level=False)
    found = anchors.make_anchors(anchors.Grid(((2, 3), (1, 1))), config)[:12:2]
    centres = (found[:, :2] + found[:, 2:]) / 2
    assert centres == pytest.approx(
        np.array([[0.25, 1 / 6], [0.25, 0.5], [0.25, 5 / 6], [0.75, 1 / 6], [0.75, 0.5], [0.75, 5 / 6]]), abs=1e-6
    )


def test_grid_of_the_published_detector() -> None:
    sizes = ((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1))
    assert anchors.make_grid((300, 300), 16, 6) == anchors.Grid(sizes, (1.0, 1.0), 16 / 300)


@pytest.mark.parametrize("kind", ["ssd", "multiscale"])
def test_anchors_of_a_wide_input_keep_their_shape_in_its_pixels(kind) -> None:
    """As in the Object Detection API: sides are relative to the shorter side, aspect ratios hold in pixels."""
    config = AnchorConfig(kind=kind)
    wide = anchors.make_anchors(anchors.make_grid((128, 320), 16, 3), config)
    square = anchors.make_anchors(anchors.make_grid((128, 128), 16, 3), config)

    def sides_px(found, size):
        return {tuple(sides) for sides in ((found[:, 2:] - found[:, :2]) * size).round(2).tolist()}

    assert sides_px(wide, (128, 320)) == sides_px(square, (128, 128))
    assert len(wide) == len(square) * 320 // 128


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model.backbone": "mobilenet_v1"}, 1917),
        ({"model.head": "ssdlite"}, 1917),
        ({"input.image_size": 97, "model.first_stride": 8}, 13 * 13 * 3 + 6 * (49 + 16 + 4 + 1 + 1)),
        # The API's FPNLite at 320 px: 40, 20, 10, 5 and 3 cells a side, two sizes of three ratios.
        (
            {
                "input.image_size": 320,
                "model.head": "fpnlite",
                "model.first_stride": 8,
                "model.num_levels": 5,
                "anchors.kind": "multiscale",
                "anchors.aspect_ratios": (1.0, 2.0, 0.5),
            },
            (1600 + 400 + 100 + 25 + 9) * 6,
        ),
    ],
)
def test_anchors_are_as_many_as_the_network_predicts(changes, expected: int) -> None:
    """Computed without the network, and the shape of its outputs."""
    config = ExperimentConfig().replace({"model.alpha": 0.35, **changes})
    assert anchors.detector_anchors(config).shape == (expected, 4)
    assert Detector(config, 2).network.output["deltas"].shape == (None, expected, 4)


def test_multiscale_anchors_by_hand() -> None:
    """On 64 px with stride 16, sizes of 2 cells and 2 sizes an octave: 32 and 32 sqrt(2) px, then 64 and 64 sqrt(2)."""
    config = AnchorConfig(kind="multiscale", size_in_cells=2.0, scales_per_octave=2, aspect_ratios=(1.0, 4.0))
    found = anchors.make_anchors(anchors.make_grid((64, 64), 16, 2), config)
    assert found.shape == (16 * 4 + 4 * 4, 4)
    sides_px = (found[:, 2:] - found[:, :2]) * 64
    root = math.sqrt(2)
    assert sides_px[:4] == pytest.approx(np.array([[32, 32], [16, 64], [32 * root] * 2, [16 * root, 64 * root]]))
    assert sides_px[64] == pytest.approx([64, 64])
    centres_px = (found[:, :2] + found[:, 2:]) * 32
    assert centres_px[4] == pytest.approx([8, 24])
    assert centres_px[-1] == pytest.approx([48, 48])


def test_multiscale_anchors_begin_at_the_edge_where_the_stride_does_not_divide_the_image() -> None:
    """The Object Detection API's rule: 5 cells of 16 px on an image of 72."""
    config = AnchorConfig(kind="multiscale", scales_per_octave=1, aspect_ratios=(1.0,))
    found = anchors.make_anchors(anchors.make_grid((72, 72), 16, 1), config)
    assert ((found[:5, 1] + found[:5, 3]) * 36).tolist() == pytest.approx([0, 16, 32, 48, 64], abs=1e-4)


def test_the_apis_reduced_lowest_level_has_a_first_scale_of_its_own() -> None:
    found = anchors.cell_shapes(AnchorConfig(min_scale=0.15, lowest_scale=0.1), GRID)[0]
    assert found[0] == pytest.approx((0.1, 0.1))


def test_given_scales_are_those_of_the_levels() -> None:
    scales = (0.05, 0.1, 0.2, 0.4, 0.6, 0.9)
    shapes = anchors.cell_shapes(AnchorConfig(scales=scales, reduce_lowest_level=False), GRID)
    assert [level[0] for level in shapes] == [pytest.approx((scale, scale)) for scale in scales]
    assert shapes[0][-1] == pytest.approx((math.sqrt(0.05 * 0.1),) * 2)


def test_evenly_spaced_scales_may_be_written_out() -> None:
    """`scales` changes nothing where it says what the two ends say."""
    spelled = AnchorConfig(scales=tuple(anchors.level_scales(0.2, 0.95, 6)))
    assert (anchors.make_anchors(GRID, spelled) == anchors.make_anchors(GRID, AnchorConfig())).all()


def test_scales_that_are_not_one_a_level_are_an_error() -> None:
    with pytest.raises(ValueError, match="needs one number a level: got 2 for 6"):
        anchors.cell_shapes(AnchorConfig(scales=(0.1, 0.2)), GRID)
