"""Figures: persons and bicycles as jointed tubes, standing, walking, riding or parked, seen from any side."""

import math

import numpy as np

from data.road_scenes.canvas import Camera, Color, Pose, Sprite
from data.road_scenes.looks import Palette

# Joints of a figure 1.75 m tall, each (forward, left, up) in metres.
_STATURE_M = 1.75
_WHEEL_RADIUS_M = 0.34
_AXLES_M = (-0.52, 0.54)
_CIRCLE = 2.0 * math.pi * np.arange(19) / 18

Joints = dict[str, tuple[float, float, float]]


def draw_person(camera: Camera, pose: Pose, palette: Palette, rng: np.random.Generator, stature_m: float) -> Sprite:
    """Draws a pedestrian, walking two times in three, else standing.

    Args:
        camera: the view.
        pose: ground contact and heading.
        palette: the scene's colours.
        rng: draws the gait and the clothes.
        stature_m: height in metres.

    Returns:
        The sprite, unpainted.
    """
    joints = _walking(rng) if rng.random() < 0.66 else _standing(rng)
    skirt = rng.random() < 0.15
    return _Figure(camera, pose, palette, rng).paint(joints, stature_m / _STATURE_M, skirt)


def draw_rider(camera: Camera, pose: Pose, palette: Palette, rng: np.random.Generator) -> Sprite:
    """Draws a person seated on a bicycle that stands at the same pose."""
    joints = _riding(float(rng.uniform(0.0, math.pi)))
    return _Figure(camera, pose, palette, rng).paint(joints, size=1.0, skirt=False)


def draw_bicycle(camera: Camera, pose: Pose, palette: Palette, rng: np.random.Generator) -> Sprite:
    """Draws a bicycle: two wheels, frame, fork, handlebar and saddle."""
    frame, tyre, saddle = palette.pick("bike_frame"), palette.pick("bike_tyre"), palette.pick("bike_tyre")
    warm = rng.random() < 0.4  # ridden or in the sun: brighter than the road to a thermal camera
    if warm and palette.thermal:
        frame, tyre = palette.pick("head_light"), palette.pick("head_light")
    sprite = Sprite()
    px = camera.px_per_m(pose.depth_m)

    def line(points: list[tuple[float, float, float]], width_m: float, color: Color) -> None:
        sprite.tube(camera.project(pose.to_world(np.array(points))), width_m * px, color)

    for axle in _AXLES_M:
        ring = np.stack(
            [axle + 0.31 * np.cos(_CIRCLE), np.zeros_like(_CIRCLE), _WHEEL_RADIUS_M + 0.31 * np.sin(_CIRCLE)],
            axis=1,
        )
        sprite.tube(camera.project(pose.to_world(ring)), 0.075 * px, tyre)
        line([(axle - 0.04, 0, _WHEEL_RADIUS_M), (axle + 0.04, 0, _WHEEL_RADIUS_M)], 0.08, frame)
    bottom, seat, head = (-0.06, 0.0, 0.3), (-0.22, 0.0, 0.84), (0.36, 0.0, 0.86)
    rear, front = (_AXLES_M[0], 0.0, _WHEEL_RADIUS_M), (_AXLES_M[1], 0.0, _WHEEL_RADIUS_M)
    line([rear, bottom, (0.38, 0.0, 0.72)], 0.06, frame)
    line([rear, (-0.19, 0.0, 0.76), head], 0.055, frame)
    line([bottom, seat, (-0.24, 0.0, 0.95)], 0.055, frame)
    line([front, head, (0.33, 0.0, 1.02)], 0.055, frame)
    line([(-0.4, 0.0, 0.97), (-0.1, 0.0, 0.95)], 0.09, saddle)
    line([(-0.24, 0.09, 0.96), (-0.24, -0.09, 0.96)], 0.08, saddle)
    line([(0.3, -0.29, 1.05), (0.36, -0.06, 1.03), (0.36, 0.06, 1.03), (0.3, 0.29, 1.05)], 0.055, saddle)
    return sprite


def _leg(side: float, hip: float, knee_bend: float) -> Joints:
    """Places knee, ankle and toe below a hip at 0.95 m; angles in radians, forward positive."""
    name = "l" if side > 0 else "r"
    knee = (0.46 * math.sin(hip), 0.1 * side, 0.95 - 0.46 * math.cos(hip))
    shin = hip - knee_bend
    ankle = (knee[0] + 0.44 * math.sin(shin), 0.1 * side, knee[2] - 0.44 * math.cos(shin))
    return {
        f"hip_{name}": (0.0, 0.1 * side, 0.95),
        f"knee_{name}": knee,
        f"ankle_{name}": ankle,
        f"toe_{name}": (ankle[0] + 0.15, 0.12 * side, ankle[2] - 0.02),
    }


def _arm(side: float, swing: float, bend: float, spread: float) -> Joints:
    name = "l" if side > 0 else "r"
    elbow = (0.3 * math.sin(swing), (0.21 + 0.3 * spread) * side, 1.43 - 0.3 * math.cos(swing))
    lower = swing + bend
    hand = (elbow[0] + 0.28 * math.sin(lower), elbow[1] + 0.05 * side, elbow[2] - 0.28 * math.cos(lower))
    return {f"shoulder_{name}": (0.0, 0.19 * side, 1.43), f"elbow_{name}": elbow, f"hand_{name}": hand}


def _trunk(lean: float = 0.0) -> Joints:
    return {"pelvis": (0.0, 0.0, 0.95), "neck": (lean, 0.0, 1.46), "head": (lean + 0.03, 0.0, 1.63)}


def _walking(rng: np.random.Generator) -> Joints:
    stride, phase = rng.uniform(0.3, 0.62), rng.choice((-1.0, 1.0))
    joints = _trunk(0.03)
    for side in (-1.0, 1.0):
        ahead = side * phase > 0
        joints |= _leg(side, stride if ahead else -0.75 * stride, 0.1 if ahead else rng.uniform(0.15, 0.6))
        joints |= _arm(side, (-0.9 if ahead else 0.8) * stride, rng.uniform(0.15, 0.7), 0.12)
    return joints


def _standing(rng: np.random.Generator) -> Joints:
    joints = _trunk()
    for side in (-1.0, 1.0):
        joints |= _leg(side, rng.uniform(-0.1, 0.1), 0.04)
        raised = rng.random() < 0.25
        joints |= _arm(side, 0.25 if raised else 0.05, rng.uniform(1.6, 2.4) if raised else 0.15, rng.uniform(0.1, 0.4))
    return joints


def _riding(crank: float) -> Joints:
    joints: Joints = {"pelvis": (-0.24, 0.0, 1.02), "neck": (0.04, 0.0, 1.46), "head": (0.13, 0.0, 1.63)}
    for side in (-1.0, 1.0):
        name, turn = ("l", crank) if side > 0 else ("r", crank + math.pi)
        foot = (-0.06 + 0.17 * math.cos(turn), 0.12 * side, 0.32 + 0.17 * math.sin(turn))
        knee = (0.5 * (foot[0] - 0.24) + 0.3, 0.13 * side, 0.5 * (foot[2] + 1.02) + 0.1)
        joints |= {
            f"hip_{name}": (-0.24, 0.1 * side, 1.0),
            f"knee_{name}": knee,
            f"ankle_{name}": foot,
            f"toe_{name}": (foot[0] + 0.15, foot[1], foot[2] - 0.03),
            f"shoulder_{name}": (0.02, 0.19 * side, 1.42),
            f"elbow_{name}": (0.18, 0.27 * side, 1.2),
            f"hand_{name}": (0.32, 0.27 * side, 1.08),
        }
    return joints


class _Figure:
    """Paints a jointed figure, the limbs on the far side of the trunk first."""

    def __init__(self, camera: Camera, pose: Pose, palette: Palette, rng: np.random.Generator) -> None:
        self.sprite = Sprite()
        self._camera, self._pose, self._palette = camera, pose, palette
        self._forward, self._away = math.cos(pose.heading), math.sin(pose.heading)
        self._shirt, self._trousers = palette.pick("shirt"), palette.pick("trousers")
        self._skin, self._hair, self._shoe = palette.pick("skin"), palette.pick("hair"), palette.pick("shoe")
        self._bag = palette.pick("bag") if rng.random() < 0.2 else None
        self._sleeve = self._skin if rng.random() < 0.4 else palette.shade(self._shirt, 0.88)
        self._points: dict[str, np.ndarray] = {}
        self._px_per_m = 0.0

    def paint(self, joints: Joints, size: float, skirt: bool) -> Sprite:
        """Paints the joints, scaled by `size`, and returns the sprite."""
        names = list(joints)
        world = self._pose.to_world(size * np.array([joints[name] for name in names]))
        self._points = dict(zip(names, self._camera.project(world), strict=True))
        self._px_per_m = size * self._camera.px_per_m(self._pose.depth_m)
        # Seen from the camera, the figure's left is far when it faces to the right.
        far, near = ("l", "r") if self._forward > 0 else ("r", "l")
        self._arm(far, 0.75)
        self._leg(far, 0.78, skirt)
        self._leg(near, 1.0, skirt)
        self._trunk(skirt)
        self._head()
        self._arm(near, 1.0)
        return self.sprite

    def _chain(self, names: tuple[str, ...], width_m: float, color: Color) -> None:
        points = np.array([self._points[name] for name in names])
        self.sprite.limb(points, width_m * self._px_per_m, color)

    def _arm(self, side: str, shade: float) -> None:
        self._chain((f"shoulder_{side}", f"elbow_{side}"), 0.115, self._palette.shade(self._shirt, shade))
        self._chain((f"elbow_{side}", f"hand_{side}"), 0.095, self._palette.shade(self._sleeve, shade))
        self.sprite.disc(self._points[f"hand_{side}"], 0.06 * self._px_per_m, self._skin)

    def _leg(self, side: str, shade: float, bare: bool) -> None:
        color = self._palette.shade(self._skin if bare else self._trousers, shade)
        self._chain((f"ankle_{side}", f"toe_{side}"), 0.09, self._shoe)
        self._chain((f"knee_{side}", f"ankle_{side}"), 0.12, color)
        self._chain((f"hip_{side}", f"knee_{side}"), 0.16, color)

    def _trunk(self, skirt: bool) -> None:
        px, points = self._px_per_m, self._points
        if self._bag is not None:  # on the back
            back = 0.35 * points["pelvis"] + 0.65 * points["neck"] - (0.16 * px * self._forward, 0.0)
            self.sprite.disc(back, 0.19 * px, self._bag, 1.3)
        if skirt:
            knees = np.array(sorted((points["knee_l"], points["knee_r"]), key=lambda point: point[0]))
            hem = knees + np.array([[-0.1 * px, 0.0], [0.1 * px, 0.0]])
            waist = points["pelvis"] + np.array([[0.13 * px, -0.1 * px], [-0.13 * px, -0.1 * px]])
            self.sprite.polygon(np.concatenate([hem, waist]), self._trousers)
        self._chain(("shoulder_l", "shoulder_r"), 0.15, self._shirt)
        corners = [points[name] for name in ("shoulder_l", "shoulder_r", "hip_r", "hip_l")]
        self.sprite.polygon(np.array(corners), self._shirt)
        self._chain(("neck", "pelvis"), 0.25, self._shirt)
        self.sprite.disc(points["pelvis"], 0.14 * px, self._trousers)

    def _head(self) -> None:
        px, head = self._px_per_m, self._points["head"]
        self._chain(("neck", "head"), 0.1, self._skin)
        self.sprite.disc(head, 0.12 * px, self._hair, 1.15)
        if self._away < 0.5:  # the face shows unless it looks away
            self.sprite.disc(head + (0.045 * px * self._forward, 0.035 * px), 0.095 * px, self._skin, 1.15)
