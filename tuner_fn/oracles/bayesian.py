"""Bayesian optimisation: whole trainings, chosen by a Gaussian process."""

from typing import Any

import numpy as np

from tuner_fn.oracles.curve_model import Points
from tuner_fn.oracles.freeze_thaw import Acquisition, FreezeThawOracle


class BayesianOracle(FreezeThawOracle):
    """Trains the configuration with the highest expected improvement, always to its last epoch.

    The model is that of freeze-thaw search with the last epoch's scores only, all on one curve: so a configuration has
    nothing of its own that the model could not explain, and being near the best is not an improvement by itself.
    Configurations that are running count as middling, so that workers do not crowd.

    Source: Snoek et al. 2012 (arXiv:1206.2944), sections 2 and 3.1.
    """

    def __init__(self, *, max_epochs: int, **settings: Any) -> None:
        """Creates the oracle.

        Args:
            max_epochs: of every training, at least 1.
            **settings: of `SeededOracle`.
        """
        super().__init__(min_epochs=max_epochs, max_epochs=max_epochs, **settings)

    def _acquisition(self, rng: np.random.Generator, *, to_end: bool = True) -> Acquisition:
        improvement = super()._acquisition(rng, to_end=to_end)
        return lambda at: improvement(_at_the_end(at.features))

    def _running_points(self) -> Points:
        return _at_the_end(self.space.features(np.empty((0, len(self.space.parameters)))))  # they are known points

    def _known_points(self) -> tuple[Points, np.ndarray]:
        points, scores = super()._known_points()
        _, last = np.unique(points.curves, return_index=True)  # a curve's last place comes first
        running = [one.genes for one in self.configurations if one.state == "running"]
        features, scores = points.features[last], scores[last]
        if running:
            features = np.concatenate([features, self.space.features(np.array(running))])
            scores = np.concatenate([scores, np.full(len(running), np.median(scores))])
        return _at_the_end(features), scores


def _at_the_end(features: np.ndarray) -> Points:
    return Points(features, np.ones(len(features)), np.zeros(len(features), dtype=int))
