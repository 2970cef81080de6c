"""What a `freeze_thaw` search of eight whole trainings chooses when scores are noisy, on LCBench's surrogate.

Noise and gains are in units of the distance from the best accuracy known to that of a median configuration. The noise
of a score has two parts: one is the same for all epochs of a configuration, the other is drawn for each epoch. A search
chooses the best of the configurations that it trained in full, or the best of all where it trained only the start in
full. The gain is the difference between the chosen configuration and the start, without noise. Each number of
configurations that the last epochs are kept for is tried with the same seeds.

    python -m benchmarks.noisy_search [--seeds=4] [--tasks=7593,126029] [--noise=0.1,0.3] [--finished=0,2]

Needs what `benchmarks.search` needs.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks import rounds

TRAININGS = 8  # whole ones that a search has epochs for
OBJECTIVE = "accuracy"
_SHARED, _OWN = 0.8, 0.6  # of the noise: of all epochs of a configuration together, and of each alone


def main() -> int:
    """Prints the mean gain of each number with its paired difference from the first; returns 0."""
    from benchmarks import lcbench
    from tuner_fn.oracles import freeze_thaw

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="searches of each task")
    parser.add_argument("--tasks", default="7593,126029,167152,168335", help="by comma")
    parser.add_argument("--noise", default="0.1,0.3", help="by comma")
    parser.add_argument("--finished", default=f"0,{freeze_thaw.FINISHED}", help="by comma")
    arguments = parser.parse_args()
    rounds.print_heading(f"python -m benchmarks.noisy_search {' '.join(sys.argv[1:])}", ("keras-tuner", "numpy"))
    tasks = [lcbench.Task(name) for name in arguments.tasks.split(",")]
    counts = [int(count) for count in arguments.finished.split(",")]
    for noise in map(float, arguments.noise.split(",")):
        gains: dict[int, list[float]] = {count: [] for count in counts}
        for task, seed, count in itertools.product(tasks, range(arguments.seeds), counts):
            freeze_thaw.FINISHED = count
            gains[count].append(_gain(task, noise, seed))
        for count, own in gains.items():
            pairs = [one - other for one, other in zip(own, gains[counts[0]], strict=True)]
            error = statistics.stdev(pairs) / len(pairs) ** 0.5
            print(
                f"noise {noise:g}, {count} trained in full: gain {statistics.mean(own):.3f}, against {counts[0]}"
                f" {statistics.mean(pairs):+.3f} (standard error {error:.3f}, {len(pairs)} pairs)",
                flush=True,
            )
    return 0


def _gain(task: Any, noise: float, seed: int) -> float:
    """Searches, and returns what is gained without noise."""
    import keras_tuner

    from benchmarks import lcbench
    from tuner_fn.oracles import make_oracle

    unit = task.best - task.median
    curves: dict[str, np.ndarray] = {}
    trained: dict[str, tuple[int, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        oracle = make_oracle(
            "freeze_thaw",
            objective=keras_tuner.Objective(OBJECTIVE, "max"),
            hyperparameters=lcbench.make_space(),
            max_epochs=lcbench.MAX_EPOCHS,
            max_epochs_total=TRAININGS * lcbench.MAX_EPOCHS,
            max_trials=None,
            seed=seed,
        )
        oracle._set_project_dir(folder, "search")
        oracle.verbose = 0
        while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
            values = trial.hyperparameters.values
            name = str([values[one] for one in lcbench.INPUTS])
            if name not in curves:
                draws = np.random.default_rng([seed, len(curves)])
                errors = _SHARED * draws.normal() + _OWN * draws.normal(size=lcbench.MAX_EPOCHS)
                curves[name] = task.curve(values) + noise * unit * errors
            for epoch in range(values["tuner/initial_epoch"], values["tuner/epochs"]):
                oracle.update_trial(trial.trial_id, {OBJECTIVE: float(curves[name][epoch])}, step=epoch)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
            trained[name] = (values["tuner/epochs"], dict(values))
    start, *others = trained
    whole = [name for name in others if trained[name][0] == lcbench.MAX_EPOCHS]
    chosen = max(whole or others, key=lambda name: curves[name][trained[name][0] - 1])
    true = [float(task.curve(trained[name][1])[-1]) for name in (start, chosen)]
    return (true[1] - true[0]) / unit


if __name__ == "__main__":
    raise SystemExit(main())
