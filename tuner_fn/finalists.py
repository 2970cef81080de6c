"""The best configurations trained again with other seeds, so that luck does not choose the winner."""

import json
import math
import os
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data import files
from tuner_fn import state_files

COUNT = 3  # configurations that are trained again


def epochs_needed(repeats: int, max_epochs: int) -> int:
    """Counts the epochs that finalists take, at most: whole trainings of each, one a seed; none for one repeat."""
    return 0 if repeats == 1 else COUNT * repeats * max_epochs


class Finalists:
    """Scores of the finalists by seed, kept in a file from training to training.

    Attributes:
        num_epochs: that all trainings take, at most.
        scores: {trial: {seed: score, None where it failed}}.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        repeats: int,
        max_epochs: int,
        first_seed: int,
        *,
        trials_are_whole: bool = True,
    ) -> None:
        """Reads what an interrupted search has scored.

        Args:
            path: of the JSON file: {trial: {seed: score, None where it failed}}.
            repeats: seeds for each finalist, at least 1; with 1 there are no finalists.
            max_epochs: of each training.
            first_seed: of the search's own trials; the others follow it.
            trials_are_whole: whether a trial of `max_epochs` is a whole training, with all data.
        """
        self._path = pathlib.Path(path)
        self._whole_epochs = max_epochs if trials_are_whole else None
        self.num_epochs = epochs_needed(repeats, max_epochs)
        self._seeds = [first_seed + number for number in range(repeats)] if repeats > 1 else []
        found = state_files.read(self._path, lambda scores: {trial: dict(one) for trial, one in scores.items()})
        self.scores: dict[str, dict[str, float | None]] = found or {}  # what was damaged is trained again

    def missing(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
        """Yields (row, seed) of every training that is left.

        Args:
            rows: of the search's leaderboard without `annotate`, the best first.
        """
        if not self._seeds:
            return
        chosen: dict[str, Mapping[str, Any]] = {}  # a configuration that went on has several trials
        for row in rows:
            if row["rank"]:
                chosen.setdefault(json.dumps(row["hyperparameters"], sort_keys=True), row)
        for row in list(chosen.values())[:COUNT]:
            known = self.scores.setdefault(row["trial"], {})
            if row["parent"] is row["inherited"] is None and row["epochs"] == self._whole_epochs:
                known.setdefault(str(self._seeds[0]), row["score"])  # it was a whole training with this seed
            yield from ((row, seed) for seed in self._seeds if str(seed) not in known)

    def add(self, trial_id: str, seed: int, score: float | None) -> None:
        """Notes a result and writes the file."""
        self.scores[trial_id][str(seed)] = score
        files.write_text(self._path, json.dumps(self.scores, indent=1))

    def annotate(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Adds mean, spread and number of seeds to the finalists' rows, and ranks these first, by their mean.

        A finalist that failed with any seed comes after those that did not.

        Args:
            rows: of the leaderboard.

        Returns:
            The rows in their new order; `mean`, `spread` (the standard deviation) and `seeds` are None elsewhere.
        """
        found = [row | self._summary(row["trial"]) for row in rows]
        ranked = [row for row in found if row["rank"]]
        ranked.sort(key=lambda row: (row["mean"] is None, -(row["mean"] or 0.0)))
        for number, row in enumerate(ranked, start=1):
            row["rank"] = number
        return ranked + [row for row in found if not row["rank"]]

    def _summary(self, trial_id: str) -> dict[str, float | int | None]:
        scores = list(self.scores.get(trial_id, {}).values()) if self._seeds else []
        if len(scores) < 2 or any(score is None or math.isnan(score) for score in scores):
            return {"mean": None, "spread": None, "seeds": len(scores) or None}
        return {"mean": statistics.mean(scores), "spread": statistics.stdev(scores), "seeds": len(scores)}
