"""Successive halving by the rule of ASHA: a promotion does not wait for a rung to fill."""

import numpy as np

from tuner_fn.oracles.configuration import Proposal
from tuner_fn.oracles.halving import HalvingOracle


class AshaOracle(HalvingOracle):
    """Promotes whatever is in the top 1 / `factor` of its rung, else starts a random configuration.

    The highest rung comes first. A failed configuration counts as the worst of its rung; one that is running counts in
    the rungs that it has reached, and workers never wait. Only a budget or a finite space ends the search.

    Source: Li et al. 2020 (arXiv:1810.05934), algorithm 2.
    """

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
