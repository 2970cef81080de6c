"""Contact sheets: images of a dataset with their ground truth, as stored and as training sees them."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data import drawing, examples
from data.examples import DetectionRecord

if TYPE_CHECKING:
    from data.augment import Augmentation

_CELL_PX = 380
_GAP_PX = 8
_MARGIN_PX = 16
_TEXT_PX = 15
_TITLE_PX = 20
_PAPER, _INK = "#1c1c1c", "#f0f0f0"
_IGNORED = -2  # as `input_pipeline.parse_example` labels regions to ignore; padding is -1


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One picture of a sheet.

    Attributes:
        image: RGB.
        caption: written below it; what does not fit is cut off at the front.
        boxes: float [N, 4] normalised ymin, xmin, ymax, xmax.
        labels: int [N], from 0; not read where `is_ignored`.
        is_ignored: bool [N], a region to ignore.
    """

    image: Image.Image
    caption: str
    boxes: np.ndarray
    labels: np.ndarray
    is_ignored: np.ndarray


def sample(items: Sequence[Any], count: int, seed: int) -> list[Any]:
    """Draws items without repetition, in their own order; all of them where they are no more than `count`."""
    if len(items) <= count:
        return list(items)
    chosen = np.random.default_rng(seed).choice(len(items), count, replace=False)
    return [items[index] for index in sorted(chosen.tolist())]


def stored_cell(record: DetectionRecord) -> Cell:
    """Makes the picture of an example as it is stored."""
    return Cell(drawing.decode(record.encoded), record.source_id, record.boxes, record.labels, record.is_crowd)


def augmented_cells(
    records: Sequence[DetectionRecord],
    augment: "Augmentation",
    *,
    copies: int,
    size: tuple[int, int],
    max_boxes: int,
    seed: int,
) -> list[list[Cell]]:
    """Makes pictures of examples as training sees them.

    Args:
        records: N examples, one batch for changes that mix examples.
        augment: as `augment.augmentation` gives.
        copies: pictures of each example, at least 1; every one has draws of its own.
        size: height and width of the detector's input, px.
        max_boxes: boxes kept of an example, the largest first.
        seed: of the draws.

    Returns:
        N lists of `copies` pictures.
    """
    import tensorflow as tf

    from data import augment as augmentations
    from data import input_pipeline

    count = len(records)
    serialized = [tf.constant(_serialized(record)) for record in records]
    parsed = [input_pipeline.parse_example(one, size, max_boxes) for one in serialized]
    rows: list[list[Cell]] = [[] for _ in records]
    for copy in range(copies):
        seeds = [tf.constant((seed, augmentations.SEEDS_PER_EXAMPLE * (copy * count + n))) for n in range(count)]
        changed = [augment(tf.cast(one[0], tf.float32), *one[1:], own) for one, own in zip(parsed, seeds, strict=True)]
        images, boxes, labels = (tf.stack(column) for column in zip(*changed, strict=True))
        images, boxes, labels = (value.numpy() for value in augment.mix(images, boxes, labels, seeds[0]))
        for n, record in enumerate(records):
            rows[n].append(_cell(f"{record.source_id}, augmented {copy + 1}", images[n], boxes[n], labels[n]))
    return rows


def draw_sheet(cells: Sequence[Cell], class_names: Sequence[str], columns: int, title: str) -> Image.Image:
    """Draws a sheet: a title, a legend of the classes' colours, the pictures row by row.

    Args:
        cells: the pictures, at least one; each is fitted into a square without changing its aspect ratio.
        class_names: in label order.
        columns: pictures a row, at least 1.
        title: one line.

    Returns:
        An RGB picture.

    Raises:
        ValueError: there is no picture.
    """
    if not cells:
        raise ValueError("`cells` needs at least one picture: got none.")
    columns = min(columns, len(cells))
    width = 2 * _MARGIN_PX + columns * (_CELL_PX + _GAP_PX) - _GAP_PX
    fitted = [_draw_cell(cell) for cell in cells]
    rows = [fitted[start : start + columns] for start in range(0, len(fitted), columns)]
    heights = [max(picture.height for picture in row) + _GAP_PX for row in rows]
    legend = _legend(class_names, width - 2 * _MARGIN_PX)
    top = _MARGIN_PX + _TITLE_PX + 2 * _GAP_PX + legend.height + _GAP_PX
    sheet = Image.new("RGB", (width, top + sum(heights) + _MARGIN_PX - _GAP_PX), _PAPER)
    canvas = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_TITLE_PX)
    canvas.text((_MARGIN_PX, _MARGIN_PX), _fit(title, font, width - 2 * _MARGIN_PX), fill=_INK, font=font)
    sheet.paste(legend, (_MARGIN_PX, _MARGIN_PX + _TITLE_PX + 2 * _GAP_PX))
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture, (_MARGIN_PX + column * (_CELL_PX + _GAP_PX), top))
        top += height
    return sheet


def _serialized(record: DetectionRecord) -> bytes:
    """Serialises an example as it is ingested; the classes' names do not matter here."""
    names = [str(label) for label in range(1 + int(record.labels.max(initial=0)))]
    return examples.encode_example(record, names).SerializeToString()


def _cell(caption: str, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray) -> Cell:
    """Makes a picture of a training example, with the labels of `input_pipeline.parse_example`."""
    picture = Image.fromarray(np.clip(np.round(image), 0, 255).astype(np.uint8))
    used = labels != -1
    return Cell(picture, caption, boxes[used], labels[used], labels[used] == _IGNORED)


def _draw_cell(cell: Cell) -> Image.Image:
    """Fits a picture into the cell's width or height, draws its boxes, and writes its caption below."""
    scale = _CELL_PX / max(cell.image.size)
    size = tuple(max(1, round(side * scale)) for side in cell.image.size)
    picture = cell.image.convert("RGB").resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX)
    for box in np.unique(cell.boxes[cell.is_ignored], axis=0):  # a region that all classes ignore comes once a class
        drawing.draw_hatched(picture, drawing.corners_px(box, picture.size))
    canvas = ImageDraw.Draw(picture)
    objects = ~cell.is_ignored
    for box, label in zip(cell.boxes[objects], cell.labels[objects], strict=True):
        corners = drawing.corners_px(box, picture.size)
        smallest = min(corners[2] - corners[0], corners[3] - corners[1])
        canvas.rectangle(corners, outline=drawing.colour(int(label)), width=1 if smallest < 16 else 2)
    font = ImageFont.load_default(size=_TEXT_PX)
    framed = Image.new("RGB", (_CELL_PX, picture.height + _TEXT_PX + _GAP_PX), _PAPER)
    framed.paste(picture, ((_CELL_PX - picture.width) // 2, 0))
    text = _fit(cell.caption, font, _CELL_PX, keep_end=True)
    ImageDraw.Draw(framed).text((0, picture.height + 2), text, fill=_INK, font=font)
    return framed


def _legend(class_names: Sequence[str], width: int) -> Image.Image:
    """Draws the colours of the classes and the hatching of ignored regions, in as many lines as needed."""
    font = ImageFont.load_default(size=_TEXT_PX)
    line = _TEXT_PX + _GAP_PX
    entries = [(name, drawing.colour(label)) for label, name in enumerate(class_names)]
    entries.append(("region to ignore", None))
    places, left, top = [], 0, 0
    for name, _ in entries:
        needed = _TEXT_PX + _GAP_PX + math.ceil(font.getlength(name)) + 3 * _GAP_PX
        if left and left + needed > width:
            left, top = 0, top + line
        places.append((left, top))
        left += needed
    legend = Image.new("RGB", (width, top + line), _PAPER)
    canvas = ImageDraw.Draw(legend)
    for (name, colour), (x, y) in zip(entries, places, strict=True):
        swatch = (x, y + 2, x + _TEXT_PX, y + 2 + _TEXT_PX)
        if colour is None:
            drawing.draw_hatched(legend, swatch)
        else:
            canvas.rectangle(swatch, outline=colour, width=3)
        canvas.text((x + _TEXT_PX + _GAP_PX, y), name, fill=_INK, font=font)
    return legend


def _fit(text: str, font: Any, width: int, *, keep_end: bool = False) -> str:
    """Cuts a text to a width in px: at its front where its end says more, as in names of files."""
    if font.getlength(text) <= width:
        return text
    for cut in range(1, len(text)):
        shorter = f"...{text[cut:]}" if keep_end else f"{text[:-cut]}..."
        if font.getlength(shorter) <= width:
            return shorter
    return ""
