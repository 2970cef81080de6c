"""What a trial costs beside its training, with several workers: the search's own time, the journal, the messages.

Real processes, whose training is a wait of a second (`tests/fake_training.py`), train trials of one epoch. A worker's
time that no epoch fills is the overhead; trials that a process is started for are left out. On a busy machine that is
mostly the others' time, so the seconds that the search's own process computes are printed, too.

    python -m benchmarks.parallel_overhead [--workers=1,2,4] [--trials=40]
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from benchmarks import rounds

EPOCH_S = 1.0
TESTS = str(pathlib.Path(__file__).resolve().parent.parent / "tests")


def main() -> int:
    """Searches with each number of workers; prints milliseconds a trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2,4", help="numbers of workers, by comma")
    parser.add_argument("--trials", type=int, default=40, help="of each search")
    parser.add_argument("--search", default="freeze_thaw", help="strategy")
    arguments = parser.parse_args()
    os.environ |= {"PYTHONPATH": TESTS, "FAKE_EPOCH_S": str(EPOCH_S)}
    rounds.print_heading("python -m benchmarks.parallel_overhead", ["keras-tuner", "numpy"])
    for count in map(int, arguments.workers.split(",")):
        waits, computed_s = _search(count, arguments.trials, arguments.search)
        median, worst = waits[len(waits) // 2], waits[int(0.9 * len(waits))]
        beside = f"{1000 * median:.0f} ms a trial beside its epoch (nine of ten below {1000 * worst:.0f})"
        print(f"{count} workers: {beside}; the search computes {1000 * computed_s:.0f} ms a trial", flush=True)
    return 0


def _search(count: int, trials: int, strategy: str) -> tuple[list[float], float]:
    """Returns the seconds, ascending, from each trial's start to its end beside the epoch, and those of the search."""
    from data import progress
    from models.hyperparameters import ExperimentConfig
    from tuner_fn import oracles, search_space, trial_runner
    from tuner_fn.supervisor import TrainingProcess

    config = ExperimentConfig()
    ranges: Any = {"optimizer.learning_rate": {"low": 0.0005, "high": 0.0045, "scale": "log"}}
    oracle = oracles.make_oracle(
        strategy,
        objective=trial_runner.make_objective("AP"),
        hyperparameters=search_space.make_search_space(config, ranges),
        max_epochs=1,
        seed=0,
        max_trials=trials,
    )
    ended: list[float] = []
    computed: list[float] = []
    waits: list[float] = []

    def on_event(kind: str, fields: Mapping[str, Any]) -> None:
        if kind == "trial" and fields["state"] == "done":
            ended.append(time.monotonic())
            computed.append(time.process_time())
            if len(ended) > 2 * count:  # a worker's trial before ended as many ends ago, on average
                waits.append((ended[-1] - ended[-1 - count]) - EPOCH_S)

    with tempfile.TemporaryDirectory() as name, progress.listen(on_event):
        folder = pathlib.Path(name)
        logs = [folder / f"worker_{number}.log" for number in range(count)]
        trial_runner.DetectionTuner(
            oracle,
            config,
            ranges=ranges,
            class_names=("car",),
            directory=folder / "search",
            logdir=folder / "logs",
            processes=[TrainingProcess(log, training="fake_training") for log in logs],
        ).search(["train"], ["val"], verbose=0)
    return sorted(waits), (computed[-1] - computed[2 * count]) / (len(computed) - 1 - 2 * count)


if __name__ == "__main__":
    sys.exit(main())
