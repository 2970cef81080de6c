"""A search space as numbers: what strategies draw, vary, count and fit models to."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.hyperparameters import Boolean, Choice, Fixed, Float, Int

_INACTIVE = 0.5
ROUNDING = 1e-9  # of genes


class Space:
    """Configurations as genes: one number in [0, 1] a parameter, Keras Tuner's cumulative probability of its value.

    Genes are canonical: those of a parameter with finitely many values lie in the middle of the value's share, those of
    an inactive one are 0.5. So equal configurations have equal genes.

    Attributes:
        parameters: in the order of Keras Tuner's space, parents before what depends on them.
        size: number of different configurations, None for infinitely many.
    """

    def __init__(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Reads the parameters; entries added to `hyperparameters` later are not seen."""
        self.parameters = list(hyperparameters.space)
        self._snaps = [_snap(parameter) for parameter in self.parameters]
        self.size = None if any(num_values(one) is None for one in self.parameters) else self.count()

    def canonical(self, genes: np.ndarray) -> np.ndarray:
        """Moves any numbers [N, P] in [0, 1] to the nearest canonical genes [N, P]."""
        genes = self.snapped(genes)
        return np.where(self.active(genes), genes, _INACTIVE)

    def snapped(self, genes: np.ndarray) -> np.ndarray:
        """Moves any numbers [N, P] in [0, 1] to the genes [N, P] of the nearest values, whether active or not."""
        genes = np.clip(np.asarray(genes, dtype=np.float64), 0.0, 1.0)
        return np.stack([snap(column) for snap, column in zip(self._snaps, genes.T, strict=True)], axis=1)

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws configurations: canonical genes [count, P]; every parameter evenly over its (log) range."""
        return self.canonical(rng.random((count, len(self.parameters))))

    def values(self, genes: np.ndarray) -> dict[str, Any]:
        """Returns the active values {name: value} of one configuration's genes [P]."""
        active = self.active(genes[None])[0]
        chosen = zip(self.parameters, genes, active, strict=True)
        return {
            parameter.name: parameter.prob_to_value(float(gene)) for parameter, gene, is_active in chosen if is_active
        }

    def genes(self, values: Mapping[str, Any]) -> np.ndarray:
        """Returns the genes [P] of active values; other names are left out."""
        genes = np.full(len(self.parameters), _INACTIVE)
        for index, parameter in enumerate(self.parameters):
            if parameter.name in values and all(condition.is_active(values) for condition in parameter.conditions):
                genes[index] = parameter.value_to_prob(values[parameter.name])
        return self.canonical(genes[None])[0]

    def defaults(self) -> dict[str, Any]:
        """Returns the declared defaults {name: value} of the parameters that they make active."""
        return self.completed({})

    def completed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values {name: value} of the active parameters, the declared defaults where `values` has none."""
        found: dict[str, Any] = {}
        for parameter in self.parameters:
            if all(condition.is_active(found) for condition in parameter.conditions):
                found[parameter.name] = values.get(parameter.name, parameter.default)
        return found

    def active(self, genes: np.ndarray) -> np.ndarray:
        """Tells bool [N, P] which parameters of genes [N, P] are active."""
        active = np.ones(genes.shape, dtype=bool)
        for index, parameter in enumerate(self.parameters):
            for condition in parameter.conditions:
                held = np.zeros(len(genes), dtype=bool)
                for parent, other in enumerate(self.parameters[:index]):
                    if other.name == condition.name:
                        found = [
                            condition.is_active({other.name: other.prob_to_value(gene)}) for gene in genes[:, parent]
                        ]
                        held |= active[:, parent] & np.array(found, dtype=bool)
                active[:, index] &= held
        return active

    def features(self, genes: np.ndarray) -> np.ndarray:
        """Makes inputs [N, F] of a model from canonical genes [N, P]: an unordered choice takes a column a value."""
        columns = []
        for parameter, column in zip(self.parameters, np.asarray(genes).T, strict=True):
            if isinstance(parameter, Choice) and not parameter.ordered and len(parameter.values) > 2:
                chosen = np.floor(column * len(parameter.values)).astype(int)
                # Two different values lie 1 apart, as the ends of a range do.
                columns += list((np.arange(len(parameter.values))[:, None] == chosen) / math.sqrt(2.0))
            else:
                columns.append(column)
        return np.stack(columns, axis=1) if columns else np.zeros((len(genes), 1))

    def vary(self, genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Changes some parameters of each configuration [N, P], slightly to strongly; returns canonical genes."""
        count, width = genes.shape
        some = rng.random((count, width)) < rng.choice([0.2, 0.5, 1.0], (count, 1))
        some[np.arange(count), rng.integers(0, width, count)] = True
        moved = genes + some * rng.normal(size=(count, width)) * rng.choice([0.01, 0.03, 0.1, 0.3], (count, 1))
        # Values of a choice have no neighbours to be moved to: another is drawn.
        drawn = some & np.array(
            [num_values(parameter) is not None and num_values(parameter) <= 10 for parameter in self.parameters]
        )
        return self.canonical(np.where(drawn, rng.random((count, width)), moved))

    def all(self, values_each: int = 0) -> Iterator[np.ndarray]:
        """Yields the genes [P] of every configuration, the last parameter's value changing fastest.

        Args:
            values_each: of ranges with more values, so many or, of integers, a few less are taken, evenly and with both
                ends; 0 for all values of ranges in steps.
        """
        yield from self._combine([], values_each)

    def count(self, values_each: int = 0) -> int | None:
        """Counts what `all` yields.

        Parameters that no condition ties are multiplied out, however many combinations that makes. Those that
        conditions tie are gone through one by one.

        Args:
            values_each: as of `all`.

        Returns:
            The number; None where tied parameters bring it above a million, which would take too long to count.
        """
        parents = {condition.name for parameter in self.parameters for condition in parameter.conditions}
        tied = [one for one in self.parameters if one.conditions or one.name in parents]
        free = math.prod(len(_levels(one, values_each)) for one in self.parameters if one not in tied)
        part, most = copy.copy(self), 1_000_000
        part.parameters = tied
        counted = free * sum(1 for _ in itertools.islice(part.all(values_each), most // free + 1))
        return counted if counted <= most or not tied else None

    def on_grid(self, genes: np.ndarray, values_each: int) -> bool:
        """Tells whether `all` yields a configuration [P], but for rounding."""
        active = self.active(genes[None])[0]
        levels = (_levels(parameter, values_each) for parameter in self.parameters)
        return all(
            not counts or np.abs(np.array(level) - gene).min() < ROUNDING
            for gene, counts, level in zip(genes, active, levels, strict=True)
        )

    def _combine(self, chosen: list[float], values_each: int) -> Iterator[np.ndarray]:
        index = len(chosen)
        if index == len(self.parameters):
            yield np.array(chosen)
            return
        before = np.array([*chosen, *[_INACTIVE] * (len(self.parameters) - index)])
        if not self.active(before[None])[0, index]:
            yield from self._combine([*chosen, _INACTIVE], values_each)
            return
        for gene in _levels(self.parameters[index], values_each):
            yield from self._combine([*chosen, gene], values_each)


def num_values(parameter: Any) -> int | None:
    """Counts a parameter's values; None for infinitely many."""
    if isinstance(parameter, Fixed):
        return 1
    if isinstance(parameter, Boolean | Choice):
        return len(parameter.values)
    if parameter.step is not None:
        return parameter._get_n_values()
    if parameter.min_value == parameter.max_value:
        return 1
    return parameter.max_value - parameter.min_value + 1 if isinstance(parameter, Int) else None


def _levels(parameter: Any, values_each: int) -> list[float]:
    """Lists the genes of a parameter's values; of a range with more values, about `values_each`."""
    count = num_values(parameter)
    if count is None:
        return list(np.linspace(0.0, 1.0, values_each))
    if isinstance(parameter, Int) and parameter.step is None:
        values: Sequence[int] = range(parameter.min_value, parameter.max_value + 1)
        if 0 < values_each < count:
            ends = parameter.value_to_prob(values[0]), parameter.value_to_prob(values[-1])
            values = list(dict.fromkeys(parameter.prob_to_value(gene) for gene in np.linspace(*ends, values_each)))
        return [parameter.value_to_prob(value) for value in values]
    indices: Sequence[int] = range(count)
    if 0 < values_each < count and isinstance(parameter, Float | Int):
        indices = list(dict.fromkeys(np.linspace(0, count - 1, values_each).round().astype(int).tolist()))
    return [(index + 0.5) / count for index in indices]


def _snap(parameter: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Makes the function that moves numbers [N] in [0, 1] to the genes of a parameter's values."""
    count = num_values(parameter)
    if count is None:
        return lambda genes: genes
    if isinstance(parameter, Int) and parameter.step is None:
        return lambda genes: _by_value(genes, lambda gene: parameter.value_to_prob(parameter.prob_to_value(gene)))
    return lambda genes: (np.minimum(np.floor(genes * count), count - 1) + 0.5) / count


def _by_value(genes: np.ndarray, snap: Callable[[float], float]) -> np.ndarray:
    """Snaps genes [N] in [0, 1], each value once: most of a varied configuration's are as they were."""
    different, places = np.unique(np.minimum(genes, 1.0 - 1e-12), return_inverse=True)
    return np.array([snap(gene) for gene in different.tolist()], dtype=np.float64)[places]
