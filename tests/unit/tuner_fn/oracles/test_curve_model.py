"""The Gaussian process over learning curves, against the textbook's formulas and finite differences."""

import numpy as np
import pytest
from scipy import optimize

from tuner_fn.oracles.curve_model import NO_CURVE, CurveModel, Points


def make_points(seed: int = 0, curves: int = 6, epochs: int = 4) -> tuple[Points, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.random((curves, 2)).repeat(epochs, axis=0)
    progress = np.tile(np.arange(1, epochs + 1) / epochs, curves)
    points = Points(features, progress, np.arange(curves).repeat(epochs))
    scores = np.sin(3 * features[:, 0]) + progress + 0.1 * rng.normal(size=len(progress))
    return points, (scores - scores.mean()) / scores.std()


def covariance(model: CurveModel, one: Points, other: Points) -> np.ndarray:
    """Computes the covariance pair by pair, as the class's docstring has it."""
    lengths = np.exp(model.constants[:2])
    a, b, c, d, e, beta, alpha, _ = np.exp(model.constants[2:])
    result = np.zeros((len(one), len(other)))
    for i in range(len(one)):
        for j in range(len(other)):
            r = np.sqrt(5.0) * np.linalg.norm((one.features[i] - other.features[j]) / lengths)
            matern = (1 + r + r**2 / 3) * np.exp(-r)
            decay = (beta / (one.progress[i] + other.progress[j] + beta)) ** alpha
            same = one.curves[i] == other.curves[j]
            result[i, j] = matern * (a + b * decay) + same * (c + d * decay) + e * decay
    return result


def test_predictions_are_the_conditional_gaussians() -> None:
    points, scores = make_points()
    model = CurveModel(2)
    model.fit(points, scores)
    model.condition(points, scores)
    asked = Points(np.random.default_rng(1).random((5, 2)), np.linspace(0.2, 1.0, 5), np.array([0, 1, 6, 7, 8]))
    known, cross = covariance(model, points, points), covariance(model, asked, points)
    known += (np.exp(model.constants[-1]) + 1e-6) * np.eye(len(points))
    mean = cross @ np.linalg.solve(known, scores)
    variance = np.diag(covariance(model, asked, asked) - cross @ np.linalg.solve(known, cross.T))
    found_mean, found_deviation = model.predict(asked)
    assert found_mean == pytest.approx(mean, abs=1e-5)
    assert found_deviation**2 == pytest.approx(variance, abs=1e-5)


def test_the_gradient_is_that_of_the_loss() -> None:
    points, scores = make_points()
    model = CurveModel(2)
    for seed in range(3):
        constants = model.constants + 0.5 * np.random.default_rng(seed).normal(size=len(model.constants))
        slopes = optimize.approx_fprime(constants, lambda at: model.loss(at, points, scores)[0], 1e-6)
        assert model.loss(constants, points, scores)[1] == pytest.approx(slopes, rel=1e-3, abs=1e-3)


def test_fitting_finds_which_feature_matters() -> None:
    """The scores depend on the first feature alone, so it gets the shorter length."""
    points, scores = make_points(curves=30)
    model = CurveModel(2)
    model.fit(points, scores)
    assert model.constants[0] < model.constants[1] - 0.5


def test_a_curve_that_is_ahead_is_predicted_to_end_ahead() -> None:
    """Two configurations with equal settings differ by what is their own."""
    points = Points(np.full((8, 1), 0.5), np.tile([0.1, 0.2, 0.3, 0.4], 2), np.array([0] * 4 + [1] * 4))
    model = CurveModel(1)
    model.condition(points, np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8]))
    mean, deviation = model.predict(Points(np.full((3, 1), 0.5), np.ones(3), np.array([0, 1, 2])))
    assert mean[1] > mean[0] + 0.2
    assert mean[0] < mean[2] < mean[1]  # a new one lies between
    assert deviation[2] > deviation[0]


def test_without_a_curve_of_its_own_a_configuration_cannot_be_lucky() -> None:
    """Of settings that were trained often nothing is left to hope for; a copy's own part would be new."""
    points = Points(np.full((20, 1), 0.5), np.ones(20), np.arange(20))
    model = CurveModel(1)
    model.condition(points, np.tile([-0.1, 0.1], 10))
    mean, deviation = model.predict(Points(np.full((2, 1), 0.5), np.ones(2), np.array([20, NO_CURVE])))
    _, _, c, d, _, beta, alpha, _ = np.exp(model.constants[1:])
    own = c + d * (beta / (2.0 + beta)) ** alpha
    assert mean[0] == pytest.approx(mean[1], abs=1e-9)
    assert deviation[0] ** 2 - deviation[1] ** 2 == pytest.approx(own, abs=1e-6)
    assert deviation[1] < 0.1
