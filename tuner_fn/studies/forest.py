"""The forest that predicts scores from settings: chosen by cross-validation, with the score that it reaches."""

import dataclasses
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras_tuner

LEAST_ROWS = 10  # fewer leave a fold of two for the cross-validation
_FOLDS = 5
_CANDIDATES = 6  # forests that are compared
_TREES = 32
_JUDGED = 2  # different splits into folds that the chosen forest's score is the mean of


@dataclasses.dataclass(frozen=True)
class Choice:
    """A forest, not fitted.

    Attributes:
        kind: "random" (bagged trees, Breiman 2001) or "extra" (trees with random thresholds, Geurts et al. 2006).
        min_leaf: fewest rows of a leaf.
        features_share: share of the features that each split may choose from, in (0, 1].
    """

    kind: str
    min_leaf: int
    features_share: float

    def make(self, seed: int) -> Any:
        """Makes scikit-learn's regressor."""
        from sklearn import ensemble

        regressor = {"random": ensemble.RandomForestRegressor, "extra": ensemble.ExtraTreesRegressor}[self.kind]
        # Both draw the rows of each tree: without that an extra tree would follow every row's noise.
        return regressor(
            n_estimators=_TREES,
            min_samples_leaf=self.min_leaf,
            max_features=self.features_share,
            bootstrap=True,
            random_state=seed,
        )


def choose(features: np.ndarray, scores: np.ndarray, seed: int) -> Choice:
    """Chooses the forest with the smallest cross-validated squared error, by Keras Tuner's `SklearnTuner`.

    Args:
        features: float [N, F], N at least `LEAST_ROWS`.
        scores: float [N].
        seed: of folds, forests and the choice of candidates.
    """
    import keras_tuner
    from sklearn import metrics, model_selection

    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "max"), max_trials=_CANDIDATES, seed=seed + 1
    )  # Keras Tuner takes a seed of 0 for none
    oracle.verbose = 0
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.SklearnTuner(
            oracle,
            lambda hp: _candidate(hp).make(seed),
            scoring=metrics.get_scorer("neg_mean_squared_error"),
            cv=model_selection.KFold(_FOLDS, shuffle=True, random_state=seed),
            directory=folder,
            project_name="forest",
        )
        tuner.search(features, scores)
        (best,) = tuner.get_best_hyperparameters(1)
    return _candidate(best)


def judge(choice: Choice, features: np.ndarray, scores: np.ndarray, seed: int) -> tuple[float, np.ndarray]:
    """Measures how well a forest predicts rows that it was not fitted to.

    Args:
        choice: the forest.
        features: float [N, F].
        scores: float [N], not all the same.
        seed: of the folds, which are others than those of the choice.

    Returns:
        R², 1 at best, 0 or less for not at all: of all rows' predictions together, the mean over several splits into
        folds. And float [N], score less prediction, the mean over the splits.
    """
    from sklearn import metrics, model_selection

    predicted = []
    for number in range(1, 1 + _JUDGED):
        folds = model_selection.KFold(_FOLDS, shuffle=True, random_state=seed + 1000 * number)
        forest = choice.make(seed + number)
        predicted.append(model_selection.cross_val_predict(forest, features, scores, cv=folds))
    r2 = float(np.mean([metrics.r2_score(scores, one) for one in predicted]))
    return r2, scores - np.mean(predicted, axis=0)


def _candidate(hp: "keras_tuner.HyperParameters") -> Choice:
    return Choice(
        hp.Choice("kind", ["random", "extra"]),
        hp.Choice("min_leaf", [1, 2, 4, 8]),
        hp.Choice("features_share", [1.0, 0.6, 0.35]),
    )
