"""What the commands that study settings share: the flags of `run` that decide what it begins with, and the data."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from data import dataset_info, files, sources
from data.run_directory import RunDirectory
from models.export import versions
from models.hyperparameters import ExperimentConfig
from pipeline import configs
from pipeline.cli import data_flags, run
from pipeline.source_hash import source_hash

_SHARED = ("preset", "config", "plan", "set", "epochs", "seed", "objective")
_SPLITS = ("train", "val")  # test is the Evaluator's alone
_LIBRARIES = ("tensorflow", "keras", "numpy")


def define_flags(flag_values: flags.FlagValues, others: Sequence[str] = ()) -> None:
    """Adds `--workdir` and the flags of `run` that decide which settings it begins with.

    Args:
        flag_values: gets them.
        others: more flags of `run`.
    """
    data_flags.define_flags(flag_values)
    data_flags.define_training_flags(flag_values)
    every = _flags_of_run()
    for name in (*_SHARED, *others):
        flag_values[name] = every[name]
    flags.DEFINE_string(
        "workdir",
        None,
        "Run directory, new or of an earlier run or study; the same command continues where it was interrupted.",
        required=True,
        flag_values=flag_values,
    )


def values(flag_values: flags.FlagValues) -> dict[str, Any]:
    """Collects what `planning.plan_run` takes; `run`'s flags that a study does not have are at their defaults."""
    every = _flags_of_run()
    for name in every:
        if name in flag_values and flag_values[name].help == every[name].help:  # `repeats` means something else here
            every[name].value, every[name].present = flag_values[name].value, flag_values[name].present
    return run.experiment_values(every) | {"workdir": flag_values["workdir"].value}


def prepare(config: configs.RunConfig, folder: RunDirectory) -> tuple[dataset_info.DatasetInfo, dict[str, Any]]:
    """Writes the examples of train and val, unless they are there.

    Args:
        config: of the run that is studied.
        folder: run directory.

    Returns:
        What was written, and the arguments `class_names`, `train_files` and `val_files` of a training.

    Raises:
        UserError: as `ingestion.examples`.
    """
    from pipeline import ingestion  # Beam is not needed for help and mistakes

    source = sources.open_source(config.dataset, config.data)
    examples = folder.study_examples(source.fingerprint())
    info = ingestion.examples(source, examples, _SPLITS)
    tfrecords = {f"{split}_files": tuple(dataset_info.split_files(examples, split)) for split in _SPLITS}
    return info, {"class_names": tuple(info.class_names), **tfrecords}


def depends_on(info: dataset_info.DatasetInfo, config: ExperimentConfig, module: str) -> Mapping[str, Any]:
    """Names what a training's result depends on beside settings: data, code, libraries, weights to start with.

    Args:
        info: of the examples.
        config: all settings.
        module: that trains, as "models.training.train".
    """
    weights = {name: getattr(config.model, name) for name in ("weights", "backbone_weights")}
    return {
        "data": info.fingerprint,
        "code": source_hash(module, ignore=("data.progress", "models.foreign_names")),
        "versions": {name: versions.installed()[name] for name in _LIBRARIES},
        "weights": {name: files.digest(path) for name, path in weights.items() if pathlib.Path(path).is_file()},
    }


def _flags_of_run() -> flags.FlagValues:
    every = flags.FlagValues()
    run.define_experiment_flags(every)
    return every
