"""Importing detectors of the Object Detection API: a real file, and checkpoints under the API's names."""

import re

import numpy as np
import pytest
import tensorflow as tf

from data import progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.network import pretrained
from models.network.detector import Detector
from models.od_api import tflite as od_api_tflite
from models.od_api import weights_import
from models.training import initial_weights, train
from tests import tiny_data

NAMES = [f"class {number}" for number in range(23)]
SMALL = {
    "input.image_size": 64,
    "model.backbone": "mobilenet_v1",
    "model.alpha": 0.25,
    "model.head": "ssdlite",
    "model.head_kernel_size": 3,
    "model.num_levels": 3,
    "model.background_class": True,
}


@pytest.fixture(scope="module")
def tflite(shared_data):
    """Finds a real detector: SSD on MobileNet v2 of 300 px, batch norm folded, float16."""
    path = shared_data / "weights" / "ssd_mobilenet_v2_300_oidv4_fp16.tflite"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return str(path)


@pytest.fixture(scope="module")
def photos(shared_data):
    """Loads a few real images."""
    paths = sorted((shared_data / "raccoon" / "images").glob("*.jpg"))[:6]
    if not paths:
        pytest.skip(f"no images in {shared_data / 'raccoon'}")

    def load(size: tuple[int, int]) -> list[np.ndarray]:
        images = [tf.io.decode_jpeg(path.read_bytes(), channels=3) for path in paths]
        return [tf.cast(tf.image.resize(image, size), tf.uint8).numpy() for image in images]

    return load


def built(trained: pretrained.Weights, classes: int, **changes) -> Detector:
    """Builds the network of a weights file, or one of other settings, that starts from it."""
    config = ExperimentConfig().replace({**trained.settings, **changes})
    detector = Detector(config, classes)
    own = initial_weights.own_weights(detector.network)
    names = trained.class_names or [str(number) for number in range(classes)]
    initial_weights.fill(detector.network, pretrained.fit(own, trained, config, names).weights)
    return detector


def test_a_real_detector_computes_what_its_file_does(tflite, photos, tmp_path) -> None:
    """On random and real images; rebuilt without images and with them, whose statistics its batch norms then have."""
    images = np.stack(
        [*np.random.default_rng(3).integers(0, 256, (3, 300, 300, 3), dtype=np.uint8), *photos((300, 300))]
    )
    expected = od_api_tflite.outputs(tflite, images.astype(np.float32) / 127.5 - 1.0)
    assert np.abs(expected[0]).max() > 5  # it has something to say
    for calibration in (None, photos):
        imported = weights_import.convert(tflite, NAMES, calibration)
        assert (imported.missing, imported.left, imported.folded) == ((), (), 60)
        assert imported.difference < 1e-3
        pretrained.write(tmp_path / "w.npz", imported.trained)
        detector = built(pretrained.read(tmp_path / "w.npz"), 23)
        found = detector(images)
        for one, name in zip(expected, ("logits", "deltas"), strict=True):
            np.testing.assert_allclose(np.asarray(found[name]), one, atol=1e-3)
    # In training mode a batch's own statistics are about the stored ones, and what comes out is about what it was.
    batch, fixed = np.stack(photos((300, 300))), expected[0][3:]
    plain = built(weights_import.convert(tflite, NAMES).trained, 23)
    calibrated, other = (np.asarray(each(batch, training=True)["logits"]) for each in (detector, plain))
    assert np.abs(calibrated - fixed).mean() < 0.2 * np.abs(other - fixed).mean()


def test_training_begins_with_the_file_and_says_so(tflite, tmp_path) -> None:
    """The train split's classes by name; a training of no epoch has the weights that it begins with."""
    names = ["Car", *NAMES[1:]]
    trained = weights_import.convert(tflite, names).trained
    pretrained.write(tmp_path / "w.npz", trained)
    files = [tiny_data.write_split(tmp_path, split, [tiny_data.scene_record(split, 0)]) for split in ("train", "val")]
    config = ExperimentConfig().replace({"model.weights": str(tmp_path / "w.npz"), "input.image_size": 64})
    texts = []
    with progress.listen(lambda kind, fields: texts.append(fields["text"]) if kind == "note" else None):
        for _ in range(2):
            detector = train.train(config, *files, tiny_data.CLASS_NAMES, epochs=0).detector
    assert len(texts) == 1  # not with every trial
    assert re.fullmatch(
        r"Started from .*w.npz \(ssd_mobilenet_v2_300_oidv4_fp16.tflite\): backbone 260 of 260 tensors, extra levels 40"
        r" of 40 tensors, box predictor 24 of 24 tensors; classes known: car; drawn afresh: class person, class"
        r" bicycle",
        texts[0],
    )
    weights = initial_weights.own_weights(detector.network)
    np.testing.assert_array_equal(weights["block_5_expand/kernel"], trained.weights["block_5_expand/kernel"])
    car = tiny_data.CLASS_NAMES.index("car")
    ours = weights["head_0_class/kernel"].reshape(576, 3, 3)[..., car]
    np.testing.assert_array_equal(ours, trained.weights["head_0_class/kernel"].reshape(576, 3, 24)[..., 1])


def test_a_quantised_file_is_refused(tmp_path) -> None:
    kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 3, 8, 256)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 8))])
    def convolve(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    converter = tf.lite.TFLiteConverter.from_concrete_functions([convolve.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path = tmp_path / "quantised.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(UserError, match="has quantised weights"):
        weights_import.convert(str(path))


def api_names(version: int) -> dict[str, str]:
    """Lists the API's names of the weights of SSDLite on MobileNet v1 with three levels, of TensorFlow 1 or 2."""
    norm = ("gamma", "beta", "moving_mean", "moving_variance")
    names = {}

    def add(layer: str, first: str, second: str, end: str = "", depthwise: bool = False) -> None:
        names[f"{layer}/kernel"] = (
            (f"{first}/depthwise_weights", f"{second}{end}/depthwise_kernel")
            if depthwise
            else (f"{first}/weights", f"{second}{end}/kernel")
        )
        for each in norm:
            ending = "_batchnorm" if end or "Predictor" in second else "_bn"
            names[f"{layer}_bn/{each}"] = (f"{first}/BatchNorm/{each}", f"{second}{ending}/{each}")

    start = "FeatureExtractor/MobilenetV1"
    add("conv1", f"{start}/Conv2d_0", "conv1")
    for block in range(1, 14):
        add(f"conv_dw_{block}", f"{start}/Conv2d_{block}_depthwise", f"conv_dw_{block}", depthwise=True)
        add(f"conv_pw_{block}", f"{start}/Conv2d_{block}_pointwise", f"conv_pw_{block}")
    squeeze, expand = "Conv2d_13_pointwise_1_Conv2d_2_1x1_64", "Conv2d_13_pointwise_2_Conv2d_2_3x3_s2_128"
    add("extra_1_squeeze", f"{start}/{squeeze}", f"FeatureMaps/{squeeze}", "_conv")
    deep = f"{expand}_depthwise"
    add("extra_1_expand_depthwise", f"{start}/{deep}", f"FeatureMaps/{deep}", "_conv", depthwise=True)
    add("extra_1_expand", f"{start}/{expand}", f"FeatureMaps/{expand}", "_conv")
    for level in range(3):
        for ours, kind, head in (("box", "BoxEncoding", "Box"), ("class", "Class", "Class")):
            first = f"BoxPredictor_{level}/{kind}Predictor"
            second = f"BoxPredictor/Convolutional{head}Head_{level}/{kind}Predictor"
            layer = f"head_{level}_{ours}"
            add(f"{layer}_depthwise", f"{first}_depthwise", f"{second}_depthwise", depthwise=True)
            names[f"{layer}/kernel"] = (f"{first}/weights", f"{second}/kernel")
            names[f"{layer}/bias"] = (f"{first}/biases", f"{second}/bias")
    return {ours: pair[version - 1] for ours, pair in names.items()}


def save_checkpoint(folder, network, version: int) -> str:
    """Saves a network under the API's names, with what else a checkpoint holds; returns its prefix."""
    names = api_names(version)
    values = {names[weight.path]: np.asarray(weight) for weight in network.weights}
    assert len(values) == len(names)
    extras = {"global_step": np.int64(7), f"{names['conv1/kernel']}/Momentum": np.zeros((3, 3, 3, 8), np.float32)}
    if version == 2:
        variables = [tf.Variable(value, name=name) for name, value in {**values, **extras}.items()]
        module = tf.Module()
        module.variables_of_all = variables
        tf.saved_model.save(module, str(folder / "saved_model"))
        return tf.train.Checkpoint(model=module).save(str(folder / "ckpt"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in {**values, **extras}.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver().save(session, str(folder / "model.ckpt"))


@pytest.mark.parametrize("version", [1, 2])
def test_checkpoints_give_the_network_back(version, tmp_path) -> None:
    original = tiny_data.lively_detector(4, **SMALL)
    prefix = save_checkpoint(tmp_path, original.network, version)
    imported = weights_import.convert(prefix)
    assert (imported.num_classes, imported.missing, imported.folded, imported.difference) == (4, (), 0, None)
    expected = {path: value for path, value in SMALL.items() if path.startswith("model.")}
    assert {path: imported.trained.settings[path] for path in expected} == expected
    detector = built(imported.trained, 4, **{"input.image_size": 64})
    for weight, theirs in zip(detector.network.weights, original.network.weights, strict=True):
        if "_class/" not in weight.path:
            np.testing.assert_array_equal(np.asarray(weight), np.asarray(theirs))
            continue
        np.testing.assert_array_equal(imported.trained.weights[weight.path], np.asarray(theirs))
    for path in (tmp_path, f"{prefix}.index", *tmp_path.glob("saved_model")):  # a folder, or one of its files
        assert weights_import.convert(str(path)).missing == ()


def test_what_lacks_a_part_of_the_backbone_is_refused_and_other_parts_are_named(tmp_path) -> None:
    network = tiny_data.lively_detector(4, **SMALL).network
    names = api_names(2)
    for lacking in ("extra_1_squeeze/kernel", "conv_pw_7/kernel"):
        values = {names[weight.path]: np.asarray(weight) for weight in network.weights if weight.path != lacking}
        variables = [tf.Variable(value, name=name) for name, value in values.items()]
        prefix = tf.train.Checkpoint(model=variables).write(str(tmp_path / lacking.partition("/")[0] / "ckpt-0"))
        if lacking.startswith("extra"):
            imported = weights_import.convert(prefix)
            assert imported.missing[0] == lacking
            assert imported.came == {"backbone": (135, 135), "extra levels": (10, 15), "box predictor": (42, 42)}
            continue
        with pytest.raises(UserError, match="lacks parts of its mobilenet_v1 .* first conv_pw_7/kernel"):
            weights_import.convert(prefix)


def test_files_of_other_kinds_are_named(tmp_path) -> None:
    (tmp_path / "frozen_inference_graph.pb").write_bytes(b"graph")
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match="is no .tflite file, no checkpoint"):
        weights_import.convert(str(tmp_path / "frozen_inference_graph.pb"))
    with pytest.raises(UserError, match="is not a TFLite file"):
        weights_import.convert(str(tmp_path / "broken.tflite"))
