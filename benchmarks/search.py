"""Compares search strategies by normalised regret after so many epochs, on LCBench's surrogate.

Ours, stock Keras Tuner's Random, Bayesian and Hyperband, and Optuna's TPE with Hyperband pruning search the same tasks
with the same number of epochs in the same run. Regret is 0 at the best accuracy known and 1 at a median random
configuration's; it counts the best accuracy that any epoch of any trial has shown. A strategy that ends early keeps its
last regret.

    python -m benchmarks.search [--seeds=10] [--tasks=7593,126025] [--only=freeze_thaw]
    python -m benchmarks.search --only=freeze_thaw --tasks=7593,126025 --seeds=1 --epochs=8000

The second one continues for more than 1,000 trials and says how long a suggestion takes then.

Needs `requirements/benchmarks.txt`, and the surrogate in `$SSD_TUNER_SHARED_DATA/lcbench` or `../shared/data/lcbench`.
"""

import argparse
import functools
import json
import multiprocessing
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import rounds

MARKS = (130, 260, 350, 520, 1040, 2080)  # epochs
OBJECTIVE, MAX_EPOCHS = "accuracy", 52
LATE = slice(1000, 1100)  # trials
OURS = "freeze_thaw"
STOCK = {"stock Random": "RandomSearch", "stock Bayesian": "BayesianOptimization", "stock Hyperband": "Hyperband"}
OPTUNA = "Optuna TPE, Hyperband"
Run = tuple[list[float], list[float]]  # best accuracy after each epoch, seconds of each suggestion


def main() -> int:
    """Runs every strategy on every task with every seed; prints the table and the targets."""
    from benchmarks import lcbench

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="runs of each strategy on each task")
    parser.add_argument("--tasks", default=",".join(lcbench.TASKS), help="by comma")
    parser.add_argument("--only", help="strategies, by comma; every one without it")
    parser.add_argument("--epochs", type=int, default=MARKS[-1], help="of one run")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that share the tasks")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file for the regrets of every run")
    arguments = parser.parse_args()
    strategies = arguments.only.split(",") if arguments.only else [OURS, *STOCK, OPTUNA]
    tasks, marks = arguments.tasks.split(","), [mark for mark in MARKS if mark <= arguments.epochs]
    rounds.print_heading("python -m benchmarks.search", ["keras-tuner", "optuna", "numpy"])
    print(f"{len(tasks)} tasks, {arguments.seeds} seeds, {arguments.epochs} epochs a run", flush=True)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"  # the runs share the cores
    found: dict[str, list[list[float]]] = {name: [] for name in strategies}
    waits: dict[str, list[list[float]]] = {name: [] for name in strategies}
    settings = {"seeds": arguments.seeds, "marks": marks, "epochs": arguments.epochs}
    work = functools.partial(_run_task, strategies=strategies, **settings)
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for task, results in zip(tasks, pool.imap(work, tasks), strict=True):
            for name, regrets, seconds in results:
                found[name].append(regrets)
                waits[name].append(seconds)
            print(f"  {task} done", flush=True)
    _print_table(found, waits, marks)
    if set(strategies) >= {OURS, *STOCK}:
        _print_targets(found, marks)
    if arguments.output:
        arguments.output.write_text(json.dumps({"marks": marks, "tasks": tasks, "regrets": found}, indent=1))
    return 0


def _run_task(
    task: str, strategies: Sequence[str], seeds: int, marks: Sequence[int], epochs: int
) -> list[tuple[str, list, list]]:
    """Runs all strategies on one task; returns (strategy, regret at each mark, seconds of each suggestion)."""
    from benchmarks import lcbench

    problem, results = lcbench.Task(task), []
    for name in strategies:
        for seed in range(seeds):
            best, seconds = _search(name, problem, seed, epochs)
            results.append((name, [problem.regret(best[min(mark, len(best)) - 1]) for mark in marks], seconds))
    return results


def _search(name: str, problem: Any, seed: int, epochs: int) -> Run:
    if name == OPTUNA:
        return _search_with_optuna(problem, seed, epochs)
    with tempfile.TemporaryDirectory() as folder:
        oracle = _make_stock(STOCK[name], seed) if name in STOCK else _make_ours(name, seed)
        oracle._set_project_dir(folder, "search")
        oracle.verbose = 0
        return _ask_and_tell(oracle, problem.curve, epochs)


def _make_ours(name: str, seed: int) -> Any:
    import keras_tuner

    from benchmarks import lcbench
    from tuner_fn.oracles import make_oracle

    return make_oracle(
        name,
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        hyperparameters=lcbench.make_space(),
        max_epochs=MAX_EPOCHS,
        seed=seed,
        max_trials=None,  # the benchmark ends it
    )


def _make_stock(name: str, seed: int) -> Any:
    import keras_tuner

    from benchmarks import lcbench

    objective, space = keras_tuner.Objective(OBJECTIVE, "max"), lcbench.make_space()
    common = {"objective": objective, "hyperparameters": space, "seed": seed + 1}  # it takes 0 for no seed
    if name == "Hyperband":
        return keras_tuner.oracles.HyperbandOracle(max_epochs=MAX_EPOCHS, hyperband_iterations=100, **common)
    return getattr(keras_tuner.oracles, f"{name}Oracle")(max_trials=10_000, **common)


def _ask_and_tell(oracle: Any, curve: Callable[[dict[str, Any]], np.ndarray], epochs: int) -> Run:
    """Lets an oracle search with a known curve in the place of training."""
    best: list[float] = []
    seconds: list[float] = []
    while len(best) < epochs:
        start = time.perf_counter()
        trial = oracle.create_trial("tuner0")
        seconds.append(time.perf_counter() - start)
        if trial.status != "RUNNING":
            break
        values = trial.hyperparameters.values
        accuracies = curve(values)
        for epoch in range(values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", MAX_EPOCHS)):
            oracle.update_trial(trial.trial_id, {OBJECTIVE: float(accuracies[epoch])}, step=epoch)
            best.append(max(best[-1] if best else -np.inf, float(accuracies[epoch])))
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return best, seconds


def _search_with_optuna(problem: Any, seed: int, epochs: int) -> Run:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=MAX_EPOCHS, reduction_factor=3)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    best: list[float] = []
    seconds: list[float] = []
    while len(best) < epochs:
        start = time.perf_counter()
        trial = study.ask()
        values = dict(_optuna_values(trial))
        seconds.append(time.perf_counter() - start)
        accuracies = problem.curve(values)
        pruned = False
        for epoch, accuracy in enumerate(map(float, accuracies), start=1):
            best.append(max(best[-1] if best else -np.inf, accuracy))
            trial.report(accuracy, epoch)
            if trial.should_prune():
                pruned = True
                break
        study.tell(trial, None if pruned else accuracy, state=optuna.trial.TrialState.PRUNED if pruned else None)
    return best, seconds


def _optuna_values(trial: Any) -> Iterator[tuple[str, Any]]:
    from benchmarks import lcbench

    for one in lcbench.make_space().space:
        suggest = trial.suggest_int if isinstance(one.default, int) else trial.suggest_float
        yield one.name, suggest(one.name, one.min_value, one.max_value, log=one.sampling == "log")


def _print_table(found: dict[str, list], waits: dict[str, list[list[float]]], marks: Sequence[int]) -> None:
    print("\nmean normalised regret over tasks and seeds (standard error) after epochs")
    print(f"{'':24s}" + "".join(f"{mark:>16,d}" for mark in marks) + f"{'ms a suggestion':>18s}")
    for name, runs in found.items():
        mean, error = np.mean(runs, axis=0), np.std(runs, axis=0) / np.sqrt(len(runs))
        cells = "".join(f"{value:9.3f} ({spread:.3f})" for value, spread in zip(mean, error, strict=True))
        print(f"{name:24s}{cells}{1000 * np.median(np.concatenate(waits[name])):18.1f}")
    for name, runs in waits.items():
        late = np.concatenate([seconds[LATE] for seconds in runs])
        if len(late):
            median = 1000 * np.median(late)
            print(f"{name}: {median:.1f} ms a suggestion after {LATE.start:,d} trials, median of {len(late)}")


def _print_targets(found: dict[str, list], marks: Sequence[int]) -> None:
    means = {name: dict(zip(marks, np.mean(runs, axis=0), strict=True)) for name, runs in found.items()}
    ours = means.pop(OURS)
    if {350, 1040} <= set(marks):
        peer = means["stock Hyperband"][1040]
        print(f"\nours at 350 epochs / stock Hyperband at 1,040: {ours[350] / peer:.2f} (target: at most 1)")
        print(f"ours at 1,040 epochs / stock Hyperband at 1,040: {ours[1040] / peer:.2f} (target: at most 0.33)")
    for mark in (mark for mark in marks if mark >= 260):
        name = min(means, key=lambda peer: means[peer][mark])
        print(f"at {mark:5,d} epochs, ours {ours[mark]:.3f}, best peer {means[name][mark]:.3f} ({name})")


if __name__ == "__main__":
    raise SystemExit(main())
