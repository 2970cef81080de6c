"""What the plan gains over the declared defaults, and a search over the plan, on real and synthetic tasks.

On each task the study's settings, the declared defaults of a preset and the plan are trained with the same seeds for as
many epochs, each on one core, and scored once on test; a search is a whole `ssd-tuner run` with the same seed, whose
final model has as many epochs. Everything that is done is kept in the folder: the same command continues. It prints
the mean and standard deviation over the seeds of each task, and paired differences over tasks and seeds with their
95 % interval (Student's t).

    python -m benchmarks.tuned_gain --folder=FOLDER [--tasks=raccoon,cards] [--only=defaults,plan] [--seeds=3]
        [--preset=cpu] [--epochs=30] [--study=study.json] [--set=input.image_size=128] [--jobs=2]
"""

import argparse
import concurrent.futures
import itertools
import json
import multiprocessing
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import kept_trainings, rounds
from data import sources
from models.hyperparameters import ExperimentConfig
from pipeline import configs
from tuner_fn import presets
from tuner_fn.plan import fingerprint, plan

CONTESTANTS = ("study", "defaults", "plan", "search")
METRICS = ("AP50", "AP")
Scores = dict[tuple[str, str, int], dict[str, float]]  # by task, contestant and seed: AP50, AP, minutes


def main() -> int:
    """Prints every score, the table and the paired differences; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for examples, runs and scores")
    parser.add_argument("--tasks", default=",".join(kept_trainings.TASKS), help="by comma")
    parser.add_argument("--only", default="defaults,plan,search", help=f"of {', '.join(CONTESTANTS)}, by comma")
    parser.add_argument("--seeds", type=int, default=3, help="0 to one below it")
    parser.add_argument("--preset", default="cpu", help="of all but the study")
    parser.add_argument("--epochs", type=int, default=30, help="of each final training")
    parser.add_argument("--study", help="settings of the study, from `ssd-tuner import-config`")
    parser.add_argument("--set", action="append", default=[], help="SETTING=VALUE, for all of them")
    parser.add_argument("--search", action="append", default=[], help="flag of the search's run, as --max_minutes=30")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    arguments = parser.parse_args()
    rounds.print_heading(f"python -m benchmarks.tuned_gain {' '.join(sys.argv[1:])}", ("tensorflow", "keras"))
    names = arguments.only.split(",")
    work = list(itertools.product(arguments.tasks.split(","), range(arguments.seeds), names))
    found: Scores = {}
    spawn = multiprocessing.get_context("spawn")  # TensorFlow survives no fork
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs, spawn, kept_trainings.one_core) as pool:
        futures = {pool.submit(_score, task, name, seed, arguments): (task, name, seed) for task, seed, name in work}
        for future in concurrent.futures.as_completed(futures):
            task, name, seed = futures[future]
            found[task, name, seed] = future.result()
            numbers = ", ".join(f"{key} {value:.4f}" for key, value in future.result().items())
            print(f"  {task}, {name}, seed {seed}: {numbers}", flush=True)
    _print_table(found, arguments.tasks.split(","), names, arguments.seeds)
    for first, second in itertools.pairwise(names):
        _print_gain(found, first, second)
    return 0


def _score(task: str, name: str, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Returns the test scores and the minutes of one contestant."""
    if name == "search":
        return _run_search(task, seed, arguments)
    config = configuration(task, name, seed, arguments)
    epochs = arguments.epochs
    done = kept_trainings.score(task, config, arguments.folder, epochs=epochs, every=epochs)
    return {**done["test"], "minutes": done["minutes"]}


def configuration(task: str, name: str, seed: int, arguments: argparse.Namespace) -> ExperimentConfig:
    """Makes the settings of a contestant that is trained once; `arguments` has set, epochs, preset, study."""
    changes = configs.parse_overrides(arguments.set) | {"training.epochs": arguments.epochs}
    if name == "study":
        return configs.read_config(arguments.study).replace(changes | {"training.seed": seed})
    config = presets.experiment(presets.get_preset(arguments.preset), changes, seed)
    if name == "defaults":
        return config
    source = sources.open_source(kept_trainings.TASKS[task].spec, kept_trainings.TASKS[task].options)
    about = fingerprint.take(source, fingerprint.this_machine())
    return config.replace(plan.make(about, config, fixed=list(changes)).settings)


def _run_search(task: str, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Runs `ssd-tuner run`, which takes from its cache what is done, and reads its summary."""
    about = kept_trainings.TASKS[task]
    workdir = arguments.folder / f"run_{task}_{seed}"
    command = [pathlib.Path(sys.executable).with_name("ssd-tuner"), "run", f"--dataset={about.spec}"]
    command += [
        f"--workdir={workdir}",
        f"--seed={seed}",
        f"--preset={arguments.preset}",
        f"--epochs={arguments.epochs}",
    ]
    command += [f"--set={change}" for change in arguments.set] + arguments.search
    command += ["--min_map=0", f"--splits={','.join(map(str, about.splits))}"] if about.splits else ["--min_map=0"]
    began, minutes = time.monotonic(), workdir / "minutes.json"
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    if not minutes.exists():
        minutes.write_text(json.dumps((time.monotonic() - began) / 60))
    summary = json.loads((workdir / "report" / "summary.json").read_text())
    return {name: summary["metrics"][name] for name in METRICS} | {"minutes": json.loads(minutes.read_text())}


def _print_table(found: Scores, tasks: Sequence[str], names: Sequence[str], seeds: int) -> None:
    print(f"\ntest scores, mean (standard deviation) of {seeds} seeds")
    print(f"{'':12s}{'':10s}" + "".join(f"{key:>20s}" for key in (*METRICS, "minutes")))
    for task, name in itertools.product(tasks, names):
        rows = [found[task, name, seed] for seed in range(seeds)]
        print(f"{task:12s}{name:10s}" + "".join(f"{_mean(rows, key):>20s}" for key in (*METRICS, "minutes")))


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [row[key] for row in rows]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ({spread:.3f})"


def _print_gain(found: Scores, first: str, second: str) -> None:
    """Prints the paired gain on each task and its mean.

    One interval takes the pairs for independent: it is about these tasks with other seeds. The wider one takes a task's
    mean for one observation: it is about other tasks.
    """
    pairs = {(task, seed) for task, name, seed in found if name == first}
    print(f"\n{second} over {first}, test mAP@.5")
    gains: dict[str, list[float]] = {}
    for task, seed in sorted(pairs):
        gains.setdefault(task, []).append(found[task, second, seed]["AP50"] - found[task, first, seed]["AP50"])
    for task, own in gains.items():
        print(f"  {task:10s} {statistics.mean(own):+.4f} ({', '.join(f'{gain:+.4f}' for gain in own)})")
    every = [gain for own in gains.values() for gain in own]
    for what, values in (("pairs", every), ("tasks", [statistics.mean(own) for own in gains.values()])):
        if len(values) > 1:
            low, high = _interval(values)
            print(
                f"  mean       {statistics.mean(values):+.4f} ({low:+.4f} to {high:+.4f}, 95 % of {len(values)} {what})"
            )


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns Student's 95 % interval of the mean."""
    from scipy import stats  # the trainings need not wait for it

    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values) - half, statistics.mean(values) + half


if __name__ == "__main__":
    raise SystemExit(main())
