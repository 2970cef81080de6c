"""From flags to a run's settings, with the plan between them."""

import pathlib
from collections.abc import Mapping
from typing import Any

from data import sources
from data.sources import Source
from pipeline import configs
from tuner_fn import search_space
from tuner_fn.plan import fingerprint, plan

MODES = ("auto", "off")


def plan_run(values: Mapping[str, Any]) -> tuple[configs.RunConfig, plan.Plan | None, str]:
    """Builds a run's settings; a run directory that has a plan for them keeps it.

    Args:
        values: as `configs.RunConfig.from_flags`, and "plan", of `MODES`.

    Returns:
        The settings; the plan, None with "off"; and the plan's key, as `plan.write` takes it.

    Raises:
        UserError: a flag's value, the dataset or the weights' path is unusable.
    """
    draft = configs.RunConfig.from_flags(values)
    draft.experiment.model.weights_file()
    source = sources.open_source(draft.dataset, draft.data)
    if values["plan"] == "off":
        return draft, None, ""
    fixed = configs.fixed_settings(values)
    named = search_space.named_settings(values["space"], values["tune"] or ())
    key = plan.key({"data": source.fingerprint(), "preset": draft.preset, "fixed": fixed, "searched": named})
    found = plan.kept(pathlib.Path(draft.workdir) / "report", key)
    if found is None:
        found = _make(source, draft, fixed, named)
    return configs.RunConfig.from_flags(values, found.settings), found, key


def _make(source: Source, draft: configs.RunConfig, fixed: Mapping[str, Any], named: tuple[str, ...]) -> plan.Plan:
    about = fingerprint.take(source, fingerprint.this_machine())
    # What a named space merely contains may lose its effect to the plan; what shapes the network may not.
    searched = {*named, *(path for path in draft.search.ranges if path.startswith("model."))}
    return plan.make(about, draft.experiment, fixed=fixed, searched=searched)
