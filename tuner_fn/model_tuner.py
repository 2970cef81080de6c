"""A Keras Tuner for anybody's Keras model that trains in parts, as the strategies with rungs ask."""

import pathlib
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuner_fn.early_stopping import keep_curve
from tuner_fn.oracles.base import SeededOracle


class ModelTuner(keras_tuner.Tuner):
    """Trains each trial up to `tuner/epochs`; one that continues another starts from that one's weights and optimizer.

    What `fit` is given beside `epochs` and `initial_epoch` is `search`'s arguments. The search goes by the objective
    after each epoch.
    """

    def __init__(self, hypermodel: Any, oracle: SeededOracle, **settings: Any) -> None:
        """Opens the search; one that was interrupted continues.

        Args:
            hypermodel: builds a compiled model from a `keras_tuner.HyperParameters`, as Keras Tuner takes it.
            oracle: as `make_oracle` returns.
            **settings: of `keras_tuner.Tuner`: `directory`, `project_name` and so on.
        """
        super().__init__(oracle, hypermodel, **settings)

    def run_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Trains one trial.

        Args:
            trial: values to train with, and how far.
            *fit_args: of the model's `fit`.
            **fit_kwargs: of the model's `fit`.

        Returns:
            The metrics of the last epoch.
        """
        values = trial.hyperparameters.values
        lengths = {"epochs": values["tuner/epochs"], "initial_epoch": values["tuner/initial_epoch"]}
        model = self._build(trial, values.get("tuner/trial_id"))
        logs = self.hypermodel.fit(trial.hyperparameters, model, *fit_args, **fit_kwargs | lengths).history
        model.save_weights(self._state(trial.trial_id))
        reports = [dict(zip(logs, numbers, strict=True)) for numbers in zip(*logs.values(), strict=True)]
        keep_curve(trial, [{}] * lengths["initial_epoch"] + reports, self.oracle.objective.name)
        return reports[-1]

    def load_model(self, trial: Trial) -> Any:
        """Returns a trial's trained model, as `get_best_models` needs it."""
        return self._build(trial, trial.trial_id)

    def _build(self, trial: Trial, trained: str | None) -> Any:
        """Builds a trial's model, with the state of the trial `trained`."""
        model = self.hypermodel.build(trial.hyperparameters)
        if trained is not None:
            model.optimizer.build(model.trainable_variables)  # or its state would not be loaded
            model.load_weights(self._state(trained))
        return model

    def _state(self, trial_id: str) -> pathlib.Path:
        return pathlib.Path(self.get_trial_dir(trial_id)) / "state.weights.h5"
