"""The TFX graph: which component takes what from which."""

import os
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.pusher.component import Pusher
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.base.base_node import BaseNode
from tfx.proto import pusher_pb2, trainer_pb2, tuner_pb2

from data import examples as tf_examples
from data import files
from data.sources import Source, canonical
from models.export import versions
from pipeline.components import evaluator
from pipeline.components.example_gen import DetectionExampleGen
from pipeline.components.exporter import Exporter
from pipeline.components.serving_check import ServingCheck
from pipeline.components.tuner import Tuner
from pipeline.configs import RunConfig
from pipeline.source_hash import source_hash, trials_hash
from tuner_fn import strategies

_FEATURE_TYPES = {"bytes_list": schema_pb2.BYTES, "int64_list": schema_pb2.INT, "float_list": schema_pb2.FLOAT}
_WEIGHTS = ("model.weights", "model.backbone_weights")
_LIBRARIES = ("tensorflow", "keras", "keras-tuner", "tfx", "numpy")


def make_components(
    run: RunConfig, source: Source, baseline_resolver: Any = evaluator.make_baseline_resolver
) -> list[BaseNode]:
    """Wires the components of a run.

    Components with code of ours carry a hash of the code they depend on, so that TFX's cache is dropped where an edit
    or a setting matters and nowhere else.

    Args:
        run: settings.
        source: the opened dataset.
        baseline_resolver: makes the node that finds the model to compare with, given the Trainer's model.

    Returns:
        The nodes in topological order.
    """
    examples = _make_example_gen(run, source)
    statistics, schema, validator = make_data_checks(examples.outputs["examples"])
    tuner = Tuner(
        tuner_fn="tuner_fn.tuner.tuner_fn",
        tune_args=_tune_args(run.search.parallel_trials),
        custom_config=_tuner_settings(run),
        **_data(examples),
    )
    trainer = Trainer(
        run_fn="pipeline.components.trainer.run_fn",
        hyperparameters=tuner.outputs["best_hyperparameters"],
        schema=schema.outputs["schema"],
        custom_config=_trainer_settings(run),
        **_data(examples),
    )
    resolver = baseline_resolver(trainer.outputs["model"])
    judge = evaluator.make_evaluator(
        examples.outputs["examples"],
        trainer.outputs["model"],
        resolver.outputs["model"],
        min_map=run.min_map,
        objective=run.search.objective,
        max_p_worse=run.max_p_worse,
        source_hash=source_hash("pipeline.components.coco_metric"),
    )
    export = Exporter(
        model=trainer.outputs["model"],
        model_blessing=judge.outputs["blessing"],
        evaluation=judge.outputs["evaluation"],
        examples=examples.outputs["examples"],
        export_formats=",".join(run.export),
        max_drop=run.max_drop,
        source_hash=source_hash("pipeline.components.exporter"),
    )
    check = ServingCheck(
        model=export.outputs["exported_model"],
        model_blessing=judge.outputs["blessing"],
        examples=examples.outputs["examples"],
        source_hash=source_hash("pipeline.components.serving_check"),
    )
    pusher = Pusher(
        model=export.outputs["exported_model"],
        model_blessing=judge.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(run.paths.serving_model))
        ),
    )
    return [examples, statistics, schema, validator, tuner, trainer, resolver, judge, export, check, pusher]


def make_data_checks(examples: types.BaseChannel) -> tuple[StatisticsGen, SchemaGen, ExampleValidator]:
    """Makes the components that describe and check the splits train and val; the Evaluator's split is not read.

    Args:
        examples: Examples with any splits.
    """
    hidden = [evaluator.SPLIT]
    statistics = StatisticsGen(examples=examples, stats_options=_statistics_options(), exclude_splits=hidden)
    found = statistics.outputs["statistics"]
    schema = SchemaGen(statistics=found, infer_feature_shape=False, exclude_splits=hidden)
    return statistics, schema, ExampleValidator(found, schema.outputs["schema"], exclude_splits=hidden)


def _statistics_options() -> Any:
    """Makes TFDV's `StatsOptions`: the images' bytes are not read, and values are counted in sketches.

    The statistics would otherwise hold every image and every name in memory: 0.97 MB for an image of 165 kB.
    """
    from tensorflow_data_validation.statistics import stats_options  # after TFX, which fills in a module that it lacks

    schema = schema_pb2.Schema()
    for key, kind in tf_examples.stored_features().items():
        if key != "image/encoded":
            schema.feature.add(name=key, type=_FEATURE_TYPES[kind])
    return stats_options.StatsOptions(
        schema=schema, experimental_filter_read_paths=True, use_sketch_based_topk_uniques=True
    )


def _make_example_gen(run: RunConfig, source: Source) -> DetectionExampleGen:
    examples = DetectionExampleGen(
        dataset=run.dataset,
        options=run.data,
        fingerprint=source.fingerprint(),
        source_hash=source_hash("pipeline.components.example_gen"),
        report_dir=str(run.paths.report),
    )
    if run.direct_num_workers > 1:  # elsewhere in the pipeline starting a process costs more than its share of the work
        workers = f"--direct_num_workers={run.direct_num_workers}"
        examples.with_beam_pipeline_args(["--direct_running_mode=multi_processing", workers])
    return examples


def _data(examples: DetectionExampleGen) -> dict[str, types.BaseChannel | Any]:
    """Hands over train and val; test is the Evaluator's alone."""
    return {
        "examples": examples.outputs["examples"],
        "train_args": trainer_pb2.TrainArgs(splits=["train"]),
        "eval_args": trainer_pb2.EvalArgs(splits=["val"]),
    }


def _tune_args(parallel_trials: int | None) -> tuner_pb2.TuneArgs | None:
    return None if parallel_trials is None else tuner_pb2.TuneArgs(num_parallel_trials=parallel_trials)


def _tuner_settings(run: RunConfig) -> dict[str, Any]:
    return {
        "config": run.experiment.to_dict(),
        "search": run.search.to_dict(),
        "workdir": str(run.workdir),
        "source_hash": source_hash("tuner_fn.tuner"),
        "trials": _trials_depend_on(run),
    }


def _trainer_settings(run: RunConfig) -> dict[str, Any]:
    wishes = {"profile": True} if run.profile else {}  # without one nothing is added, and the cache holds
    return wishes | {
        "config": run.experiment.to_dict(),
        "objective": run.search.objective,
        "workdir": str(run.workdir),
        "origin": {
            "dataset_path": canonical(run.dataset),
            "options": run.data.to_dict(),
            "search_seed": run.search.seed,
        },
        "source_hash": source_hash("pipeline.components.trainer"),
        "trials": _trials_depend_on(run),
    }


def _trials_depend_on(run: RunConfig) -> dict[str, Any]:
    """Names what a training's result depends on besides data and settings: code, libraries, weights to start with."""
    strategy, *_ = strategies.STRATEGIES[run.search.strategy].oracle.rpartition(".")
    return {
        "code": trials_hash(strategy),
        "versions": {name: versions.installed()[name] for name in _LIBRARIES},
        "weights": run.experiment.model.weights_digests() | _searched_digests(run),
    }


def _searched_digests(run: RunConfig) -> dict[str, str]:
    """Returns {setting=file: digest} of the weights that the search chooses from."""
    choices = {path: run.search.ranges.get(path, {}).get("choices", ()) for path in _WEIGHTS}
    files_of = [(path, file) for path, values in choices.items() for file in values if os.path.isfile(file)]
    return {f"{path}={file}": files.digest(file) for path, file in files_of}
