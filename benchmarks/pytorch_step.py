"""Times our training step beside the same architecture's in PyTorch on the CPU, in the same run.

Both train on one batch of road scenes in memory with the same objective, gradient clipping and Adam. Each has a process
of its own with a thread a core, and they take turns: a round of steps of ours while PyTorch waits, then the other way.
PyTorch runs eagerly, as it does unless told otherwise, with channels last, the fused Adam and denormals flushed to zero
(as TensorFlow does), its faster choices on a CPU. Before that our weights are copied; outputs, objective and slopes for
outputs drawn at random (those of new weights are near ties, which rounding mines differently), and the objective in
training mode have to be equal. Gradients of the weights are not compared: through 50 batch norms rounding alone changes
those of the first layers by some percent.

Measure on a quiet machine: PyTorch's threads wait for each other after every operation, so that other work slows it
down more than TensorFlow.

    .venv/bin/python -m pip install -r requirements/benchmarks.txt
    .venv/bin/python -m benchmarks.pytorch_step
"""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks import rounds
from data.road_scenes import scenes
from models.hyperparameters import ExperimentConfig
from models.network import anchors
from tuner_fn import presets

ROUNDS = 11
# Preset and steps a round.
CASES = {
    "128 px, alpha 0.35 (preset quick)": ("quick", 20),
    "300 px, alpha 1.0 (preset standard)": ("standard", 2),
}
TARGET = 1.0
TOLERANCE = 1e-3  # of the largest value; some 60 convolutions round differently, by about 1e-5


def main() -> int:
    """Prints images a second of both and their ratio; returns 0, or 1 where the two do not compute the same."""
    rounds.print_heading("python -m benchmarks.pytorch_step", ("tensorflow", "keras", "torch", "numpy"))
    print(f"median images/s of {ROUNDS} rounds (least to most)\n")
    return max(_compare(name, preset, steps) for name, (preset, steps) in CASES.items())


def _compare(name: str, preset: str, steps: int) -> int:
    """Checks and times one preset; returns 1 where the two do not compute the same."""
    config = presets.experiment(presets.get_preset(preset), {"model.backbone_weights": "none"}, 0)
    batch = rounds.road_scenes_batch(config.input.batch_size, config.input.image_size)
    with _Worker(_serve_tensorflow, config, batch) as ours, _Worker(_serve_pytorch, config, batch) as theirs:
        generator = np.random.default_rng(0)
        shapes = (len(batch["images"]), len(anchors.detector_anchors(config)))
        drawn = {
            name: generator.normal(size=(*shapes, last)).astype("float32")
            for name, last in (("logits", len(scenes.CLASS_NAMES)), ("deltas", 4))
        }
        weights, expected = ours.ask(("check", drawn))
        differences = _differences(expected, theirs.ask(("check", (weights, drawn))))
        print(f"{name}, batch {config.input.batch_size}, rounds of {steps} steps")
        print(f"  threads               ssd-tuner {ours.ask(('threads', 0))}, PyTorch {theirs.ask(('threads', 0))}")
        print("  largest difference    " + ", ".join(f"{key} {value:.1e}" for key, value in differences.items()))
        if max(differences.values()) > TOLERANCE:
            print(f"  not the same computation (more than {TOLERANCE}): nothing is timed\n", flush=True)
            return 1
        workers = {"ssd-tuner": ours, "PyTorch": theirs}
        asks = {label: lambda worker=worker: worker.ask(("steps", steps)) for label, worker in workers.items()}
        times = rounds.seconds_in_turn(asks, ROUNDS)
    for label, found in times.items():
        rates = [steps * config.input.batch_size / seconds for seconds in found]
        print(f"  {label:<22}{rounds.spread(rates)}")
    ratio = rounds.median_ratio(times["PyTorch"], times["ssd-tuner"])
    print(
        f"  ssd-tuner / PyTorch   {ratio:8.2f} (median of the rounds' ratios; target: at least {TARGET})\n", flush=True
    )
    return 0


def _differences(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """Computes the largest differences, relative to the largest value."""
    found = {}
    for name, value in ours.items():
        other = theirs[name]
        equal = other.shape == value.shape
        found[name] = float(np.abs(other - value).max() / np.abs(value).max()) if equal else np.inf
    return found


class _Worker:
    """A process that answers ("check", values), ("threads", _) and ("steps", count), and waits in between."""

    def __init__(self, serve: Callable[..., None], config: ExperimentConfig, batch: dict[str, np.ndarray]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, config, batch), daemon=True)
        self.process.start()
        other.close()

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self.process.join()

    def ask(self, question: tuple[str, Any]) -> Any:
        """Sends a question and waits for the answer; EOFError where the process died."""
        self.pipe.send(question)
        return self.pipe.recv()


def _answer(pipe: Connection, answers: dict[str, Callable[[Any], Any]]) -> None:
    """Answers until the other end is closed."""
    try:
        while True:
            name, value = pipe.recv()
            pipe.send(answers[name](value))
    except EOFError:
        return


def _serve_tensorflow(pipe: Connection, config: ExperimentConfig, batch: dict[str, np.ndarray]) -> None:
    from pipeline import environment

    environment.share_threads(config.input.size)  # as `ssd-tuner run` does
    import tensorflow as tf  # each library only in its own process

    from data import input_pipeline
    from models.training import devices, programs

    devices.configure_device()
    program = programs.Program(config, len(scenes.CLASS_NAMES))
    program.configure(config, 1000)
    detector = program.detector
    images, truth = tf.constant(batch["images"]), {name: tf.constant(batch[name]) for name in ("gt_boxes", "gt_labels")}
    one_batch = input_pipeline.untuned(tf.data.Dataset.from_tensors((images, truth)))

    def check(drawn: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        layers = (layer for layer in detector.network.layers if layer.weights)
        weights = {f"{layer.name}/{weight.name}": np.asarray(weight) for layer in layers for weight in layer.weights}
        outputs = detector(images, training=False)
        drawn = {name: tf.constant(value) for name, value in drawn.items()}
        with tf.GradientTape() as tape:
            tape.watch(drawn)
            loss = detector.compute_loss(y=truth, y_pred=drawn)
        slopes = {f"slopes of {name}": slope for name, slope in tape.gradient(loss, drawn).items()}
        in_training = detector.compute_loss(y=truth, y_pred=detector(images, training=True))
        found = {**outputs, **slopes, "objective": loss, "objective in training": in_training}
        return weights, {name: np.asarray(value) for name, value in found.items()}

    inside, between = (os.environ.get(f"TF_NUM_{kind}_THREADS", os.cpu_count()) for kind in ("INTRAOP", "INTEROP"))
    threads = f"{inside} an operation, {between} operations at a time"
    _answer(
        pipe,
        {
            "check": check,
            "threads": lambda _: threads,
            "steps": lambda count: detector.fit(one_batch.repeat(count), verbose=0).history["loss"],
        },
    )


def _serve_pytorch(pipe: Connection, config: ExperimentConfig, batch: dict[str, np.ndarray]) -> None:
    import torch  # each library only in its own process

    from benchmarks import pytorch_ssd

    torch.set_flush_denormal(True)
    torch.set_num_threads(os.cpu_count())
    per_cell = [len(shapes) for shapes in anchors.detector_shapes(config)]
    detector = pytorch_ssd.Detector(config, len(scenes.CLASS_NAMES), per_cell, anchors.detector_anchors(config))
    detector = detector.to(memory_format=torch.channels_last)
    images = torch.from_numpy(batch["images"]).permute(0, 3, 1, 2)  # channels last in memory
    truth = torch.from_numpy(batch["gt_boxes"]), torch.from_numpy(batch["gt_labels"]).long()
    settings = config.optimizer
    optimizer = torch.optim.Adam(
        detector.parameters(), settings.learning_rate, (settings.momentum, 0.999), settings.epsilon, fused=True
    )

    def check(values: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        weights, drawn = values
        detector.load_keras(weights)
        logits, deltas = detector.eval()(images)
        outputs = [torch.from_numpy(drawn[name]).requires_grad_() for name in ("logits", "deltas")]
        loss = pytorch_ssd.objective(detector, *outputs, *truth)
        slopes = torch.autograd.grad(loss, outputs)
        in_training = pytorch_ssd.objective(detector, *detector.train()(images), *truth)
        detector.exact_padding = False  # from here on PyTorch's own padding: no copies
        found = {"logits": logits, "deltas": deltas, "objective": loss, "objective in training": in_training}
        found |= {"slopes of logits": slopes[0], "slopes of deltas": slopes[1]}
        return {name: value.detach().numpy() for name, value in found.items()}

    def steps(count: int) -> list[float]:
        return [pytorch_ssd.train_step(detector, optimizer, images, *truth) for _ in range(count)]

    _answer(pipe, {"check": check, "threads": lambda _: torch.get_num_threads(), "steps": steps})


if __name__ == "__main__":
    raise SystemExit(main())
