"""The range test on problems whose largest stable learning rate is known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.training import rate_sweep, schedules
from tuner_fn.studies import rate_interval

LOW, HIGH, STEPS = 1e-5, 10.0, 120
STABLE = 0.1  # 2 / the largest eigenvalue of the loss's Hessian


def make_model(noise: float = 0.0) -> tuple[keras.Model, schedules.LiveSchedule, tf.data.Dataset]:
    """Makes least squares whose mean loss has a Hessian of eigenvalues 20, 10 and 5.

    Gradient descent is stable up to 2 / 20 (Goh 2017, Why Momentum Really Works).
    """
    values = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 3)))[0] * np.sqrt([20.0, 10.0, 5.0])
    inputs = (values * np.sqrt(64 / 2)).astype(np.float32)  # H = 2 X'X / 64
    targets = (inputs @ np.ones((3, 1))).astype(np.float32)
    schedule = schedules.LiveSchedule()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer=keras.optimizers.SGD(schedule), loss="mse", jit_compile=False)
    draws = tf.random.Generator.from_seed(1)
    batch = tf.data.Dataset.from_tensors((inputs, targets)).repeat()
    return model, schedule, batch.map(lambda x, y: (x, y + noise * draws.normal(tf.shape(y))))


def test_the_interval_ends_at_the_largest_stable_rate() -> None:
    model, schedule, batches = make_model(noise=0.5)
    seen = []
    losses = rate_sweep.losses(model, schedule, batches, LOW, HIGH, STEPS, lambda *step: seen.append(step))
    assert seen == list(enumerate(losses, start=1))
    assert len(losses) < STEPS  # it stopped where the loss diverged, long before the rate of 10
    rates = rate_sweep.rates(LOW, HIGH, STEPS)
    assert rates[len(losses) - 1] > STABLE
    found = rate_interval.falling(rates, losses)
    assert found.high == pytest.approx(STABLE, rel=0.5)  # three steps of the sweep are a factor of 1.4
    assert 1e-4 < found.low < found.high / 3  # with 1e-4 nothing is learned in so few steps


def test_each_step_has_its_own_rate_and_loss() -> None:
    """One weight, loss (w - 1)^2 with H = 2: the weights of gradient descent with rising rates by hand."""
    schedule = schedules.LiveSchedule()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer=keras.optimizers.SGD(schedule), loss="mse", jit_compile=False)
    batches = tf.data.Dataset.from_tensors((np.ones((4, 1), np.float32), np.ones((4, 1), np.float32))).repeat()
    losses = rate_sweep.losses(model, schedule, batches, 0.01, 0.16, 5)
    weight, expected = 0.0, []
    for rate in (0.01, 0.02, 0.04, 0.08, 0.16):
        expected.append((weight - 1.0) ** 2)
        weight -= rate * 2.0 * (weight - 1.0)
    assert losses == pytest.approx(expected, rel=1e-4)


def test_a_loss_without_a_number_ends_the_sweep() -> None:
    model, schedule, batches = make_model()
    with_nan = batches.enumerate().map(lambda step, batch: (batch[0], batch[1] + tf.where(step == 3, np.nan, 0.0)))
    assert len(rate_sweep.losses(model, schedule, with_nan, LOW, HIGH, STEPS)) == 3


@pytest.mark.parametrize(("low", "high", "steps"), [(0.0, 1.0, 10), (1.0, 1.0, 10), (0.1, 1.0, 1)])
def test_rates_that_do_not_ascend_are_refused(low, high, steps) -> None:
    with pytest.raises(ValueError, match="0 < low < high and 2 steps"):
        rate_sweep.losses(None, schedules.LiveSchedule(), None, low, high, steps)


def test_smoothing_has_no_bias_at_its_start() -> None:
    assert rate_sweep.smooth([2.0] * 5, 100) == pytest.approx([2.0] * 5)
    momentum = rate_sweep.smoothing(100)
    assert momentum == pytest.approx(0.8)
    assert rate_sweep.smooth([1.0, 2.0], 100)[1] == pytest.approx((0.8 * 1.0 + 2.0) / 1.8)
    assert rate_sweep.smooth([1.0, 2.0], 10) == pytest.approx([1.0, 2.0])
