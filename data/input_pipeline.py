"""From serialized examples to padded batches, in tf.data."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from data import augment as augmentations
from data import examples, thermal, tiles

Tensor = Any
_EXIF_SEARCHED_BYTES, _EXIF_PADDING_BYTES = 65536, 16
_MOST_EXIF_ENTRIES, _ORIENTATION_TAG = 256, 0x0112
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


def decode_image(encoded: Tensor, size: tuple[int, int]) -> Tensor:
    """Decodes and resizes one image, in training and in serving alike.

    Args:
        encoded: string scalar, JPEG or PNG.
        size: height H and width W of the result in pixels; the aspect ratio is not kept.

    Returns:
        uint8 [H, W, 3].
    """
    return resize_images(decode_pixels(encoded)[None], size)[0]


def decode_pixels(encoded: Tensor) -> Tensor:
    """Decodes one image; a grey PNG of 16 bits is stretched by the rule of `data.thermal.stretch_to_8bit`.

    Args:
        encoded: string scalar, JPEG or PNG.

    Returns:
        uint8 [H, W, 3].
    """
    is_png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
    # Bytes 24 and 25 of a PNG are its bit depth and 0 for grey; decoding says so where a string is shorter.
    is_deep = is_png & (tf.strings.length(encoded) > 25)
    is_deep = tf.cond(is_deep, lambda: tf.strings.substr(encoded, 24, 2) == b"\x10\x00", lambda: False)
    image = tf.cond(
        is_deep,
        lambda: _stretch_to_8bit(tf.io.decode_png(encoded, channels=1, dtype=tf.uint16)),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, [None, None, 3])


def decode_upright(encoded: Tensor) -> Tensor:
    """Decodes one image file as a viewer shows it: turned as its EXIF orientation says, as ingestion turns it.

    Args:
        encoded: string scalar, JPEG or PNG.

    Returns:
        uint8 [H, W, 3].
    """
    image = decode_pixels(encoded)
    turns = [functools.partial(_turn, image, orientation) for orientation in range(1, 9)]
    return tf.ensure_shape(tf.switch_case(_orientation(encoded) - 1, turns), [None, None, 3])


def _turn(image: Tensor, orientation: int) -> Tensor:
    """Turns uint8 [H, W, 3] upright."""
    rows, columns = ((1, 1), (1, -1), (-1, -1), (-1, 1))[(orientation - 1) % 4]
    return (image if orientation < 5 else tf.transpose(image, [1, 0, 2]))[::rows, ::columns]


def _orientation(encoded: Tensor) -> Tensor:
    """Returns the EXIF orientation of a JPEG or PNG file, int32 scalar; 1 where there is none.

    Source: Exif 2.32, section 4.6: behind the header the byte order, at byte 4 the place of the first directory, which
    is a count and entries of 12 bytes: tag, type, count, value.
    """
    is_png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
    content = tf.io.decode_raw(tf.strings.substr(encoded, 0, _EXIF_SEARCHED_BYTES), tf.uint8)
    content = tf.cast(tf.pad(content, [[0, _EXIF_PADDING_BYTES]]), tf.int32)  # [N]
    start = tf.cond(is_png, lambda: _end_of(b"eXIf", content), lambda: _end_of(b"Exif\0\0", content))
    is_little = _whole_number(content, start, 1, True) == ord("I")
    directory = start + _whole_number(content, start + 4, 4, is_little)
    count = tf.minimum(_whole_number(content, directory, 2, is_little), _MOST_EXIF_ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)
    tagged = tf.boolean_mask(entries, _whole_number(content, entries, 2, is_little) == _ORIENTATION_TAG)
    value = tf.reduce_max(tf.concat([[1], _whole_number(content, tagged + 8, 2, is_little)], axis=0))
    return tf.where(value <= 8, value, 1)


def _end_of(header: bytes, content: Tensor) -> Tensor:
    """Returns where the first of some bytes end in int32 [N], int32 scalar; N where they are not."""
    length = tf.size(content) - len(header) + 1
    alike = tf.reduce_all([content[at : at + length] == byte for at, byte in enumerate(header)], axis=0)
    starts = tf.cast(tf.where(alike)[:, 0], tf.int32)
    return tf.reduce_min(tf.concat([starts + len(header), [tf.size(content)]], axis=0))


def _whole_number(content: Tensor, places: Tensor, num_bytes: int, is_little: Tensor | bool) -> Tensor:
    """Returns the whole numbers at some places of int32 [N], of their shape; of zeros where a place is outside."""
    steps = tf.range(num_bytes)
    steps = tf.where(is_little, steps, steps[::-1])
    positions = tf.expand_dims(places, -1) + tf.range(num_bytes)
    inside = (positions >= 0) & (positions < tf.size(content))
    digits = tf.where(inside, tf.gather(content, tf.where(inside, positions, 0)), 0)
    return tf.reduce_sum(tf.bitwise.left_shift(digits, 8 * steps), axis=-1)


def _stretch_to_8bit(image: Tensor) -> Tensor:
    """Turns uint16 [H, W, 1] into uint8 [H, W, 3], as `data.thermal.stretch_to_8bit`."""
    pixels = tf.cast(image, tf.float32)
    ordered = tf.sort(tf.reshape(pixels, [-1]))
    low, high = (ordered[index] for index in thermal.limit_indices(tf.size(ordered)))
    scaled = (pixels - low) * 255.0 / tf.maximum(high - low, 1.0)
    return tf.repeat(tf.cast(tf.round(tf.clip_by_value(scaled, 0.0, 255.0)), tf.uint8), 3, axis=-1)


def resize_tiles(images: Tensor, size: tuple[int, int], grid: tiles.TileGrid) -> tuple[Tensor, Tensor]:
    """Cuts images into tiles and resizes each.

    Args:
        images: uint8 [B, h, w, 3].
        size: height H and width W of the result in pixels.
        grid: of T tiles.

    Returns:
        uint8 [B, T, H, W, 3], and float32 [B, T, 4] each tile's ymin, xmin, ymax, xmax as fractions of the image.
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    cut, windows = [], []
    for top, left, tall, wide in grid.windows_px(height, width):
        cut.append(resize_images(images[:, top : top + tall, left : left + wide], size))
        windows.append(tf.stack([top, left, top + tall, left + wide]))
    sides = tf.cast(tf.stack([height, width, height, width]), tf.float32)
    fractions = tf.cast(tf.stack(windows), tf.float32) / sides  # [T, 4]
    return tf.stack(cut, axis=1), tf.tile(fractions[None], [tf.shape(images)[0], 1, 1])


def resize_images(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes images bilinearly, with antialiasing when they shrink.

    Args:
        images: uint8 [B, h, w, 3].
        size: height H and width W of the result in pixels.

    Returns:
        uint8 [B, H, W, 3], rounded.
    """
    resized = tf.image.resize(images, size, antialias=True)
    resized = tf.cast(tf.round(tf.clip_by_value(resized, 0.0, 255.0)), tf.uint8)
    return tf.ensure_shape(resized, [None, *size, 3])


def parse_example(serialized: Tensor, size: tuple[int, int], max_boxes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Parses one tf.Example of the Object Detection API's keys.

    Args:
        serialized: string scalar.
        size: height H and width W in pixels.
        max_boxes: G; of more boxes the largest are kept.

    Returns:
        image uint8 [H, W, 3], gt_boxes float32 [G, 4] and gt_labels int32 [G] from 0, with -1 for padding and -2 for
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
    image = decode_image(parsed["image/encoded"], size)
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

    def images(self, batch_size: int, *, is_padded: bool = False) -> tf.data.Dataset:
        """Returns batches uint8 [B, H, W, 3] of all images in the order of the files.

        Args:
            batch_size: B; the last batch may be smaller.
            is_padded: fills up the last batch by black images, so that each of several devices gets a part.
        """
        images = self.elements.map(lambda *element: self.decode(*element)[0], num_parallel_calls=tf.data.AUTOTUNE)
        if is_padded:
            black = tf.data.Dataset.from_tensors(tf.zeros(images.element_spec.shape, tf.uint8))
            images = images.concatenate(black.repeat(-self.length % batch_size))
        return images.batch(batch_size).prefetch(2)


@functools.lru_cache(maxsize=8)
def load_split(
    files: tuple[str, ...],
    size: tuple[int, int],
    max_boxes: int,
    cache_bytes: int,
    share: float = 1.0,
    tiles_per_image: int = 1,
) -> Split:
    """Opens a split, decoded and resized once for all trials of a process where it fits in memory.

    Args:
        files: GZIP TFRecord files.
        size: height H and width W in pixels.
        max_boxes: G.
        cache_bytes: images are kept in memory up to this many bytes, else decoded anew in every epoch.
        share: of the images that are taken, above 0 and up to 1: every n-th, at least one.
        tiles_per_image: examples, one after another, that an image was cut into.

    Returns:
        The split; its G is that of the example with the most boxes where that is less than `max_boxes`.
    """
    records = untuned(tf.data.TFRecordDataset(list(files), compression_type="GZIP"))
    if share < 1.0:
        numbered = records.enumerate().filter(lambda index, _: _is_taken(index // tiles_per_image + 1, share))
        records = numbered.map(lambda _, record: record)
    counts = list(records.map(_count_boxes, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator())
    length = len(counts)
    room = min(max_boxes, max([1, *counts]))  # padding costs matching time in every step

    def decode(serialized: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return parse_example(serialized, size, room)

    if not length or length * size[0] * size[1] * 3 > cache_bytes:
        return Split(records, decode, length)
    decoded = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(length)
    elements = untuned(tf.data.Dataset.from_tensor_slices(next(iter(decoded))))
    return Split(elements, lambda *example: example, length)


def _is_taken(number: Tensor, share: float) -> Tensor:
    """Tells whether the image of a number from 1 is among the share that is taken; the first always is."""
    before, after = (tf.math.ceil(tf.cast(count, tf.float64) * share - 1e-9) for count in (number - 1, number))
    return after > before


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turns tf.data's tuner off for a dataset and all that is made of it; maps then use every core.

    The tuner sleeps for 10 ms and each time twice as long. The end of an iterator often waits until it wakes: up to as
    long as the iteration took.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _count_boxes(serialized: Tensor) -> Tensor:
    labels = "image/object/class/label"
    return tf.size(tf.io.parse_single_example(serialized, {labels: FEATURES[labels]})[labels].values)


def read_records(files: Iterable[str]) -> Iterator[examples.DetectionRecord]:
    """Reads the examples of a split one by one, with their images as they were encoded.

    Args:
        files: GZIP TFRecord files.

    Yields:
        A record an example, in the order of the files.
    """
    records = untuned(tf.data.TFRecordDataset(list(files), compression_type="GZIP"))
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
    augment: augmentations.Augmentation,
) -> tf.data.Dataset:
    """Builds the shuffled, augmented batches of a range of epochs; each batch is a function of seed and position alone.

    Args:
        split: at least one example.
        batch_size: B; the last, smaller batch of an epoch is dropped unless it is the only one.
        seed: of the whole training.
        first_epoch: counted from 0. Each epoch has an order of its own, so that a continued training sees what an
            uninterrupted one would, and reads nothing of the epochs before.
        epochs: the epoch to stop before.
        augment: as `data.augment.augmentation` gives.

    Returns:
        `steps_per_epoch` batches an epoch of (images uint8 [B, H, W, 3], {"gt_boxes": float32 [B, G, 4], "gt_labels":
        int32 [B, G]}); G is that of the batch's fullest image, at least 1.
    """
    steps, batch_size = steps_per_epoch(split.length, batch_size), min(batch_size, split.length)

    def seed_of(index: Tensor) -> Tensor:
        return tf.stack([seed, tf.cast(augmentations.SEEDS_PER_EXAMPLE * index, tf.int32)])

    def change(index: Tensor, element: Any) -> tuple[Tensor, dict[str, Tensor]]:
        example = split.decode(*element) if isinstance(element, tuple) else split.decode(element)
        return _as_batch(*augment(tf.cast(example[0], tf.float32), *example[1:], seed_of(index)))

    def mix(step: Tensor, batch: tuple[Tensor, dict[str, Tensor]]) -> tuple[Tensor, dict[str, Tensor]]:
        images, truth = tf.cast(batch[0], tf.float32), batch[1]
        return _as_batch(*augment.mix(images, truth["gt_boxes"], truth["gt_labels"], seed_of(step * batch_size)))

    def shuffled(epoch: Tensor) -> tf.data.Dataset:
        own = tf.random.stateless_uniform([], [seed, epoch], minval=None, maxval=None, dtype=tf.int64)
        elements = split.elements.shuffle(min(split.length, SHUFFLED), seed=own, reshuffle_each_iteration=False)
        return elements.take(steps * batch_size)

    options = tf.data.Options()
    options.deterministic = True
    batches = (
        untuned(tf.data.Dataset.range(first_epoch, epochs))
        .flat_map(shuffled)
        .enumerate(first_epoch * steps * batch_size)
        .map(change, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
    )
    if augment.mosaic_probability > 0.0:
        batches = batches.enumerate(first_epoch * steps).map(mix, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.map(_trimmed, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4).with_options(options)


def _trimmed(images: Tensor, truth: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Drops the padding that every image of a batch has; matching takes time for each box, padding included."""
    is_object = tf.reduce_any(truth["gt_labels"] != -1, axis=0)  # [G]
    room = tf.reduce_max(tf.where(is_object, tf.range(1, tf.size(is_object) + 1), 1))
    return images, {name: value[:, :room] for name, value in truth.items()}


def _as_batch(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return tf.cast(tf.round(image), tf.uint8), {"gt_boxes": gt_boxes, "gt_labels": gt_labels}


def steps_per_epoch(length: int, batch_size: int) -> int:
    """Counts the batches of one epoch of `training_batches`."""
    return max(length // batch_size, 1)
