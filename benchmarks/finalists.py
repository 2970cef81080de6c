"""What the last step of a search gains and costs, on drawn searches whose true gains are known.

A search draws configurations whose true gains over the start are normal, and scores each on val with one seed. A score
errs by the choice of the val images, which all seeds share, and by the seed. The best becomes the challenger, and
`tuner_fn.finalists` decides: with two seeds alone, and with further seeds for a challenger that stays undecided. No
training is done, so the figures are about the rule and not about any data.

    python -m benchmarks.finalists [--searches=4000]
"""

import argparse
import itertools
import statistics
import sys
from typing import NamedTuple

import numpy as np

from benchmarks import rounds
from tuner_fn import finalists, search_options

CONFIGURATIONS, REPEATS = 12, 2
GAINS = ((-0.03, 0.03), (-0.03, 0.05), (-0.06, 0.05), (0.0, 0.03), (-0.02, 0.015))  # mean and standard deviation
IMAGE_ERRORS = (0.02, 0.035)  # standard deviation of a difference of mAP@.5 on some dozens of val images
SEED_SPREAD = finalists.SEED_SPREAD


class Outcome(NamedTuple):
    """Of one search: the true gain of what was taken, 0 where the start was kept, and trainings of finalists."""

    gain: float
    taken: bool
    trainings: int


def main() -> int:
    """Prints a row for each kind of search and rule; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=4000, help="drawn for each row")
    arguments = parser.parse_args()
    rounds.print_heading(f"python -m benchmarks.finalists {' '.join(sys.argv[1:])}", ("numpy",))
    print("gains of configurations, error of the images, further seeds: mean gain, taken, of these worse, trainings")
    for (mean, spread), error, more in itertools.product(GAINS, IMAGE_ERRORS, (0, finalists.FURTHER_SEEDS)):
        found = [
            _search(np.random.default_rng(number), mean, spread, error, more) for number in range(arguments.searches)
        ]
        taken = [one for one in found if one.taken]
        worse = sum(one.gain < 0 for one in taken) / max(len(taken), 1)
        gains = [one.gain for one in found]
        print(
            f"{mean:+.3f} ({spread:.3f}), {error:.3f}, {more}: {statistics.mean(gains):+.4f}"
            f" ({statistics.stdev(gains) / len(gains) ** 0.5:.4f}), {len(taken) / len(found):.0%}, {worse:.0%},"
            f" {statistics.mean(one.trainings for one in found):.2f}",
            flush=True,
        )
    return 0


def _search(draws: np.random.Generator, mean: float, spread: float, error: float, more: int) -> Outcome:
    gains = draws.normal(mean, spread, CONFIGURATIONS)
    on_val = gains + draws.normal(0.0, error, CONFIGURATIONS)
    scores = on_val + draws.normal(0.0, SEED_SPREAD, CONFIGURATIONS)
    chosen = int(scores.argmax())
    start, challenger = [draws.normal(0.0, SEED_SPREAD)], [scores[chosen]]
    if challenger[0] <= start[0]:
        return Outcome(0.0, False, 0)
    least = search_options.SearchConfig.min_confidence
    while True:
        *_, confidence, is_enough = finalists.judge(start, challenger, min_confidence=least, image_error=error)
        seeds = len(start)
        is_open = seeds < REPEATS + more and finalists.is_open(confidence, least)
        if seeds >= REPEATS and not is_open:
            return Outcome(gains[chosen] if is_enough else 0.0, is_enough, 2 * (seeds - 1))
        start.append(draws.normal(0.0, SEED_SPREAD))
        challenger.append(on_val[chosen] + draws.normal(0.0, SEED_SPREAD))


if __name__ == "__main__":
    raise SystemExit(main())
