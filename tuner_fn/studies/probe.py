"""What a forest of trees makes of a space: the split of its variance, and its mean along each setting."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner_fn.studies import variance

if TYPE_CHECKING:
    from tuner_fn.oracles.space import Space

_POINTS = 512  # of the two samples that the variance is split with
_BASE_POINTS, _LEVELS = 64, 15  # of marginal curves: settings that they are averaged over, most levels of one

Level = tuple[Any, float, float]  # value of a setting, mean score with it, standard deviation over forests


class Probe:
    """Asks forests about the same points of a space.

    Attributes:
        columns: of the genes that vary; the others keep the value in the middle.
    """

    def __init__(self, space: "Space", columns: Sequence[int], seed: int) -> None:
        self._space, self.columns = space, list(columns)
        self._design = variance.Design.draw(len(columns), _POINTS, seed)
        self._inputs = self._features(self._design.genes.reshape(-1, len(columns)))
        self._levels: list[np.ndarray] = []  # genes of each setting's levels
        curves, base = [], self._design.genes[0, :_BASE_POINTS]
        for position, column in enumerate(self.columns):
            self._levels.append(_levels(space, column))
            curves += [_replaced(base, position, level) for level in self._levels[-1]]
        self._curve_inputs = self._features(np.concatenate(curves))
        self._active = space.active(self._whole(np.concatenate(curves)))[:, self.columns]

    def look(self, predict: Callable[[np.ndarray], np.ndarray]) -> tuple[variance.Shares, list[np.ndarray]]:
        """Returns a forest's shares, and each setting's mean score by level."""
        sets = self._design.genes.shape[0]
        found = variance.shares(predict(self._inputs).astype(np.float64).reshape(sets, -1))
        values = predict(self._curve_inputs)
        curves, start = [], 0
        for position, levels in enumerate(self._levels):
            part = slice(start, start + len(levels) * _BASE_POINTS)
            shape = (len(levels), _BASE_POINTS)
            weights = self._active[part, position].reshape(shape)  # a condition may leave few, never none
            curves.append((values[part].reshape(shape) * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1))
            start = part.stop
        return found, curves

    def levels(self, position: int, curves: Sequence[Sequence[np.ndarray]]) -> list[Level]:
        """Puts one setting's levels together from all forests' curves."""
        each = np.stack([one[position] for one in curves])  # [resamples, levels]
        parameter = self._space.parameters[self.columns[position]]
        values = [parameter.prob_to_value(float(gene)) for gene in self._levels[position]]
        rows = zip(values, each.mean(axis=0).tolist(), each.std(axis=0).tolist(), strict=True)
        return [(value, mean, std) for value, mean, std in rows]

    def _whole(self, genes: np.ndarray) -> np.ndarray:
        """Fills genes [N, columns] up to canonical ones [N, P]."""
        whole = np.full((len(genes), len(self._space.parameters)), 0.5)
        whole[:, self.columns] = genes
        return self._space.canonical(whole)

    def _features(self, genes: np.ndarray) -> np.ndarray:
        return np.asarray(self._space.features(self._whole(genes)), np.float32)


def _levels(space: "Space", column: int) -> np.ndarray:
    """Lists the genes of a setting's levels: of all its values where there are few, else evenly over its range."""
    from tuner_fn.oracles.space import num_values

    count = num_values(space.parameters[column])
    steps = np.linspace(0.0, 1.0, _LEVELS if count is None or count > _LEVELS else 20 * count)
    whole = np.full((len(steps), len(space.parameters)), 0.5)
    whole[:, column] = steps
    return np.unique(space.snapped(whole)[:, column])


def _replaced(genes: np.ndarray, column: int, value: float) -> np.ndarray:
    found = genes.copy()
    found[:, column] = value
    return found
