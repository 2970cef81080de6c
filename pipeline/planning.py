"""From flags to a run's settings, with the plan between them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from data import sources
from data.sources import Source
from models import imagenet_weights
from models.hyperparameters import ExperimentConfig
from models.network import pretrained
from pipeline import configs
from tuner_fn import search_space
from tuner_fn.plan import fingerprint, plan, rules

MODES = ("auto", "off")


def plan_run(values: Mapping[str, Any], *, here: bool = True) -> tuple[configs.RunConfig, plan.Plan, str]:
    """Builds a run's settings; a run directory that has a plan for them keeps it.

    Args:
        values: as `configs.RunConfig.from_flags`, and "plan", of `MODES`.
        here: whether this machine trains; another one may have other pretrained weights.

    Returns:
        The settings; the plan, with "off" of no rule; and the plan's key, as `plan.write` takes it.

    Raises:
        UserError: a flag's value, the dataset or the weights' path is unusable.
    """
    draft = configs.RunConfig.from_flags(values)
    draft.experiment.model.weights_file()
    source = sources.open_source(draft.dataset, draft.data)
    fixed = configs.fixed_settings(values)
    named = search_space.named_settings(values["space"], values["tune"] or ())
    asked = {"data": source.fingerprint(), "preset": draft.preset, "fixed": fixed, "searched": named}
    key = plan.key(asked | {"plan": values["plan"]})
    found = plan.kept(draft.paths.newest, key) or plan.kept(draft.paths.report, key)
    if found is None:
        found = _make(source, draft, fixed, named, is_on=values["plan"] != "off", here=here)
    derived = found.settings if found.settings or values["plan"] != "off" else None
    run = configs.RunConfig.from_flags(values, derived)
    pretrained.check(run.experiment)  # of what the search begins with
    return run, found, key


def _make(
    source: Source,
    draft: configs.RunConfig,
    fixed: Mapping[str, Any],
    named: tuple[str, ...],
    *,
    is_on: bool,
    here: bool,
) -> plan.Plan:
    config, first = draft.experiment, []
    about = fingerprint.take(source, fingerprint.this_machine()) if is_on else None
    if config.model.backbone_weights == imagenet_weights.AUTO:
        if is_on and "model.alpha" not in fixed:
            first = rules.width(about, config)  # whether there are weights depends on it
            config = config.replace({choice.setting: choice.value for choice in first})
        first.append(_weights(config, here=here))
        config = config.replace({choice.setting: choice.value for choice in first})
    if about is None:
        return plan.Plan(tuple(first), draft.experiment.flat(), {})
    # What a named space merely contains may lose its effect to the plan; what shapes the network may not.
    searched = {*named, *(path for path in draft.search.ranges if path.startswith("model."))}
    made = plan.make(about, config, fixed=fixed, searched=searched)
    return dataclasses.replace(made, choices=(*first, *made.choices), before=draft.experiment.flat())


def _weights(config: ExperimentConfig, *, here: bool) -> rules.Choice:
    """Decides what `auto` stands for."""
    found, reason = "none", "another machine trains; name weights that it has"
    if config.model.weights not in ("", "none"):
        reason = "`model.weights` has a backbone"
    elif here:
        found, reason = imagenet_weights.find(config.model.backbone, config.model.alpha, config.input.size)
    return rules.Choice("model.backbone_weights", found, reason)
