"""Random changes of an example's image that leave its boxes alone, in tf.data; as in `data.augment`."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any
Example = tuple[Tensor, Tensor, Tensor]
GREY_LEVELS = 2.0  # an image whose channels differ by no more is grey
HUE_TURN = math.pi / 5  # rad at strength 1, so that 0.5 gives the 18 degrees of the SSD authors

_RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_YIQ_PARTS = (  # brightness as it is, chroma scaled, chroma turned by a right angle
    np.diag([1.0, 0.0, 0.0]),
    np.diag([0.0, 1.0, 1.0]),
    np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
)


def photometric(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor, strength: float) -> Example:
    """Changes contrast and brightness by factors and offsets drawn from a range of +-strength.

    Args:
        image: float32 [H, W, 3] in [0, 255].
        gt_boxes: float32 [G, 4].
        gt_labels: int32 [G]; -1 is padding.
        seed: int32 [2].
        strength: 1 is twice the contrast or none, and 128 grey levels of brightness.

    Returns:
        The example; only the image is changed.
    """
    draws = tf.random.stateless_uniform([2], seed, -1.0, 1.0) * strength
    mean = tf.reduce_mean(image)
    image = (image - mean) * (1.0 + draws[0]) + mean + 128.0 * draws[1]
    return tf.clip_by_value(image, 0.0, 255.0), gt_boxes, gt_labels


def color_distortion(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor, strength: float) -> Example:
    """Changes saturation and hue, in YIQ, where both are one product with a matrix; grey stays grey.

    Args:
        image: float32 [H, W, 3] in [0, 255].
        gt_boxes: float32 [G, 4].
        gt_labels: int32 [G]; -1 is padding.
        seed: int32 [2].
        strength: 1 is twice the saturation or none, and 36 degrees of hue; 0.5 gives the SSD authors' ranges.

    Returns:
        The example; only the image is changed.
    """
    draws = tf.random.stateless_uniform([2], seed, -1.0, 1.0) * strength
    saturation, turn = 1.0 + draws[0], HUE_TURN * draws[1]
    weights = (1.0, saturation * tf.cos(turn), saturation * tf.sin(turn))
    to_rgb = np.linalg.inv(_RGB_TO_YIQ)
    parts = [(to_rgb @ part @ _RGB_TO_YIQ).T.astype(np.float32) for part in _YIQ_PARTS]
    mixing = sum(weight * part for weight, part in zip(weights, parts, strict=True))  # [3, 3]
    return tf.clip_by_value(tf.tensordot(image, mixing, 1), 0.0, 255.0), gt_boxes, gt_labels


def gaussian_noise(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor, max_sigma: float) -> Example:
    """Adds noise of a standard deviation drawn from [0, max_sigma]; a grey image stays grey.

    Args:
        image: float32 [H, W, 3] in [0, 255].
        gt_boxes: float32 [G, 4].
        gt_labels: int32 [G]; -1 is padding.
        seed: int32 [2].
        max_sigma: grey levels.

    Returns:
        The example; only the image is changed.
    """
    seeds = tf.random.split(seed, 2)
    is_grey = tf.reduce_max(tf.abs(image - image[:, :, :1])) <= GREY_LEVELS
    height, width, channels = image.shape
    noise = tf.random.stateless_normal([height, width, tf.where(is_grey, 1, channels)], seeds[0])
    noisy = image + noise * tf.random.stateless_uniform([], seeds[1], 0.0, max_sigma)
    image = tf.ensure_shape(noisy, image.shape)
    return tf.clip_by_value(image, 0.0, 255.0), gt_boxes, gt_labels
