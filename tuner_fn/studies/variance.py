"""Analysis of variance of a function of settings: how much of its variance each setting and pair accounts for."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """Points at which a function is evaluated, so that its variance can be split.

    Attributes:
        genes: float64 [2 + 2P, N, P] in [0, 1): two independent samples A and B; then, for each setting, A with that
            setting from B; then, for each setting, B with that setting from A.
    """

    genes: np.ndarray

    @classmethod
    def draw(cls, num_settings: int, num_points: int, seed: int) -> "Design":
        """Draws the points evenly from [0, 1)^P, as a scrambled Sobol' sequence.

        Args:
            num_settings: P, at least 1.
            num_points: N, a power of 2.
            seed: of the scrambling.
        """
        from scipy.stats import qmc  # a second that the command line's other commands need not wait for

        points = qmc.Sobol(2 * num_settings, rng=np.random.default_rng(seed)).random(num_points)
        first, second = points[:, :num_settings], points[:, num_settings:]
        swapped = np.eye(num_settings, dtype=bool)[:, None, :]  # [P, 1, P]
        return cls(
            np.concatenate(
                [first[None], second[None], np.where(swapped, second, first), np.where(swapped, first, second)]
            )
        )

    def evaluate(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Returns float64 [2 + 2P, N], the function's values at the points; it takes [M, P] and returns [M]."""
        sets, count, width = self.genes.shape
        return np.asarray(function(self.genes.reshape(-1, width)), np.float64).reshape(sets, count)


@dataclasses.dataclass(frozen=True, eq=False)
class Shares:
    """Shares of a function's variance, each in [0, 1]; all 0 where the function is constant.

    Attributes:
        alone: float64 [P], of each setting by itself: the variance of the mean over all others.
        total: float64 [P], of each setting with all interactions that it takes part in.
        pairs: float64 [P, P], symmetric with 0 on the diagonal: of two settings together beyond each alone.
    """

    alone: np.ndarray
    total: np.ndarray
    pairs: np.ndarray


def shares(values: np.ndarray) -> Shares:
    """Estimates the shares from a function's values at a design's points.

    Args:
        values: float64 [2 + 2P, N] as `Design.evaluate` returns.

    Source: Saltelli et al. 2010 (Computer Physics Communications 181), table 2, (b) for one setting alone and (f), by
        Jansen 1999, for its total; Saltelli 2002 (Computer Physics Communications 145), theorem 1, for pairs. Hutter et
        al. 2014 (ICML) split a forest's variance so.
    """
    num_settings = len(values) // 2 - 1
    variance = float(values[:2].var())
    if variance <= 0.0:
        zeros = np.zeros(num_settings)
        return Shares(zeros, zeros, np.zeros((num_settings, num_settings)))
    a, b, *_ = centred = values - values[:2].mean()
    ab, ba = centred[2 : 2 + num_settings], centred[2 + num_settings :]
    alone = ((b * (ab - a)).mean(axis=1) + (a * (ba - b)).mean(axis=1)) / (2.0 * variance)
    total = (((a - ab) ** 2).mean(axis=1) + ((b - ba) ** 2).mean(axis=1)) / (4.0 * variance)
    both = ab @ ba.T / (values.shape[1] * variance)  # [P, P]: what A_B^i and B_A^j share are the settings i and j
    pairs = (both + both.T) / 2.0 - (alone[:, None] + alone)
    np.fill_diagonal(pairs, 0.0)
    return Shares(np.clip(alone, 0.0, 1.0), np.clip(total, 0.0, 1.0), np.clip(pairs, 0.0, 1.0))
