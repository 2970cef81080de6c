"""How a search is done: every option declared once.

From a declaration follow the field, the flag of `ssd-tuner run`, its help, the table in docs/search.md, and whether a
search continues when the option changes.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from data.errors import UserError, nearest
from tuner_fn import cost_limits, finalists, objectives, search_space, strategies

BUDGETS = ("max_trials", "max_epochs_total", "max_minutes")  # a search ends with the first that is spent


def option(
    kind: type,
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    low: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Callable[[], Collection[str]] = tuple,
    decides: bool = True,
) -> Any:
    """Declares a field that is a flag of `ssd-tuner run`.

    Args:
        kind: int, float, bool or str.
        default: of the field and of the flag; without one the preset decides where the flag is not given.
        help: for people.
        low: smallest value.
        above: what a value must exceed.
        below: what it must not reach.
        choices: returns what a str may be; nothing where it may be anything.
        decides: whether a trial's result depends on it; a search continues when an option changes that does not.
    """
    metadata = {"kind": kind, "help": help, "low": low, "above": above, "below": below, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata | {"decides": decides})


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How a search is done; checked on construction. What is declared with `option` says there what it means.

    Attributes:
        strategy: one of `strategies.STRATEGIES`.
        min_epochs: of the lowest rung, at least 1; not above `max_epochs`.
        factor: successive halving keeps one of this many trials from rung to rung, at least 2.
        ranges: {hyperparameter: range}, as `search_space.named_space` returns, at least one.
        seed: of the draws.
        further_seeds: beyond `repeats`, for a challenger that looks better but not surely enough.
        max_trainings: of a preset's minutes, which are a default and no limit of the user's: they are spent on at most
            so many whole trainings, and never cut one short. None where the minutes are the user's.
        fidelity: {setting: value} that trials have less of, as `search_space.fidelity` returns.
    """

    strategy: str
    min_epochs: int
    factor: int
    ranges: search_space.Ranges
    seed: int
    max_epochs: int = option(
        int,
        low=1,
        help="Largest number of epochs for one configuration; by default that of the final training.",
    )
    repeats: int = option(
        int,
        low=1,
        decides=False,
        help="At the end, the first settings and the best ones found are each trained with this many seeds. By default"
        f" 2 where the budget has room, and up to {finalists.FURTHER_SEEDS} more if these leave open which is better.",
    )
    objective: str = option(
        str,
        objectives.DEFAULT_OBJECTIVE,
        choices=objectives.every,
        help="Metric that the search maximises and --min_map refers to: "
        + " or ".join(f"{name} ({one.text})" for name, one in objectives.COCO.items())
        + ", or a plug-in's metric.",
    )
    max_trials: int | None = option(
        int,
        None,
        low=1,
        decides=False,
        help="Budget: number of trials. A trial that continues another one counts again.",
    )
    max_epochs_total: int | None = option(
        int,
        None,
        low=1,
        decides=False,
        help="Budget: number of epochs in all trials together. Without any budget, the preset's applies.",
    )
    max_minutes: float | None = option(
        float,
        None,
        above=0,
        decides=False,
        help="Budget: minutes of the whole run, all starts together. If they are too few for a search, they go into one"
        " longer training.",
    )
    trial_timeout: float | None = option(
        float,
        None,
        above=0,
        decides=False,
        help="Minutes after which a trial counts as failed, so that a hanging trial does not stop the search. By"
        " default, 20 times the duration estimated from the first steps, but at least 10.",
    )
    parallel_trials: int | None = option(
        int,
        None,
        low=1,
        decides=False,
        help="Number of trials that train at the same time. Each has its own process and its own GPU or, without GPUs,"
        " its own share of the cores. By default one for each GPU, and one without a GPU.",
    )
    ray: str | None = option(
        str,
        None,
        decides=False,
        help="A Ray cluster whose nodes train the trials: HOST:PORT of its head, or `auto` for this machine's own."
        " `--parallel_trials` is by default the number of trials that the cluster has room for.",
    )
    trial_cpus: int = option(int, 1, low=1, decides=False, help="CPUs that Ray reserves for a trial.")
    trial_gpus: float | None = option(
        float,
        None,
        low=0.0,
        decides=False,
        help="GPUs, or part of one, that Ray reserves for a trial. By default one if the cluster has any.",
    )
    max_disk_gb: float | None = option(
        float,
        None,
        above=0,
        decides=False,
        help="Space for training states, in GB. Beyond it, the least promising trials are not continued.",
    )
    min_confidence: float = option(
        float,
        0.8,
        above=0,
        below=1,
        decides=False,
        help="The settings found replace the first ones if they are better with at least this probability.",
    )
    max_parameters: float | None = option(float, None, above=0, help="Networks with more parameters are not trained.")
    max_multiply_adds: float | None = option(
        float, None, above=0, help="Networks with more multiply-adds per image are not trained."
    )
    max_file_mb: float | None = option(
        float,
        None,
        above=0,
        help="Networks whose float32 TFLite file would be larger than this, in MB, are not trained.",
    )
    max_latency_ms: float | None = option(
        float,
        None,
        above=0,
        help="Networks that take longer for one image are not trained. The time is that of the slowest format of"
        " --export, or else of the float32 SavedModel with suppression on the training device.",
    )
    second_objective: str | None = option(
        str,
        None,
        choices=lambda: cost_limits.SECOND_OBJECTIVES,
        decides=False,
        help="Write the Pareto front of val mAP and this cost (pareto.csv, pareto.png). The search uses only the mAP.",
    )
    inherit: bool = option(
        bool,
        False,
        help="Start each new configuration from the weights of the most similar trained one, where they fit.",
    )
    early_stopping: float | None = option(
        float,
        None,
        above=0,
        below=1,
        help="Stop trials that are unlikely to become the best. The value is the accepted chance of stopping one that"
        " would, 0.05 for example. For strategies that train every configuration to the end.",
    )
    prune_after: int | None = option(
        int,
        None,
        low=20,
        help="After this many configurations, and again whenever their number has doubled, settings that are shown to"
        " have little or no effect keep the best configuration's values.",
    )
    formats: tuple[str, ...] = ()  # of --export, where the time of an image counts
    further_seeds: int = dataclasses.field(default=0, metadata={"decides": False})
    max_trainings: int | None = dataclasses.field(default=None, metadata={"decides": False})
    fidelity: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            UserError: an unknown strategy or objective (names the nearest), nothing to search, or a number out of its
                range.
        """
        strategies.check(self.strategy)
        for field in options():
            check(field, getattr(self, field.name))
        if self.early_stopping is not None and strategies.STRATEGIES[self.strategy].has_rungs:
            others = ", ".join(name for name, one in strategies.STRATEGIES.items() if not one.has_rungs)
            raise UserError(
                f"`early_stopping` is for searches that train every configuration whole: got `{self.strategy}`, which"
                f" decides itself which continue. Leave it out, or search by one of {others}."
            )
        if self.prune_after is not None and self.strategy == "grid":
            raise UserError(
                "`prune_after` is for searches that choose what to try: `grid` tries everything in order. Leave it out,"
                " or search by another strategy."
            )
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
        """The limits on costs that are given, by their names in `cost_limits.LIMITS`."""
        return {name: limit for name in cost_limits.LIMITS if (limit := getattr(self, name)) is not None}

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values; `from_dict` inverts."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SearchConfig":
        """Builds the search settings from `to_dict`'s result."""
        return cls(**{**values, "formats": tuple(values.get("formats", ()))})


def options() -> list[dataclasses.Field]:
    """Lists the fields of `SearchConfig` that are flags."""
    return [field for field in dataclasses.fields(SearchConfig) if "kind" in field.metadata]


def not_deciding() -> list[str]:
    """Names the fields of `SearchConfig` that a trial's result does not depend on."""
    return [field.name for field in dataclasses.fields(SearchConfig) if not field.metadata.get("decides", True)]


def check(field: dataclasses.Field, value: Any) -> None:
    """Checks an option's value against its declaration; None passes.

    Raises:
        UserError: it is out of its range, or none of the choices (names the nearest).
    """
    if value is None:
        return
    name, known = field.name, field.metadata["choices"]()
    if known and value not in known:
        raise UserError(f"`{name}={value}` is none of {', '.join(known)}.{nearest(value, known)}")
    if isinstance(value, float) and not math.isfinite(value):
        hint = "" if field.default is not None else " Leave it out for no limit."
        raise UserError(f"`{name}` must be a finite number: got {value}.{hint}")
    low, above, below = (field.metadata[limit] for limit in ("low", "above", "below"))
    if low is not None and value < low:
        raise UserError(f"`{name}` must be at least {low}: got {value}.")
    if (above is not None and value <= above) or (below is not None and value >= below):
        limits = "positive" if below is None else f"above {above} and below {below}"
        raise UserError(f"`{name}` must be {limits}: got {value}.")


def default_text(field: dataclasses.Field) -> str:
    """Writes an option's default for a table; "" where there is none or the preset decides."""
    if field.default in (None, dataclasses.MISSING):
        return ""
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def table() -> str:
    """Makes the table of docs/search.md: flag, default, meaning."""
    rows = [(f"`--{one.name}`", default_text(one), one.metadata["help"]) for one in options()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [("flag", "default", "meaning"), ("---",) * 3, *rows])


if __name__ == "__main__":
    print(table())
