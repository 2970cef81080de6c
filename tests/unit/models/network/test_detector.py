"""The detector's shapes and the boundaries of its settings."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models.hyperparameters import ExperimentConfig
from models.network.detector import Detector
from models.training import network_cost


@pytest.mark.parametrize(("loss", "outputs"), [("sigmoid", 3), ("softmax", 4)])
def test_outputs_and_detections(loss, outputs) -> None:
    """128 px from stride 8: 16, 8, 4, 2, 1 and 1 cells a side, three anchors a cell on the first, six elsewhere."""
    config = ExperimentConfig().replace(
        {
            "input.image_size": 128,
            "model.alpha": 0.35,
            "model.first_stride": 8,
            "loss.classification": loss,
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


@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        ("mobilenet_v1", "fpnlite"),
        ("mobilenet_v2", "ssdlite"),
        ("mobilenet_v3_small", "ssd"),
        ("mobilenet_v3_large", "fpnlite"),
    ],
)
def test_every_anchor_is_predicted_and_every_weight_learns(backbone, head) -> None:
    """Outputs fit the anchors, and a gradient reaches every trainable weight; all pairs: tests/integration."""
    config = ExperimentConfig().replace(
        {
            "input.image_height": 88,  # 11, 6, 3, 2 and 1 cells of the levels
            "input.image_width": 144,
            "model.backbone": backbone,
            "model.head": head,
            "model.alpha": 0.35,
            "model.first_stride": 8,
            "model.num_levels": 5,
            "model.head_layers": 1,
            "model.head_depth": 16,
        }
    )
    detector = Detector(config, 2)
    images = np.random.default_rng(0).integers(0, 255, (2, 88, 144, 3)).astype(np.uint8)
    truth = {
        "gt_boxes": np.array([[[0.1, 0.1, 0.6, 0.7]], [[0.2, 0.5, 0.9, 0.9]]], np.float32),
        "gt_labels": np.array([[0], [1]], np.int32),
    }
    with tf.GradientTape() as tape:
        loss = detector.compute_loss(y=truth, y_pred=detector(images, training=True))
    assert detector.network.output["deltas"].shape[1] == detector.anchors.shape[0]
    gradients = tape.gradient(loss, [weight.value for weight in detector.trainable_weights])
    without = [w.path for w, g in zip(detector.trainable_weights, gradients, strict=True) if g is None]
    assert without == []
    assert np.isfinite(float(loss))


def test_no_two_convolutions_start_alike() -> None:
    """Levels of one width must not draw the same initial kernels."""
    config = ExperimentConfig().replace({"input.image_size": 64, "model.head": "fpnlite", "model.alpha": 0.35})
    kernels = [np.asarray(kernel) for kernel in Detector(config, 2).penalised]
    for index, one in enumerate(kernels):
        assert not any(one.shape == other.shape and (one == other).all() for other in kernels[:index])


@pytest.mark.parametrize(
    ("changes", "converted"),
    [
        ({}, lambda logits: 1 / (1 + np.exp(-logits))),
        (
            {"postprocess.score_converter": "softmax"},
            lambda logits: (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))[..., 1:],
        ),
        ({"model.background_class": True}, lambda logits: 1 / (1 + np.exp(-logits[..., 1:]))),
    ],
)
def test_scores_follow_the_converter_and_leave_background_out(changes, converted) -> None:
    """The study changed the converter to softmax and left the sigmoid in the loss."""
    config = ExperimentConfig().replace({"input.image_size": 64, "model.alpha": 0.35, **changes})
    detector = Detector(config, 2)
    logits = np.random.default_rng(0).normal(size=(1, 7, 2 + config.has_background)).astype(np.float32)
    found = ops.convert_to_numpy(detector.scores(logits))
    assert found.shape == (1, 7, 2)
    assert found == pytest.approx(converted(logits), rel=1e-5)


def test_the_penalty_takes_ordinary_kernels_only() -> None:
    """Neither depthwise kernels nor biases nor batch norm."""
    config = ExperimentConfig().replace({"input.image_size": 64, "model.head": "ssdlite", "model.alpha": 0.35})
    detector = Detector(config, 2)
    shapes = {tuple(kernel.shape[:2]) for kernel in detector.penalised}
    assert shapes == {(1, 1), (3, 3)}  # 3x3 is the backbone's first convolution
    assert sum(tuple(kernel.shape[:2]) == (3, 3) for kernel in detector.penalised) == 1
    before = detector.compute_loss(y=_no_objects(), y_pred=detector(np.zeros((1, 64, 64, 3), np.uint8)))
    detector.scalars["l2"].assign(1.0)
    after = detector.compute_loss(y=_no_objects(), y_pred=detector(np.zeros((1, 64, 64, 3), np.uint8)))
    penalty = sum(float((np.asarray(kernel) ** 2).sum()) for kernel in detector.penalised)
    assert float(after - before) == pytest.approx(penalty, rel=1e-3)


def _no_objects() -> dict[str, np.ndarray]:
    return {"gt_boxes": np.zeros((1, 1, 4), np.float32), "gt_labels": np.full((1, 1), -1, np.int32)}


def test_size_and_cost_are_those_of_the_paper() -> None:
    """SSDLite on MobileNetV2, 320 px, 80 classes: 4.3 M parameters and 0.8 B multiply-adds, within 3 %.

    Sandler et al. 2018 (arXiv:1801.04381), table 6.
    """
    config = ExperimentConfig().replace(
        {"input.image_size": 320, "model.head": "ssdlite", "loss.classification": "softmax"}
    )
    detector = Detector(config, 80)
    parameters = sum(int(np.prod(weight.shape)) for weight in detector.trainable_weights)
    assert parameters == pytest.approx(4.3e6, rel=0.03)
    assert network_cost.multiply_adds(detector.network) == pytest.approx(0.8e9, rel=0.03)


def test_a_network_is_not_built_with_weights_that_nobody_has_decided() -> None:
    """`auto` is decided once a run; a backbone of random weights would pass for a pretrained one."""
    config = ExperimentConfig().replace({"model.backbone_weights": "auto", "input.image_size": 64})
    with pytest.raises(ValueError, match="`model.backbone_weights` must be decided .* got auto"):
        Detector(config, 1)
