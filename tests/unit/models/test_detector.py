"""The detector's shapes and the boundaries of its settings."""

import numpy as np
import pytest
from keras import ops

from data.errors import UserError
from models.detector import Detector
from models.hyperparameters import ExperimentConfig


@pytest.mark.parametrize(("activation", "outputs"), [("sigmoid", 3), ("softmax", 4)])
def test_outputs_and_detections(activation, outputs) -> None:
    """128 px from stride 8: 16, 8, 4, 2, 1 and 1 cells a side, three anchors a cell on the first, six elsewhere."""
    config = ExperimentConfig().replace(
        {
            "input.image_size": 128,
            "model.alpha": 0.35,
            "model.first_stride": 8,
            "model.score_activation": activation,
            "postprocess.score_threshold": 0.0,
        }
    )
    detector = Detector(config, 3)
    images = np.random.default_rng(0).integers(0, 255, (2, 128, 128, 3)).astype(np.uint8)
    raw = detector(images)
    count = 16 * 16 * 3 + 6 * (64 + 16 + 4 + 1 + 1)
    assert (raw["logits"].shape, raw["deltas"].shape) == ((2, count, outputs), (2, count, 4))
    found = {name: ops.convert_to_numpy(value) for name, value in detector.detect(images).items()}
    assert found["detection_boxes"].shape == (2, 100, 4)
    assert (np.diff(found["detection_scores"]) <= 0).all()
    assert found["detection_classes"].max() <= 2
    assert ((found["detection_boxes"] >= 0) & (found["detection_boxes"] <= 1)).all()


def test_the_image_is_scaled_to_the_backbones_range() -> None:
    """Black is -1 and white is 1, as `keras.applications` MobileNetV2 was trained with."""
    detector = Detector(ExperimentConfig().replace({"input.image_size": 64, "model.alpha": 0.35}), 1)
    white = np.full((1, 64, 64, 3), 255, np.uint8)
    direct = detector.network(np.ones((1, 64, 64, 3), np.float32))["deltas"]
    assert ops.convert_to_numpy(detector(white)["deltas"]) == pytest.approx(ops.convert_to_numpy(direct), abs=1e-5)


def test_missing_backbone_weights_are_named() -> None:
    config = ExperimentConfig().replace({"input.image_size": 64, "model.backbone_weights": "nowhere.weights.h5"})
    with pytest.raises(UserError, match="no file nowhere.weights.h5"):
        Detector(config, 1)


def test_weights_of_another_width_are_named(tmp_path) -> None:
    config = ExperimentConfig().replace({"input.image_size": 64, "model.alpha": 0.5})
    path = tmp_path / "backbone.weights.h5"
    import keras

    keras.applications.MobileNetV2(input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None).save_weights(
        path
    )
    with pytest.raises(UserError, match="does not fit MobileNetV2 with alpha 0.5"):
        Detector(config.replace({"model.backbone_weights": str(path)}), 1)
