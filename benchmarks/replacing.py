"""Checks when a new model may replace the last one, and times it beside `hotcoco.compare`.

Pairs of detectors are made of drawn images: each detector scores the same boxes with noise of its own. For pairs with
as much noise, and for ones whose candidate has more, it prints how often the candidate is refused, and how often it
would be by the rule "not below the last one". Then both programs compare two detectors by as many resamples.

    python -m benchmarks.replacing [--pairs=200] [--images=100]
"""

import argparse
import dataclasses
import time
from collections.abc import Callable

import hotcoco
import numpy as np

from benchmarks import evaluation
from models.evaluation import coco, paired_bootstrap
from models.evaluation.coco import ImageResult
from pipeline.configs import MAX_P_WORSE

METRICS = ("AP50", "AP")  # the first decides on the pairs
NOISE = 0.1  # of the last model's scores, as the standard deviation
CANDIDATES = (0.1, 0.15, 0.2, 0.3)
DETECTIONS, RESAMPLES = 20, 200
TIMED = ((1366, 100), (5000, 100))  # images and detections an image


def main() -> int:
    """Prints the shares and the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="of detectors for each noise")
    parser.add_argument("--images", type=int, default=100, help="of each pair")
    arguments = parser.parse_args()
    _check(arguments.pairs, arguments.images)
    for sizes in TIMED:
        _time(*sizes)
    return 0


def _check(pairs: int, images: int) -> None:
    print(f"{pairs} pairs on {images} images, {METRICS[0]}, {RESAMPLES} resamples; the last model's noise is {NOISE}")
    for noise in CANDIDATES:
        found = [_compare(seed, images, noise) for seed in range(pairs)]
        refused = np.mean([one.p_worse > MAX_P_WORSE for one in found])
        below = np.mean([one.difference < 0 for one in found])
        mean = np.mean([one.difference for one in found])
        missed = np.mean([not one.low <= mean <= one.high for one in found])
        print(
            f"  candidate's {noise:.2f}: mean difference {mean:+.4f}, refused {refused:.1%}, "
            f"below the last one {below:.1%}; the interval misses the mean in {missed:.1%}"
        )


def _compare(seed: int, images: int, noise: float) -> paired_bootstrap.Comparison:
    drawn = evaluation.random_results(seed, images, DETECTIONS)
    draws = np.random.default_rng(seed)
    candidate, last = (_with_noise(drawn, draws, one) for one in (noise, NOISE))
    return paired_bootstrap.compare(
        candidate, last, evaluation.CLASS_NAMES, METRICS[0], num_resamples=RESAMPLES, seed=seed
    )


def _with_noise(drawn: list[ImageResult], draws: np.random.Generator, noise: float) -> list[ImageResult]:
    scores = [one.det_scores + draws.normal(0, noise, len(one.det_scores)) for one in drawn]
    return [dataclasses.replace(one, det_scores=found) for one, found in zip(drawn, scores, strict=True)]


def _time(images: int, detections: int) -> None:
    names = evaluation.CLASS_NAMES
    last = evaluation.random_results(0, images, detections)
    candidate = _with_noise(last, np.random.default_rng(0), NOISE)

    def compare(metric: str) -> str:
        found = paired_bootstrap.compare(candidate, last, names, metric, num_resamples=RESAMPLES)
        return f"{found.low:+.4f} to {found.high:+.4f}"

    def compare_by_hotcoco() -> str:
        both = [coco.evaluate(one, names) for one in (last, candidate)]
        found = hotcoco.compare(*both, n_bootstrap=RESAMPLES)["ci"]
        return ", ".join(f"{name} {found[name]['lower']:+.4f} to {found[name]['upper']:+.4f}" for name in METRICS)

    print(f"{images} images, {detections} detections each, {RESAMPLES} resamples")
    for name in METRICS:
        _print_timed(name, lambda name=name: compare(name))
    _print_timed(f"hotcoco.compare {hotcoco.__version__}, all metrics at once", compare_by_hotcoco)


def _print_timed(name: str, work: Callable[[], str]) -> None:
    start = time.perf_counter()
    result = work()
    print(f"  {name}: {time.perf_counter() - start:.1f} s, 95 % interval {result}")


if __name__ == "__main__":
    raise SystemExit(main())
