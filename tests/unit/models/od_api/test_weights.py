"""The API's tensor names and ours; expected names are the API's, by hand, and those of `keras.applications`."""

import numpy as np
import pytest

from data.errors import UserError
from models.od_api import weights
from models.od_api.weights import Layer


@pytest.mark.parametrize(
    ("scope", "layer", "norm"),
    [
        ("FeatureExtractor/MobilenetV2/Conv", "Conv1", "bn_Conv1"),
        ("FeatureExtractor/MobilenetV2/MobilenetV2/Conv_1", "Conv_1", "Conv_1_bn"),
        ("FeatureExtractor/MobilenetV2/expanded_conv/project", "expanded_conv_project", "expanded_conv_project_BN"),
        ("FeatureExtractor/MobilenetV2/expanded_conv_13/expand", "block_13_expand", "block_13_expand_BN"),
        ("FeatureExtractor/MobilenetV1/Conv2d_0", "conv1", "conv1_bn"),
        ("FeatureExtractor/MobilenetV1/Conv2d_13_pointwise", "conv_pw_13", "conv_pw_13_bn"),
        ("FeatureExtractor/MobilenetV1/Conv2d_2_depthwise", "conv_dw_2", "conv_dw_2_bn"),
        ("FeatureExtractor/MobilenetV2/layer_19_1_Conv2d_2_1x1_256", "extra_1_squeeze", "extra_1_squeeze_bn"),
        ("FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_5_3x3_s2_128", "extra_4_expand", "extra_4_expand_bn"),
        (
            "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_2_Conv2d_3_3x3_s2_256_depthwise",
            "extra_2_expand_depthwise",
            "extra_2_expand_depthwise_bn",
        ),
        ("BoxPredictor_0/BoxEncodingPredictor", "head_0_box", None),
        ("BoxPredictor_5/ClassPredictor_depthwise", "head_5_class_depthwise", "head_5_class_depthwise_bn"),
        ("BoxPredictor_0/Conv2d_0_1x1_128", None, None),
        ("FeatureExtractor/MobilenetV2/expanded_conv_1/squeeze_excite/Conv", None, None),
        ("Logits/Conv2d_1c_1x1", None, None),
    ],
)
def test_scopes_become_our_layers(scope, layer, norm) -> None:
    assert weights.layer_name(scope) == layer
    if norm:
        assert weights.norm_name(layer) == norm


def test_a_rebuilt_batch_norm_adds_the_bias_whatever_its_averages_are() -> None:
    draw = np.random.default_rng(0)
    beta, mean, x = draw.normal(size=(3, 5)).astype(np.float32)
    norm = weights.rebuilt(beta, mean, draw.uniform(0.0, 9.0, 5))
    scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + weights.EPSILON)
    np.testing.assert_allclose((x - norm["moving_mean"]) * scale + norm["beta"], x + beta, atol=1e-5)


def _layers(alpha: float, per_cell=(3, 6), classes: int = 2) -> dict[str, Layer]:
    """Lists what tells the settings of an SSD on MobileNet v1."""
    layers = {"FeatureExtractor/MobilenetV1/Conv2d_0": Layer(np.zeros((3, 3, 3, int(32 * alpha))))}
    for block, width in ((1, 64), (3, 128), (5, 256), (11, 512)):
        kernel = np.zeros((1, 1, 1, int(width * alpha)), np.float32)
        layers[f"FeatureExtractor/MobilenetV1/Conv2d_{block}_pointwise"] = Layer(kernel)
    for level, count in enumerate(per_cell):
        for kind, outputs in (("BoxEncoding", 4), ("Class", classes + 1)):
            kernel = np.zeros((3, 3, 8, count * outputs), np.float32)
            layers[f"BoxPredictor_{level}/{kind}Predictor"] = Layer(kernel, np.zeros(count * outputs, np.float32))
    return layers


def test_shapes_tell_the_settings() -> None:
    found = weights.convert(_layers(0.75))
    assert found.num_classes == 2
    expected = {"model.backbone": "mobilenet_v1", "model.alpha": 0.75, "model.head": "ssd", "model.num_levels": 2}
    expected |= {"model.head_kernel_size": 3, "anchors.reduce_lowest_level": True}
    assert {path: found.settings[path] for path in expected} == expected
    assert len(found.settings["anchors.aspect_ratios"]) == 5  # and one interpolated
    even = weights.convert(_layers(0.25, per_cell=(4, 4))).settings
    assert (even["model.alpha"], even["anchors.reduce_lowest_level"]) == (0.25, False)
    assert len(even["anchors.aspect_ratios"]) == 3


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, "holds no SSD or SSDLite on MobileNet v1 or v2 .* first layers: none"),
        ({"FeatureExtractor/InceptionV2/Conv2d_1a": Layer(np.zeros((1, 1, 1, 1)))}, "InceptionV2/Conv2d_1a"),
        (_layers(0.75, per_cell=(4, 6)), "has 4, 6 anchors a cell on its levels, which no setting here gives"),
        (_layers(0.75) | {"BoxPredictor_2/ClassPredictor": Layer(np.zeros((1, 1, 1, 18)))}, "has 2 levels .* and 3"),
        (_layers(1.01), "is of a mobilenet_v1 of unknown widths: conv1 32"),
    ],
)
def test_other_networks_are_named(layers, message) -> None:
    with pytest.raises(UserError, match=message):
        weights.convert(layers)
