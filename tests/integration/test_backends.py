"""The same weights give the same detections and losses on the TensorFlow and JAX backends."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from boxes_strategy import make_boxes

from models.hyperparameters import ExperimentConfig
from models.network.detector import Detector
from tests.integration.backend_outputs import compute

HERE = pathlib.Path(__file__).parent


SSD = {
    "loss.localization": "giou",
    "loss.negatives_per_positive": 0.0,  # all: which of two equal losses is the higher is rounding
    "postprocess.score_converter": "softmax",
}
FPNLITE = {"model.backbone": "mobilenet_v3_small", "model.head": "fpnlite", "loss.classification": "focal"}


# What both have fails with fpnlite, too; ssd adds softmax, the cross-entropy that focal loss scales, and mobilenet_v2.
@pytest.mark.parametrize(
    "changes",
    [FPNLITE | {"loss.localization": "giou"}, pytest.param(SSD, marks=pytest.mark.slow)],
    ids=["fpnlite", "ssd"],
)
def test_jax_computes_what_tensorflow_does(changes, tmp_path) -> None:
    """Without TensorFlow in JAX's process; convolutions round differently, by some 1e-6 of their size."""
    config = ExperimentConfig().replace({"input.image_size": 64, "model.alpha": 0.35, "model.num_levels": 2, **changes})
    rng = np.random.default_rng(0)
    arrays = {
        "config": np.array(json.dumps(config.to_dict())),
        "images": rng.integers(0, 255, (2, 64, 64, 3)).astype(np.uint8),
        "gt_boxes": np.array([[[0.1, 0.1, 0.6, 0.7]], [[0.2, 0.5, 0.9, 0.9]]], np.float32),
        "gt_labels": np.array([[0], [1]], np.int32),
        "boxes": make_boxes(rng, 2, 50, smallest=0.3),
        "scores": rng.random((2, 50, 2)).astype(np.float32),
    }
    weights = Detector(config, 2).get_weights()
    arrays |= {f"w{number}": weight for number, weight in enumerate(weights)}
    expected = compute(arrays, tf.function)
    np.savez(tmp_path / "in.npz", **arrays)
    # Most of the time is XLA's compiling, which need not be good here.
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    environment["PYTHONPATH"] = str(HERE.parents[1])
    command = [sys.executable, str(HERE / "backend_outputs.py"), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "out.npz")
    assert expected["num_detections"].min() > 0
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
