"""Early stopping: the chance by hand, when it never stops, and its calibration on recorded trainings."""

import json
import math
import pathlib

import numpy as np
import pytest

from benchmarks import early_stopping as replay
from tuner_fn.early_stopping import LEAST_CURVES, StoppingRule, chance_above

# Of road scenes; `python -m benchmarks.early_stopping --record=tests/unit/tuner_fn/road_scenes_curves.json` made it.
RECORDED = pathlib.Path(__file__).with_name("road_scenes_curves.json")
# Final scores 10, 20, 30 with rises of 1, 2 and 3 after the first epoch, and worse ones whose rises do not count.
CURVES = [(9.0, 10.0), (18.0, 20.0), (27.0, 30.0), (0.0, 5.0), (0.0, 4.0), (3.0, 3.0)]


@pytest.mark.parametrize(
    ("best", "chance"),
    [
        (30.0, 0.5),  # the mean rise is needed
        # Published quantiles of Student's t with two degrees of freedom; one more rise spreads by sqrt(1 + 1/3).
        (30.0 + 1.885618 * math.sqrt(4 / 3), 0.1),
        (30.0 + 2.919986 * math.sqrt(4 / 3), 0.05),
        (30.0 - 6.964557 * math.sqrt(4 / 3), 0.99),
    ],
)
def test_the_chance_is_that_of_one_more_rise_like_those_of_the_better_half(best, chance) -> None:
    assert chance_above(best, [28.0], CURVES) == pytest.approx(chance, rel=1e-5)


def test_the_chance_of_equal_rises_is_all_or_nothing() -> None:
    curves = [(1.0, 2.0)] * 6
    assert chance_above(5.0, [3.0], curves) == pytest.approx(0.0)
    assert chance_above(5.0, [4.5], curves) == pytest.approx(1.0)


def test_looks_share_the_chance() -> None:
    curves = tuple((0.0, 0.0, 0.0, float(rise)) for rise in range(1, 9))  # the better half rises by 5, 6, 7, 8
    chance = chance_above(12.0, [1.0, 0.0], curves)
    assert 0.001 < chance < 0.1
    assert StoppingRule(3.1 * chance, 12.0, curves).stops([1.0, 0.0])
    assert not StoppingRule(2.9 * chance, 12.0, curves).stops([1.0, 0.0])


def test_it_stops_nothing_it_cannot_judge() -> None:
    curves = ((0.0, 0.0, 0.1),) * LEAST_CURVES
    rule = StoppingRule(0.1, 1.0, curves)
    assert rule.stops([0.0])
    assert rule.stops([0.3, 0.2])
    assert not rule.stops([])  # nothing is known of it
    assert not rule.stops([0.0, 0.0, 0.0])  # it is at its end
    assert not rule.stops([math.nan])
    assert not StoppingRule(0.1, 1.0, curves[1:]).stops([0.0])  # too few trainings to know
    assert not StoppingRule(0.1, 0.5, curves).stops([0.5])  # as good as the best
    assert not StoppingRule(0.1, -math.inf, ()).stops([0.0])  # the first trial


@pytest.mark.parametrize("chance", [0.05, 0.2])
def test_of_curves_that_rise_by_normal_steps_as_many_winners_are_stopped_as_the_chance_says(chance) -> None:
    """The margin is two standard deviations of a binomial share; no looks are wasted, so that it is not far below."""
    results = []
    for seed in range(100):
        draw = np.random.default_rng(seed)
        steps = np.concatenate([draw.normal(0.0, 1.0, (40, 1)), draw.normal(1.0, 0.5, (40, 5))], axis=1)
        results.append(replay.replay(np.cumsum(steps, axis=1), chance, seed))
    winners = sum(result.winners for result in results)
    share = sum(result.stopped_winners for result in results) / winners
    assert winners > 100
    assert chance / 3 < share <= chance + 2 * math.sqrt(chance * (1 - chance) / winners)
    assert sum(result.saved for result in results) / len(results) > 0.3


@pytest.mark.parametrize("chance", [0.05, 0.2])
def test_of_recorded_trainings_no_more_winners_are_stopped_than_the_chance_says(chance) -> None:
    """Random orders of the same trainings; the margin is two standard deviations of a binomial share."""
    curves = json.loads(RECORDED.read_text())["curves"]
    results = [replay.replay(curves, chance, seed) for seed in range(100)]
    winners = sum(result.winners for result in results)
    stopped = sum(result.stopped_winners for result in results)
    assert winners > 100
    assert stopped / winners <= chance + 2 * math.sqrt(chance * (1 - chance) / winners)
    assert sum(result.saved for result in results) / len(results) > 0.1
