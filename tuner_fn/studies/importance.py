"""Which settings of a search matter: shares of the variance of its scores, with their uncertainty."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import UserError
from data.run_directory import RunDirectory
from tuner_fn.studies import forest, search_scores, variance

if TYPE_CHECKING:
    import keras_tuner

    from tuner_fn.oracles.space import Space

LITTLE = 0.05  # a share of the variance below which a setting has little or no effect
LEAST_R2 = 0.25  # a forest that predicts less supports no statement
INTERVAL = 0.9  # of the intervals of shares
SEARCH_SCORE = search_scores.SCORE
_RESAMPLES = 30
_POINTS = 512
_BASE_POINTS, _LEVELS = 64, 15  # of marginal curves
_LOG_RATIO = 100.0  # a range of positive values that is wider is taken as logarithmic where no space is given

Share = tuple[float, float, float]  # mean over resamples of the trials, low and high end of its interval
Level = tuple[Any, float, float]  # value of a setting, mean score with it, standard deviation over the resamples


@dataclasses.dataclass(frozen=True)
class Importance:
    """Which settings matter for a score, as a forest sees it that was fitted to trials.

    Attributes:
        shares: {setting: share of the variance of the score over the space that the setting alone accounts for}, the
            largest total first. What never varied in the trials is not in it.
        totals: the same with every interaction that the setting takes part in.
        interactions: {(setting, setting): share that the two account for together beyond each alone}, the largest
            first.
        marginals: {setting: its levels in ascending order}, averaged evenly over the other settings' values.
        r2: how well the forest predicts trials that it was not fitted to; 1 at best, 0 for not at all.
        trials: that were measured.
        reliable: whether the forest predicts well enough for the rest to mean anything.
        no_effect: settings that are shown to have little or no effect: the upper end of the total is below `LITTLE`.
            Empty where the forest is not reliable.
    """

    shares: dict[str, Share]
    totals: dict[str, Share]
    interactions: dict[tuple[str, str], float]
    marginals: dict[str, list[Level]]
    r2: float
    trials: int
    reliable: bool
    no_effect: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        pairs = [{"settings": list(pair), "share": share} for pair, share in self.interactions.items()]
        return dataclasses.asdict(self) | {"interactions": pairs}


def measure(
    rows: Sequence[Mapping[str, object]],
    score_key: str,
    settings: Sequence[str],
    seed: int = 0,
    *,
    space: "Space | None" = None,
) -> Importance:
    """Measures which settings a score depends on.

    A forest, chosen by cross-validation, predicts the score from the settings. The variance of its prediction, with
    every setting spread evenly over its range, is split into the settings' shares. The intervals come from fitting the
    forest to resamples of the trials (bootstrap).

    Args:
        rows: one a trial: values by name. Rows without a finite score are left out, and a setting may be missing where
            it has no effect.
        score_key: name of the score, a number.
        settings: names of the settings.
        seed: of everything that is drawn.
        space: what the trials were drawn from, whose parameters have the names of `settings`; None to take the range of
            values in the rows.

    Returns:
        The shares; look at `reliable` first.

    Raises:
        UserError: fewer than `forest.LEAST_ROWS` rows have a score, all scores are the same, or no setting varies.

    Source: Hutter et al. 2014 (ICML), for the split of a forest's variance.
    """
    scored = [row for row in rows if _is_number(row.get(score_key)) and math.isfinite(row[score_key])]  # type: ignore[arg-type]
    scores = np.array([row[score_key] for row in scored], np.float64)
    varied = [name for name in settings if len({str(row.get(name)) for row in scored if row.get(name) is not None}) > 1]
    _check(scores, varied)
    space = space or _space_of(scored, varied)
    genes = np.stack(
        [space.genes({name: row[name] for name in settings if row.get(name) is not None}) for row in scored]
    )
    features = np.asarray(space.features(genes), np.float32)
    choice = forest.choose(features, scores, seed)
    r2 = forest.score(choice, features, scores, seed)
    columns = {parameter.name: column for column, parameter in enumerate(space.parameters)}
    probe = _Probe(space, [columns[name] for name in varied], seed)
    rng = np.random.default_rng(seed)
    found = []
    for number in range(_RESAMPLES):
        drawn = rng.integers(0, len(scores), len(scores))
        found.append(probe.look(choice.make(seed + number).fit(features[drawn], scores[drawn]).predict))
    alone, total, pairs = (np.stack([getattr(one, name) for one, _ in found]) for name in ("alone", "total", "pairs"))
    order = [varied[index] for index in np.argsort(-total.mean(axis=0), kind="stable")]
    totals = {name: _share(total[:, varied.index(name)]) for name in order}
    reliable = r2 >= LEAST_R2
    seen = {name: sum(row.get(name) is not None for row in scored) for name in order}
    return Importance(
        shares={name: _share(alone[:, varied.index(name)]) for name in order},
        totals=totals,
        interactions=_interactions(varied, pairs.mean(axis=0)),
        marginals={name: probe.levels(varied.index(name), [curves for _, curves in found]) for name in order},
        r2=r2,
        trials=len(scores),
        reliable=reliable,
        # A setting that is active in a few trials alone may have an effect that they do not show.
        no_effect=tuple(
            name for name in order if reliable and totals[name][2] < LITTLE and seen[name] >= forest.LEAST_ROWS
        ),
    )


def of_run(paths: RunDirectory) -> Importance:
    """Measures which settings matter in the last search of a run directory.

    Raises:
        UserError: as `of_search` and `search_scores.read`.
    """
    return of_search(search_scores.read(paths))


def of_search(found: search_scores.SearchScores) -> Importance:
    """Measures which settings matter in a search.

    Raises:
        UserError: nothing can be said, as `measure`; names the search and what is missing.
    """
    try:
        return measure(found.rows, SEARCH_SCORE, list(found.ranges), space=found.space())
    except UserError as error:
        raise UserError(f"`{found.folder}`: {error} {found.left_out_text()}".rstrip()) from error


class _Probe:
    """Asks forests about the same points of a space.

    Attributes:
        columns: of the genes that vary; the others keep the value in the middle.
    """

    def __init__(self, space: "Space", columns: Sequence[int], seed: int) -> None:
        self._space, self.columns = space, list(columns)
        self._design = variance.Design.draw(len(columns), _POINTS, seed)
        self._inputs = self._features(self._design.genes.reshape(-1, len(columns)))
        self._levels: list[np.ndarray] = []  # genes of each setting's levels
        curves, base = [], self._design.genes[0, :_BASE_POINTS]
        for position, column in enumerate(self.columns):
            self._levels.append(_levels(space, column))
            curves += [_replaced(base, position, level) for level in self._levels[-1]]
        self._curve_inputs = self._features(np.concatenate(curves))
        self._active = space.active(self._whole(np.concatenate(curves)))[:, self.columns]

    def look(self, predict: Any) -> tuple[variance.Shares, list[np.ndarray]]:
        """Returns a forest's shares, and each setting's mean score by level."""
        sets = self._design.genes.shape[0]
        found = variance.shares(predict(self._inputs).astype(np.float64).reshape(sets, -1))
        values = predict(self._curve_inputs)
        curves, start = [], 0
        for position, levels in enumerate(self._levels):
            part = slice(start, start + len(levels) * _BASE_POINTS)
            shape = (len(levels), _BASE_POINTS)
            weights = self._active[part, position].reshape(shape)  # a condition may leave few, never none
            curves.append((values[part].reshape(shape) * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1))
            start = part.stop
        return found, curves

    def levels(self, position: int, curves: Sequence[Sequence[np.ndarray]]) -> list[Level]:
        """Puts one setting's levels together from all forests' curves."""
        each = np.stack([one[position] for one in curves])  # [resamples, levels]
        parameter = self._space.parameters[self.columns[position]]
        values = [parameter.prob_to_value(float(gene)) for gene in self._levels[position]]
        rows = zip(values, each.mean(axis=0).tolist(), each.std(axis=0).tolist(), strict=True)
        return [(value, mean, std) for value, mean, std in rows]

    def _whole(self, genes: np.ndarray) -> np.ndarray:
        """Fills genes [N, columns] up to canonical ones [N, P]."""
        whole = np.full((len(genes), len(self._space.parameters)), 0.5)
        whole[:, self.columns] = genes
        return self._space.canonical(whole)

    def _features(self, genes: np.ndarray) -> np.ndarray:
        return np.asarray(self._space.features(self._whole(genes)), np.float32)


def _check(scores: np.ndarray, varied: Sequence[str]) -> None:
    if len(scores) < forest.LEAST_ROWS:
        raise UserError(f"{_few(len(scores))}: at least {forest.LEAST_ROWS} are needed. Give a larger budget.")
    if scores.min() == scores.max():
        raise UserError(
            f"all {len(scores)} scores are {scores[0]:g}: no setting made a difference that could be split."
        )
    if not varied:
        raise UserError(f"no setting varies in {len(scores)} trials. Search at least one.")


def _few(count: int) -> str:
    return (
        "only 1 trial has a score"
        if count == 1
        else f"only {count} trials have a score"
        if count
        else "no trial has a score"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _space_of(rows: Sequence[Mapping[str, Any]], settings: Sequence[str]) -> "Space":
    """Makes the space that rows' values span."""
    import keras_tuner

    from tuner_fn.oracles.space import Space

    hyperparameters = keras_tuner.HyperParameters()
    for name in settings:
        _register(hyperparameters, name, list(dict.fromkeys(row[name] for row in rows if row.get(name) is not None)))
    return Space(hyperparameters)


def _register(space: "keras_tuner.HyperParameters", name: str, values: Sequence[Any]) -> None:
    if not all(map(_is_number, values)):
        space.Choice(name, list(values) if all(isinstance(one, bool) for one in values) else [*map(str, values)])
    elif len(values) <= _LEVELS and len(values) > 0 and all(float(one).is_integer() for one in values):
        space.Choice(name, sorted(values), ordered=True)
    else:
        low, high = float(min(values)), float(max(values))
        is_log = low > 0 and high / low >= _LOG_RATIO
        space.Float(name, low, high, sampling="log" if is_log else "linear")


def _levels(space: "Space", column: int) -> np.ndarray:
    """Lists the genes of a setting's levels: of all its values where there are few, else evenly over its range."""
    from tuner_fn.oracles.space import num_values

    count = num_values(space.parameters[column])
    steps = np.linspace(0.0, 1.0, _LEVELS if count is None or count > _LEVELS else 20 * count)
    whole = np.full((len(steps), len(space.parameters)), 0.5)
    whole[:, column] = steps
    return np.unique(space.snapped(whole)[:, column])


def _replaced(genes: np.ndarray, column: int, value: float) -> np.ndarray:
    found = genes.copy()
    found[:, column] = value
    return found


def _share(found: np.ndarray) -> Share:
    low, high = np.quantile(found, [(1.0 - INTERVAL) / 2.0, (1.0 + INTERVAL) / 2.0])
    return float(found.mean()), float(low), float(high)


def _interactions(names: Sequence[str], pairs: np.ndarray) -> dict[tuple[str, str], float]:
    found = {
        (first, second): float(pairs[row, column])
        for row, first in enumerate(names)
        for column, second in enumerate(names)
        if row < column
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))
