"""`tuner_fn(fn_args)`, the function that the TFX Tuner component calls."""

import hashlib
import json
import pathlib
from typing import Any

import keras_tuner
from tfx.components.tuner.component import TunerFnResult

from data import dataset_info
from models.hyperparameters import ExperimentConfig
from tuner_fn import search_space
from tuner_fn.oracles import make_oracle, options_of
from tuner_fn.presets import SearchConfig
from tuner_fn.trial_runner import OBJECTIVE, DetectionTuner

BUDGET = ("max_trials", "max_epochs_total", "max_minutes", "trial_timeout")


def search_key(info: dataset_info.DatasetInfo, custom_config: dict[str, Any]) -> str:
    """Names a search by everything its trials depend on: data, settings, search and code.

    The budget is not among them: with a larger one the search goes on.

    Args:
        info: of the ingested dataset.
        custom_config: "config", "search" and "source_hash".

    Returns:
        12 hexadecimal digits.
    """
    search = {name: value for name, value in custom_config["search"].items() if name not in BUDGET}
    parts = [info.fingerprint, info.class_names, custom_config["config"], search, custom_config["source_hash"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


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
    workdir, key = pathlib.Path(settings["workdir"]), search_key(info, settings)
    halving = {"min_epochs": search.min_epochs, "factor": search.factor}
    oracle = make_oracle(
        search.strategy,
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        hyperparameters=search_space.make_search_space(config, search.ranges),
        max_epochs=search.max_epochs,
        seed=search.seed,
        max_trials=search.max_trials,
        max_epochs_total=search.max_epochs_total,
        **{name: value for name, value in halving.items() if name in options_of(search.strategy)},
    )
    tuner = DetectionTuner(
        oracle,
        config,
        ranges=search.ranges,
        class_names=info.class_names,
        directory=workdir / "search" / key,
        logdir=workdir / "tensorboard" / "search" / key,
        max_minutes=search.max_minutes,
        trial_timeout_s=None if search.trial_timeout is None else 60.0 * search.trial_timeout,
    )
    fit_kwargs = {
        "train_files": dataset_info.split_files(examples, "train"),
        "val_files": dataset_info.split_files(examples, "val"),
        "verbose": 0,
    }
    return TunerFnResult(tuner=tuner, fit_kwargs=fit_kwargs)
