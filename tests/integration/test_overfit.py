"""Every backbone with every head learns eight images by heart."""

import itertools

import pytest
from tiny_data import CLASS_NAMES, scene_record, write_split

from models.hyperparameters import ExperimentConfig
from models.training import train

EPOCHS = {"ssd": 120, "ssdlite": 120, "fpnlite": 150}  # of one step each: 90 left three seeds at 0.93 to 0.97
PLAIN = ExperimentConfig().replace(
    {
        "input.image_size": 96,
        "input.batch_size": 8,
        "input.max_boxes": 8,
        "augment.flip_probability": 0.0,
        "augment.crop_probability": 0.0,
        "augment.photometric_strength": 0.0,
        "model.alpha": 0.35,
        "model.batch_norm_momentum": 0.7,
        "model.first_stride": 8,
        "model.num_levels": 4,
        "model.head_depth": 32,
        "model.head_kernel_size": 3,
        "anchors.min_scale": 0.15,
        "optimizer.learning_rate": 0.005,
    }
)


BACKBONES = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")
# `make test-all` takes every pair. tests/e2e/test_export.py learns forty images with mobilenet_v1 and ssd; the large v3
# has the small one's blocks, and that all its weights learn is in tests/unit/models/network/test_detector.py.
QUICK = {("mobilenet_v2", "ssdlite"), ("mobilenet_v3_small", "fpnlite")}


@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product(BACKBONES, EPOCHS)
    ],
)
def test_eight_images_are_learned_by_heart(backbone, head, tmp_path) -> None:
    """The whole chain of targets, losses, decoding and metrics agrees with itself."""
    files = write_split(tmp_path, "train", [scene_record("train", index) for index in range(8)])
    config = PLAIN.replace({"model.backbone": backbone, "model.head": head})
    result = train.train(config, files, files, CLASS_NAMES, epochs=EPOCHS[head], validate_at=())
    assert result.history[-1]["AP50"] >= 0.98
