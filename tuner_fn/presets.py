"""Named starting points: settings, what is searched, and how long."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from data.errors import UserError, nearest
from models import imagenet_weights
from models.hyperparameters import ExperimentConfig
from tuner_fn import allotment, cost_limits, finalists, search_space

# The strategies of `tuner_fn.oracles`, named here because importing those takes Keras Tuner's 10 s.
SEARCHES = (
    *("freeze_thaw", "hyperband", "asha", "bayesian", "random", "grid", "evolution", "controller"),
    *("optuna:tpe", "optuna:gp", "optuna:cmaes", "optuna:qmc", "optuna:random"),
)
WITH_RUNGS = ("freeze_thaw", "hyperband", "asha")  # they train configurations in parts and decide which go on
_FIRST_SHARE = 6  # the lowest rung is this part of a whole training, or more: the start's curve tells
BUDGETS = ("max_trials", "max_epochs_total", "max_minutes")  # a search ends with the first that is spent


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric of COCO that search and blessing go by.

    Attributes:
        text: its name for people.
        min_map: a model is blessed from this value on, unless the user gives another.
    """

    text: str
    min_map: float


# By their names in `models.evaluation.coco`; the first is the default. A detector's AP is about half of its AP50.
OBJECTIVES = {"AP50": Objective("mAP@.5", 0.1), "AP": Objective("mAP@[.5:.95]", 0.05)}
DEFAULT_OBJECTIVE = next(iter(OBJECTIVES))


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How a search is done; checked on construction.

    Attributes:
        strategy: one of `SEARCHES`.
        max_epochs: of one configuration, at least 1.
        min_epochs: of the lowest rung, at least 1; not above `max_epochs`.
        factor: successive halving keeps one of this many trials from rung to rung, at least 2.
        ranges: {hyperparameter: range}, as `search_space.named_space` returns, at least one.
        seed: of the draws.
        objective: one of `OBJECTIVES`, on the val split; the Evaluator goes by it on the test split.
        max_trials: budget: at most this many trials, None for no limit.
        max_epochs_total: budget: at most this many epochs in all trials together, None for no limit.
        max_minutes: budget: stop after the epoch in which they are over, None for no limit.
        max_trainings: of a preset's minutes, which are a default and no limit of the user's: they are spent on at most
            so many whole trainings, and never cut one short. None where the minutes are the user's.
        trial_timeout: minutes after which a trial has failed, None for no limit.
        max_disk_gb: of training states, in 10^9 bytes, None for no limit.
        repeats: seeds that the start and its challenger are trained with in the end, at least 1.
        min_confidence: probability of being better from which on the challenger replaces the start, in (0, 1).
        max_parameters: of a network; one with more is not trained. None for no limit.
        max_multiply_adds: for one image, the same.
        max_file_mb: 10^6 bytes of the float32 model's file, the same.
        max_latency_ms: of one image on the device that trains, the same.
        second_objective: one of `costs.SECOND_OBJECTIVES`, whose front with the score is written; None for none. The
            strategies do not look at it.
        fidelity: {setting: value} that trials have less of, as `search_space.fidelity` returns.
        inherit: whether a new configuration starts with the weights of the nearest one that is trained.
        early_stopping: chance with which a trial that would become the best may be stopped early, in (0, 1); None to
            stop none. For strategies that train configurations whole.
    """

    strategy: str
    max_epochs: int
    min_epochs: int
    factor: int
    ranges: search_space.Ranges
    seed: int
    objective: str = DEFAULT_OBJECTIVE
    max_trials: int | None = None
    max_epochs_total: int | None = None
    max_minutes: float | None = None
    max_trainings: int | None = None
    trial_timeout: float | None = None
    max_disk_gb: float | None = None
    repeats: int = 1
    min_confidence: float = 0.8
    max_parameters: float | None = None
    max_multiply_adds: float | None = None
    max_file_mb: float | None = None
    max_latency_ms: float | None = None
    second_objective: str | None = None
    fidelity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inherit: bool = False
    early_stopping: float | None = None

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            UserError: an unknown strategy or objective (names the nearest), nothing to search, or a number out of its
                range.
        """
        if self.strategy not in SEARCHES:
            raise UserError(f"Unknown search `{self.strategy}`.{nearest(self.strategy, SEARCHES)}")
        if self.objective not in OBJECTIVES:
            raise UserError(f"Unknown objective `{self.objective}`.{nearest(self.objective, OBJECTIVES)}")
        for name in ("max_trials", "max_epochs", "max_epochs_total", "repeats"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"`{name}` must be at least 1: got {value}.")
        if self.second_objective not in (None, *cost_limits.SECOND_OBJECTIVES):
            known = cost_limits.SECOND_OBJECTIVES
            hint = nearest(self.second_objective, known)
            raise UserError(f"`second_objective={self.second_objective}` is none of {', '.join(known)}.{hint}")
        for name in ("max_minutes", "trial_timeout", "max_disk_gb", *cost_limits.LIMITS):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UserError(f"`{name}` must be positive: got {value}.")
        if not 0 < self.min_confidence < 1:
            raise UserError(f"`min_confidence` must be above 0 and below 1: got {self.min_confidence}.")
        self._check_early_stopping()
        repeated = self.repeated_epochs
        if self.max_epochs_total is not None and repeated >= self.max_epochs_total:
            raise UserError(
                f"`repeats={self.repeats}` trains {finalists.COUNT} configurations of {self.max_epochs} epochs with all"
                f" seeds in the end: {repeated} epochs beside the search, which leaves none of max_epochs_total="
                f"{self.max_epochs_total} to the search. Raise that or lower `max_epochs`."
            )
        if not self.ranges:
            raise UserError("Nothing is left to search: `--set` fixes everything. Name others with `--tune`.")

    @property
    def repeated_epochs(self) -> int:
        """Epochs of the finalists' trainings beside the search, at most."""
        given = {"has_fidelity": bool(self.fidelity), "inherits": self.inherit}
        return finalists.epochs_needed(self.repeats, self.max_epochs, **given)

    @property
    def limits(self) -> dict[str, float]:
        """The limits on costs that are given, by their names in `costs.LIMITS`."""
        return {name: limit for name in cost_limits.LIMITS if (limit := getattr(self, name)) is not None}

    def _check_early_stopping(self) -> None:
        if self.early_stopping is None:
            return
        if not 0 < self.early_stopping < 1:
            raise UserError(f"`early_stopping` must be above 0 and below 1: got {self.early_stopping}.")
        if self.strategy in WITH_RUNGS:
            others = ", ".join(name for name in SEARCHES if name not in WITH_RUNGS)
            raise UserError(
                f"`early_stopping` is for searches that train every configuration whole: got `{self.strategy}`, which"
                f" decides itself which go on. Leave it out, or search by one of {others}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values; `from_dict` inverts."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SearchConfig":
        """Builds the search settings from `to_dict`'s result."""
        return cls(**values)


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
        help="320 px, alpha 0.35, anchors from small on: real images without a GPU.",
        settings={
            **_SMALL,
            "model.backbone_weights": imagenet_weights.AUTO,
            "input.image_size": 320,
            "input.batch_size": 8,
            "anchors.min_scale": 0.08,
            "anchors.max_scale": 0.6,
            "training.epochs": 30,
        },
        trainings=10,
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
        repeats: as of `SearchConfig`; None for two where the budget has room for that, else one.
        **settings: of `SearchConfig`.

    Raises:
        UserError: as `SearchConfig`.
    """
    max_epochs = epochs if max_epochs is None else max_epochs
    if max_epochs > epochs:
        raise UserError(
            f"`max_epochs={max_epochs}`: a trial can have as many epochs as the final training at most, {epochs}."
            " Raise `epochs` or lower it."
        )
    if all(settings.get(name) is None for name in BUDGETS):
        if preset.minutes is None:
            settings = settings | {"max_epochs_total": preset.trainings * max_epochs}
        else:
            settings = settings | {"max_minutes": preset.minutes, "max_trainings": preset.trainings}
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
        **settings,
    )
