"""Tiny serialized datasets, made by the tests."""

import pathlib

import numpy as np
import tensorflow as tf

from data import examples
from data.road_scenes import scenes
from models.hyperparameters import ExperimentConfig
from models.network.detector import Detector
from models.training import programs

CLASS_NAMES = scenes.CLASS_NAMES


def scene_record(split: str, index: int) -> examples.DetectionRecord:
    """Renders one road scene as a record."""
    scene = scenes.render_scene(7, split, index)
    height, width = scene.image.shape[:2]
    encoded = tf.io.encode_png(scene.image).numpy()
    sides = (scene.boxes[:, 2:] - scene.boxes[:, :2]) * np.array([height, width], np.float32)
    count = len(scene.boxes)
    return examples.DetectionRecord(
        source_id=scene.source_id,
        encoded=encoded,
        image_format="png",
        height=height,
        width=width,
        boxes=scene.boxes.astype(np.float32),
        labels=scene.labels.astype(np.int32),
        is_crowd=np.zeros(count, bool),
        area_px=np.prod(sides, axis=-1).astype(np.float32),
    )


def write_split(folder: pathlib.Path, split: str, records: list[examples.DetectionRecord]) -> list[str]:
    """Writes records as the ExampleGen does; returns the files."""
    path = folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(examples.encode_example(record, CLASS_NAMES).SerializeToString(deterministic=True))
    return [str(path)]


def lively_detector(num_classes: int, **settings) -> Detector:
    """Builds an untrained detector, always the same, whose answers depend on the image."""
    config = ExperimentConfig().replace({"model.batch_norm_momentum": 0.5} | settings)
    detector = programs.build(config, num_classes)  # other weights each time would meet a tie now and then
    draw = np.random.default_rng(0)
    size = detector.config.input.size
    scene = tf.image.resize(tf.io.decode_png(scene_record("train", 0).encoded), size)
    for _ in range(3):  # the moving statistics of batch norm become those of images
        detector(tf.stack([scene, 255 - scene]), training=True)
    for weight in detector.network.weights:
        if "head_" in weight.path and weight.path.endswith("kernel"):
            weight.assign(draw.normal(scale=0.1, size=weight.shape))
    return detector
