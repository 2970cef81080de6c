"""Records real trainings of many configurations on several tasks: the table on which plan and search are developed.

Configuration 0 is the plan's, but for width and epochs, which are the preset's, 1 the preset's alone; the next ones
differ from 0 in one setting each (`ALONE`), all others are drawn from a broad space: each setting keeps the plan's
value with a chance of 0.6. The same ones are trained on every task, each on one core, first with one seed, then every
fifth with two more. A training that is done is kept in the folder: the same command continues. `--pack` adds what is
in the folder to `benchmarks/recorded/<task>.json.gz`.

    python -m benchmarks.record --folder=FOLDER [--tasks=raccoon,cards] [--configurations=80] [--part=0/2] [--pack]
"""

import argparse
import gzip
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import kept_trainings, rounds
from data import files, sources
from models.hyperparameters import ExperimentConfig
from tuner_fn import presets
from tuner_fn.plan import fingerprint, plan

PACKED = pathlib.Path(__file__).parent / "recorded"
LENGTHS = {"raccoon": (128, 30), "cards": (128, 20), "thermal": (128, 12), "hituav": (128, 20)}  # px, epochs
KEPT = ("model.alpha", "training.epochs")  # as in the preset: wide networks and long trainings take hours
SEEDS = 3
ALONE: tuple[dict[str, Any], ...] = (
    {"input.batch_size": 2},
    {"input.batch_size": 8},
    {"optimizer.learning_rate": 0.001},
    {"optimizer.learning_rate": 0.004},
    {"loss.localization": "giou"},
    {"loss.localization": "giou", "loss.localization_weight": 0.5},
    {"loss.localization_weight": 0.5},
    {"model.first_stride": 16},
    {"augment.crop_probability": 0.0},
    {"augment.mosaic_probability": 0.5},
    {"loss.matched_iou": 0.4},
    {"model.initializer": "variance_scaling"},
    {"loss.classification": "focal", "model.class_bias": -4.6},
    {"loss.classification": "softmax"},
    {"model.class_bias": -3.0},
    {"augment.jitter_probability": 0.5},
    {"model.head": "fpnlite"},
    {"loss.negatives_per_positive": 6.0},
    {"loss.localization_weight": 2.0},
    {"model.head_kernel_size": 5},
    {"optimizer.name": "adamw", "optimizer.weight_decay": 0.05},
    {"loss.l2": 4e-4},
    {"augment.color_strength": 0.5},
    {"optimizer.ema_momentum": 0.99},
    {"loss.matched_iou": 0.6},
    {"augment.crop_probability": 1.0},
    {"model.head": "ssd", "model.head_kernel_size": 3},
    {"optimizer.momentum": 0.8},
    {"model.alpha": 0.5},
    {"model.alpha": 0.75},
)
CHOICES: dict[str, tuple[Any, ...]] = {  # beside the plan's value
    "model.head": ("ssd", "fpnlite"),
    "model.first_stride": (16,),
    "model.alpha": (0.5, 0.75),
    "model.head_kernel_size": (3, 5),
    "model.class_bias": (-3.0,),
    "model.initializer": ("variance_scaling",),
    "loss.classification": ("softmax", "focal"),
    "loss.localization": ("giou",),
    "loss.matched_iou": (0.4, 0.6),
    "loss.negatives_per_positive": (2.0, 6.0),
    "optimizer.name": ("adamw",),
    "optimizer.ema_momentum": (0.98, 0.99),
    "augment.crop_probability": (0.0, 1.0),
    "augment.jitter_probability": (0.5,),
    "augment.mosaic_probability": (0.25, 0.5),
    "augment.color_strength": (0.5,),
    "input.batch_size": (2, 4, 8),
}
RANGES = {  # logarithmic
    "optimizer.learning_rate": (7e-4, 8e-3),
    "loss.localization_weight": (0.5, 3.0),
    "loss.l2": (1e-6, 1e-3),
}
_KEEP = 0.6  # chance that a drawn configuration has the plan's value of a setting


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
    kept_trainings.one_core()
    rounds.print_heading("python -m benchmarks.record", ("tensorflow", "keras"))
    own, parts = map(int, arguments.part.split("/"))
    work = [(number, 0, task) for number in range(arguments.configurations) for task in tasks]
    repeated = sorted({0, 1, *range(0, arguments.configurations, 5)})
    work += [(number, seed, task) for number in repeated for seed in range(1, SEEDS) for task in tasks]
    abouts = {task: _fingerprint(task) for task in tasks}
    for number, seed, task in work[own::parts]:
        config, epochs = configuration(number, task, abouts[task], seed), LENGTHS[task][1]
        try:
            found = kept_trainings.score(task, config, arguments.folder, epochs=epochs, number=number)
        except Exception as error:  # one that diverges is a result, too
            found = {"failed": f"{type(error).__name__}: {error}"[:200]}
        curve = found.get("curve", {})
        last = [curve[name][-1] for name in ("AP50", "AP")] if curve else found["failed"]
        print(f"  {task} {number} seed {seed}: val {last} test {found.get('test')} {found.get('minutes')}", flush=True)
    return 0


def configuration(number: int, task: str, about: fingerprint.Fingerprint, seed: int) -> ExperimentConfig:
    """Makes a configuration of the table for a task."""
    base = {"input.image_size": LENGTHS[task][0]}
    preset = presets.get_preset("cpu")
    if number == 1:
        return presets.experiment(preset, base, seed)
    drawn = {} if number == 0 else ALONE[number - 2] if number - 2 < len(ALONE) else _draw(number)
    config = presets.experiment(preset, base | drawn, seed)
    return config.replace(plan.make(about, config, fixed=[*KEPT, *drawn]).settings)


def _draw(number: int) -> dict[str, Any]:
    """Draws a configuration around the plan."""
    rng = np.random.default_rng([19, number])
    found: dict[str, Any] = {}
    for path, values in CHOICES.items():
        keep, value = rng.random() < _KEEP, values[rng.integers(len(values))]
        if not keep:
            found[path] = value
    for path, (low, high) in RANGES.items():
        keep, value = rng.random() < _KEEP, float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")
        if not keep:
            found[path] = value
    if "optimizer.name" in found:
        found["optimizer.weight_decay"] = 0.05
    if found.get("loss.classification") == "focal":
        found["model.class_bias"] = -4.6
    return found


def _fingerprint(task: str) -> fingerprint.Fingerprint:
    source = sources.open_source(kept_trainings.TASKS[task].spec, kept_trainings.TASKS[task].options)
    return fingerprint.take(source, fingerprint.this_machine())


def pack(task: str, folder: pathlib.Path) -> None:
    """Adds a task's finished trainings to the committed file, by configuration and seed.

    Those of other scripts have no "number".
    """
    path = PACKED / f"{task}.json.gz"
    before = json.loads(gzip.decompress(path.read_bytes())) if path.exists() else []
    rows = {}
    for row in (*before, *_results(folder / task)):  # of two results of one training the folder's is kept
        rows[json.dumps([row[name] for name in kept_trainings.DEPENDS_ON], sort_keys=True)] = row
    found = sorted(
        rows.values(),
        key=lambda row: (row.get("number", np.inf), row["settings"].get("training.seed", 0), json.dumps(row)),
    )
    data = gzip.compress(json.dumps(found, separators=(",", ":")).encode(), mtime=0)
    files.write_bytes(path, data)
    print(f"{path}: {len(found)} trainings, {len(data)} bytes")


def _results(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    for path in folder.glob("*.json"):
        yield json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(main())
