"""The scores of a search's configurations after equally many epochs, read without touching the search."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from data.run_directory import RunDirectory
from models.hyperparameters import ExperimentConfig
from tuner_fn import search_folder, search_space
from tuner_fn.early_stopping import CURVE
from tuner_fn.studies.equal_epochs import common_epochs

if TYPE_CHECKING:
    from tuner_fn.oracles.space import Space

SCORE = "score"
_ENDED_WELL = "COMPLETED"


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A configuration that was trained.

    Attributes:
        values: {setting: value}.
        curve: {epoch from 1: score}, as far as it was validated.
    """

    values: Mapping[str, Any]
    curve: Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class SearchScores:
    """What a search found out about its configurations.

    Attributes:
        folder: of the search.
        objective: what the score is, of `objectives.every`.
        config: the settings that the search began with.
        ranges: what was searched.
        max_epochs: of a configuration.
        configurations: those with at least one score, in the order of their beginnings.
        epochs: after which they are compared, 0 where none has a score.
        num_failed: configurations without a score because they failed.
        num_open: configurations that are being trained, or whose files cannot be read.
    """

    folder: pathlib.Path
    objective: str
    config: ExperimentConfig
    ranges: search_space.Ranges
    max_epochs: int
    configurations: tuple[Configuration, ...]
    epochs: int
    num_failed: int
    num_open: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each configuration that was trained so far: its values, and `SCORE` after `epochs`."""
        scored = (one for one in self.configurations if self.epochs in one.curve)
        return [{**one.values, SCORE: one.curve[self.epochs]} for one in scored]

    def space(self) -> "Space":
        """Makes the space that the configurations were drawn from."""
        from tuner_fn.oracles.space import Space  # imports TensorFlow

        return Space(search_space.make_search_space(self.config, self.ranges))

    def best(self) -> Mapping[str, Any]:
        """Returns the values of the configuration with the highest score of all."""
        return max(self.configurations, key=lambda one: max(one.curve.values())).values

    def left_out_text(self) -> str:
        """Says which configurations are not among the rows; "" where all are."""
        short = len(self.configurations) - len(self.rows)
        parts = [
            f"{count} {text}"
            for count, text in (
                (short, f"without a score after {self.epochs} epochs"),
                (self.num_failed, "failed"),
                (self.num_open, "in training or unreadable"),
            )
            if count
        ]
        return f"Left out: {', '.join(parts)}." if parts else ""


def read(paths: RunDirectory, epochs: int | None = None, folder: pathlib.Path | None = None) -> SearchScores:
    """Reads the last search of a run directory; one that is running is read as far as it is.

    Scores are compared after equally many epochs, because a configuration that was stopped early looks worse than it
    is beside one that was not.

    Args:
        paths: of the run.
        epochs: to compare after; None for `common_epochs`.
        folder: of the search; None for the newest one.

    Raises:
        UserError: there is no such folder or no search in it, or no configuration has a score after `epochs`.
    """
    if not paths.root.is_dir():
        raise UserError(f"`{paths.root}` is not a folder. Give the --workdir of a run.")
    if folder is None:
        folder = next((one for one in paths.searches() if (one / search_folder.FILE_NAME).exists()), None)
    if folder is None:
        raise UserError(f"`{paths.root}` has no search: give the --workdir of a `ssd-tuner run`.")
    try:
        parts = json.loads((folder / search_folder.FILE_NAME).read_text(encoding="utf-8"))
        search, config = parts["search"], ExperimentConfig.from_dict(parts["settings"])
        objective, ranges, max_epochs = search["objective"], search["ranges"], search["max_epochs"]
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"`{folder / search_folder.FILE_NAME}` is damaged ({reason}). Run the search again.") from error
    found, failed, unread = _configurations(_trials(folder), objective)
    config_of = [Configuration(values, curve) for values, curve in found if curve]
    counts = collections.Counter(epoch for one in config_of for epoch in one.curve)
    if epochs is not None and epochs not in counts:
        known = ", ".join(f"{epoch} ({counts[epoch]} configurations)" for epoch in sorted(counts)) or "none"
        raise UserError(f"`--epochs={epochs}`: no configuration has a score after {epochs} epochs. There are: {known}.")
    return SearchScores(
        folder=folder,
        objective=objective,
        config=config,
        ranges=ranges,
        max_epochs=max_epochs,
        configurations=tuple(config_of),
        epochs=epochs or common_epochs([one.curve for one in config_of]),
        num_failed=failed,
        num_open=unread,
    )


def _trials(folder: pathlib.Path) -> Iterator[Mapping[str, Any] | None]:
    """Yields the trials' states in the order of their beginnings; None for one that cannot be read."""
    for path in sorted(folder.glob("trial_*/trial.json")):
        try:
            yield json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            yield None


def _configurations(
    trials: Iterator[Mapping[str, Any] | None], objective: str
) -> tuple[Sequence[tuple[dict[str, Any], dict[int, float]]], int, int]:
    """Puts trials that continue from each other together.

    Returns:
        Values and curve of each configuration that has a score; how many have none because they failed; how many have
        none for another reason.
    """
    of_trial: dict[str, int] = {}
    found: list[tuple[dict[str, Any], dict[int, float]]] = []
    status: list[str] = []
    unreadable = 0
    for trial in trials:
        try:
            values, trial_id, state = trial["hyperparameters"]["values"], trial["trial_id"], trial["status"]  # type: ignore[index]
            curve = _curve(trial, values, objective) if state == _ENDED_WELL else {}
        except (KeyError, TypeError, IndexError):
            unreadable += 1
            continue
        index = of_trial.get(values.get("tuner/trial_id"), len(found))
        if index == len(found):
            found.append(({name: one for name, one in values.items() if not name.startswith("tuner/")}, {}))
            status.append(state)
        of_trial[trial_id] = index
        status[index] = state
        found[index][1].update(curve)
    none = [state for (_, curve), state in zip(found, status, strict=True) if not curve]
    failed = sum(state in ("FAILED", "INVALID") for state in none)
    return [one for one in found if one[1]], failed, len(none) - failed + unreadable


def _curve(trial: Any, values: Mapping[str, Any], objective: str) -> dict[int, float]:
    """Reads {epoch: score}; of a trial without a curve its score after its last epoch."""
    metrics = trial["metrics"]["metrics"]
    if CURVE in metrics:
        return {int(one["step"]): float(one["value"][0]) for one in metrics[CURVE]["observations"]}
    last = metrics[f"val_{objective}"]["observations"][-1]
    return {int(values["tuner/epochs"]): float(last["value"][0])}
