"""Times a training step in bfloat16 on the JAX backend: images a second and share of the chip's peak.

The step is the detector's whole objective (matching, mining, losses) with gradients and the optimizer's update,
compiled, on one batch of road scenes on the device. It needs Keras, JAX and Pillow, not TensorFlow.

    python -m benchmarks.gpu_training
    python -m benchmarks.gpu_training --device=cpu --image_size=64 --alpha=0.35 --batch_sizes=2 --steps=2

The share of the peak is 3 * 2 * multiply-adds of an image's forward pass * images/s / peak: the backward pass costs
twice the forward one, and a multiply-add is two operations.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported

import jax
import keras
import numpy as np

from benchmarks import rounds
from data.road_scenes import scenes
from models.hyperparameters import ExperimentConfig
from models.network.detector import Detector
from models.training import network_cost, optimizers, schedules

Tensor = Any
WARMUP_STEPS = 3
# Dense bfloat16 operations a second, from NVIDIA's data sheets (half of "with sparsity"), by part of the device's name;
# the first that fits.
PEAKS = {
    "H200 NVL": 835.5e12,
    "H200": 989.5e12,
    "H100 PCIe": 756.5e12,
    "H100 NVL": 835.5e12,
    "H100": 989.5e12,
    "A100": 312e12,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints images a second and the share of the peak for each batch size; returns 0, or 2 without the device."""
    options = _options(arguments)
    try:
        device = jax.devices(options.device)[0]
    except RuntimeError:
        print(f"No {options.device} that JAX can use: nothing is timed.", file=sys.stderr)
        return 2
    keras.config.set_dtype_policy("mixed_bfloat16")
    changes = {"input.image_size": options.image_size, "model.alpha": options.alpha}
    config = ExperimentConfig().replace(changes)
    rounds.print_heading("python -m benchmarks.gpu_training " + " ".join(arguments or sys.argv[1:]), ("jax", "keras"))
    print(f"device: {device.device_kind}, bfloat16 peak {_peak_text(device.device_kind)}")
    print(f"{options.image_size} px, alpha {options.alpha}, {options.steps} steps after {WARMUP_STEPS} of warm-up\n")
    print(f"{'batch':>6}  {'ms a step, median (least to most)':<36}{'images/s':>10}{'share of peak':>15}{'loss':>10}")
    with jax.default_device(device):
        results = [_measure(config, batch, options.steps, device) for batch in options.batch_sizes]
    if options.out:
        record = {"device": device.device_kind, "jax": jax.__version__, "keras": keras.__version__, "results": results}
        pathlib.Path(options.out).write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="where to run (default: gpu)")
    parser.add_argument("--image_size", type=int, default=300, help="side of the images, px (default: 300)")
    parser.add_argument("--alpha", type=float, default=1.0, help="width of the backbone (default: 1.0)")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[32, 128, 256], help="default: 32 128 256")
    parser.add_argument("--steps", type=int, default=30, help="timed steps (default: 30)")
    parser.add_argument("--out", metavar="FILE", help="write the figures as JSON, too")
    return parser.parse_args(arguments)


def peak_flops(device_kind: str) -> float | None:
    """Looks up the dense bfloat16 operations a second of a chip; None where it is not in the table."""
    return next((peak for name, peak in PEAKS.items() if name in device_kind), None)


def _peak_text(device_kind: str) -> str:
    peak = peak_flops(device_kind)
    return "unknown" if peak is None else f"{peak / 1e12:.0f} TFLOP/s"


def _measure(config: ExperimentConfig, batch: int, steps: int, device: Any) -> dict[str, Any]:
    """Times the steps of one batch size and prints a row."""
    keras.utils.set_random_seed(0)
    detector = Detector(config, len(scenes.CLASS_NAMES))
    step, state = training_step(detector)
    data = jax.device_put(rounds.road_scenes_batch(batch, config.input.image_size), device)
    times, loss = [], None
    for _ in range(WARMUP_STEPS + steps):
        start = time.perf_counter()
        loss, state = jax.block_until_ready(step(state, data))
        times.append(time.perf_counter() - start)
    times = times[WARMUP_STEPS:]
    rate = batch / statistics.median(times)
    peak = peak_flops(device.device_kind)
    share = None if peak is None else 3 * 2 * network_cost.multiply_adds(detector.network) * rate / peak
    spread = rounds.spread([1000 * seconds for seconds in times], 2)
    shown = "unknown" if share is None else f"{share:.1%}"
    print(f"{batch:>6}  {spread:<36}{rate:>10.1f}{shown:>15}{float(loss):>10.3f}", flush=True)
    return {"batch": batch, "seconds": times, "images_per_s": rate, "share_of_peak": share, "loss": float(loss)}


def training_step(detector: Detector) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Compiles a detector's training step without state of its own.

    Args:
        detector: built on the JAX backend.

    Returns:
        The step, from (state, batch with images, gt_boxes and gt_labels) to (loss, state), and the first state. A state
        that was given to the step is used up.
    """
    schedule = schedules.LiveSchedule()
    schedule.configure(dataclasses.replace(detector.config.optimizer, schedule="constant"), 1000)
    optimizer = optimizers.make_optimizer(detector.config.optimizer, schedule)
    optimizer.build(detector.trainable_variables)

    def objective(weights: list[Tensor], others: list[Tensor], batch: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        variables = [*detector.trainable_variables, *detector.non_trainable_variables]
        with keras.StatelessScope(state_mapping=zip(variables, [*weights, *others], strict=True)) as scope:
            loss = detector.compute_loss(y=batch, y_pred=detector(batch["images"], training=True))
        return loss, [scope.get_current_value(variable) for variable in detector.non_trainable_variables]

    def step(state: tuple[Any, ...], batch: dict[str, Tensor]) -> tuple[Tensor, tuple[Any, ...]]:
        weights, others, slots = state
        (loss, others), gradients = jax.value_and_grad(objective, has_aux=True)(weights, others, batch)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return loss, (weights, others, slots)

    groups = (detector.trainable_variables, detector.non_trainable_variables, optimizer.variables)
    # Copies: the step reuses their memory, and the variables stay readable.
    state = tuple([jax.numpy.array(np.asarray(variable)) for variable in group] for group in groups)
    return jax.jit(step, donate_argnums=0), state


if __name__ == "__main__":
    raise SystemExit(main())
