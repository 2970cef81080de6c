"""A detector that looks its answer up, and images it knows: a real SavedModel, made in a second.

The first pixel of an image is its number; the model answers with the detections stored under that number.
"""

import dataclasses
import io
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks import evaluation
from data import examples
from models.evaluation import coco, detections


def random_results() -> list[coco.ImageResult]:
    """Draws what a detector finds in six small images of different sizes, and what is there."""
    drawn = evaluation.random_results(4, num_images=6, detections=5, max_objects=4)
    return [
        dataclasses.replace(result, height=20 + number, width=30, det_boxes=result.det_boxes.clip(0, 1))
        for number, result in enumerate(drawn)
    ]


def images_of(results: list[coco.ImageResult]) -> list[bytes]:
    """Makes one grey PNG a result, of its size; at most 256."""
    return [png(result, number) for number, result in enumerate(results)]


def png(result: coco.ImageResult, number: int, grey: int = 90) -> bytes:
    """Makes the image of a result, by whose first pixel the detector knows it."""
    pixels = np.full((result.height, result.width), grey, np.uint8)
    pixels[0, 0] = number
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def records_of(results: list[coco.ImageResult]) -> list[examples.DetectionRecord]:
    """Makes one example a result, with its ground truth."""
    return [
        examples.DetectionRecord(
            source_id=f"image{number:03d}",
            encoded=encoded,
            image_format="png",
            height=result.height,
            width=result.width,
            boxes=result.gt_boxes.astype(np.float32),
            labels=result.gt_labels.astype(np.int32),
            is_crowd=result.gt_is_crowd,
            area_px=result.gt_area_px.astype(np.float32),
        )
        for number, (result, encoded) in enumerate(zip(results, images_of(results), strict=True))
    ]


def write_split(folder: pathlib.Path, records: list[examples.DetectionRecord], class_names: list[str]) -> str:
    """Writes a split of an Examples artifact; returns the file."""
    folder.mkdir(parents=True)
    path = str(folder / "data_tfrecord-00000-of-00001.gz")
    with tf.io.TFRecordWriter(path, options="GZIP") as writer:
        for record in records:
            writer.write(examples.encode_example(record, class_names).SerializeToString())
    return path


def export(
    model_dir: pathlib.Path,
    results: list[coco.ImageResult],
    class_names: list[str],
    defect: str = "",
) -> str:
    """Exports a detector that answers with each result's detections.

    Args:
        model_dir: where to.
        results: at most 256.
        class_names: for the labels file.
        defect: "", or what is wrong with it: "shifted_bytes", "nan", "outside", "int64_classes", "no_tensor".
    """
    detector = _Detector(results, defect)
    signatures = {
        "serving_default": detector.serving_default,
        "serving_bytes": detector.serving_bytes,
        "serving_tensor": detector.serving_tensor,
    }
    if defect == "no_tensor":
        del signatures["serving_tensor"]
    tf.saved_model.save(detector, str(model_dir), signatures)
    labels = model_dir / detections.EXTRAS / "labels.txt"
    labels.parent.mkdir()
    labels.write_text("".join(f"{name}\n" for name in class_names))
    return str(model_dir)


class _Detector(tf.Module):
    def __init__(self, results: list[coco.ImageResult], defect: str) -> None:
        super().__init__()
        most = max(1, *(len(result.det_scores) for result in results))
        boxes = np.zeros((len(results), most, 4), np.float32)
        scores, classes = np.zeros(boxes.shape[:2], np.float32), np.zeros(boxes.shape[:2], np.int32)
        for number, result in enumerate(results):
            count = len(result.det_scores)
            boxes[number, :count] = result.det_boxes
            scores[number, :count] = result.det_scores
            classes[number, :count] = result.det_classes
        if defect == "nan":
            scores[:] = np.nan
        if defect == "outside":
            boxes[:] += 1.0
        counts = np.array([len(result.det_scores) for result in results], np.int32)
        self._tables = [tf.Variable(table) for table in (boxes, scores, classes, counts)]
        self._defect = defect

    def _answer(self, numbers):
        boxes, scores, classes, counts = (tf.gather(table, numbers) for table in self._tables)
        if self._defect == "int64_classes":
            classes = tf.cast(classes, tf.int64)
        return dict(zip(detections.OUTPUT_NAMES, (boxes, scores, classes, counts), strict=True))

    def _of_bytes(self, encoded):
        def first_pixel(one):
            return tf.cast(tf.io.decode_image(one, channels=3, expand_animations=False)[0, 0, 0], tf.int32)

        return self._answer(tf.map_fn(first_pixel, encoded, fn_output_signature=tf.int32))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serving_default(self, serialized):
        """Answers serialized tf.Examples."""
        features = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        return self._of_bytes(tf.io.parse_example(serialized, features)["image/encoded"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serving_bytes(self, encoded):
        """Answers PNG or JPEG bytes."""
        outputs = self._of_bytes(encoded)
        if self._defect == "shifted_bytes":
            outputs["detection_boxes"] = outputs["detection_boxes"] * 0.5
        return outputs

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
    def serving_tensor(self, images):
        """Answers pixels."""
        return self._answer(tf.cast(images[:, 0, 0, 0], tf.int32))
