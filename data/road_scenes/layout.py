"""Layouts: where camera, street, objects and clutter of a scene are, in metres. Nothing is drawn here."""

import dataclasses
import math

import numpy as np

from data.road_scenes.canvas import Camera, Pose
from data.road_scenes.looks import LOOKS

OBJECT_KINDS = ("person", "bicycle", "car")
LOOKALIKES = ("bollard", "trunk", "kiosk", "hoops", "hydrant", "container", "sign_board", "fence")
SCENERY = ("tree", "lamp_post", "sign_post", "bush")

_NEGATIVE_SHARE = 0.05
_RIDDEN_SHARE = 0.45
_COUNT_WEIGHTS = (0.2, 0.26, 0.24, 0.18, 0.12)  # one object (a ridden bicycle counts once) to five
_KIND_WEIGHTS = (0.32, 0.28, 0.4)
# Height of each kind and the range of its height in the picture, as a fraction of the picture's height.
_HEIGHT_M = {"person": 1.72, "bicycle": 1.05, "car": 1.5}
_HEIGHT_RANGE = {"person": (0.22, 0.6), "bicycle": (0.14, 0.36), "car": (0.115, 0.3)}
_RADIUS_M = {"person": 0.35, "bicycle": 0.7, "car": 1.7}
_LOWEST_FOOT = 1.12  # as a fraction of the picture's height; objects nearer than this are not placed


@dataclasses.dataclass(frozen=True)
class Street:
    """A straight road on flat ground and what lines it. Lateral metres count from the road's middle line."""

    centre_m: float  # of the middle line, to the right of the camera
    slope: float  # metres to the right per metre of depth
    half_width_m: float
    pavement_m: float
    corridor_m: float  # lateral distance of facades or tree rows; objects stay inside
    sides: tuple[str, str]  # "buildings", "trees" or "open", left and right
    cross_m: tuple[float, float] | None  # depths of a crossing road
    zebra_m: float | None  # depth of a zebra crossing

    def right_m(self, lateral_m: float, depth_m: float) -> float:
        """Turns a lateral distance at a depth into metres to the right of the camera."""
        return self.centre_m + self.slope * depth_m + lateral_m

    def lateral_m(self, right_m: float, depth_m: float) -> float:
        """Inverts `right_m`."""
        return right_m - self.centre_m - self.slope * depth_m

    @property
    def heading(self) -> float:
        """Returns the heading of something that drives away along the road, radians."""
        return 0.5 * math.pi - math.atan(self.slope)


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something that stands on the ground; things of one group leave the scene together."""

    kind: str
    pose: Pose
    group: int
    size: float = 1.0  # stature in metres for a person, a factor for clutter, 1 for a running car


@dataclasses.dataclass(frozen=True)
class Layout:
    """A whole scene before it is drawn."""

    look: str
    camera: Camera
    street: Street
    things: tuple[Thing, ...]


def sample_layout(rng: np.random.Generator, height_px: int, width_px: int, supersample: int) -> Layout:
    """Draws a layout.

    Args:
        rng: the source of every draw.
        height_px: height of the finished picture.
        width_px: its width.
        supersample: drawn pixels per finished pixel and side.

    Returns:
        The layout; its `look` is drawn too and may be overruled by the caller.
    """
    look = LOOKS[int(rng.integers(len(LOOKS)))]
    height, width = height_px * supersample, width_px * supersample
    camera = Camera(
        width_px=width,
        height_px=height,
        focal_px=float(rng.uniform(1.15, 1.6)) * height,
        horizon_px=float(rng.uniform(0.28, 0.44)) * height,
        height_m=float(rng.uniform(1.5, 3.2)),
        supersample=supersample,
    )
    street = _sample_street(rng)
    things: list[Thing] = []
    if rng.random() >= _NEGATIVE_SHARE:
        count = 1 + int(rng.choice(len(_COUNT_WEIGHTS), p=_COUNT_WEIGHTS))
        for _ in range(count):
            _add_object(rng, camera, street, things)
    _add_clutter(rng, camera, street, things)
    return Layout(look, camera, street, tuple(things))


def _sample_street(rng: np.random.Generator) -> Street:
    half_width = float(rng.uniform(3.0, 6.0))
    pavement = float(rng.uniform(1.2, 3.5))
    left, right = (("buildings", "trees", "open")[int(rng.choice(3, p=(0.5, 0.3, 0.2)))] for _ in range(2))
    cross = None
    if rng.random() < 0.3:
        start = float(rng.uniform(9.0, 18.0))
        cross = (start, start + float(rng.uniform(5.0, 9.0)))
    return Street(
        centre_m=float(rng.uniform(-3.5, 3.5)),
        slope=float(rng.normal(0.0, 0.12)),
        half_width_m=half_width,
        pavement_m=pavement,
        corridor_m=half_width + pavement + float(rng.uniform(0.5, 5.0)),
        sides=(left, right),
        cross_m=cross,
        zebra_m=float(rng.uniform(6.0, 14.0)) if rng.random() < 0.25 else None,
    )


def _add_object(rng: np.random.Generator, camera: Camera, street: Street, things: list[Thing]) -> None:
    """Adds one object where there is room; gives up after some tries in a crowded scene."""
    kind = OBJECT_KINDS[int(rng.choice(len(OBJECT_KINDS), p=_KIND_WEIGHTS))]
    for _ in range(8):
        pose = _car_pose(rng, camera, street) if kind == "car" else _free_pose(rng, camera, kind)
        if _fits(pose, _RADIUS_M[kind], camera, street, things):
            break
    else:
        return
    group = len(things)
    if kind == "person":
        stature = rng.uniform(1.25, 1.5) if rng.random() < 0.1 else rng.uniform(1.58, 1.9)
        things.append(Thing(kind, pose, group, float(stature)))
    elif kind == "car":
        things.append(Thing(kind, pose, group, float(rng.random() < 0.7)))
    else:
        things.append(Thing(kind, pose, group))
        if rng.random() < _RIDDEN_SHARE:
            things.append(Thing("rider", pose, group))


def _sample_depth_m(rng: np.random.Generator, camera: Camera, kind: str) -> float:
    """Draws a depth so that the height in the picture is log-uniform in the kind's range."""
    low, high = _HEIGHT_RANGE[kind]
    lowest = (_LOWEST_FOOT - camera.horizon_px / camera.height_px) / camera.height_m * _HEIGHT_M[kind]
    high = max(min(high, lowest), low * 1.05)
    fraction = math.exp(rng.uniform(math.log(low), math.log(high)))
    return camera.focal_px * _HEIGHT_M[kind] / (fraction * camera.height_px)


def _screen_fraction(rng: np.random.Generator) -> float:
    if rng.random() < 0.12:  # across the left or right border
        return float(rng.choice((0.0, 1.0)) + rng.uniform(-0.03, 0.03))
    return float(rng.uniform(0.05, 0.95))


def _free_pose(rng: np.random.Generator, camera: Camera, kind: str) -> Pose:
    depth = _sample_depth_m(rng, camera, kind)
    right = camera.ground_x_m(_screen_fraction(rng), depth)
    heading = float(rng.uniform(0.0, 2.0 * math.pi))
    if kind == "bicycle":  # mostly from the side; end on it is a thin stroke
        heading = float(rng.choice((0.0, math.pi)) + rng.uniform(-1.05, 1.05))
    return Pose(right, depth, heading)


def _car_pose(rng: np.random.Generator, camera: Camera, street: Street) -> Pose:
    depth = _sample_depth_m(rng, camera, "car") + 1.2
    if rng.random() < 0.55:  # in a lane or parked at the kerb
        side = 1.0 if rng.random() < 0.5 else -1.0
        lateral = side * street.half_width_m * (0.5 if rng.random() < 0.65 else 0.85)
        heading = street.heading + (math.pi if side < 0 else 0.0) + float(rng.normal(0.0, 0.05))
        return Pose(street.right_m(lateral, depth), depth, heading)
    right = camera.ground_x_m(_screen_fraction(rng), depth)
    if rng.random() < 0.6:  # crossing
        heading = float(rng.choice((0.0, math.pi)) + rng.normal(0.0, 0.12))
    else:
        heading = float(rng.uniform(0.0, 2.0 * math.pi))
    return Pose(right, depth, heading)


def _fits(pose: Pose, radius_m: float, camera: Camera, street: Street, things: list[Thing]) -> bool:
    """Tells whether a footprint is in view, inside the corridor and clear of the others."""
    fraction = pose.right_m * camera.focal_px / pose.depth_m / camera.width_px + 0.5
    if not -0.05 <= fraction <= 1.05:
        return False
    if abs(street.lateral_m(pose.right_m, pose.depth_m)) > street.corridor_m - 0.4:
        return False
    for other in things:
        apart = math.hypot(pose.right_m - other.pose.right_m, pose.depth_m - other.pose.depth_m)
        if apart < radius_m + _RADIUS_M.get(other.kind, 0.4):
            return False
    return True


def _add_clutter(rng: np.random.Generator, camera: Camera, street: Street, things: list[Thing]) -> None:
    """Adds scenery along the road and things that resemble an object anywhere off the lanes."""
    for _ in range(int(rng.integers(2, 6))):
        kind = SCENERY[int(rng.integers(len(SCENERY)))]
        depth = float(rng.uniform(7.0, 34.0))
        side = 1.0 if rng.random() < 0.5 else -1.0
        lateral = side * (street.half_width_m + float(rng.uniform(0.3, street.pavement_m + 1.5)))
        _try_clutter(rng, kind, Pose(street.right_m(lateral, depth), depth, 0.0), things)
    for _ in range(int(rng.integers(1, 6))):
        kind = LOOKALIKES[int(rng.integers(len(LOOKALIKES)))]
        depth = float(rng.uniform(5.5, 20.0))
        right = camera.ground_x_m(float(rng.uniform(0.0, 1.0)), depth)
        aside = abs(street.lateral_m(right, depth))
        if aside < street.corridor_m and (aside > street.half_width_m - 0.3 or rng.random() < 0.25):
            _try_clutter(rng, kind, Pose(right, depth, float(rng.normal(0.0, 0.25))), things)


def _try_clutter(rng: np.random.Generator, kind: str, pose: Pose, things: list[Thing]) -> None:
    size = float(rng.uniform(0.8, 1.25))
    for other in things:
        apart = math.hypot(pose.right_m - other.pose.right_m, pose.depth_m - other.pose.depth_m)
        if apart < 0.5 + _RADIUS_M.get(other.kind, 0.4):
            return
    things.append(Thing(kind, pose, len(things), size))
