"""`auto` takes ImageNet weights that lie in Keras' cache; the file is one that Keras itself reads there."""

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from models import imagenet_weights
from models.hyperparameters import ExperimentConfig
from models.network import backbones


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache, on a machine without a network."""

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.src.utils.file_utils.config, "_KERAS_DIR", str(tmp_path), raising=False)
    monkeypatch.setattr(imagenet_weights.urllib.request, "urlopen", refuse)
    return tmp_path


def test_without_a_cache_and_a_network_there_are_none(home) -> None:
    found, reason = imagenet_weights.find("mobilenet_v2", 0.35, (320, 320))
    assert found == "none"
    assert "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5" in reason


def test_a_width_that_keras_has_no_weights_of_is_said(home) -> None:
    assert imagenet_weights.find("mobilenet_v2", 0.4, (320, 320)) == (
        "none",
        "Keras has no ImageNet weights of mobilenet_v2 with alpha 0.4",
    )


@pytest.mark.parametrize(
    ("backbone", "alpha", "size", "build"),
    [
        ("mobilenet_v2", 0.35, 320, keras.applications.MobileNetV2),
        ("mobilenet_v2", 0.35, 128, keras.applications.MobileNetV2),
        ("mobilenet_v1", 0.25, 160, keras.applications.MobileNet),
    ],
)
def test_keras_reads_the_cached_file_that_was_found(home, backbone, alpha, size, build) -> None:
    shape = (224, 224, 3) if size == 320 else (size, size, 3)  # Keras' weights are those of this size
    model = build(input_shape=shape, alpha=alpha, include_top=False, weights=None)
    first = model.layers[1]
    first.set_weights([np.full_like(weight, 0.25) for weight in first.get_weights()])
    folder = home / "models"
    folder.mkdir()
    with h5py.File(folder / imagenet_weights.file_name(backbone, alpha, (size, size)), "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    assert imagenet_weights.find(backbone, alpha, (size, size))[0] == "imagenet"
    settings = {"model.backbone": backbone, "model.alpha": alpha, "model.backbone_weights": "imagenet"}
    loaded = backbones.load_backbone(ExperimentConfig().replace(settings).model, (size, size))
    assert (loaded.model.layers[1].get_weights()[0] == 0.25).all()
