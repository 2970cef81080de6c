"""`tuner_fn(fn_args)`, the function that the TFX Tuner component calls."""

import pathlib
import time
from collections.abc import Sequence
from typing import Any

from tfx.components.tuner.component import TunerFnResult

import data
from data import dataset_info, progress, tiles
from data.run_directory import RunDirectory
from models.hyperparameters import ExperimentConfig
from tuner_fn import allotment, devices, portfolio, search_folder, search_space, trial_runner
from tuner_fn.oracles import make_oracle, options_of
from tuner_fn.search_options import SearchConfig
from tuner_fn.supervisor import TrainingProcess
from tuner_fn.trial_runner import DetectionTuner, make_objective

PRIOR_WEIGHT = 10.0  # Hvarfner et al. 2022 (arXiv:2204.11051), section 5, take the same


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """Builds the tuner and the arguments of its search.

    Args:
        fn_args: TFX's FnArgs; `custom_config` holds "config" (`ExperimentConfig.to_dict`), "search"
            (`SearchConfig.to_dict`), "workdir" and "source_hash".

    Returns:
        The tuner, whose state lies in `<workdir>/search/<key>` and outlives the component, and what `search` is given.
    """
    settings = fn_args.custom_config
    config = ExperimentConfig.from_dict(settings["config"])
    search = SearchConfig.from_dict(settings["search"])
    examples = dataset_info.examples_dir(fn_args.train_files)
    info = dataset_info.read(examples)
    parts = search_folder.search_parts(info, settings)
    paths = RunDirectory(pathlib.Path(settings["workdir"]))
    folder = paths.search(search_folder.search_key(parts))
    logdir = search_folder.prepare(folder, paths.tensorboard, parts)
    options = {
        "min_epochs": search.min_epochs,
        "factor": search.factor,
        "prior_weight": PRIOR_WEIGHT,
        "first": portfolio.candidates(config, search.ranges),
    }
    oracle = make_oracle(
        search.strategy,
        objective=make_objective(search.objective),
        hyperparameters=search_space.make_search_space(config, search.ranges),
        max_epochs=search.max_epochs,
        seed=search.seed,
        prune_after=search.prune_after,
        max_trials=search.max_trials,
        max_epochs_total=None if search.max_epochs_total is None else search.max_epochs_total - search.repeated_epochs,
        **{name: value for name, value in options.items() if name in options_of(search.strategy)},
    )
    tuner = DetectionTuner(
        oracle,
        config,
        ranges=search.ranges,
        class_names=info.class_names,
        directory=folder,
        logdir=logdir,
        max_minutes=search.max_minutes,
        max_trainings=search.max_trainings,
        reserved_s=allotment.AFTER_S,
        test_share=_test_share(info, config),
        before_s=time.monotonic() - data.STARTED_S,
        repeats=search.repeats,
        min_confidence=search.min_confidence,
        further_seeds=search.further_seeds,
        inherit=search.inherit,
        limits=search.limits,
        formats=tuple(search.formats),
        second_objective=search.second_objective,
        fidelity=search.fidelity,
        early_stopping=search.early_stopping,
        processes=_make_processes(folder, search),
        max_disk_bytes=None if search.max_disk_gb is None else 1e9 * search.max_disk_gb,
        trial_timeout_s=None if search.trial_timeout is None else 60.0 * search.trial_timeout,
    )
    fit_kwargs = {
        "train_files": dataset_info.split_files(examples, "train"),
        "val_files": dataset_info.split_files(examples, "val"),
        "verbose": 0,
    }
    return TunerFnResult(tuner=tuner, fit_kwargs=fit_kwargs)


def _test_share(info: dataset_info.DatasetInfo, config: ExperimentConfig) -> float:
    """Counts the test images for each image of the val split, which ingestion has cut into tiles."""
    count = info.num_examples.get("test", 0) * tiles.parse_grid(config.input.tile).count
    return count / max(info.num_examples["val"], 1)


def _make_processes(folder: pathlib.Path, search: SearchConfig) -> Sequence[TrainingProcess]:
    """Makes what trains: processes of this machine, or of the nodes of a Ray cluster."""
    if search.ray is None:
        devices.check(search.parallel_trials)
        return trial_runner.make_processes(folder, search.parallel_trials or devices.default_count())
    from tuner_fn import ray_cluster, ray_connection  # Ray is an extra

    wanted = (search.parallel_trials, search.trial_cpus, search.trial_gpus)
    count, each = ray_connection.join(search.ray, *wanted)
    ray_connection.check_nodes(folder)
    processes = ray_cluster.make_processes(folder, count, each)
    progress.emit("note", text=ray_cluster.describe(processes))
    return processes
