"""Recall by position in the image, by class and size: shows the corner in which a detector is blind."""

import dataclasses
import io
import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from models.evaluation import error_analysis
from models.evaluation.coco import ImageResult

FILE_NAME, PLOT_NAME = "spatial_recall.npz", "spatial_recall.png"
MIN_SCORE = 0.3  # of detections that count, as of those that `ssd-tuner predict` shows
CELLS = 64  # of the map, down and across, whatever the size of the images
ALL, SIZES = "all", ("small", "medium", "large")
_SIZE_ENDS_PX2 = (32.0**2, 96.0**2)  # COCO's
_PARTS = 3  # down and across, of the table
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
_LEAST_OBJECTS = 10  # of a part that is judged
_MOST_CHANCE = 0.05  # of calling any part weak that is not


@dataclasses.dataclass(frozen=True, eq=False)
class SpatialRecall:
    """Recall by position.

    The recall of a cell of the map is the share of found ones among the objects whose boxes cover the cell.

    Attributes:
        class_names: C names in label order.
        min_score: detections below it did not count.
        objects: int64 [1 + 3 + C, CELLS, CELLS], boxes that cover each cell: of all objects, of each of `SIZES`, of
            each class. Row 0 is the top of the image.
        found: the same of objects that were found.
        part_objects: int64 [1 + 3 + C, 3, 3], objects with their centre in each third by third of the image.
        part_found: the same of objects that were found.
        aspect_ratio: width / height of the images, the mean.

    Source: the spatial recall index, a recall for each pixel: Müller and Braun 2023 (tm - Technisches Messen,
        doi:10.1515/teme-2023-0013). Here a pixel is a cell of a map that all images share.
    """

    class_names: tuple[str, ...]
    min_score: float
    objects: np.ndarray
    found: np.ndarray
    part_objects: np.ndarray
    part_found: np.ndarray
    aspect_ratio: float

    @property
    def names(self) -> tuple[str, ...]:
        """The groups of objects, in the order of the arrays; a class may be named as a size."""
        return (ALL, *SIZES, *self.class_names)

    def recall(self) -> np.ndarray:
        """Returns float64 [1 + 3 + C, CELLS, CELLS] in [0, 1]; NaN where no box covers the cell."""
        return _share(self.found, self.objects)

    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns int64 [1 + 3 + C] objects found, and objects, each counted once."""
        return self.part_found.sum(axis=(1, 2)), self.part_objects.sum(axis=(1, 2))

    def weak_parts(self) -> list[dict[str, Any]]:
        """Lists the thirds by thirds of the image where recall is lower than elsewhere.

        Compared is with the objects elsewhere, by the one-sided test of two proportions with pooled variance; the level
        of 0.05 is divided by the number of parts (Bonferroni). Only parts with enough objects are judged.

        Returns:
            part ("bottom left"), objects, recall, and recall_elsewhere of each, the lowest recall first.
        """
        objects, found = self.part_objects[0], self.part_found[0]
        weak = []
        for row, column in np.ndindex(_PARTS, _PARTS):
            here, there = int(objects[row, column]), int(objects.sum() - objects[row, column])
            if here < _LEAST_OBJECTS or there < _LEAST_OBJECTS:
                continue
            recall, elsewhere = found[row, column] / here, (found.sum() - found[row, column]) / there
            pooled = found.sum() / (here + there)
            spread = math.sqrt(pooled * (1.0 - pooled) * (1.0 / here + 1.0 / there))
            chance = 0.5 * math.erfc((elsewhere - recall) / spread / math.sqrt(2.0)) if spread else 1.0
            if chance < _MOST_CHANCE / _PARTS**2:
                name = f"{_ROWS[row]} {_COLUMNS[column]}"
                shares = {"recall": float(recall), "recall_elsewhere": float(elsewhere)}
                weak.append({"part": name, "objects": here, **shares})
        return sorted(weak, key=lambda one: one["recall"])

    def summary(self) -> dict[str, Any]:
        """Returns JSON values: recall by group and by part of the image, and the parts that are weak."""
        found, objects = self.totals()
        groups = [
            {"group": name, "objects": int(count), "recall": hits / count if count else None}
            for name, hits, count in zip(self.names, found.tolist(), objects.tolist(), strict=True)
        ]
        parts = [
            {"part": f"{_ROWS[row]} {_COLUMNS[column]}", "objects": int(self.part_objects[0, row, column])}
            | {"recall": None if math.isnan(share) else float(share)}
            for (row, column), share in np.ndenumerate(_share(self.part_found[0], self.part_objects[0]))
        ]
        return {"min_score": self.min_score, "groups": groups, "parts": parts, "weak_parts": self.weak_parts()}

    def texts(self) -> list[str]:
        """Says in a sentence each where recall is lower than elsewhere."""
        return [
            f"Recall is lower at the {one['part']}: {one['recall']:.2f} of {one['objects']} objects,"
            f" {one['recall_elsewhere']:.2f} elsewhere (IoU 0.5, scores from {self.min_score:g})."
            for one in self.weak_parts()
        ]

    def to_bytes(self) -> bytes:
        """Packs everything into a compressed `.npz` file; `from_bytes` inverts."""
        buffer = io.BytesIO()
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        np.savez_compressed(buffer, **values | {"class_names": np.array(self.class_names, np.str_)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` packed.

        Raises:
            ValueError: the bytes are damaged or something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                values: Mapping[str, Any] = {field.name: file[field.name] for field in dataclasses.fields(cls)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            text = f"`data` needs the bytes of `SpatialRecall.to_bytes`: {type(error).__name__}: {error}."
            raise ValueError(text) from error
        names, numbers = tuple(values["class_names"].tolist()), ("min_score", "aspect_ratio")
        return cls(**{**values, "class_names": names, **{name: float(values[name]) for name in numbers}})


class Counter:
    """Counts objects by position, image by image; its memory does not grow with the images."""

    def __init__(self, class_names: Sequence[str], min_score: float) -> None:
        """Begins with no image.

        Args:
            class_names: C names in label order.
            min_score: detections below it do not count, in [0, 1].
        """
        self._class_names, self._min_score = tuple(class_names), min_score
        groups = 1 + len(SIZES) + len(class_names)
        # What changes from cell to cell, [objects or found, groups, down, across]: a box is four numbers.
        self._steps = np.zeros((2, groups, CELLS + 1, CELLS + 1), np.int64)
        self._parts = np.zeros((2, groups, _PARTS, _PARTS), np.int64)
        self._aspect_ratios, self._num_images = 0.0, 0

    def add(self, result: ImageResult) -> None:
        """Counts the objects of an image; regions to ignore are left out.

        Detections are matched to objects as `error_analysis.image_errors` does: those of their class at IoU 0.5, the
        surest first.
        """
        self._aspect_ratios += result.width / result.height
        self._num_images += 1
        is_object = ~np.asarray(result.gt_is_crowd, bool)
        if not is_object.any():
            return
        is_found = error_analysis.image_errors(result, self._min_score).found[is_object]
        boxes = np.clip(np.asarray(result.gt_boxes, np.float64)[is_object], 0.0, 1.0)
        sizes = np.searchsorted(_SIZE_ENDS_PX2, np.asarray(result.gt_area_px)[is_object], side="right")
        labels = np.asarray(result.gt_labels, np.int64)[is_object]
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2.0
        middle = np.minimum((centres * CELLS).astype(int), CELLS - 1)
        part = np.minimum((centres * _PARTS).astype(int), _PARTS - 1)
        starts = np.ceil(boxes[:, :2] * CELLS - 0.5).astype(int)  # cells whose centres lie in the box
        ends = np.ceil(boxes[:, 2:] * CELLS - 0.5).astype(int)
        is_narrow = ends <= starts  # between two centres: the cell that the middle of the box lies in
        starts, ends = np.where(is_narrow, middle, starts), np.where(is_narrow, middle + 1, ends)
        for counted, rows in enumerate((slice(None), is_found)):
            for group in (np.zeros_like(labels), 1 + sizes, 1 + len(SIZES) + labels):
                self._add(counted, group[rows], starts[rows], ends[rows])
                np.add.at(self._parts[counted], (group[rows], *part[rows].T), 1)

    def result(self) -> SpatialRecall:
        """Returns what was counted so far."""
        objects, found = self._steps[..., :-1, :-1].cumsum(axis=2).cumsum(axis=3)
        part_objects, part_found = self._parts.copy()
        ratio = self._aspect_ratios / self._num_images if self._num_images else 1.0
        return SpatialRecall(self._class_names, self._min_score, objects, found, part_objects, part_found, ratio)

    def _add(self, counted: int, group: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        """Adds boxes of groups [N], from cells [N, 2] to cells [N, 2] exclusive."""
        (top, left), (bottom, right) = starts.T, ends.T
        for row, column, step in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            np.add.at(self._steps[counted], (group, row, column), step)


def spatial_recall(results: Iterable[ImageResult], class_names: Sequence[str], min_score: float) -> SpatialRecall:
    """Measures recall by position.

    Args:
        results: one entry an image, read once.
        class_names: C names in label order.
        min_score: detections below it do not count, in [0, 1].
    """
    counter = Counter(class_names, min_score)
    for result in results:
        counter.add(result)
    return counter.result()


def _share(found: np.ndarray, objects: np.ndarray) -> np.ndarray:
    return np.where(objects > 0, found / np.maximum(objects, 1), np.nan)
