"""The MobileNet-SSD: network, training objective and detection in one Keras model."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from models import anchors as anchor_grid
from models import backbones, box_coder, heads, losses, matcher, postprocess
from models.hyperparameters import ExperimentConfig

Tensor = Any
VARIANCES = (0.1, 0.2)


class Detector(keras.Model):
    """A single-shot detector on MobileNetV2.

    Calling it on float images [B, S, S, 3] in [0, 255] gives {"logits", "deltas"}; `detect` gives boxes after
    suppression. Anchors and the scalars of the loss are variables: `apply_live_settings` changes them without tracing
    the training step again.

    Attributes:
        config: the settings it was built for; live settings follow `apply_live_settings`.
        num_classes: C.
        anchors: float32 variable [A, 4].
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
        size = config.input.image_size
        extractor = backbones.feature_levels(config.model, size)
        per_cell = [len(shapes) for shapes in anchor_grid.cell_shapes(config.anchors)]
        outputs = num_classes + (config.model.score_activation == "softmax")
        logits, deltas = heads.ssd_head(list(extractor.outputs), per_cell, outputs, config.model)
        self.network = keras.Model(extractor.input, {"logits": logits, "deltas": deltas}, name="network")
        self.map_sizes = [tuple(level.shape[1:3]) for level in extractor.outputs]
        initial = anchor_grid.make_anchors(self.map_sizes, config.anchors)
        self.anchors = self.add_weight(
            name="anchors", shape=initial.shape, dtype="float32", trainable=False, initializer="zeros"
        )
        self.scalars = {
            name: self.add_weight(name=name, shape=(), dtype="float32", trainable=False, initializer="zeros")
            for name in (
                "negatives_per_positive",
                "min_negatives",
                "classification_weight",
                "localization_weight",
                "l2",
            )
        }
        self.apply_live_settings(config)
        self.built = True

    def apply_live_settings(self, config: ExperimentConfig) -> None:
        """Takes over the settings that are variables: anchors' scales and the scalars of the loss.

        Args:
            config: must agree with the detector's own in everything that shapes the network.
        """
        self.anchors.assign(anchor_grid.make_anchors(self.map_sizes, config.anchors))
        for name, variable in self.scalars.items():
            variable.assign(getattr(config.loss, name))
        self.config = config

    def call(self, images: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Predicts raw outputs.

        Args:
            images: float [B, S, S, 3] or uint8, in [0, 255].
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
            float32 scalar: weighted classification and box loss and the L2 penalty.
        """
        targets = matcher.assign(y["gt_boxes"], y["gt_labels"], self.anchors, self.config.loss.matched_iou)
        classification, localization = losses.detection_losses(
            y_pred["logits"],
            y_pred["deltas"],
            targets.labels,
            ops.stop_gradient(box_coder.encode(targets.boxes, self.anchors, VARIANCES)),
            targets.positive,
            targets.ignored,
            activation=self.config.model.score_activation,
            negatives_per_positive=self.scalars["negatives_per_positive"],
            min_negatives=self.scalars["min_negatives"],
        )
        penalty = sum(
            ops.sum(ops.square(weight)) for weight in self.trainable_weights if weight.path.endswith("kernel")
        )
        return (
            self.scalars["classification_weight"] * classification
            + self.scalars["localization_weight"] * localization
            + self.scalars["l2"] * penalty
        )

    def detect(self, images: Tensor) -> dict[str, Tensor]:
        """Detects objects.

        Args:
            images: [B, S, S, 3] in [0, 255].

        Returns:
            As `postprocess.detect`.
        """
        return self._select(*self._boxes_and_scores(images))

    def detect_tiles(self, tiles: Tensor, windows: Tensor, cells: Tensor) -> dict[str, Tensor]:
        """Detects objects of whole images in their tiles.

        Args:
            tiles: [B, T, S, S, 3] in [0, 255].
            windows: float32 [B, T, 4], as `postprocess.merge_tiles`.
            cells: float32 [T, 4], as `postprocess.merge_tiles`.

        Returns:
            As `postprocess.detect`, with boxes as fractions of the whole image.
        """
        count, size = tiles.shape[1], tiles.shape[2]
        boxes, scores = self._boxes_and_scores(ops.reshape(tiles, (-1, size, size, 3)))
        boxes = ops.reshape(boxes, (-1, count, *boxes.shape[1:]))
        scores = ops.reshape(scores, (-1, count, *scores.shape[1:]))
        return self._select(*postprocess.merge_tiles(boxes, scores, windows, cells))

    def _boxes_and_scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns decoded boxes float32 [B, A, 4] and scores float32 [B, A, C]."""
        outputs = self(images, training=False)
        if self.config.model.score_activation == "softmax":
            scores = ops.softmax(outputs["logits"], axis=-1)[:, :, 1:]
        else:
            scores = ops.sigmoid(outputs["logits"])
        return box_coder.decode(outputs["deltas"], self.anchors, VARIANCES), scores

    def _select(self, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
        settings = self.config.postprocess
        return postprocess.detect(
            boxes,
            scores,
            score_threshold=settings.score_threshold,
            iou_threshold=settings.nms_iou,
            max_detections=settings.max_detections,
        )

    def predict_step(self, data: Tensor) -> dict[str, Tensor]:
        """Detects objects in a batch, so that `predict` returns detections."""
        return self.detect(data[0] if isinstance(data, tuple) else data)
