"""What a search knows of its networks' costs: their limits, and what was found of each architecture, in a file."""

import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from data import files
from models.hyperparameters import ExperimentConfig
from tuner_fn import search_files

# What is counted or measured, each with its unit for people.
UNITS = {
    "parameters": "parameters",
    "multiply_adds": "multiply-adds an image",
    "file_mb": "MB of the float32 file",
    "latency_ms": "ms an image",
}
SLOW = "latency_slow_ms"  # beside latency_ms: nine runs of ten are faster
COUNTED = ("parameters", "multiply_adds")  # whole numbers
LIMITS = {
    "max_parameters": "parameters",
    "max_multiply_adds": "multiply_adds",
    "max_file_mb": "file_mb",
    "max_latency_ms": "latency_ms",
}
SECOND_OBJECTIVES = {
    "latency": "latency_ms",
    "file_size": "file_mb",
    "multiply_adds": "multiply_adds",
    "parameters": "parameters",
}
_DECIDING = (
    *("input.image_size", "input.image_height", "input.image_width", "input.tile"),
    "loss.classification",
)
_WITHOUT_EFFECT = (
    *("dropout_rate", "backbone_weights", "freeze_batch_norm", "batch_norm_momentum", "batch_norm_epsilon"),
    *("weights", "frozen_blocks", "initializer", "initializer_stddev", "class_bias"),
)


def asked_for(limits: Mapping[str, float | None], second_objective: str | None) -> list[str]:
    """Lists the costs that have a limit or are the second objective.

    Args:
        limits: {name of `LIMITS`: limit, None for none}.
        second_objective: of `SECOND_OBJECTIVES`, None for none.
    """
    asked = [cost for name, cost in LIMITS.items() if limits.get(name) is not None]
    return list(dict.fromkeys([*asked, *([SECOND_OBJECTIVES[second_objective]] if second_objective else [])]))


def excess(costs: Mapping[str, float], limits: Mapping[str, float | None]) -> str:
    """Says which limit a network exceeds.

    Args:
        costs: {cost: number}, those that have a limit at least.
        limits: {name of `LIMITS`: limit, None for none}; a network may cost as much as its limit.

    Returns:
        A sentence; "" where it keeps all of them.
    """
    for name, cost in LIMITS.items():
        limit = limits.get(name)
        if limit is not None and costs[cost] > limit:
            found = f"{costs[cost]:,.0f}" if cost in COUNTED else f"{costs[cost]:.4g}"
            spread = f" (runs up to {costs[SLOW]:.4g})" if cost == "latency_ms" and SLOW in costs else ""
            return f"{found} {UNITS[cost]}{spread}: more than the limit of {limit:,.12g}."
    return ""


def architecture(config: ExperimentConfig) -> str:
    """Names what a configuration's costs follow from, and nothing else."""
    return json.dumps(deciding(config))


def deciding(config: ExperimentConfig) -> dict[str, Any]:
    """Returns the settings that costs follow from, by path: of image, network, anchors and postprocessing."""
    found = {}
    for path, field, value in config.items():
        group, _, name = path.partition(".")
        shapes = group in ("model", "anchors", "postprocess") and name not in _WITHOUT_EFFECT
        if not field.metadata["live"] and (shapes or path in _DECIDING):
            found[path] = value
    return found


class KnownCosts:
    """The costs of the architectures that a search has met, each found once.

    A time that is measured again is another one. What follows from it must not change with a restart, so it is on disk
    before anything follows.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads what an interrupted search has found.

        Args:
            path: of the JSON file: {architecture: {cost: number}}.
        """
        self._path = pathlib.Path(path)
        found = search_files.read(self._path, lambda known: {name: dict(costs) for name, costs in known.items()})
        self._known: dict[str, dict[str, float]] = found or {}  # what was damaged is found again

    def has(self, config: ExperimentConfig, *, latency: bool) -> bool:
        """Tells whether the costs of a configuration are known, with the time of an image where `latency` is set."""
        known = self._known.get(architecture(config))
        return known is not None and (not latency or "latency_ms" in known)

    def find(
        self, config: ExperimentConfig, measure: Callable[[], Mapping[str, float]], *, latency: bool
    ) -> Mapping[str, float]:
        """Looks the costs of a configuration up; those of a new architecture are found and written.

        Args:
            config: of the trial.
            measure: finds them; "latency_ms" among them where `latency` is set.
            latency: whether the time counts.

        Returns:
            {cost of `UNITS`: number}.
        """
        key = architecture(config)
        if not self.has(config, latency=latency):
            found = {key: dict(measure())}
            files.write_json(self._path, self._known | found)
            self._known |= found
        return self._known[key]
