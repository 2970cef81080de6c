"""Renders labelled road scenes: the same seed, split and index always give the same bytes.

Rules of the labels:

- A box is the object's whole painted extent as if nothing stood before it, clipped to the image, tight to a
  fraction of a pixel.
- A ridden bicycle is a bicycle box around the bicycle alone and a person box around the rider alone.
- An object of which less than `MIN_VISIBLE` of its painted area can be seen (the rest hidden by others or
  outside the image), or whose box is thinner than `MIN_SIDE` of the image's height, is taken out of the
  picture, a rider together with the bicycle. So no object in a picture lacks its box.
"""

import dataclasses
import io

import numpy as np
from PIL import Image

from data.road_scenes.background import paint_background
from data.road_scenes.canvas import Patch
from data.road_scenes.cars import draw_car
from data.road_scenes.clutter import draw_clutter
from data.road_scenes.figures import draw_bicycle, draw_person, draw_rider
from data.road_scenes.layout import Layout, Thing, sample_layout
from data.road_scenes.looks import LOOKS, Palette, expose

VERSION = "1.0.0"  # raise it whenever a pixel or a box changes: caches and fingerprints hang on it
CLASS_NAMES = ("person", "bicycle", "car")
DEFAULT_COUNTS = {"train": 1200, "val": 150, "test": 250}
MIN_VISIBLE = 0.3
MIN_SIDE = 9.0 / 128.0

_SPLIT_CODES = {"train": 0, "val": 1, "test": 2}
_LABELS = {"person": 0, "rider": 0, "bicycle": 1, "car": 2}


@dataclasses.dataclass(frozen=True)
class Scene:
    """One labelled picture."""

    source_id: str  # unique over seeds and splits
    look: str  # "thermal" or "visible"
    image: np.ndarray  # uint8 [H, W, 3]
    boxes: np.ndarray  # float32 [N, 4], normalised ymin, xmin, ymax, xmax
    labels: np.ndarray  # int32 [N], index into CLASS_NAMES
    visible: np.ndarray  # float32 [N], seen share of each object's painted area, in (0, 1]


@dataclasses.dataclass(frozen=True)
class Placed:
    """A thing with its paint; what stays in a picture."""

    thing: Thing
    patch: Patch
    label: int  # -1 for clutter
    box: tuple[float, float, float, float]  # ymin, xmin, ymax, xmax, normalised and clipped
    visible: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """A scene taken apart: its background and what stands before it, the farthest first."""

    layout: Layout
    background: Image.Image
    placed: tuple[Placed, ...]

    def compose(self, omit: Placed | None = None) -> Image.Image:
        """Paints the picture at its final size, before the sensor; if asked, without one of the things."""
        canvas = self.background.copy()
        for one in self.placed:
            if one is not omit:
                canvas.paste(one.patch.image, (one.patch.left_px, one.patch.top_px), one.patch.image)
        return canvas.reduce(self.layout.camera.supersample)


def render_scene(
    seed: int, split: str, index: int, *, image_size: tuple[int, int] = (128, 160), look: str = "both"
) -> Scene:
    """Renders one scene.

    The layout depends on seed, split, index and image size, not on the look: "thermal" and "visible" show the
    same scene to two cameras, "both" picks one of them by the scene's own draw.

    Args:
        seed: of the whole dataset, at least 0.
        split: "train", "val" or "test".
        index: number of the scene in its split, from 0.
        image_size: height and width in pixels, each at least 32.
        look: "thermal", "visible" or "both".

    Returns:
        The scene.

    Raises:
        ValueError: an argument is outside its range.
    """
    plan, sensor = plan_scene(seed, split, index, image_size=image_size, look=look)
    image = expose(plan.compose(), plan.layout.look, sensor)
    objects = [one for one in plan.placed if one.label >= 0]
    return Scene(
        source_id=f"s{seed}_{split}_{index:06d}",
        look=plan.layout.look,
        image=image,
        boxes=np.array([one.box for one in objects], dtype=np.float32).reshape(-1, 4),
        labels=np.array([one.label for one in objects], dtype=np.int32),
        visible=np.array([one.visible for one in objects], dtype=np.float32),
    )


def plan_scene(
    seed: int, split: str, index: int, *, image_size: tuple[int, int] = (128, 160), look: str = "both"
) -> tuple[Plan, np.random.Generator]:
    """Draws a scene's parts without putting them together; arguments and errors as in `render_scene`.

    Returns:
        The parts, and the generator that the sensor's noise is to be drawn from.
    """
    _check(seed, split, index, image_size, look)
    sequence = np.random.SeedSequence([seed, _SPLIT_CODES[split], index])
    layout_rng, color_rng, paint_rng, background_rng, sensor_rng = map(np.random.default_rng, sequence.spawn(5))
    supersample = 3 if image_size[0] <= 160 else 2
    layout = sample_layout(layout_rng, *image_size, supersample)
    if look != "both":
        layout = dataclasses.replace(layout, look=look)
    palette = Palette(layout.look, color_rng)
    placed = _keep_visible(_paint_things(layout, palette, paint_rng), layout)
    layout = dataclasses.replace(layout, things=tuple(one.thing for one in placed))
    return Plan(layout, paint_background(layout, palette, background_rng), placed), sensor_rng


def encode_jpeg(scene: Scene) -> bytes:
    """Encodes a scene's image as JPEG, quality 95, full chroma; equal scenes give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(scene.image).save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _check(seed: int, split: str, index: int, image_size: tuple[int, int], look: str) -> None:
    if split not in _SPLIT_CODES:
        raise ValueError(f"`split` must be one of {', '.join(_SPLIT_CODES)}: got {split!r}.")
    if look not in (*LOOKS, "both"):
        raise ValueError(f"`look` must be thermal, visible or both: got {look!r}.")
    if seed < 0 or index < 0:
        raise ValueError(f"`seed` and `index` must be at least 0: got {seed} and {index}.")
    if min(image_size) < 32:
        raise ValueError(f"`image_size` (height, width) must be at least 32 px a side: got {image_size}.")


def _paint_things(layout: Layout, palette: Palette, rng: np.random.Generator) -> list[tuple[Thing, Patch]]:
    """Paints every thing into its patch, the farthest first; a rider comes right after the bicycle."""
    camera = layout.camera
    painted = []
    for thing in sorted(layout.things, key=lambda thing: -thing.pose.depth_m):
        if thing.kind == "person":
            sprite = draw_person(camera, thing.pose, palette, rng, thing.size)
        elif thing.kind == "rider":
            sprite = draw_rider(camera, thing.pose, palette, rng)
        elif thing.kind == "bicycle":
            sprite = draw_bicycle(camera, thing.pose, palette, rng)
        elif thing.kind == "car":
            sprite = draw_car(camera, thing.pose, palette, rng, running=thing.size > 0)
        else:
            sprite = draw_clutter(thing.kind, camera, thing.pose, palette, rng, thing.size)
        patch = sprite.rasterise(camera.width_px)
        if patch is not None:
            painted.append((thing, patch))
    return painted


def _keep_visible(painted: list[tuple[Thing, Patch]], layout: Layout) -> tuple[Placed, ...]:
    """Takes out, group by group, the objects too hidden or too small, until all that stay are neither."""
    width, height = layout.camera.width_px, layout.camera.height_px
    boxes = {id(patch): _box(patch, width, height) for _, patch in painted}
    rows = list(painted)
    while True:
        shares = _visible_shares([patch for _, patch in rows], width, height)
        failed = next(
            (
                thing.group
                for (thing, patch), share in zip(reversed(rows), reversed(shares), strict=True)
                if thing.kind in _LABELS
                and (share < MIN_VISIBLE or _short_side(boxes[id(patch)], width, height) < MIN_SIDE)
            ),
            None,
        )
        if failed is None:
            break
        rows = [(thing, patch) for thing, patch in rows if thing.group != failed]
    return tuple(
        Placed(thing, patch, _LABELS.get(thing.kind, -1), boxes[id(patch)], share)
        for (thing, patch), share in zip(rows, shares, strict=True)
    )


def _visible_shares(patches: list[Patch], width: int, height: int) -> list[float]:
    """Returns each patch's seen share of its painted area, given that later patches hide earlier ones."""
    covered = np.zeros((height, width), dtype=bool)
    shares = []
    for patch in reversed(patches):
        rows, columns, inner_rows, inner_columns = patch.window(width, height)
        mask = patch.mask[inner_rows, inner_columns]
        view = covered[rows, columns]
        shares.append(float(np.count_nonzero(mask & ~view)) / patch.area_px)
        view |= mask
    return shares[::-1]


def _box(patch: Patch, width: int, height: int) -> tuple[float, float, float, float]:
    """Measures the painted extent inside the image, normalised; all zeros where nothing is inside."""
    rows, columns, inner_rows, inner_columns = patch.window(width, height)
    mask = patch.mask[inner_rows, inner_columns]
    if not mask.any():
        return 0.0, 0.0, 0.0, 0.0
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        (rows.start + int(ys[0])) / height,
        (columns.start + int(xs[0])) / width,
        (rows.start + int(ys[-1]) + 1) / height,
        (columns.start + int(xs[-1]) + 1) / width,
    )


def _short_side(box: tuple[float, float, float, float], width: int, height: int) -> float:
    """Returns a box's shorter side as a fraction of the image's height."""
    return min(box[2] - box[0], (box[3] - box[1]) * width / height)
