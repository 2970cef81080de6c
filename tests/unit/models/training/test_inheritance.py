"""Inherited weights: equal functions where the donor's fits into the network, and nothing else is touched."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from data import progress
from models.hyperparameters import ExperimentConfig
from models.network import heads
from models.network.layers import conv_bn
from models.training import inheritance, training_state

IMAGES = np.random.default_rng(0).normal(size=(2, 9, 9, 3)).astype("float32")


@pytest.fixture(autouse=True)
def _no_seed_of_the_process():
    """Takes back the seed that `network` sets: with one for the process, a training in it cannot shuffle."""
    yield
    tf.random.set_seed(None)


def network(seed: int, *, width: int = 4, kernel: int = 1, anchors: int = 2, lively: bool = False) -> keras.Model:
    """Builds what the detector is made of: convolutions, depthwise ones, batch norm, a residual sum, a predictor."""
    keras.utils.set_random_seed(seed)
    config = ExperimentConfig().replace({"model.head_kernel_size": kernel, "model.initializer": "variance_scaling"})
    inputs = keras.Input((9, 9, 3))
    x = conv_bn(inputs, width, config.model, "first", kernel=3)
    y = conv_bn(x, width, config.model, "second", kernel=3, separable=True)
    x = keras.layers.Add()([x, y])
    logits, deltas = heads.predict_boxes([x], [anchors], 2, config.model)
    model = keras.Model(inputs, {"logits": logits, "deltas": deltas})
    if lively:  # as after training: batch norm's statistics, scales and offsets are anything
        draw = np.random.default_rng(seed)
        for weight in model.weights:
            if "_bn/" in weight.path:
                weight.assign(draw.uniform(0.5, 1.5, weight.shape))
    return model


def arrays(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: np.array(weight) for weight in model.weights}


def heir(donor: keras.Model, own: keras.Model) -> inheritance.Inheritance:
    found = inheritance.inherit(arrays(own), arrays(donor))
    for weight in own.weights:
        weight.assign(found.weights[weight.path])
    return found


def outputs(model: keras.Model) -> np.ndarray:
    found = model(IMAGES)
    return np.concatenate([found["logits"], found["deltas"]], axis=-1)


def test_the_same_architecture_computes_the_same_whatever_was_built_before() -> None:
    donor, own = network(0, lively=True), network(1)
    before = outputs(own)
    found = heir(donor, own)
    assert set(found.copied) == {weight.path for weight in donor.weights}  # Keras' counters are in no name
    assert not found.morphed + found.left
    np.testing.assert_array_equal(outputs(own), outputs(donor))
    assert not np.allclose(before, outputs(own))


@pytest.mark.parametrize("change", [{"width": 7}, {"kernel": 3}, {"kernel": 5, "width": 6}])
def test_a_wider_network_and_larger_kernels_compute_what_the_donor_does(change) -> None:
    donor, own = network(0, lively=True), network(1, **change)
    found = heir(donor, own)
    assert found.morphed
    assert not found.left
    np.testing.assert_allclose(outputs(own), outputs(donor), rtol=1e-4, atol=1e-5)  # sums of more zeros


def test_new_channels_can_learn() -> None:
    """They have their own initial weights, and what reads them has a gradient."""
    donor, own = network(0, lively=True), network(1, width=7)
    initial = arrays(own)
    heir(donor, own)
    kernel = np.array(own.get_layer("first").kernel)
    np.testing.assert_array_equal(kernel[..., 4:], initial["first/kernel"][..., 4:])
    assert (kernel[..., 4:] != 0).all()
    depthwise = np.array(own.get_layer("second_depthwise").kernel)
    np.testing.assert_array_equal(depthwise[:, :, 4:], initial["second_depthwise/kernel"][:, :, 4:])
    np.testing.assert_array_equal(own.get_layer("second").kernel[:, :, 4:, :4], 0.0)


def test_a_narrower_network_has_the_first_channels_and_a_smaller_kernel_its_middle() -> None:
    donor, own = network(0, width=7, kernel=3, lively=True), network(1)
    found = heir(donor, own)
    assert not found.left
    theirs = arrays(donor)
    np.testing.assert_array_equal(own.get_layer("first").kernel, theirs["first/kernel"][..., :4])
    np.testing.assert_array_equal(own.get_layer("head_0_class").kernel, theirs["head_0_class/kernel"][1:2, 1:2, :4])
    np.testing.assert_array_equal(own.get_layer("first_bn").moving_variance, theirs["first_bn/moving_variance"][:4])


def test_predictors_of_other_anchors_and_layers_that_the_donor_lacks_stay_as_initialised() -> None:
    donor, own = network(0, anchors=3, lively=True), network(1)
    initial = arrays(own)
    weights = {name: array for name, array in arrays(donor).items() if not name.startswith("second_depthwise/")}
    found = inheritance.inherit(initial, weights | {"first_bn/gamma": np.ones((4, 1), np.float32)})
    lacking = {name for name in initial if name.startswith(("head_", "second_depthwise/"))} | {"first_bn/gamma"}
    assert set(found.left) == lacking
    for name in lacking:
        np.testing.assert_array_equal(found.weights[name], initial[name])
    assert f"{len(initial) - len(lacking)} of {len(initial)} tensors copied, 0 morphed, 6 left" in found.summary()


def test_a_state_of_before_names_were_kept_goes_on_but_gives_no_weights(tmp_path) -> None:
    path = tmp_path / "state.npz"
    model = network(0)
    training_state.save(path, model.weights, [{"epoch": 1, "loss": 2.0}])
    for name, array in training_state.load_named(path).items():
        np.testing.assert_array_equal(array, arrays(model)[name])
    with np.load(path) as state:
        np.savez(path, **{name: array for name, array in state.items() if name != "names"})
    values, history = training_state.load(path, model.weights)
    assert history == [{"epoch": 1, "loss": 2.0}]
    for value, weight in zip(values, model.weights, strict=True):
        np.testing.assert_array_equal(value, weight)
    assert training_state.load_named(path) is None
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut"])
def test_a_damaged_donor_is_named_and_set_aside_and_the_training_starts_without_it(tmp_path, content) -> None:
    path, notes = tmp_path / "state.npz", []
    path.write_bytes(content)
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        assert training_state.load_named(path) is None
        assert training_state.load_named(path) is None
    assert path.with_name("state.npz.damaged").read_bytes() == content
    assert notes[0].startswith(f"{path} is damaged")
    assert notes[1:] == [f"There is no training state {path}; the training starts without its weights."]
