"""Box mathematics the long way, in NumPy, as references for the tests."""

import numpy as np


def numpy_iou(one: np.ndarray, other: np.ndarray) -> float:
    """Computes the IoU of two boxes the long way."""
    height = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    width = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return height * width / (sum(areas) - height * width)


def greedy_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Keeps the indices of greedy suppression; boxes come by falling score."""
    kept: list[int] = []
    for index in range(len(boxes)):
        if scores[index] > 0 and all(numpy_iou(boxes[index], boxes[other]) <= threshold for other in kept):
            kept.append(index)
    return kept
