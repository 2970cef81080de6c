"""Hyperband: brackets of successive halving, from many short trainings to few whole ones."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from tuner_fn.oracles.base import Exhausted
from tuner_fn.oracles.configuration import Configuration, Proposal
from tuner_fn.oracles.halving import HalvingOracle


class HyperbandOracle(HalvingOracle):
    """Hyperband with Keras Tuner's brackets.

    A configuration is promoted as soon as it is certain to be among the best of its rung; a failed one counts as the
    worst, so that its bracket is completed. Where that is not certain yet, because others of the rung are running, a
    further worker starts the next bracket; without one to start it waits. Without a budget the search ends after the
    last bracket; with one, the brackets are repeated until it is spent. The defaults are one of the first bracket's
    configurations, no more: a training of theirs out of turn would take another one's place.

    Source: Li et al. 2018 (JMLR 18-185), algorithm 1; sizes and epochs after `keras_tuner.oracles.HyperbandOracle`.
    """

    def size(self, bracket: int, rung: int) -> int:
        """Counts the configurations of a bracket (0 has whole trainings only) that are trained to a rung from 0."""
        last = math.ceil(1 + math.log(self.max_epochs, self.factor)) / (bracket + 1)
        return math.ceil(last * self.factor ** (bracket - rung))

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Promotes a configuration or starts one, in the order of the brackets; `SeededOracle.propose`."""
        start = 0  # of the bracket's configurations
        for bracket in self._brackets():
            members = range(start, min(start + self.size(bracket, 0), len(self.configurations)))
            start += self.size(bracket, 0)
            reason = None
            if start > len(self.configurations):
                try:
                    return Proposal(self.space.values(self.unseen(rng)[0]), self._epochs(bracket)[0])
                except Exhausted as error:
                    reason = error  # the bracket continues with what it has
            promotion = self._promotion(bracket, members)
            if promotion is not None:
                return promotion
            if reason is not None:
                raise reason
        raise Exhausted(f"all {len(self.rungs)} brackets are done")

    def resumable(self) -> list[str]:
        """Lists the trials that may yet be promoted, as `SeededOracle.resumable`."""
        waiting, start, needed = super().resumable(), 0, set()
        for bracket in self._brackets():
            members = self.configurations[start : start + self.size(bracket, 0)]
            start += self.size(bracket, 0)
            needed.update(self._promotable(bracket, members))
            if start >= len(self.configurations):
                break  # with several workers, earlier brackets may be in progress, too
        return [trial_id for trial_id in waiting if trial_id in needed]

    def _promotable(self, bracket: int, members: Sequence[Configuration]) -> Iterator[str]:
        """Yields the trials of a bracket that are among the best of their rung so far."""
        for rung, (before, epochs) in enumerate(itertools.pairwise([0, *self._epochs(bracket)[:-1]])):
            reached = [one.best_until(epochs) for one in members if one.epochs > before]
            for one in members:
                beaten_by = sum(score > one.best for score in reached)
                if before < one.epochs <= epochs and beaten_by < self.size(bracket, rung + 1):
                    yield one.trial_id

    def retire(self, trial_id: str) -> bool:
        """Refuses: a bracket promotes as many as it was meant to."""
        return False

    def planned_trials(self) -> int:
        """Counts the trials that one worker starts if none fails; a promotion is a trial of its own."""
        return len(self._plan())

    def planned_epochs(self) -> int:
        """Counts the epochs that one worker trains if no trial fails."""
        return sum(self._plan())

    def start_epochs(self) -> int:
        """Returns what any configuration of its bracket gets first."""
        return self.first_epochs()

    def _brackets(self) -> Iterator[int]:
        """Yields the brackets, the one with the lowest rung first; without end where there is a budget."""
        once = range(len(self.rungs) - 1, -1, -1)
        return itertools.cycle(once) if self.has_budget() else iter(once)

    def _epochs(self, bracket: int) -> list[int]:
        """Lists the epochs up to which a bracket's rungs train."""
        return self.rungs[len(self.rungs) - 1 - bracket :]

    def _promotion(self, bracket: int, members: range) -> Proposal | None:
        """Finds a configuration that is certain to be among the best of its rung.

        Args:
            bracket: its number.
            members: its configurations, as many as there will be.
        """
        expected = len(members)
        steps = itertools.pairwise([0, *self._epochs(bracket)])
        for rung, (before, epochs) in enumerate(list(steps)[:-1]):
            entered = [index for index in members if self.configurations[index].epochs > before]
            staying = [index for index in entered if self.configurations[index].epochs <= epochs]
            waiting = [index for index in staying if self.configurations[index].state != "running"]
            failed = [index for index in waiting if self.configurations[index].state == "failed"]
            size = self.size(bracket, rung + 1)
            if len(waiting) > max(expected - size, len(failed)):
                best = max(waiting, key=lambda index: self.configurations[index].best_until(epochs))
                return Proposal(None, self._epochs(bracket)[rung + 1], known=best)
            expected = min(size, expected - len(failed))
        return None

    def _plan(self) -> list[int]:
        """Lists the epochs of every trial."""
        trials, left = [], math.inf if self.max_epochs_total is None else self.max_epochs_total
        for bracket in self._brackets():
            for rung, (before, epochs) in enumerate(itertools.pairwise([0, *self._epochs(bracket)])):
                for _ in range(self.size(bracket, rung)):
                    if left <= 0 or len(trials) >= self.max_trials:
                        return trials
                    trials.append(int(min(epochs - before, left)))
                    left -= trials[-1]
        return trials
