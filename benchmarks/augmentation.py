"""Times the augmented training pipeline beside a plain decode-and-resize one over the same files, in the same run.

Ours is `input_pipeline.training_batches`: shuffled, augmented, with boxes; once as training uses it (images decoded and
resized into memory before, which is not counted) and once decoding in every epoch. The peer is tf.data alone: the same
TFRecords of JPEGs, decoded, resized, batched; no boxes, no shuffle, no augmentation. Rounds alternate.

    python -m benchmarks.augmentation
"""

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf

from data import augment, examples, input_pipeline
from data.road_scenes import scenes
from models.hyperparameters import AugmentConfig

ROUNDS = 5
IMAGES = 64
EPOCHS = 4  # a round
BATCH = 16
CASES = {128: (256, 320), 300: (512, 640)}  # input side and the images' height and width, px
SETTINGS = {
    "default augmentation": AugmentConfig(),
    "all augmentations": AugmentConfig(
        jitter_probability=0.5,
        color_strength=0.5,
        noise_max_sigma=10.0,
        patch_probability=0.5,
        mosaic_probability=0.5,
    ),
}


def main() -> int:
    """Prints images a second of ours and the peer, and their ratios; returns 0."""
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("command: python -m benchmarks.augmentation")
    print("versions:", *(f"{package} {importlib.metadata.version(package)}" for package in ("tensorflow", "numpy")))
    print(
        f"{ROUNDS} rounds of {IMAGES * EPOCHS} images: median images/s (least to most), median of the rounds' ratios\n"
    )
    for side, size in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            file = _write_scenes(pathlib.Path(folder), size)
            rates = _rates(file, side)
        peer = rates.pop("plain decode and resize")
        print(f"JPEGs of {size[0]} x {size[1]} px to {side} px, batch {BATCH}")
        print(f"  {'plain decode and resize':<44}{_spread(peer)}")
        for name, ours in rates.items():
            ratio = statistics.median(our / its for our, its in zip(ours, peer, strict=True))
            print(f"  {name:<44}{_spread(ours)}  ratio {ratio:.2f}")
        print(flush=True)
    return 0


def _spread(rates: list[float]) -> str:
    return f"{statistics.median(rates):8.1f} ({min(rates):.1f} to {max(rates):.1f})"


def _write_scenes(folder: pathlib.Path, size: tuple[int, int]) -> str:
    """Writes `IMAGES` scenes as the ExampleGen does."""
    path = folder / "scenes.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for index in range(IMAGES):
            scene = scenes.render_scene(0, "train", index, image_size=size)
            record = examples.DetectionRecord(
                source_id=scene.source_id,
                encoded=scenes.encode_jpeg(scene),
                image_format="jpeg",
                height=size[0],
                width=size[1],
                boxes=scene.boxes,
                labels=scene.labels,
                is_crowd=np.zeros(len(scene.labels), bool),
                area_px=np.ones(len(scene.labels), np.float32),
            )
            writer.write(examples.encode_example(record, scenes.CLASS_NAMES).SerializeToString(deterministic=True))
    return str(path)


def _rates(file: str, side: int) -> dict[str, list[float]]:
    """Times rounds of every pipeline in turn, after one round that is not counted."""
    pipelines = {"plain decode and resize": _plain(file, side)}
    for name, config in SETTINGS.items():
        for way, cache_bytes in (("in memory", 10**10), ("decoded every epoch", 0)):
            pipelines[f"{name}, {way}"] = input_pipeline.training_batches(
                input_pipeline.load_split((file,), (side, side), 100, cache_bytes),
                batch_size=BATCH,
                seed=0,
                first_epoch=0,
                epochs=EPOCHS,
                augment=augment.augmentation(**dataclasses.asdict(config)),
            )
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(ROUNDS + 1):
        for name, batches in pipelines.items():
            start = time.perf_counter()
            images = sum(BATCH for _ in batches)
            rates[name].append(images / (time.perf_counter() - start))
    return {name: found[1:] for name, found in rates.items()}


def _plain(file: str, side: int) -> tf.data.Dataset:
    def decode(serialized: tf.Tensor) -> tf.Tensor:
        features = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        image = tf.io.decode_jpeg(tf.io.parse_single_example(serialized, features)["image/encoded"], channels=3)
        return tf.cast(tf.image.resize(image, [side, side]), tf.uint8)

    records = input_pipeline.untuned(tf.data.TFRecordDataset(file, compression_type="GZIP")).repeat(EPOCHS)
    return records.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH, drop_remainder=True).prefetch(4)


if __name__ == "__main__":
    raise SystemExit(main())
