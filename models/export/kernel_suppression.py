"""Suppression in the served model by TensorFlow's kernel, which is several times faster on a CPU than `keras.ops`."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from models.hyperparameters import PostprocessConfig

Tensor = Any


def detect(boxes: Tensor, scores: Tensor, settings: PostprocessConfig) -> dict[str, Tensor]:
    """Selects the detections of each image, class by class, as `postprocess.detect` does.

    The results are equal but for equal scores, whose order `tf.image.combined_non_max_suppression` leaves open. The
    kernel exists for the CPU; in a model on a GPU, TensorFlow places this operation on the CPU.

    Args:
        boxes: float32 [B, A, 4] decoded boxes; clipped here to the image.
        scores: float32 [B, A, C] in [0, 1].
        settings: thresholds and limits; `max_detections` is D. `score_converter` is not read.

    Returns:
        As `postprocess.detect`.
    """
    num_anchors, num_classes = scores.shape[1], scores.shape[2]
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)[:, :, None]
    if settings.nms_candidates < num_anchors:
        scores, best = tf.math.top_k(tf.transpose(scores, (0, 2, 1)), settings.nms_candidates)  # [B, C, N]
        scores = tf.transpose(scores, (0, 2, 1))
        boxes = tf.gather(boxes[:, :, 0], tf.transpose(best, (0, 2, 1)), batch_dims=1)  # [B, N, C, 4]
    size = min(settings.max_detections, num_classes * min(settings.nms_candidates, num_anchors))
    found = tf.image.combined_non_max_suppression(
        boxes,
        scores,
        max_output_size_per_class=min(settings.max_per_class, size),
        max_total_size=size,
        iou_threshold=settings.nms_iou,
        # The kernel takes what is above its threshold, we what reaches ours; a score of 0 is never a detection.
        score_threshold=max(0.0, float(np.nextafter(np.float32(settings.score_threshold), np.float32(-math.inf)))),
        clip_boxes=False,
    )
    return {
        "detection_boxes": found.nmsed_boxes,
        "detection_scores": found.nmsed_scores,
        "detection_classes": tf.cast(found.nmsed_classes, tf.int32),
        "num_detections": found.valid_detections,
    }
