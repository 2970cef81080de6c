"""Grid search: every combination, in order."""

import bisect
from typing import Any

import numpy as np

from tuner_fn.oracles.base import Exhausted, SeededOracle, check_range
from tuner_fn.oracles.configuration import Proposal
from tuner_fn.oracles.space import ROUNDING

_VALUES_EACH = 3  # of a range, where there is no budget to fill


class GridOracle(SeededOracle):
    """Tries the defaults, then every combination once; the last parameter's value changes fastest.

    Attributes:
        values_each: number of values taken of a range.
        points: number of configurations, the defaults included; None for more than a million.
    """

    def __init__(self, *, values_each: int | None = None, **settings: Any) -> None:
        """Creates the oracle.

        Args:
            values_each: of a range, at least 2, evenly over its (log) range and with both ends; None for as many as
                the budget has room for.
            **settings: of `SeededOracle`.

        Raises:
            UserError: fewer values than 2.
        """
        super().__init__(**settings)
        if values_each is not None:
            check_range("values_each", values_each, 2)
        self._defaults = self.space.genes(self.space.defaults())
        self._is_fitted = values_each is None
        self.values_each = values_each or self._fitting()
        self.points = self._count(self.values_each)
        self._restart()

    def set_budget(self, epochs: int) -> None:
        """Takes the grid that fits it, as `SeededOracle.set_budget`."""
        super().set_budget(epochs)
        if self._is_fitted:
            self.values_each = self._fitting()
            self.points = self._count(self.values_each)
            self._restart()

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Takes the next combination; `SeededOracle.propose`."""
        genes = self._next()
        if genes is None:
            raise Exhausted(self._exhausted())
        return Proposal(self.space.values(genes), self.max_epochs)

    def planned_trials(self) -> int | None:
        """Counts the most trials, as `SeededOracle.planned_trials`; the grid ends them, too."""
        limits = (self._num_points(), super().planned_trials())
        return min((limit for limit in limits if limit is not None), default=None)

    def planned_epochs(self) -> int | None:
        """Counts the most epochs, as `SeededOracle.planned_epochs`; the grid ends them, too."""
        points = self._num_points()
        limits = (points and points * self.max_epochs, super().planned_epochs())
        return min((limit for limit in limits if limit is not None), default=None)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`'s result."""
        super().set_state(state)
        self._restart()

    def _trials_done(self) -> str:
        return super()._trials_done() if self._next() is not None else self._exhausted()

    def _exhausted(self) -> str:
        return f"all {self.points} points of the grid were tried"

    def _restart(self) -> None:
        self._left = self.space.all(self.values_each)
        self._ahead = next(self._left, None)  # the combination that is looked at

    def _next(self) -> np.ndarray | None:
        """Finds the genes of the first combination not tried; before a reload the grid may have been another."""
        self._gather()
        tried = np.array([self._defaults, *(one.genes for one in self.configurations)])
        while self._ahead is not None and np.abs(tried - self._ahead).max(axis=1, initial=0.0).min() < ROUNDING:
            self._ahead = next(self._left, None)
        return self._ahead

    def _num_points(self) -> int | None:
        """Counts the grid's points and those that were tried on another grid; None for more than a million."""
        self._gather()
        others = [one for one in self.configurations if not self.space.on_grid(one.genes, self.values_each)]
        # The defaults, the first configuration, are among the points.
        return self.points and self.points + len([one for one in others if not self._are_defaults(one.genes)])

    def _are_defaults(self, genes: np.ndarray) -> bool:
        return bool(np.abs(genes - self._defaults).max(initial=0.0) < ROUNDING)

    def _count(self, values_each: int) -> int | None:
        combinations = self.space.count(values_each)
        return combinations and combinations + (not self.space.on_grid(self._defaults, values_each))

    def _fitting(self) -> int:
        """Finds the most values of a range with which the grid does not exceed the budget."""
        budget = super().planned_trials()
        if budget is None:
            return _VALUES_EACH
        sizes = range(2, max(budget, 2) + 1)
        return 1 + max(1, bisect.bisect_right(sizes, budget, key=lambda each: self._count(each) or budget + 1))
