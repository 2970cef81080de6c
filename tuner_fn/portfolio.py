"""The first configurations of a search: changes of the start that gained on recorded trainings of other datasets."""

from collections.abc import Callable, Mapping
from typing import Any

from models.hyperparameters import ExperimentConfig
from tuner_fn import search_space

_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
Change = Any | Callable[[Any], Any]  # a value, or what makes one of the start's
# In the order in which they are tried; `docs/search.md` has what each gave.
CHANGES: tuple[Mapping[str, Change], ...] = (
    {"model.alpha": lambda alpha: next((wider for wider in _WIDTHS if wider > alpha), alpha)},
    {"input.batch_size": lambda batch: batch // 2},
    {"optimizer.learning_rate": lambda rate: 2.0 * rate},
)


def candidates(config: ExperimentConfig, ranges: search_space.Ranges) -> list[dict[str, Any]]:
    """Lists the changes that a search can try.

    Args:
        config: the settings that the search begins with.
        ranges: what is searched, as `search_space.named_space` returns; a change of anything else is left out, and so
            is one to a value that is not searched.

    Returns:
        {hyperparameter: value} of each.
    """
    start = config.flat()
    found = []
    for change in CHANGES:
        values = {path: amount(start[path]) if callable(amount) else amount for path, amount in change.items()}
        differs = any(value != start[path] for path, value in values.items())
        if differs and all(path in ranges and _holds(ranges[path], value) for path, value in values.items()):
            found.append(values)
    return found


def _holds(entry: Mapping[str, Any], value: Any) -> bool:
    choices = entry.get("choices")
    return entry["low"] <= value <= entry["high"] if choices is None else value in choices
