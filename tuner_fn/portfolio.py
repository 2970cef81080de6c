"""The first configurations of a search: changes of the start that gained most on recorded trainings of other datasets."""

from collections.abc import Callable, Mapping
from typing import Any

from models.hyperparameters import ExperimentConfig
from tuner_fn import search_space

Change = Any | Callable[[Any], Any]  # a value, or what makes one of the start's
# In the order in which they are tried; `docs/search.md` has what each gave.
CHANGES: tuple[Mapping[str, Change], ...] = (
    {"loss.localization": "giou"},
    {"input.batch_size": lambda batch: max(batch // 2, 1)},
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
        if all(path in ranges and _holds(ranges[path], value) for path, value in values.items()):
            found.append(values)
    return found


def _holds(entry: Mapping[str, Any], value: Any) -> bool:
    choices = entry.get("choices")
    return entry["low"] <= value <= entry["high"] if choices is None else value in choices
