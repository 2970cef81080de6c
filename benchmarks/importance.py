"""How well the importance of settings finds shares of variance that are known, beside Optuna's fANOVA.

Functions with known shares, LCBench's surrogate, whose shares come from evaluating it directly, and recorded trainings.
The error is the mean over the settings of the absolute difference to the known share of the setting alone. A setting
is missed where it is called idle although its share with interactions is 5 % or more.

Optuna's evaluator takes minutes for 1,000 trials; it measures the searches of up to `--optuna_trials`.

    python -m benchmarks.importance [--seeds=3] [--tasks=7593,126025,167104] [--trials=40,100,1000]

Needs `requirements/benchmarks.txt`, and the surrogate in `$SSD_TUNER_SHARED_DATA/lcbench` or `../shared/data/lcbench`.
"""

import argparse
import gzip
import json
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import rounds

Row = dict[str, Any]
_POINTS = 4096  # of the known shares
_LCBENCH_POINTS = 256  # a point is a whole curve of the surrogate
_NOISE = 0.1  # of the standard deviation of a known function
_RECORDED = pathlib.Path(__file__).parent / "recorded"


def ishigami(genes: np.ndarray) -> np.ndarray:
    """Ishigami's function of the first three settings, without noise."""
    x = math.pi * (2.0 * genes - 1.0)
    return np.sin(x[:, 0]) + 7.0 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def weighted_sum(genes: np.ndarray) -> np.ndarray:
    """A sum of the first three settings with weights 4, 2, 1: shares of 76 %, 19 % and 5 %."""
    return genes[:, :3] @ np.array([4.0, 2.0, 1.0])


def main() -> int:
    """Measures everything and prints one table for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", default="7593,126025,167104", help="of LCBench, by comma")
    parser.add_argument("--trials", default="40,100,1000", help="by comma")
    parser.add_argument("--optuna_trials", type=int, default=100, help="most trials that Optuna measures")
    arguments = parser.parse_args()
    trials = [int(number) for number in arguments.trials.split(",")]
    rounds.print_heading("python -m benchmarks.importance", ["scikit-learn", "optuna", "numpy"])
    print(f"{'task':<22} {'trials':>6} {'R²':>6} {'error':>7} {'Optuna':>7} {'idle':>9} {'missed':>7} {'CPU s':>6}")
    for name, function in (("Ishigami, 4 idle", ishigami), ("sum, 4 idle", weighted_sum)):
        known = _known(function, 7, _POINTS)
        for count in trials:
            searches = [_drawn(function, 7, count, seed) for seed in range(arguments.seeds)]
            _report(name, known, searches, beside=count <= arguments.optuna_trials)
    _lcbench(arguments.tasks.split(","), trials, arguments.seeds, arguments.optuna_trials)
    _recorded()
    return 0


def _known(function: Callable[[np.ndarray], np.ndarray], width: int, points: int) -> Any:
    from tuner_fn.studies import variance

    return variance.shares(variance.Design.draw(width, points, seed=0).evaluate(function))


def _drawn(
    function: Callable[[np.ndarray], np.ndarray], width: int, count: int, seed: int, noise: float = _NOISE
) -> list[Row]:
    """Makes trials at random points; their scores have noise."""
    rng = np.random.default_rng(seed)
    genes = rng.random((count, width))
    scores = function(genes)
    scores = scores + noise * scores.std() * rng.normal(size=count)
    return [
        {**{f"x{index}": float(gene) for index, gene in enumerate(row)}, "score": float(score)}
        for row, score in zip(genes, scores, strict=True)
    ]


def _report(name: str, known: Any, searches: Sequence[Sequence[Row]], *, beside: bool) -> None:
    """Prints the means over searches of a task, beside Optuna's or not."""
    from tuner_fn.studies import importance

    settings = [key for key in searches[0][0] if key != "score"]
    idle = {name for name, total in zip(settings, known.total, strict=True) if total < importance.LITTLE}
    errors, others, r2, seconds, found, missed = [], [], [], [], 0, 0
    for rows in searches:
        began = time.process_time()
        measured = importance.measure(rows, "score", settings)
        seconds.append(time.process_time() - began)
        errors.append(np.mean([abs(measured.shares[s][0] - v) for s, v in zip(settings, known.alone, strict=True)]))
        if beside:
            optunas = _optuna(rows, settings)
            others.append(np.mean([abs(optunas[s] - v) for s, v in zip(settings, known.alone, strict=True)]))
        r2.append(measured.r2)
        found += len(idle & {*measured.no_effect})
        missed += len({*measured.no_effect} - idle)
    other = f"{np.mean(others):.3f}" if beside else "-"
    shown = f"{found}/{len(idle) * len(searches)}"
    print(
        f"{name:<22} {len(searches[0]):>6} {np.mean(r2):>6.2f} {np.mean(errors):>7.3f} {other:>7} {shown:>9}"
        f" {missed:>7} {np.mean(seconds):>6.1f}",
        flush=True,
    )


def _optuna(rows: Sequence[Row], settings: Sequence[str]) -> dict[str, float]:
    """Measures with Optuna's fANOVA evaluator as it comes; its shares of single settings add up to 1."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    ends = {name: (min(row[name] for row in rows), max(row[name] for row in rows)) for name in settings}
    distributions: Mapping[str, Any] = {n: optuna.distributions.FloatDistribution(*ends[n]) for n in settings}
    for row in rows:
        params = {name: row[name] for name in settings}
        trial = optuna.trial.create_trial(params=params, distributions=dict(distributions), value=row["score"])
        study.add_trial(trial)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def _lcbench(tasks: Sequence[str], trials: Sequence[int], seeds: int, optuna_trials: int) -> None:
    from benchmarks import lcbench

    for name in tasks:
        task = lcbench.Task(name)

        def accuracy(genes: np.ndarray, task: Any = task) -> np.ndarray:
            parameters = lcbench.make_space().space
            values = [[p.prob_to_value(min(g, 1.0 - 1e-12)) for p, g in zip(parameters, r, strict=True)] for r in genes]
            return np.array([task.curve(dict(zip(lcbench.INPUTS, row, strict=True)))[-1] for row in values])

        known = _known(accuracy, len(lcbench.INPUTS), _LCBENCH_POINTS)
        shares = zip(lcbench.INPUTS, known.total, strict=True)
        print(f"LCBench {name}: " + ", ".join(f"{key} {share:.2f}" for key, share in shares), flush=True)
        for count in trials:
            searches = [_drawn(accuracy, len(lcbench.INPUTS), count, seed, noise=0.0) for seed in range(seeds)]
            _report(f"LCBench {name}", known, searches, beside=count <= optuna_trials)


def _recorded() -> None:
    """Measures the recorded trainings of each task at the epochs that most of them have."""
    from models.hyperparameters import ExperimentConfig
    from tuner_fn.studies import importance

    for path in sorted(_RECORDED.glob("*.json.gz")):
        records = json.loads(gzip.decompress(path.read_bytes()))
        epochs = min(record["epochs"] for record in records)
        whole = [ExperimentConfig().replace(record["settings"]).flat() for record in records]
        names = [name for name in whole[0] if len({str(one[name]) for one in whole}) > 1]
        names = [name for name in names if name not in ("training.seed", "training.epochs")]
        rows = [
            {name: value if isinstance(value := one[name], int | float | str) else str(value) for name in names}
            | {"score": record["curve"]["AP50"][epochs - 1]}
            for one, record in zip(whole, records, strict=True)
            if record["epochs"] == epochs
        ]
        found = importance.measure(rows, "score", names)
        said = importance.doubt(found) or f"{', '.join(list(found.totals)[:3])} matter most"
        print(f"recorded {path.name}: {found.trials} trainings, {len(names)} settings, R² {found.r2:.2f}: {said}")


if __name__ == "__main__":
    raise SystemExit(main())
