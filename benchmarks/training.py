"""Times the whole detector training beside the bare backbone's step of the same size, in the same run.

Ours is `Detector.fit` on its own input pipeline: augmentation, matching, mining, losses, gradients, Adam. The peer is
`keras.applications.MobileNetV2` without its top on one batch in memory: forward, a mean, gradients, Adam. Rounds
alternate.

    python -m benchmarks.training
"""

import pathlib
import statistics
import tempfile

import keras
import numpy as np
import tensorflow as tf

from benchmarks import rounds
from data import input_pipeline
from data.road_scenes import scenes
from models.hyperparameters import ExperimentConfig
from models.training import devices, programs, train
from tuner_fn import presets

ROUNDS = 5
IMAGES = 96
TARGET = 0.85
# Preset and epochs a round, so that building a dataset and entering `fit` do not count for much.
CASES = {
    "128 px, alpha 0.35 (preset quick)": ("quick", 10),
    "300 px, alpha 1.0 (preset standard)": ("standard", 1),
}


def main() -> int:
    """Prints images a second of both, their ratio, and the input pipeline's; returns 0."""
    rounds.print_heading("python -m benchmarks.training", ("tensorflow", "keras", "numpy"))
    print(f"median images/s of {ROUNDS} rounds (least to most)\n")
    devices.configure_device()
    for name, (preset, epochs) in CASES.items():
        config = presets.experiment(presets.get_preset(preset), {"model.backbone_weights": "none"}, 0)
        with tempfile.TemporaryDirectory() as folder:
            split = _road_scenes(pathlib.Path(folder), config)
        rates = _rates(config, split, epochs)
        print(f"{name}, rounds of {IMAGES * epochs} images")
        for label, found in rates.items():
            print(f"  {label:<22}{rounds.spread(found)}")
        ratio = rounds.median_ratio(rates["detector"], rates["bare MobileNetV2"])
        print(f"  detector / bare       {ratio:8.2f} (median of the rounds' ratios; target: at least {TARGET})")
        feed = statistics.median(rates["input pipeline alone"]) / statistics.median(rates["detector"])
        print(f"  input / detector      {feed:8.1f} (target: at least 3)\n", flush=True)
    return 0


def _road_scenes(folder: pathlib.Path, config: ExperimentConfig) -> input_pipeline.Split:
    """Writes and loads `IMAGES` scenes as the ExampleGen does."""
    path = rounds.write_road_scenes(folder, "train", IMAGES, max(128, config.input.image_size))
    settings = config.input
    return input_pipeline.load_split((path,), settings.size, settings.max_boxes, settings.cache_bytes)


def _rates(config: ExperimentConfig, split: input_pipeline.Split, epochs: int) -> dict[str, list[float]]:
    """Times rounds of detector, backbone and input pipeline in turn; returns their images a second."""
    program = programs.Program(config, len(scenes.CLASS_NAMES))
    program.configure(config, 1000)
    batch = config.input.batch_size
    steps = input_pipeline.steps_per_epoch(split.length, batch) * epochs
    bare = _bare_backbone(config)
    size = config.input.image_size
    images = np.random.default_rng(0).uniform(-1, 1, (batch, size, size, 3)).astype(np.float32)
    one_batch = tf.data.Dataset.from_tensors((tf.constant(images), tf.zeros([batch]))).repeat(steps)
    one_batch = input_pipeline.untuned(one_batch)  # or the peer would wait at each end
    contestants = {
        "detector": lambda: program.detector.fit(
            train.training_batches(split, config, first_epoch=0, epochs=epochs), steps_per_epoch=steps, verbose=0
        ),
        "bare MobileNetV2": lambda: bare.fit(one_batch, verbose=0),
        "input pipeline alone": lambda: sum(
            1 for _ in train.training_batches(split, config, first_epoch=0, epochs=epochs)
        ),
    }
    times = rounds.seconds_in_turn(contestants, ROUNDS)
    return {name: [steps * batch / seconds for seconds in found] for name, found in times.items()}


def _bare_backbone(config: ExperimentConfig) -> keras.Model:
    size = config.input.image_size
    model = keras.applications.MobileNetV2(
        input_shape=(size, size, 3), alpha=config.model.alpha, include_top=False, weights=None
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=lambda _, found: keras.ops.mean(found), jit_compile=False)
    return model


if __name__ == "__main__":
    raise SystemExit(main())
