"""A Gaussian process over learning curves: what a configuration will reach, from its own epochs and from others'."""

import dataclasses

import numpy as np
from scipy import linalg, optimize

_SQRT5 = np.sqrt(5.0)
_JITTER = 1e-6
# Behind the lengths: shared, its fading part, own, its fading part, all curves' fading part, beta, alpha, noise;
# variances are of standard scores.
_PRIOR_MEAN = np.log([1.0, 1.0, 0.1, 0.1, 1.0, 0.15, 1.0, 1e-3])
_PRIOR_SD = np.array([0.7, 0.7, 1.0, 1.0, 1.0, 0.7, 0.5, 1.0])
_LENGTH_MEAN, _LENGTH_SD = np.log(0.7), 0.8
NO_CURVE = -1  # in `Points.curves`, of a configuration without a curve


@dataclasses.dataclass(frozen=True)
class Points:
    """Places on learning curves.

    Attributes:
        features: float64 [N, F] of the configurations, in [0, 1].
        progress: float64 [N], epoch / most epochs, in (0, 1].
        curves: int [N], which curve a point lies on; `NO_CURVE` to predict what the settings alone explain.
    """

    features: np.ndarray
    progress: np.ndarray
    curves: np.ndarray

    def __len__(self) -> int:
        """Counts the points."""
        return len(self.progress)

    def __getitem__(self, chosen: np.ndarray) -> "Points":
        """Picks points by index."""
        return Points(self.features[chosen], self.progress[chosen], self.curves[chosen])

    def joined(self, others: "Points") -> "Points":
        """Appends other points."""
        pairs = ((getattr(one, field.name) for one in (self, others)) for field in dataclasses.fields(self))
        return Points(*(np.concatenate(list(pair)) for pair in pairs))


class CurveModel:
    """Gaussian process of scores over configurations and epochs.

    A score is the sum of what the configuration's settings explain and of what is the configuration's own, each of
    which has a part that stays and a part that fades with the epochs, and of a fading part that all curves share. The
    covariance of two points is M(x, x') (a + b D(t, t')) + [same curve] (c + d D(t, t')) + e D(t, t'), M a Matern 5/2
    kernel with a length for each feature and D(t, t') = (beta / (t + t' + beta))^alpha. The nine and more constants
    have log-normal priors and are fitted by their posterior's maximum.

    Source: Swersky et al. 2014 (arXiv:1406.3896), section 3, whose kernel over epochs D is; here the asymptote and the
    curve's shape are not independent between configurations.
    """

    def __init__(self, num_features: int) -> None:
        """Creates a model with the priors' means."""
        self.num_features = num_features
        self._mean = np.concatenate([np.full(num_features, _LENGTH_MEAN), _PRIOR_MEAN])
        self._sd = np.concatenate([np.full(num_features, _LENGTH_SD), _PRIOR_SD])
        self.constants = self._mean.copy()  # logarithms

    def fit(self, points: Points, scores: np.ndarray, max_iterations: int = 30) -> None:
        """Fits the constants, from where they are.

        Args:
            points: [N].
            scores: float64 [N], with mean 0 and standard deviation 1.
            max_iterations: of L-BFGS; each takes O(N^3).
        """
        bounds = list(zip(self._mean - 3 * self._sd, self._mean + 3 * self._sd, strict=True))
        found = optimize.minimize(
            self.loss,
            self.constants,
            args=(points, scores),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": max_iterations},
        )
        self.constants = found.x

    def condition(self, points: Points, scores: np.ndarray) -> None:
        """Takes the scores [N] at points [N] as known."""
        covariance = self._covariance(points, points)
        covariance[np.diag_indices(len(points))] += np.exp(self.constants[-1]) + _JITTER
        self._points = points
        self._factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        self._weights = linalg.cho_solve((self._factor, True), scores, check_finite=False)

    def predict(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Predicts, after `condition`.

        Returns:
            (mean, standard deviation), float64 [N] each, of the scores without noise.
        """
        shared, shared_decay, own, own_decay, common, beta, alpha, _ = np.exp(self.constants[self.num_features :])
        covariance = self._covariance(self._points, points)
        explained = linalg.solve_triangular(self._factor, covariance, lower=True, check_finite=False)
        decay = (beta / (2.0 * points.progress + beta)) ** alpha
        prior = shared + (common + shared_decay) * decay
        prior += (points.curves != NO_CURVE) * (own + own_decay * decay)
        variance = np.maximum(prior - np.einsum("ij,ij->j", explained, explained), 1e-9)
        return covariance.T @ self._weights, np.sqrt(variance)

    def loss(self, constants: np.ndarray, points: Points, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """Computes the negative log posterior of the constants, up to a constant, and its gradient."""
        covariance, slopes = self._covariance_and_slopes(constants, points)
        noise = np.exp(constants[-1])
        covariance[np.diag_indices(len(points))] += noise + _JITTER
        try:
            factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        except linalg.LinAlgError:
            return 1e10, np.zeros_like(constants)
        weights = linalg.cho_solve((factor, True), scores, check_finite=False)
        inverse = linalg.cho_solve((factor, True), np.eye(len(points)), check_finite=False)
        off = (constants - self._mean) / self._sd
        value = 0.5 * scores @ weights + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        outer = 0.5 * (inverse - np.outer(weights, weights))
        gradient = np.array([*(np.vdot(outer, slope) for slope in slopes), np.trace(outer) * noise])
        return value, gradient + off / self._sd

    def _covariance(self, first: Points, second: Points) -> np.ndarray:
        shared, shared_decay, own, own_decay, common, beta, alpha, _ = np.exp(self.constants[self.num_features :])
        scale = np.exp(-self.constants[: self.num_features])
        one, other = first.features * scale, second.features * scale
        squares = (one * one).sum(1)[:, None] + (other * other).sum(1)[None] - 2.0 * one @ other.T
        matern = _matern(np.sqrt(np.maximum(squares, 0.0) + 1e-12))
        # There are few different numbers of epochs, and powers take long.
        (rows, row), (columns, column) = (np.unique(one.progress, return_inverse=True) for one in (first, second))
        decay = ((beta / (rows[:, None] + columns[None] + beta)) ** alpha)[row[:, None], column[None]]
        covariance = matern * (shared + shared_decay * decay)
        if (second.curves != NO_CURVE).any():
            covariance += (first.curves[:, None] == second.curves[None]) * (own + own_decay * decay)
        return covariance + common * decay

    def _covariance_and_slopes(self, constants: np.ndarray, points: Points) -> tuple[np.ndarray, list[np.ndarray]]:
        """Computes the covariance [N, N] and its derivatives by all constants but the noise."""
        shared, shared_decay, own, own_decay, common, beta, alpha, _ = np.exp(constants[self.num_features :])
        scaled = points.features * np.exp(-constants[: self.num_features])
        squares = [(column[:, None] - column[None]) ** 2 for column in scaled.T]
        distance = np.sqrt(np.add.reduce(squares) + 1e-12)
        matern = _matern(distance)
        part = beta / (points.progress[:, None] + points.progress[None] + beta)
        decay = part**alpha
        same = points.curves[:, None] == points.curves[None]
        by_length = (
            (shared + shared_decay * decay) * (5.0 / 3.0) * (1.0 + _SQRT5 * distance) * np.exp(-_SQRT5 * distance)
        )
        by_decay = common + shared_decay * matern + same * own_decay
        slopes = [by_length * square for square in squares]
        slopes += [shared * matern, shared_decay * matern * decay, same * own, same * own_decay * decay, common * decay]
        slopes += [by_decay * alpha * decay * (1.0 - part), by_decay * alpha * decay * np.log(part)]
        covariance = matern * (shared + shared_decay * decay) + same * (own + own_decay * decay) + common * decay
        return covariance, slopes


def _matern(distance: np.ndarray) -> np.ndarray:
    scaled = _SQRT5 * distance
    return (1.0 + scaled + scaled * scaled / 3.0) * np.exp(-scaled)
