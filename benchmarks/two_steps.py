"""How many configurations a search should finish, shown on the recorded trainings.

A search has the epochs of `--trainings` whole trainings. It draws recorded trainings, follows each for a few epochs,
and keeps enough epochs to finish the best 1, 2 or 3 of them. The one with the best val mAP@.5 at its end is chosen. Its
gain is the difference of its test mAP@.5 from the mean of all recorded trainings; a figure is the mean over the draws.

The first line of a task says how well val mAP@.5 after some epochs ranks the trainings as val at the end does, and val
at the end as test does (Spearman's correlation).

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
SHARES = (1 / 6, 1 / 4, 2 / 5)  # of a whole training's epochs: how long a first run is
_LATER = 3 / 5  # likewise, for the correlations alone
_RECORDED = pathlib.Path(__file__).with_name("recorded")


def main() -> int:
    """Prints the correlations of each task, and a row for each length of the first runs; returns 0."""
    from scipy import stats

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=8, help="whole ones that there are epochs for")
    parser.add_argument("--draws", type=int, default=3000, help="of configurations, for each figure")
    arguments = parser.parse_args()
    rounds.print_heading(f"python -m benchmarks.two_steps {' '.join(sys.argv[1:])}", ("numpy", "scipy"))
    for task, epochs in EPOCHS.items():
        rows = json.loads(gzip.decompress((_RECORDED / f"{task}.json.gz").read_bytes()))
        rows = [row for row in rows if row["epochs"] == epochs and len(row["curve"]["AP50"]) == epochs]
        curves = np.array([row["curve"]["AP50"] for row in rows])  # [N, E]
        test = np.array([row["test"]["AP50"] for row in rows])  # [N]
        after = [round(share * epochs) for share in (*SHARES, _LATER)]
        ranks = ", ".join(f"{first}: {stats.spearmanr(curves[:, first - 1], curves[:, -1])[0]:.2f}" for first in after)
        final = stats.spearmanr(curves[:, -1], test)[0]
        print(f"{task}, {len(rows)} trainings, correlation with the end after epoch {ranks}; val with test {final:.2f}")
        for first in after[: len(SHARES)]:
            gains = [_gain(curves, test, first, finished, arguments) for finished in FINISHED]
            cells = ", ".join(
                f"{finished} finished {gain:+.3f}" for finished, gain in zip(FINISHED, gains, strict=True)
            )
            print(f"{task}, first run of {first} of {epochs} epochs: {cells}", flush=True)
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
