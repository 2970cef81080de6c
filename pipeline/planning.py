"""From flags to a run's settings, with the plan between them."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from data import sources
from data.sources import Source
from models import imagenet_weights
from models.hyperparameters import ExperimentConfig
from models.network import pretrained, weights_kind
from pipeline import configs, workdir
from tuner_fn import search_space
from tuner_fn.plan import fingerprint, plan, rules

MODES = ("auto", "off")
_WEIGHTS = "model.backbone_weights"


def plan_run(
    values: Mapping[str, Any], *, here: bool = True, study: str | None = None
) -> tuple[configs.RunConfig, plan.Plan, str]:
    """Builds a run's settings; a run directory that has a plan for them keeps it.

    Args:
        values: as `configs.RunConfig.from_flags`, and "plan", of `MODES`.
        here: whether this machine trains; another one may have other pretrained weights.
        study: name of the study that keeps the plan in its own folder; None for a run.

    Returns:
        The settings; the plan, with "off" of no rule; and the plan's key, as `plan.write` takes it.

    Raises:
        UserError: a flag's value, the dataset or the weights' path is unusable.
    """
    is_on = values["plan"] != "off"
    draft = configs.RunConfig.from_flags(values, {} if is_on else None, is_draft=True)
    draft.experiment.model.weights_file()
    source = sources.open_source(draft.dataset, draft.data)
    fixed = configs.fixed_settings(values)
    named = search_space.named_settings(values["space"], values["tune"] or ())
    # What a named space merely contains may lose its effect to the plan; what shapes the network may not.
    searched = {*named, *(path for path in draft.search.ranges if path.startswith("model."))}
    asked = {"data": source.fingerprint(), "preset": draft.preset, "fixed": fixed, "named": named}
    asked |= {"searched": sorted(searched), "plan": values["plan"]}
    asked |= {"weights": draft.experiment.model.weights_digests()}
    key = plan.key(asked)
    paths, folders = draft.paths, []
    if workdir.is_run_directory(paths.root):
        folders = [*([] if study is None else [paths.study(study)]), paths.newest, paths.report]
    found = next((one for folder in folders if (one := plan.kept(folder, key)) is not None), None)
    if found is None:
        found = _make(source, draft.experiment, fixed, named, searched, is_on=is_on, here=here)
    decided = {path: value for path, value in found.settings.items() if path == _WEIGHTS}
    run = configs.RunConfig.from_flags(values, found.settings if is_on else None, decided)
    pretrained.check(run.experiment)  # of what the search begins with
    weights_kind.check(run.experiment.model)
    return run, found, key


def _make(
    source: Source,
    draft: ExperimentConfig,
    fixed: Mapping[str, Any],
    named: Collection[str],
    searched: Collection[str],
    *,
    is_on: bool,
    here: bool,
) -> plan.Plan:
    config, first = draft, []
    machine = fingerprint.this_machine()
    machine = machine if here else dataclasses.replace(machine, memory_bytes=0)
    about = fingerprint.take(source, machine) if is_on else None
    if config.model.backbone_weights == imagenet_weights.AUTO:
        if about is not None and "model.alpha" not in fixed:
            first = rules.width(about, config)  # whether there are weights depends on it
            config = config.replace({choice.setting: choice.value for choice in first})
        weights = _weights(config, named, here=here)
        if weights.value == "imagenet":
            reason = "a narrow network learns less in as many epochs, and there are ImageNet weights of this width"
            first = [dataclasses.replace(choice, reason=reason) for choice in first]
        first.append(weights)
        config = config.replace({choice.setting: choice.value for choice in first})
    if about is None:
        return plan.Plan(tuple(first), draft.flat(), {})
    made = plan.make(about, config, fixed=fixed, searched=searched)
    return dataclasses.replace(made, choices=(*first, *made.choices), before=draft.flat())


def _weights(config: ExperimentConfig, named: Collection[str], *, here: bool) -> rules.Choice:
    """Decides what `auto` stands for."""
    found, reason = "none", "another machine trains; name weights that it has"
    if config.model.weights not in ("", "none"):
        reason = "`model.weights` has a backbone"
    elif "model.alpha" in named:
        reason = "`model.alpha` is searched, and weights are of one width"
    elif here:
        found, reason = imagenet_weights.find(config.model.backbone, config.model.alpha, config.input.size)
    return rules.Choice(_WEIGHTS, found, reason)
