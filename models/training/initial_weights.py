"""What a network begins its training with besides what was drawn: a weights file, or another training's state."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from data import progress
from models.hyperparameters import ExperimentConfig
from models.network import pretrained
from models.training import inheritance, training_state


def own_weights(network: keras.Model) -> dict[str, np.ndarray]:
    """Returns {path: array} of a network's weights; single numbers, which are settings, are left out."""
    return {weight.path: np.asarray(weight) for weight in network.weights if weight.shape}


def fill(network: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Sets the weights that `own_weights` returns."""
    for weight in network.weights:
        if weight.shape:
            weight.assign(weights[weight.path])


def start(network: keras.Model, config: ExperimentConfig, class_names: Sequence[str]) -> str:
    """Fills a network's weights from the file of `model.weights`.

    Args:
        network: of the configuration.
        config: its settings.
        class_names: C names in label order.

    Returns:
        A sentence on what came and what did not; "" where `model.weights` is `none`.

    Raises:
        UserError: as `pretrained.check`.
    """
    if (trained := pretrained.check(config)) is None:
        return ""
    found = pretrained.fit(own_weights(network), trained, config, class_names)
    fill(network, found.weights)
    return f"Started from {config.model.weights} ({trained.source}): {found.summary()}"


def inherit(network: keras.Model, donor: str | os.PathLike[str]) -> None:
    """Fills a network's weights from a training state of another one, and notes how much that gave."""
    if (donated := training_state.load_named(donor)) is None:
        return
    found = inheritance.inherit(own_weights(network), donated)
    fill(network, found.weights)
    progress.emit("note", text=f"Weights inherited from {pathlib.Path(donor).parent.name}: {found.summary()}")
