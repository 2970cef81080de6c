"""COCO metrics of a loaded model on examples: one way for every file format."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from data import examples
from models.evaluation import coco, detections

BATCH_SIZE = 16  # images a call; results do not depend on it


def evaluate(
    detector: Any,
    records: Iterable[examples.DetectionRecord],
    class_names: Sequence[str],
    on_result: Callable[[coco.ImageResult], None] = lambda result: None,
) -> tuple[dict[str, float], int]:
    """Scores a model.

    Args:
        detector: with `class_names` and `detect`, as `predict.load_detector` gives.
        records: images with ground truth, read once.
        class_names: of the ground truth, in label order; detections of other classes are dropped.
        on_result: gets what was found in each image.

    Returns:
        `detection_metrics.coco_metrics`, and the number of images; without images no metrics.
    """
    names = list(class_names)
    labels = np.array([names.index(name) if name in names else -1 for name in detector.class_names], np.int32)
    results = []
    for batch in _batches(records):
        found = detector.detect([record.encoded for record in batch], len(batch))
        for record, one in zip(batch, found, strict=True):
            results.append((record.source_id, detections.image_result(record, one.with_labels(labels))))
            on_result(results[-1][1])
    if not results:
        return {}, 0
    results.sort(key=lambda row: row[0])  # the Evaluator's order: ties in score come out the same
    return coco.coco_metrics([result for _, result in results], names), len(results)


def _batches(records: Iterable[examples.DetectionRecord]) -> Iterator[list[examples.DetectionRecord]]:
    batch = []
    for record in records:
        batch.append(record)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch
