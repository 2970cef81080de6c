"""Which settings of a search matter, and the smaller space without those that do not."""

import yaml

from data.errors import UserError
from data.run_directory import RunDirectory
from tuner_fn.studies import search_scores
from tuner_fn.studies.sensitivity import INTERVAL, LEAST_R2, LEAST_TRIALS, LITTLE, Importance, measure

__all__ = [
    "INTERVAL",
    "LEAST_R2",
    "LEAST_TRIALS",
    "LITTLE",
    "Importance",
    "doubt",
    "measure",
    "of_run",
    "of_search",
    "smaller_space",
    "verdict",
]


def of_run(paths: RunDirectory) -> Importance:
    """Measures which settings matter in the last search of a run directory.

    Raises:
        UserError: as `of_search` and `search_scores.read`.
    """
    return of_search(search_scores.read(paths))


def of_search(found: search_scores.SearchScores) -> Importance:
    """Measures which settings matter in a search.

    Raises:
        UserError: nothing can be said, as `measure`; names the search and what is missing.
    """
    try:
        return measure(found.rows, search_scores.SCORE, list(found.ranges), space=found.space())
    except UserError as error:
        raise UserError(f"`{found.folder}`: {error} {found.left_out_text()}".rstrip()) from error


def doubt(found: Importance) -> str:
    """Says why an importance is not reliable; "" where it is."""
    if found.reliable:
        return ""
    if found.trials < LEAST_TRIALS:
        return f"{found.trials} configurations are too few: the shares mean nothing below {LEAST_TRIALS}"
    return f"the forest predicts too little (R² {found.r2:.2f}, below {LEAST_R2:g}): the shares mean nothing"


def verdict(found: Importance, name: str) -> str:
    """Says in words whether a setting matters.

    Args:
        found: that the setting is in.
        name: of the setting.
    """
    if not found.reliable:
        return "unknown"
    if name in found.no_effect:
        return "little or none"
    return "matters" if found.totals[name][1] >= LITTLE else "not clear"


def smaller_space(found: Importance, scores: search_scores.SearchScores) -> str:
    """Writes a space without the settings that have little or no effect, as `--space=FILE` takes it.

    They are pinned to the values of the best configuration. Where it does not have one, because another setting makes
    it inactive, the setting is left out.

    Raises:
        UserError: there is no setting to leave out.
    """
    if not found.no_effect:
        reason = doubt(found) or "no setting is shown to have little or no effect"
        raise UserError(f"`--write_space`: {reason}. Search more configurations.")
    best = scores.best()
    pinned = {name: best[name] for name in found.no_effect if name in best}
    if pinned.get("model.head_kernel_size") == 1 and scores.config.replace(best).model.head != "ssd":
        pinned["model.head_kernel_size"] = 3  # what the other heads make of 1
    searched = {name: entry for name, entry in scores.ranges.items() if name not in found.no_effect}
    entries = {name: entry.get("choices", entry) for name, entry in searched.items()} | pinned
    lines = [
        f"# {found.trials} configurations of {scores.folder.name}: settings with one value had little or no effect.\n",
        yaml.safe_dump(entries, sort_keys=False, default_flow_style=None, allow_unicode=True),
    ]
    return "".join(lines)
