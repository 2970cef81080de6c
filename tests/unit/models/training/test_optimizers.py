"""Update rules against their definitions, one variable and a few steps."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.hyperparameters import OptimizerConfig
from models.training import optimizers

PLAIN = OptimizerConfig(learning_rate=0.1, clip_norm=0.0)


def trajectory(config: OptimizerConfig, gradients: list[float], name: str = "kernel") -> list[float]:
    """Applies gradients to a variable that starts at 1; returns its values."""
    variable = keras.Variable(np.float32(1.0), name=name)
    optimizer = optimizers.make_optimizer(config, 0.1)
    optimizer.build([variable])
    found = []
    for gradient in gradients:
        optimizer.apply([np.float32(gradient)], [variable])
        found.append(float(variable))
    return found


def test_momentum_by_hand() -> None:
    """v = 0.9 v - 0.1 g; w += v."""
    found = trajectory(dataclasses.replace(PLAIN, name="momentum"), [1.0, 1.0])
    assert found == pytest.approx([0.9, 0.9 - 0.19])


def test_rmsprop_is_tensorflow_1s_with_epsilon_inside_the_root() -> None:
    """The study's: decay 0.9, momentum 0.9, epsilon 1; ms starts at 1 and is 0.9 + 0.1 g^2 after one step."""
    config = dataclasses.replace(PLAIN, name="rmsprop", rho=0.9, momentum=0.9, epsilon=1.0)
    mean_square = 0.9 + 0.1 * 4
    first = 0.1 * 2.0 / np.sqrt(mean_square + 1.0)
    second = 0.9 * first + 0.1 * 2.0 / np.sqrt(0.9 * mean_square + 0.1 * 4 + 1.0)
    assert trajectory(config, [2.0, 2.0]) == pytest.approx([1 - first, 1 - first - second], rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "lion"])
def test_the_first_step_has_the_size_of_the_rate(name) -> None:
    assert trajectory(dataclasses.replace(PLAIN, name=name), [5.0]) == pytest.approx([0.9], abs=1e-5)


@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop", "adam", "adamw", "lion"])
def test_weight_decay_takes_kernels_and_leaves_biases(name) -> None:
    """Without a gradient a kernel shrinks by rate times decay, 0.1 * 0.5."""
    config = dataclasses.replace(PLAIN, name=name, weight_decay=0.5)
    assert trajectory(config, [0.0]) == pytest.approx([0.95])
    assert trajectory(config, [0.0], name="bias") == pytest.approx([1.0])


def test_gradients_are_clipped_to_the_global_norm() -> None:
    config = dataclasses.replace(PLAIN, name="sgd", clip_norm=2.0)
    assert trajectory(config, [10.0, 1.0]) == pytest.approx([0.8, 0.7])


def test_fused_adam_is_keras_adam() -> None:
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(20, 3, 4)).astype(np.float32)
    settings = {"learning_rate": 0.05, "beta_1": 0.8, "epsilon": 1e-3, "weight_decay": 0.1, "global_clipnorm": 2.0}
    found = []
    for optimizer in (optimizers.FusedAdam(**settings), keras.optimizers.Adam(**settings)):
        variable = keras.Variable(start, name="kernel")
        for gradient in gradients:
            optimizer.apply([gradient], [variable])
        found.append([np.asarray(value) for value in (variable, *optimizer.variables)])
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(found[0][0] - start).max() > 0.3


@pytest.mark.parametrize("name", ["momentum", "rmsprop", "adam", "adamw", "lion"])
def test_momentum_and_weight_decay_change_without_tracing_anew(name) -> None:
    """A traced step of other numbers does what an optimizer made with the new ones does."""
    first = dataclasses.replace(PLAIN, name=name, momentum=0.5, weight_decay=0.3)
    second = dataclasses.replace(PLAIN, name=name, momentum=0.8, weight_decay=0.01)
    variable, traces = keras.Variable(np.float32(1.0), name="kernel"), []
    optimizer = optimizers.make_optimizer(first, 0.1)
    optimizer.build([variable])

    @tf.function
    def step(gradient: tf.Tensor) -> None:
        traces.append(1)
        optimizer.apply([gradient], [variable])

    initial = [np.asarray(one) for one in (variable, *optimizer.variables)]
    step(tf.constant(1.0))
    for one, value in zip((variable, *optimizer.variables), initial, strict=True):
        one.assign(value)
    optimizers.configure(optimizer, second)
    found = []
    for gradient in (1.0, 2.0, -1.0):
        step(tf.constant(gradient))
        found.append(float(variable))
    assert found == pytest.approx(trajectory(second, [1.0, 2.0, -1.0]), rel=1e-6)
    assert found != pytest.approx(trajectory(first, [1.0, 2.0, -1.0]), rel=1e-3)
    assert len(traces) == 1


@pytest.mark.parametrize("name", ["momentum", "rmsprop", "lion"])
def test_no_momentum_is_the_plain_rule(name) -> None:
    config = dataclasses.replace(PLAIN, name=name, momentum=0.0, epsilon=1.0, rho=0.9)
    first, second = np.diff([1.0, *trajectory(config, [1.0, 1.0])])
    expected = {"momentum": -0.1, "rmsprop": -0.1 / np.sqrt(2.0), "lion": -0.1}[name]
    assert first == pytest.approx(expected)
    assert second == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop", "adam", "adamw", "lion"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_the_backbone_has_a_rate_of_its_own(name, weight_decay) -> None:
    """Each of two variables moves as an optimizer of its rate alone would move it, weight decay included."""
    config = dataclasses.replace(PLAIN, name=name, weight_decay=weight_decay)
    variables = [keras.Variable(np.float32(1.0), name=path) for path in ("block_1", "head_0_box")]
    optimizer = optimizers.make_optimizer(dataclasses.replace(config, backbone_rate=0.25), 0.1)
    found = []
    for gradient in (1.0, 2.0, -1.0):
        optimizer.apply([tf.constant(gradient)] * 2, variables)
        found.append([float(variable) for variable in variables])
    for rate, moved in zip((0.025, 0.1), zip(*found, strict=True), strict=True):
        alone = optimizers.make_optimizer(config, rate)
        variable, expected = keras.Variable(np.float32(1.0), name="kernel"), []
        for gradient in (1.0, 2.0, -1.0):
            alone.apply([tf.constant(gradient)], [variable])
            expected.append(float(variable))
        assert moved == pytest.approx(expected, rel=1e-5)


def test_without_a_rate_of_its_own_the_optimizer_is_the_plain_one() -> None:
    assert type(optimizers.make_optimizer(PLAIN, 0.1)) is type(optimizers.make_optimizer(OptimizerConfig(), 0.1))
    assert type(optimizers.make_optimizer(OptimizerConfig(), 0.1)) is optimizers.FusedAdam
