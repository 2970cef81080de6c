"""The SavedModel that is served: three signatures with the preprocessing and the suppression inside."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from data import files, input_pipeline, tiles
from models.evaluation.detections import EXTRAS
from models.export import kernel_suppression
from models.hyperparameters import ExperimentConfig
from models.network import decoding
from models.network.detector import Detector

Tensor = Any


class ServingModule(tf.Module):
    """A detector with its signatures."""

    def __init__(self, detector: Detector) -> None:
        """Wraps a detector.

        Args:
            detector: trained; its weights are shared, not copied.
        """
        super().__init__(name="serving")
        self.detector = detector
        self.image_size = detector.config.input.size
        self.grid = tiles.parse_grid(detector.config.input.tile)
        self.decoder = decoder_of(detector)
        # No signature, but saved with the model: what other formats are converted from, without the Keras code.
        spec = tf.TensorSpec([None, *self.image_size, 3], tf.float32, name="images")
        self.network_outputs = tf.function(self._network_outputs, input_signature=[spec], autograph=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
    def serving_default(self, examples: Tensor) -> dict[str, Tensor]:
        """Detects in serialized tf.Examples (`image/encoded`)."""
        feature = tf.io.FixedLenFeature([], tf.string)
        return self._detect_encoded(tf.io.parse_example(examples, {"image/encoded": feature})["image/encoded"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False)
    def serving_bytes(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """Detects in JPEG or PNG bytes, turned as EXIF says; images of one batch may differ in size."""
        return self._detect_encoded(image_bytes)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")], autograph=False)
    def serving_tensor(self, images: Tensor) -> dict[str, Tensor]:
        """Detects in uint8 images [B, H, W, 3] of any size."""
        return self._detect(*input_pipeline.resize_tiles(images, self.image_size, self.grid))

    def _network_outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Returns logits and deltas of float32 images [B, H, W, 3] in [0, 255]."""
        outputs = self.detector(images, training=False)
        return {name: tf.cast(outputs[name], tf.float32, name=name) for name in ("logits", "deltas")}

    def _detect_encoded(self, encoded: Tensor) -> dict[str, Tensor]:
        count = self.grid.count

        def cut(one: Tensor) -> tuple[Tensor, Tensor]:
            found, windows = input_pipeline.resize_tiles(
                input_pipeline.decode_upright(one)[None], self.image_size, self.grid
            )
            return found[0], windows[0]

        specs = (tf.TensorSpec([count, *self.image_size, 3], tf.uint8), tf.TensorSpec([count, 4], tf.float32))
        return self._detect(*tf.map_fn(cut, encoded, fn_output_signature=specs))

    def _detect(self, images: Tensor, windows: Tensor) -> dict[str, Tensor]:
        """Detects in tiles uint8 [B, T, H, W, 3]; one tile is the whole image."""
        # All signatures call the one traced network: tracing and loading it thrice would take three times as long.
        outputs = self.network_outputs(tf.cast(tf.reshape(images, (-1, *self.image_size, 3)), tf.float32))
        logits, deltas = (
            tf.reshape(outputs[name], (-1, self.grid.count, *outputs[name].shape[1:])) for name in ("logits", "deltas")
        )
        found = self.decoder.detect(logits, deltas, windows, kernel_suppression.detect)
        return {name: tf.identity(value, name=name) for name, value in found.items()}


def network_graph(detector: Detector) -> Any:
    """Traces the network alone, from float images to logits and deltas; returns the `tf.Graph`, for a picture of it."""
    return ServingModule(detector).network_outputs.get_concrete_function().graph


def export_saved_model(detector: Detector, class_names: Sequence[str], folder: str | os.PathLike[str]) -> None:
    """Writes a SavedModel with `serving_default`, `serving_bytes` and `serving_tensor`.

    All three return detection_boxes float32 [B, D, 4] (normalised ymin, xmin, ymax, xmax), detection_scores float32
    [B, D] by falling score, detection_classes int32 [B, D] from 0 and num_detections int32 [B].
    `assets.extra/labels.txt` has a class name a line, `assets.extra/config.json` all settings, and
    `assets.extra/decoder.json` what turns the outputs of the function `network_outputs` into detections. The model
    computes in float32, also where it was trained in half precision.

    Args:
        detector: trained.
        class_names: in label order, as many as the detector's classes.
        folder: made if missing.

    Raises:
        ValueError: the number of names is not the detector's number of classes.
    """
    if len(class_names) != detector.num_classes:
        raise ValueError(f"`class_names` needs {detector.num_classes} names: got {len(class_names)}.")
    detector = for_serving(detector)
    module = ServingModule(detector)
    names = ("serving_default", "serving_bytes", "serving_tensor")
    tf.saved_model.save(module, str(folder), signatures={name: getattr(module, name) for name in names})
    extras = pathlib.Path(folder) / EXTRAS
    files.write_text(extras / "labels.txt", "".join(f"{name}\n" for name in class_names))
    files.write_json(extras / "config.json", detector.config.to_dict())
    files.write_text(extras / decoding.FILE_NAME, decoder_of(detector).to_json())


def decoder_of(model: Detector) -> decoding.Decoder:
    """Collects what turns a detector's outputs into detections."""
    config = model.config
    return decoding.Decoder(
        image_size=config.input.size,
        tile=config.input.tile,
        score_converter=config.score_activation,
        has_background=config.has_background,
        anchors=keras.ops.convert_to_numpy(model.anchors),
        variances=config.anchors.variances,
        postprocess=config.postprocess,
    )


def for_serving(model: Detector) -> Detector:
    """Copies a detector as it is served: in float32, without the optimizer's state.

    CPUs and TFLite have no fast half-precision convolutions, and the weights are float32 in training, too.

    Args:
        model: trained, in any precision.

    Returns:
        A detector of its own with equal weights and settings.
    """
    copy = untrained(model.config, model.num_classes)
    copy.config = model.config
    for new, old in zip(copy.weights, model.weights, strict=True):
        new.assign(old)
    return copy


def untrained(config: ExperimentConfig, num_classes: int) -> Detector:
    """Builds a detector as it is served, with weights that were just drawn; `model.backbone_weights` is not read."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return Detector(config.replace({"model.backbone_weights": "none"}), num_classes)
    finally:
        keras.config.set_dtype_policy(policy)
