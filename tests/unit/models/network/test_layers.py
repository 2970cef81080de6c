"""Batch norm in training against Keras' own layer; dropout by its share."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.network import layers


def run(layer: keras.layers.BatchNormalization, x: np.ndarray, slopes: np.ndarray) -> dict[str, np.ndarray]:
    """Trains one step on maps with given slopes of the outputs; returns outputs, gradients and moving averages."""
    layer.build(x.shape)
    layer.gamma.assign(np.linspace(0.5, 2.0, x.shape[-1]))
    layer.beta.assign(np.linspace(-1.0, 1.0, x.shape[-1]))
    maps = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        outputs = layer(maps, training=True)
        total = tf.reduce_sum(tf.cast(outputs, "float32") * slopes)
    gradients = tape.gradient(total, [maps, layer.gamma.value, layer.beta.value])
    values = [outputs, *gradients, layer.moving_mean, layer.moving_variance]
    names = ["outputs", "d maps", "d gamma", "d beta", "mean", "variance"]
    return {name: np.asarray(tf.cast(value, "float32")) for name, value in zip(names, values, strict=True)}


@pytest.mark.parametrize("shape", [(4, 9, 7, 12), (2, 1, 1, 3), (1, 1, 1, 3)], ids=str)
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 1e-2), ("mixed_float16", 2e-3)]
)
def test_fused_batch_norm_is_keras_batch_norm(shape, policy, tolerance) -> None:
    rng = np.random.default_rng(0)
    x, slopes = rng.normal(3.0, 2.0, shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)
    settings = {"momentum": 0.7, "epsilon": 1e-3, "dtype": policy}
    ours = run(layers.BatchNormalization(**settings), x, slopes)
    expected = run(keras.layers.BatchNormalization(**settings), x, slopes)
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    assert np.abs(ours["mean"]).max() > 0.3


def test_frozen_batch_norm_uses_and_keeps_the_moving_averages() -> None:
    layer = layers.BatchNormalization(epsilon=0.0)
    layer.build((None, 2, 2, 3))
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    layer.moving_variance.assign([4.0, 4.0, 4.0])
    layer.trainable = False
    outputs = layer(np.full((2, 2, 2, 3), 3.0, np.float32), training=True)
    assert np.asarray(outputs)[0, 0, 0] == pytest.approx([1.0, 0.5, 0.0])
    assert np.asarray(layer.moving_mean) == pytest.approx([1.0, 2.0, 3.0])


@pytest.mark.parametrize(("momentum", "steps", "left"), [(0.9997, 380, "89%"), (0.99, 60, "55%"), (0.9997, 1, "100%")])
def test_slow_moving_averages_are_named_with_a_momentum_that_does(momentum, steps, left) -> None:
    found = layers.slow_averages(momentum, steps)
    assert f"after the {steps} steps of a whole trial {left} of what they began with is left" in found
    proposed = float(found.rpartition("=")[2])
    assert proposed**steps <= 0.01 or proposed == 0.5
    assert layers.slow_averages(proposed, max(steps, 4)) is None


@pytest.mark.parametrize(("momentum", "steps"), [(0.97, 150), (0.5, 2)])
def test_moving_averages_that_follow_or_cannot_be_faster_are_not_named(momentum, steps) -> None:
    assert layers.slow_averages(momentum, steps) is None


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_dropout_takes_a_new_rate_without_tracing_again(policy) -> None:
    """Of ones a share of about the rate is dropped, and the others make up for it; not in inference."""
    layer, traces = layers.LiveDropout(0.5, seed=0, dtype=policy), []
    ones = np.ones((50, 20, 20, 3), np.float32)
    layer.build(ones.shape)

    @tf.function
    def train(x: tf.Tensor) -> tf.Tensor:
        traces.append(1)
        return layer(x, training=True)

    for rate in (0.5, 0.1):
        layer.live_rate.assign(rate)
        found = np.asarray(train(tf.constant(ones)), np.float32)
        assert np.unique(found) == pytest.approx([0.0, 1.0 / (1.0 - rate)], rel=1e-3)
        assert (found == 0.0).mean() == pytest.approx(rate, abs=0.01)
    assert len(traces) == 1
    np.testing.assert_array_equal(layer(ones, training=False), ones)
