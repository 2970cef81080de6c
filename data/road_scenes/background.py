"""Backgrounds: sky, ground, road with its marks, skyline and facades, all in the scene's perspective."""

import math

import numpy as np
from PIL import Image, ImageDraw

from data.road_scenes.canvas import Camera, Color
from data.road_scenes.layout import Layout, Street
from data.road_scenes.looks import Palette

_FAR_M = 220.0


def paint_background(layout: Layout, palette: Palette, rng: np.random.Generator) -> Image.Image:
    """Paints everything that stands behind the things of a scene.

    Args:
        layout: the scene.
        palette: its colours.
        rng: draws windows and skyline.

    Returns:
        RGB image of the camera's size.
    """
    camera, street = layout.camera, layout.street
    image = _sky(camera, palette)
    draw = ImageDraw.Draw(image)
    _paint_skyline(draw, camera, palette, rng)
    draw.rectangle((0, camera.horizon_px, camera.width_px, camera.height_px), fill=palette.pick("verge"))
    _paint_road(draw, camera, street, palette, rng)
    for side, kind in zip((-1.0, 1.0), street.sides, strict=True):
        if kind == "buildings":
            _paint_facades(draw, camera, street, side, palette, rng)
        elif kind == "trees":
            _paint_tree_row(draw, camera, street, side, palette, rng)
    _paint_shadows(draw, layout, palette, image)
    return image


def _sky(camera: Camera, palette: Palette) -> Image.Image:
    top, low = (np.array(color, dtype=np.float32) for color in palette.sky())
    rows = np.minimum(np.arange(camera.height_px, dtype=np.float32)[:, None] / camera.horizon_px, 1.0)
    column = (top + (low - top) * rows).astype(np.uint8)
    size = (camera.width_px, camera.height_px)
    return Image.fromarray(column[:, None, :]).resize(size, Image.Resampling.NEAREST)


def _paint_skyline(draw: ImageDraw.ImageDraw, camera: Camera, palette: Palette, rng: np.random.Generator) -> None:
    """Paints hills, and in a town blocks, along the horizon."""
    horizon, width = camera.horizon_px, camera.width_px
    heights = rng.uniform(0.02, 0.12, size=9) * camera.height_px
    ridge = [(width * i / 8.0, horizon - float(h)) for i, h in enumerate(heights)]
    draw.polygon([(0, horizon), *ridge, (width, horizon)], fill=palette.pick("hill"))
    for _ in range(int(rng.integers(0, 7))):
        left, span = rng.uniform(-0.1, 1.0) * width, rng.uniform(0.06, 0.2) * width
        top = horizon - rng.uniform(0.05, 0.24) * camera.height_px
        draw.rectangle((left, top, left + span, horizon), fill=palette.pick("wall"))
        warm = rng.random() < 0.4 and palette.lamps_on
        window = palette.pick("window_warm" if warm else "window_cold", glow=warm)
        pitch = 0.05 * camera.height_px
        for row in np.arange(top + 0.4 * pitch, horizon - pitch, pitch):
            for column in np.arange(left + 0.4 * pitch, left + span - 0.6 * pitch, pitch):
                if rng.random() < 0.7:
                    draw.rectangle((column, row, column + 0.4 * pitch, row + 0.5 * pitch), fill=window)


def _ground(draw: ImageDraw.ImageDraw, camera: Camera, corners: list[tuple[float, float]], color: Color) -> None:
    """Fills a polygon on the ground, corners (right, depth) in metres."""
    points = np.array([(right, depth, 0.0) for right, depth in corners])
    draw.polygon(camera.project(points).ravel().tolist(), fill=color)


def _strip(
    draw: ImageDraw.ImageDraw,
    camera: Camera,
    street: Street,
    laterals: tuple[float, float],
    color: Color,
    depths: tuple[float, float] = (1.0, _FAR_M),
) -> None:
    near, far = depths
    _ground(
        draw,
        camera,
        [
            (street.right_m(laterals[0], near), near),
            (street.right_m(laterals[1], near), near),
            (street.right_m(laterals[1], far), far),
            (street.right_m(laterals[0], far), far),
        ],
        color,
    )


def _paint_road(
    draw: ImageDraw.ImageDraw, camera: Camera, street: Street, palette: Palette, rng: np.random.Generator
) -> None:
    asphalt, pavement, mark = palette.pick("asphalt"), palette.pick("pavement"), palette.pick("lane_mark")
    half, outer = street.half_width_m, street.half_width_m + street.pavement_m
    _strip(draw, camera, street, (-outer, outer), pavement)
    _strip(draw, camera, street, (-half - 0.15, half + 0.15), palette.shade(pavement, 0.8))
    if street.cross_m is not None:
        near, far = street.cross_m
        _ground(draw, camera, [(-80, near - 1.5), (80, near - 1.5), (80, far + 1.5), (-80, far + 1.5)], pavement)
        _ground(draw, camera, [(-80, near), (80, near), (80, far), (-80, far)], asphalt)
    _strip(draw, camera, street, (-half, half), asphalt)
    dash, start = float(rng.uniform(2.0, 4.0)), float(rng.uniform(1.0, 5.0))
    for depth in np.arange(start, 60.0, 2.2 * dash):
        _strip(draw, camera, street, (-0.08, 0.08), mark, (depth, depth + dash))
    if rng.random() < 0.6:
        for lateral in (-half + 0.3, half - 0.3):
            _strip(draw, camera, street, (lateral - 0.06, lateral + 0.06), mark)
    if street.zebra_m is not None:
        for lateral in np.arange(-half + 0.4, half - 0.4, 1.0):
            _strip(draw, camera, street, (lateral, lateral + 0.5), mark, (street.zebra_m, street.zebra_m + 2.5))
    _paint_patches(draw, camera, street, palette, rng)


def _paint_patches(
    draw: ImageDraw.ImageDraw, camera: Camera, street: Street, palette: Palette, rng: np.random.Generator
) -> None:
    """Paints up to three repaired patches and manhole covers; covers are hot."""
    half = street.half_width_m
    for _ in range(int(rng.integers(0, 4))):
        depth, lateral = float(rng.uniform(4.0, 16.0)), float(rng.uniform(-half, half - 1.2))
        size = float(rng.uniform(0.5, 1.0))
        if rng.random() < 0.5:
            angles = np.linspace(0.0, 2.0 * math.pi, 12, endpoint=False)
            ring = [
                (street.right_m(lateral, depth) + 0.5 * size * math.cos(a), depth + 0.5 * size * math.sin(a))
                for a in angles
            ]
            _ground(draw, camera, ring, palette.pick("hot_spot"))
        else:
            _strip(
                draw,
                camera,
                street,
                (lateral, lateral + 1.5 * size),
                palette.pick("asphalt"),
                (depth, depth + 3 * size),
            )


def _wall(
    draw: ImageDraw.ImageDraw,
    camera: Camera,
    street: Street,
    lateral: float,
    depths: tuple[float, float],
    heights: tuple[float, float],
    color: Color,
) -> None:
    """Fills an upright rectangle parallel to the road."""
    (near, far), (low, high) = depths, heights
    points = np.array(
        [(street.right_m(lateral, d), d, h) for d, h in ((near, low), (far, low), (far, high), (near, high))]
    )
    draw.polygon(camera.project(points).ravel().tolist(), fill=color)


def _paint_facades(
    draw: ImageDraw.ImageDraw,
    camera: Camera,
    street: Street,
    side: float,
    palette: Palette,
    rng: np.random.Generator,
) -> None:
    """Paints one to three houses along a side of the road, the far one first."""
    lateral = side * street.corridor_m
    ends = np.cumsum([float(rng.uniform(3.0, 9.0)), *rng.uniform(6.0, 14.0, size=int(rng.integers(1, 4)))])
    houses = list(zip(ends[:-1], ends[1:], strict=True))
    for near, far in reversed(houses):
        if street.cross_m is not None and near < street.cross_m[1] + 1.5 and far > street.cross_m[0] - 1.5:
            continue
        height = float(rng.uniform(4.0, 12.0))
        wall = palette.pick("wall")
        # The end wall faces the camera and closes the house.
        beyond = lateral + side * 8.0
        corners = np.array(
            [
                (street.right_m(x, near), near, h)
                for x, h in ((lateral, 0.0), (beyond, 0.0), (beyond, height), (lateral, height))
            ]
        )
        draw.polygon(camera.project(corners).ravel().tolist(), fill=palette.shade(wall, 0.8))
        _wall(draw, camera, street, lateral, (near, far), (0.0, height), wall)
        _wall(draw, camera, street, lateral, (near, far), (height - 0.4, height), palette.pick("roof"))
        _paint_windows(draw, camera, street, lateral, (near, far), height, palette, rng)


def _paint_windows(
    draw: ImageDraw.ImageDraw,
    camera: Camera,
    street: Street,
    lateral: float,
    depths: tuple[float, float],
    height: float,
    palette: Palette,
    rng: np.random.Generator,
) -> None:
    cold, warm = palette.pick("window_cold"), palette.pick("window_warm", glow=True)
    pitch = float(rng.uniform(1.8, 3.2))
    for low in np.arange(1.0, height - 1.8, 2.9):
        for near in np.arange(depths[0] + 0.5, depths[1] - 1.2, pitch):
            color = warm if rng.random() < 0.3 and palette.lamps_on else cold
            _wall(draw, camera, street, lateral, (near, near + 1.0), (low, low + 1.4), color)


def _paint_tree_row(
    draw: ImageDraw.ImageDraw,
    camera: Camera,
    street: Street,
    side: float,
    palette: Palette,
    rng: np.random.Generator,
) -> None:
    """Paints a hedge of overlapping crowns along a side of the road, the far ones first."""
    leaves = palette.pick("leaves")
    for depth in np.arange(44.0, 9.0, -2.4):
        lateral = side * (street.corridor_m + 1.5 + float(rng.uniform(0.0, 1.5)))
        up, radius = float(rng.uniform(1.0, 3.2)), float(rng.uniform(1.3, 2.2))
        ((x, y),) = camera.project(np.array([(street.right_m(lateral, depth), depth, up)]))
        r = radius * camera.px_per_m(depth)
        draw.ellipse(
            (x - r, y - 0.8 * r, x + r, y + r * up / radius),
            fill=palette.shade(leaves, float(rng.uniform(0.7, 1.2))),
        )


def _paint_shadows(draw: ImageDraw.ImageDraw, layout: Layout, palette: Palette, image: Image.Image) -> None:
    """Darkens the ground under and beside each thing; a thermal camera sees none."""
    if palette.shadow == 0.0:
        return
    camera = layout.camera
    mask = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(mask)
    reach = {
        "car": 2.3,
        "bicycle": 0.8,
        "rider": 0.6,
        "kiosk": 1.4,
        "container": 1.8,
        "tree": 1.6,
        "bush": 1.0,
    }
    angles = np.linspace(0.0, 2.0 * math.pi, 14, endpoint=False)
    for thing in layout.things:
        along = reach.get(thing.kind, 0.45)
        across = 1.1 if thing.kind == "car" else 0.5 * along
        ring = np.stack([along * np.cos(angles), across * np.sin(angles), np.zeros(14)], axis=1)
        pen.polygon(camera.project(thing.pose.to_world(ring)).ravel().tolist(), fill=round(255 * palette.shadow))
    image.paste((12, 14, 20), (0, 0, *image.size), mask)
