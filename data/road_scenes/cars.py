"""Cars as small solids: an extruded body, a tapered cabin with glass, wheels, lights and a number plate."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from data.road_scenes.canvas import Camera, Color, Pose, Sprite
from data.road_scenes.looks import Palette

Corner = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class CarShape:
    """Measures of a car in metres; the cabin's ends are given along the length, front positive."""

    length: float
    width: float
    height: float
    belt: float  # height of the window line
    hood: float  # height of the body's front edge
    cabin_bottom: tuple[float, float]  # rear, front at the belt
    cabin_top: tuple[float, float]  # rear, front at the roof


_SHAPES = (
    CarShape(3.9, 1.72, 1.48, 0.92, 0.82, (-1.85, 1.0), (-1.45, 0.3)),  # hatchback
    CarShape(4.5, 1.8, 1.43, 0.9, 0.78, (-1.6, 1.05), (-1.0, 0.25)),  # saloon
    CarShape(4.4, 1.86, 1.7, 1.02, 0.98, (-2.1, 1.05), (-1.85, 0.4)),  # sport utility
    CarShape(4.6, 1.82, 1.47, 0.9, 0.78, (-2.2, 1.05), (-1.95, 0.3)),  # estate
    CarShape(4.7, 1.92, 1.95, 1.1, 0.98, (-2.3, 1.75), (-2.25, 1.05)),  # van
)
_GROUND_CLEARANCE_M = 0.28
_WHEEL_RADIUS_M = 0.34
_CIRCLE = 2.0 * math.pi * np.arange(14) / 14


def draw_car(camera: Camera, pose: Pose, palette: Palette, rng: np.random.Generator, running: bool) -> Sprite:
    """Draws a car.

    Args:
        camera: the view.
        pose: the middle of its ground contact and its heading.
        palette: the scene's colours.
        rng: draws the kind of car and its colours.
        running: a running car has hot tyres, a hot engine and lights.

    Returns:
        The sprite, unpainted.
    """
    shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
    painter = _CarPainter(camera, pose, palette, shape, running)
    painter.draw_underbody()
    painter.draw_body()
    painter.draw_wheels()
    painter.draw_ends()
    painter.draw_cabin()
    return painter.sprite


class _CarPainter:
    """Paints the faces that look at the camera, bottom to top."""

    def __init__(self, camera: Camera, pose: Pose, palette: Palette, shape: CarShape, running: bool) -> None:
        self.sprite = Sprite()
        self._camera, self._pose, self._palette = camera, pose, palette
        self._shape, self._running = shape, running
        self._paint = palette.pick("car_body")
        self._glass = palette.pick("glass")
        self._tyre = palette.pick("tyre_hot" if running else "tyre_cold")
        self._rim = palette.pick("rim")
        # The camera's place seen from the car decides which faces show.
        cosine, sine = math.cos(pose.heading), math.sin(pose.heading)
        self._eye = np.array(
            [
                -cosine * pose.right_m - sine * pose.depth_m,
                sine * pose.right_m - cosine * pose.depth_m,
                camera.height_m,
            ]
        )
        self._near_side = 1.0 if self._eye[1] > 0 else -1.0
        self._near_end = 1.0 if self._eye[0] > 0 else -1.0
        self._end_visible = abs(self._eye[0]) > 0.5 * shape.length
        self._side_visible = abs(self._eye[1]) > 0.5 * shape.width

    def _face(self, points: list[Corner], color: Color, shade: float = 1.0) -> None:
        world = self._pose.to_world(np.array(points))
        self.sprite.polygon(self._camera.project(world), self._palette.shade(color, shade))

    def _across(self, low: Corner, high: Corner, color: Color, shade: float = 1.0) -> None:
        """Fills the face between two edges that run across the car; corners are given for its left side."""
        (x_low, y_low, z_low), (x_high, y_high, z_high) = low, high
        corners = [(x_low, -y_low, z_low), low, high, (x_high, -y_high, z_high)]
        self._face(corners, color, shade)

    def _side_panel(self, corners: list[Corner], color: Color, shade: float = 1.0) -> None:
        """Fills a face on the near side; corners are given for the left side."""
        self._face([(x, self._near_side * y, z) for x, y, z in corners], color, shade)

    def draw_underbody(self) -> None:
        """Draws the dark space between the wheels and the tyres as seen from the end."""
        half_length, half_width = 0.5 * self._shape.length - 0.25, 0.5 * self._shape.width - 0.05
        dark = self._palette.pick("underbody")
        near = self._near_side * (half_width - 0.1)
        if self._side_visible:
            self._face(
                [
                    (-half_length, near, 0.12),
                    (half_length, near, 0.12),
                    (half_length, near, 0.4),
                    (-half_length, near, 0.4),
                ],
                dark,
                0.8,
            )
        if self._end_visible:
            end = self._near_end * half_length
            self._face([(end, -near, 0.14), (end, near, 0.14), (end, near, 0.4), (end, -near, 0.4)], dark, 0.7)
            for side in (-1.0, 1.0):
                outer, inner = side * (half_width + 0.02), side * (half_width - 0.22)
                self._face([(end, outer, 0.0), (end, inner, 0.0), (end, inner, 0.45), (end, outer, 0.45)], self._tyre)

    def draw_body(self) -> None:
        """Draws the lower body: what of its top the cabin leaves open, the near side and the near end."""
        shape, low = self._shape, _GROUND_CLEARANCE_M
        front, rear, half = 0.5 * shape.length, -0.5 * shape.length, 0.5 * shape.width
        hot = self._palette.thermal and self._running
        hood = self._palette.pick("hood_hot") if hot else self._paint
        self._across((rear, half, shape.belt), (0.9, half, shape.belt), self._paint, 1.1)
        self._across((0.8, half, shape.belt), (front, half - 0.1, shape.hood), hood, 1.14)
        if self._side_visible:
            y = self._near_side * half
            outline = [(rear, low + 0.12), (rear + 0.15, low), (front - 0.15, low), (front, low + 0.12)]
            outline += [
                (front, shape.hood - 0.06),
                (front - 0.5, shape.hood),
                (0.9, shape.belt),
                (rear, shape.belt),
            ]
            self._face([(x, y, z) for x, z in outline], self._paint, 0.82)
        if self._end_visible:
            x, top = (front, shape.hood) if self._near_end > 0 else (rear, shape.belt)
            self._across((x, half, low), (x, half, top), self._paint, 0.96)

    def draw_wheels(self) -> None:
        """Draws the two wheels of the near side."""
        if not self._side_visible:
            return
        y = self._near_side * (0.5 * self._shape.width + 0.01)
        for x in (-0.31 * self._shape.length, 0.31 * self._shape.length):
            for radius, color in (
                (_WHEEL_RADIUS_M + 0.06, self._palette.shade(self._paint, 0.5)),
                (_WHEEL_RADIUS_M, self._tyre),
                (0.55 * _WHEEL_RADIUS_M, self._rim),
            ):
                ring = np.stack(
                    [
                        x + radius * np.cos(_CIRCLE),
                        np.full(14, y),
                        np.maximum(_WHEEL_RADIUS_M + radius * np.sin(_CIRCLE), 0),
                    ],
                    1,
                )
                self.sprite.polygon(self._camera.project(self._pose.to_world(ring)), color)

    def draw_ends(self) -> None:
        """Draws lights, grille or bumper, and the plate of the end that shows."""
        if not self._end_visible:
            return
        shape, half = self._shape, 0.5 * self._shape.width
        is_front = self._near_end > 0
        x = self._near_end * (0.5 * shape.length + 0.01)
        top = (shape.hood if is_front else shape.belt) - 0.08
        lit = self._running and self._palette.lamps_on
        color = (
            self._palette.pick("lamp", glow=True)
            if lit and is_front
            else (self._palette.pick("head_light" if is_front else "tail_light", glow=lit))
        )
        for side in (-1.0, 1.0):
            a, b = side * (half - 0.06), side * (half - 0.48)
            self._face([(x, a, top), (x, b, top), (x, b, top - 0.18), (x, a, top - 0.18)], color)
        if is_front:
            grille = self._palette.pick("grille" if self._running else "underbody")
            self._face(
                [
                    (x, -half + 0.5, top - 0.04),
                    (x, half - 0.5, top - 0.04),
                    (x, half - 0.56, top - 0.24),
                    (x, -half + 0.56, top - 0.24),
                ],
                grille,
            )
        self._face([(x, -half, 0.3), (x, half, 0.3), (x, half, 0.42), (x, -half, 0.42)], self._paint, 0.6)
        self._face([(x, -0.27, 0.4), (x, 0.27, 0.4), (x, 0.27, 0.53), (x, -0.27, 0.53)], self._palette.pick("plate"))

    def draw_cabin(self) -> None:
        """Draws the cabin's near end, near side and roof, with glass set into them."""
        shape, half = self._shape, 0.5 * self._shape.width - 0.04
        half_top = half - 0.16
        rear = _between((shape.cabin_bottom[0], half, shape.belt), (shape.cabin_top[0], half_top, shape.height))
        front = _between((shape.cabin_bottom[1], half, shape.belt), (shape.cabin_top[1], half_top, shape.height))
        if self._end_visible:
            edge = front if self._near_end > 0 else rear
            self._across(edge(0.0), edge(1.0), self._paint)
            (x_low, y_low, z_low), (x_high, y_high, z_high) = edge(0.1), edge(0.88)
            self._across((x_low, y_low - 0.09, z_low), (x_high, y_high - 0.09, z_high), self._glass, 1.15)
        if self._side_visible:
            self._side_panel([rear(0.0), front(0.0), front(1.0), rear(1.0)], self._paint, 0.86)
            low, high = _between(rear(0.08), front(0.08)), _between(rear(0.86), front(0.86))
            for start, stop in ((0.07, 0.48), (0.53, 0.93)):
                self._side_panel([low(start), low(stop), high(stop), high(start)], self._glass)
        if self._camera.height_m > shape.height:
            self._across(rear(1.0), front(1.0), self._paint, 1.12)


def _between(start: Corner, stop: Corner) -> Callable[[float], Corner]:
    """Returns the points on the line from `start` (0) to `stop` (1)."""

    def at(fraction: float) -> Corner:
        x, y, z = (a + fraction * (b - a) for a, b in zip(start, stop, strict=True))
        return x, y, z

    return at
