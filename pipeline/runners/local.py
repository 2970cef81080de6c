"""Runs the pipeline on this machine: TFX's local orchestration with progress, and a summary at the end."""

import dataclasses
import datetime
import json
import math
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import path_utils

from data import dataset_info, files, progress
from data.errors import UserError
from data.run_directory import RunDirectory
from data.sources import open_source
from models.evaluation import coco
from models.evaluation.detections import EXTRAS, read_extra
from models.export import model_card
from pipeline import beam_options, failures, recall_maps
from pipeline.components import evaluator, exporter, serving_check, trainer
from pipeline.components.trainer import HISTORY_FILE
from pipeline.configs import NAME, RunConfig
from pipeline.pipeline import make_components
from tuner_fn import cost_limits, pareto, pareto_report, search_folder, search_results

Outputs = dict[str, dict[str, list[types.Artifact]]]  # by component and output


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a finished run has to say; `report/summary.json` holds the same.

    Attributes:
        blessed: whether the Evaluator accepted the model.
        reasons: why or why not, in sentences.
        pushed_model: folder of the pushed model, None where it was not pushed.
        objective: of `objectives.every`, what search and Evaluator went by.
        metrics: `detection_metrics.coco_metrics` on the test split.
        comparison: `paired_bootstrap.Comparison` with the last blessed model; None where there was none.
        num_test_images: images of the test split.
        search: name of the search's folder.
        leaderboard: rows of `tuner_fn.reporting.leaderboard`, the winner first.
        decision: `tuner_fn.finalists.Decision` between what the search began with and its best, None where nothing was
            compared.
        pareto: {cost: the leaderboard's rows on the front of score and cost}, for the costs asked for.
        final_val: the metrics on the val split of the epoch whose weights are exported.
        seconds: by component.
        cached: names of the components that were taken from the cache.
        export: as `exporter.read_report`.
    """

    blessed: bool
    reasons: list[str]
    pushed_model: str | None
    objective: str
    metrics: dict[str, float]
    comparison: dict[str, float] | None
    num_test_images: int
    search: str
    leaderboard: list[dict[str, Any]]
    decision: dict[str, Any] | None
    pareto: dict[str, list[Mapping[str, Any]]]
    final_val: dict[str, float]
    seconds: dict[str, float]
    cached: list[str]
    export: dict[str, Any]


def run(config: RunConfig) -> RunResult:
    """Runs the whole pipeline, taking from the cache what did not change.

    Args:
        config: settings; the run directory exists and is locked by the caller.

    Returns:
        The outcome.

    Raises:
        UserError: the dataset cannot be used.
    """
    source = open_source(config.dataset, config.data)
    components = make_components(config, source)
    if not config.paths.summary.exists():  # else the report is about an earlier run
        files.write_json(config.paths.report / "config.json", config.experiment.to_dict())
        _copy_to_report(config.paths, _begun_with(config.paths))
    pipeline = tfx_pipeline.Pipeline(
        pipeline_name=NAME,
        pipeline_root=str(config.paths.pipeline),
        components=components,
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(config.paths.metadata)),
        beam_pipeline_args=beam_options.arguments(config.beam_args),
    )
    outputs, seconds, cached = _run_nodes(compiler.Compiler().compile(pipeline))
    trainer.forget_ended(config.paths)
    (tuner,) = (component for component in components if component.id == "Tuner")
    parts = search_folder.search_parts(
        dataset_info.read(outputs["DetectionExampleGen"]["examples"][0].uri),
        json.loads(tuner.exec_properties["custom_config"]),
    )
    search = find_search(config.paths, search_folder.search_key(parts))
    return _summarise(config, search, outputs, seconds, cached)


def find_search(paths: RunDirectory, key: str) -> pathlib.Path:
    """Returns the folder of the search that a run did or took from the cache.

    Raises:
        UserError: the folder was deleted; the search's results are nowhere else.
    """
    search = paths.search(key)
    if not search.exists():
        raise UserError(
            f"The run took its search from the cache, but {search}, which holds it, was deleted. Restore the folder, or"
            " begin anew in another --workdir."
        )
    return search


def _run_nodes(pipeline: pipeline_pb2.Pipeline) -> tuple[Outputs, dict[str, float], list[str]]:
    """Launches the nodes in order, as TFX's LocalDagRunner does, and reports each."""
    now = datetime.datetime.now().isoformat()
    runtime_parameter_utils.substitute_runtime_parameter(pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: now})
    deployment = runner_utils.extract_local_deployment_config(pipeline)
    connection = deployment.metadata_connection_config
    connection = getattr(connection, connection.WhichOneof("connection_config"))
    nodes = [node.pipeline_node for node in pipeline.nodes]
    outputs: Outputs = {}
    seconds, cached = {}, []
    for index, node in enumerate(nodes, start=1):
        name = node.node_info.id
        about = {"name": name, "index": index, "total": len(nodes)}
        progress.emit("component", state="started", seconds=None, **about)
        started = time.perf_counter()
        try:
            info = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=metadata.Metadata(connection),
                pipeline_info=pipeline.pipeline_info,
                pipeline_runtime_spec=pipeline.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, name),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
            ).launch()
        except BaseException as error:
            state = "interrupted" if failures.is_interruption(error) else "failed"
            progress.emit("component", state=state, seconds=time.perf_counter() - started, **about)
            raise
        seconds[name] = time.perf_counter() - started
        from_cache = False
        if info is not None:
            with metadata.Metadata(connection) as handle:
                outputs[name] = execution_lib.get_output_artifacts(handle, info.execution_id)
                (execution,) = handle.store.get_executions_by_id([info.execution_id])
                from_cache = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        if from_cache:
            cached.append(name)
        progress.emit("component", state="cached" if from_cache else "done", seconds=seconds[name], **about)
    return outputs, seconds, cached


def _begun_with(paths: RunDirectory) -> list[pathlib.Path]:
    return [*paths.newest.glob("[!.]*")]  # a file that is being written has a dot


def _copy_to_report(paths: RunDirectory, sources: Iterable[pathlib.Path]) -> None:
    for path in sources:
        files.write_bytes(paths.report / path.name, path.read_bytes())


def _reported_files(examples: pathlib.Path, found: pathlib.Path, model: str, exported: str) -> list[pathlib.Path]:
    """Lists the files of the components that `report/` has copies of."""
    return [
        *(found / name for name in search_results.RESULTS if name != search_results.DECISION_FILE),
        examples / "quarantine.csv",
        pathlib.Path(model) / HISTORY_FILE,
        pathlib.Path(path_utils.serving_model_path(exported)) / EXTRAS / model_card.FILE_NAME,
        pathlib.Path(model) / EXTRAS / "config.json",  # in the place of the settings that the run began with
    ]


def _summarise(
    config: RunConfig, search: pathlib.Path, outputs: Outputs, seconds: dict[str, float], cached: list[str]
) -> RunResult:
    """Collects what the components left, and writes `report/`."""
    (evaluation,), (blessing,) = outputs["Evaluator"]["evaluation"], outputs["Evaluator"]["blessing"]
    blessed, reasons, metrics = evaluator.read_blessing(evaluation.uri, blessing.uri)
    servable, problem = serving_check.read_serving_check(outputs["ServingCheck"]["blessing"][0].uri)
    if blessed and not servable:
        reasons = [*reasons, f"but the serving check failed: {problem}"]
    pushed = outputs["Pusher"]["pushed_model"][0].get_string_custom_property("pushed_destination")
    model = path_utils.serving_model_path(outputs["Trainer"]["model"][0].uri)
    found = pathlib.Path(outputs["Tuner"]["tuner_results"][0].uri)
    exported = outputs["Exporter"]["exported_model"][0].uri
    examples = pathlib.Path(outputs["DetectionExampleGen"]["examples"][0].uri)
    report = config.paths.report
    _copy_to_report(config.paths, [*_begun_with(config.paths), *_reported_files(examples, found, model, exported)])
    config.paths.mark_ended(search)
    images = evaluator.read_image_results(evaluation.uri)
    epoch = json.loads(read_extra(model, model_card.TRAINING_FILE))["epoch"]
    if images is not None:
        files.write_bytes(config.paths.test_results, images)
        recall_maps.write(config.paths, images, epoch)
    final = json.loads((report / "history.json").read_text())[epoch - 1]
    rows = json.loads((report / search_results.LEADERBOARD_FILE).read_text())
    names = cost_limits.asked_for(config.search.limits, config.search.second_objective)
    pareto_report.write(report, rows, names, config.search.objective)
    evaluated = evaluator.read_evaluation(evaluation.uri)
    result = RunResult(
        blessed=blessed and servable,
        reasons=reasons,
        pushed_model=pushed or None,
        objective=evaluated.objective,
        metrics=metrics,
        comparison=None if evaluated.comparison is None else dataclasses.asdict(evaluated.comparison),
        num_test_images=evaluated.num_images,
        search=search.name,
        leaderboard=rows,
        decision=json.loads((found / search_results.DECISION_FILE).read_text(encoding="utf-8")),
        pareto={name: pareto.front_rows(rows, name) for name in names},
        final_val={name: math.nan if value is None else value for name, value in final.items()},
        seconds=seconds,
        cached=cached,
        export=exporter.read_report(exported),
    )
    values = dataclasses.asdict(result)
    for name in ("metrics", "final_val", "comparison"):
        if values[name] is not None:
            values[name] = coco.to_json_numbers(values[name])
    files.write_json(config.paths.summary, values)
    return result
