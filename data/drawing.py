"""Boxes, labels and regions drawn on pictures; what every picture of this project shares."""

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Distinct on grey thermal and on coloured images; a class keeps its colour from picture to picture.
COLOURS = ("#ff5c5c", "#4fd1ff", "#ffd23f", "#7cf07c", "#ff8de1", "#b79cff", "#ffa94d", "#5cffd1")
IGNORED_COLOUR = "#b8b8b8"

_HATCH_EVERY_PX = 7

Corners = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax in px


def decode(encoded: bytes) -> Image.Image:
    """Decodes 8-bit JPEG or PNG bytes to an RGB picture, without TensorFlow."""
    return Image.open(io.BytesIO(encoded)).convert("RGB")


def colour(label: int) -> str:
    """Returns the colour of a class, as "#rrggbb"."""
    return COLOURS[label % len(COLOURS)]


def corners_px(box: np.ndarray, size_px: tuple[int, int]) -> Corners:
    """Finds a box's corners in a picture.

    Args:
        box: float [4] normalised ymin, xmin, ymax, xmax.
        size_px: width, height of the picture.

    Returns:
        xmin, ymin, xmax, ymax in px, inside the picture and at least a pixel wide.
    """
    width, height = size_px
    ymin, xmin, ymax, xmax = (float(side) for side in np.clip(box, 0, 1))
    left, top = min(xmin * width, width - 2), min(ymin * height, height - 2)
    right, bottom = min(xmax * width, width - 1), min(ymax * height, height - 1)
    return left, top, max(left + 1, right), max(top + 1, bottom)


def draw_dashed(canvas: ImageDraw.ImageDraw, corners: Corners, line_px: int, fill: str) -> None:
    """Draws a dashed rectangle."""
    left, top, right, bottom = corners
    for start, end in (
        ((left, top), (right, top)),
        ((left, bottom), (right, bottom)),
        ((left, top), (left, bottom)),
        ((right, top), (right, bottom)),
    ):
        length = math.dist(start, end)
        dash = min(4.0 * line_px, length / 3)
        for step in np.arange(0, length, 2 * dash):
            ends = [step / length, min(step + dash, length) / length]
            points = [tuple(s + t * (e - s) for s, e in zip(start, end, strict=True)) for t in ends]
            canvas.line(points, fill=fill, width=line_px)


def draw_hatched(picture: Image.Image, corners: Corners, line_px: int = 1) -> None:
    """Hatches a region to ignore in grey, in place; the image stays visible between the lines."""
    left, top, right, bottom = (round(side) for side in corners)
    width, height = max(right - left, 1), max(bottom - top, 1)
    mask = Image.new("L", (width, height))
    canvas = ImageDraw.Draw(mask)
    for start in range(-height, width, _HATCH_EVERY_PX):
        canvas.line([(start, height), (start + height, 0)], fill=255, width=line_px)
    canvas.rectangle((0, 0, width - 1, height - 1), outline=255, width=line_px)
    picture.paste(IGNORED_COLOUR, (left, top), mask)


def draw_labels(
    canvas: ImageDraw.ImageDraw,
    boxes: Sequence[Corners],
    texts: Sequence[str],
    colours: Sequence[str],
    size_px: tuple[int, int],
) -> None:
    """Writes a label beside each box, where it covers no other label and no other box.

    Args:
        canvas: of the picture.
        boxes: the most important first; a label that finds no room is left out.
        texts: one a box.
        colours: one a box, behind the text.
        size_px: width, height of the picture.
    """
    font = ImageFont.load_default(size=max(13, round(min(size_px) / 36)))
    written: list[Corners] = []
    for i, (corners, text, ground) in enumerate(zip(boxes, texts, colours, strict=True)):
        others = [*boxes[:i], *boxes[i + 1 :]]
        place = _label_place(canvas.textbbox((0, 0), text, font=font), corners, size_px, written, others)
        if place is not None:
            written.append(place)
            canvas.rectangle(place, fill=ground)
            canvas.text((place[0] + 2, place[1] + 2), text, fill="#000000", font=font)


def _label_place(
    text_box: tuple[float, ...],
    corners: Corners,
    size_px: tuple[int, int],
    written: Sequence[Corners],
    others: Sequence[Corners],
) -> Corners | None:
    """Finds room for a label above its box, below it, or beside it; None where all is taken."""
    width, height = text_box[2] + 4, text_box[3] + 4
    left, top, right, bottom = corners
    for x, y in ((left, top - height), (left, bottom), (right, top), (left - width, top)):
        x = max(0.0, min(x, size_px[0] - width))
        place = (x, y, x + width, y + height)
        covers = any(_overlap(place, label) for label in written) or any(
            _overlap(place, box) and not _contains(box, place) for box in others
        )
        if y >= 0 and y + height <= size_px[1] and not covers:
            return place
    return None


def _contains(one: Corners, other: Corners) -> bool:
    return one[0] <= other[0] and one[1] <= other[1] and other[2] <= one[2] and other[3] <= one[3]


def _overlap(one: Corners, other: Corners) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
