"""Random search without replacement."""

import numpy as np

from tuner_fn.oracles.base import SeededOracle
from tuner_fn.oracles.configuration import Proposal


class RandomOracle(SeededOracle):
    """Draws every parameter evenly over its (log) range, never the same configuration twice.

    Source: Bergstra and Bengio 2012 (JMLR 13), section 1.
    """

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Draws a configuration; `SeededOracle.propose`."""
        return Proposal(self.space.values(self.unseen(rng)[0]), self.max_epochs)
