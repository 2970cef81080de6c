"""Camera and sprites: projects metres to pixels and paints polygons, tubes and discs into patches.

World coordinates are (right, depth, up) in metres from the point of the ground below the camera. Object
coordinates are (forward, left, up) from the object's ground contact; a heading of 0 looks to the right of the
picture, pi / 2 away. Pixels are supersampled: `Camera.supersample` of them, a side, make one finished pixel.
"""

import dataclasses
import math

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
NEAREST_DEPTH_M = 0.6  # points closer than this project as if they were here; keeps polygons finite


@dataclasses.dataclass(frozen=True)
class Camera:
    """Pinhole camera with upright verticals: the horizon is shifted, the camera is not tilted."""

    width_px: int
    height_px: int
    focal_px: float
    horizon_px: float
    height_m: float
    supersample: int

    def project(self, points: np.ndarray) -> np.ndarray:
        """Projects world points.

        Args:
            points: float64 [N, 3], world coordinates in metres.

        Returns:
            float64 [N, 2], x and y in supersampled pixels.
        """
        scale = self.focal_px / np.maximum(points[:, 1], NEAREST_DEPTH_M)
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = 0.5 * self.width_px + scale * points[:, 0]
        pixels[:, 1] = self.horizon_px + scale * (self.height_m - points[:, 2])
        return pixels

    def ground_x_m(self, screen_fraction: float, depth_m: float) -> float:
        """Returns the metres to the right that appear at a fraction of the image's width at a depth."""
        return (screen_fraction - 0.5) * self.width_px * depth_m / self.focal_px

    def px_per_m(self, depth_m: float) -> float:
        """Returns supersampled pixels per metre at a depth in metres."""
        return self.focal_px / max(depth_m, NEAREST_DEPTH_M)


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where an object stands on the ground and where it looks (radians)."""

    right_m: float
    depth_m: float
    heading: float

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Turns object coordinates float64 [N, 3] into world coordinates float64 [N, 3], both in metres."""
        cosine, sine = math.cos(self.heading), math.sin(self.heading)
        world = np.empty_like(points)
        world[:, 0] = self.right_m + cosine * points[:, 0] - sine * points[:, 1]
        world[:, 1] = self.depth_m + sine * points[:, 0] + cosine * points[:, 1]
        world[:, 2] = points[:, 2]
        return world


@dataclasses.dataclass(frozen=True)
class Patch:
    """A painted sprite: an RGBA image whose alpha is its mask, and where its top-left corner is."""

    image: Image.Image
    mask: np.ndarray  # bool [h, w]
    left_px: int
    top_px: int
    area_px: int  # painted pixels, those outside the image included

    def window(self, width_px: int, height_px: int) -> tuple[slice, slice, slice, slice]:
        """Returns the rows and columns inside an image of that size, in the image and in the patch."""
        height, width = self.mask.shape
        top, bottom = max(self.top_px, 0), min(self.top_px + height, height_px)
        left, right = max(self.left_px, 0), min(self.left_px + width, width_px)
        bottom, right = max(bottom, top), max(right, left)
        return (
            slice(top, bottom),
            slice(left, right),
            slice(top - self.top_px, bottom - self.top_px),
            slice(left - self.left_px, right - self.left_px),
        )


class Sprite:
    """A list of drawing operations in supersampled pixels, painted together into one patch."""

    def __init__(self) -> None:
        self._polygons: list[tuple[np.ndarray, Color, float]] = []

    def polygon(self, points: np.ndarray, color: Color) -> None:
        """Fills a polygon, float64 [N, 2] in pixels."""
        self._polygons.append((points, color, 0.0))

    def tube(self, points: np.ndarray, width_px: float, color: Color) -> None:
        """Strokes an open polyline, float64 [N, 2] in pixels, with a width of at least one pixel."""
        self._polygons.append((points, color, max(width_px, 1.0)))

    def limb(self, points: np.ndarray, width_px: float, color: Color) -> None:
        """Strokes a polyline with round ends and joints."""
        self.tube(points, width_px, color)
        if width_px >= 3.0:
            for point in points:
                self.disc(point, 0.5 * width_px, color)

    def disc(self, centre: np.ndarray, radius_px: float, color: Color, squash: float = 1.0) -> None:
        """Fills an ellipse with the given half width; `squash` is its height over its width."""
        self._polygons.append((centre + radius_px * _CIRCLE * (1.0, squash), color, 0.0))

    def rasterise(self, limit_px: int) -> Patch | None:
        """Paints everything recorded.

        Args:
            limit_px: a sprite that reaches further than this outside the origin is cut there.

        Returns:
            The patch, or None where nothing was painted.
        """
        if not self._polygons:
            return None
        points = np.concatenate([polygon[0] for polygon in self._polygons])
        margin = 2 + math.ceil(max(polygon[2] for polygon in self._polygons))
        low = np.maximum(np.floor(points.min(axis=0)) - margin, -limit_px).astype(int)
        high = np.minimum(np.ceil(points.max(axis=0)) + margin, 2 * limit_px).astype(int)
        if (high <= low).any():
            return None
        image = Image.new("RGBA", tuple((high - low).tolist()), (0, 0, 0, 0))
        draw = ImageDraw.Draw(image)
        for shape, color, width in self._polygons:
            flat = (shape - low).ravel().tolist()
            if width:
                draw.line(flat, fill=(*color, 255), width=round(width))
            else:
                draw.polygon(flat, fill=(*color, 255))
        box = image.getchannel("A").getbbox()
        if box is None:
            return None
        image = image.crop(box)
        mask = np.asarray(image.getchannel("A")) > 0
        return Patch(image, mask, int(low[0]) + box[0], int(low[1]) + box[1], int(mask.sum()))


def _unit_circle(points: int) -> np.ndarray:
    angles = 2.0 * math.pi * np.arange(points) / points
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


_CIRCLE = _unit_circle(16)
