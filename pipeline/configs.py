"""The settings of one pipeline run, from the command line's flags."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError
from data.run_directory import RunDirectory
from data.sources import DataOptions
from models.export import formats
from models.hyperparameters import ExperimentConfig
from tuner_fn import devices, objectives, presets, search_options, search_space

NAME = "ssd_tuner"
MAX_P_WORSE = 0.95  # a model that is worse than the last blessed one with more than this probability is refused
_SHORT = {"epochs": "training.epochs", "tile": "input.tile"}  # flags that are short for a `--set`


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run; checked on construction.

    Attributes:
        dataset: as `data.sources.open_source` takes it.
        preset: name of the starting point.
        data: what to take of the dataset.
        workdir: run directory, absolute.
        experiment: base settings of trials and final training.
        search: settings of the search.
        direct_num_workers: processes that ingestion uses.
        beam_args: options for Beam, each as "--NAME=VALUE".
        profile: whether a few steps of the final training are recorded for TensorBoard's profiler.
        min_map: a model is blessed from this value of the search's objective on the test split on, in [0, 1].
        max_p_worse: nor is it blessed if it is worse than the last blessed one with more than this probability.
        export: names of `models.export.formats.FORMATS` to push beside the SavedModel.
        max_drop: a format is pushed only if its mAP@[.5:.95] on val is lower by no more than this, in [0, 1].
    """

    dataset: str
    preset: str
    data: DataOptions
    workdir: pathlib.Path
    experiment: ExperimentConfig
    search: search_options.SearchConfig
    min_map: float
    max_p_worse: float
    export: tuple[str, ...] = ()
    max_drop: float = 0.02
    direct_num_workers: int = 1
    beam_args: tuple[str, ...] = ()
    profile: bool = False

    @property
    def paths(self) -> RunDirectory:
        """What lies where in the run directory."""
        return RunDirectory(self.workdir)

    @classmethod
    def from_flags(
        cls,
        values: Mapping[str, Any],
        derived: Mapping[str, Any] | None = None,
        decided: Mapping[str, Any] | None = None,
        *,
        is_draft: bool = False,
    ) -> "RunConfig":
        """Builds the settings from flag values: declared default < preset < plan < `--config` < one value in the
        file of `--space` < `--set`.

        Args:
            values: the flags of `ssd-tuner run`, as its `--help` describes them, None where not given; data
                (`DataOptions`); seed_given, whether the seed is the user's; and studied_space, of a study in the place
                of a search: the space whose fixed settings count.
            derived: {setting: value} of the plan; None for none.
            decided: {setting: value} of what the user left to the machine, as `auto` does; wins over all others.
            is_draft: whether a plan follows, which may raise the epochs: a trial's are compared with those afterwards.

        Raises:
            UserError: a value is unknown or out of its range, or two flags contradict each other.
        """
        name = values["preset"] or default_preset(values["dataset"])
        preset = presets.get_preset(name)
        overrides = _overrides(values)
        experiment = _experiment(values, preset, derived, overrides).replace(decided or {})
        _check_effects(experiment, overrides)
        ranges = _ranges(values, experiment, overrides)
        export = formats.parse(values["export"] or (), "--export", experiment.input.tile)
        epochs = experiment.training.epochs
        is_timed = values["max_latency_ms"] is not None or values["second_objective"] == "latency"
        search = presets.search(
            preset,
            values["search"],
            ranges,
            values["seed"],
            epochs=max(epochs, values["max_epochs"] or 0) if is_draft else epochs,
            fidelity=search_space.fidelity(parse_overrides(values["fidelity"] or (), "fidelity"), experiment, ranges),
            formats=export if is_timed else (),
            **{field.name: values[field.name] for field in search_options.options()},
        )
        return cls(
            dataset=values["dataset"],
            preset=name,
            data=dataclasses.replace(values["data"], tile=experiment.input.tile),
            workdir=pathlib.Path(values["workdir"]).expanduser().resolve(),
            experiment=experiment,
            search=search,
            min_map=_min_map(values),
            max_p_worse=values["max_p_worse"],
            export=export,
            max_drop=values["max_drop"],
            direct_num_workers=values.get("direct_num_workers", 1),
            beam_args=tuple(values.get("beam_args") or ()),
            profile=values.get("profile", False),
        )


def _min_map(values: Mapping[str, Any]) -> float:
    """Resolves the threshold: the user's, by either name of the flag, or the objective's own."""
    objective, found, old = values["objective"], values["min_map"], values.get("min_map50")
    if old is not None:
        if objective != "AP50":
            raise UserError(f"`--min_map50` is for --objective=AP50: with --objective={objective} give `--min_map`.")
        if found is not None:
            raise UserError("`--min_map50` is an older name of `--min_map`: give one of them.")
        found = old
    return objectives.get(objective).min_map if found is None else found


def default_preset(dataset: str) -> str:
    """Returns the preset that `ssd-tuner run` takes for a dataset on this machine."""
    return presets.default_preset(dataset, has_gpu=bool(devices.gpus()))


def read_config(path: str) -> ExperimentConfig:
    """Reads a `config.json` or `best_config.json`; settings that are missing in it keep their declared default.

    Raises:
        UserError: as `read_settings`.
    """
    return ExperimentConfig().replace(read_settings(path))


def read_settings(path: str) -> dict[str, Any]:
    """Reads the settings that a `config.json` or `best_config.json` holds.

    Args:
        path: of a file with settings by group.

    Returns:
        {setting: value}.

    Raises:
        UserError: no such file, no such content, or a setting is unknown or out of its range; names the file.
    """
    try:
        values = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise UserError("needs settings by group, as config.json in a run's report/ has them.")
        settings = ExperimentConfig.from_dict(values).flat()  # checks them
        return {path: settings[path] for path in (f"{group}.{name}" for group in values for name in values[group])}
    except OSError as error:
        raise UserError(f"`--config={path}` cannot be read: {error.strerror}.") from error
    except UserError as error:
        raise UserError(f"`--config={path}`: {error}") from error
    except ValueError as error:
        raise UserError(f"`--config={path}` is not JSON: {error}.") from error


def fixed_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {setting: value} of what the user set with `--config`, `--space`, `--set`, `--epochs` and `--tile`."""
    return _given(values) | _overrides(values)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the settings of `--config`, {} without it."""
    return {} if values.get("config") is None else read_settings(values["config"])


def _overrides(values: Mapping[str, Any]) -> dict[str, Any]:
    """Collects `--set`, the flags that are short for it, and what the space's file pins."""
    pinned = search_space.pinned_settings(values.get("studied_space") or values["space"])
    given = parse_overrides(values["set"] or ())
    short = {path: values[flag] for flag, path in _SHORT.items() if values[flag] is not None}
    for flag, path in _SHORT.items():
        set_value = ExperimentConfig().replace({path: given[path]}).flat()[path] if path in given else None
        if path in short and set_value not in (None, short[path]):
            raise UserError(
                f"`--{flag}={short[path]}` and `--set={path}={given[path]}` contradict each other. Give one of them."
            )
    return pinned | given | short


def _check_effects(config: ExperimentConfig, overrides: Mapping[str, Any]) -> None:
    """Refuses what the user gives and other settings leave without effect."""
    if "input.image_size" in overrides and config.input.image_height and config.input.image_width:
        raise UserError(
            "`--set=input.image_size` has no effect beside `input.image_height` and `input.image_width`, which are"
            f" {config.input.image_height} and {config.input.image_width}. Leave it out, or set those to 0."
        )
    if "model.head_kernel_size" in overrides and config.model.head_kernel_size == 1 and config.model.head != "ssd":
        raise UserError(
            f"`model.head_kernel_size=1` has no effect with `model.head={config.model.head}`, whose kernel is 3"
            " at least. Leave it out, or set `model.head=ssd`."
        )


def _ranges(
    values: Mapping[str, Any], experiment: ExperimentConfig, overrides: Mapping[str, Any]
) -> search_space.Ranges:
    """Resolves what is searched; what `--tune` names stays although `--set` gives it a value to start from."""
    ranges = search_space.named_space(values["space"], experiment)
    if values["tune"]:
        return search_space.pick(ranges, values["tune"], experiment)
    return search_space.without(ranges, overrides)


def _experiment(
    values: Mapping[str, Any],
    preset: presets.Preset,
    derived: Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
) -> ExperimentConfig:
    """Builds the base settings; `--seed` is that of training unless `--set` gives that another one.

    Without a plan `--config` takes the preset's place: what it leaves out keeps its declared default.
    """
    seed = {"training.seed": values["seed"]} if values.get("seed_given") else {}
    settings = {**(derived or {}), **_given(values), **seed, **overrides}
    if derived is None and values.get("config") is not None:
        return ExperimentConfig().replace(settings)
    return presets.experiment(preset, settings, values["seed"])


def parse_overrides(assignments: Sequence[str], flag: str = "set") -> dict[str, str]:
    """Parses `--set` arguments.

    Args:
        assignments: each "path=value".
        flag: that they came from.

    Returns:
        {path: text}.

    Raises:
        UserError: an argument has no "=".
    """
    overrides = {}
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path.strip():
            raise UserError(
                f"`--{flag}` needs SETTING=VALUE, for example optimizer.learning_rate=0.01: got {assignment!r}."
            )
        overrides[path.strip()] = value.strip()
    return overrides
