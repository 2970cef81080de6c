"""Verdicts and needed repeats, beside SciPy's test, published sample sizes and simulation."""

import numpy as np
import pytest
from scipy import stats

from tuner_fn.studies import paired_effect
from tuner_fn.studies.paired_effect import HELPS, HURTS, NOT_SHOWN

BASELINE = [0.50, 0.54, 0.47, 0.52, 0.49]


def test_interval_and_p_value_of_one_comparison_are_scipys() -> None:
    variant = [0.53, 0.55, 0.51, 0.53, 0.52]
    found = paired_effect.effect(variant, BASELINE, 1)
    reference = stats.ttest_rel(variant, BASELINE)
    interval = reference.confidence_interval(0.95)
    assert found.difference == pytest.approx(0.024)
    assert found.p_value == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.verdict == HELPS


def test_the_correction_takes_the_number_of_comparisons_into_account() -> None:
    variant = [0.53, 0.55, 0.51, 0.53, 0.52]
    found = paired_effect.effect(variant, BASELINE, 8)
    reference = stats.ttest_rel(variant, BASELINE)
    interval = reference.confidence_interval(1.0 - 0.05 / 8)
    assert found.p_value == pytest.approx(8 * reference.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.verdict == NOT_SHOWN  # what one comparison shows is not shown as one of eight
    assert found.needed_repeats > len(BASELINE)


@pytest.mark.parametrize("num_tests", [1, 3, 8])
def test_verdict_interval_and_p_value_agree(num_tests) -> None:
    draws = np.random.default_rng(0)
    verdicts = set()
    for _ in range(60):
        found = paired_effect.effect(draws.normal(draws.normal(0, 0.1), 0.05, 4), np.zeros(4), num_tests)
        verdicts.add(found.verdict)
        assert (found.verdict == NOT_SHOWN) == (found.low <= 0 <= found.high) == (found.p_value >= 0.05)
        assert (found.verdict == HELPS) == (found.low > 0)
        assert (found.needed_repeats is None) or found.verdict == NOT_SHOWN
    assert verdicts == {HELPS, HURTS, NOT_SHOWN}


def test_at_most_one_study_in_twenty_says_something_false(monkeypatch) -> None:
    """4 comparisons of equal settings that share a baseline, 300 studies: at most 0.05, standard error 0.013."""
    monkeypatch.setattr(paired_effect, "needed_repeats", lambda *about: None)  # no part of a verdict, and slow to find
    draws = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        baseline = draws.normal(size=3)
        found = [paired_effect.effect(draws.normal(size=3), baseline, 4) for _ in range(4)]
        wrong += any(one.verdict != NOT_SHOWN for one in found)
    assert 0 < wrong / 300 < 0.09


def test_one_repeat_has_a_difference_and_nothing_else() -> None:
    found = paired_effect.effect([0.6], [0.5], 3)
    assert found.difference == pytest.approx(0.1)
    assert (found.deviation, found.low, found.high, found.p_value, found.needed_repeats) == (None,) * 5
    assert found.verdict == ""


def test_equal_scores_show_nothing_and_a_constant_difference_is_shown() -> None:
    same = paired_effect.effect(BASELINE, BASELINE, 2)
    assert (same.difference, same.p_value, same.verdict, same.needed_repeats) == (0.0, 1.0, NOT_SHOWN, None)
    shifted = paired_effect.effect([0.25, 0.5], [0.5, 0.75], 2)
    assert (shifted.low, shifted.high, shifted.p_value, shifted.verdict) == (-0.25, -0.25, 0.0, HURTS)


@pytest.mark.parametrize(("size", "expected"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_needed_repeats_are_the_published_ones(size, expected) -> None:
    """Paired t-test, two-sided 0.05, power 0.8: the sample sizes that G*Power 3.1 gives for Cohen's d."""
    assert paired_effect.needed_repeats(0.01 * size, 0.01, 1) == expected
    assert paired_effect.needed_repeats(-0.01 * size, 0.01, 1) == expected


def test_needed_repeats_have_the_power_in_a_simulation() -> None:
    count = paired_effect.needed_repeats(0.04, 0.03, 8)
    draws = np.random.default_rng(2)

    def power(repeats: int) -> float:
        pairs = draws.normal(0.04, 0.03, (20_000, repeats))
        return float(np.mean(8 * stats.ttest_1samp(pairs, 0.0, axis=1, alternative="greater").pvalue < 0.025))

    assert power(count) >= 0.79  # 0.8 less three standard errors of 20,000 draws
    assert power(count - 1) < 0.8


def test_a_large_difference_that_two_repeats_do_not_show_needs_more() -> None:
    """0.114 with a deviation of 0.005: t is 31, its critical value with one degree of freedom and 8 tests 102."""
    found = paired_effect.effect([0.0168, 0.0096], [0.1338, 0.1201], 8)
    assert found.verdict == NOT_SHOWN
    assert found.needed_repeats == 3


def test_the_power_is_that_of_the_noncentral_t() -> None:
    for size, count, tests in ((0.5, 34, 1), (1.5, 6, 8), (0.1, 400, 3)):
        critical = stats.t.ppf(1 - 0.05 / tests / 2, count - 1)
        shift = size * np.sqrt(count)
        exact = stats.nct.sf(critical, count - 1, shift) + stats.nct.cdf(-critical, count - 1, shift)
        assert paired_effect._power(size, count, tests) == pytest.approx(exact, abs=2e-4)


def test_needed_repeats_at_the_ends() -> None:
    assert paired_effect.needed_repeats(0.0, 0.03, 1) is None
    assert paired_effect.needed_repeats(0.001, 0.1, 1) is None
    assert paired_effect.needed_repeats(5.0, 0.001, 1) == 2
    assert paired_effect.needed_repeats(0.1, 0.0, 1) == 2


@pytest.mark.parametrize(("variant", "baseline", "num_tests"), [([], [], 1), ([0.1], [0.1, 0.2], 1), ([1.0], [1.0], 0)])
def test_scores_that_do_not_pair_are_refused(variant, baseline, num_tests) -> None:
    with pytest.raises(ValueError, match="at least"):
        paired_effect.effect(variant, baseline, num_tests)
