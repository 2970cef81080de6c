"""From serialized examples to padded batches, in tf.data."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from data import examples

Tensor = Any
SHUFFLED = 4096  # examples drawn from at a time when a split is larger than that
FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/object/bbox/ymin": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/xmin": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/ymax": tf.io.VarLenFeature(tf.float32),
    "image/object/bbox/xmax": tf.io.VarLenFeature(tf.float32),
    "image/object/class/label": tf.io.VarLenFeature(tf.int64),
    "image/object/is_crowd": tf.io.VarLenFeature(tf.int64),
}


def decode_image(encoded: Tensor, image_size: int) -> Tensor:
    """Decodes and resizes one image, in training and in serving alike.

    Args:
        encoded: string scalar, JPEG or PNG.
        image_size: side S of the result in pixels; the aspect ratio is not kept.

    Returns:
        uint8 [S, S, 3].
    """
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return resize_images(image[None], image_size)[0]


def resize_images(images: Tensor, image_size: int) -> Tensor:
    """Resizes images bilinearly, with antialiasing when they shrink.

    Args:
        images: uint8 [B, H, W, 3].
        image_size: side S of the result in pixels.

    Returns:
        uint8 [B, S, S, 3], rounded.
    """
    resized = tf.image.resize(images, [image_size, image_size], antialias=True)
    resized = tf.cast(tf.round(tf.clip_by_value(resized, 0.0, 255.0)), tf.uint8)
    return tf.ensure_shape(resized, [None, image_size, image_size, 3])


def parse_example(serialized: Tensor, image_size: int, max_boxes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Parses one tf.Example of the Object Detection API's keys.

    Args:
        serialized: string scalar.
        image_size: side S in pixels.
        max_boxes: G; of more boxes the largest are kept.

    Returns:
        image uint8 [S, S, 3], gt_boxes float32 [G, 4] and gt_labels int32 [G] from 0, with -1 for padding and -2 for
        crowd boxes, which are regions to ignore.
    """
    parsed = tf.io.parse_single_example(serialized, FEATURES)
    dense = {key: tf.sparse.to_dense(value) for key, value in parsed.items() if key != "image/encoded"}
    boxes = tf.stack([dense[f"image/object/bbox/{side}"] for side in ("ymin", "xmin", "ymax", "xmax")], axis=-1)
    labels = tf.cast(dense["image/object/class/label"], tf.int32) - 1
    crowd = dense["image/object/is_crowd"]
    crowd = tf.cond(tf.size(crowd) > 0, lambda: crowd > 0, lambda: tf.zeros_like(labels, tf.bool))
    labels = tf.where(crowd, -2, labels)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    largest = tf.argsort(areas, direction="DESCENDING", stable=True)[:max_boxes]
    padding = max_boxes - tf.size(largest)
    boxes = tf.pad(tf.gather(boxes, largest), [[0, padding], [0, 0]])
    labels = tf.pad(tf.gather(labels, largest), [[0, padding]], constant_values=-1)
    image = decode_image(parsed["image/encoded"], image_size)
    return image, tf.ensure_shape(boxes, [max_boxes, 4]), tf.ensure_shape(labels, [max_boxes])


@dataclasses.dataclass(frozen=True)
class Split:
    """One split, ready to be iterated.

    Attributes:
        elements: dataset of decoded examples where they fit in memory, else of serialized ones.
        decode: what turns an element into (image, gt_boxes, gt_labels) as `parse_example` gives.
        length: number of examples.
    """

    elements: tf.data.Dataset
    decode: Callable[..., tuple[Tensor, Tensor, Tensor]]
    length: int

    def images(self, batch_size: int) -> tf.data.Dataset:
        """Returns batches uint8 [B, S, S, 3] of all images in the order of the files."""
        images = self.elements.map(lambda *element: self.decode(*element)[0], num_parallel_calls=tf.data.AUTOTUNE)
        return images.batch(batch_size).prefetch(2)


@functools.lru_cache(maxsize=8)
def load_split(files: tuple[str, ...], image_size: int, max_boxes: int, cache_bytes: int) -> Split:
    """Opens a split, decoded and resized once for all trials of a process where it fits in memory.

    Args:
        files: GZIP TFRecord files.
        image_size: side S in pixels.
        max_boxes: G.
        cache_bytes: images are kept in memory up to this many bytes, else decoded anew in every epoch.

    Returns:
        The split; kept in memory, its G is that of the example with the most boxes where that is less than `max_boxes`.
    """

    def decode(serialized: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return parse_example(serialized, image_size, max_boxes)

    records = tf.data.TFRecordDataset(list(files), compression_type="GZIP")
    length = sum(1 for _ in records)
    if not length or length * image_size * image_size * 3 > cache_bytes:
        return Split(records, decode, length)
    decoded = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(length)
    images, boxes, labels = next(iter(decoded))
    # Padding that no example needs costs matching time in every step.
    used = max(int(tf.reduce_max(tf.reduce_sum(tf.cast(labels != -1, tf.int32), axis=1))), 1)
    elements = tf.data.Dataset.from_tensor_slices((images, boxes[:, :used], labels[:, :used]))
    return Split(elements, lambda *example: example, length)


def read_records(files: Iterable[str]) -> Iterator[examples.DetectionRecord]:
    """Reads the examples of a split one by one, with their images as they were encoded.

    Args:
        files: GZIP TFRecord files.

    Yields:
        A record an example, in the order of the files.
    """
    records = tf.data.TFRecordDataset(list(files), compression_type="GZIP")
    yield from map(examples.decode_example, records.as_numpy_iterator())


@functools.lru_cache(maxsize=4)
def read_ground_truth(files: tuple[str, ...]) -> tuple[examples.DetectionRecord, ...]:
    """Reads the ground truth of a split in the order of `load_split`, without images.

    Args:
        files: GZIP TFRecord files.

    Returns:
        One record an image, its `encoded` empty.
    """
    return tuple(dataclasses.replace(record, encoded=b"") for record in read_records(files))


def training_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int,
    epochs: int,
    augment: Callable[..., tuple[Tensor, Tensor, Tensor]],
) -> tf.data.Dataset:
    """Builds the shuffled, augmented batches of a range of epochs; each batch is a function of seed and position alone.

    Args:
        split: at least one example.
        batch_size: B; the last, smaller batch of an epoch is dropped unless it is the only one.
        seed: of the whole training.
        first_epoch: counted from 0; what comes before is shuffled and skipped, so that a continued training sees what
            an uninterrupted one would.
        epochs: the epoch to stop before.
        augment: as `data.augment.augmentation` gives.

    Returns:
        `steps_per_epoch` batches an epoch of (images uint8 [B, S, S, 3], {"gt_boxes": float32 [B, G, 4], "gt_labels":
        int32 [B, G]}).
    """
    images_per_epoch = min(steps_per_epoch(split.length, batch_size) * batch_size, split.length)

    def change(index: Tensor, element: Any) -> tuple[Tensor, dict[str, Tensor]]:
        image, boxes, labels = split.decode(*element) if isinstance(element, tuple) else split.decode(element)
        # The augmentation adds small numbers to the second part, so examples are 8 apart.
        draw = tf.stack([seed, tf.cast(8 * index, tf.int32)])
        image, boxes, labels = augment(tf.cast(image, tf.float32), boxes, labels, draw)
        return tf.cast(tf.round(image), tf.uint8), {"gt_boxes": boxes, "gt_labels": labels}

    options = tf.data.Options()
    options.deterministic = True
    return (
        split.elements.shuffle(min(split.length, SHUFFLED), seed=seed, reshuffle_each_iteration=True)
        .take(images_per_epoch)
        .repeat(epochs)
        .enumerate()
        .skip(first_epoch * images_per_epoch)
        .map(change, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(min(batch_size, split.length), drop_remainder=True)
        .prefetch(4)
        .with_options(options)
    )


def steps_per_epoch(length: int, batch_size: int) -> int:
    """Counts the batches of one epoch of `training_batches`."""
    return max(length // batch_size, 1)
