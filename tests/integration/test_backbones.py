"""Backbones: their maps, their copies with other settings, and what weights files give them."""

import keras
import numpy as np
import pytest

from data.errors import UserError
from models.hyperparameters import ModelConfig
from models.network import backbones
from models.training import inheritance

NAMES = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_their_stride_at_even_and_odd_sizes(name) -> None:
    """Rounded up: 75 is odd after one halving, 19 and 5 after three and five; the width halves to 45, 23, 12 and 6."""
    backbone = backbones.load_backbone(ModelConfig(backbone=name, alpha=0.35), (150, 90))
    for stride, size in ((8, (19, 12)), (16, (10, 6)), (32, (5, 3))):
        for expanded in (True, False):
            assert backbone.feature_map(stride, expanded).shape[1:3] == size


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_expanded_map_is_the_wide_one(name) -> None:
    backbone = backbones.load_backbone(ModelConfig(backbone=name, alpha=0.35), (64, 64))
    assert backbone.feature_map(16, True).shape[-1] > 2 * backbone.feature_map(16, False).shape[-1]


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_computes_what_keras_applications_does(name, tmp_path) -> None:
    """The same weights and default settings of batch norm; only the padding is written differently."""
    builder, options = backbones._BUILDERS[name]
    original = builder(input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None, **options)
    path = tmp_path / "own.weights.h5"
    original.save_weights(path)
    epsilon = next(one for one in original.layers if isinstance(one, keras.layers.BatchNormalization)).epsilon
    config = ModelConfig(backbone=name, alpha=0.35, backbone_weights=str(path), batch_norm_epsilon=epsilon)
    backbone = backbones.load_backbone(config, (64, 64))
    assert backbone.weights.missing == ()
    assert len(backbone.weights.restored) == len(original.weights)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    assert np.asarray(backbone.model(images)) == pytest.approx(np.asarray(original(images)), abs=1e-5)


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_wider_backbone_with_the_weights_of_a_narrower_one_computes_its_maps(name) -> None:
    """Inverted residuals, their sums and squeeze-and-excitation included; what is wider is the rest of the channels."""
    draw = np.random.default_rng(0)
    donor, heir = (
        backbones.load_backbone(ModelConfig(backbone=name, alpha=alpha), (64, 64)).model for alpha in (0.35, 0.5)
    )
    for weight in donor.weights:
        if len(weight.shape) == 1:  # batch norm's, as after training
            weight.assign(draw.uniform(0.5, 1.5, weight.shape))
    arrays = [{weight.path: np.asarray(weight) for weight in model.weights} for model in (heir, donor)]
    found = inheritance.inherit(*arrays)
    assert found.morphed
    assert not found.left
    for weight in heir.weights:
        weight.assign(found.weights[weight.path])
    images = draw.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(donor(images))
    computed = np.asarray(heir(images))[..., : expected.shape[-1]]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_an_activation_replaces_that_of_the_convolutions_only() -> None:
    """The gates of squeeze-and-excitation stay."""
    model = backbones.load_backbone(
        ModelConfig(backbone="mobilenet_v3_small", alpha=0.35, backbone_activation="silu"), (64, 64)
    ).model
    kinds = [layer.get_config()["activation"] for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    gates = [layer for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    assert set(kinds) == {"silu"}
    assert len(gates) == 2 * 9  # a ReLU and a hard sigmoid in each of nine blocks


def test_batch_norm_takes_the_settings() -> None:
    config = ModelConfig(alpha=0.35, batch_norm_momentum=0.9, batch_norm_epsilon=0.01, freeze_batch_norm=True)
    layers = backbones.load_backbone(config, (64, 64)).model.layers
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon, layer.trainable) for layer in norms} == {(0.9, 0.01, False)}


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"no file nowhere.weights.h5. Give `none`, `imagenet`"):
        backbones.load_backbone(ModelConfig(backbone_weights="nowhere.weights.h5"), (64, 64))


def test_a_damaged_file_is_named(tmp_path) -> None:
    path = tmp_path / "broken.weights.h5"
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(UserError, match="is not a Keras weights file"):
        backbones.load_backbone(ModelConfig(backbone_weights=str(path)), (64, 64))


@pytest.mark.parametrize("change", [{"alpha": 0.5}, {"backbone": "mobilenet_v1"}])
def test_weights_of_another_architecture_are_refused(change, tmp_path) -> None:
    """A few tensors have the right shape by chance; they would be of no use."""
    path = tmp_path / "v2.weights.h5"
    keras.applications.MobileNetV2(input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None).save_weights(
        path
    )
    with pytest.raises(UserError, match=r"does not fit mobilenet_v\d with alpha 0.\d+: only \d+ of its \d+ tensors"):
        backbones.load_backbone(ModelConfig(**{"alpha": 0.35, "backbone_weights": str(path), **change}), (64, 64))


def test_what_a_file_lacks_keeps_its_initial_value_and_is_named(tmp_path) -> None:
    """Weights up to an inner layer of the same network."""
    whole = keras.applications.MobileNetV2(input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None)
    part = keras.Model(whole.input, whole.get_layer("block_12_add").output)
    path = tmp_path / "part.weights.h5"
    part.save_weights(path)
    restored = backbones.load_backbone(ModelConfig(alpha=0.35, backbone_weights=str(path)), (64, 64)).weights
    assert len(restored.restored) == len(part.weights)
    assert "Conv_1/kernel" in restored.missing
    assert restored.summary().startswith(f"Restored {len(part.weights)} of {len(whole.weights)} backbone tensors from")
    assert "not found: block_13_expand/kernel" in restored.summary()


@pytest.mark.parametrize(
    ("name", "count", "last_frozen", "first_trained"),
    [
        ("mobilenet_v1", 14, "conv_pw_1_bn", "conv_dw_2"),
        ("mobilenet_v2", 19, "expanded_conv_project_BN", "block_1_expand"),
        ("mobilenet_v3_small", 13, "expanded_conv_project_bn", "expanded_conv_1_expand"),
    ],
)
def test_the_first_blocks_are_frozen(name, count, last_frozen, first_trained) -> None:
    """The numbers are those of the papers' tables: a convolution, 13, 17 and 11 blocks, and in v2 and v3 one more."""
    model = backbones.load_backbone(ModelConfig(backbone=name, alpha=0.35, frozen_blocks=2), (64, 64)).model
    assert len(backbones.blocks(model)) == count
    layers = [layer for layer in model.layers if layer.weights]
    frozen = [layer.name for layer in layers if not layer.trainable]
    assert frozen == [layer.name for layer in layers[: len(frozen)]]
    assert (frozen[-1], layers[len(frozen)].name) == (last_frozen, first_trained)
    whole = backbones.load_backbone(ModelConfig(backbone=name, alpha=0.35, frozen_blocks=count), (64, 64)).model
    assert whole.trainable_weights == []


def test_more_frozen_blocks_than_there_are_is_a_mistake() -> None:
    with pytest.raises(UserError, match="`model.frozen_blocks` is 19, but mobilenet_v1 has 14"):
        backbones.load_backbone(ModelConfig(backbone="mobilenet_v1", alpha=0.35, frozen_blocks=19), (64, 64))
