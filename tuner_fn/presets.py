"""Named starting points: settings, what is searched, and how long."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError, nearest
from models.hyperparameters import ExperimentConfig

SEARCHES = ("hyperband", "bayesian", "random")
SEARCHED = (
    "optimizer.learning_rate",
    "anchors.min_scale",
    "loss.negatives_per_positive",
    "loss.localization_weight",
    "loss.l2",
    "augment.crop_probability",
    "augment.photometric_strength",
)


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How a search is done; checked on construction.

    Attributes:
        strategy: one of `SEARCHES`.
        max_trials: at most this many trials; Hyperband ends earlier where its brackets are full.
        max_epochs: of one trial, at least 1.
        min_epochs: of Hyperband's lowest rung, at least 1; not above `max_epochs`.
        factor: Hyperband keeps one of this many trials from rung to rung, at least 2.
        tune: names of the hyperparameters to search, at least one.
        seed: of the draws.
    """

    strategy: str
    max_trials: int
    max_epochs: int
    min_epochs: int
    factor: int
    tune: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            UserError: an unknown strategy or hyperparameter (names the nearest), or a number out of its range.
        """
        if self.strategy not in SEARCHES:
            raise UserError(f"Unknown search `{self.strategy}`.{nearest(self.strategy, SEARCHES)}")
        for name, value in (("max_trials", self.max_trials), ("max_epochs", self.max_epochs)):
            if value < 1:
                raise UserError(f"`{name}` must be at least 1: got {value}.")
        if not self.tune:
            raise UserError("`tune` needs at least one hyperparameter.")
        tunable = [path for path, field, _ in ExperimentConfig().items() if "search" in field.metadata]
        for path in self.tune:
            if path not in tunable:
                raise UserError(f"`{path}` is no hyperparameter that can be searched.{nearest(path, tunable)}")

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values; `from_dict` inverts."""
        return dataclasses.asdict(self) | {"tune": list(self.tune)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SearchConfig":
        """Builds the search settings from `to_dict`'s result."""
        return cls(**{**values, "tune": tuple(values["tune"])})


@dataclasses.dataclass(frozen=True)
class Preset:
    """A starting point.

    Attributes:
        help: one sentence.
        settings: {path: value} that differ from the declared defaults.
        max_trials: at most; Hyperband may end before.
        max_epochs: of one trial.
        min_epochs: of Hyperband's lowest rung.
        factor: of Hyperband.
    """

    help: str
    settings: Mapping[str, Any]
    max_trials: int
    max_epochs: int
    min_epochs: int
    factor: int


_SMALL = {
    "model.alpha": 0.35,
    "model.batch_norm_momentum": 0.97,
    "model.first_stride": 8,
    "anchors.min_scale": 0.15,
}
PRESETS = {
    "quick": Preset(
        help="128 px, alpha 0.35: minutes on two cores, for the embedded dataset and for trying things out.",
        settings={
            **_SMALL,
            "input.image_size": 128,
            "input.batch_size": 16,
            "optimizer.learning_rate": 0.003,
            "training.epochs": 15,
        },
        max_trials=5,
        max_epochs=4,
        min_epochs=2,
        factor=2,
    ),
    "cpu": Preset(
        help="320 px, alpha 0.35, anchors from small on: real images without a GPU.",
        settings={
            **_SMALL,
            "input.image_size": 320,
            "input.batch_size": 8,
            "anchors.min_scale": 0.08,
            "anchors.max_scale": 0.6,
            "training.epochs": 30,
        },
        max_trials=6,
        max_epochs=6,
        min_epochs=3,
        factor=2,
    ),
    "standard": Preset(
        help="300 px, alpha 1.0: the published SSD MobileNet v2; for a GPU.",
        settings={"training.epochs": 60},
        max_trials=30,
        max_epochs=27,
        min_epochs=3,
        factor=3,
    ),
}


def default_preset(dataset: str, has_gpu: bool) -> str:
    """Names the preset of a run whose user named none.

    Args:
        dataset: as `data.sources.open_source` takes it.
        has_gpu: whether a GPU will train.

    Returns:
        "quick" for the embedded dataset; for any other "standard" with a GPU and "cpu" without.
    """
    if dataset.partition(":")[0] == "road_scenes":
        return "quick"
    return "standard" if has_gpu else "cpu"


def get_preset(name: str) -> Preset:
    """Looks a preset up.

    Raises:
        UserError: an unknown name; the nearest known one is named.
    """
    if name not in PRESETS:
        raise UserError(f"Unknown preset `{name}`.{nearest(name, PRESETS)}")
    return PRESETS[name]


def experiment(preset: Preset, overrides: Mapping[str, Any], seed: int) -> ExperimentConfig:
    """Builds the settings of a run: the declared defaults, the preset's, the user's.

    Args:
        preset: starting point.
        overrides: {path: value} of `--set`.
        seed: of training.

    Raises:
        UserError: as `ExperimentConfig.replace`.
    """
    return ExperimentConfig().replace({**preset.settings, "training.seed": seed, **overrides})


def without_effect(config: ExperimentConfig) -> tuple[str, ...]:
    """Lists hyperparameters of the kit's choice that change nothing with these settings."""
    idle = []
    if config.anchors.kind == "multiscale" or config.anchors.scales:
        idle.append("anchors.min_scale")
    if config.loss.classification == "focal":
        idle.append("loss.negatives_per_positive")
    return tuple(idle)


def search(
    preset: Preset,
    strategy: str,
    seed: int,
    *,
    max_trials: int | None = None,
    max_epochs: int | None = None,
    tune: Sequence[str] | None = None,
    pinned: Sequence[str] = (),
    idle: Sequence[str] = (),
) -> SearchConfig:
    """Builds the settings of a search: the preset's, the user's where given.

    Args:
        preset: starting point.
        strategy: one of `SEARCHES`.
        seed: of the draws.
        max_trials: overrides the preset's.
        max_epochs: overrides the preset's.
        tune: hyperparameters to search; None for the kit's choice.
        pinned: settings that the user fixed; they leave the kit's choice.
        idle: settings that have no effect, as `without_effect` lists them; they leave it, too.

    Raises:
        UserError: as `SearchConfig`.
    """
    max_epochs = preset.max_epochs if max_epochs is None else max_epochs
    return SearchConfig(
        strategy=strategy,
        max_trials=preset.max_trials if max_trials is None else max_trials,
        max_epochs=max_epochs,
        min_epochs=min(preset.min_epochs, max_epochs),
        factor=preset.factor,
        tune=tuple(tune) if tune else tuple(name for name in SEARCHED if name not in pinned and name not in idle),
        seed=seed,
    )
