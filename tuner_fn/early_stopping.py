"""Stopping trials that will hardly become the best, judged by how far finished trainings still rose."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

STOPPED = "tuner/stopped"  # among the values of a trial that was stopped early: the epochs that it was trained
LEAST_CURVES = 8  # whole trainings before the first stop: their better half are four, the fewest to show a spread
_LEAST_SPREAD = 1e-12  # where all rose equally far
CURVE = "score_by_epoch"  # among a trial's metrics


@dataclasses.dataclass(frozen=True)
class StoppingRule:
    """Stops a trial that would have to rise further than nearly all trainings before it did.

    A trial may be stopped after each epoch but its last. These looks share `chance` evenly, so that all together they
    stop no more than this share of the trials that would become the best (Bonferroni's inequality). A trial that is as
    good as the best already is never stopped.

    Source: the predictive termination criterion of Domhan et al. 2015 (IJCAI). What a curve does next is extrapolated
    by finished trainings of as many epochs, as Chandrashekaran and Lane 2017 (ECML PKDD) do, and not by parametric
    curves: a learning rate that falls to zero by the last epoch lets every curve rise late.

    Attributes:
        chance: share of the trials that would become the best that may be stopped, in (0, 1).
        best: the highest score of the trials before.
        curves: scores after each epoch of finished trainings; each has as many as the trial is to get.
    """

    chance: float
    best: float
    curves: tuple[tuple[float, ...], ...]

    def stops(self, scores: Sequence[float]) -> bool:
        """Tells whether a trial with these scores, one after each of its epochs so far, is to be stopped."""
        if len(self.curves) < LEAST_CURVES or not 0 < len(scores) < len(self.curves[0]):
            return False
        looks = len(self.curves[0]) - 1
        return scores[-1] < self.best and chance_above(self.best, scores, self.curves) < self.chance / looks


def chance_above(best: float, scores: Sequence[float], curves: Sequence[Sequence[float]]) -> float:
    """Computes with which chance a training that ends above `best` shows so low a score so far.

    The rise from this epoch to the last one counts as drawn from the normal distribution that the rises of the better
    half of the finished trainings come from: worse ones are not examples of one that wins, and those that were
    stopped, which are among the worse, cannot be missed.

    Args:
        best: the score to exceed in the end.
        scores: float [E], after each epoch so far, at least one.
        curves: float [N, T] of finished trainings, T above E, N at least 3.

    Returns:
        In [0, 1]; 1 - the level of the one-sided prediction interval for one more rise whose end is the rise needed.

    Source: Hahn and Meeker 1991, Statistical Intervals, chapter 4.
    """
    from scipy import special  # a training process that stops nothing need not wait for it

    finished = np.asarray(curves, dtype=np.float64)
    better = finished[np.argsort(-finished[:, -1], kind="stable")[: math.ceil(len(finished) / 2)]]
    rises = better[:, -1] - better[:, len(scores) - 1]
    spread = max(rises.std(ddof=1), _LEAST_SPREAD) * math.sqrt(1.0 + 1.0 / len(rises))
    needed = best - scores[-1]
    return float(special.stdtr(len(rises) - 1, (rises.mean() - needed) / spread))  # Student's t


def keep_curve(trial: Any, history: Sequence[Mapping[str, float]], metric: str) -> None:
    """Keeps a trial's scores with it, and after how many epochs it was stopped; its next saving saves both.

    Args:
        trial: of Keras Tuner, with `tuner/epochs` among its values.
        history: one report an epoch, with the metric where it was validated.
        metric: the objective's.
    """
    values = trial.hyperparameters.values
    if len(history) < values["tuner/epochs"]:
        values[STOPPED] = len(history)
    if not trial.metrics.exists(CURVE):  # a search that was killed may have saved it
        for epoch, report in enumerate(history, start=1):
            if metric in report:
                trial.metrics.update(CURVE, report[metric], step=epoch)


def make_rule(chance: float | None, trials: Iterable[Any], epochs: int) -> StoppingRule | None:
    """Makes the rule of the next trial.

    Args:
        chance: as of `StoppingRule`; None for no rule.
        trials: those that have ended, with their curves kept.
        epochs: that the next trial is to get; curves are alike only with as many.
    """
    if chance is None:
        return None
    done = [trial for trial in trials if trial.status == "COMPLETED"]
    values = [trial.hyperparameters.values for trial in done]
    whole = [one["tuner/epochs"] == epochs and STOPPED not in one for one in values]
    histories = [trial.metrics.get_history(CURVE) for trial in itertools.compress(done, whole)]
    curves = tuple(tuple(float(one.mean()) for one in history) for history in histories)
    return StoppingRule(chance, max((trial.score for trial in done), default=-math.inf), curves)
