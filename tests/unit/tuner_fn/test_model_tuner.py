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


@pytest.mark.parametrize("name", ["random", "grid", "hyperband", "freeze_thaw", "bayesian", "optuna:tpe"])
def test_an_empty_space_is_refused(name) -> None:
    settings = {"objective": keras_tuner.Objective("loss", "min"), "max_epochs": 2, "seed": 0, "max_trials": 2}
    with pytest.raises(UserError, match="`hyperparameters` is empty, so there is nothing to search. Declare"):
        make_oracle(name, hyperparameters=keras_tuner.HyperParameters(), **settings)


class Line(keras_tuner.HyperModel):
    """A line; `fit` returns what it was made to return."""

    def __init__(self, result=None) -> None:
        super().__init__()
        self.result = result

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(hp.get("rate")), "mse")
        return model

    def fit(self, hp, model, *args, **kwargs):
        history = super().fit(hp, model, *args, **kwargs)
        return history if self.result is None else self.result(history)


def searched(tmp_path, model: Line, **fit) -> ModelTuner:
    """Searches two trials of two epochs."""
    space = keras_tuner.HyperParameters()
    space.Float("rate", 0.01, 0.1)
    settings = {"objective": keras_tuner.Objective("loss", "min"), "hyperparameters": space, "seed": 0}
    tuner = ModelTuner(model, make_oracle("random", max_epochs=2, max_trials=2, **settings), directory=tmp_path)
    tuner.search(np.ones((4, 1)), np.ones((4, 1)), verbose=0, **fit)
    return tuner


@pytest.mark.parametrize(
    "result",
    [
        lambda history: {"loss": history.history["loss"][-1], "size": 1},
        lambda history: history.history["loss"][-1],
        lambda history: np.float32(history.history["loss"][-1]),
    ],
)
def test_fit_may_return_metrics_as_keras_tuner_allows(tmp_path, result) -> None:
    own, kerass = searched(tmp_path / "own", Line(result)), searched(tmp_path / "history", Line())
    assert [trial.status for trial in own.oracle.trials.values()] == ["COMPLETED"] * 2
    assert [trial.score for trial in own.oracle.trials.values()] == pytest.approx(
        [trial.score for trial in kerass.oracle.trials.values()], rel=1e-6
    )


def test_fit_without_the_objective_ends_the_search(tmp_path) -> None:
    with pytest.raises(keras_tuner.errors.FatalTypeError, match="a dictionary with the objective `loss`.*got {'size'"):
        searched(tmp_path, Line(lambda history: {"size": 1}))


def test_each_trial_has_callbacks_of_its_own(tmp_path) -> None:
    class Counter(keras.callbacks.Callback):
        epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1
            assert self.epochs <= 2

    counter = Counter()
    tuner = searched(tmp_path, Line(), callbacks=[counter])
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"] * 2
    assert counter.epochs == 0


@pytest.mark.parametrize(
    "setting", ["distribution_strategy", "executions_per_trial", "loss", "max_model_size", "metrics", "optimizer"]
)
def test_a_setting_of_keras_tuner_that_would_have_no_effect_is_refused(setting, tmp_path) -> None:
    space = keras_tuner.HyperParameters()
    space.Float("rate", 0.01, 0.1)
    oracle = make_oracle(
        "random",
        objective=keras_tuner.Objective("loss", "min"),
        hyperparameters=space,
        max_epochs=2,
        max_trials=1,
        seed=0,
    )
    with pytest.raises(UserError, match=f"`ModelTuner` does not take `{setting}`"):
        ModelTuner(Line(), oracle, directory=tmp_path, **{setting: 2})
