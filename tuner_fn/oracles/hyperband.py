"""Hyperband with a known end: Keras Tuner's, plus how many trials and epochs it will take."""

from collections.abc import Iterator
from typing import Any

import keras_tuner

from tuner_fn.oracles.defaults_first import DefaultsFirst


class HyperbandOracle(DefaultsFirst, keras_tuner.oracles.HyperbandOracle):
    """Keras Tuner's Hyperband that tries the defaults first and can count its trials beforehand.

    TFX's Tuner reads `max_trials` after the search and fails where it is None, as Keras Tuner's Hyperband leaves it.

    Source: Li et al. 2018 (JMLR 18-185), algorithm 1.
    """

    def __init__(self, min_epochs: int = 1, **settings: Any) -> None:
        """Creates the oracle.

        Args:
            min_epochs: of the lowest rung, at least 1: below it scores would rank noise.
            **settings: Keras Tuner's: `objective`, `hyperparameters`, `max_epochs`, `factor` and so on.
        """
        super().__init__(**settings)
        self.min_epochs = min_epochs
        self._current_bracket = self._get_num_brackets() - 1
        self._brackets = []
        self._start_new_bracket()

    def rungs(self) -> Iterator[tuple[int, int, int, int]]:
        """Yields (bracket, rung, trials, epochs to train) in the order in which they are run."""
        for bracket in reversed(range(self._get_num_brackets())):
            for rung in range(self._get_num_rounds(bracket)):
                before = self._get_epochs(bracket, rung - 1) if rung else 0
                yield bracket, rung, self._get_size(bracket, rung), self._get_epochs(bracket, rung) - before

    def planned_trials(self) -> int:
        """Counts the trials of all brackets; a promotion to the next rung is a trial of its own."""
        return self.hyperband_iterations * sum(trials for _, _, trials, _ in self.rungs())

    def planned_epochs(self) -> int:
        """Counts the epochs of the first `max_trials` trials; a promoted trial trains only what it lacks."""
        each = [epochs for _, _, trials, epochs in self.rungs() for _ in range(trials)] * self.hyperband_iterations
        return sum(each[: self.max_trials])
