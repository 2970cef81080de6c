"""The GPU script on the CPU: a step runs without TensorFlow, and a missing GPU is one clear line."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
CODE = """
import sys
sys.modules["tensorflow"] = None  # any import of it fails
from benchmarks import gpu_training
from models.network import backbones, layers
import keras

@backbones.register("three convolutions")  # XLA compiles them in half the time of the smallest backbone
def three(config, size):
    maps = [keras.Input((*size, 3))]
    for number, stride in enumerate((8, 2, 2)):
        maps.append(layers.conv_bn(maps[-1], 8, config, f"conv_{number}", kernel=3, stride=stride))
    return keras.Model(maps[0], maps[1:])

small = gpu_training.ExperimentConfig().replace({"model.backbone": "three convolutions", "model.num_levels": 2})
gpu_training.ExperimentConfig = lambda: small
sys.exit(gpu_training.main())
"""


def run(*options):
    # Most of the time is XLA's compiling, which need not be good here.
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    command = [sys.executable, "-c", CODE, *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_step_runs_on_the_cpu(tmp_path):
    small = ("--image_size=64", "--alpha=0.1", "--batch_sizes", "2", "--steps=2")
    done = run("--device=cpu", *small, f"--out={tmp_path}/figures.json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert result["batch"] == 2
    assert len(result["seconds"]) == 2
    assert result["images_per_s"] > 0
    assert result["share_of_peak"] is None  # a CPU's peak is in no table
    assert np.isfinite(result["loss"])


def test_without_a_gpu_it_says_so_in_one_line():
    done = run()
    assert done.returncode == 2
    assert done.stderr.strip() == "No gpu that JAX can use: nothing is timed."
