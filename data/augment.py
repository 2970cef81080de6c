"""Random changes of training examples, in tf.data; each draw comes from an explicit seed.

Every function takes and returns an example: image float32 [H, W, 3] in [0, 255], gt_boxes float32 [G, 4] and gt_labels
int32 [G] (-1 padding, -2 ignored region), H, W and G as they came. It also takes a seed int32 [2] and its settings.
`mosaic` does the same with a batch of examples, and makes room for more boxes.

The keep rule, the same after every change that moves boxes or covers pixels. A box is clipped to the image. Then

- it stays an object if its centre, taken before clipping, lies in the image and at least `boxes.MIN_VISIBLE` of the
  area that it had before the change can be seen: inside the image and under no black patch;
- else, while anything of it can be seen, it becomes an ignored region: what is left is learned neither as an object nor
  as background;
- one of which nothing can be seen is dropped: label -1, coordinates 0.

An ignored region stays one until it is dropped.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from data import augment_pixels
from data import boxes as box_forms

Tensor = Any
Example = tuple[Tensor, Tensor, Tensor]
ROUNDING = 1e-4  # a visible share below this is a rounding error
MAX_ASPECT_RATIO = 2.0  # of a crop, either way
# What a crop must have of some object, one drawn; 0 admits any: its IoU with it, or the share of it that it covers.
MIN_OVERLAPS = {"iou": (0.0, 0.1, 0.3, 0.5, 0.7, 0.9), "covered": (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)}
CROPS_TRIED = 50
MOSAIC_ROOM = 2  # boxes of a mosaic / boxes of an example; each costs matching time in every step
MOSAIC_CUT = (0.25, 0.75)  # where a mosaic's four parts meet / image side
SEEDS_PER_EXAMPLE = 8  # more than there are changes


def horizontal_flip(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor, probability: float) -> Example:
    """Mirrors image and boxes with the given probability."""

    def flip() -> Example:
        flipped = tf.stack([gt_boxes[:, 0], 1.0 - gt_boxes[:, 3], gt_boxes[:, 2], 1.0 - gt_boxes[:, 1]], axis=-1)
        return tf.reverse(image, [1]), tf.where((gt_labels == -1)[:, None], gt_boxes, flipped), gt_labels

    draw = tf.random.stateless_uniform([], seed)
    return tf.cond(draw < probability, flip, lambda: (image, gt_boxes, gt_labels))


def scale_jitter(
    image: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    seed: Tensor,
    probability: float,
    min_zoom: float,
    max_zoom: float,
) -> Example:
    """Shrinks the image on a canvas of its mean colour, or enlarges a part of it, at a random place.

    Args:
        image: float32 [H, W, 3] in [0, 255].
        gt_boxes: float32 [G, 4].
        gt_labels: int32 [G]; -1 is padding.
        seed: int32 [2].
        probability: of a change at all.
        min_zoom: smallest size after / before, in (0, 1].
        max_zoom: largest, at least 1; the logarithm is drawn uniformly between the two.

    Returns:
        The example, of the same shapes; aspect ratios are kept.
    """
    draws = tf.random.stateless_uniform([4], seed)

    def zoom() -> Example:
        ratio = max_zoom / min_zoom
        side = 1.0 / (min_zoom * tf.pow(ratio, draws[1]))
        sides = tf.stack([side, side])
        mean = tf.reduce_mean(image, axis=[0, 1])
        seen, boxes, labels = _window(
            image - mean, gt_boxes, gt_labels, draws[2:] * (1.0 - sides), sides, list(image.shape[:2])
        )
        return seen + mean, boxes, labels

    return tf.cond(draws[0] < probability, zoom, lambda: (image, gt_boxes, gt_labels))


def ssd_crop(
    image: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    seed: Tensor,
    probability: float,
    min_scale: float,
    min_area: float = 0.0,
    overlap: str = "iou",
) -> Example:
    """Cuts a random patch and resizes it to the image's size, with the given probability.

    The patch's sides are drawn from [min_scale, 1] of the image's, one at most twice the other. One of `MIN_OVERLAPS`
    is drawn, of those that some patch tried has with some object, and the first patch of at least that is taken. The
    paper's first choice, the whole image, is left to `probability`: 6/7 draws all choices alike.

    Args:
        image: float32 [H, W, 3] in [0, 255].
        gt_boxes: float32 [G, 4].
        gt_labels: int32 [G]; -1 is padding.
        seed: int32 [2].
        probability: of cropping at all.
        min_scale: in (0, 1].
        min_area: of a patch / image area, in [0, 1].
        overlap: a key of `MIN_OVERLAPS`: "iou" is the paper's, "covered" the Object Detection API's.

    Returns:
        The example, of the same shapes.

    Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, "Data augmentation"; the API's `ssd_random_crop`.
    """
    draws = tf.random.stateless_uniform([2 + 4 * CROPS_TRIED], seed)

    def crop() -> Example:
        places = tf.reshape(draws[2:], [CROPS_TRIED, 4])
        low, sides = _ssd_patch(gt_boxes, gt_labels, places, draws[1], min_scale, min_area, overlap)
        return _window(image, gt_boxes, gt_labels, low, sides, list(image.shape[:2]))

    return tf.cond(draws[0] < probability, crop, lambda: (image, gt_boxes, gt_labels))


def black_patches(
    image: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    seed: Tensor,
    probability: float,
    max_count: int,
    max_side: float,
) -> Example:
    """Blackens rectangles around random places, with the given probability.

    Args:
        image: float32 [H, W, 3] in [0, 255].
        gt_boxes: float32 [G, 4].
        gt_labels: int32 [G]; -1 is padding.
        seed: int32 [2].
        probability: of any patch at all.
        max_count: the number is drawn from [1, max_count].
        max_side: sides are drawn from [max_side / 2, max_side] of the image's.

    Returns:
        The example, of the same shapes; boxes that stay keep their whole extent.

    Source: DeVries & Taylor 2017 (arXiv:1708.04552), section 3.2.
    """
    draws = tf.random.stateless_uniform([2 + 4 * max_count], seed)

    def cover() -> Example:
        used = tf.range(max_count) <= tf.cast(draws[1] * max_count, tf.int32)
        places = tf.reshape(draws[2:], [max_count, 2, 2])
        half = max_side * (0.25 + 0.25 * places[:, 0])  # [N, 2]
        masks = []
        for axis, length in enumerate(image.shape[:2]):
            low = tf.round((places[:, 1, axis] - half[:, axis]) * length)[:, None]
            high = tf.round((places[:, 1, axis] + half[:, axis]) * length)[:, None]
            pixel = tf.range(length, dtype=tf.float32)
            masks.append(tf.cast((low <= pixel) & (pixel < high) & used[:, None], tf.float32))  # [N, H] and [N, W]
        clear = tf.cast(tf.matmul(*masks, transpose_a=True) == 0.0, tf.float32)  # [H, W]
        return image * clear[:, :, None], *_keep(gt_boxes, gt_labels, _clear_area(gt_boxes, clear))

    return tf.cond(draws[0] < probability, cover, lambda: (image, gt_boxes, gt_labels))


def mosaic(images: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor, probability: float) -> Example:
    """Replaces examples of a batch, each with the given probability, by mosaics of it and the next three.

    The four parts meet at a random point. Each shows a random window of its example, of its own aspect ratio and as
    large as fits or smaller, down to the original scale. A mosaic with more boxes than there is room for is not made,
    so that no object goes without its box.

    Args:
        images: float32 [B, H, W, 3]; below 4 examples some come twice.
        gt_boxes: float32 [B, G, 4].
        gt_labels: int32 [B, G].
        seed: int32 [2].
        probability: of a mosaic.

    Returns:
        The batch; of the same shapes, but G is `MOSAIC_ROOM` times as large in boxes and labels.

    Source: Bochkovskiy et al. 2020 (arXiv:2004.10934), section 3.3.
    """
    count = tf.shape(images, out_type=tf.int64)[0]
    draws = tf.random.stateless_uniform([count, 15], seed)
    chosen = tf.where(draws[:, 0] < probability)[:, 0]

    def make(index: Tensor) -> Example:
        together = (index + tf.range(4, dtype=tf.int64)) % count
        four = [tf.gather(of_all, together) for of_all in (images, gt_boxes, gt_labels)]
        return _join(four[0], four[1], four[2], draws[index, 1:3], tf.reshape(draws[index, 3:], [4, 3]))

    batch = (images, *_pad(gt_boxes, gt_labels, (MOSAIC_ROOM - 1) * gt_boxes.shape[1]))
    signature = tuple(tf.TensorSpec(of_all.shape[1:], of_all.dtype) for of_all in batch)
    made = tf.map_fn(make, chosen, fn_output_signature=signature)
    pairs = zip(batch, made, strict=True)
    return tuple(tf.tensor_scatter_nd_update(of_all, chosen[:, None], new) for of_all, new in pairs)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What `augmentation` composed; call it on one example, then `mix` on a batch of them.

    Attributes:
        changes: functions of (image, gt_boxes, gt_labels, seed), each with the number that is added to its seed.
        mosaic_probability: of `mosaic`; at 0 `mix` has nothing to do.
    """

    changes: tuple[tuple[int, Callable[..., Example]], ...]
    mosaic_probability: float

    def __call__(self, image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor) -> Example:
        """Changes one example; seeds of two examples differ by at least `SEEDS_PER_EXAMPLE` in their second part."""
        example = tuple(tf.convert_to_tensor(each) for each in (image, gt_boxes, gt_labels))
        for number, change in self.changes:
            example = change(*example, seed + [0, number])
        return example

    def mix(self, images: Tensor, gt_boxes: Tensor, gt_labels: Tensor, seed: Tensor) -> Example:
        """Changes a batch of examples with one another; `seed` is that of its first example."""
        return mosaic(images, gt_boxes, gt_labels, seed + [0, SEEDS_PER_EXAMPLE - 1], self.mosaic_probability)


def augmentation(
    *,
    flip_probability: float,
    jitter_probability: float,
    jitter_min_zoom: float,
    jitter_max_zoom: float,
    crop_probability: float,
    crop_min_scale: float,
    crop_min_area: float,
    crop_overlap: str,
    photometric_strength: float,
    color_strength: float,
    noise_max_sigma: float,
    patch_probability: float,
    patch_max_count: int,
    patch_max_side: float,
    mosaic_probability: float,
) -> Augmentation:
    """Composes the training augmentation; what has the probability or strength 0 is left out of the graph.

    Args:
        flip_probability: of `horizontal_flip`.
        jitter_probability: of `scale_jitter`.
        jitter_min_zoom: its smallest size after / before.
        jitter_max_zoom: its largest.
        crop_probability: of `ssd_crop`.
        crop_min_scale: smallest side of a crop / image side.
        crop_min_area: least area of a crop / image area.
        crop_overlap: what a crop must have of some object, a key of `MIN_OVERLAPS`.
        photometric_strength: of `augment_pixels.photometric`.
        color_strength: of `augment_pixels.color_distortion`.
        noise_max_sigma: of `augment_pixels.gaussian_noise`, grey levels.
        patch_probability: of `black_patches`.
        patch_max_count: its most patches.
        patch_max_side: their largest side / image side.
        mosaic_probability: of `mosaic`.

    Returns:
        The augmentation, its changes in the order of the arguments.
    """
    bind = functools.partial
    jitter = bind(scale_jitter, probability=jitter_probability, min_zoom=jitter_min_zoom, max_zoom=jitter_max_zoom)
    patches = bind(black_patches, probability=patch_probability, max_count=patch_max_count, max_side=patch_max_side)
    crop = bind(
        ssd_crop,
        probability=crop_probability,
        min_scale=crop_min_scale,
        min_area=crop_min_area,
        overlap=crop_overlap,
    )
    all_changes = (
        (flip_probability, bind(horizontal_flip, probability=flip_probability)),
        (jitter_probability, jitter),
        (crop_probability, crop),
        (photometric_strength, bind(augment_pixels.photometric, strength=photometric_strength)),
        (color_strength, bind(augment_pixels.color_distortion, strength=color_strength)),
        (noise_max_sigma, bind(augment_pixels.gaussian_noise, max_sigma=noise_max_sigma)),
        (patch_probability, patches),
    )
    changes = tuple((number, change) for number, (amount, change) in enumerate(all_changes) if amount > 0.0)
    return Augmentation(changes, mosaic_probability)


def _window(image: Tensor, gt_boxes: Tensor, gt_labels: Tensor, low: Tensor, sides: Tensor, size_px: Any) -> Example:
    """Shows the window [low, low + sides] (y, x; normalised) at `size_px`, black where it leaves the image."""
    shape = tf.constant(list(image.shape[:2]), tf.float32)
    scale = tf.cast(size_px, tf.float32) / (sides * shape)
    seen = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=size_px,
        scale=scale,
        translation=-low * shape * scale,
        kernel_type="triangle",
        antialias=True,
    )[0]
    moved = (gt_boxes - tf.tile(low, [2])) / tf.tile(sides, [2])
    return seen, *_keep(moved, gt_labels, _area(tf.clip_by_value(moved, 0.0, 1.0)))


def _keep(boxes: Tensor, labels: Tensor, visible_area: Tensor) -> tuple[Tensor, Tensor]:
    """Applies the keep rule to boxes [G, 4] that may leave the image, of which `visible_area` [G] can be seen."""
    share = visible_area / tf.maximum(_area(boxes), 1e-12)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    stays = tf.reduce_all((centre >= 0.0) & (centre <= 1.0), axis=1) & (share >= box_forms.MIN_VISIBLE)
    labels = tf.where((labels >= 0) & ~stays, -2, labels)
    labels = tf.where(share < ROUNDING, -1, labels)
    return tf.where((labels == -1)[:, None], 0.0, tf.clip_by_value(boxes, 0.0, 1.0)), labels


def _ssd_patch(
    gt_boxes: Tensor,
    gt_labels: Tensor,
    places: Tensor,
    choice: Tensor,
    min_scale: float,
    min_area: float,
    overlap: str,
) -> tuple[Tensor, Tensor]:
    """Picks the patch of `ssd_crop`: low [2] and sides [2] (y, x).

    The patches tried come from `places` [N, 4] in [0, 1), the overlap from `choice` in [0, 1). The whole image is the
    last patch, for when no other has an allowed aspect ratio and area.
    """
    sides = tf.concat([min_scale + (1.0 - min_scale) * places[:, :2], tf.ones([1, 2])], axis=0)  # [N + 1, 2]
    low = tf.concat([places[:, 2:], tf.zeros([1, 2])], axis=0) * (1.0 - sides)
    allowed = tf.reduce_max(sides, axis=1) <= MAX_ASPECT_RATIO * tf.reduce_min(sides, axis=1)
    allowed &= tf.reduce_prod(sides, axis=1) >= min_area
    patches = tf.concat([low, low + sides], axis=1)[:, None]  # [N + 1, 1, 4]
    shared = tf.concat(
        [tf.maximum(patches[..., :2], gt_boxes[:, :2]), tf.minimum(patches[..., 2:], gt_boxes[:, 2:])], -1
    )
    shared = _area(shared)  # [N + 1, G]
    if overlap == "iou":
        share = shared / (_area(patches) + _area(gt_boxes) - shared)
    else:
        share = shared / tf.maximum((1.0 - ROUNDING) * _area(gt_boxes), 1e-12)
    best = tf.reduce_max(tf.where(gt_labels >= 0, share, 0.0), axis=1)
    admitted = allowed[:, None] & (best[:, None] >= tf.constant(MIN_OVERLAPS[overlap]))  # [N + 1, overlaps]
    possible = tf.where(tf.reduce_any(admitted, axis=0))[:, 0]
    drawn = possible[tf.cast(choice * tf.cast(tf.size(possible), tf.float32), tf.int32)]
    first = tf.where(admitted[:, drawn])[0, 0]
    return low[first], sides[first]


def _join(images: Tensor, gt_boxes: Tensor, gt_labels: Tensor, cut: Tensor, places: Tensor) -> Example:
    """Makes one mosaic of four examples; `cut` [2] and `places` [4, 3] (scale, y, x) are draws from [0, 1)."""
    shape = tf.constant(list(images.shape[1:3]), tf.float32)
    cut_px = tf.round((MOSAIC_CUT[0] + (MOSAIC_CUT[1] - MOSAIC_CUT[0]) * cut) * shape)
    parts, boxes, labels = [], [], []
    for number in range(4):
        second = tf.constant([number // 2, number % 2]) == 1  # below the cut, right of it
        size_px = tf.where(second, shape - cut_px, cut_px)
        share = size_px / shape
        least = tf.reduce_max(share)  # the scale at which the window is as large as fits
        sides = share / (least + (1.0 - least) * places[number, 0])
        low = places[number, 1:] * (1.0 - sides)
        example = (images[number], gt_boxes[number], gt_labels[number])
        part, moved, label = _window(*example, low, sides, tf.cast(size_px, tf.int32))
        moved = moved * tf.tile(share, [2]) + tf.tile(tf.where(second, cut_px, 0.0) / shape, [2])
        parts.append(part)
        boxes.append(tf.where((label == -1)[:, None], 0.0, tf.clip_by_value(moved, 0.0, 1.0)))
        labels.append(label)
    image = tf.concat([tf.concat(parts[:2], axis=1), tf.concat(parts[2:], axis=1)], axis=0)
    boxes, labels = tf.concat(boxes, axis=0), tf.concat(labels, axis=0)
    room = MOSAIC_ROOM * gt_labels.shape[1]
    kept = tf.argsort(tf.cast(labels == -1, tf.int32), stable=True)[:room]
    fits = tf.math.count_nonzero(labels != -1, dtype=tf.int32) <= room
    made = (tf.ensure_shape(image, images.shape[1:]), tf.gather(boxes, kept), tf.gather(labels, kept))
    own = (images[0], *_pad(gt_boxes[0], gt_labels[0], room - gt_labels.shape[1]))
    return tuple(tf.where(fits, new, old) for new, old in zip(made, own, strict=True))


def _pad(gt_boxes: Tensor, gt_labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Adds padding to boxes [..., G, 4] and labels [..., G]."""
    before = [[0, 0]] * (gt_labels.shape.rank - 1)
    boxes = tf.pad(gt_boxes, [*before, [0, count], [0, 0]])
    return boxes, tf.pad(gt_labels, [*before, [0, count]], constant_values=-1)


def _clear_area(boxes: Tensor, clear: Tensor) -> Tensor:
    """Measures the area of each box [G, 4] where `clear` float32 [H, W] is 1, for the image's being 1."""
    covers = []
    for axis, length in enumerate(clear.shape):
        pixel = tf.range(length, dtype=tf.float32)
        low = tf.maximum(boxes[:, axis, None] * length, pixel)
        high = tf.minimum(boxes[:, axis + 2, None] * length, pixel + 1.0)
        covers.append(tf.maximum(high - low, 0.0) / length)  # [G, H] and [G, W]
    return tf.reduce_sum(tf.matmul(covers[0], clear) * covers[1], axis=1)


def _area(boxes: Tensor) -> Tensor:
    return tf.maximum(boxes[..., 2] - boxes[..., 0], 0.0) * tf.maximum(boxes[..., 3] - boxes[..., 1], 0.0)
