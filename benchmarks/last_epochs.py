"""What other weights than the last epoch's would have scored: averages of the last epochs, re-estimated batch norm.

One training of the plan gives every contestant, so all pairs share data, seed and noise: the last epoch's weights; the
mean of the weights after each epoch of the last quarter (Izmailov et al. 2018); and either with batch norm's statistics
estimated anew, as the mean over the train images, not augmented, in batches of 32. It prints test mAP@.5 by seed, with
mean and standard deviation, of which two seeds of one configuration should have less. What is done is kept in the
folder: the same command continues.

    python -m benchmarks.last_epochs --folder=FOLDER [--tasks=raccoon,cards] [--seeds=3]
"""

import argparse
import itertools
import json
import pathlib
import statistics
import sys
from collections.abc import Iterable

import keras
import numpy as np

from benchmarks import kept_trainings, record, rounds, tuned_gain
from data import files
from models.network.detector import Detector
from models.training import train

PART = 4  # the last of so many equal parts of a training is averaged
BATCH = 32  # images whose statistics are taken together
LAST, AVERAGED = "last epoch", "last quarter averaged"
CONTESTANTS = tuple(f"{one}{more}" for one in (LAST, AVERAGED) for more in ("", ", batch norm re-estimated"))


class Averages(keras.callbacks.Callback):
    """Sums up the weights after each of the last epochs.

    Attributes:
        first: epoch from 0 that counts first.
        count: epochs summed.
        sums: of each weight and each moving statistic, float64.
    """

    def __init__(self, first: int) -> None:
        """Begins with none."""
        super().__init__()
        self.first, self.count, self.sums = first, 0, []

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Adds the weights."""
        del logs
        if epoch >= self.first:
            now = [np.asarray(variable, np.float64) for variable in self.model.weights]
            self.sums = [old + new for old, new in zip(self.sums, now, strict=True)] if self.count else now
            self.count += 1


def main() -> int:
    """Prints a table by task; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for examples and results")
    parser.add_argument("--tasks", default=",".join(record.LENGTHS), help="by comma")
    parser.add_argument("--seeds", type=int, default=3, help="0 to one below it")
    arguments = parser.parse_args()
    kept_trainings.one_core()
    rounds.print_heading(f"python -m benchmarks.last_epochs {' '.join(sys.argv[1:])}", ("tensorflow", "keras"))
    tasks = arguments.tasks.split(",")
    found: dict[str, list[dict[str, float]]] = {task: [] for task in tasks}
    for seed, task in itertools.product(range(arguments.seeds), tasks):
        found[task].append(_scores(task, seed, arguments.folder))
        print(f"  {task} seed {seed}: {found[task][-1]}", flush=True)
    for task, name in itertools.product(tasks, CONTESTANTS):
        values = [row[name] for row in found[task]]
        gain = statistics.mean(row[name] - row[LAST] for row in found[task])
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{task:10s}{name:50s}{statistics.mean(values):.3f} ({spread:.3f}), gain {gain:+.4f}")
    return 0


def _scores(task: str, seed: int, folder: pathlib.Path) -> dict[str, float]:
    """Trains the plan once, unless that is done, and scores each contestant on test."""
    path = folder / f"{task}_{seed}.json"
    if not path.exists():
        files.write_json(path, _train(task, seed, folder))
    return json.loads(path.read_text(encoding="utf-8"))


def _train(task: str, seed: int, folder: pathlib.Path) -> dict[str, float]:
    size, epochs = record.LENGTHS[task]
    about = argparse.Namespace(set=[f"input.image_size={size}"], epochs=epochs, preset="cpu")
    config = kept_trainings.from_scratch(tuned_gain.configuration(task, "plan", seed, about))
    splits, class_names = kept_trainings.write_examples(kept_trainings.TASKS[task], folder / task, config.input.tile)
    averages = Averages(epochs - max(epochs // PART, 1))
    data = (config, splits["train"], splits["val"], class_names)
    detector = train.train(*data, epochs=epochs, validate_at=(epochs,), callbacks=[averages]).detector
    test = train.Validation(tuple(splits["test"]), config, tuple(class_names))
    images, _ = train.load_data(*data)
    found = {}
    for name in (LAST, AVERAGED):
        if name == AVERAGED:
            for variable, total in zip(detector.weights, averages.sums, strict=True):
                variable.assign((total / averages.count).astype(np.asarray(variable).dtype))
        found[name] = float(test.metrics(detector)["AP50"])
        estimate_batch_norm(detector, images.images(BATCH))
        found[f"{name}, batch norm re-estimated"] = float(test.metrics(detector)["AP50"])
    return found


def estimate_batch_norm(detector: Detector, batches: Iterable[object]) -> None:
    """Sets the moving statistics of all batch norms to their means over batches of images.

    Args:
        detector: whose statistics change.
        batches: uint8 [B, H, W, 3] each.
    """
    norms = [layer for layer in detector.network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = [layer.momentum for layer in norms]
    for number, images in enumerate(batches):
        for layer in norms:
            layer.momentum = number / (number + 1.0)  # so that the moving average is that of all batches
        detector(images, training=True)
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum


if __name__ == "__main__":
    raise SystemExit(main())
