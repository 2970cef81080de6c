"""What successive halving in brackets and asynchronous halving share: rungs, each `factor` times the one before."""

import math
from typing import Any

from tuner_fn.oracles.base import SeededOracle, check_range


class HalvingOracle(SeededOracle):
    """Base of strategies that train one of `factor` configurations further at each rung.

    Attributes:
        factor: one in this many configurations continues from rung to rung.
    """

    def __init__(self, *, min_epochs: int = 1, factor: int = 3, **settings: Any) -> None:
        """Creates the oracle.

        Args:
            min_epochs: of the lowest rung, from 1 to `max_epochs`: below it scores would rank noise.
            factor: one in this many configurations continues from rung to rung, at least 2.
            **settings: of `SeededOracle`.

        Raises:
            UserError: a number out of its range.
        """
        super().__init__(**settings)
        check_range("min_epochs", min_epochs, 1, self.max_epochs)
        check_range("factor", factor, 2)
        self.factor = factor
        self.rungs = make_halving_rungs(min_epochs, self.max_epochs, factor)


def make_halving_rungs(min_epochs: int, max_epochs: int, factor: int) -> list[int]:
    """Lists the epochs of rungs: `max_epochs` divided by `factor` as often as it stays at `min_epochs` or above."""
    rungs, epochs = [], float(max_epochs)
    while epochs >= min_epochs:
        rungs.insert(0, math.ceil(max_epochs / factor ** len(rungs)))
        epochs /= factor
    return rungs
