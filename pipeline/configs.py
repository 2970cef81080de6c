"""The settings of one pipeline run, from the command line's flags."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import presets

NAME = "ssd_tuner"


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run; checked on construction.

    Attributes:
        dataset: as `data.sources.open_source` takes it.
        preset: name of the starting point.
        classes: names of the classes to detect, None for all.
        workdir: run directory, absolute.
        experiment: base settings of trials and final training.
        search: settings of the search.
        min_map50: a model is blessed from this mAP@.5 on the test split on, in [0, 1].
    """

    dataset: str
    preset: str
    classes: tuple[str, ...] | None
    workdir: pathlib.Path
    experiment: ExperimentConfig
    search: presets.SearchConfig
    min_map50: float

    @classmethod
    def from_flags(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Builds the settings from flag values.

        Args:
            values: dataset, workdir, classes, preset, search, max_trials, max_epochs, epochs, set, tune, seed,
                min_map50,
                as `ssd-tuner run --help` describes them; None where not given.

        Raises:
            UserError: a value is unknown or out of its range.
        """
        has_gpu = pathlib.Path("/dev/nvidia0").exists()  # TensorFlow could tell, in 10 s
        name = values["preset"] or presets.default_preset(values["dataset"], has_gpu)
        preset = presets.get_preset(name)
        overrides = parse_overrides(values["set"] or ())
        if values["epochs"] is not None:
            overrides["training.epochs"] = values["epochs"]
        search = presets.search(
            preset,
            values["search"],
            values["seed"],
            max_trials=values["max_trials"],
            max_epochs=values["max_epochs"],
            tune=values["tune"],
            pinned=tuple(overrides),
        )
        return cls(
            dataset=values["dataset"],
            preset=name,
            classes=tuple(values["classes"]) if values["classes"] else None,
            workdir=pathlib.Path(values["workdir"]).resolve(),
            experiment=presets.experiment(preset, overrides, values["seed"]),
            search=search,
            min_map50=values["min_map50"],
        )


def parse_overrides(assignments: Sequence[str]) -> dict[str, str]:
    """Parses `--set` arguments.

    Args:
        assignments: each "path=value".

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
                f"`--set` needs SETTING=VALUE, for example optimizer.learning_rate=0.01: got {assignment!r}."
            )
        overrides[path.strip()] = value.strip()
    return overrides
