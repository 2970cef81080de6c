"""A process of its own computes what a detector does on the Keras backend of its environment, without TensorFlow.

python backend_outputs.py IN.npz OUT.npz, with the arrays `config` (JSON), `images`, `gt_boxes`, `gt_labels`, `boxes`,
`scores` and w0, w1, ... (the detector's weights).
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def compute(arrays: dict[str, np.ndarray], jit: Callable[[Callable], Callable]) -> dict[str, np.ndarray]:
    """Computes raw outputs, detections and the objective; `jit` compiles a function for the backend."""
    from keras import ops

    from models.hyperparameters import ExperimentConfig, PostprocessConfig
    from models.network import box_coder, losses, suppression
    from models.network.detector import Detector

    detector = Detector(ExperimentConfig.from_dict(json.loads(str(arrays["config"]))), 2)
    detector.set_weights([arrays[f"w{number}"] for number in range(len(detector.weights))])
    truth = {name: arrays[name] for name in ("gt_boxes", "gt_labels")}

    def everything(images: Any) -> dict[str, Any]:
        raw = detector(images)
        # Scores of random weights tie but for rounding, so suppression and mining get boxes and scores of their own.
        settings = PostprocessConfig(score_threshold=0.1, nms_iou=0.5, max_detections=20)
        found = suppression.detect(arrays["boxes"], arrays["scores"], settings)
        values, none = arrays["scores"][..., 0], arrays["scores"][..., 0] > 1.0
        found["hard"] = losses.hard_negatives(values, values > 0.9, none, 3.0, 2)
        found["distinct"] = losses.distinct(arrays["boxes"], values, 0.3, 40)
        boxes = box_coder.decode(raw["deltas"], detector.anchors, detector.config.anchors.variances)
        scores, loss = detector.scores(raw["logits"]), detector.compute_loss(y=truth, y_pred=raw)
        return {**raw, **found, "boxes": boxes, "scores": scores, "loss": loss}

    return {name: ops.convert_to_numpy(value) for name, value in jit(everything)(arrays["images"]).items()}


if __name__ == "__main__":
    sys.modules["tensorflow"] = None  # any import of it fails
    import jax

    np.savez(sys.argv[2], **compute(dict(np.load(sys.argv[1])), jax.jit))
