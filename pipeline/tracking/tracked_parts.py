"""What a tracking server shows of a run directory, read from its files: searches, their trials and final models."""

import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorboard.backend.event_processing import event_file_loader
from tensorboard.util import tensor_util

from data import errors, files, progress
from data.run_directory import RunDirectory
from models.evaluation.coco import SUMMARY_KEYS
from pipeline.report import contents
from tuner_fn import cost_limits, search_folder

_MS = 1000  # a second
_OUTSIDE_NAMES = re.compile(r"[^\w\-. :/]")  # what MLflow does not take in a name
_STATUS = {"completed": "FINISHED", "failed": "FAILED"}
_REPORT_FILES = ("*.json", "*.csv", "*.md", "*.png", "*.html")


@dataclasses.dataclass(frozen=True)
class Point:
    """A value of a metric.

    Attributes:
        name: of the metric.
        value: finite.
        time_ms: since 1970.
        step: the epoch.
    """

    name: str
    value: float
    time_ms: int
    step: int


@dataclasses.dataclass(frozen=True)
class Part:
    """What becomes one run of the tracking server.

    Attributes:
        key: names it within the run directory, for ever.
        name: for people.
        parent: key of the part that it belongs to, None for a search.
        status: FINISHED, FAILED or RUNNING.
        params: settings, which never change.
        points: of metrics, but for those of `log`.
        tags: what else there is to say, by name.
        artifacts: files to keep with it.
        model: folder of a pushed SavedModel, None for none.
        log: folder of TensorBoard's log of it, None for none; it is read only where it is wanted.
    """

    key: str
    name: str
    parent: str | None
    status: str
    params: dict[str, str]
    points: tuple[Point, ...]
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    artifacts: tuple[pathlib.Path, ...] = ()
    model: pathlib.Path | None = None
    log: pathlib.Path | None = None

    def all_points(self) -> list[Point]:
        """Lists the values of all metrics, those of the log first; of an epoch that was trained again, the last one."""
        logged = {} if self.log is None else {(one.name, one.step): one for one in read_scalars(self.log)}
        return [*logged.values(), *self.points]

    def digest(self) -> str:
        """Returns 64 hexadecimal digits of all that is shown, the content of files included."""
        known: list[Any] = [self.key, self.name, self.parent, self.status, self.params, self.tags, str(self.model)]
        # A file that was written again has another time and says the same.
        known.append(sorted((point.name, point.value, point.step) for point in self.points))
        known += [(path.name, files.digest(path)) for path in self.artifacts]
        known += [(path.name, path.stat().st_size) for path in _events(self.log)]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def read(folder: RunDirectory) -> Iterator[Part]:
    """Reads a run directory, also one whose run has not ended or was killed.

    Args:
        folder: of the run.

    Yields:
        A search, then its trials, then the final model that came of it; the oldest search first. What a missing or
        damaged file hides is left out, with a note.
    """
    reader, of_report = contents.Files(folder.root), folder.reported_search()
    if of_report is None:
        _note_unreported(folder, reader)
    found = []
    for search in folder.searches():
        if (search / search_folder.FILE_NAME).exists():
            found.append(search)
        elif (search / "leaderboard.json").exists():  # else it has just begun
            reader.problems.append(f"{search} was left out, with its final model: it has no {search_folder.FILE_NAME}.")
    for search in sorted(found, key=lambda search: int(search_folder.logs_name(search).rpartition("_")[2] or 0)):
        about = reader.json(search / search_folder.FILE_NAME, contents.with_members("settings", "search"))
        if about is None:
            continue
        rows = reader.json(search / "leaderboard.json", contents.checked_rows) or []
        is_reported = search == of_report
        yield _search_part(folder, search, about, rows, is_reported or folder.has_ended(search))
        for row in sorted(rows, key=lambda one: one["trial"]):
            yield _trial_part(folder, search, row)
        if is_reported and (final := _final_part(folder, search, reader)) is not None:
            yield final
    for text in dict.fromkeys(reader.problems):  # two may need one file
        progress.emit("note", text=text)


def dataset(folder: RunDirectory) -> str:
    """Names the dataset of a run directory, "unknown" where no file says it.

    Raises:
        UserError: the file is damaged. Under another name, all would be exported a second time.
    """
    reader = contents.Files(folder.root)
    found = reader.json(folder.dataset, lambda value: str(value["dataset"]))
    if reader.problems:
        raise errors.UserError(
            f"{reader.problems[0]} It names the dataset, and so the experiment. Set MLFLOW_EXPERIMENT_NAME to the"
            " experiment's name, by default `ssd-tuner` and the --dataset of the run."
        )
    return found or "unknown"


def _note_unreported(folder: RunDirectory, reader: contents.Files) -> None:
    """Notes which damaged or missing file hides the final model; none does where the search has continued."""
    summary = reader.json(folder.summary, _summary)
    if summary is None:
        return
    boards = [folder.report / "leaderboard.json"]
    if summary.get("search"):
        boards.append(folder.search(summary["search"]) / "leaderboard.json")
    if lacking := [str(board) for board in boards if reader.json(board, contents.checked_rows) is None]:
        reader.problems.append(f"The final model was left out: there is no usable {' or '.join(lacking)}.")


def _search_part(
    folder: RunDirectory,
    search: pathlib.Path,
    about: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    has_ended: bool,
) -> Part:
    name = search_folder.logs_name(search)
    params = _flat(about["settings"]) | _flat(about["search"], "search.")
    ended = [row for row in rows if row["status"] in _STATUS]
    points = []
    if ended:
        time_ms = _time_ms(search / "leaderboard.json")
        scores = [row["score"] for row in ended if row["score"] is not None]
        values = {"trials": len(ended), "failed_trials": len(ended) - len(scores)}
        values |= {"best_score": max(scores)} if scores else {}
        points = [Point(key, float(value), time_ms, len(ended)) for key, value in values.items()]
    kept = [search / file for file in ("leaderboard.csv", "best_config.json") if (search / file).exists()]
    return Part(
        key=search.name,
        name=f"{folder.root.resolve().name} {name}",
        parent=None,
        status="FINISHED" if has_ended else "RUNNING",
        params=params,
        points=tuple(points),
        tags={f"version.{library}": version for library, version in about.get("versions", {}).items()},
        artifacts=tuple(kept),
    )


def _trial_part(folder: RunDirectory, search: pathlib.Path, row: Mapping[str, Any]) -> Part:
    log = folder.tensorboard / search_folder.logs_name(search) / f"trial_{row['trial']}"
    epoch = int(row["epochs"] or 0)
    time_ms = _time_ms(search / f"trial_{row['trial']}" / "trial.json")
    last = {name: row.get(name) for name in ("score", "epochs", "seconds", *cost_limits.UNITS)}
    points = [Point(name, float(value), time_ms, epoch) for name, value in last.items() if value is not None]
    about = {name: row[name] for name in ("reason", "parent", "inherited", "fidelity") if row.get(name)}
    return Part(
        key=f"{search.name}/{row['trial']}",
        name=f"trial {row['trial']}",
        parent=search.name,
        status=_STATUS.get(row["status"], "RUNNING"),
        params={name: str(value) for name, value in row["hyperparameters"].items()},
        points=tuple(points),
        tags={name: str(value) for name, value in about.items()},
        log=log,
    )


def _final_part(folder: RunDirectory, search: pathlib.Path, reader: contents.Files) -> Part | None:
    """Reads the final training from the report; another one of the same search has other settings or another course."""
    checks = {
        "summary.json": _summary,
        "config.json": lambda settings: _flat(settings) and settings,
        "history.json": lambda reports: [one for one in reports if one["epoch"]],
    }
    found: dict[str, Any] = {name: reader.json(folder.report / name, check) for name, check in checks.items()}
    if lacking := [name for name, value in found.items() if not value]:
        reader.problems.append(f"The final model was left out: {folder.report} has no usable {' or '.join(lacking)}.")
        return None
    summary, config, history = found.values()
    training = hashlib.sha256(json.dumps([config, history], sort_keys=True).encode()).hexdigest()[:12]
    time_ms = _time_ms(folder.report / "history.json")
    points = []
    for report in history:
        for name, value in report.items():
            if name != "epoch" and value is not None:
                points.append(Point(metric_name(name), float(value), time_ms, int(report["epoch"])))
    epoch = int(summary["final_val"]["epoch"])
    for name, value in summary["metrics"].items():
        if value is not None:
            points.append(Point(metric_name(f"test/{name}"), float(value), time_ms, epoch))
    kept = (path for pattern in _REPORT_FILES for path in folder.report.glob(pattern))
    pushed = summary["pushed_model"]
    # The folder may have moved since; the model has its place in it.
    model = None if pushed is None else folder.serving_model / pathlib.Path(pushed).name
    return Part(
        key=f"{search.name}/final/{training}",
        name="final model",
        parent=search.name,
        status="FINISHED",
        params=_flat(config),
        points=tuple(points),
        tags={"blessed": str(summary["blessed"]), "reasons": "; ".join(summary["reasons"])},
        artifacts=tuple(sorted(kept)),
        model=model if model is not None and model.is_dir() else None,
    )


def _summary(value: Any) -> Mapping[str, Any]:
    contents.with_members("epoch")(value["final_val"])
    return contents.with_members("metrics", "pushed_model", "blessed", "reasons")(value)


def read_scalars(logdir: pathlib.Path) -> Iterator[Point]:
    """Reads the scalars of a log of TensorBoard's; an event that was cut off ends it.

    Args:
        logdir: of one trial.

    Yields:
        A point a scalar, in the order of writing.
    """
    for path in _events(logdir):
        for event in event_file_loader.EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(tensor_util.make_ndarray(value.tensor))
                    yield Point(metric_name(value.tag), number, int(event.wall_time * _MS), event.step)


def _events(logdir: pathlib.Path | None) -> list[pathlib.Path]:
    found = [] if logdir is None else logdir.glob("*tfevents*")
    return sorted(found, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)])  # 9 before 10


def metric_name(name: str) -> str:
    """Names a metric as a tracking server takes it; COCO's numbers without a split are those of val."""
    if name.partition("/")[0] in SUMMARY_KEYS:
        name = f"val/{name}"
    return _OUTSIDE_NAMES.sub("_", name)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Makes {"optimizer.learning_rate": "0.01"} of groups of settings; the range of a space is one value."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict) and not {"choices", "low"} & value.keys():
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return flat


def _time_ms(path: pathlib.Path) -> int:
    return int(path.stat().st_mtime * _MS) if path.exists() else 0
