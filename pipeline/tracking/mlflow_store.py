"""Puts a run directory into MLflow, as often as wanted: what is there already is left alone."""

import contextlib
import dataclasses
import fcntl
import logging
import os
import pathlib
import uuid
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from data import files
from data.run_directory import RunDirectory
from pipeline.tracking import tracked_parts

LOCAL = "local"  # stands for a SQLite file in the run directory
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is away, or hangs, costs seconds: MLflow's own patience is seven times two minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
_OF, _KEY, _DIGEST = "ssd_tuner.run_directory", "ssd_tuner.key", "ssd_tuner.digest"  # tags
_BATCH = 500  # points a request; MLflow takes at most 1,000
_MOST_PARAMS = 100  # a request
_MODEL, _MIN_SCORE = "model", 0.3
_SERVED = pathlib.Path(__file__).with_name("served_model.py")


class UnreachableError(Exception):
    """The tracking server cannot be used; says which and why."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export did.

    Attributes:
        uri: of the tracking server.
        experiment: its name.
        runs: how many there are of this run directory.
        written: how many of them were made or renewed.
        model: URI of the newest pushed model, for `mlflow.pyfunc.load_model`; None where there is none.
    """

    uri: str
    experiment: str
    runs: int
    written: int
    model: str | None


def tracking_uri(folder: RunDirectory, uri: str = LOCAL) -> str:
    """Returns what MLflow calls the tracking URI; for `LOCAL`, that of a SQLite file in the run directory."""
    return f"sqlite:///{(folder.mlflow / 'mlflow.db').resolve()}" if uri == LOCAL else uri


def export(folder: RunDirectory, uri: str = LOCAL) -> Exported:
    """Brings a tracking server up to date with a run directory.

    A search becomes a run, and its trials and final models become runs nested in it. A search that has continued since
    is the same run. Nothing is deleted there.

    Args:
        folder: of a run, which may be continuing.
        uri: of the tracking server; `LOCAL` for a SQLite file in the run directory.

    Returns:
        What was written.

    Raises:
        UnreachableError: the server does not answer, or refuses.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # after the environment, which it reads
    import sqlalchemy

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"mlflow\.")
    found = tracking_uri(folder, uri)
    folder.mlflow.mkdir(exist_ok=True)
    try:
        with _locked(folder):
            mlflow.set_tracking_uri(found)
            store = _Store(folder, mlflow.MlflowClient(tracking_uri=found), is_local=uri == LOCAL)
            written = [store.put(part) for part in tracked_parts.read(folder)]
            return Exported(found, store.experiment, len(written), sum(written), store.model)
    except (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        raise UnreachableError(f"MLflow at {found} cannot be used: {_first_line(error)}") from error


@contextlib.contextmanager
def _locked(folder: RunDirectory) -> Iterator[None]:
    """Keeps two exports of a run directory from making the same run twice."""
    with open(folder.mlflow / ".lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Store:
    """The runs of one run directory in a tracking server."""

    def __init__(self, folder: RunDirectory, client: Any, *, is_local: bool) -> None:
        self._folder, self._client = folder, client
        self.experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or f"ssd-tuner {tracked_parts.dataset(folder)}"
        found = client.get_experiment_by_name(self.experiment)
        where = (folder.mlflow / "artifacts").resolve().as_uri() if is_local else None
        self._experiment_id = found.experiment_id if found else client.create_experiment(self.experiment, where)
        self._of = self._identity()
        self._known = {run.data.tags[_KEY]: run for run in self._runs()}
        self.model: str | None = None

    def _identity(self) -> str:
        """Returns a name of the run directory that stays when it is moved."""
        path = self._folder.mlflow / "id.txt"
        if not path.exists():
            files.write_text(path, uuid.uuid4().hex)
        return path.read_text(encoding="utf-8")

    def _runs(self) -> Iterator[Any]:
        token = None
        while token != "":
            page = self._client.search_runs(
                [self._experiment_id], f"tags.`{_OF}` = '{self._of}'", max_results=1000, page_token=token
            )
            yield from page
            token = page.token or ""

    def put(self, part: tracked_parts.Part) -> bool:
        """Writes a part; tells whether there was anything to write."""
        run, digest = self._known.get(part.key), part.digest()
        models = [] if run is None else run.outputs.model_outputs
        if models:
            self.model = f"models:/{models[-1].model_id}"
        if run is not None and run.data.tags.get(_DIGEST) == digest:
            return False
        points = part.all_points()
        if run is None:
            run, new = self._create(part), points
        else:
            new = self._new(run.info.run_id, part, points)
        self._log(run.info.run_id, part, new)
        if part.model is not None and not models:
            self.model = _log_model(run.info.run_id, part.model)
        end_ms = max((point.time_ms for point in points), default=None)
        self._client.set_terminated(run.info.run_id, part.status, end_ms)
        self._client.set_tag(run.info.run_id, _DIGEST, digest)  # the last: an export that was cut off is done again
        return True

    def _create(self, part: tracked_parts.Part) -> Any:
        tags = {_OF: self._of, _KEY: part.key, "mlflow.source.name": "ssd-tuner"}
        if part.parent is not None:
            tags["mlflow.parentRunId"] = self._known[part.parent].info.run_id
        start_ms = min((point.time_ms for point in part.all_points()), default=None)
        run = self._known[part.key] = self._client.create_run(self._experiment_id, start_ms, tags, part.name)
        return run

    def _new(
        self, run_id: str, part: tracked_parts.Part, points: Sequence[tracked_parts.Point]
    ) -> list[tracked_parts.Point]:
        """Leaves out the values that a run has: a file that was written again gives them another time.

        A name costs a request. The log is not asked for: its values keep their time, and MLflow takes such once.
        """
        names = {point.name for point in part.points}
        found = [one for name in names for one in self._client.get_metric_history(run_id, name)]
        known = {(one.key, one.step): one.value for one in sorted(found, key=lambda one: one.timestamp)}
        return [point for point in points if known.get((point.name, point.step)) != point.value]

    def _log(self, run_id: str, part: tracked_parts.Part, points: Sequence[tracked_parts.Point]) -> None:
        from mlflow import entities

        params = [entities.Param(name, value) for name, value in part.params.items()]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(run_id, params=params[start : start + _MOST_PARAMS])
        metrics = [entities.Metric(one.name, one.value, one.time_ms, one.step) for one in points]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        self._client.log_batch(run_id, tags=[entities.RunTag(name, value) for name, value in part.tags.items()])
        for path in part.artifacts:
            self._client.log_artifact(run_id, str(path))


def _log_model(run_id: str, model: pathlib.Path) -> str:
    """Keeps a SavedModel with a run, with its signature and the code that serves it; returns its URI."""
    import mlflow
    import numpy
    import pandas
    import tensorflow
    from mlflow import models, types
    from mlflow.types import schema

    boxes = schema.Array(schema.Array(types.DataType.double))
    outputs = [
        types.ColSpec(boxes, "boxes"),
        types.ColSpec(schema.Array(types.DataType.double), "scores"),
        types.ColSpec(schema.Array(types.DataType.string), "classes"),
    ]
    signature = models.ModelSignature(
        inputs=types.Schema([types.ColSpec(types.DataType.binary, "image")]),
        outputs=types.Schema(outputs),
        params=types.ParamSchema([types.ParamSpec("min_score", types.DataType.double, _MIN_SCORE)]),
    )
    libraries = (tensorflow, numpy, pandas)
    with mlflow.start_run(run_id=run_id):
        return mlflow.pyfunc.log_model(
            name=_MODEL,
            python_model=str(_SERVED),
            artifacts={"detector": str(model)},
            signature=signature,
            pip_requirements=[f"{one.__name__}=={one.__version__}" for one in libraries],
        ).model_uri


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
