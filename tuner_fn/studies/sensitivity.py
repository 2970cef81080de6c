"""How much a score depends on each setting: shares of its variance, with their uncertainty."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import UserError
from tuner_fn.studies import forest
from tuner_fn.studies.probe import Level, Probe

if TYPE_CHECKING:
    import keras_tuner

    from tuner_fn.oracles.space import Space

LITTLE = 0.05  # a share of the variance below which a setting has little or no effect
# A forest that predicts less, or was judged on fewer trials, supports no statement: with 20 trials a correlation of 0.5
# between scores and predictions comes about by chance once in 80 times.
LEAST_R2, LEAST_TRIALS = 0.25, 20
INTERVAL = 0.9  # of the intervals of shares
_RESAMPLES = 30
_MOST_MEANS = 5  # values of a setting that errors get a mean each for
_FEW_VALUES = 15  # whole numbers with no more values than this are choices where no space is given

Share = tuple[float, float, float]  # mean over resamples of the trials, low and high end of its interval


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
        reliable: whether the forest predicts well enough for the rest to mean anything; `doubt` says why not.
        no_effect: settings that are shown to have little or no effect: less than `LITTLE`, at the upper end of the
            interval. Counted are the total, the share of the variance by which the forest's errors on other trials
            depend on the setting, and the setting's even part of the variance that the forest does not explain. Empty
            where the forest is not reliable.
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
    r2, errors = forest.judge(choice, features, scores, seed)
    columns = [[parameter.name for parameter in space.parameters].index(name) for name in varied]
    probe = Probe(space, columns, seed)
    rng = np.random.default_rng(seed)
    found, missed = [], []
    for number in range(_RESAMPLES):
        drawn = rng.integers(0, len(scores), len(scores))
        found.append(probe.look(choice.make(seed + number).fit(features[drawn], scores[drawn]).predict))
        explained = [_explained(errors[drawn], genes[drawn, column]) for column in columns]
        missed.append(np.array(explained) * errors.var() / scores.var())
    alone, total, pairs = (np.stack([getattr(one, name) for one, _ in found]) for name in ("alone", "total", "pairs"))
    # What the forest does not explain may be interactions: every setting is charged with its part of that.
    unexplained = (1.0 - r2) / len(varied)
    most = np.quantile(total + np.stack(missed), (1.0 + INTERVAL) / 2.0, axis=0) + unexplained
    order = np.argsort(-total.mean(axis=0), kind="stable").tolist()
    is_reliable = r2 >= LEAST_R2 and len(scores) >= LEAST_TRIALS
    counts = [sum(row.get(name) is not None for row in scored) for name in varied]
    idle = [index for index in order if is_reliable and most[index] < LITTLE and counts[index] >= forest.LEAST_ROWS]
    return Importance(
        shares={varied[index]: _share(alone[:, index]) for index in order},
        totals={varied[index]: _share(total[:, index]) for index in order},
        interactions=_interactions(varied, pairs.mean(axis=0)),
        marginals={varied[index]: probe.levels(index, [curves for _, curves in found]) for index in order},
        r2=r2,
        trials=len(scores),
        reliable=is_reliable,
        no_effect=tuple(varied[index] for index in idle),
    )


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
    elif len(values) <= _FEW_VALUES and all(float(one).is_integer() for one in values):
        space.Choice(name, sorted(values), ordered=True)
    else:
        low, high = float(min(values)), float(max(values))
        space.Float(name, low, high, sampling="log" if _is_logarithmic(values) else "linear")


def _is_logarithmic(values: Sequence[float]) -> bool:
    """Tells whether values spread more evenly over a logarithmic range than over a linear one: by their median."""
    low, middle, high = np.quantile(np.asarray(values, np.float64), [0.0, 0.5, 1.0])
    if low <= 0:
        return False
    linear = (middle - low) / (high - low)
    return bool(abs(np.log(middle / low) / np.log(high / low) - 0.5) < abs(linear - 0.5))


def _explained(errors: np.ndarray, genes: np.ndarray) -> float:
    """Computes the share of errors' variance, [N], that a curve over genes [N] explains.

    A forest that was fitted to few trials overlooks weak settings; then its errors depend on them.
    """
    levels, places = np.unique(genes, return_inverse=True)
    basis = np.eye(len(levels))[places] if len(levels) <= _MOST_MEANS else np.vander(genes, 3)  # means, or a parabola
    left = errors - basis @ np.linalg.lstsq(basis, errors)[0]
    return 1.0 - float(left.var() / errors.var()) if errors.var() > 0 else 0.0


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
