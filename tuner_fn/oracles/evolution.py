"""Regularised evolution: children of good configurations, and death by age."""

from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import Choice

from tuner_fn.oracles.base import Exhausted, SeededOracle, check_range
from tuner_fn.oracles.configuration import Configuration, Proposal
from tuner_fn.oracles.space import num_values

_TRIES = 100  # to find a child that was not tried
_FEW = 10  # a range with so many values is one whose values are drawn, not moved
_STEPS = (0.03, 0.1, 0.3)  # standard deviations of a mutation, in shares of the range


class EvolutionOracle(SeededOracle):
    """Changes one parameter of the best of some configurations drawn from the population.

    The population is made of the configurations that ended last: with each new one the oldest dies, however good it is.
    A failed one is the worst; those that are running are not born yet, so several workers draw from one population.
    Only a budget or a finite space ends the search.

    Source: Real et al. 2019 (arXiv:1802.01548), algorithm 1.
    """

    def __init__(self, *, population: int = 10, sample: int = 4, **settings: Any) -> None:
        """Creates the oracle.

        Args:
            population: configurations alive, at least 2; as many random ones come first.
            sample: drawn from the population for each child, whose parent is the best of them; from 1 to `population`.
            **settings: of `SeededOracle`.

        Raises:
            UserError: a number out of its range.
        """
        super().__init__(**settings)
        check_range("population", population, 2)
        check_range("sample", sample, 1, population)
        self.population, self.sample = population, sample

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Draws a parent and changes it; `SeededOracle.propose`."""
        alive = self.alive()
        if len(self.configurations) >= self.population and any(one.state == "paused" for one in alive):
            for _ in range(_TRIES):
                drawn = rng.permutation(len(alive))[: self.sample]
                parent = max((alive[index] for index in drawn), key=lambda one: one.best_until(self.max_epochs))
                child = self.not_tried(self.mutate(parent.genes, rng)[None])
                if len(child):
                    return Proposal(self.space.values(child[0]), self.max_epochs)
        return Proposal(self.space.values(self.unseen(rng)[0]), self.max_epochs)

    def alive(self) -> list[Configuration]:
        """Lists the population, the oldest first."""
        return [self.configurations[index] for index in self.finished()[-self.population :]]

    def mutate(self, genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Changes one active parameter of a configuration [P]; what that makes active is drawn.

        Raises:
            Exhausted: no parameter has a second value.
        """
        active = self.space.active(genes[None])[0]
        counts = [num_values(parameter) for parameter in self.space.parameters]
        variable = [index for index, count in enumerate(counts) if active[index] and count != 1]
        if not variable:
            raise Exhausted(self._exhausted())
        chosen, child = rng.choice(variable), np.where(active, genes, rng.random(len(genes)))
        is_choice = isinstance(self.space.parameters[chosen], Choice)
        drawn = is_choice or (counts[chosen] is not None and counts[chosen] <= _FEW)
        while True:
            if drawn:
                child[chosen] = rng.random()
            else:
                child[chosen] = genes[chosen] + rng.normal() * rng.choice(_STEPS)
            canonical = self.space.canonical(child[None])[0]
            if canonical[chosen] != genes[chosen]:
                return canonical
