"""Trains what a search found beside the study's settings and the declared defaults, for as many epochs, by seed.

All start from the same pretrained backbone and are scored on val and on test once, after their last epoch. The study's
settings and the defaults are trained as they are and with moving averages that follow a short training. Each training
has a core of its own. States and scores are kept in the folder under their settings, so the same command continues.

    ssd-tuner import-config ../shared/ssd_mobilenet_v2_flir.config --output=study.json
    python -m benchmarks.study --workdir=FOLDER --dataset=coco:FOLDER --study=study.json --tuned=best_config.json
        --backbone_weights=FILE [--only=NAME,...] [--seeds=3] [--epochs=20] [--jobs=2]
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import multiprocessing
import pathlib
import statistics
from typing import Any

from benchmarks import kept_trainings, rounds
from data import files, sources
from models.hyperparameters import ExperimentConfig
from models.training import train as training
from pipeline import configs
from tuner_fn import presets

METRICS = ("AP50", "AP")
Scores = dict[str, float]  # "val AP50", "val AP", "test AP50", "test AP", "minutes"


def main() -> int:
    """Prints every training's scores, then a table of means with standard deviations; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, help="for examples, training states and scores")
    parser.add_argument("--dataset", required=True, help="as of `ssd-tuner run`")
    parser.add_argument("--study", required=True, help="settings of the study, from `ssd-tuner import-config`")
    parser.add_argument("--tuned", help="best_config.json of a search")
    parser.add_argument("--backbone_weights", default="imagenet", help="that all of them start from")
    parser.add_argument("--only", help="train these alone: study, study_0.97, defaults, defaults_0.92, tuned")
    parser.add_argument("--seeds", type=int, default=3, help="0 to one below it")
    parser.add_argument("--epochs", type=int, default=20, help="of each training")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    arguments = parser.parse_args()
    rounds.print_heading("python -m benchmarks.study", ("tensorflow", "keras"))
    contestants = _contestants(arguments)
    unknown = [name for name in (arguments.only or "").split(",") if name and name not in contestants]
    if unknown:
        parser.error(f"--only={unknown[0]}: there are {', '.join(contestants)}; `tuned` needs --tuned")
    if arguments.only:
        contestants = {name: contestants[name] for name in arguments.only.split(",")}
    root = pathlib.Path(arguments.workdir)
    splits, class_names = kept_trainings.write_source(sources.open_source(arguments.dataset), root)
    train = functools.partial(_train, splits, class_names, arguments.epochs)
    found: dict[str, list[Scores]] = {name: [] for name in contestants}
    spawn = multiprocessing.get_context("spawn")  # TensorFlow survives no fork
    with concurrent.futures.ProcessPoolExecutor(
        arguments.jobs, mp_context=spawn, initializer=kept_trainings.one_core
    ) as pool:
        runs = {
            pool.submit(train, config.replace({"training.seed": seed}), root / f"{name}_{seed}"): (name, seed)
            for seed in range(arguments.seeds)
            for name, config in contestants.items()
        }
        for run in concurrent.futures.as_completed(runs):
            name, seed = runs[run]
            found[name].append(run.result())
            numbers = ", ".join(f"{key} {value:.4f}" for key, value in run.result().items())
            print(f"  {name}, seed {seed}: {numbers}", flush=True)
    _print_table(found, arguments.epochs)
    return 0


def _contestants(arguments: argparse.Namespace) -> dict[str, ExperimentConfig]:
    """Reads the settings by name; all get the same backbone."""
    study = configs.read_config(arguments.study)
    defaults = presets.experiment(presets.get_preset("standard"), {}, seed=0)
    found = {
        "study": study,
        "study_0.97": study.replace({"model.batch_norm_momentum": 0.97}),
        "defaults": defaults,
        "defaults_0.92": defaults.replace({"model.batch_norm_momentum": 0.92}),  # as `run` proposes for a short search
    }
    if arguments.tuned:
        found["tuned"] = configs.read_config(arguments.tuned)
    weights = {"model.backbone_weights": arguments.backbone_weights}
    return {name: config.replace(weights) for name, config in found.items()}


def _digest(value: Any) -> str:
    """Names a JSON value in a few letters."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _train(
    splits: dict[str, list[str]], class_names: list[str], epochs: int, config: ExperimentConfig, path: pathlib.Path
) -> Scores:
    """Trains one configuration, unless its scores are there already, and scores it on val and test."""
    name = f"{path.name}_{_digest([config.to_dict(), splits, epochs])}"  # other settings are not to find these scores
    scores = path.with_name(f"{name}.json")
    if not scores.exists():
        state = path.with_name(f"{name}.npz")
        result = training.train(
            config,
            splits["train"],
            splits["val"],
            class_names,
            epochs=epochs,
            checkpoint=state,
            validate_at=(),
            on_epoch=lambda report: print(f"    {path.name}: epoch {report['epoch']}", flush=True),
        )
        test = training.Validation(tuple(splits["test"]), config, tuple(class_names)).metrics(result.detector)
        found = {f"val {name}": result.history[-1][name] for name in METRICS}
        found |= {f"test {name}": test[name] for name in METRICS}
        minutes = sum(report["seconds"] for report in result.history) / 60
        files.write_json(scores, found | {"minutes": minutes})
    return json.loads(scores.read_text(encoding="utf-8"))


def _print_table(found: dict[str, list[Scores]], epochs: int) -> None:
    """Prints means and standard deviations over the seeds."""
    print(f"\nmean (standard deviation) over the seeds; {epochs} epochs")
    keys = [f"{split} {name}" for split in ("val", "test") for name in METRICS]
    print(f"{'':12s}" + "".join(f"{key:>20s}" for key in keys))
    for name, runs in found.items():
        columns = [[run[key] for run in runs] for key in keys]
        spread = [statistics.stdev(column) if len(column) > 1 else 0.0 for column in columns]
        cells = [f"{statistics.mean(column):.4f} ({each:.4f})" for column, each in zip(columns, spread, strict=True)]
        print(f"{name:12s}" + "".join(f"{cell:>20s}" for cell in cells))


if __name__ == "__main__":
    raise SystemExit(main())
