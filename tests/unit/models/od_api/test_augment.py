"""The Object Detection API's augmentations; numbers are those of preprocessor.proto, or by hand."""

import pytest

from data import augment
from models.od_api import augment as od_api_augment
from models.od_api import config
from tests import od_api_configs as configs


def brightness_verdict(text):
    rows = config.read(text).report
    return next(row.verdict for row in rows if row.field.endswith("random_adjust_brightness.max_delta"))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("random_horizontal_flip { probability: 0.3 }", {"augment.flip_probability": 0.3}),
        # preprocessor.proto: 10 tries of chance 0.5 each
        (
            "random_black_patches {}",
            {
                "augment.patch_probability": 0.999023,
                "augment.patch_max_count": 10,
                "augment.patch_max_side": 0.1,
            },
        ),
        (
            "ssd_random_crop { operations { min_area: 0.5 max_area: 1 random_coef: 0.4 max_aspect_ratio: 2 } }",
            {"augment.crop_probability": 0.6, "augment.crop_min_scale": 0.5, "augment.crop_min_area": 0.5},
        ),
        (
            "random_crop_image { min_area: 0.75 max_aspect_ratio: 3.0 }",
            {"augment.crop_probability": 1.0, "augment.crop_min_scale": 0.75},
        ),
        ("random_adjust_hue { max_delta: 0.02 }", {"augment.color_strength": 0.2}),
        ("random_image_scale {}", {"augment.jitter_probability": 0.0}),
    ],
)
def test_augmentations(step, expected):
    imported = config.read(configs.ssd(train=f"data_augmentation_options {{ {step} }}"))
    assert {path: imported.settings[path] for path in expected} == pytest.approx(expected)
    imported.experiment()


def test_crops_ask_for_the_shares_of_objects_that_the_api_asks_for():
    imported = config.read(configs.ssd(train="data_augmentation_options { ssd_random_crop {} }"))
    assert imported.settings["augment.crop_overlap"] == "covered"
    assert od_api_augment._CROP["min_object_covered"] == augment.MIN_OVERLAPS["covered"]


def test_brightness_and_contrast_of_one_strength_are_honoured_and_others_are_not():
    steps = [
        "data_augmentation_options { random_adjust_brightness { max_delta: 0.1 } }",
        "data_augmentation_options { random_adjust_contrast { min_delta: 0.8 max_delta: 1.2 } }",
    ]
    text = configs.ssd(train="\n".join(steps))
    assert brightness_verdict(text) == "honoured"
    assert config.read(text).settings["augment.photometric_strength"] == pytest.approx(0.2, abs=0.01)
    assert brightness_verdict(configs.ssd(train=steps[0])) == "cannot"
