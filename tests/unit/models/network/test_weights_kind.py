"""Weights files are recognised by the shapes of their kernels: real networks of Keras, saved and read."""

import keras
import pytest

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
