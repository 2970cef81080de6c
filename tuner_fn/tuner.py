"""`tuner_fn(fn_args)`, the function that the TFX Tuner component calls."""

import hashlib
import json
import pathlib
from typing import Any

import keras_tuner
from tfx.components.tuner.component import TunerFnResult

from data import dataset_info, files, progress
from models.hyperparameters import ExperimentConfig
from tuner_fn import finalists, search_space
from tuner_fn.oracles import make_oracle, options_of
from tuner_fn.presets import BUDGETS, SearchConfig
from tuner_fn.trial_runner import OBJECTIVE, DetectionTuner

_NOT_IN_KEY = (*BUDGETS, "trial_timeout", "max_disk_gb", "repeats")
SEARCH_FILE = "search.json"


def search_key(info: dataset_info.DatasetInfo, custom_config: dict[str, Any]) -> str:
    """Names a search by everything its trials depend on: data, settings, search and code.

    The budget is not among them: with a larger one the search goes on.

    Args:
        info: of the ingested dataset.
        custom_config: "config", "search" and "source_hash".

    Returns:
        12 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(_parts(info, custom_config), sort_keys=True).encode()).hexdigest()[:12]


def _parts(info: dataset_info.DatasetInfo, custom_config: dict[str, Any]) -> dict[str, Any]:
    """Names what the trials of a search depend on."""
    search = {name: value for name, value in custom_config["search"].items() if name not in _NOT_IN_KEY}
    return {
        "dataset": [info.fingerprint, list(info.class_names)],
        "settings": custom_config["config"],
        "search": search,
        "code": custom_config["source_hash"],
    }


def _say_what_changed(folder: pathlib.Path, parts: dict[str, Any]) -> None:
    """Notes why a search starts anew beside an older one, and leaves what it depends on for the next."""
    path = folder / SEARCH_FILE
    if path.exists():
        return
    older = max(folder.parent.glob(f"*/{SEARCH_FILE}"), key=lambda one: one.stat().st_mtime, default=None)
    if older is not None:
        before = json.loads(older.read_text())
        changed = " and ".join(name for name, value in json.loads(json.dumps(parts)).items() if before[name] != value)
        text = f"A new search starts, because the {changed} changed; the one before stays in {older.parent}."
        progress.emit("note", text=text)
    files.write_json(path, parts)


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
    _say_what_changed(workdir / "search" / key, _parts(info, settings))
    repeated = finalists.epochs_needed(search.repeats, search.max_epochs)
    halving = {"min_epochs": search.min_epochs, "factor": search.factor}
    oracle = make_oracle(
        search.strategy,
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        hyperparameters=search_space.make_search_space(config, search.ranges),
        max_epochs=search.max_epochs,
        seed=search.seed,
        max_trials=search.max_trials,
        max_epochs_total=None if search.max_epochs_total is None else search.max_epochs_total - repeated,
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
        repeats=search.repeats,
        limits={"max_parameters": search.max_parameters, "max_multiply_adds": search.max_multiply_adds},
        fidelity=search.fidelity,
        max_disk_bytes=None if search.max_disk_gb is None else 1e9 * search.max_disk_gb,
        trial_timeout_s=None if search.trial_timeout is None else 60.0 * search.trial_timeout,
    )
    fit_kwargs = {
        "train_files": dataset_info.split_files(examples, "train"),
        "val_files": dataset_info.split_files(examples, "val"),
        "verbose": 0,
    }
    return TunerFnResult(tuner=tuner, fit_kwargs=fit_kwargs)
