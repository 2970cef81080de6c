"""The folder of a search, made by hand: trials as Keras Tuner writes them, with scores by a rule."""

import json
import pathlib

import numpy as np

from data.run_directory import RunDirectory
from models.hyperparameters import ExperimentConfig


def write(root, ranges, score, *, count, epochs=(4,), promoted=0.5, key="0123456789ab", seed=0, objective="AP50"):
    """Writes a search whose better configurations continue to the next of `epochs`, in trials of their own.

    Args:
        root: run directory.
        ranges: as `search_space.named_space` returns.
        score: of values and epoch.
        count: configurations.
        epochs: rungs.
        promoted: share that continues.
        key: of the search.
        seed: of the values.
        objective: of the search.

    Returns:
        The folder.
    """
    folder = RunDirectory(pathlib.Path(root)).search(key)
    folder.mkdir(parents=True)
    search = {"objective": objective, "ranges": ranges, "max_epochs": epochs[-1]}
    parts = {"search": search, "settings": ExperimentConfig().to_dict()}
    (folder / "search.json").write_text(json.dumps(parts))
    rng = np.random.default_rng(seed)
    known = [({path: _draw(entry, rng) for path, entry in ranges.items()}, None) for _ in range(count)]
    number, before = 0, 0
    for rung in epochs:
        ended = []
        for values, parent in known:
            about = {"tuner/epochs": rung, "tuner/initial_epoch": before}
            about |= {} if parent is None else {"tuner/trial_id": parent}
            trial_id = write_trial(folder, number, values | about, {rung: float(score(values, rung))}, objective)
            ended.append((score(values, rung), values, trial_id))
            number += 1
        ended.sort(key=lambda one: -one[0])
        known = [(values, trial_id) for _, values, trial_id in ended[: int(promoted * len(ended))]]
        before = rung
    return folder


def write_trial(folder, number, values, curve, objective="AP50", status="COMPLETED"):
    """Writes one trial's file; returns its id."""
    trial_id = f"{number:04d}"
    observations = [{"value": [value], "step": epoch} for epoch, value in curve.items()]
    metrics = {"score_by_epoch": {"direction": "min", "observations": observations}} if curve else {}
    if curve:
        metrics[f"val_{objective}"] = {"direction": "max", "observations": [{**observations[-1], "step": 0}]}
    state = {"trial_id": trial_id, "hyperparameters": {"space": [], "values": values}, "status": status}
    state |= {"metrics": {"metrics": metrics}, "score": None, "best_step": 0, "message": None}
    path = folder / f"trial_{trial_id}" / "trial.json"
    path.parent.mkdir()
    path.write_text(json.dumps(state))
    return trial_id


def _draw(entry, rng):
    if "choices" in entry:
        return entry["choices"][rng.integers(len(entry["choices"]))]
    if entry["scale"] == "log":
        return float(np.exp(rng.uniform(np.log(entry["low"]), np.log(entry["high"]))))
    return float(rng.uniform(entry["low"], entry["high"]))
