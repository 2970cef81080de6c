"""Times COCO metrics of 1,366 images with 100 detections each beside pycocotools, in the same run.

Both get the same `ImageResult`s and are timed end to end, from arrays to the twelve numbers and AP per class.

    python -m benchmarks.evaluation
"""

import contextlib
import importlib.metadata
import io
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from pycocotools import coco as coco_lib
from pycocotools import cocoeval

from models.evaluation import coco

NUM_IMAGES = 1366  # the FLIR ADAS test split
DETECTIONS_PER_IMAGE = 100
CLASS_NAMES = ("person", "bicycle", "car")
REPEATS = 5
PEER_REPEATS = 3


def random_results(
    seed: int, num_images: int, detections: int, max_objects: int = 12, height: int = 512, width: int = 640
) -> list[coco.ImageResult]:
    """Draws ground truth and detections of all sizes; every object has one detection near it.

    Args:
        seed: of the random draws.
        num_images: images to draw; about one in `max_objects` has no object.
        detections: detections an image; scores have two decimals, so ties occur.
        max_objects: objects an image at most.
        height: image height in px.
        width: image width in px.

    Returns:
        One result an image; about one object in 20 is a crowd.
    """
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(num_images):
        gt_boxes = _random_boxes(rng, int(rng.integers(0, max_objects)))
        gt_labels = rng.integers(0, len(CLASS_NAMES), len(gt_boxes))
        det_boxes = _random_boxes(rng, detections)
        det_classes = rng.integers(0, len(CLASS_NAMES), detections)
        near = min(len(gt_boxes), detections)
        det_boxes[:near] = gt_boxes[:near] + rng.normal(0, 0.005, (near, 4))
        det_classes[:near] = gt_labels[:near]
        scores = rng.uniform(0, 0.9, detections)
        scores[:near] = rng.uniform(0.3, 1.0, near)
        sides = gt_boxes[:, 2:] - gt_boxes[:, :2]
        results.append(
            coco.ImageResult(
                gt_boxes=gt_boxes,
                gt_labels=gt_labels,
                gt_is_crowd=rng.random(len(gt_boxes)) < 0.05,
                gt_area_px=(sides.prod(axis=1) * height * width).astype(np.float32),
                det_boxes=det_boxes,
                det_scores=scores.round(2).astype(np.float32),
                det_classes=det_classes,
                height=height,
                width=width,
            )
        )
    return results


def pycocotools_metrics(results: Sequence[coco.ImageResult], class_names: Sequence[str]) -> dict[str, float]:
    """Computes what `detection_metrics.coco_metrics` does with pycocotools, the reference.

    Args:
        results: as `coco_metrics`.
        class_names: as `coco_metrics`.

    Returns:
        The same keys; NaN where pycocotools says -1.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = coco_lib.COCO()
        ground_truth.dataset = {
            "images": [{"id": i, "height": r.height, "width": r.width} for i, r in enumerate(results, 1)],
            "categories": [{"id": label, "name": name} for label, name in enumerate(class_names)],
            "annotations": _annotations(results),
        }
        ground_truth.createIndex()
        evaluation = cocoeval.COCOeval(ground_truth, _load_detections(ground_truth, results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics = dict(zip(coco.SUMMARY_KEYS, evaluation.stats.tolist(), strict=True))
    precision = evaluation.eval["precision"]  # [T, R, C, areas, maxDets]
    for label, name in enumerate(class_names):
        for key, values in (("AP", precision[:, :, label, 0, -1]), ("AP50", precision[0, :, label, 0, -1])):
            metrics[f"{key}/{name}"] = float(values[values > -1].mean()) if (values > -1).any() else -1.0
    return {key: math.nan if value == -1 else value for key, value in metrics.items()}


def largest_difference(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """Compares two results of the same keys.

    Args:
        ours: numbers by name.
        theirs: numbers by name.

    Returns:
        The largest absolute difference; infinity where keys differ or only one side is NaN.
    """
    if ours.keys() != theirs.keys() or any(math.isnan(ours[k]) != math.isnan(theirs[k]) for k in ours):
        return math.inf
    return max((abs(ours[k] - theirs[k]) for k in ours if not math.isnan(ours[k])), default=0.0)


def main() -> int:
    """Prints the numbers of both, medians in seconds and their ratio; returns 0."""
    results = random_results(0, NUM_IMAGES, DETECTIONS_PER_IMAGE)
    ours, our_times_s = _timed(lambda: coco.coco_metrics(results, CLASS_NAMES), REPEATS)
    theirs, their_times_s = _timed(lambda: pycocotools_metrics(results, CLASS_NAMES), PEER_REPEATS)
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("command: python -m benchmarks.evaluation")
    print("versions:", *(f"{p} {importlib.metadata.version(p)}" for p in ("hotcoco", "pycocotools", "numpy")))
    print(f"{NUM_IMAGES} images, {DETECTIONS_PER_IMAGE} detections each, {len(CLASS_NAMES)} classes\n")
    print(f"{'':<14}{'ssd-tuner':>12}{'pycocotools':>14}")
    for key, value in ours.items():
        print(f"{key:<14}{value:>12.8f}{theirs[key]:>14.8f}")
    print(f"largest difference {largest_difference(ours, theirs):.2e}\n")
    for name, times_s in (("ssd-tuner", our_times_s), ("pycocotools", their_times_s)):
        print(
            f"{name:<14}{statistics.median(times_s):.3f} s (median of {len(times_s)}, "
            f"{min(times_s):.3f} to {max(times_s):.3f})"
        )
    ratio = statistics.median(their_times_s) / statistics.median(our_times_s)
    print(f"ratio {ratio:.0f} (target: at least 20)")
    return 0


def _random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Returns float32 [count, 4] boxes with log-uniform sides of 1 % to 60 % of the image."""
    sides = np.exp(rng.uniform(np.log(0.01), np.log(0.6), (count, 2)))
    corners = rng.uniform(0, 1 - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def _xywh_px(box: np.ndarray, result: coco.ImageResult) -> list[float]:
    ymin, xmin, ymax, xmax = (float(value) for value in box)
    x, y = xmin * result.width, ymin * result.height
    return [x, y, xmax * result.width - x, ymax * result.height - y]


def _annotations(results: Sequence[coco.ImageResult]) -> list[dict]:
    annotations = []
    for image_id, result in enumerate(results, 1):
        rows = zip(result.gt_boxes, result.gt_labels, result.gt_is_crowd, result.gt_area_px, strict=True)
        for box, label, is_crowd, area_px in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(label),
                    "bbox": _xywh_px(box, result),
                    "area": float(area_px),
                    "iscrowd": int(is_crowd),
                }
            )
    return annotations


def _load_detections(ground_truth: coco_lib.COCO, results: Sequence[coco.ImageResult]) -> coco_lib.COCO:
    detections = [
        {"image_id": i, "category_id": int(c), "bbox": _xywh_px(box, r), "score": float(score)}
        for i, r in enumerate(results, 1)
        for box, score, c in zip(r.det_boxes, r.det_scores, r.det_classes, strict=True)
    ]
    if detections:
        return ground_truth.loadRes(detections)
    empty = coco_lib.COCO()  # `loadRes` fails on an empty list
    empty.dataset = {**ground_truth.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _timed(call: Callable[[], dict[str, float]], repeats: int) -> tuple[dict[str, float], list[float]]:
    times_s = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = call()
        times_s.append(time.perf_counter() - start)
    return value, times_s


if __name__ == "__main__":
    sys.exit(main())
