"""Times searches of short trials: this kit's tuner beside stock Keras Tuner, with the same model, data and budgets.

Both search the learning rate, the weight decay and two probabilities of the augmentation at random, 30 trials of one
epoch over 64 images of 128 px, preset quick, and score mAP on 16 images. The peer is `keras_tuner.RandomSearch` with a
`HyperModel` that builds the kit's own detector, as one would without this kit: anew for every trial.

    python -m benchmarks.throughput [--trials=30] [--ours]
"""

import argparse
import itertools
import pathlib
import tempfile
import time
from typing import Any

import keras_tuner
import psutil

from benchmarks import rounds
from data.road_scenes import scenes
from models.hyperparameters import ExperimentConfig
from models.training import programs, train
from pipeline import environment
from tuner_fn import oracles, presets, search_space
from tuner_fn.trial_runner import DetectionTuner, make_objective

TRAIN_IMAGES, VAL_IMAGES, EPOCHS, SIDE_PX = 64, 16, 1, 128
TUNED = ("optimizer.learning_rate", "loss.l2", "augment.crop_probability", "augment.photometric_strength")
OBJECTIVE = make_objective("AP")
TARGET = 3.0


def main() -> int:
    """Prints the seconds of both, by trial and in all, and the ratio; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30, help="of each search")
    parser.add_argument("--ours", action="store_true", help="without the peer, to see memory over many trials")
    arguments = parser.parse_args()
    trials = arguments.trials
    rounds.print_heading("python -m benchmarks.throughput", ("tensorflow", "keras", "keras-tuner"))
    environment.share_threads(SIDE_PX)
    config = presets.experiment(presets.get_preset("quick"), {"input.image_size": SIDE_PX}, 0)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        data = [
            [rounds.write_road_scenes(root, split, count, SIDE_PX)]
            for split, count in (("train", TRAIN_IMAGES), ("val", VAL_IMAGES))
        ]
        ours, sizes = _search_ours(config, data, root, trials)
        searches = {"ssd-tuner": ours}
        if not arguments.ours:
            searches["stock Keras Tuner"] = _search_stock(config, data, root, trials)
    print(f"\n{trials} trials of {EPOCHS} epoch, {TRAIN_IMAGES} images of {SIDE_PX} px; seconds")
    for name, seconds in searches.items():
        others = rounds.spread(seconds[1:], 2)
        print(f"  {name:<18} first trial {seconds[0]:6.2f}, the others {others}, in all {sum(seconds):7.1f}")
    if not arguments.ours:
        ratio = sum(searches["stock Keras Tuner"]) / sum(ours)
        print(f"  stock / ssd-tuner, in all {ratio:5.1f} (target: at least {TARGET:g})")
        print(f"  resident memory with stock Keras Tuner in the end {psutil.Process().memory_info().rss / 1e6:.0f} MB")
    marks = sorted({min(mark, trials) for mark in (2, 10, 30, 100, 200, trials)})
    shown = ", ".join(f"{sizes[mark - 1] / 1e6:.0f} MB after {mark}" for mark in marks)
    print(f"  resident memory of ssd-tuner's training process: {shown} trials")
    return 0


def _space(config: ExperimentConfig) -> keras_tuner.HyperParameters:
    return search_space.make_search_space(config, _ranges(config))


def _ranges(config: ExperimentConfig) -> search_space.Ranges:
    return search_space.pick({}, TUNED, config)


def _search_ours(
    config: ExperimentConfig, data: list[list[str]], root: pathlib.Path, trials: int
) -> tuple[list[float], list[int]]:
    """Returns the seconds of each trial, the start of the process counted to the first, and its bytes after each."""
    oracle = oracles.make_oracle(
        "random", objective=OBJECTIVE, hyperparameters=_space(config), max_epochs=EPOCHS, seed=0, max_trials=trials
    )
    times, sizes = [time.perf_counter()], []

    class Timed(DetectionTuner):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            times.append(time.perf_counter())
            sizes.append(self.process.size_bytes)

    folders = {"directory": root / "ours", "logdir": root / "logs"}
    Timed(oracle, config, ranges=_ranges(config), class_names=scenes.CLASS_NAMES, **folders).search(*data, verbose=0)
    return [end - start for start, end in itertools.pairwise(times)], sizes


def _search_stock(config: ExperimentConfig, data: list[list[str]], root: pathlib.Path, trials: int) -> list[float]:
    """Returns the seconds of each trial."""

    class Model(keras_tuner.HyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> Any:
            for parameter in _space(config).space:
                hp.Float(parameter.name, parameter.min_value, parameter.max_value, sampling=parameter.sampling)
            self.config = search_space.configuration(config, hp.values)
            self.program = programs.Program(self.config, len(scenes.CLASS_NAMES))
            return self.program.detector

        def fit(
            self, hp: keras_tuner.HyperParameters, model: Any, *_: Any, callbacks: Any, **__: Any
        ) -> dict[str, float]:
            split, validation = train.load_data(self.config, *data, scenes.CLASS_NAMES)
            steps = split.length // self.config.input.batch_size
            self.program.configure(self.config, steps * EPOCHS)
            batches = train.training_batches(split, self.config, first_epoch=0, epochs=EPOCHS)
            model.fit(batches, steps_per_epoch=steps, epochs=EPOCHS, verbose=0)
            return {OBJECTIVE.name: validation.metrics(model)["AP"]}

    times = [time.perf_counter()]

    class Timed(keras_tuner.RandomSearch):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            times.append(time.perf_counter())

    settings = {"max_trials": trials, "seed": 1, "directory": str(root), "project_name": "stock"}
    Timed(Model(), objective=OBJECTIVE, **settings).search(verbose=0)
    # Keras Tuner builds the model once before the first trial, to find the space; that is its way of starting.
    return [end - start for start, end in itertools.pairwise(times)]


if __name__ == "__main__":
    raise SystemExit(main())
