"""Searches with several workers against one oracle, on learning curves of LCBench's surrogate and a simulated clock.

An epoch takes one unit of time, whatever is trained; the oracle's own time does not count. Each of N workers asks,
trains as many units as the trial has epochs, tells and asks again. What N workers are worth is how much sooner they
reach the regret that one worker has after 1,040 epochs; regret is that of `benchmarks/search.py`.

    python -m benchmarks.parallel_search [--workers=1,2,4,8] [--seeds=3] [--tasks=7593,126025] [--only=freeze_thaw]
    python -m benchmarks.parallel_search --only=penalty,believer,unaware --workers=1,4
    python -m benchmarks.parallel_search --load=10,100,1000 [--only=freeze_thaw,asha]

The second one compares what `freeze_thaw` may take running trials for: ended with the worst score, which is what it
does, ended with the score that its model expects, or nothing. The third one lets that many workers ask one oracle and
says how many suggestions a second it makes.

Needs `requirements/benchmarks.txt`, and the surrogate in `$SSD_TUNER_SHARED_DATA/lcbench` or `../shared/data/lcbench`.
"""

import argparse
import contextlib
import functools
import heapq
import itertools
import json
import multiprocessing
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import rounds, search

EPOCHS = 1040  # of one worker
LONGEST = 1.4  # times EPOCHS / workers, that a search with several workers may take
PENDING = ("penalty", "believer", "unaware")
LOAD_ASKED = 100  # suggestions that are timed under load
Curve = tuple[np.ndarray, np.ndarray]  # times, and the best accuracy at each
Runs = dict[str, dict[str, list[float]]]  # {"strategy workers": {"task seed": regret at each time}}


def main() -> int:
    """Simulates every strategy with every number of workers; prints regret against time, and the speed-ups."""
    from benchmarks import lcbench

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2,4,8", help="numbers of workers, by comma; they are compared with 1")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each strategy on each task")
    parser.add_argument("--first_seed", type=int, default=0, help="of them")
    parser.add_argument("--tasks", default=",".join(lcbench.TASKS), help="by comma")
    parser.add_argument("--only", default="freeze_thaw", help="strategies, by comma")
    parser.add_argument("--load", help="numbers of workers, by comma: measure suggestions a second in place of regret")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that share the tasks")
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file for the regrets of every run, written task by task"
    )
    parser.add_argument("--read", help="such files, by comma: print the tables of their runs and simulate nothing")
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"  # the runs share the cores
    rounds.print_heading("python -m benchmarks.parallel_search", ["keras-tuner", "optuna", "numpy"])
    names, tasks = arguments.only.split(","), arguments.tasks.split(",")
    if arguments.read:
        _print_tables(_read(arguments.read.split(",")))
        return 0
    if arguments.load:
        _print_load(names, [int(number) for number in arguments.load.split(",")], tasks[0])
        return 0
    workers = [int(number) for number in arguments.workers.split(",")]
    print(f"{len(tasks)} tasks, {arguments.seeds} seeds", flush=True)
    found: Runs = {}
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    work = functools.partial(_run_task, names=names, workers=workers, seeds=seeds)
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for task, results in zip(tasks, pool.imap(work, tasks), strict=True):
            for (name, count, seed), regrets in results:
                found.setdefault(f"{name} {count}", {})[f"{task} {seed}"] = [round(float(one), 5) for one in regrets]
            print(f"  {task} done", flush=True)
            if arguments.output:
                arguments.output.write_text(json.dumps(found))
    _print_tables(found)
    return 0


def simulate(oracle: Any, curve: Callable[[Mapping[str, Any]], np.ndarray], workers: int, until: int) -> Curve:
    """Lets workers ask and tell an oracle on a simulated clock, an epoch a unit of time.

    Args:
        oracle: as `tuner_fn.oracles.make_oracle` returns, with a directory.
        curve: returns the accuracies after each epoch of a configuration.
        workers: that train at the same time.
        until: time at which the search is over.

    Returns:
        times 1 to `until`, and the best accuracy that any epoch has shown by then.
    """
    best = np.full(until, -np.inf)
    running: list[tuple[int, int, Any]] = []  # when it ends, in which order it began, the trial
    idle, began, now = list(range(workers)), itertools.count(), 0
    while now < until:
        while idle:
            trial = oracle.create_trial(f"tuner{idle[-1]}")
            if trial.status != "RUNNING":
                break
            worker, values = idle.pop(), trial.hyperparameters.values
            first, last = values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", search.MAX_EPOCHS)
            accuracies = curve(values)[first:last]
            shown = accuracies[: until - now]
            best[now : now + len(shown)] = np.maximum(best[now : now + len(shown)], shown)
            heapq.heappush(running, (now + last - first, next(began), (trial, accuracies, first, worker)))
        if not running:
            break
        now, _, (trial, accuracies, first, worker) = heapq.heappop(running)
        for epoch, accuracy in enumerate(accuracies, start=first):
            oracle.update_trial(trial.trial_id, {search.OBJECTIVE: float(accuracy)}, step=epoch)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        idle.append(worker)
    return np.arange(1, until + 1), np.maximum.accumulate(best)


def make_oracle(name: str, seed: int, folder: str, *, saves: bool = False) -> Any:
    """Makes a strategy's oracle, or `freeze_thaw` with one of `PENDING`, which saves its state or keeps it."""
    oracle = search._make_ours("freeze_thaw" if name in PENDING else name, seed)
    if name == "believer":
        oracle._condition = functools.partial(_believe, oracle)
    elif name == "unaware":
        oracle._running = list
    oracle._set_project_dir(folder, "search")
    oracle.verbose = 0
    if not saves:  # files have no part in regret
        oracle._save_trial, oracle.save = lambda trial: None, lambda: None
    return oracle


def _believe(oracle: Any, model: Any, points: Any, scores: np.ndarray) -> None:
    """Conditions a model on what is known, and on what it expects from there of trials that are running."""
    model.condition(points, scores)
    running = oracle._running_points()
    if len(running):
        model.condition(points.joined(running), np.append(scores, model.predict(running)[0]))


def _run_task(
    task: str, names: Sequence[str], workers: Sequence[int], seeds: Sequence[int]
) -> list[tuple[tuple[str, int, int], np.ndarray]]:
    """Runs all searches on one task; returns ((strategy, workers, seed), regret at each time)."""
    from benchmarks import lcbench

    problem = lcbench.Task(task)

    @functools.cache
    def run(name: str, count: int, seed: int) -> np.ndarray:
        if count == 1 and name in PENDING[1:]:
            return run(PENDING[0], count, seed)  # nothing is running when one worker asks
        until = EPOCHS if count == 1 else int(LONGEST * EPOCHS / count)
        with tempfile.TemporaryDirectory() as folder:
            _, best = simulate(make_oracle(name, seed, folder), problem.curve, count, until)
        return np.array([problem.regret(one) for one in best])

    every = itertools.product(names, workers, seeds)
    return [(one, run(*one)) for one in every]


def _read(paths: Sequence[str]) -> Runs:
    """Reads what `--output` has written, by this command or by several."""
    found: Runs = {}
    for path in paths:
        for name, runs in json.loads(pathlib.Path(path).read_text()).items():
            found.setdefault(name, {}).update(runs)
    return found


def _print_tables(found: Runs) -> None:
    """Prints a table for each strategy, over the tasks and seeds that all its numbers of workers have."""
    for name in dict.fromkeys(key.rpartition(" ")[0] for key in found):
        own = {int(key.rpartition(" ")[2]): runs for key, runs in found.items() if key.rpartition(" ")[0] == name}
        shared = [run for run in next(iter(own.values())) if all(run in runs for runs in own.values())]
        print(f"\n{name}: {len({run.split()[0] for run in shared})} tasks, {len(shared)} runs each")
        _print_table({count: np.array([own[count][run] for run in shared]) for count in sorted(own)})


def _print_table(runs: Mapping[int, np.ndarray]) -> None:
    """Prints mean regrets by time, and when N workers are where one is in the end.

    Args:
        runs: {workers: regrets [runs, times]}.
    """
    marks = [65, 130, 173, 260, 346, 520, 780, 1040]
    print("mean normalised regret over tasks and seeds (standard error) at a time, in epochs of one worker")
    print(f"{'workers':>8s}" + "".join(f"{mark:>15,d}" for mark in marks) + f"{'there at':>10s}{'speed-up':>10s}")
    one = runs.get(1)
    for count, regrets in runs.items():
        mean, error = regrets.mean(axis=0), regrets.std(axis=0) / np.sqrt(len(regrets))
        shown = [f"{mean[m - 1]:.3f} ({error[m - 1]:.3f})" if m <= len(mean) else "" for m in marks]
        end = ""
        if one is not None:
            level = one.mean(axis=0)[-1]
            reached = np.flatnonzero(mean <= level)
            end = f"{reached[0] + 1:>10,d}{EPOCHS / (reached[0] + 1):>10.2f}" if len(reached) else f"{'later':>10s}"
        print(f"{count:>8d}" + "".join(f"{cell:>15s}" for cell in shown) + end)


def _print_load(names: Sequence[str], workers: Sequence[int], task: str) -> None:
    """Prints how many suggestions a second one oracle makes for so many workers, once all of them are at work."""
    from benchmarks import lcbench

    problem = lcbench.Task(task)
    print(f"\ntask {task}: suggestions a second of the processor, median of {LOAD_ASKED} after the workers' first")
    print(f"{'':16s}" + "".join(f"{count:>12,d}" for count in workers))
    for name in names:
        cells = []
        for count in workers:
            with tempfile.TemporaryDirectory() as folder:
                oracle, waits = make_oracle(name, 0, folder, saves=True), []
                oracle.create_trial = _timed(oracle.create_trial, waits, count + LOAD_ASKED)
                with contextlib.suppress(_EnoughError):
                    simulate(oracle, problem.curve, count, 10 * EPOCHS)
            cells.append(f"{1.0 / np.median(waits[-LOAD_ASKED:]):>12.1f}")
        print(f"{name:16s}" + "".join(cells), flush=True)


class _EnoughError(Exception):
    """Ends a simulation."""


def _timed(ask: Callable[[str], Any], waits: list[float], most: int) -> Callable[[str], Any]:
    def timed(worker: str) -> Any:
        if len(waits) == most:
            raise _EnoughError
        began = time.process_time()  # the machine has other work
        trial = ask(worker)
        waits.append(time.process_time() - began)
        return trial

    return timed


if __name__ == "__main__":
    raise SystemExit(main())
