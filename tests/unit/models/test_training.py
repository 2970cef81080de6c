"""What a training keeps and puts back, for float16 too, whose loss is scaled."""

import keras
import numpy as np
import pytest

from models import training
from models.hyperparameters import ExperimentConfig

CONFIG = ExperimentConfig().replace(
    {"input.image_size": 64, "model.alpha": 0.35, "model.num_levels": 2, "optimizer.ema_momentum": 0.9}
)


@pytest.fixture
def program():
    """Builds a detector as on a GPU below compute capability 8."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        yield training.Program(CONFIG, 2)
    finally:
        keras.config.set_dtype_policy(policy)


def test_scaling_the_loss_is_part_of_the_state_from_the_start(program) -> None:
    optimizer = program.detector.optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert optimizer.built  # the first step would build what is not, and add to the state
    assert "dynamic_scale" in {variable.name for variable in program.variables()}
    program.restore(program.initial)


def test_after_scoring_the_averages_training_goes_on_from_its_own_weights(program) -> None:
    weights = program.detector.trainable_variables
    for weight in weights:
        weight.assign(weight + 1.0)
    own = [np.asarray(weight) for weight in weights]
    with program.scored_weights():
        assert any((np.asarray(weight) != value).any() for weight, value in zip(weights, own, strict=True))
    for weight, value in zip(weights, own, strict=True):
        np.testing.assert_array_equal(weight, value)
