"""Clutter: scenery and things that resemble a person, a bicycle or a car and are none."""

import math
from collections.abc import Callable

import numpy as np

from data.road_scenes.canvas import Camera, Color, Pose, Sprite
from data.road_scenes.looks import Palette


def draw_clutter(
    kind: str, camera: Camera, pose: Pose, palette: Palette, rng: np.random.Generator, size: float
) -> Sprite:
    """Draws one piece of clutter.

    Args:
        kind: one of `layout.SCENERY` or `layout.LOOKALIKES`.
        camera: the view.
        pose: where it stands.
        palette: the scene's colours.
        rng: draws its details.
        size: a factor on its usual measures.

    Returns:
        The sprite, unpainted.
    """
    pen = _Pen(camera, pose, palette, rng, size)
    _PAINTERS[kind](pen)
    return pen.sprite


class _Pen:
    """Draws upright flat shapes at one depth, in metres right of and above the ground contact."""

    def __init__(self, camera: Camera, pose: Pose, palette: Palette, rng: np.random.Generator, size: float) -> None:
        self.sprite = Sprite()
        self.palette, self.rng, self.size = palette, rng, size
        self._scale = size * camera.px_per_m(pose.depth_m)
        self._foot = camera.project(np.array([[pose.right_m, pose.depth_m, 0.0]]))[0]
        self._camera, self._pose = camera, pose

    def _at(self, points: list[tuple[float, float]]) -> np.ndarray:
        return self._foot + self._scale * np.array(points) * (1.0, -1.0)

    def shape(self, points: list[tuple[float, float]], color: Color) -> None:
        """Fills a polygon."""
        self.sprite.polygon(self._at(points), color)

    def rectangle(self, left: float, bottom: float, right: float, top: float, color: Color) -> None:
        """Fills an upright rectangle."""
        self.shape([(left, bottom), (right, bottom), (right, top), (left, top)], color)

    def stroke(self, points: list[tuple[float, float]], width: float, color: Color) -> None:
        """Strokes a polyline."""
        self.sprite.tube(self._at(points), width * self._scale, color)

    def blob(self, right: float, up: float, radius: float, color: Color, squash: float = 1.0) -> None:
        """Fills an ellipse."""
        self.sprite.disc(self._at([(right, up)])[0], radius * self._scale, color, squash)

    def solid(self, half: tuple[float, float], top: float, color: Color) -> None:
        """Draws a box standing on the ground: the faces that look at the camera."""
        cosine, sine = math.cos(self._pose.heading), math.sin(self._pose.heading)
        x, y = self.size * half[0], self.size * half[1]
        top *= self.size
        corners = np.array([(a, b, h) for h in (0.0, top) for a, b in ((-x, -y), (x, -y), (x, y), (-x, y))])
        pixels = self._camera.project(self._pose.to_world(corners))
        eye_side = -cosine * self._pose.right_m - sine * self._pose.depth_m
        if eye_side > x:
            self.sprite.polygon(pixels[[1, 2, 6, 5]], self.palette.shade(color, 0.72))
        elif eye_side < -x:
            self.sprite.polygon(pixels[[0, 3, 7, 4]], self.palette.shade(color, 0.78))
        self.sprite.polygon(pixels[[0, 1, 5, 4]], color)
        if self._camera.height_m > top:
            self.sprite.polygon(pixels[4:], self.palette.shade(color, 1.15))

    def panel(
        self, half: tuple[float, float], span: tuple[float, float], rise: tuple[float, float], color: Color
    ) -> None:
        """Fills a rectangle on the front face of a `solid` with the same half measures."""
        points = [
            (a * half[0], -half[1] - 0.01, z)
            for a, z in ((span[0], rise[0]), (span[1], rise[0]), (span[1], rise[1]), (span[0], rise[1]))
        ]
        self.sprite.polygon(self._camera.project(self._pose.to_world(self.size * np.array(points))), color)


def _tree(pen: _Pen) -> None:
    bark, leaves = pen.palette.pick("bark"), pen.palette.pick("leaves")
    top = pen.rng.uniform(2.4, 3.6)
    pen.shape([(-0.17, 0.0), (0.17, 0.0), (0.09, top), (-0.09, top)], bark)
    crown = pen.rng.uniform(1.0, 1.7)
    for _ in range(9):
        angle, far = pen.rng.uniform(0.0, 2.0 * math.pi), pen.rng.uniform(0.2, 0.8) * crown
        shade = 1.0 + 0.2 * math.sin(angle) + pen.rng.uniform(-0.1, 0.1)
        pen.blob(
            far * math.cos(angle),
            top + 0.9 + 0.9 * far * math.sin(angle),
            pen.rng.uniform(0.45, 0.7) * crown,
            pen.palette.shade(leaves, shade),
            0.85,
        )


def _bush(pen: _Pen) -> None:
    leaves = pen.palette.pick("leaves")
    width = pen.rng.uniform(0.4, 1.3)
    for _ in range(7):
        right, up = pen.rng.uniform(-width, width), pen.rng.uniform(0.25, 0.7)
        pen.blob(right, up, pen.rng.uniform(0.3, 0.45), pen.palette.shade(leaves, 0.75 + 0.5 * up), 0.85)
    pen.blob(0.0, 0.3, 0.9 * width, pen.palette.shade(leaves, 0.85), 0.3 / (0.9 * width))


def _lamp_post(pen: _Pen) -> None:
    metal = pen.palette.pick("metal")
    arm = pen.rng.choice((-1.0, 1.0)) * pen.rng.uniform(0.6, 1.4)
    pen.rectangle(-0.14, 0.0, 0.14, 0.9, pen.palette.shade(metal, 0.9))
    pen.stroke([(0.0, 0.8), (0.0, 5.2), (arm, 5.5)], 0.13, metal)
    pen.blob(arm, 5.45, 0.3, pen.palette.pick("lamp", glow=True) if pen.palette.lamps_on else metal, 0.5)


def _sign_post(pen: _Pen) -> None:
    pen.stroke([(0.0, 0.0), (0.0, 2.5)], 0.08, pen.palette.pick("metal"))
    sign, inner = pen.palette.pick("sign"), pen.palette.pick("plate")
    form = pen.rng.integers(3)
    if form == 0:
        pen.blob(0.0, 2.4, 0.36, sign)
        pen.blob(0.0, 2.4, 0.22, inner)
    elif form == 1:
        pen.shape([(-0.42, 2.05), (0.42, 2.05), (0.0, 2.8)], sign)
        pen.shape([(-0.22, 2.15), (0.22, 2.15), (0.0, 2.55)], inner)
    else:
        pen.rectangle(-0.32, 1.9, 0.32, 2.7, sign)


def _bollard(pen: _Pen) -> None:
    """A post of about a person's size, sometimes warm, sometimes with a round head."""
    color = pen.palette.pick("hot_spot" if pen.rng.random() < 0.3 else "metal")
    top, half = pen.rng.uniform(1.0, 1.7), pen.rng.uniform(0.1, 0.2)
    pen.rectangle(-half, 0.0, half, top, color)
    pen.rectangle(-half, 0.75 * top, half, 0.88 * top, pen.palette.pick("lane_mark"))
    if pen.rng.random() < 0.5:
        pen.blob(0.0, top, 1.15 * half, color)


def _trunk(pen: _Pen) -> None:
    """A pollarded tree: two limbs on a trunk."""
    bark = pen.palette.pick("bark")
    top, lean = pen.rng.uniform(1.0, 1.5), pen.rng.uniform(-0.1, 0.1)
    pen.shape([(-0.2, 0.0), (0.2, 0.0), (0.12 + lean, top), (-0.12 + lean, top)], bark)
    pen.stroke([(lean, top - 0.1), (lean - 0.35, top + 0.7)], 0.13, bark)
    pen.stroke([(lean, top - 0.1), (lean + 0.3, top + 0.8)], 0.12, pen.palette.shade(bark, 0.85))
    if pen.rng.random() < 0.6:
        leaves = pen.palette.pick("leaves")
        for right in (-0.35, 0.3, 0.0):
            pen.blob(lean + right, top + 0.8 + abs(right), pen.rng.uniform(0.22, 0.4), leaves)


def _hydrant(pen: _Pen) -> None:
    """A hydrant or litter bin: a waist-high cylinder with a cap."""
    color = pen.palette.pick("hot_spot" if pen.rng.random() < 0.2 else "sign")
    half = pen.rng.uniform(0.18, 0.3)
    pen.rectangle(-half, 0.0, half, 0.85, color)
    pen.blob(0.0, 0.85, half, pen.palette.shade(color, 1.1), 0.6)
    pen.rectangle(-1.4 * half, 0.5, 1.4 * half, 0.62, pen.palette.shade(color, 0.8))


def _kiosk(pen: _Pen) -> None:
    """A box with a window band: a kiosk, a ticket machine or a bus shelter."""
    half = (pen.rng.uniform(0.7, 1.5), pen.rng.uniform(0.5, 0.9))
    top = pen.rng.uniform(1.7, 2.4)
    pen.solid(half, top, pen.palette.pick("box"))
    warm = pen.rng.random() < 0.5 and pen.palette.lamps_on
    glass = pen.palette.pick("window_warm" if warm else "glass", glow=warm)
    pen.panel(half, (-0.8, 0.8), (0.45 * top, 0.85 * top), glass)


def _container(pen: _Pen) -> None:
    """A skip or container: about a car's outline, ribbed, without wheels and windows."""
    half = (pen.rng.uniform(0.9, 2.0), pen.rng.uniform(0.6, 0.9))
    top = pen.rng.uniform(1.0, 1.5)
    color = pen.palette.pick("box")
    pen.solid(half, top, color)
    for rib in np.linspace(-0.85, 0.85, 6):
        pen.panel(half, (rib - 0.04, rib + 0.04), (0.1, top - 0.08), pen.palette.shade(color, 0.75))


def _hoops(pen: _Pen) -> None:
    """Bicycle stands: two to four hoops in a row, the size of wheels."""
    metal = pen.palette.pick("metal")
    angles = np.linspace(0.0, math.pi, 9)
    for number in range(int(pen.rng.integers(2, 5))):
        arch = [(0.8 * number + 0.32 * math.cos(a), 0.45 + 0.32 * math.sin(a)) for a in angles]
        foot = 0.8 * number
        pen.stroke([(foot + 0.32, 0.0), *arch, (foot - 0.32, 0.0)], 0.07, metal)


def _sign_board(pen: _Pen) -> None:
    """An advertising board: the shape of a standing person's box."""
    pen.rectangle(-0.34, 0.0, 0.34, 1.5, pen.palette.pick("metal"))
    pen.rectangle(-0.26, 0.35, 0.26, 1.4, pen.palette.pick("sign"))
    pen.rectangle(-0.18, 0.7, 0.18, 1.1, pen.palette.pick("box"))


def _fence(pen: _Pen) -> None:
    """A railing with round arches."""
    metal = pen.palette.pick("metal")
    length = pen.rng.uniform(1.2, 2.6)
    pen.stroke([(-length, 0.95), (length, 0.95)], 0.07, metal)
    pen.stroke([(-length, 0.15), (length, 0.15)], 0.06, metal)
    for right in np.arange(-length, length + 0.01, 0.3):
        pen.stroke([(right, 0.0), (right, 0.95)], 0.05, metal)


_PAINTERS: dict[str, Callable[[_Pen], None]] = {
    "tree": _tree,
    "bush": _bush,
    "lamp_post": _lamp_post,
    "sign_post": _sign_post,
    "bollard": _bollard,
    "trunk": _trunk,
    "hydrant": _hydrant,
    "kiosk": _kiosk,
    "container": _container,
    "hoops": _hoops,
    "sign_board": _sign_board,
    "fence": _fence,
}
