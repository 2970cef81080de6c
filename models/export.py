"""The SavedModel that is served: three signatures with the preprocessing and the suppression inside."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from data import files, input_pipeline
from models.detector import Detector

Tensor = Any
EXTRAS = "assets.extra"  # files beside the model that TensorFlow Serving leaves alone


class ServingModule(tf.Module):
    """A detector with its signatures."""

    def __init__(self, detector: Detector) -> None:
        """Wraps a detector.

        Args:
            detector: trained; its weights are shared, not copied.
        """
        super().__init__(name="serving")
        self.detector = detector
        self.image_size = detector.config.input.image_size

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(self, examples: Tensor) -> dict[str, Tensor]:
        """Detects in serialized tf.Examples (`image/encoded`)."""
        feature = tf.io.FixedLenFeature([], tf.string)
        return self._detect_encoded(tf.io.parse_example(examples, {"image/encoded": feature})["image/encoded"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_bytes(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """Detects in JPEG or PNG bytes; images of one batch may differ in size."""
        return self._detect_encoded(image_bytes)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serving_tensor(self, images: Tensor) -> dict[str, Tensor]:
        """Detects in uint8 images [B, H, W, 3] of any size."""
        return self._detect(input_pipeline.resize_images(images, self.image_size))

    def _detect_encoded(self, encoded: Tensor) -> dict[str, Tensor]:
        size = self.image_size
        images = tf.map_fn(
            lambda one: input_pipeline.decode_image(one, size),
            encoded,
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
        )
        return self._detect(images)

    def _detect(self, images: Tensor) -> dict[str, Tensor]:
        found = self.detector.detect(images)
        return {name: tf.identity(value, name=name) for name, value in found.items()}


def export_saved_model(detector: Detector, class_names: Sequence[str], folder: str | os.PathLike[str]) -> None:
    """Writes a SavedModel with `serving_default`, `serving_bytes` and `serving_tensor`.

    All three return detection_boxes float32 [B, D, 4] (normalised ymin, xmin, ymax, xmax), detection_scores float32
    [B, D] by falling score, detection_classes int32 [B, D] from 0 and num_detections int32 [B].
    `assets.extra/labels.txt` has a class name a line, `assets.extra/config.json` all settings.

    Args:
        detector: trained.
        class_names: in label order, as many as the detector's classes.
        folder: made if missing.

    Raises:
        ValueError: the number of names is not the detector's number of classes.
    """
    if len(class_names) != detector.num_classes:
        raise ValueError(f"`class_names` needs {detector.num_classes} names: got {len(class_names)}.")
    module = ServingModule(detector)
    names = ("serving_default", "serving_bytes", "serving_tensor")
    tf.saved_model.save(module, str(folder), signatures={name: getattr(module, name) for name in names})
    extras = pathlib.Path(folder) / EXTRAS
    files.write_text(extras / "labels.txt", "".join(f"{name}\n" for name in class_names))
    files.write_json(extras / "config.json", detector.config.to_dict())
