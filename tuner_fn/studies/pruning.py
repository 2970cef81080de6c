"""Leaving settings without effect out of a search that is under way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from data import progress
from data.errors import UserError
from tuner_fn.studies import sensitivity
from tuner_fn.studies.equal_epochs import common_epochs

if TYPE_CHECKING:
    from tuner_fn.oracles.configuration import Configuration
    from tuner_fn.oracles.space import Space

_SCORE = "score"


def pins(space: "Space", configurations: "Sequence[Configuration]", seed: int) -> dict[str, Any]:
    """Finds the settings that are shown to have little or no effect, with the values of the best configuration.

    Args:
        space: of the search.
        configurations: that have ended, with a score each.
        seed: of the forests.

    Returns:
        {setting: value}; {} where nothing is shown.
    """
    epochs = common_epochs([one.curve for one in configurations])
    compared = [one for one in configurations if epochs in one.curve]
    rows = [{**one.values, _SCORE: one.curve[epochs]} for one in compared]
    names = [parameter.name for parameter in space.parameters]
    try:
        found = sensitivity.measure(rows, _SCORE, names, seed, space=space)
    except UserError:
        return {}
    best = max(configurations, key=lambda one: one.best).values
    chosen = {name: best[name] for name in found.no_effect if name in best}
    if chosen:
        shown = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in chosen.items()
        )
        text = f"After {len(compared)} configurations (R² {found.r2:.2f}), little or no effect is shown for: {shown}."
        progress.emit("note", text=f"{text} New configurations have these values.")
    return chosen
