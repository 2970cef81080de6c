"""The first configurations of a search: changes of the start that paid on one recorded dataset and not on another."""

from collections.abc import Callable, Mapping
from typing import Any

from models.hyperparameters import ExperimentConfig
from tuner_fn import search_space

Change = Callable[[Any, Mapping[str, Any]], Any]  # from the start's value and the range to another value


def _next_wider(alpha: float, entry: Mapping[str, Any]) -> float:
    return min((other for other in entry.get("choices") or () if other > alpha), default=alpha)


def _lower_iou(iou: float, entry: Mapping[str, Any]) -> float:
    return min(iou, max(round(0.8 * iou, 3), entry.get("low", 0.0)))


# In the order in which they are tried; `docs/plan.md` has what each gave.
CHANGES: Mapping[str, Change] = {
    "model.alpha": _next_wider,
    "loss.matched_iou": _lower_iou,
    "input.batch_size": lambda batch, _: batch // 2,
    "optimizer.learning_rate": lambda rate, _: 2.0 * rate,
    "augment.crop_probability": lambda _, __: 0.0,
}


def candidates(config: ExperimentConfig, ranges: search_space.Ranges) -> list[dict[str, Any]]:
    """Lists the changes that a search can try.

    Args:
        config: the settings that the search begins with.
        ranges: what is searched, as `search_space.named_space` returns. Changes of other settings are left out, and so
            are changes to values outside of these ranges.

    Returns:
        {hyperparameter: value} of each.
    """
    start = config.flat()
    values = {path: change(start[path], ranges[path]) for path, change in CHANGES.items() if path in ranges}
    return [{path: value} for path, value in values.items() if value != start[path] and _holds(ranges[path], value)]


def _holds(entry: Mapping[str, Any], value: Any) -> bool:
    choices = entry.get("choices")
    return entry["low"] <= value <= entry["high"] if choices is None else value in choices
