"""What an exported model answers: outputs without padding, class names, results in the form of metrics."""

import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from data import errors, examples
from models.evaluation import coco

TFLITE_SUFFIX = ".tflite"
EXTRAS = "assets.extra"  # files beside a SavedModel that TensorFlow Serving leaves alone
OUTPUT_NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """What a model found in one image, surest first.

    Attributes:
        boxes: float32 [D, 4] normalised ymin, xmin, ymax, xmax.
        scores: float32 [D] in [0, 1].
        classes: int32 [D], from 0.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def above(self, min_score: float) -> Self:
        """Keeps the detections whose score is at least `min_score`, in [0, 1]."""
        return self._select(self.scores >= min_score)

    def with_labels(self, labels: np.ndarray) -> Self:
        """Renumbers the classes.

        Args:
            labels: int32 [C], the new label of each class; -1 drops its detections.

        Returns:
            The detections that remain.

        Raises:
            ValueError: a class has no entry.
        """
        if self.classes.size and not 0 <= self.classes.min() <= self.classes.max() < len(labels):
            found = sorted(set(self.classes.tolist()))
            raise ValueError(f"`labels` needs an entry for each class: got {len(labels)} for the classes {found}.")
        renumbered = dataclasses.replace(self, classes=labels[self.classes])
        return renumbered._select(renumbered.classes >= 0)

    def _select(self, rows: np.ndarray) -> Self:
        return dataclasses.replace(self, boxes=self.boxes[rows], scores=self.scores[rows], classes=self.classes[rows])


def read_extra(model: str | os.PathLike[str], name: str) -> str | None:
    """Reads one of the text files that travel with a model.

    Args:
        model: folder of a SavedModel, or a .tflite file; that has them in a ZIP archive at its end.
        name: as "labels.txt".

    Returns:
        The text; None where there is none.
    """
    path = pathlib.Path(model)
    try:
        if path.suffix == TFLITE_SUFFIX:
            with zipfile.ZipFile(path) as archive:
                return archive.read(name).decode()
        return (path / EXTRAS / name).read_text("utf-8")
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def read_class_names(model: str) -> tuple[str, ...]:
    """Reads an exported model's class names.

    Args:
        model: folder of a SavedModel, or a .tflite file.

    Returns:
        The names in label order.

    Raises:
        UserError: the model has no labels, or names nothing.
    """
    text = read_extra(model, "labels.txt")
    if text is None:
        where = "labels.txt at its end" if str(model).endswith(TFLITE_SUFFIX) else f"{EXTRAS}/labels.txt"
        raise errors.UserError(
            f"`{model}` has no {where}, which names its classes. Give a model that `ssd-tuner` exported."
        )
    names = tuple(line for line in text.splitlines() if line.strip())
    if not names:
        raise errors.UserError(f"labels.txt of `{model}` is empty. It needs one class name a line, in label order.")
    return names


def all_detections(outputs: Mapping[str, Any]) -> list[Detections]:
    """Splits a batch of a model's outputs and drops the padding.

    Args:
        outputs: `OUTPUT_NAMES` as tensors or arrays, [B, ...].

    Returns:
        One entry an image.
    """
    arrays = {name: np.asarray(outputs[name]) for name in OUTPUT_NAMES}
    return [image_detections(arrays, row) for row in range(len(arrays["num_detections"]))]


def image_detections(outputs: Mapping[str, np.ndarray], row: int) -> Detections:
    """Takes one image's detections out of a batch of outputs, without the padding.

    Args:
        outputs: `OUTPUT_NAMES` as arrays, [B, ...].
        row: of the image in the batch.

    Returns:
        Its detections.
    """
    count = int(outputs["num_detections"][row])
    return Detections(
        boxes=np.asarray(outputs["detection_boxes"][row][:count], np.float32),
        scores=np.asarray(outputs["detection_scores"][row][:count], np.float32),
        classes=np.asarray(outputs["detection_classes"][row][:count], np.int32),
    )


def image_result(record: examples.DetectionRecord, found: Detections) -> coco.ImageResult:
    """Pairs an image's ground truth with its detections, for `coco_metrics`.

    Args:
        record: the ground truth.
        found: the detections, with the same label order.

    Returns:
        Both, without the image.
    """
    return coco.ImageResult(
        gt_boxes=record.boxes,
        gt_labels=record.labels,
        gt_is_crowd=record.is_crowd,
        gt_area_px=record.area_px,
        det_boxes=found.boxes,
        det_scores=found.scores,
        det_classes=found.classes,
        height=record.height,
        width=record.width,
    )
