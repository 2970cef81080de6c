"""The MobileNet-SSD: network, training objective and detection in one Keras model."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from models.hyperparameters import ExperimentConfig
from models.network import anchors as anchor_grid
from models.network import backbones, box_coder, heads, layers, levels, losses, matcher, replicas, suppression

Tensor = Any
LIVE_LOSS_SETTINGS = (
    "matched_iou",
    "unmatched_iou",
    "focal_alpha",
    "focal_gamma",
    "label_smoothing",
    "smooth_l1_delta",
    "negatives_per_positive",
    "min_negatives",
    "classification_weight",
    "localization_weight",
    "l2",
)


LIVE_THRESHOLDS = ("score_threshold", "nms_iou")


class Detector(keras.Model):
    """A single-shot detector on a MobileNet.

    Calling it on float images [B, H, W, 3] in [0, 255] gives {"logits", "deltas"}; `detect` gives boxes after
    suppression. Anchors, the scalars of the loss and thresholds are variables: `apply_live_settings` changes them
    without tracing the training step again.

    Attributes:
        config: the settings it was built for; live settings follow `apply_live_settings`.
        num_classes: C.
        anchors: float32 variable [A, 4].
        restored: what `model.backbone_weights` gave; None where it is `none`.
    """

    def __init__(self, config: ExperimentConfig, num_classes: int) -> None:
        """Builds the network.

        Args:
            config: all settings.
            num_classes: at least 1.
        """
        super().__init__(name="detector")
        if num_classes < 1:
            raise ValueError(f"`num_classes` must be at least 1: got {num_classes}.")
        self.config, self.num_classes = config, num_classes
        backbone = backbones.load_backbone(config.model, config.input.size)
        self.restored = backbone.weights
        maps = levels.feature_levels(backbone, config.model)
        per_cell = [len(shapes) for shapes in anchor_grid.detector_shapes(config)]
        logits, deltas = heads.predict_boxes(maps, per_cell, num_classes + config.has_background, config.model)
        self.network = keras.Model(backbone.model.input, {"logits": logits, "deltas": deltas}, name="network")
        shape = (deltas.shape[1], 4)
        self.anchors = self.add_weight(
            name="anchors", shape=shape, dtype="float32", trainable=False, initializer="zeros"
        )
        self.scalars = {
            name: self.add_weight(name=name, shape=(), dtype="float32", trainable=False, initializer="zeros")
            for name in LIVE_LOSS_SETTINGS
        }
        self.thresholds = {
            name: self.add_weight(name=name, shape=(), dtype="float32", trainable=False, initializer="zeros")
            for name in LIVE_THRESHOLDS
        }
        self.penalised = _kernels(self.network)
        self.apply_live_settings(config)
        self.built = True

    def apply_live_settings(self, config: ExperimentConfig) -> None:
        """Takes over the settings that are variables: anchors' scales, the scalars of the loss, dropout, thresholds.

        Args:
            config: must agree with the detector's own in everything that shapes the network.
        """
        self.anchors.assign(anchor_grid.detector_anchors(config))
        for name, variable in self.scalars.items():
            variable.assign(getattr(config.loss, name))
        for name, variable in self.thresholds.items():
            variable.assign(getattr(config.postprocess, name))
        for layer in self.network.layers:
            if isinstance(layer, layers.LiveDropout):
                layer.live_rate.assign(config.model.dropout_rate)
        self.config = config

    def call(self, images: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Predicts raw outputs.

        Args:
            images: float [B, H, W, 3] or uint8, in [0, 255].
            training: batch norm and dropout mode.

        Returns:
            logits float32 [B, A, C or C + 1], deltas float32 [B, A, 4].
        """
        images = ops.cast(images, self.compute_dtype) / 127.5 - 1.0
        return self.network(images, training=training)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Mapping[str, Tensor] | None = None,
        y_pred: Mapping[str, Tensor] | None = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Computes the training objective, matching the ground truth to the anchors on the way.

        Args:
            x: unused.
            y: gt_boxes float32 [B, G, 4], gt_labels int32 [B, G] (-1 padding, -2 ignored region).
            y_pred: the model's outputs.
            sample_weight: unused.
            training: unused.

        Returns:
            float32 scalar: weighted classification and box loss and the L2 penalty. Of several replicas each has a
            part of it, and their sum is what one device has for the whole batch.
        """
        settings, scalars = self.config.loss, self.scalars
        targets = matcher.assign(
            y["gt_boxes"],
            y["gt_labels"],
            self.anchors,
            scalars["matched_iou"],
            scalars["unmatched_iou"],
            negatives_below_unmatched=settings.negatives_below_unmatched,
            force_match=settings.force_match,
        )
        variances = self.config.anchors.variances
        needs_boxes = settings.localization == "giou" or settings.mining_iou < 1.0
        boxes = box_coder.decode(y_pred["deltas"], self.anchors, variances) if needs_boxes else None
        classification, localization = losses.detection_losses(
            losses.Outputs(y_pred["logits"], y_pred["deltas"], boxes),
            targets,
            ops.stop_gradient(box_coder.encode(targets.boxes, self.anchors, variances)),
            settings,
            scalars,
            self.config.has_background,
        )
        penalty = ops.sum(ops.square(ops.concatenate([ops.ravel(kernel) for kernel in self.penalised])))
        return (
            scalars["classification_weight"] * classification
            + scalars["localization_weight"] * localization
            + scalars["l2"] / replicas.count() * penalty
        )

    def detect(self, images: Tensor) -> dict[str, Tensor]:
        """Detects objects.

        Args:
            images: [B, H, W, 3] in [0, 255].

        Returns:
            As `postprocess.detect`.
        """
        return suppression.detect(*self._boxes_and_scores(images), self.config.postprocess)

    def _boxes_and_scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns decoded boxes float32 [B, A, 4] and scores float32 [B, A, C]."""
        outputs = self(images, training=False)
        boxes = box_coder.decode(outputs["deltas"], self.anchors, self.config.anchors.variances)
        return boxes, self.scores(outputs["logits"])

    def scores(self, logits: Tensor) -> Tensor:
        """Turns logits [B, A, C or C + 1] into scores float32 [B, A, C] in [0, 1], background left out."""
        return suppression.to_scores(logits, self.config.score_activation, self.config.has_background)

    def predict_step(self, data: Tensor) -> dict[str, Tensor]:
        """Detects objects in a batch, so that `predict` returns detections."""
        images = data[0] if isinstance(data, tuple) else data
        settings = dataclasses.replace(self.config.postprocess, **self.thresholds)  # traced once for any thresholds
        return suppression.detect(*self._boxes_and_scores(images), settings)


def _kernels(network: keras.Model) -> list[Any]:
    """Lists the kernels that the L2 penalty takes: of ordinary convolutions that are trained.

    Depthwise kernels have so few weights that a penalty only harms: Howard et al. 2017 (arXiv:1704.04861), section 3.2.
    """
    kernels = []
    for layer in network.layers:
        if not layer.trainable:
            continue
        if isinstance(layer, keras.layers.SeparableConv2D):
            kernels.append(layer.pointwise_kernel)
        elif isinstance(layer, keras.layers.Conv2D):
            kernels.append(layer.kernel)
    return kernels
