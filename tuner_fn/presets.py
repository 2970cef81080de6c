"""Named starting points: settings, what is searched, and how long."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from data.errors import UserError, nearest
from models import imagenet_weights
from models.hyperparameters import ExperimentConfig
from tuner_fn import allotment, finalists, search_space
from tuner_fn.search_options import BUDGETS, SearchConfig

_FIRST_SHARE = 6  # the lowest rung is this part of a whole training, or more: the start's curve tells


@dataclasses.dataclass(frozen=True)
class Preset:
    """A starting point.

    Attributes:
        help: one sentence.
        settings: {path: value} that differ from the declared defaults.
        trainings: budget of the search, in whole trainings, unless the user gives one.
        minutes: in which those have to fit; None for as long as it takes.
        factor: of successive halving.
    """

    help: str
    settings: Mapping[str, Any]
    trainings: int
    minutes: float | None
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
        trainings=8,
        minutes=20.0,
        factor=2,
    ),
    "cpu": Preset(
        help="320 px, alpha 0.35, small anchors: real images without a GPU.",
        settings={
            **_SMALL,
            "model.backbone_weights": imagenet_weights.AUTO,
            "input.image_size": 320,
            "input.batch_size": 8,
            "anchors.min_scale": 0.08,
            "anchors.max_scale": 0.6,
            "training.epochs": 30,
        },
        trainings=24,
        minutes=60.0,
        factor=2,
    ),
    "standard": Preset(
        help="300 px, alpha 1.0: the published SSD MobileNet v2; for a GPU.",
        settings={"model.backbone_weights": imagenet_weights.AUTO, "training.epochs": 60},
        trainings=12,
        minutes=None,
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


def search(
    preset: Preset,
    strategy: str,
    ranges: search_space.Ranges,
    seed: int,
    *,
    epochs: int,
    max_epochs: int | None = None,
    repeats: int | None = None,
    **settings: Any,
) -> SearchConfig:
    """Builds the settings of a search: the preset's, the user's where given.

    Args:
        preset: starting point; its budget counts where the user gives none.
        strategy: as of `SearchConfig`.
        ranges: as of `SearchConfig`.
        seed: of the draws.
        epochs: of the final training; a configuration of the search has as many at most.
        max_epochs: fewer than that.
        repeats: as of `SearchConfig`; None for two where the budget has room for that, else one, and for
            further ones where they leave the question open.
        **settings: of `SearchConfig`.

    Raises:
        UserError: as `SearchConfig`.
    """
    max_epochs = epochs if max_epochs is None else max_epochs
    if max_epochs > epochs:
        raise UserError(
            f"`--max_epochs={max_epochs}`: a trial cannot train for more epochs than the final training, which has"
            f" {epochs}. Raise `--epochs`, or lower `--max_epochs`."
        )
    if all(settings.get(name) is None for name in BUDGETS):
        if preset.minutes is None:
            settings = settings | {"max_epochs_total": preset.trainings * max_epochs}
        else:
            settings = settings | {"max_minutes": preset.minutes, "max_trainings": preset.trainings}
    is_bounded = settings.get("max_trials") is None  # by epochs or minutes, which further seeds keep to
    further_seeds = finalists.FURTHER_SEEDS if repeats is None and is_bounded else 0
    if repeats is None:
        total = settings.get("max_epochs_total")
        has_room = total is not None and total >= allotment.LEAST_TRAININGS * max_epochs
        repeats = 2 if has_room or (total is None and settings.get("max_minutes") is not None) else 1
    return SearchConfig(
        strategy=strategy,
        max_epochs=max_epochs,
        min_epochs=max(1, max_epochs // _FIRST_SHARE),
        factor=preset.factor,
        ranges=ranges,
        seed=seed,
        repeats=repeats,
        further_seeds=further_seeds,
        **settings,
    )
