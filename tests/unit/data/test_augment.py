"""Augmentations: one contract for all, eager and in tf.data; boxes move with their pixels; the keep rule."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data import augment, augment_pixels
from data import boxes as box_forms
from models.hyperparameters import AugmentConfig

SIZE = 64
BOXES = np.array([[0.25, 0.25, 0.5, 0.75], [0.625, 0.5, 0.875, 0.625], [0.1, 0.1, 0.3, 0.2], [0] * 4], np.float32)
LABELS = np.array([0, 1, -2, -1], np.int32)
NO_OBJECTS = (np.zeros((4, 4), np.float32), np.full(4, -1, np.int32))
compiled_mosaic = tf.function(augment.mosaic)  # 20 times as fast as eagerly


def joined(image, gt_boxes, gt_labels, seed, probability):
    """Makes a mosaic of an example and three black ones without objects; gives what becomes of the first."""
    images = tf.stack([image] + 3 * [tf.zeros_like(image)])
    boxes = tf.stack([gt_boxes] + 3 * [tf.zeros_like(gt_boxes)])
    labels = tf.stack([gt_labels] + 3 * [-tf.ones_like(gt_labels)])
    return tuple(of_all[0] for of_all in compiled_mosaic(images, boxes, labels, seed, probability))


# Each takes an example, a seed and an amount: 0 changes nothing, 1 changes as much as it may.
CHANGES = {
    "horizontal_flip": augment.horizontal_flip,
    "scale_jitter": functools.partial(augment.scale_jitter, min_zoom=0.4, max_zoom=2.5),
    "ssd_crop": functools.partial(augment.ssd_crop, min_scale=0.1),
    "black_patches": functools.partial(augment.black_patches, max_count=4, max_side=0.5),
    "mosaic": joined,
    "photometric": augment_pixels.photometric,
    "color_distortion": augment_pixels.color_distortion,
    "gaussian_noise": lambda *example_and_seed: augment_pixels.gaussian_noise(
        *example_and_seed[:4], 50.0 * example_and_seed[4]
    ),
}
MOVING = ("horizontal_flip", "scale_jitter", "ssd_crop", "mosaic")


def change(name, example, seed, amount=1.0):
    image, boxes, labels = (tf.constant(each) for each in example)
    return tuple(each.numpy() for each in CHANGES[name](image, boxes, labels, tf.constant(seed), amount))


def photo():
    """Makes a coloured image full of detail."""
    return np.random.default_rng(0).uniform(0, 255, (SIZE, SIZE, 3)).astype(np.float32)


def painted(box):
    """Paints a box white on black."""
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    ymin, xmin, ymax, xmax = np.round(np.asarray(box) * SIZE).astype(int)
    image[ymin:ymax, xmin:xmax] = 255.0
    return image


@st.composite
def rectangles(draw):
    """Draws a box on whole pixels, 10 to 30 px a side."""
    tall, wide = draw(st.integers(10, 30)), draw(st.integers(10, 30))
    top, left = draw(st.integers(0, SIZE - tall)), draw(st.integers(0, SIZE - wide))
    return np.array([top, left, top + tall, left + wide], np.float32) / SIZE


seeds = st.integers(0, 10**6).map(lambda number: [7, 8 * number])
few = settings(max_examples=25, deadline=None, derandomize=True)


# The contract of every change.


@pytest.mark.parametrize("name", CHANGES)
def test_shapes_types_and_values_keep_to_the_contract(name) -> None:
    room = augment.MOSAIC_ROOM if name == "mosaic" else 1
    for number in range(12):
        image, boxes, labels = change(name, (photo(), BOXES, LABELS), [1, 8 * number])
        assert (image.shape, image.dtype) == ((SIZE, SIZE, 3), np.float32)
        assert (boxes.shape, boxes.dtype) == ((4 * room, 4), np.float32)
        assert (labels.shape, labels.dtype) == ((4 * room,), np.int32)
        assert image.min() > -1e-2
        assert image.max() < 255.01
        assert set(labels) <= {-2, -1, 0, 1}
        assert (boxes >= 0).all()
        assert (boxes <= 1).all()
        assert (boxes[labels != -1, 2:] > boxes[labels != -1, :2]).all()
        assert not boxes[labels == -1].any()
        if name != "mosaic":
            assert all(new in (old, -2, -1) for new, old in zip(labels, LABELS, strict=True))


@pytest.mark.parametrize("name", CHANGES)
def test_the_seed_alone_decides_eagerly_and_in_tf_data(name) -> None:
    """Floats may differ in rounding between an eager and a compiled function."""
    example = (photo(), BOXES, LABELS)
    several = [[2, 8 * number] for number in range(8)]
    eager = [change(name, example, seed, 0.5) for seed in several]
    again = [change(name, example, seed, 0.5) for seed in several]

    def apply(seed):
        return CHANGES[name](*(tf.constant(each) for each in example), seed, 0.5)

    dataset = tf.data.Dataset.from_tensor_slices(several).map(apply)
    assert all(spec.shape.is_fully_defined() for spec in dataset.element_spec)
    for first, second, mapped in zip(eager, again, dataset.as_numpy_iterator(), strict=True):
        for one, same, compiled in zip(first, second, mapped, strict=True):
            np.testing.assert_array_equal(one, same)
            np.testing.assert_allclose(one, compiled, atol=1e-2)
    assert len({first[0].tobytes() for first in eager}) > 1


@pytest.mark.parametrize("name", CHANGES)
def test_an_image_without_objects_is_changed_like_any(name) -> None:
    plain = change(name, (photo(), *NO_OBJECTS), [3, 8])
    assert np.isfinite(plain[0]).all()
    assert (plain[2] == -1).all()
    assert not plain[1].any()


@pytest.mark.parametrize("name", CHANGES)
def test_at_zero_nothing_is_changed(name) -> None:
    image, boxes, labels = change(name, (photo(), BOXES, LABELS), [4, 8], 0.0)
    np.testing.assert_allclose(image, photo(), atol=1e-3)
    np.testing.assert_array_equal(boxes[:4], BOXES)
    np.testing.assert_array_equal(labels[:4], LABELS)


# Boxes and pixels.


@pytest.mark.parametrize("name", MOVING)
@few
@given(box=rectangles(), seed=seeds)
def test_a_box_moves_with_its_pixels(name, box, seed) -> None:
    """White pixels reach to the edges of a kept box or ignored region; resampling blurs by 1.5 px."""
    image, boxes, labels = change(name, (painted(box), box[None], np.array([0], np.int32)), seed)
    # Half of white, but what the canvas is filled with is never brighter than the image's mean.
    rows, columns = np.nonzero(image[:, :, 0] > 127.0)
    if labels[0] == -1:
        assert len(rows) == 0
    elif min(boxes[0, 2:] - boxes[0, :2]) * SIZE > 2.0:
        extent = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / SIZE
        assert boxes[0] == pytest.approx(extent, abs=1.5 / SIZE)


def windows(name, box, count, **changed):
    """Applies a change to an image that tells where each pixel came from.

    Yields the window that is shown (low and sides, as fractions of the image), the box and its label.
    """
    ramp = np.repeat((np.arange(SIZE)[:, None] + 0.5) / SIZE, SIZE, axis=1)
    example = (tf.constant(np.stack([ramp, ramp.T, ramp], axis=-1), tf.float32), tf.constant(box[None]))
    label, several = tf.constant([0]), [[5, 8 * number] for number in range(count)]
    found = tf.data.Dataset.from_tensor_slices(several).map(
        lambda seed: CHANGES[name](*example, label, seed, 1.0, **changed)
    )
    middle = SIZE // 2
    for image, boxes, labels in found.as_numpy_iterator():
        near = np.array([image[10, middle, 0], image[middle, 10, 1]])
        far = np.array([image[-11, middle, 0], image[middle, -11, 1]])
        sides = (far - near) * SIZE / (SIZE - 21)
        yield near - 10.5 / SIZE * sides, sides, boxes[0], labels[0]


def iou(low, sides, box):
    shared = np.prod(np.maximum(np.minimum(low + sides, box[2:]) - np.maximum(low, box[:2]), 0))
    return shared / (np.prod(sides) + np.prod(box[2:] - box[:2]) - shared)


# The keep rule.


@pytest.mark.parametrize(("name", "changed"), [("ssd_crop", {}), ("scale_jitter", {"min_zoom": 1.0})])
def test_a_window_keeps_labels_by_centre_and_visible_part(name, changed) -> None:
    """The rule, computed again from the window that the pixels show; cases within 1 % of a limit are left out."""
    box = np.array([0.1, 0.2, 0.4, 0.9], np.float32)
    found = set()
    for low, sides, _, label in windows(name, box, 150, **changed):
        seen = np.maximum(np.minimum(low + sides, box[2:]) - np.maximum(low, box[:2]), 0)
        share = np.prod(seen) / np.prod(box[2:] - box[:2])
        centre = ((box[:2] + box[2:]) / 2 - low) / sides
        if abs(share - box_forms.MIN_VISIBLE) < 0.01 or 0 < share < 0.01 or np.abs(centre * (1 - centre)).min() < 0.01:
            continue
        centred = ((centre > 0) & (centre < 1)).all()
        expected = -1 if share == 0 else 0 if centred and share >= box_forms.MIN_VISIBLE else -2
        assert label == expected
        found.add((label, centred))
    assert {(0, True), (-2, False), (-1, False)} <= found


@few
@given(box=rectangles(), seed=seeds)
def test_patches_keep_labels_by_visible_part_and_boxes_as_they_are(box, seed) -> None:
    image, boxes, labels = change("black_patches", (painted(box), box[None], np.array([0], np.int32)), seed)
    share = (image[:, :, 0] > 0).sum() / (painted(box)[:, :, 0] > 0).sum()
    if abs(share - box_forms.MIN_VISIBLE) > 1e-3:
        assert labels[0] == (-1 if share == 0 else 0 if share > box_forms.MIN_VISIBLE else -2)
    assert boxes[0] == pytest.approx(box if share else np.zeros(4))


def test_patches_make_ignored_regions_and_drop_what_they_hide() -> None:
    found = set()
    for number in range(60):
        example = (photo(), BOXES, LABELS)
        found |= set(enumerate(change("black_patches", example, [6, 8 * number])[2][:3].tolist()))
    assert {(0, 0), (0, -2), (1, 1), (1, -2), (1, -1), (2, -2), (2, -1)} <= found
    assert (0, 1) not in found
    assert (2, 0) not in found


# What each one does.


def test_a_crop_keeps_to_the_sides_and_aspect_ratios_of_the_paper() -> None:
    all_sides = np.array([sides for _, sides, *_ in windows("ssd_crop", BOXES[0], 150)])
    assert (all_sides > 0.099).all()
    assert (all_sides < 1.001).all()
    ratios = all_sides[:, 0] / all_sides[:, 1]
    assert ratios.min() > 0.49
    assert ratios.max() < 2.01
    assert all_sides.min() < 0.25
    assert all_sides.max() > 0.9


def test_crops_overlap_with_objects_as_drawn() -> None:
    """Of the overlaps drawn about half ask for 0.3; patches of any place, as in the second half, seldom reach it."""
    box = np.array([0.3, 0.3, 0.6, 0.6], np.float32)
    overlaps = np.array([iou(low, sides, box) for low, sides, *_ in windows("ssd_crop", box, 150)])
    rng = np.random.default_rng(0)
    all_sides = rng.uniform(0.1, 1.0, (2000, 2))
    all_sides = all_sides[all_sides.max(axis=1) <= 2 * all_sides.min(axis=1)]
    anywhere = np.array([iou(rng.uniform(size=2) * (1 - sides), sides, box) for sides in all_sides])
    assert (overlaps > 0.3).mean() > 2.5 * (anywhere > 0.3).mean()
    assert (overlaps < 0.1).mean() > 0.05  # nor is any place left out


def test_objects_too_small_for_any_overlap_are_cropped_all_the_same() -> None:
    box = np.array([0.5, 0.5, 0.52, 0.52], np.float32)
    sides = np.array([sides for _, sides, *_ in windows("ssd_crop", box, 60, min_scale=0.6)])
    assert (sides.min(axis=1) < 0.97).mean() > 0.9


def test_crops_cover_objects_as_the_object_detection_api_asks() -> None:
    """A third or more of the crops have all of a small object, and the least area holds."""
    box = np.array([0.5, 0.5, 0.55, 0.53], np.float32)
    settings = {"min_scale": 0.2236, "min_area": 0.1, "overlap": "covered"}
    found = [(low, sides) for low, sides, *_ in windows("ssd_crop", box, 150, **settings)]
    assert min(sides.prod() for _, sides in found) > 0.099
    covered = np.array([(low <= box[:2]).all() and (low + sides >= box[2:]).all() for low, sides in found])
    by_iou = [(low, sides) for low, sides, *_ in windows("ssd_crop", box, 150, min_scale=0.2236)]
    before = np.array([(low <= box[:2]).all() and (low + sides >= box[2:]).all() for low, sides in by_iou])
    assert covered.mean() > 0.85  # all but most of the crops whose share was drawn as 0
    assert before.mean() < covered.mean() - 0.1


def test_a_zoom_keeps_the_aspect_ratio_and_fills_with_the_mean() -> None:
    image, boxes, _ = change("scale_jitter", (photo(), BOXES, LABELS), [1, 8])
    before, after = (each[0, 2:] - each[0, :2] for each in (BOXES, boxes))
    assert after / before == pytest.approx((after / before)[::-1], rel=1e-4)
    shrunk = augment.scale_jitter(photo(), BOXES, LABELS, tf.constant([1, 16]), 1.0, 0.4, 1.0)[0].numpy()
    corners = shrunk[[0, 0, -1, -1], [0, -1, 0, -1]]
    fill = photo().mean(axis=(0, 1))
    assert (np.abs(corners - fill).max(axis=1) < 0.1).any()
    assert image.shape == shrunk.shape


def test_patches_keep_to_their_number_and_size() -> None:
    blackened = []
    for number in range(60):
        image = augment.black_patches(
            tf.fill([SIZE, SIZE, 3], 255.0), BOXES, LABELS, tf.constant([8, 8 * number]), 1.0, 2, 0.25
        )[0].numpy()
        assert set(np.unique(image)) <= {0.0, 255.0}
        blackened.append((image[:, :, 0] == 0).mean())
    assert max(blackened) <= 2 * (0.25 + 1 / SIZE) ** 2
    assert max(blackened) > 0.25**2 + 0.01  # two
    assert np.median(blackened) > 0.02


def test_noise_has_the_strength_drawn_and_leaves_grey_images_grey() -> None:
    grey = np.full((SIZE, SIZE, 3), 128.0, np.float32)
    deviations = []
    for number in range(20):
        image = augment_pixels.gaussian_noise(grey, BOXES, LABELS, tf.constant([9, 8 * number]), 20.0)[0].numpy()
        assert (image == image[:, :, :1]).all()
        deviations.append(image.std())
        assert image.mean() == pytest.approx(128.0, abs=2.0)
    assert max(deviations) < 21.0
    assert max(deviations) > 15.0
    assert min(deviations) < 5.0
    colored = np.float32([100, 128, 160]) + np.zeros_like(grey)
    noise = augment_pixels.gaussian_noise(colored, BOXES, LABELS, tf.constant([9, 8]), 20.0)[0].numpy() - colored
    assert abs(np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("name", ["color_distortion", "photometric", "gaussian_noise"])
def test_pixel_changes_leave_grey_images_grey_and_boxes_alone(name) -> None:
    grey = np.repeat(photo()[:, :, :1], 3, axis=2)
    image, boxes, labels = change(name, (grey, BOXES, LABELS), [10, 8])
    np.testing.assert_allclose(image, np.repeat(image[:, :, :1], 3, axis=2), atol=0.01)
    if name == "color_distortion":
        np.testing.assert_allclose(image, grey, atol=0.1)
    np.testing.assert_array_equal(boxes, BOXES)
    np.testing.assert_array_equal(labels, LABELS)


def test_colors_change_in_hue_and_saturation_but_not_in_brightness() -> None:
    """Brightness is Y of NTSC; red stays clear of black and white, so nothing is clipped."""
    red = np.float32([150, 110, 100]) + np.zeros((4, 4, 3), np.float32)
    seen = set()
    for number in range(10):
        image = augment_pixels.color_distortion(red, BOXES, LABELS, tf.constant([11, 8 * number]), 0.5)[0].numpy()
        assert image[0, 0] @ [0.299, 0.587, 0.114] == pytest.approx(red[0, 0] @ [0.299, 0.587, 0.114], abs=0.1)
        seen.add(tuple(np.round(image[0, 0])))
    assert len(seen) == 10


def test_a_mosaic_shows_four_images_each_with_its_own_objects() -> None:
    """Four images in one grey each, one object of the whole image in each: quarters, and boxes that cover them."""
    images = np.float32([50, 100, 150, 200])[:, None, None, None] + np.zeros((4, SIZE, SIZE, 3), np.float32)
    boxes = np.pad(np.tile(np.float32([0, 0, 1, 1]), (4, 1, 1)), [[0, 0], [0, 1], [0, 0]])
    labels = np.stack([np.arange(4, dtype=np.int32), np.full(4, -1, np.int32)], axis=1)
    batch = [tf.constant(each) for each in (images, boxes, labels)]
    made, found, names = (each.numpy() for each in augment.mosaic(*batch, tf.constant([12, 8]), 1.0))
    assert (names >= 0).any(axis=1).all()  # the others show too little of their image, and are ignored
    assert set(names[names >= 0]) == {0, 1, 2, 3}
    for number in range(4):
        assert made[number, 0, 0, 0] == pytest.approx(images[number, 0, 0, 0], abs=1e-3)
        assert len(np.unique(np.round(made[number]))) == 4
        for box, name in zip(found[number], names[number], strict=True):
            ymin, xmin, ymax, xmax = np.round(box * SIZE).astype(int)
            greys = np.unique(np.round(made[number, ymin:ymax, xmin:xmax]))
            assert len(greys) == 1
            assert name == -2 or greys[0] == images[name, 0, 0, 0]
        assert (found[number, :, 2:] - found[number, :, :2]).prod(axis=1).sum() == pytest.approx(1.0, abs=1e-5)


def test_a_mosaic_with_more_boxes_than_room_is_not_made() -> None:
    images = tf.random.stateless_uniform([4, SIZE, SIZE, 3], [0, 0], 0.0, 255.0)
    boxes = tf.tile(tf.constant([[[0.0, 0.0, 1.0, 1.0]]]), [4, 1, 1])
    made, found, names = augment.mosaic(images, boxes, tf.constant([[0], [1], [2], [-2]]), tf.constant([12, 8]), 1.0)
    np.testing.assert_array_equal(made, images)
    np.testing.assert_array_equal(found[:, :1], boxes)
    assert names.numpy().tolist() == [[0, -1], [1, -1], [2, -1], [-2, -1]]


# The composition.


def test_what_is_off_is_not_in_the_graph() -> None:
    off = dataclasses.replace(AugmentConfig(), flip_probability=0.0, crop_probability=0.0, photometric_strength=0.0)
    for config, expected in ((off, 0), (AugmentConfig(), 3)):
        apply = augment.augmentation(**dataclasses.asdict(config))
        graph = tf.function(apply).get_concrete_function(photo(), BOXES, LABELS, tf.constant([0, 8])).graph
        draws = [node for node in graph.get_operations() if node.type.startswith("StatelessRandomUniform")]
        assert len(draws) == expected
        assert apply.mosaic_probability == 0.0


def test_each_setting_reaches_its_change() -> None:
    """Every change alone, switched on by its own setting, differs from the others and from none."""
    off = dataclasses.replace(AugmentConfig(), flip_probability=0.0, crop_probability=0.0, photometric_strength=0.0)
    switches = ("flip", "jitter", "crop", "photometric", "color", "noise", "patch")
    seen = set()
    for switch in switches:
        (field,) = [
            field.name
            for field in dataclasses.fields(AugmentConfig)
            if field.name.startswith(switch) and field.name.endswith(("probability", "strength", "sigma"))
        ]
        config = dataclasses.replace(off, **{field: 0.9 if field.endswith("strength") else 1.0})
        image, _, _ = augment.augmentation(**dataclasses.asdict(config))(photo(), BOXES, LABELS, tf.constant([13, 8]))
        assert not np.allclose(image, photo(), atol=0.1)
        seen.add(image.numpy().tobytes())
    assert len(seen) == len(switches)
