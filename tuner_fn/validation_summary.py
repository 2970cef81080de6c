"""What TensorBoard shows of a validation beside its numbers: precision-recall curves, and a few images."""

import dataclasses
import io
import itertools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from data import drawing, input_pipeline
from models.evaluation import coco, precision_recall
from models.export import predict

PICTURES = 4  # of the validation images; always the same ones
PICTURE_SCORE = 0.3
_SUREST = 3  # detections are drawn where none has that score: a model that has learned little shows something, too
_MOST_DRAWN = 20  # after an epoch or two some networks are sure of a hundred boxes
_SIDE_PX = 256  # the shorter side of each half; a picture takes about 20 KB
_JPEG_QUALITY = 70


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """The ground truth of an image, on the left, and what was found in it, on the right.

    Attributes:
        jpeg: JPEG file.
        width: in px.
        height: in px.
    """

    jpeg: bytes = dataclasses.field(repr=False)
    width: int
    height: int


@dataclasses.dataclass(frozen=True, eq=False)
class ValidationSummary:
    """One validation.

    Attributes:
        epoch: from 1.
        curves: of each class with an object.
        pictures: of the same images after each epoch, at most `PICTURES`.
    """

    epoch: int
    curves: dict[str, precision_recall.PrecisionRecall] = dataclasses.field(repr=False)
    pictures: tuple[Picture, ...]


class Summariser:
    """Summarises the validations of a training."""

    def __init__(self, val_files: Sequence[str], class_names: Sequence[str]) -> None:
        """Reads the images to draw on: the first ones that hold objects.

        Args:
            val_files: GZIP TFRecord files.
            class_names: in label order.
        """
        self.class_names = tuple(class_names)
        records = enumerate(input_pipeline.read_records(val_files))
        with_objects = ((row, record) for row, record in records if len(record.labels))
        self._images = {row: _small(record.encoded) for row, record in itertools.islice(with_objects, PICTURES)}

    def summarise(self, epoch: int, results: Sequence[coco.ImageResult]) -> ValidationSummary:
        """Draws and counts.

        Args:
            epoch: from 1.
            results: one entry an image, in the order of the files.
        """
        curves = precision_recall.precision_recall(results, self.class_names)
        pictures = (draw(image, results[row], self.class_names) for row, image in self._images.items())
        return ValidationSummary(epoch, curves, tuple(pictures))


def draw(image: Image.Image, result: coco.ImageResult, class_names: Sequence[str]) -> Picture:
    """Draws ground truth and detections side by side.

    Detections with a score of at least `PICTURE_SCORE` are drawn; where there is none, the three surest.

    Args:
        image: that the result is of.
        result: ground truth and detections.
        class_names: in label order.
    """
    order = np.argsort(-np.asarray(result.det_scores), kind="stable")
    kept = order[np.asarray(result.det_scores)[order] >= PICTURE_SCORE]
    kept = kept[:_MOST_DRAWN] if len(kept) else order[:_SUREST]
    detections = (result.det_boxes[kept], result.det_classes[kept], result.det_scores[kept])
    found = predict.draw_detections(image, *detections, class_names, smallest_side_px=_SIDE_PX)
    truth = image.convert("RGB").resize(found.size, Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(truth)
    corners = [drawing.corners_px(box, truth.size) for box in result.gt_boxes]
    colours = [drawing.colour(int(label)) for label in result.gt_labels]
    line_px = max(2, round(min(truth.size) / 250))
    for box, colour in zip(corners, colours, strict=True):
        canvas.rectangle(box, outline=colour, width=line_px)
    drawing.draw_labels(canvas, corners, [class_names[label] for label in result.gt_labels], colours, truth.size)
    width, height = truth.size
    both = Image.new("RGB", (2 * width + line_px, height), "white")
    both.paste(truth, (0, 0))
    both.paste(found, (width + line_px, 0))
    buffer = io.BytesIO()
    both.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return Picture(buffer.getvalue(), *both.size)


def _small(encoded: bytes) -> Image.Image:
    """Decodes an image; a large one is made smaller."""
    image = Image.fromarray(input_pipeline.decode_pixels(encoded).numpy())
    share = min(1.0, _SIDE_PX / min(image.size))
    return image.resize((round(share * image.width), round(share * image.height)), Image.Resampling.LANCZOS)
