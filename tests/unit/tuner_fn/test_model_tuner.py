"""The example of docs/search.md, executed: a continued trial keeps its weights and optimizer."""

import pathlib
import re

import keras
import keras_tuner
import numpy as np
import pytest

from data.errors import UserError
from tuner_fn.model_tuner import ModelTuner
from tuner_fn.oracles import make_oracle

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "search.md"


def test_the_example_of_the_docs_runs_and_its_trials_continue(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    names: dict = {}
    exec(example, names)
    tuner, trials = names["tuner"], names["oracle"].trials.values()
    assert "the budget of 60 epochs is spent" in capsys.readouterr().out
    continued = [trial for trial in trials if "tuner/trial_id" in trial.hyperparameters.values]
    assert continued
    for trial in continued:
        values = trial.hyperparameters.values
        state = tuner.load_model(trial).optimizer
        assert int(state.iterations) == 2 * values["tuner/epochs"]  # 48 images in batches of 32
        assert float(np.abs(state.momentums[0]).max()) > 0
    model = tuner.get_best_models()[0]
    x, y = names["x"][48:], names["y"][48:]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(max(trials, key=lambda one: -one.score).score, rel=1e-5)


def test_a_trial_in_parts_is_one_training(tmp_path) -> None:
    """Batches of all images in a row: nothing is drawn."""
    x = np.random.default_rng(0).normal(size=(16, 3))

    def build(values: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
        model.compile(keras.optimizers.Adam(values.get("rate")), "mse")
        return model

    space = keras_tuner.HyperParameters()
    space.Fixed("rate", 0.1)
    settings = {"objective": keras_tuner.Objective("loss", "min"), "hyperparameters": space, "seed": 0}
    tuner = ModelTuner(build, make_oracle("random", max_epochs=4, max_trials=1, **settings), directory=tmp_path)
    parts = [{"tuner/epochs": 2, "tuner/initial_epoch": 0}]
    parts.append({"tuner/epochs": 4, "tuner/initial_epoch": 2, "tuner/trial_id": "0"})
    for number, part in enumerate(parts):
        values = space.copy()
        values.values |= part
        trial = keras_tuner.engine.trial.Trial(values, trial_id=str(number), status="RUNNING")
        pathlib.Path(tuner.get_trial_dir(trial.trial_id)).mkdir(parents=True, exist_ok=True)
        found = tuner.run_trial(trial, x, x.sum(axis=1) + 3.0, verbose=0, shuffle=False)
    whole = build(values).fit(x, x.sum(axis=1) + 3.0, epochs=4, verbose=0, shuffle=False).history["loss"]
    assert found["loss"] == pytest.approx(whole[-1], rel=1e-6)


def test_a_search_that_nothing_ends_needs_a_budget() -> None:
    space = keras_tuner.HyperParameters()
    space.Float("rate", 0.0, 1.0)
    settings = {
        "objective": keras_tuner.Objective("score", "max"),
        "hyperparameters": space,
        "max_epochs": 9,
        "seed": 0,
    }
    with pytest.raises(UserError, match="Nothing ends the search `random`. Give `max_trials` or `max_epochs_total`"):
        make_oracle("random", **settings)
    assert make_oracle("random", max_trials=None, **settings).planned_trials() is None
    assert make_oracle("hyperband", **settings).planned_trials() > 0
