"""Shares of variance against functions whose shares are known by calculation."""

import math

import numpy as np
import pytest

from tuner_fn.studies import variance


def ishigami(genes):
    x = math.pi * (2.0 * genes - 1.0)
    return np.sin(x[:, 0]) + 7.0 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def test_ishigamis_function_has_the_shares_of_its_formula() -> None:
    """Ishigami and Homma 1990; the variances are integrals of sines and powers."""
    design = variance.Design.draw(4, 4096, seed=0)  # the fourth has no effect
    found = variance.shares(design.evaluate(ishigami))
    first = 0.5 * (1.0 + 0.1 * math.pi**4 / 5.0) ** 2
    second, both = 49.0 / 8.0, 8.0 * 0.01 * math.pi**8 / 225.0
    whole = first + second + both
    # Tolerance: the error of 4,096 points, as the number falls with more.
    assert found.alone == pytest.approx([first / whole, second / whole, 0.0, 0.0], abs=0.01)
    assert found.total == pytest.approx([(first + both) / whole, second / whole, both / whole, 0.0], abs=0.01)
    assert found.pairs[0, 2] == found.pairs[2, 0] == pytest.approx(both / whole, abs=0.02)
    assert found.pairs[0, 1] == pytest.approx(0.0, abs=0.02)


def test_a_sum_has_no_interactions() -> None:
    design = variance.Design.draw(3, 1024, seed=1)
    found = variance.shares(design.evaluate(lambda genes: genes @ np.array([3.0, 4.0, 0.0])))
    assert found.alone == pytest.approx([9 / 25, 16 / 25, 0.0], abs=0.01)
    assert found.total == pytest.approx(found.alone, abs=0.01)
    assert found.pairs.max() < 0.01


def test_a_product_of_signs_is_interaction_alone() -> None:
    design = variance.Design.draw(2, 1024, seed=2)
    found = variance.shares(design.evaluate(lambda genes: np.sign(genes[:, 0] - 0.5) * np.sign(genes[:, 1] - 0.5)))
    assert found.alone == pytest.approx([0.0, 0.0], abs=0.01)
    assert found.total == pytest.approx([1.0, 1.0], abs=0.01)
    assert found.pairs[0, 1] == pytest.approx(1.0, abs=0.02)


def test_a_constant_has_no_variance_to_share() -> None:
    found = variance.shares(variance.Design.draw(2, 64, seed=0).evaluate(lambda genes: np.ones(len(genes))))
    assert found.alone.tolist() == found.total.tolist() == [0.0, 0.0]
    assert found.pairs.tolist() == [[0.0, 0.0], [0.0, 0.0]]
