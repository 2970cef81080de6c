"""Weights files are recognised by the shapes of their kernels: real networks of Keras, saved and read."""

import keras
import numpy as np
import pytest

from data.errors import UserError
from models.hyperparameters import ModelConfig
from models.network import weights_kind

NETWORKS = {
    "mobilenet_v1": keras.applications.MobileNet,
    "mobilenet_v2": keras.applications.MobileNetV2,
    "mobilenet_v3_small": keras.applications.MobileNetV3Small,
    "mobilenet_v3_large": keras.applications.MobileNetV3Large,
}


@pytest.mark.parametrize(
    ("backbone", "alpha"),
    [
        *(("mobilenet_v1", alpha) for alpha in (0.25, 1.0)),
        *(("mobilenet_v2", alpha) for alpha in (0.35, 1.0, 1.4)),
        *((f"mobilenet_v3_{size}", alpha) for size, alpha in (("small", 0.75), ("large", 1.0))),
    ],
)
def test_a_file_says_what_it_is_of(backbone, alpha, tmp_path) -> None:
    network = NETWORKS[backbone](input_shape=(64, 64, 3), alpha=alpha, include_top=False, weights=None)
    network.save_weights(tmp_path / "some.weights.h5")
    assert weights_kind.find(tmp_path / "some.weights.h5") == (backbone, alpha)


def test_what_is_no_mobilenet_is_not_recognised(tmp_path) -> None:
    (tmp_path / "text.weights.h5").write_text("no HDF5")
    assert weights_kind.find(tmp_path / "text.weights.h5") is None
    assert weights_kind.find(tmp_path / "missing.weights.h5") is None
    network = keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 1)])
    network.save_weights(tmp_path / "other.weights.h5")
    assert weights_kind.find(tmp_path / "other.weights.h5") is None


def _part(name: str, alpha: float) -> keras.Model:
    """Builds the first layers of a network, those that hold a little more than half of its weights."""
    whole = NETWORKS[name](input_shape=(64, 64, 3), alpha=alpha, include_top=False, weights=None)
    count, found = 0, len(whole.weights) / 2
    for layer in whole.layers:
        count += len(layer.weights)
        if count >= found:
            return keras.Model(whole.input, layer.output)
    raise AssertionError


@pytest.mark.parametrize(
    ("backbone", "alpha"),
    [
        *(("mobilenet_v1", 0.25), ("mobilenet_v1", 1.0), ("mobilenet_v2", 0.75)),
        *(("mobilenet_v3_small", 0.75), ("mobilenet_v3_large", 1.0)),
    ],
)
@pytest.mark.parametrize("ending", ["weights.h5", "h5", "keras"])
def test_the_weights_of_half_a_network_are_its_own(backbone, alpha, ending, tmp_path) -> None:
    path = tmp_path / f"part.{ending}"
    part = _part(backbone, alpha)
    part.save_weights(path) if ending == "weights.h5" else part.save(path)
    weights_kind.check(ModelConfig(backbone=backbone, alpha=alpha, backbone_weights=str(path)))
    assert weights_kind.find(path) is None


def test_a_wide_v1_without_its_last_layers_is_no_narrow_one(tmp_path) -> None:
    """Its inner kernel of 512x512 is the last one of a network of half the width."""
    whole = NETWORKS["mobilenet_v1"](input_shape=(64, 64, 3), alpha=1.0, include_top=False, weights=None)
    path = tmp_path / "cut.weights.h5"
    keras.Model(whole.input, whole.get_layer("conv_pw_11_relu").output).save_weights(path)
    weights_kind.check(ModelConfig(backbone="mobilenet_v1", alpha=1.0, backbone_weights=str(path)))
    assert weights_kind.find(path) is None


def test_a_damaged_file_is_refused(tmp_path) -> None:
    """What h5py raises depends on the place of the damage: besides OSError, RuntimeError most often."""
    path, draws, refused = tmp_path / "some.weights.h5", np.random.default_rng(0), 0
    network = NETWORKS["mobilenet_v2"](input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)
    network.save_weights(path)
    content = np.fromfile(path, np.uint8)
    for _ in range(30):
        damaged = content.copy()
        damaged[draws.integers(0, len(content), 20_000)] ^= 255
        damaged.tofile(path)
        try:
            weights_kind.check(ModelConfig(alpha=0.35, backbone_weights=str(path)))
        except UserError:
            refused += 1
    assert refused


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    network = NETWORKS["mobilenet_v2"](input_shape=(64, 64, 3), alpha=0.5, include_top=False, weights=None)
    path = tmp_path / "v2.weights.h5"
    network.save_weights(path)
    weights_kind.check(ModelConfig(alpha=0.5, backbone_weights=str(path)))
    weights_kind.check(ModelConfig(alpha=0.6, backbone_weights=str(path)))  # no width of Keras': it may be one's own
    with pytest.raises(
        UserError, match=r"is of mobilenet_v2 with alpha 0\.5, this network is of .*v2 with alpha 0\.35"
    ):
        weights_kind.check(ModelConfig(alpha=0.35, backbone_weights=str(path)))
    with pytest.raises(UserError, match=r"this network is of mobilenet_v1 with alpha 0\.5\. Set `model\.backbone` and"):
        weights_kind.check(ModelConfig(backbone="mobilenet_v1", alpha=0.5, backbone_weights=str(path)))


def test_what_is_no_weights_file_or_of_no_mobilenet_is_refused(tmp_path) -> None:
    text, other = tmp_path / "text.h5", tmp_path / "other.weights.h5"
    text.write_text("no HDF5")
    keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(64, 7)]).save_weights(other)
    with pytest.raises(
        UserError, match=r"text\.h5 is not a Keras weights file\. Give a Keras weights file of mobilenet"
    ):
        weights_kind.check(ModelConfig(backbone_weights=str(text)))
    with pytest.raises(UserError, match=r"other\.weights\.h5 is of another network\. Give a Keras weights file of"):
        weights_kind.check(ModelConfig(backbone_weights=str(other)))
