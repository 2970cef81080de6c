"""The kit's own strategy: a model of all learning curves decides which configuration to continue or to start."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from data import progress
from tuner_fn.oracles.base import Exhausted, SeededOracle
from tuner_fn.oracles.configuration import Configuration, Proposal
from tuner_fn.oracles.curve_model import NO_CURVE, CurveModel, Points

INITIAL = 4  # configurations before the model: the defaults and random ones
MOST_POINTS, MOST_FITTED = 400, 250  # of curves: what the model is conditioned on, and its constants are fitted on
REFIT_GROWTH = 1.15  # of the results, before the constants are fitted again
FAILED = -0.25  # score of a failed configuration, below the worst, in units of best less worst
TELLING = 0.5  # half of the start's final score: from there on scores tell configurations apart
MOST_RUNNING = 100  # running trials, the last ones started, that the model takes for ended
FINISHED = 2  # configurations beside the start that the last epochs train in full (`benchmarks/two_steps.py`)
MOST_PAUSED = 100  # configurations, the best ones, that the model is asked about; the rest have little to hope for
PRIOR_SPREAD = 0.3  # of good configurations around the start, in units of the ranges
COST = "multiply_adds"  # metric of a trial
_COST_POWER = 0.6  # of it, that an epoch's seconds grow with: 1.9 and 2.8 times at 3.2 and 4.6 times the multiply-adds
_RIDGE = 0.1  # of the model of costs, in units of the ranges
_RANDOM, _NEAR_BEST, _BEST = 200, 100, 5  # candidates for a new configuration
_ROUNDS, _KEPT, _CHILDREN = 4, 10, 10  # of improving them

Acquisition = Callable[[Points], np.ndarray]


class FreezeThawOracle(SeededOracle):
    """Freeze-thaw search: short runs of many configurations, longer ones of those that the model believes in.

    After each run a Gaussian process over all curves (`CurveModel`) predicts how every configuration will stand among
    the others; the one with the highest expected improvement on the best is trained up to its next rung, be it new or
    paused. How far it looks ahead is drawn anew each time: to the end, or a random number of epochs.

    With `prior_weight` the first configurations are drawn around the start, and what is far from it has to promise
    more, the less the more configurations are known: a start that was derived from the data is rarely far off. What
    counts is the improvement for a second of training.

    Where the epochs to come are known, the last ones are kept for training the best two configurations beside the start
    in full: short runs tell little about the end where scores are noisy.

    A trial that is running counts as ended with the worst score of all, so that several workers do not crowd around one
    place (`benchmarks/parallel_search.py` compares that with the score that the model expects, and with none).

    Source: Swersky et al. 2014 (arXiv:1406.3896) for the idea; Rakotoarison et al. 2024 (arXiv:2404.16795), section 4,
    for the random horizon; Hvarfner et al. 2022 (arXiv:2204.11051), section 4, for the prior; Ginsbourger et al. 2010
    (Computational Intelligence in Expensive Optimization Problems, chapter 6), the constant liar, for running trials.
    """

    def __init__(
        self,
        *,
        min_epochs: int = 1,
        prior_weight: float = 0.0,
        first: Sequence[Mapping[str, Any]] = (),
        **settings: Any,
    ) -> None:
        """Creates the oracle.

        Args:
            min_epochs: of a configuration's first run, at least 1: below it scores would rank noise.
            prior_weight: trust in the start, from 0: how many configurations it takes until it counts little.
            first: {hyperparameter: value in the space} that change the start, each a configuration that is tried
                before the model decides; those that are ahead of the start after the first rung are tried together.
            **settings: of `SeededOracle`.
        """
        super().__init__(**settings)
        self.first = tuple(first)
        self.prior_weight = prior_weight
        self._least_epochs = max(min_epochs, math.ceil(0.09 * self.max_epochs))
        self.rungs = make_rungs(self._least_epochs, self.max_epochs)
        self._has_told = False  # how long the first rung is
        self._constants: list[float] | None = None  # of the model, as last fitted
        self._fitted_at = 0.0

    def first_epochs(self) -> int:
        """Returns the lowest rung."""
        return self.rungs[0]

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Chooses as the class says; `SeededOracle.propose`."""
        paused = [
            index
            for index, one in enumerate(self.configurations)
            if one.state == "paused" and one.epochs < self.max_epochs
        ]
        paused = sorted(paused, key=lambda index: -self.configurations[index].best)[:MOST_PAUSED]
        scored = [one for one in self.configurations if one.curve]
        if (given := self._given()) is not None:
            return Proposal(given, self.first_epochs())
        if len(self.configurations) < INITIAL or not scored:
            return Proposal(self.space.values(self._fresh(rng, 1)[0]), self.first_epochs())
        paused, is_last = self._to_finish(paused)
        acquisition = self._acquisition(rng, to_end=is_last)
        gains = acquisition(self._ends(paused)) - self._log_costs()[paused] if paused else np.array([])
        try:
            genes, gain = (None, -np.inf) if is_last else self._best_new(rng, acquisition)
        except Exhausted:
            if not paused:
                raise
            genes, gain = None, -np.inf
        if paused and gains.max() >= gain:
            known = paused[int(gains.argmax())]
            return Proposal(None, self._next_rung(self.configurations[known].epochs), known=known)
        return Proposal(self.space.values(genes), self.first_epochs())

    def _to_finish(self, paused: list[int]) -> tuple[list[int], bool]:
        """Keeps the last epochs, of the budget or of the time, for what was begun.

        Args:
            paused: configurations, the best ones first.

        Returns:
            Those that may be continued, and whether nothing new may be begun.
        """
        known = [epochs for epochs in (self._epochs_left(), self.epochs_in_time) if epochs is not None]
        if not known or not paused:
            return paused, False
        left = min(known)
        finished = sum(one.epochs == self.max_epochs for one in self.configurations[1:])
        leading = [index for index in paused if self._missing(index) <= left][: max(FINISHED - finished, 0)]
        kept = sum(map(self._missing, leading))
        if kept and left < kept + self.first_epochs():
            return leading, True
        return paused, left <= self.max_epochs

    def _missing(self, index: int) -> int:
        return self.max_epochs - self.configurations[index].epochs

    def _given(self) -> dict[str, Any] | None:
        """Returns the values of the next of `first` that was not tried, then of what helped; None where all were."""
        for changes in filter(None, (*self.first, self._helpful())):
            values = self.pinned.apply(self.space, self._changed(changes))
            if len(self.not_tried(self.space.genes(values)[None])):
                return values
        return None

    def _changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of the start with changes."""
        return self.space.completed({**self.space.defaults(), **changes})

    def _helpful(self) -> dict[str, Any]:
        """Combines the changes of `first` that led the start after the first rung; {} until all scores are known."""
        start, found = self.configurations[0] if self.configurations else None, {}
        for changes in self.first:
            genes = self.space.genes(self.pinned.apply(self.space, self._changed(changes)))
            own = next((one for one in self.configurations if np.allclose(one.genes, genes)), None)
            if start is None or own is None or "running" in (start.state, own.state):
                return {}
            epoch = min(self.first_epochs(), own.epochs)  # of several workers one may have begun with a lower rung
            if own.curve.get(epoch, -np.inf) > start.curve.get(epoch, np.inf):
                found |= changes
        return found

    def rungs_after(self, ended: Sequence[str]) -> list[int]:
        """Lists the rungs, which the end of the start raises; `SeededOracle.rungs_after`."""
        if len(self.rungs) == 1 or not self.start_order or self.start_order[0] in ended:
            return self.rungs
        return make_rungs(self._least_epochs, self.max_epochs)

    def _gather(self) -> None:
        super()._gather()
        self._measure_first_rung()

    def _measure_first_rung(self) -> None:
        """Raises the lowest rung to where the start, trained in full, first had a good part of its final score."""
        index = self._index.get(self.start_order[0]) if self.start_order else None
        if index is None or len(self.rungs) == 1:
            return  # there is no first trial, or its file was damaged; or all trainings are whole
        start = self.configurations[index]
        was_whole = self.trials[self.start_order[0]].hyperparameters.values["tuner/epochs"] == self.max_epochs
        final = start.curve.get(self.max_epochs, 0.0)
        if not was_whole or start.state == "failed" or final <= 0.0 or len(start.curve) == 1:
            return
        telling = [epoch for epoch, score in sorted(start.curve.items()) if score >= TELLING * final]
        self.rungs = make_rungs(max(self._least_epochs, telling[0]), self.max_epochs)
        if not self._has_told:
            self._has_told = True
            progress.emit(
                "note",
                text=f"New configurations are first trained up to epoch {self.rungs[0]}"
                f"{', the least of this search' if telling[0] < self._least_epochs else ''}: the first settings had"
                f" half of their final score after epoch {telling[0]}.",
            )

    def _acquisition(self, rng: np.random.Generator, *, to_end: bool = False) -> Acquisition:
        """Conditions the model on all curves; returns the log of the expected improvement at points [N].

        The improvement is over the best after as many epochs as looked ahead to: the points' progress says what was
        trained, a horizon, drawn here, is added to it.
        """
        points, scores = self._known_points()
        warped = _standing(scores, points.progress)
        mean, deviation = warped.mean(), max(warped.std(), 1e-9)
        standard = (warped - mean) / deviation
        model = self._fitted(points, standard, rng)
        self._condition(model, points, standard)
        # Near aims get far with few epochs, but what counts is reached at the end: the two share the proposals.
        horizon = 1.0 if rng.random() < 0.5 or to_end else rng.integers(1, self.max_epochs + 1) / self.max_epochs
        best = standard.max()

        def log_improvement(at: Points) -> np.ndarray:
            ahead = Points(at.features, np.minimum(at.progress + horizon, 1.0), at.curves)
            predicted, uncertainty = model.predict(ahead)
            return _log_expected_improvement((predicted - best) / uncertainty) + np.log(uncertainty)

        return log_improvement

    def _known_points(self) -> tuple[Points, np.ndarray]:
        """Collects what the model learns from: places on all curves [N] and their scores [N].

        Each curve's last place comes first; the others, those of good configurations before, are its rungs. What lies
        below the first rung is left out: the constants would be fitted to the steep first epochs.
        """
        scored = [one for one in self.configurations if one.curve]
        scores = [score for one in scored for score in one.curve.values()]
        lowest = min(scores) + FAILED * (max(scores) - min(scores))
        last, others = [], []
        for index, one in sorted(enumerate(self.configurations), key=lambda pair: -pair[1].best):
            if len(last) == MOST_POINTS:
                break
            if one.state == "failed":
                last.append((index, one.epochs, lowest))
            elif one.curve:
                *before, end = sorted(one.curve)
                last.append((index, end, one.curve[end]))
                others += [(index, epoch, one.curve[epoch]) for epoch in before if epoch in self.rungs]
        chosen = (last + others)[:MOST_POINTS]
        curves, epochs, found = (np.array(column) for column in zip(*chosen, strict=True))
        features = self.space.features(np.array([self.configurations[index].genes for index in curves]))
        return Points(features, epochs / self.max_epochs, curves), found

    def _condition(self, model: CurveModel, points: Points, scores: np.ndarray) -> None:
        """Conditions the model on scores [N] at points [N], and on the worst of them where trials are running."""
        running = self._running_points()
        model.condition(points.joined(running), np.append(scores, np.full(len(running), scores.min())))

    def _running_points(self) -> Points:
        """Lists the places [N] that running trials will reach on their curves."""
        return self._ends(self._running()[-MOST_RUNNING:])

    def _running(self) -> list[int]:
        """Lists the configurations that are trained now, in the order of their trials."""
        running = [index for index, one in enumerate(self.configurations) if one.state == "running"]
        return sorted(running, key=lambda index: int(self.configurations[index].trial_id))

    def _fitted(self, points: Points, scores: np.ndarray, rng: np.random.Generator) -> CurveModel:
        """Makes the model with the constants last fitted; fits them again when there are enough new results."""
        model = CurveModel(points.features.shape[1])
        if self._constants is not None:
            model.constants = np.array(self._constants)
        results = len(self.configurations) + sum(one.epochs for one in self.configurations) / 10
        if results >= self._fitted_at:
            chosen = np.arange(len(points))
            if len(points) > MOST_FITTED:
                first = MOST_FITTED // 2  # the last places of the best curves, then any
                rest = rng.choice(np.arange(first, len(points)), MOST_FITTED - first, replace=False)
                chosen = np.sort(np.concatenate([chosen[:first], rest]))
            model.fit(points[chosen], scores[chosen])
            self._constants = [float(constant) for constant in model.constants]
            self._fitted_at = results * REFIT_GROWTH + 1.0
        return model

    def _ends(self, known: list[int]) -> Points:
        """Makes the last places of known configurations' curves."""
        chosen = [self.configurations[index] for index in known]
        genes = np.array([one.genes for one in chosen]).reshape(len(chosen), len(self.space.parameters))
        epochs = np.array([one.epochs for one in chosen])
        return Points(self.space.features(genes), epochs / self.max_epochs, np.array(known, dtype=int))

    def _best_new(self, rng: np.random.Generator, acquisition: Acquisition) -> tuple[np.ndarray, float]:
        """Searches the new configuration with the highest acquisition value.

        Returns:
            Its genes [P] and its value.

        Raises:
            Exhausted: every configuration was tried.
        """

        expected_cost = self._cost_model()

        def value(genes: np.ndarray) -> np.ndarray:
            # What is a configuration's own is luck until it was seen; counted as hope, copies of the best would win.
            points = Points(self.space.features(genes), np.zeros(len(genes)), np.full(len(genes), NO_CURVE))
            return acquisition(points) + self._log_prior(points.features) - expected_cost(points.features)

        best = sorted(self.configurations, key=lambda one: -one.best)[:_BEST]
        near = np.array([one.genes for one in best])[rng.integers(0, len(best), _NEAR_BEST)]
        near = self.not_tried(self.space.vary(near, rng))
        genes = np.concatenate([self._fresh(rng, _RANDOM), near])
        values = value(genes)
        for _ in range(_ROUNDS):
            kept = np.argsort(-values, kind="stable")[:_KEPT]
            children = self.not_tried(self.space.vary(genes[kept].repeat(_CHILDREN, axis=0), rng))
            if not len(children):
                break
            genes = np.concatenate([genes[kept], children])
            values = np.concatenate([values[kept], value(children)])
        index = int(values.argmax())
        return genes[index], float(values[index])

    def _fresh(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws `count` or fewer configurations that were not tried, around the start where there is trust in it."""
        if self.prior_weight > 0.0 and self.configurations:
            around = self.space.vary(self.configurations[0].genes[None].repeat(count, axis=0), rng)
            if len(found := self.not_tried(around)):
                return found
        return self.unseen(rng, count)

    def _log_costs(self) -> np.ndarray:
        """Lists log(seconds of an epoch / those of the first configuration), 0 where it is unknown: float64 [N].

        They follow from the multiply-adds: measured ones would be others in each run, and so would be the search.
        """
        known = [self._cost(one) for one in self.configurations]
        first = next((one for one in known if one), 1.0)
        return np.array([_COST_POWER * np.log(one / first) if one else 0.0 for one in known])

    def _cost(self, one: Configuration) -> float | None:
        """Returns the cost that a configuration's last trial that has ended found; None where none did."""
        trial_id = one.trial_id
        if one.state == "running":  # it may have told its cost by chance before this proposal
            trial_id = self.trials[trial_id].hyperparameters.values.get("tuner/trial_id")
        metrics = None if trial_id is None else self.trials[trial_id].metrics
        return metrics.get_last_value(COST) if metrics is not None and metrics.exists(COST) else None

    def _cost_model(self) -> Callable[[np.ndarray], np.ndarray]:
        """Makes what predicts `_log_costs` from features [N, F]: a ridge regression around the start."""
        features = self.space.features(np.array([one.genes for one in self.configurations]))
        offsets = features - features[0]
        precision = offsets.T @ offsets + _RIDGE * np.eye(offsets.shape[1])
        weights = np.linalg.solve(precision, offsets.T @ self._log_costs())
        return lambda at: (at - features[0]) @ weights

    def _log_prior(self, features: np.ndarray) -> np.ndarray:
        """Computes what the acquisition of new configurations [N, F] loses to their distance from the start."""
        if self.prior_weight <= 0.0:
            return np.zeros(len(features))
        start = self.space.features(self.configurations[0].genes[None])
        squares = np.square((features - start) / PRIOR_SPREAD).sum(axis=1)
        return -0.5 * squares * self.prior_weight / len(self.configurations)

    def _next_rung(self, epochs: int) -> int:
        return next(rung for rung in self.rungs if rung > epochs)

    def _decided(self) -> dict[str, Any]:
        return super()._decided() | {"constants": self._constants, "fitted_at": self._fitted_at}

    def _undo(self, decided: dict[str, Any]) -> None:
        super()._undo(decided)
        self._constants, self._fitted_at = decided["constants"], decided["fitted_at"]

    def get_state(self) -> dict[str, Any]:
        """Adds the model's constants to Keras Tuner's state."""
        return super().get_state() | {"constants": self._constants, "fitted_at": self._fitted_at}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`'s result; another space needs a model of its own."""
        super().set_state(state)
        if not self.was_extended:
            self._constants, self._fitted_at = state["constants"], state["fitted_at"]


def make_rungs(first: int, last: int, factor: float = 1.5) -> list[int]:
    """Lists the epochs at which a run may pause: from `first` to `last`, each `factor` times the one before."""
    rungs = [min(first, last)]
    while rungs[-1] < last:
        rungs.append(min(last, max(rungs[-1] + 1, round(rungs[-1] * factor))))
    return rungs


def _standing(scores: np.ndarray, progress: np.ndarray) -> np.ndarray:
    """Compares scores [N] with the best after as many epochs or fewer, and stretches the differences between good ones.

    All curves rise, so a rise is not to the credit of those that were trained longest. A good start stands out among
    starts, however low its score is.
    """
    below, best = np.empty(len(scores)), -np.inf
    for one in np.unique(progress):
        among = progress == one
        best = max(best, scores[among].max())  # of fewer epochs, too: one that failed alone is not the best
        below[among] = best - scores[among]
    typical = np.median(below)
    return -np.log1p(5.0 * below / (typical if typical > 0 else 1.0))


def _log_expected_improvement(z: np.ndarray) -> np.ndarray:
    """Computes log(z Phi(z) + phi(z)) without underflow, for the improvement in standard deviations."""
    log_density = -0.5 * z * z - 0.5 * np.log(2.0 * np.pi)
    near = np.maximum(z, -5.0)
    direct = np.log(near * special.ndtr(near) + np.exp(-0.5 * near * near) / np.sqrt(2.0 * np.pi))
    far = np.minimum(z, -5.0)
    return np.where(z > -5.0, direct, log_density - 2.0 * np.log(-far))  # phi(z) / z^2, its limit
