"""How many configurations a search should finish, on the recorded trainings: its short runs, then its whole ones.

A search of `--trainings` whole trainings runs as many drawn configurations for a few epochs as leave room to finish the
best 1, 2 or 3 of them; the best of these on val is chosen. The gain is its test mAP@.5 over the mean of all recorded
configurations, on average over the draws.

    python -m benchmarks.two_steps [--trainings=8] [--draws=3000]
"""

import argparse
import gzip
import json
import pathlib
import sys

import numpy as np

from benchmarks import rounds

EPOCHS = {"raccoon": 30, "cards": 20, "thermal": 12}
FINISHED = (1, 2, 3)
SHARES = (1 / 6, 1 / 4, 2 / 5)  # of the epochs, that the short runs take
_RECORDED = pathlib.Path(__file__).with_name("recorded")


def main() -> int:
    """Prints a row for each task and length of the short runs; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=8, help="whole ones that there are epochs for")
    parser.add_argument("--draws", type=int, default=3000, help="of configurations, for each figure")
    arguments = parser.parse_args()
    rounds.print_heading(f"python -m benchmarks.two_steps {' '.join(sys.argv[1:])}", ("numpy",))
    for task, epochs in EPOCHS.items():
        rows = json.loads(gzip.decompress((_RECORDED / f"{task}.json.gz").read_bytes()))
        rows = [row for row in rows if row["epochs"] == epochs and len(row["curve"]["AP50"]) == epochs]
        curves = np.array([row["curve"]["AP50"] for row in rows])  # [N, E]
        test = np.array([row["test"]["AP50"] for row in rows])  # [N]
        for first in (round(share * epochs) for share in SHARES):
            gains = [_gain(curves, test, first, finished, arguments) for finished in FINISHED]
            cells = ", ".join(
                f"{finished} finished {gain:+.3f}" for finished, gain in zip(FINISHED, gains, strict=True)
            )
            print(f"{task}, {len(rows)} configurations, first run of {first} of {epochs} epochs: {cells}", flush=True)
    return 0


def _gain(curves: np.ndarray, test: np.ndarray, first: int, finished: int, arguments: argparse.Namespace) -> float:
    num, epochs = curves.shape
    count = (arguments.trainings * epochs - finished * (epochs - first)) // first
    draws, chosen = np.random.default_rng(0), []
    for _ in range(arguments.draws):
        drawn = draws.choice(num, min(count, num), replace=False)
        best = drawn[np.argsort(-curves[drawn, first - 1])[:finished]]
        chosen.append(test[best[curves[best, -1].argmax()]])
    return float(np.mean(chosen) - test.mean())


if __name__ == "__main__":
    raise SystemExit(main())
