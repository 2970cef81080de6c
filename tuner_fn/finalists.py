"""The settings that a search began with against the best it found: both with the same seeds, and who wins."""

import dataclasses
import json
import math
import os
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data import files
from tuner_fn import search_files

DECISION_FILE = "decision.json"
COUNT = 2  # the start and its challenger
# Measured on small sets (`benchmarks/RESULTS.md`): what a seed alone changes, standard deviation, and by how much
# configurations of one search differ, both in mAP@.5. With the first goes the number of observations that it counts as.
SEED_SPREAD, SEED_SPREAD_WEIGHT = 0.03, 4
GAIN_SPREAD = 0.05
FURTHER_SEEDS = 2  # by default; `benchmarks/finalists.py` has their effect
Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Decision:
    """Who won, and how sure that is.

    Attributes:
        start: trial with the settings that the search began with.
        challenger: trial with the best other settings.
        gain: mean over the seeds of challenger less start, shrunk for the choice among many.
        low: end of the gain's 90 % interval.
        high: the other end.
        confidence: probability that the challenger is better.
        replaced: whether it takes the start's place.
        seeds: that both were trained with.
        is_cut_short: whether it would have been replaced, had there been time for all seeds.
    """

    start: str
    challenger: str
    gain: float
    low: float
    high: float
    confidence: float
    replaced: bool
    seeds: int
    is_cut_short: bool = False


def describe(decision: Decision | None, rows: Sequence[Row]) -> dict[str, str]:
    """Says what a search began with, what it found, and why the one or the other was taken.

    Args:
        decision: as `Finalists.decision`.
        rows: of the leaderboard, the winner first.

    Returns:
        {name: sentence}, {} where no trial was finished.
    """
    start = next((row for row in rows if int(row["trial"]) == 0), None)
    if start is None or not rows[0]["rank"]:
        return {}
    if decision is None:
        same = rows[0]["hyperparameters"] == start["hyperparameters"]
        if same:
            kept = "the settings of trial 1, which were kept: no other settings were compared with them to the end"
            return {"began with": kept}
        what = "which failed" if start["status"] == "failed" else "which were not trained to the end"
        return {"began with": f"the settings of trial 1, {what}: the best other settings were taken"}
    by_trial = {row["trial"]: row for row in rows}
    if not {decision.start, decision.challenger} <= by_trial.keys():
        return {}  # a kill left the one file older than the other
    own, other = (by_trial[trial]["hyperparameters"] for trial in (decision.start, decision.challenger))
    changed = ", ".join(
        f"{name} {_value(own.get(name))} -> {_value(other[name])}" for name in other if other[name] != own.get(name)
    )
    seeds = f"{decision.seeds} seed{'' if decision.seeds == 1 else 's'} each"
    verdict = "taken" if decision.replaced else "not taken: the settings that the search began with were kept"
    if decision.is_cut_short:
        why = "because the search ended before both were trained with another seed"
        verdict = f"not taken, {why}: {verdict.partition(': ')[2]}"
    return {
        "began with": "the settings of trial 1",
        "search's best": changed,
        "its gain": f"{decision.gain:+.4f} on val ({decision.low:+.4f} to {decision.high:+.4f}, 90 %; {seeds}),"
        f" better with probability {decision.confidence:.2f}: {verdict}",
    }


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def epochs_needed(repeats: int, max_epochs: int, *, has_fidelity: bool = False, inherits: bool = False) -> int:
    """Counts the epochs of the finalists' trainings beside the search, at most.

    Args:
        repeats: seeds for each finalist, at least 1.
        max_epochs: of each training.
        has_fidelity: whether trials have less than a training: then none of them counts as one with the first seed.
        inherits: whether trials begin with others' weights: then only the start's counts as one.
    """
    first = COUNT if has_fidelity else 1 if inherits else 0
    return (COUNT * (repeats - 1) + first) * max_epochs


def judge(
    start: Sequence[float],
    challenger: Sequence[float],
    *,
    min_confidence: float,
    image_error: float = 0.0,
    scale: float = 1.0,
) -> tuple[float, float, float, float, bool]:
    """Compares scores of two configurations that were trained with the same seeds.

    The gain has a normal prior around 0: of many candidates the one that looks best owes part of it to luck, and the
    prior takes that part back. The spread of a seed's score is learned from the scores, with the measured one as what
    is known before.

    Args:
        start: scores by seed, at least one.
        challenger: the same seeds' scores.
        min_confidence: probability from which on the challenger replaces the start.
        image_error: standard error of the mean difference that comes from the choice of the validation images.
        scale: of the metric's differences, those of mAP@.5 being 1.

    Returns:
        gain, low and high end of its 90 % interval, probability that it is above 0, and whether that is enough.

    Source: Gelman et al. 2013, Bayesian Data Analysis, sections 2.5 and 2.6 (normal data, known and pooled variance).
    """
    pairs = [other - own for own, other in zip(start, challenger, strict=True)]
    squares = sum((score - statistics.mean(scores)) ** 2 for scores in (start, challenger) for score in scores)
    freedom = 2 * (len(pairs) - 1)
    variance = (SEED_SPREAD_WEIGHT * (scale * SEED_SPREAD) ** 2 + squares) / (SEED_SPREAD_WEIGHT + freedom)
    error = 2.0 * variance / len(pairs) + image_error**2
    shrunk = (scale * GAIN_SPREAD) ** 2 / ((scale * GAIN_SPREAD) ** 2 + error)
    gain = shrunk * statistics.mean(pairs)
    normal = statistics.NormalDist(gain, math.sqrt(shrunk * error))
    confidence = 1.0 - normal.cdf(0.0)
    return gain, normal.inv_cdf(0.05), normal.inv_cdf(0.95), confidence, confidence >= min_confidence


def is_open(confidence: float, min_confidence: float) -> bool:
    """Tells whether a challenger is more likely better than not, but not surely enough to be taken."""
    return 0.5 < confidence < min_confidence


def heirs(rows: Sequence[Row]) -> set[str]:
    """Names the trials whose training began with another one's weights, be it in a trial that they continue from."""
    found: set[str] = set()
    for row in sorted(rows, key=lambda row: int(row["trial"])):
        if row["inherited"] is not None or row["parent"] in found:
            found.add(row["trial"])
    return found


class Finalists:
    """Scores of the start and of its challenger by seed, kept in a file from training to training.

    Attributes:
        num_epochs: as of `epochs_needed`.
        scores: {trial: {seed: score, None where it failed}}.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        repeats: int,
        max_epochs: int,
        first_seed: int,
        *,
        min_confidence: float,
        scale: float = 1.0,
        further_seeds: int = 0,
        has_fidelity: bool = False,
        inherits: bool = False,
    ) -> None:
        """Reads what an interrupted search has scored.

        Args:
            path: of the JSON file: {trial: {seed: score, None where it failed}}.
            repeats: seeds for each finalist, at least 1.
            max_epochs: of each training.
            first_seed: of the search's own trials; the others follow it.
            min_confidence: as of `judge`.
            scale: as of `judge`.
            further_seeds: for a challenger that looks better but not surely enough, at most.
            has_fidelity: as of `epochs_needed`.
            inherits: as of `epochs_needed`.
        """
        self._path, self._max_epochs, self._inherits = pathlib.Path(path), max_epochs, inherits
        self.num_epochs = epochs_needed(repeats, max_epochs, has_fidelity=has_fidelity, inherits=inherits)
        self._whole, self._min_confidence, self._scale = not has_fidelity, min_confidence, scale
        self._seeds = [first_seed + number for number in range(repeats + further_seeds)]
        self._repeats = repeats
        found = search_files.read(self._path, lambda scores: {trial: dict(one) for trial, one in scores.items()})
        self.scores: dict[str, dict[str, float | None]] = found or {}  # what was damaged is trained again

    def compare_once(self) -> None:
        """Has the first seed alone decide."""
        self._repeats, self._seeds = 1, self._seeds[:1]
        self.num_epochs = epochs_needed(1, self._max_epochs, has_fidelity=not self._whole, inherits=self._inherits)

    @property
    def epochs_trained(self) -> int:
        """Epochs of the finalists' trainings so far, beside the search's trials."""
        return self._max_epochs * sum(map(len, self.scores.values()))

    def epochs_of_pair(self, rows: Sequence[Row]) -> int:
        """Counts those of the present start and challenger; an earlier challenger's were paid by an earlier budget."""
        return self._max_epochs * sum(len(self.scores.get(trial, ())) for trial in self.trials(rows))

    @property
    def more_epochs(self) -> int:
        """Epochs that the further seeds of an undecided comparison take at most."""
        return COUNT * (len(self._seeds) - self._repeats) * self._max_epochs

    def missing(self, rows: Sequence[Row]) -> list[tuple[Row, int]]:
        """Lists (row, seed) of each training that is left of the next seed; what they score decides whether more are.

        A challenger that is behind with the first seed has lost, and no more seeds are spent on it. One that is still
        more likely better than not, but not surely enough, gets the further ones.

        Args:
            rows: of the search's leaderboard without `annotate`, the best first.
        """
        found = self._pair(rows)
        for number, seed in enumerate(self._seeds if found is not None else ()):
            if number >= self._repeats and not self.is_undecided(rows):
                break
            left = [(row, seed) for row in found if str(seed) not in self._known(row, rows)]
            if left:
                return left
            own, other = (self._known(row, rows)[str(seed)] for row in found)
            if own is None or other is None or (number == 0 and other <= own):
                break
        return []

    def is_undecided(self, rows: Sequence[Row]) -> bool:
        """Tells whether all of `repeats` seeds are known of both and leave open whether the challenger is better."""
        decision = self.decision(rows)
        known = decision is not None and decision.seeds >= self._repeats
        return known and is_open(decision.confidence, self._min_confidence)

    def to_come(self, rows: Sequence[Row]) -> list[tuple[Row, int]]:
        """Lists row and epochs of each training that is left, at most; none where there is no pair yet.

        With the first seed a finalist continues its own trial, if that is a part of a whole training.
        """
        found, others = self._pair(rows) or (), heirs(rows)
        begun = {row["trial"]: row["epochs"] for row in found if self._whole and row["trial"] not in others}
        return [
            (row, self._max_epochs - int(begun.get(row["trial"], 0) if seed == self._seeds[0] else 0))
            for seed in self._seeds[: self._repeats]
            for row in found
            if str(seed) not in self._known(row, rows)
        ]

    def trials(self, rows: Sequence[Row]) -> list[str]:
        """Names the trials of the start and of the challenger; none where there is no such pair."""
        return [row["trial"] for row in self._pair(rows) or ()]

    def add(self, trial_id: str, seed: int, score: float | None, resampled: pathlib.Path | None = None) -> None:
        """Notes a result and writes the file; keeps a copy of the training's file of resampled scores."""
        if resampled is not None and resampled.exists():
            files.write_bytes(self._resampled_file(trial_id, seed), resampled.read_bytes())
        self.scores.setdefault(trial_id, {})[str(seed)] = score
        files.write_text(self._path, json.dumps(self.scores, indent=1))

    def decision(self, rows: Sequence[Row]) -> Decision | None:
        """Decides between start and challenger; None where there is no such pair, or one of them failed."""
        found = self._pair(rows)
        if found is None:
            return None
        known = [self._known(row, rows) for row in found]
        seeds = [seed for seed in map(str, self._seeds) if all(one.get(seed) is not None for one in known)]
        failed = any(self._has_failed(row, rows) for row in found)
        if not seeds or failed:
            return None
        start, challenger = ([one[seed] for seed in seeds] for one in known)
        error = self._image_error([row["trial"] for row in found], seeds)
        gain, low, high, confidence, is_enough = judge(
            start, challenger, min_confidence=self._min_confidence, image_error=error, scale=self._scale
        )
        own, other = (row["trial"] for row in found)
        has_all = len(seeds) >= self._repeats
        verdict = (is_enough and has_all, len(seeds), is_enough and not has_all)
        return Decision(own, other, gain, low, high, confidence, *verdict)

    def _resampled_file(self, trial_id: str, seed: int | str) -> pathlib.Path:
        return self._path.with_name(f"resampled_{trial_id}_{seed}.json")

    def _resampled(self, trial_id: str, seed: str) -> np.ndarray | None:
        """Reads the scores of a training on resamples of the validation images, float64 [R]; None without them."""
        own = self._path.parent / f"trial_{trial_id}" / "resampled.json"
        path = self._resampled_file(trial_id, seed)
        path = own if seed == str(self._seeds[0]) and not path.exists() else path
        return search_files.read(path, lambda values: np.array(values, np.float64))

    def _image_error(self, trials: Sequence[str], seeds: Sequence[str]) -> float:
        """Computes the standard error that the choice of the validation images leaves in the mean difference."""
        scores = [[self._resampled(trial, seed) for seed in seeds] for trial in trials]
        if any(one is None for own in scores for one in own):
            return 0.0
        start, challenger = np.array(scores)  # [seeds, R] each
        error = np.nanstd((challenger - start).mean(axis=0))
        return float(error) if np.isfinite(error) else 0.0

    def annotate(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Adds mean, spread, number of seeds and confidence, and ranks the winner first.

        Args:
            rows: of the leaderboard.

        Returns:
            The rows in their new order; `mean`, `spread` (the standard deviation), `seeds` and `confidence` (the
            probability that the challenger is better than the start) are None elsewhere.
        """
        decision, pair = self.decision(rows), self._pair(rows)
        found = [{**row, **self._summary(row, rows, pair)} for row in rows]
        winner = self._winner(rows, decision, pair)
        for row in found:
            chosen = decision is not None and row["trial"] == decision.challenger
            row["confidence"] = decision.confidence if chosen else None
        ranked = sorted((row for row in found if row["rank"]), key=lambda row: row["trial"] != winner)
        for number, row in enumerate(ranked, start=1):
            row["rank"] = number
        return ranked + [row for row in found if not row["rank"]]

    def _winner(self, rows: Sequence[Row], decision: Decision | None, pair: tuple[Row, Row] | None) -> str | None:
        """Names the trial that wins: the start until it is replaced; the best of the others where it has failed."""
        if decision is not None:
            return decision.challenger if decision.replaced else decision.start
        failed = [row["hyperparameters"] for row in pair or () if self._has_failed(row, rows)]
        if pair is not None and pair[0]["hyperparameters"] not in failed:
            return pair[0]["trial"]
        ranked = [row for row in rows if row["rank"]]
        others = [row for row in ranked if row["hyperparameters"] not in failed]
        return next((row["trial"] for row in others or ranked), None)

    def _has_failed(self, row: Row, rows: Sequence[Row]) -> bool:
        """Tells whether a finalist failed with a seed; one of the further seeds does not count."""
        known = self._known(row, rows)
        return any(known.get(str(seed), 0.0) is None for seed in self._seeds[: self._repeats])

    def _pair(self, rows: Sequence[Row]) -> tuple[Row, Row] | None:
        """Finds the longest trial of the start, and the best of the others: whole trainings first."""
        first = next((row for row in rows if int(row["trial"]) == 0), None)
        if first is None:
            return None
        ranked = [row for row in rows if row["rank"]]
        own = [row for row in ranked if row["hyperparameters"] == first["hyperparameters"]]
        others = [row for row in ranked if row["hyperparameters"] != first["hyperparameters"]]
        if not own or not others:
            return None
        others.sort(key=lambda row: row["epochs"] != self._max_epochs)
        return max(own, key=lambda row: row["epochs"]), others[0]

    def _known(self, row: Row, rows: Sequence[Row]) -> dict[str, float | None]:
        """Returns a row's scores by seed; a trial that was a whole training has that of the first seed."""
        is_whole = self._whole and row["epochs"] == self._max_epochs and row["trial"] not in heirs(rows)
        own = {str(self._seeds[0]): row["score"]} if is_whole else {}
        return own | self.scores.get(row["trial"], {})

    def _summary(self, row: Row, rows: Sequence[Row], pair: tuple[Row, Row] | None) -> dict[str, float | int | None]:
        scores = list(self._known(row, rows).values()) if pair is not None and row in pair else []
        if len(scores) < 2 or any(score is None or math.isnan(score) for score in scores):
            return {"mean": None, "spread": None, "seeds": len(scores) or None}
        return {"mean": statistics.mean(scores), "spread": statistics.stdev(scores), "seeds": len(scores)}
