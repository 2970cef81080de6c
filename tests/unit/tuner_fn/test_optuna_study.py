"""A search as a study of Optuna, whatever its trials' values are."""

import keras_tuner
import optuna
from keras_tuner.engine.trial import Trial

from tuner_fn import optuna_study


def test_a_value_above_the_end_of_its_range_by_a_last_digit_is_the_end(tmp_path) -> None:
    """As 0.0005 (0.0045 / 0.0005)^1 is computed: the search would end with an error, after its last trial."""
    space = keras_tuner.HyperParameters()
    space.Float("rate", 0.0005, 0.0045, sampling="log")
    space.Choice("kind", ["a", "b"])
    trial = Trial(space.copy(), trial_id="0", status="COMPLETED")
    trial.hyperparameters.values = {"rate": 0.0045000000000000005, "kind": "b", "tuner/epochs": 3}
    trial.score = 0.5
    optuna_study.write(tmp_path / "study.journal", [trial], space, "max")
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    )
    (found,) = optuna.load_study(study_name="search", storage=storage).trials
    assert found.params == {"rate": 0.0045, "kind": "b"}
