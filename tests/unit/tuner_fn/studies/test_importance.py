"""What an importance says in words, and the smaller space that follows from it."""

import dataclasses
import types

import numpy as np
import pytest
import yaml

from data.errors import UserError
from data.run_directory import RunDirectory
from models.hyperparameters import ExperimentConfig
from tests import finished_search
from tuner_fn import search_space
from tuner_fn.studies import importance, search_scores

TOTALS = {"rate": (0.8, 0.7, 0.9), "size": (0.15, 0.01, 0.3), "idle": (0.0, 0.0, 0.01)}
FOUND = importance.Importance(TOTALS, TOTALS, {}, {}, 0.6, 40, True, ("idle",))


def test_words() -> None:
    assert [importance.verdict(FOUND, name) for name in TOTALS] == ["matters", "not clear", "little or none"]
    assert importance.doubt(FOUND) == ""
    for changes, text in [
        ({"r2": 0.1}, "the forest predicts too little (R² 0.10, below 0.25): the shares mean nothing"),
        ({"trials": 15}, "15 configurations are too few: the shares mean nothing below 20"),
    ]:
        doubtful = dataclasses.replace(FOUND, reliable=False, no_effect=(), **changes)
        assert importance.doubt(doubtful) == text
        assert importance.verdict(doubtful, "rate") == "unknown"


def test_a_search_becomes_a_smaller_one(tmp_path) -> None:
    """Batch size and learning rate decide; the file pins the others where the best trial had them."""
    ranges = {
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
        "input.batch_size": {"choices": [2, 4, 8, 16]},
        "loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"},
    }

    def score(values, epoch):
        return 0.02 * epoch + 0.1 * np.log10(values["optimizer.learning_rate"]) + 0.02 * values["input.batch_size"]

    finished_search.write(tmp_path, ranges, score, count=120, epochs=(2, 6), promoted=0.4)
    scores = search_scores.read(RunDirectory(tmp_path))
    found = importance.of_search(scores)
    assert found.no_effect == ("loss.l2",)
    path = tmp_path / "smaller.yaml"
    path.write_text(importance.smaller_space(found, scores))
    best = max((one for one in scores.configurations), key=lambda one: max(one.curve.values())).values
    config = ExperimentConfig()
    assert list(search_space.named_space(str(path), config)) == ["input.batch_size", "optimizer.learning_rate"]
    assert search_space.pinned_settings(str(path)) == {"loss.l2": best["loss.l2"]}
    assert yaml.safe_load(path.read_text())["optimizer.learning_rate"] == ranges["optimizer.learning_rate"]


def test_a_kernel_without_effect_is_pinned_to_what_the_head_makes_of_it(tmp_path) -> None:
    """All heads but `ssd` make 3 of 1, so that 1 would be refused or bring another network."""
    ranges = {"model.head_kernel_size": {"choices": [1]}, "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1}}
    scores = types.SimpleNamespace(
        best=lambda: {"model.head_kernel_size": 1, "optimizer.learning_rate": 0.01},
        config=ExperimentConfig().replace({"model.head": "fpnlite"}),
        folder=tmp_path,
        ranges=ranges,
    )
    found = dataclasses.replace(FOUND, no_effect=("model.head_kernel_size",))
    assert yaml.safe_load(importance.smaller_space(found, scores))["model.head_kernel_size"] == 3
    scores.config = scores.config.replace({"model.head": "ssd"})
    assert yaml.safe_load(importance.smaller_space(found, scores))["model.head_kernel_size"] == 1


def test_no_smaller_space_is_made_where_nothing_is_shown() -> None:
    for one, message in [
        (dataclasses.replace(FOUND, no_effect=()), "no setting is shown to have little or no effect"),
        (
            dataclasses.replace(FOUND, no_effect=(), reliable=False, r2=0.1),
            r"predicts too little \(R² 0.10, below 0.25\)",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            importance.smaller_space(one, None)
