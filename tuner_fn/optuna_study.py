"""A search's trials as a study of Optuna, which its dashboard shows, whatever their strategy."""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras_tuner
import optuna
from keras_tuner.engine.trial import Trial

from tuner_fn.early_stopping import STOPPED
from tuner_fn.oracles.configuration import INHERITED

STUDY_FILE = "study.journal"
_MOST_REASON = 2000  # characters


def read_search(folder: pathlib.Path) -> tuple[list[Trial], keras_tuner.HyperParameters]:
    """Reads the trials of a search, which may be running, in the order of their numbers, and its space.

    What is damaged is left out; nothing is changed.

    Args:
        folder: of the search.
    """
    trials = []
    for path in sorted(folder.glob("trial_*/trial.json")):
        state = _json(path)
        if state is not None:
            trials.append(Trial.from_state(state))
    state = _json(folder / "oracle.json") or {}
    space = keras_tuner.HyperParameters.from_config(state["hyperparameters"]) if "hyperparameters" in state else None
    return trials, space or next((trial.hyperparameters for trial in trials), keras_tuner.HyperParameters())


def add(
    storage: optuna.storages.BaseStorage,
    name: str,
    trials: Iterable[Trial],
    space: keras_tuner.HyperParameters,
    direction: str = "max",
) -> None:
    """Adds the trials of a search to a storage as a new study.

    Args:
        storage: of Optuna.
        name: of the study.
        trials: in the order in which they were started.
        space: of the search.
        direction: "max" or "min".
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=storage, study_name=name, direction=f"{direction}imize")
    distributions = {parameter.name: _distribution(parameter) for parameter in space.space}
    study.add_trials([_optuna_trial(trial, distributions) for trial in trials])


def write(
    path: str | os.PathLike[str], trials: Iterable[Trial], space: keras_tuner.HyperParameters, direction: str
) -> None:
    """Writes the trials as a study of Optuna, a journal file that `optuna-dashboard` opens.

    Args:
        path: of the file, which is replaced whole.
        trials: in the order in which they were started.
        space: of the search.
        direction: "max" or "min".
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    for leftover in path.parent.glob(f"{temporary.name}*"):  # of a kill: Optuna would wait for its lock file
        leftover.unlink()
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(temporary)))
    add(storage, "search", trials, space, direction)
    os.replace(temporary, path)


def _distribution(parameter: Any) -> optuna.distributions.BaseDistribution:
    if hasattr(parameter, "min_value"):
        is_int = isinstance(parameter.min_value, int)
        kind = optuna.distributions.IntDistribution if is_int else optuna.distributions.FloatDistribution
        return kind(parameter.min_value, parameter.max_value, log=parameter.sampling == "log")
    return optuna.distributions.CategoricalDistribution(parameter.values)


def _within(value: Any, distribution: Any) -> Any:
    """Moves a value that its computation has put above a range's end by a last digit, which Optuna refuses, into it."""
    is_range = hasattr(distribution, "high")
    return min(max(value, distribution.low), distribution.high) if is_range else value


def _optuna_trial(trial: Trial, distributions: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
    values = trial.hyperparameters.values
    params = {name: _within(value, distributions[name]) for name, value in values.items() if name in distributions}
    states = {"COMPLETED": optuna.trial.TrialState.COMPLETE, "FAILED": optuna.trial.TrialState.FAIL}
    state = states.get(trial.status, optuna.trial.TrialState.WAITING)
    if STOPPED in values:
        state = optuna.trial.TrialState.PRUNED
    epochs = values.get(STOPPED, values.get("tuner/epochs"))
    about = {"trial": trial.trial_id, "rung": epochs, "parent": values.get("tuner/trial_id")}
    about["inherited"] = values.get(INHERITED)
    about["reason"] = None if trial.message is None else trial.message[:_MOST_REASON]
    return optuna.trial.create_trial(
        state=state,
        value=trial.score if trial.status == "COMPLETED" else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs={name: value for name, value in about.items() if value is not None},
        intermediate_values={epochs: trial.score} if trial.status == "COMPLETED" else {},
    )


def _json(path: pathlib.Path) -> Any:
    """Reads a JSON file; None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
