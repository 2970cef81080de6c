"""Random changes of one training example, in tf.data; each draw comes from an explicit seed.

Every function takes and returns image float32 [H, W, 3] in [0, 255], gt_boxes float32 [G, 4] and gt_labels int32 [G]
(-1 padding, -2 ignored region), and a seed int32 [2].
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any
Example = tuple[Tensor, Tensor, Tensor]
MIN_KEPT_AREA = 0.3  # a box of which a crop keeps less than this share becomes an ignored region


def horizontal_flip(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor, probability: float) -> Example:
    """Mirrors image and boxes with the given probability."""
    flipped = tf.stack([gt_boxes[:, 0], 1.0 - gt_boxes[:, 3], gt_boxes[:, 2], 1.0 - gt_boxes[:, 1]], axis=-1)
    flipped = tf.where((gt_labels == -1)[:, None], gt_boxes, flipped)
    draw = tf.random.stateless_uniform([], seed) < probability
    return tf.where(draw, image[:, ::-1], image), tf.where(draw, flipped, gt_boxes), gt_labels


def random_crop(
    image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor, probability: float, min_scale: float
) -> Example:
    """Cuts a random window and resizes it to the image's size, with the given probability.

    The window's sides are drawn uniformly and independently from [min_scale, 1] of the image's. Boxes are clipped to
    the window; one that keeps less than 30 % of its area becomes an ignored region, one that keeps nothing is dropped.

    Args:
        image: float32 [H, W, 3].
        gt_boxes: float32 [G, 4].
        gt_labels: int32 [G].
        seed: int32 [2].
        probability: of cropping at all.
        min_scale: in (0, 1].

    Returns:
        The example, of the same shapes.
    """
    draws = tf.random.stateless_uniform([5], seed)
    sides = min_scale + (1.0 - min_scale) * draws[:2]
    sides = tf.where(draws[4] < probability, sides, tf.ones(2))
    low = draws[2:4] * (1.0 - sides)  # (y, x)
    window = tf.concat([low, low + sides], axis=0)
    cropped = tf.image.crop_and_resize(image[None], window[None], [0], tf.shape(image)[:2])[0]
    cropped = tf.ensure_shape(cropped, image.shape)
    moved = (gt_boxes - tf.tile(low, [2])) / tf.tile(sides, [2])
    clipped = tf.clip_by_value(moved, 0.0, 1.0)
    kept = _area(clipped) / tf.maximum(_area(moved), 1e-12)
    labels = tf.where((gt_labels >= 0) & (kept < MIN_KEPT_AREA), -2, gt_labels)
    labels = tf.where(kept <= 0.0, -1, labels)
    return cropped, tf.where((labels == -1)[:, None], 0.0, clipped), labels


def photometric(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor, strength: float) -> Example:
    """Changes contrast and brightness by factors and offsets drawn from a range of +-strength."""
    draws = tf.random.stateless_uniform([2], seed, -1.0, 1.0) * strength
    mean = tf.reduce_mean(image)
    image = (image - mean) * (1.0 + draws[0]) + mean + 128.0 * draws[1]
    return tf.clip_by_value(image, 0.0, 255.0), gt_boxes, gt_labels


def augmentation(
    flip_probability: float, crop_probability: float, crop_min_scale: float, photometric_strength: float
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Example]:
    """Composes the training augmentation.

    Args:
        flip_probability: of a horizontal flip.
        crop_probability: of a random crop.
        crop_min_scale: smallest side of a crop / image side.
        photometric_strength: range of brightness and contrast, 0 for none.

    Returns:
        A function of (image, gt_boxes, gt_labels, seed) that returns the changed example.
    """

    def apply(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor) -> Example:
        example = (image, gt_boxes, gt_labels)
        example = horizontal_flip(*example, seed + [0, 0], flip_probability)
        if crop_probability > 0.0:
            example = random_crop(*example, seed + [0, 1], crop_probability, crop_min_scale)
        if photometric_strength > 0.0:
            example = photometric(*example, seed + [0, 2], photometric_strength)
        return example

    return apply


def _area(boxes: Tensor) -> Tensor:
    return tf.maximum(boxes[:, 2] - boxes[:, 0], 0.0) * tf.maximum(boxes[:, 3] - boxes[:, 1], 0.0)
