"""COCO's twelve detection numbers and AP per class, for trials, the Evaluator and the command line."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import hotcoco
import numpy as np
from hotcoco import mask

from models.evaluation import metrics as own_metrics

SUMMARY_KEYS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR_1",
    "AR_10",
    "AR_100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
MAX_DETECTIONS = 100
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)  # positions of COCO's area ranges in the engine's arrays
_IOU_50, _IOU_75 = 0, 5  # positions of IoU 0.50 and 0.75 in COCO's grid .50, .55, ... .95


@dataclasses.dataclass(frozen=True)
class ImageResult:
    """One image's ground truth and detections.

    Boxes are normalised `ymin, xmin, ymax, xmax`; labels and classes start at 0; no row is padding.

    Attributes:
        gt_boxes: float [G, 4].
        gt_labels: int [G], in [0, C).
        gt_is_crowd: bool [G]; a crowd is a region in which detections are ignored.
        gt_area_px: float [G], COCO's `area` in px^2; decides small, medium and large.
        det_boxes: float [D, 4], finite.
        det_scores: float [D], finite; higher is surer. Ties keep the order given.
        det_classes: int [D], in [0, C).
        height: image height in px, positive.
        width: image width in px, positive.
    """

    gt_boxes: np.ndarray
    gt_labels: np.ndarray
    gt_is_crowd: np.ndarray
    gt_area_px: np.ndarray
    det_boxes: np.ndarray
    det_scores: np.ndarray
    det_classes: np.ndarray
    height: int
    width: int


def coco_metrics(results: Iterable[ImageResult], class_names: Sequence[str]) -> dict[str, float]:
    """Computes COCO's twelve numbers and AP and AP50 of each class.

    Equal to pycocotools fed with the same images in the same order. The order matters only where detections
    of one class tie in score: COCO then takes the earlier image first.

    Args:
        results: one entry an image; an image without objects or without detections belongs in it too.
        class_names: C unique names in label order.

    Returns:
        `SUMMARY_KEYS`, those of `metrics.REGISTERED`, then `AP/<class>` and `AP50/<class>`, each in [0, 1]; NaN where
        no ground truth exists for the number (COCO prints -1 there).

    Raises:
        ValueError: a class is unknown or named twice, row counts of one image differ, or a box, score or area
            is not finite.

    Source: Lin et al. 2014 (arXiv:1405.0312) and pycocotools 2.0.11, `COCOeval.summarize`.
    """
    results = list(results)
    evaluation = evaluate(results, class_names).eval
    precision = np.asarray(evaluation["precision"])  # [T, R, C, areas, maxDets]
    recall = np.asarray(evaluation["recall"])  # [T, C, areas, maxDets]
    metrics = {
        "AP": _mean(precision[:, :, :, _ALL, -1]),
        "AP50": _mean(precision[_IOU_50, :, :, _ALL, -1]),
        "AP75": _mean(precision[_IOU_75, :, :, _ALL, -1]),
        "AP_small": _mean(precision[:, :, :, _SMALL, -1]),
        "AP_medium": _mean(precision[:, :, :, _MEDIUM, -1]),
        "AP_large": _mean(precision[:, :, :, _LARGE, -1]),
        "AR_1": _mean(recall[:, :, _ALL, 0]),
        "AR_10": _mean(recall[:, :, _ALL, 1]),
        "AR_100": _mean(recall[:, :, _ALL, -1]),
        "AR_small": _mean(recall[:, :, _SMALL, -1]),
        "AR_medium": _mean(recall[:, :, _MEDIUM, -1]),
        "AR_large": _mean(recall[:, :, _LARGE, -1]),
    }
    metrics |= {name: float(own.compute(results, class_names)) for name, own in own_metrics.REGISTERED.items()}
    for label, name in enumerate(class_names):
        metrics[f"AP/{name}"] = _mean(precision[:, :, label, _ALL, -1])
        metrics[f"AP50/{name}"] = _mean(precision[_IOU_50, :, label, _ALL, -1])
    return metrics


def evaluate(results: Iterable[ImageResult], class_names: Sequence[str]) -> hotcoco.COCOeval:
    """Matches detections to ground truth as COCO does, for callers that need more than the means.

    Args:
        results: as `coco_metrics`.
        class_names: as `coco_metrics`.

    Returns:
        The engine's evaluation after `evaluate` and `accumulate`; image ids count from 1 in the order given,
        category ids are the labels.

    Raises:
        ValueError: as `coco_metrics`.
    """
    evaluation = make_engine(results, class_names)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def make_engine(results: Iterable[ImageResult], class_names: Sequence[str]) -> hotcoco.COCOeval:
    """Hands ground truth and detections to the engine, for callers that set its `params` before it matches them.

    Args:
        results: as `coco_metrics`.
        class_names: as `coco_metrics`.

    Returns:
        The engine before `evaluate`; image ids count from 1 in the order given, category ids are the labels.

    Raises:
        ValueError: as `coco_metrics`.
    """
    if not class_names or len(set(class_names)) != len(class_names):
        raise ValueError(f"`class_names` needs at least one name and each once: got {list(class_names)}.")
    results = list(results)
    sizes_px = np.array([(r.width, r.height) for r in results], np.float64).reshape(-1, 2)
    gt_counts = _row_counts(results, ("gt_boxes", "gt_labels", "gt_is_crowd", "gt_area_px"))
    det_counts = _row_counts(results, ("det_boxes", "det_scores", "det_classes"))
    image_ids = np.arange(1, len(results) + 1)
    gt_labels = _column(results, "gt_labels", np.int64)
    det_classes = _column(results, "det_classes", np.int64)
    _check_labels(gt_labels, class_names, "gt_labels")
    _check_labels(det_classes, class_names, "det_classes")
    ground_truth = hotcoco.COCO.from_arrays(
        [{"id": i, "width": int(r.width), "height": int(r.height)} for i, r in enumerate(results, start=1)],
        [{"id": label, "name": name} for label, name in enumerate(class_names)],
        np.repeat(image_ids, gt_counts),
        gt_labels,
        _boxes_xywh_px(results, "gt_boxes", np.repeat(sizes_px, gt_counts, axis=0)),
        ids=np.arange(1, len(gt_labels) + 1),
        area=_finite(_column(results, "gt_area_px", np.float64), "gt_area_px"),
        iscrowd=_column(results, "gt_is_crowd", np.int64),
    )
    detections = np.empty((len(det_classes), 7))  # [D, image id, x, y, w, h, score, category id]
    detections[:, 0] = np.repeat(image_ids, det_counts)
    detections[:, 1:5] = _boxes_xywh_px(results, "det_boxes", np.repeat(sizes_px, det_counts, axis=0))
    detections[:, 5] = _finite(_column(results, "det_scores", np.float64), "det_scores")
    detections[:, 6] = det_classes
    return hotcoco.COCOeval(ground_truth, ground_truth.load_res(detections), "bbox")


def overlaps(boxes: np.ndarray, others: np.ndarray, *, is_region: bool = False) -> np.ndarray:
    """Computes how much boxes overlap, as COCO does.

    Args:
        boxes: float [N, 4] ymin, xmin, ymax, xmax; N may be 0.
        others: float [M, 4], likewise.
        is_region: whether the others are regions to ignore.

    Returns:
        float64 [N, M] intersection over union; with regions, the share of each box that lies in each region.
    """
    corners = [np.asarray(one, np.float64).reshape(-1, 4) for one in (boxes, others)]
    xywh = [np.concatenate([one[:, 1::-1], (one[:, 2:] - one[:, :2])[:, ::-1]], axis=1) for one in corners]
    return np.asarray(mask.iou(*xywh, [int(is_region)] * len(xywh[1]))).reshape(len(xywh[0]), len(xywh[1]))


def to_json_numbers(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Replaces NaN, which JSON does not have, by None.

    Args:
        metrics: numbers by name.

    Returns:
        The same names in the same order.
    """
    return {key: None if math.isnan(value) else float(value) for key, value in metrics.items()}


def _mean(values: np.ndarray) -> float:
    """Averages the entries that exist; the engine marks the others with -1."""
    present = values[values > -1]
    return float(present.mean()) if present.size else math.nan


def _row_counts(results: Sequence[ImageResult], names: tuple[str, ...]) -> np.ndarray:
    """Returns int [images] rows an image, after checking that all columns of an image have as many."""
    counts = np.array([[len(getattr(r, name)) for name in names] for r in results], np.int64)
    counts = counts.reshape(-1, len(names))
    uneven = np.flatnonzero((counts != counts[:, :1]).any(axis=1))
    if uneven.size:
        found = dict(zip(names, counts[uneven[0]].tolist(), strict=True))
        raise ValueError(
            f"`results` needs as many rows in each column of an image: got {found} in image number {uneven[0]}."
        )
    return counts[:, 0]


def _column(results: Sequence[ImageResult], name: str, dtype: type) -> np.ndarray:
    rows = [np.asarray(getattr(r, name)) for r in results]
    return np.concatenate(rows).astype(dtype) if rows else np.zeros(0, dtype)


def _boxes_xywh_px(results: Sequence[ImageResult], name: str, sizes_px: np.ndarray) -> np.ndarray:
    """Returns float64 [N, 4] boxes as COCO has them, from normalised corners and [N, 2] width, height."""
    rows = [np.asarray(getattr(r, name)).reshape(-1, 4) for r in results]
    corners = _finite(np.concatenate(rows).astype(np.float64) if rows else np.zeros((0, 4)), name)
    top_left = corners[:, 1::-1] * sizes_px
    bottom_right = corners[:, 3:1:-1] * sizes_px
    return np.concatenate([top_left, bottom_right - top_left], axis=1)


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(f"`{name}` needs finite numbers: got NaN or infinity. Did the training diverge?")
    return values


def _check_labels(labels: np.ndarray, class_names: Sequence[str], name: str) -> None:
    outside = labels[(labels < 0) | (labels >= len(class_names))]
    if outside.size:
        raise ValueError(
            f"`{name}` needs labels from 0 to {len(class_names) - 1}, one for each of {list(class_names)}: "
            f"got {int(outside[0])}. Remove padding rows (label -1) first."
        )
