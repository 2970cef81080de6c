"""Between which learning rates the loss falls, from the sweeps of a range test."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from models.training import rate_sweep

WIDE_SPREAD = 3.0  # times, between the repeats, from which on an end of the interval is hardly known
_FLAT_SHARE = 0.2  # of the steps: at the first rates nothing is learned
_BEGUN_SHARE = 0.1  # of the whole fall, after which the loss is falling
_CLEAR = 5.0  # a fall is one from so many standard deviations of the smoothed loss on
_MEDIAN_TO_DEVIATION = 1.4826  # of normal noise


@dataclasses.dataclass(frozen=True)
class Interval:
    """Learning rates between which the loss falls.

    Attributes:
        low: from which on.
        high: up to which; from there on it stays or rises.
        is_cut_off: whether it still falls at the highest rate of the sweep.
    """

    low: float
    high: float
    is_cut_off: bool = False


@dataclasses.dataclass(frozen=True)
class Repeated:
    """The intervals of several sweeps as one.

    Attributes:
        interval: geometric mean of each end; cut off if one of them is.
        low_spread: largest low end / smallest one, at least 1; None for one sweep.
        high_spread: the same of the high ends.
        count: sweeps with an interval.
    """

    interval: Interval
    low_spread: float | None
    high_spread: float | None
    count: int


def falling(rates: Sequence[float], losses: Sequence[float]) -> Interval | None:
    """Finds the learning rates between which the smoothed loss of a sweep falls.

    The loss of the first fifth of the steps is what it is without learning. The interval begins where the smoothed loss
    has lost a tenth of its whole fall for good, and ends at its lowest point; the lag of the smoothing is taken off.

    Args:
        rates: of all N steps of the sweep, ascending.
        losses: at most N, as `rate_sweep.losses` returns.

    Returns:
        The interval; None where the loss does not fall clearly.

    Source: Smith 2017 (arXiv:1506.01186), section 3.3, which reads both ends off a plot.
    """
    steps, flat = len(rates), max(2, round(_FLAT_SHARE * len(rates)))
    if len(losses) <= flat:
        return None
    smoothed = rate_sweep.smooth(losses, steps)
    before = float(np.mean(losses[:flat]))
    lowest = int(np.argmin(smoothed))
    fall = before - smoothed[lowest]
    momentum = rate_sweep.smoothing(steps)
    steps_apart = float(np.median(np.abs(np.diff(losses[: lowest + 1])))) if lowest else 0.0
    noise = _MEDIAN_TO_DEVIATION * steps_apart / math.sqrt(2.0) * math.sqrt((1.0 - momentum) / (1.0 + momentum))
    if lowest < flat or fall <= _CLEAR * noise:
        return None
    above = np.flatnonzero(smoothed[:lowest] >= before - _BEGUN_SHARE * fall)
    lag = round(momentum / (1.0 - momentum))
    first = max(0, (int(above[-1]) if above.size else 0) + 1 - lag)
    last = max(first, lowest - lag)
    is_cut_off = lowest + lag >= steps - 1
    return Interval(float(rates[first]), float(rates[last]), is_cut_off) if first < last else None


def together(intervals: Sequence[Interval]) -> Repeated:
    """Joins the intervals of repeats.

    Args:
        intervals: at least one.
    """
    ends = np.log([[one.low, one.high] for one in intervals])  # [N, 2]
    low, high = np.exp(ends.mean(axis=0))
    mean = Interval(float(low), float(high), any(one.is_cut_off for one in intervals))
    if len(intervals) == 1:
        return Repeated(mean, None, None, 1)
    low_spread, high_spread = np.exp(np.ptp(ends, axis=0))
    return Repeated(mean, float(low_spread), float(high_spread), len(intervals))
