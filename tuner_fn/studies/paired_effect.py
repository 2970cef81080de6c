"""What a change of settings does to a score: paired differences over seeds, corrected for the number of changes."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95  # of all intervals of a study together
POWER = 0.8  # chance with which the needed repeats show an effect that is there
MOST_REPEATS = 1000  # more are not worth counting
HELPS, HURTS, NOT_SHOWN = "helps", "hurts", "no effect shown"
_QUANTILES = 2000  # of the variance, over which the power is averaged


@dataclasses.dataclass(frozen=True)
class Effect:
    """A variant's score less the baseline's, with equal seeds.

    Attributes:
        difference: mean over the pairs.
        deviation: standard deviation of the pairs' differences; None for one pair.
        low: of the interval; None for one pair.
        high: the same.
        p_value: two-sided and corrected, in [0, 1]; None for one pair.
        verdict: `HELPS`, `HURTS` or `NOT_SHOWN`; "" for one pair.
        needed_repeats: seeds with which a difference of this size is shown with a chance of `POWER`; None where it is
            shown already, where it is 0, where more than `MOST_REPEATS` are needed, and for one pair.
    """

    difference: float
    deviation: float | None
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str
    needed_repeats: int | None


def effect(variant: Sequence[float], baseline: Sequence[float], num_tests: int) -> Effect:
    """Compares the scores of a variant with the baseline's by a paired t-test with Bonferroni's correction.

    The chance of any false verdict in `num_tests` comparisons is at most 1 - `LEVEL`, and each verdict agrees with its
    interval, which Holm's correction would not promise.

    Args:
        variant: N scores, at least one.
        baseline: N scores with the same seeds in the same order.
        num_tests: M comparisons of the study, at least 1.

    Returns:
        The effect.

    Raises:
        ValueError: the scores do not pair, none is given, or `num_tests` is below 1.

    Source: Student's paired t-test; Dunn 1961, Multiple Comparisons Among Means, section 3 (Bonferroni intervals).
    """
    if not len(variant) or len(variant) != len(baseline):
        raise ValueError(f"The scores need pairs, at least one: got {len(variant)} and {len(baseline)}.")
    _check_tests(num_tests)
    differences = np.asarray(variant, np.float64) - np.asarray(baseline, np.float64)  # [N]
    mean, count = float(differences.mean()), len(differences)
    if count == 1:
        return Effect(mean, None, None, None, None, "", None)
    deviation = float(differences.std(ddof=1))
    error = deviation / math.sqrt(count)
    half = error * float(stats.t.ppf(1.0 - _each(num_tests) / 2.0, count - 1))
    if error > 0.0:
        p_value = min(1.0, num_tests * 2.0 * float(stats.t.sf(abs(mean) / error, count - 1)))
    else:
        p_value = float(mean == 0.0)
    low, high = mean - half, mean + half
    verdict = HELPS if low > 0.0 else HURTS if high < 0.0 else NOT_SHOWN
    needed = needed_repeats(mean, deviation, num_tests) if verdict == NOT_SHOWN else None
    return Effect(mean, deviation, low, high, p_value, verdict, needed)


def needed_repeats(difference: float, deviation: float, num_tests: int) -> int | None:
    """Counts the pairs with which the test of `effect` shows a difference with a chance of `POWER`.

    Args:
        difference: true mean of the pairs' differences.
        deviation: their standard deviation, at least 0.
        num_tests: M comparisons of the study, at least 1.

    Returns:
        At least 2; None where it is more than `MOST_REPEATS`, as it is for a difference of 0.

    Raises:
        ValueError: `num_tests` is below 1.

    Source: Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, section 2.3; noncentral t.
    """
    _check_tests(num_tests)
    if difference == 0.0:
        return None
    size = abs(difference) / deviation if deviation > 0.0 else math.inf
    low, high = 2, MOST_REPEATS + 1  # bisection: the power grows with the repeats
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(size, middle, num_tests) >= POWER else (middle + 1, high)
    return low if low <= MOST_REPEATS else None


def _power(size: float, count: int, num_tests: int) -> float:
    """Returns the chance that `count` pairs show a difference of `size` standard deviations.

    It is the mean over quantiles of the estimated variance, because SciPy's noncentral t has no number for large sizes.
    """
    critical = stats.t.ppf(1.0 - _each(num_tests) / 2.0, count - 1)
    variances = stats.chi2.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES, count - 1) / (count - 1)
    thresholds, shift = critical * np.sqrt(variances), size * math.sqrt(count)
    return float(np.mean(stats.norm.sf(thresholds - shift) + stats.norm.cdf(-thresholds - shift)))


def _each(num_tests: int) -> float:
    """Returns the chance of a false verdict that each comparison may have."""
    return (1.0 - LEVEL) / num_tests


def _check_tests(num_tests: int) -> None:
    if num_tests < 1:
        raise ValueError(f"`num_tests` must be at least 1: got {num_tests}.")
