"""Asynchronous successive halving: promotes without waiting for a rung to fill."""

from typing import Any

import numpy as np

from tuner_fn.oracles.base import Proposal, SeededOracle, check_range
from tuner_fn.oracles.hyperband import make_halving_rungs


class AshaOracle(SeededOracle):
    """Promotes whatever is in the top 1 / `factor` of its rung, else starts a random configuration.

    The highest rung comes first. A failed configuration counts as the worst of its rung. Only a budget or a finite
    space ends the search.

    Source: Li et al. 2020 (arXiv:1810.05934), algorithm 2.
    """

    def __init__(self, *, min_epochs: int = 1, factor: int = 3, **settings: Any) -> None:
        """Creates the oracle.

        Args:
            min_epochs: of the lowest rung, from 1 to `max_epochs`: below it scores would rank noise.
            factor: one of so many configurations goes on from rung to rung, at least 2.
            **settings: of `SeededOracle`.

        Raises:
            UserError: a number out of its range.
        """
        super().__init__(**settings)
        check_range("min_epochs", min_epochs, 1, self.max_epochs)
        check_range("factor", factor, 2)
        self.factor = factor
        self.rungs = make_halving_rungs(min_epochs, self.max_epochs, factor)

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Promotes or starts a configuration; `SeededOracle.propose`."""
        for rung in reversed(range(len(self.rungs) - 1)):
            index = self._promotable(rung)
            if index is not None:
                return Proposal(None, self.rungs[rung + 1], known=index)
        return Proposal(self.space.values(self.unseen(rng)[0]), self.first_epochs())

    def _promotable(self, rung: int) -> int | None:
        """Finds the best configuration of a rung's top that waits there."""
        before, epochs = [0, *self.rungs][rung : rung + 2]
        results = [
            (one.best_until(epochs), index)
            for index, one in enumerate(self.configurations)
            if one.epochs > epochs or (before < one.epochs and one.state != "running")
        ]
        top = sorted(results, key=lambda result: -result[0])[: len(results) // self.factor]
        waiting = (index for _, index in top if self.configurations[index].epochs <= epochs)
        return next((index for index in waiting if self.configurations[index].state == "paused"), None)
