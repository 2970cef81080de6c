"""A Keras Tuner for anybody's Keras model that trains in parts, as the strategies with rungs ask."""

import copy
import pathlib
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from data.errors import UserError
from tuner_fn.early_stopping import keep_curve
from tuner_fn.oracles.base import SeededOracle

# Of `keras_tuner.Tuner`. A trial in parts is one training of the model as it was built.
_REFUSED = ("distribution_strategy", "executions_per_trial", "loss", "max_model_size", "metrics", "optimizer")


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
            **settings: of `keras_tuner.Tuner`: `directory`, `project_name`, `overwrite` and so on.

        Raises:
            UserError: a setting that Keras Tuner's own training of a trial would heed.
        """
        refused = [f"`{name}`" for name in _REFUSED if name in settings]
        if refused:
            raise UserError(
                f"`ModelTuner` does not take {', '.join(refused)}: it trains each model once, as the hypermodel builds"
                " it. Choose loss, metrics, optimizer, size and distribution in `build`."
            )
        super().__init__(oracle, hypermodel, **settings)

    def run_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Trains one trial.

        Args:
            trial: values to train with, and how far.
            *fit_args: of the model's `fit`.
            **fit_kwargs: of the model's `fit`; each trial gets copies of the callbacks.

        Returns:
            The metrics of the last epoch, or those that a `HyperModel.fit` of the user's own returns.
        """
        values = trial.hyperparameters.values
        lengths = {"epochs": values["tuner/epochs"], "initial_epoch": values["tuner/initial_epoch"]}
        model = self._build(trial, values.get("tuner/trial_id"))
        callbacks = {"callbacks": copy.deepcopy(fit_kwargs["callbacks"])} if "callbacks" in fit_kwargs else {}
        result = self.hypermodel.fit(trial.hyperparameters, model, *fit_args, **fit_kwargs | callbacks | lengths)
        model.save_weights(self._state(trial.trial_id))
        reports = self._reports(result, lengths["epochs"] - lengths["initial_epoch"])
        keep_curve(trial, _unscored(lengths["initial_epoch"]) + reports, self.oracle.objective.name)
        return reports[-1]

    def _reports(self, result: Any, num_epochs: int) -> list[dict[str, float]]:
        """Returns the metrics of each epoch that was trained; of what is no history, all are the last one's."""
        logs = getattr(result, "history", None)
        if logs is not None:
            return [dict(zip(logs, numbers, strict=True)) for numbers in zip(*logs.values(), strict=True)]
        name = self.oracle.objective.name
        metrics = result if isinstance(result, dict) else {name: result}
        if not isinstance(metrics.get(name), int | float | np.number):
            raise keras_tuner.errors.FatalTypeError(
                f"`HyperModel.fit` must return a `History`, a dictionary with the objective `{name}`, or its value: got"
                f" {result!r}."
            )
        return [*_unscored(num_epochs - 1), metrics]

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


def _unscored(num_epochs: int) -> list[dict[str, float]]:
    """Returns the metrics of epochs of which none are known."""
    return [{} for _ in range(num_epochs)]
