"""From the declared hyperparameters to Keras Tuner's search space, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner

from models.hyperparameters import ExperimentConfig


def make_search_space(config: ExperimentConfig, names: Sequence[str]) -> keras_tuner.HyperParameters:
    """Registers the hyperparameters to search, with the configuration's values as defaults.

    Args:
        config: base settings; its values are the defaults that Keras Tuner tries first.
        names: paths declared with `tunable`.

    Returns:
        Keras Tuner's space; ranges and candidates are widened to hold the configuration's own value.
    """
    space = keras_tuner.HyperParameters()
    declared = {path: (field, value) for path, field, value in config.items()}
    for name in names:
        field, value = declared[name]
        search = field.metadata["search"]
        if search["choices"] is not None:
            choices = [*search["choices"], *({value} - set(search["choices"]))]
            space.Choice(name, choices, default=value)
            continue
        low, high = min(search["low"], value), max(search["high"], value)
        sampling = search["scale"] if low > 0 else "linear"
        register = space.Int if isinstance(field.default, int) else space.Float
        register(name, low, high, sampling=sampling, default=value)
    return space


def configuration(config: ExperimentConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """Applies a trial's values to the base settings; Keras Tuner's own entries (`tuner/...`) are left out."""
    return config.replace({name: value for name, value in values.items() if not name.startswith("tuner/")})
