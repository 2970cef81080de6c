"""What a run directory holds, read for people: whatever is missing or damaged is named and left out."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from data import dataset_info, errors
from data.run_directory import RunDirectory
from models.evaluation import image_results
from models.hyperparameters import ExperimentConfig
from tuner_fn import finalists, objectives
from tuner_fn.plan import plan

T = TypeVar("T")
_CURVE = "score_by_epoch"  # among a trial's metrics, as `tuner_fn.early_stopping` keeps it
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, csv.Error, errors.UserError)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial of the search, as its own file has it.

    Attributes:
        status: "RUNNING", "COMPLETED", "FAILED" or another of Keras Tuner's.
        curve: (epoch, score) of each validation, those of the trial it continued from included.
        parent: the trial that it continued from, None where it began anew.
    """

    status: str
    curve: tuple[tuple[int, float], ...]
    parent: str | None


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a run directory holds; None, {} or () stand for what it does not have.

    Attributes:
        folder: the run directory.
        search_folder: of the search that all of it is about.
        summary: `report/summary.json`, of the last run that ended.
        rows: the leaderboard, the winner first.
        trials: by their ids.
        search: `search.json`: what the trials depend on.
        decision: between what the search began with and its best.
        plan: settings derived from the data.
        config: settings of the final model; before one is there, those that the run began with.
        history: of the final training, a report an epoch.
        invocation: what ran the run.
        dataset: the ingested data.
        quarantine: bad examples, file and reason.
        images: what the final model found on the test split.
        problems: a sentence for each file that is damaged.
        newer_search: folder of another search that has changed since the one that `summary` is about; "" without one.
    """

    folder: RunDirectory
    search_folder: pathlib.Path
    summary: Mapping[str, Any] | None
    rows: Sequence[Mapping[str, Any]]
    trials: Mapping[str, Trial]
    search: Mapping[str, Any]
    decision: finalists.Decision | None
    plan: plan.Plan | None
    config: Mapping[str, Any] | None
    history: Sequence[Mapping[str, Any]]
    invocation: Mapping[str, Any]
    dataset: dataset_info.DatasetInfo | None
    quarantine: Sequence[Mapping[str, str]]
    images: image_results.ImageResults | None
    problems: Sequence[str]
    newer_search: str

    @property
    def objective(self) -> str:
        """The metric that the search goes by."""
        found = self.search.get("search", {}).get("objective") or (self.summary or {}).get("objective")
        return found or objectives.DEFAULT_OBJECTIVE

    @property
    def objective_text(self) -> str:
        """Its name for people; a plug-in that is not loaded has only its own."""
        known = objectives.every().get(self.objective)
        return known.text if known else self.objective

    @property
    def ranked(self) -> list[Mapping[str, Any]]:
        """The rows of trials that were finished."""
        return [row for row in self.rows if row["rank"]]

    @property
    def ranges(self) -> Mapping[str, Any]:
        """{hyperparameter: range} of the search."""
        return self.search.get("search", {}).get("ranges", {})


def read(root: pathlib.Path) -> Contents:
    """Reads a run directory; nothing in it is changed.

    Args:
        root: of a run, finished or not.

    Returns:
        What is there.

    Raises:
        UserError: there is no such folder, or it holds no run.
    """
    folder = RunDirectory(root)
    if not root.is_dir():
        raise errors.UserError(f"`{root}` is not a folder. Name the --workdir of a run.")
    parts = (folder.newest, folder.report, folder.metadata, folder.pipeline, *folder.searches())
    if not any(path.exists() for path in parts):
        raise errors.UserError(f"`{root}` holds no run. Name the --workdir of a run.")
    files = Files(root)
    search, newer = _search_folder(folder)
    rows = files.json(search / "leaderboard.json", checked_rows) or files.json(
        folder.report / "leaderboard.json", checked_rows
    )
    ingested = folder.ingested[0] if folder.ingested else folder.pipeline
    return Contents(
        folder=folder,
        search_folder=search,
        summary=files.json(folder.summary, with_members("metrics", "objective", "blessed", "reasons")),
        rows=rows or (),
        trials={
            path.parent.name.removeprefix("trial_"): trial
            for path in sorted(search.glob("trial_*/trial.json"))
            if (trial := files.json(path, _trial)) is not None
        },
        search=files.json(search / "search.json", with_members("search")) or {},
        decision=files.json(search / finalists.DECISION_FILE, lambda value: value and finalists.Decision(**value)),
        plan=files.json(folder.report / plan.JSON_FILE, lambda value: plan.Plan.from_dict(value["plan"])),
        config=files.json(folder.report / "config.json", _settings),
        history=files.json(folder.report / "history.json", lambda value: [one for one in value if one["epoch"]]) or (),
        invocation=files.json(folder.invocation, with_members("command")) or {},
        dataset=files.any(ingested / dataset_info.FILE_NAME, lambda path: dataset_info.read(path.parent)),
        quarantine=files.any(folder.report / "quarantine.csv", _csv_rows) or (),
        images=files.any(folder.test_results, lambda path: image_results.ImageResults.from_bytes(path.read_bytes())),
        problems=files.problems,
        newer_search=newer,
    )


class Files:
    """Reads files and remembers which were damaged.

    Attributes:
        problems: a sentence for each of them.
    """

    def __init__(self, root: pathlib.Path) -> None:
        """Begins with no problems.

        Args:
            root: folder from which the sentences name the files.
        """
        self._root = root
        self.problems: list[str] = []

    def json(self, path: pathlib.Path, restore: Callable[[Any], T]) -> T | None:
        """Returns what `restore` makes of a JSON file; None where that is missing or damaged."""
        return self.any(path, lambda path: restore(json.loads(path.read_text(encoding="utf-8"))))

    def any(self, path: pathlib.Path, load: Callable[[pathlib.Path], T]) -> T | None:
        """Returns what `load` makes of a file; None where that is missing or damaged."""
        try:
            return load(path)
        except FileNotFoundError:
            return None
        except (OSError, *_DAMAGED) as error:
            name = path.relative_to(self._root)
            self.problems.append(f"{name} cannot be read and was left out ({type(error).__name__}: {error}).")
            return None


def _search_folder(folder: RunDirectory) -> tuple[pathlib.Path, str]:
    """Finds the search that the report is about, else the newest one.

    Returns:
        Its folder, and the name of the newest one where that is another one.
    """
    searches = folder.searches() or [folder.root / "search" / "none"]
    found = folder.reported_search() or searches[0]
    return found, "" if found == searches[0] else searches[0].name


def _settings(values: Any) -> Mapping[str, Any]:
    return ExperimentConfig.from_dict(values).to_dict()


def checked_rows(rows: Any) -> list[Mapping[str, Any]]:
    """Passes the rows of a leaderboard on; raises ValueError where one lacks what all have."""
    needed = ("rank", "trial", "score", "status", "reason", "hyperparameters", "epochs", "seconds")
    for row in rows:
        missing = [name for name in needed if name not in row]
        if missing:
            raise ValueError(f"a row lacks {', '.join(missing)}")
    return list(rows)


def _trial(state: Mapping[str, Any]) -> Trial:
    observations = state["metrics"]["metrics"].get(_CURVE, {}).get("observations", [])
    curve = tuple((int(one["step"]), float(one["value"][0])) for one in observations)
    return Trial(state["status"], curve, state["hyperparameters"]["values"].get("tuner/trial_id"))


def with_members(*names: str) -> Callable[[Any], Mapping[str, Any]]:
    """Makes a function that takes a JSON object with these members and passes it on."""

    def check(value: Any) -> Mapping[str, Any]:
        for name in names:
            value[name]
        return value

    return check


def _csv_rows(path: pathlib.Path) -> list[Mapping[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
