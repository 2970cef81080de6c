"""Intervals of curves drawn by hand."""

import numpy as np
import pytest

from models.training import rate_sweep
from tuner_fn.studies import rate_interval
from tuner_fn.studies.rate_interval import Interval

RATES = rate_sweep.rates(1e-7, 1.0, 141)  # 20 steps a decade


def curve(low: float, high: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Draws a loss of 4 up to `low`, that falls to 1 at `high` and rises from there."""
    place = np.log(RATES / low) / np.log(high / low)
    loss = np.where(place < 0, 4.0, np.where(place < 1, 4.0 - 3.0 * place, 1.0 + 6.0 * (place - 1.0)))
    return loss + noise * np.random.default_rng(seed).normal(size=len(loss))


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_both_ends_are_found_within_two_steps_and_a_tenth_of_the_fall(noise) -> None:
    found = rate_interval.falling(RATES, curve(1e-4, 1e-2, noise))
    assert np.log10(found.low) == pytest.approx(-4 + 0.2, abs=0.3)  # a tenth of two decades after its begin
    assert np.log10(found.high) == pytest.approx(-2, abs=0.2)


def test_a_sweep_that_ended_where_it_diverged_has_the_same_interval() -> None:
    whole = curve(1e-4, 1e-2)
    assert rate_interval.falling(RATES, whole[:110]) == rate_interval.falling(RATES, whole)


@pytest.mark.parametrize(
    "losses",
    [np.full(141, 4.0), 4.0 + np.random.default_rng(0).normal(size=141), np.linspace(1.0, 4.0, 141), np.full(10, 4.0)],
    ids=["flat", "noise", "rising", "ended at once"],
)
def test_a_loss_that_does_not_fall_clearly_has_no_interval(losses) -> None:
    assert rate_interval.falling(RATES, losses) is None


def test_noise_alone_is_hardly_ever_a_fall() -> None:
    draws = np.random.default_rng(3)
    for steps, most in ((141, 2), (12, 10)):
        rates = rate_sweep.rates(1e-7, 1.0, steps)
        found = [rate_interval.falling(rates, 4.0 + draws.normal(size=steps)) for _ in range(200)]
        assert sum(one is not None for one in found) <= most


def test_a_dozen_steps_find_a_clear_fall() -> None:
    rates = rate_sweep.rates(1e-7, 1.0, 12)
    found = rate_interval.falling(rates, [9.0, 9.1, 8.9, 9.0, 9.1, 8.8, 8.0, 6.5, 5.0, 7.0, 12.0])
    assert (found.low, found.high) == (rates[6], rates[8])


@pytest.mark.parametrize("steps", [12, 30, 100, 300])
def test_a_loss_that_falls_to_the_end_is_said_to_be_cut_off(steps) -> None:
    rates = np.geomspace(1e-5, 1e-2, steps)
    falls = [4.0 - 3.0 * max(0.0, step / steps - 0.3) for step in range(steps)]
    assert rate_interval.falling(rates, falls).is_cut_off
    back = [loss + (2.0 if step > 0.9 * steps else 0.0) for step, loss in enumerate(falls)]
    assert not rate_interval.falling(rates, back).is_cut_off


def test_repeats_are_joined_by_geometric_means_and_their_spread() -> None:
    found = rate_interval.together([Interval(1e-4, 1e-2), Interval(4e-4, 1e-2)])
    assert (found.interval.low, found.interval.high) == pytest.approx((2e-4, 1e-2))
    assert (found.low_spread, found.high_spread, found.count) == (pytest.approx(4.0), pytest.approx(1.0), 2)
    assert rate_interval.together([Interval(1e-4, 1e-2)]).low_spread is None


@pytest.mark.parametrize("cut_off", [[False], [True], [True, False], [False, False]])
def test_repeats_are_cut_off_where_one_of_them_is(cut_off) -> None:
    assert rate_interval.together([Interval(1e-4, 1e-2, one) for one in cut_off]).interval.is_cut_off == any(cut_off)
