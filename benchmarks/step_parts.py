"""Times assignment, mining and loss, forward and back, beside the training step they are part of, in the same run.

The part is what lies between the network's outputs and the gradient for them, compiled alone: matching the ground
truth to the anchors, encoding, mining, classification and box loss, the L2 penalty, and their gradients with respect
to the outputs and the penalised kernels. The step is `Detector.fit` on one batch of road scenes in memory. Rounds
alternate.

    python -m benchmarks.step_parts
"""

from typing import Any

import tensorflow as tf

from benchmarks import rounds
from data import input_pipeline
from data.road_scenes import scenes
from models.network import box_coder, matcher
from models.training import devices, programs
from tuner_fn import presets

Tensor = Any
ROUNDS = 5
# Preset and steps a round.
CASES = {
    "128 px, alpha 0.35 (preset quick)": ("quick", 20),
    "300 px, alpha 1.0 (preset standard)": ("standard", 3),
}
ROOMS = (0, 100)  # padded boxes an image at least: as road scenes in memory have them, and `input.max_boxes`
TARGET = 0.1


def main() -> int:
    """Prints milliseconds of the step and its parts, and the parts' share; returns 0."""
    rounds.print_heading("python -m benchmarks.step_parts", ("tensorflow", "keras", "numpy"))
    print(f"median milliseconds of {ROUNDS} rounds (least to most)\n")
    devices.configure_device()
    for name, (preset, steps) in CASES.items():
        program = _program(preset)
        for room in ROOMS:
            config = program.detector.config
            batch = rounds.road_scenes_batch(config.input.batch_size, config.input.image_size, room)
            _print_case(f"{name}, batch {config.input.batch_size}", program, batch, steps)
    return 0


def _program(preset: str) -> programs.Program:
    config = presets.experiment(presets.get_preset(preset), {"model.backbone_weights": "none"}, 0)
    program = programs.Program(config, len(scenes.CLASS_NAMES))
    program.configure(config, 1000)
    return program


def _print_case(name: str, program: programs.Program, batch: dict[str, Any], steps: int) -> None:
    contestants = _contestants(program, batch, steps)
    times = rounds.seconds_in_turn(contestants, ROUNDS)
    print(f"{name}, {program.detector.anchors.shape[0]} anchors, {batch['gt_labels'].shape[1]} boxes with padding")
    for label, found in times.items():
        print(f"  {label:<38}{rounds.spread([1000 * seconds / steps for seconds in found], 2)}")
    share = rounds.median_ratio(times["assignment, mining, loss, gradient"], times["whole step"])
    print(
        f"  part / step   {100 * share:.1f} % (median of the rounds' ratios; target: at most {TARGET:.0%})\n",
        flush=True,
    )


def _contestants(program: programs.Program, batch: dict[str, Any], steps: int) -> dict[str, Any]:
    detector = program.detector
    images, truth = tf.constant(batch["images"]), {name: tf.constant(batch[name]) for name in ("gt_boxes", "gt_labels")}
    one_batch = input_pipeline.untuned(tf.data.Dataset.from_tensors((images, truth)).repeat(steps))
    raw = tf.function(lambda: detector(images, training=True))()

    @tf.function
    def part(truth: dict[str, Tensor], raw: dict[str, Tensor]) -> list[Tensor]:
        sources = [raw["logits"], raw["deltas"], *(kernel.value for kernel in detector.penalised)]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss = detector.compute_loss(y=truth, y_pred=raw)
        return [loss, *tape.gradient(loss, sources)]

    @tf.function
    def assignment(truth: dict[str, Tensor]) -> Tensor:
        scalars = detector.scalars
        targets = matcher.assign(
            truth["gt_boxes"],
            truth["gt_labels"],
            detector.anchors,
            scalars["matched_iou"],
            scalars["unmatched_iou"],
        )
        return box_coder.encode(targets.boxes, detector.anchors, detector.config.anchors.variances), targets.labels

    return {
        "whole step": lambda: detector.fit(one_batch, verbose=0),
        "assignment, mining, loss, gradient": lambda: [part(truth, raw) for _ in range(steps)],
        "of it, assignment and encoding": lambda: [assignment(truth) for _ in range(steps)],
    }


if __name__ == "__main__":
    raise SystemExit(main())
