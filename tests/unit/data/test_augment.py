"""Augmentations: boxes move with their pixels, labels follow the stated rule; eager and in tf.data."""

import numpy as np
import pytest
import tensorflow as tf

from data import augment

SEED = tf.constant([3, 8])


def painted(boxes: np.ndarray, size: int = 64) -> tf.Tensor:
    """Paints each box in its own brightness on black."""
    image = np.zeros((size, size, 3), np.float32)
    for number, (ymin, xmin, ymax, xmax) in enumerate(np.round(boxes * size).astype(int)):
        image[ymin:ymax, xmin:xmax] = 100.0 + 50.0 * number
    return tf.constant(image)


def measured(image: np.ndarray, brightness: float) -> np.ndarray:
    """Measures the painted box's extent, normalised."""
    rows, columns = np.nonzero(np.abs(image[:, :, 0] - brightness) < 10.0)
    size = image.shape[0]
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / size


BOXES = np.array([[0.25, 0.25, 0.5, 0.75], [0.625, 0.5, 0.875, 0.625], [0, 0, 0, 0]], np.float32)
LABELS = np.array([0, 1, -1], np.int32)


def test_a_flip_moves_boxes_with_pixels() -> None:
    image, boxes, labels = augment.horizontal_flip(painted(BOXES[:2]), BOXES, LABELS, SEED, 1.0)
    for number in range(2):
        assert boxes[number].numpy() == pytest.approx(measured(image.numpy(), 100.0 + 50.0 * number), abs=1e-6)
    assert np.asarray(labels).tolist() == [0, 1, -1]
    assert not boxes[2].numpy().any()


def test_a_flip_of_chance_zero_changes_nothing() -> None:
    image, boxes, _ = augment.horizontal_flip(painted(BOXES[:2]), BOXES, LABELS, SEED, 0.0)
    assert (image.numpy() == painted(BOXES[:2]).numpy()).all()
    assert (boxes.numpy() == BOXES).all()


def test_a_crop_moves_boxes_with_pixels() -> None:
    """Where a box stays inside the window its new extent is that of its pixels, within the resampling's two pixels."""
    checked = 0
    for number in range(80):
        index = number % 2
        one, label = BOXES[index : index + 1], LABELS[index : index + 1]
        image, boxes, labels = augment.random_crop(painted(one), one, label, tf.constant([0, 8 * number]), 1.0, 0.6)
        box = boxes[0].numpy()
        if labels[0] >= 0 and (box > 0).all() and (box < 1).all():
            rows, columns = np.nonzero(image.numpy()[:, :, 0] > 50.0)
            extent = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / 64
            assert box == pytest.approx(extent, abs=2 / 64)
            checked += 1
    assert checked >= 20


def test_a_box_mostly_cut_off_becomes_an_ignored_region_and_one_cut_off_is_dropped() -> None:
    found = set()
    for number in range(60):
        _, boxes, labels = augment.random_crop(
            painted(BOXES[:2]), BOXES, LABELS, tf.constant([1, 8 * number]), 1.0, 0.3
        )
        for box, label in zip(boxes.numpy(), labels.numpy(), strict=True):
            found.add(int(label))
            if label == -1:
                assert not box.any()
            else:
                assert (box[2:] > box[:2]).all()
    assert found == {0, 1, -1, -2}


def test_photometric_keeps_range_and_boxes() -> None:
    image, boxes, labels = augment.photometric(painted(BOXES[:2]), BOXES, LABELS, SEED, 0.9)
    assert image.numpy().min() >= 0.0
    assert image.numpy().max() <= 255.0
    assert (boxes == BOXES).all()
    assert (labels == LABELS).all()


def test_the_same_seed_gives_the_same_example_eagerly_and_in_tf_data() -> None:
    apply = augment.augmentation(0.5, 1.0, 0.5, 0.3)
    eager = apply(painted(BOXES[:2]), tf.constant(BOXES), tf.constant(LABELS), SEED)
    dataset = tf.data.Dataset.from_tensors((painted(BOXES[:2]), BOXES, LABELS)).map(lambda *e: apply(*e, SEED))
    for one, other in zip(eager, next(iter(dataset)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    different = apply(painted(BOXES[:2]), tf.constant(BOXES), tf.constant(LABELS), tf.constant([3, 16]))
    assert not np.allclose(eager[0], different[0])
