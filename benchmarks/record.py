"""Records real trainings of many configurations on several tasks: the table on which plan and search are developed.

Configuration 0 is the plan's, 1 the declared defaults', the others are drawn from a broad space around the plan; the
same ones are trained on every task, each on one core, every fifth with three seeds. A training that is done is kept in
the folder: the same command goes on. `--pack` writes what is there to `benchmarks/recorded/<task>.json.gz`.

    python -m benchmarks.record --folder=FOLDER [--tasks=raccoon,cards] [--configurations=80] [--part=0/2] [--pack]
"""

import argparse
import gzip
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import rounds, trainings
from data import files, sources
from models.hyperparameters import ExperimentConfig
from tuner_fn import presets
from tuner_fn.plan import fingerprint, plan

PACKED = pathlib.Path(__file__).parent / "recorded"
LENGTHS = {"raccoon": (128, 30), "cards": (128, 20), "thermal": (128, 12), "hituav": (256, 20)}  # px, epochs
SEEDS = 3
CHOICES: dict[str, tuple[Any, ...]] = {
    "model.head": ("ssdlite", "ssdlite", "ssd", "fpnlite"),
    "model.first_stride": (8, 16),
    "model.alpha": (0.35, 0.35, 0.5, 0.75),
    "model.head_kernel_size": (3, 3, 5),
    "model.class_bias": (0.0, -3.0),
    "model.initializer": ("truncated_normal", "variance_scaling"),
    "loss.classification": ("sigmoid", "sigmoid", "softmax", "focal"),
    "loss.localization": ("smooth_l1", "giou"),
    "loss.matched_iou": (0.4, 0.5, 0.6),
    "optimizer.name": ("adam", "adam", "adamw"),
    "optimizer.ema_momentum": (0.0, 0.98, 0.99),
    "augment.crop_probability": (0.0, 0.5, 1.0),
    "augment.jitter_probability": (0.0, 0.5),
    "augment.mosaic_probability": (0.0, 0.0, 0.5),
    "augment.color_strength": (0.0, 0.3),
    "input.batch_size": (8, 16),
}
RANGES = {  # logarithmic
    "optimizer.learning_rate": (7e-4, 8e-3),
    "loss.localization_weight": (0.5, 3.0),
    "loss.l2": (1e-6, 5e-4),
}


def main() -> int:
    """Trains what is missing, or packs what is there; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for examples and results")
    parser.add_argument("--tasks", default=",".join(LENGTHS), help="by comma")
    parser.add_argument("--configurations", type=int, default=80, help="how many")
    parser.add_argument("--part", default="0/1", help="K/N: every N-th training from the K-th on, for N processes")
    parser.add_argument("--pack", action="store_true", help="write the committed files and train nothing")
    arguments = parser.parse_args()
    tasks = arguments.tasks.split(",")
    if arguments.pack:
        for task in tasks:
            pack(task, arguments.folder)
        return 0
    trainings.one_core()
    rounds.print_heading("python -m benchmarks.record", ("tensorflow", "keras"))
    own, parts = map(int, arguments.part.split("/"))
    work = [
        (number, seed, task)
        for number in range(arguments.configurations)
        for seed in range(SEEDS if number % 5 == 0 else 1)
        for task in tasks
    ]
    abouts = {task: _fingerprint(task) for task in tasks}
    for number, seed, task in work[own::parts]:
        config, epochs = configuration(number, task, abouts[task], seed), LENGTHS[task][1]
        try:
            found = trainings.score(task, config, arguments.folder, epochs=epochs, number=number)
        except Exception as error:  # one that diverges is a result, too
            found = {"failed": f"{type(error).__name__}: {error}"[:200]}
        curve = found.get("curve", {})
        last = [curve[name][-1] for name in ("AP50", "AP")] if curve else found["failed"]
        print(f"  {task} {number} seed {seed}: val {last} test {found.get('test')} {found.get('minutes')}", flush=True)
    return 0


def configuration(number: int, task: str, about: fingerprint.Fingerprint, seed: int) -> ExperimentConfig:
    """Makes a configuration of the table for a task."""
    base = {"input.image_size": LENGTHS[task][0]}
    if number == 1:
        return presets.experiment(presets.get_preset("cpu"), base, seed)
    drawn = _draw(number) if number else {}
    config = presets.experiment(presets.get_preset("cpu"), base | drawn, seed)
    return config.replace(plan.make(about, config, fixed=list(drawn)).settings)


def _draw(number: int) -> dict[str, Any]:
    """Draws a configuration around the plan: of each setting the plan's value is among the likely ones."""
    rng = np.random.default_rng([19, number])
    found = {path: values[rng.integers(len(values))] for path, values in CHOICES.items()}
    for path, (low, high) in RANGES.items():
        found[path] = float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")
    if found["optimizer.name"] == "adamw":
        found["optimizer.weight_decay"] = 0.02
    if found["loss.classification"] == "focal":
        found["model.class_bias"] = -4.6
    return found


def _fingerprint(task: str) -> fingerprint.Fingerprint:
    source = sources.open_source(trainings.TASKS[task].spec, trainings.TASKS[task].options)
    return fingerprint.take(source, fingerprint.this_machine())


def pack(task: str, folder: pathlib.Path) -> None:
    """Writes a task's finished trainings, sorted by configuration and seed."""
    found = [row for row in _results(folder / task) if "number" in row]
    found.sort(key=lambda row: (row["number"], row["settings"].get("training.seed", 0)))
    path = PACKED / f"{task}.json.gz"
    data = gzip.compress(json.dumps(found, separators=(",", ":")).encode(), mtime=0)
    files.write_bytes(path, data)
    print(f"{path}: {len(found)} trainings, {len(data)} bytes")


def _results(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    for path in folder.glob("*.json"):
        yield json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(main())
