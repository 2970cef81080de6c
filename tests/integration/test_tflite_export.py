"""TFLite files against the SavedModel they were made from, on images; nothing is simulated."""

import dataclasses
import io
import os
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tiny_data import CLASS_NAMES, lively_detector, scene_record

from data import errors
from models.evaluation import detections
from models.export import footprint, predict, saved_model, tflite_convert, tflite_detector, tflite_quantise
from models.export.formats import FORMATS
from models.hyperparameters import PostprocessConfig
from models.network import decoding
from models.training import network_cost

SIZE_PX = (64, 80)  # height, width
SETTINGS = {"input.image_height": 64, "input.image_width": 80, "model.alpha": 0.35, "model.first_stride": 8}
EXTRAS = ("labels.txt", "config.json", decoding.FILE_NAME)
# The model of tiles has softmax, too, and the ranges of its logits have a test of their own.
SOFTMAX = pytest.param("softmax", marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def images():
    return [scene_record("train", index).encoded for index in range(8)]


class Exported:
    """A SavedModel and the files made of it, each made when it is first asked for."""

    def __init__(self, folder, images, **settings):
        self.model_dir = str(folder / "model")
        self.detector = lively_detector(len(CLASS_NAMES), **SETTINGS | settings)
        saved_model.export_saved_model(self.detector, CLASS_NAMES, self.model_dir)
        self.model, self.decoder = tflite_convert.load_exported(self.model_dir)
        self.folder, self.images = folder, images
        self.saved = predict.load_detector(self.model_dir)

    def path(self, name):
        path = self.folder / FORMATS[name].file_name
        if not path.exists():
            extras = {extra: detections.read_extra(self.model_dir, extra) for extra in EXTRAS}
            calibration = tflite_convert.calibration_images(self.images, SIZE_PX)
            path.write_bytes(tflite_convert.convert(self.model, self.decoder, FORMATS[name], extras, calibration))
        return str(path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, images):
    return Exported(tmp_path_factory.mktemp("sigmoid"), images)


@pytest.fixture(scope="module")
def softmax(tmp_path_factory, images):
    return Exported(tmp_path_factory.mktemp("softmax"), images, **{"loss.classification": "softmax"})


@pytest.fixture(scope="module")
def tiled(tmp_path_factory, images):
    settings = {"input.tile": "1x2:0.2", "loss.classification": "softmax"}
    small = {"model.backbone": "mobilenet_v1", "model.alpha": 0.75, "model.num_levels": 2}
    return Exported(tmp_path_factory.mktemp("tiles"), images, **settings | small)


def assert_same(found, expected, *, share=1.0, atol=1e-4):
    """Asserts that (nearly) every detection of `expected` is in `found`, with class, score and box."""
    pairs = 0
    for box, score, label in zip(expected.boxes, expected.scores, expected.classes, strict=True):
        near = (found.classes == label) & (np.abs(found.scores - score) < atol)
        pairs += bool((near & (np.abs(found.boxes - box).max(axis=1) < atol)).any())
    assert pairs >= share * len(expected.scores) > 0


@pytest.mark.parametrize("kind", ["exported", SOFTMAX, "tiled"])
def test_a_float32_file_detects_what_the_saved_model_detects(kind, images, request):
    model = request.getfixturevalue(kind)
    found = tflite_detector.load(model.path("tflite_float32")).detect(images)
    for one, expected in zip(found, model.saved.detect(images), strict=True):
        assert len(one.scores) == len(expected.scores)
        np.testing.assert_allclose(one.scores, expected.scores, atol=1e-4)
        assert_same(one, expected)


@pytest.mark.parametrize("kind", ["exported", SOFTMAX])
def test_the_suppression_inside_a_file_finds_the_same(kind, images, request):
    """The operation compares boxes before they are clipped to the image, and equal scores in another order."""
    model = request.getfixturevalue(kind)
    found = predict.load_detector(model.path("tflite_float32_nms")).detect(images)
    for one, expected in zip(found, model.saved.detect(images), strict=True):
        assert (one.boxes >= 0).all()
        assert (one.boxes <= 1).all()
        assert_same(one, expected.above(np.median(expected.scores)), share=0.8)


@pytest.mark.parametrize("kind", ["exported", SOFTMAX])
def test_the_size_of_a_float32_file_is_predicted_from_the_network(kind, request):
    """Four bytes a weight, within 3 %: the graph and what travels with it is small beside the weights."""
    model = request.getfixturevalue(kind)
    size = os.path.getsize(model.path("tflite_float32"))
    assert network_cost.file_bytes(model.detector.network) == pytest.approx(size, rel=0.03)


def test_a_convolution_that_levels_share_counts_once_for_each_batch_norm_folded_into_it():
    """fpnlite's towers: with the weights counted once the prediction is a fifth too low."""
    settings = {"model.head": "fpnlite", "model.head_layers": 2, "model.head_depth": 256, "model.num_levels": 3}
    detector = lively_detector(len(CLASS_NAMES), **SETTINGS | settings)
    module, decoder = saved_model.ServingModule(detector), saved_model.decoder_of(detector)
    content = tflite_convert.convert(module, decoder, FORMATS["tflite_float32"], {})
    assert network_cost.file_bytes(detector.network) == pytest.approx(len(content), rel=0.03)


def fast_ms(run) -> float:
    """Returns what one run of ten stays below: other work on the machine makes single runs slower and none faster."""
    return float(np.quantile(footprint.times_ms(run), 0.1))


def test_the_time_measured_before_training_is_that_of_the_exported_model(exported):
    """Both on this machine, beside whatever else it does: within a factor of 3."""
    assert network_cost.costs(exported.detector)["parameters"] == exported.detector.network.count_params()
    found = network_cost.latency(exported.detector)
    assert found["latency_ms"] <= found["latency_slow_ms"]
    pixels = tf.zeros((1, *SIZE_PX, 3), tf.uint8)
    serve = tf.saved_model.load(exported.model_dir).signatures["serving_tensor"]
    real_ms = fast_ms(lambda: serve(images=pixels)["num_detections"].numpy())
    assert real_ms / 3 < found["latency_ms"] < 3 * real_ms
    path = exported.path("tflite_int8")
    real_ms = fast_ms(footprint.runner(path))
    found = network_cost.latency(exported.detector, ["tflite_int8"])
    assert real_ms / 3 < found["latency_ms"] < 3 * real_ms


def test_a_float16_file_is_about_half_as_large_and_nearly_equal(exported, images):
    sizes = [os.path.getsize(exported.path(f"tflite_{name}")) for name in ("float32", "float16")]
    assert sizes[1] < 0.6 * sizes[0]
    (one,) = tflite_detector.load(exported.path("tflite_float16")).detect(images[:1])
    (expected,) = exported.saved.detect(images[:1])
    assert_same(one, expected, share=0.9, atol=0.01)


@pytest.mark.parametrize("name", ["tflite_int8", "tflite_int8_nms"])
def test_an_int8_file_takes_pixels_and_computes_in_integers(exported, name):
    interpreter = tflite_detector.open_interpreter(exported.path(name))
    interpreter.allocate_tensors()
    (pixels,) = interpreter.get_input_details()
    assert (pixels["dtype"], pixels["quantization"]) == (np.uint8, (1.0, 0))  # a pixel's value as it is
    floats = {row["index"] for row in interpreter.get_tensor_details() if row["dtype"] == np.float32}
    with_floats = {
        row["op_name"]
        for row in interpreter._get_ops_details()
        if floats & {*row["inputs"], *row["outputs"]} and row["op_name"] != "DELEGATE"
    }
    if name == "tflite_int8":
        assert {row["dtype"] for row in interpreter.get_output_details()} == {np.int8}
        assert not floats
    else:
        assert with_floats == {"DEQUANTIZE", "TFLite_Detection_PostProcess"}


@pytest.mark.parametrize("kind", ["exported", SOFTMAX])
def test_int8_outputs_are_close_where_detections_are(kind, images, request):
    """With 256 levels over the useful range a score is off by a few levels; 0.1 leaves room for a tiny network."""
    model = request.getfixturevalue(kind)
    for name in ("tflite_int8", "tflite_int8_nms"):
        found = predict.load_detector(model.path(name)).detect(images[:4])
        for one, expected in zip(found, model.saved.detect(images[:4]), strict=True):
            sure = expected.above(float(expected.scores[min(10, len(expected.scores) - 1)]))
            assert_same(one, sure, share=0.7, atol=0.1)


def test_a_file_carries_its_labels_and_settings(exported):
    path = exported.path("tflite_float32")
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == set(EXTRAS)
    assert detections.read_class_names(path) == tuple(CLASS_NAMES)
    with open(path, "rb") as file:
        assert tf.lite.Interpreter(model_content=file.read()).get_signature_list()


def test_equal_inputs_give_equal_files(exported):
    kind, calibration = FORMATS["tflite_int8"], tflite_convert.calibration_images(exported.images[:3], SIZE_PX)
    first, second = (
        tflite_convert.convert(exported.model, exported.decoder, kind, {"labels.txt": "car\n"}, calibration)
        for _ in "ab"
    )
    assert first == second


def test_calibration_sees_images_as_training_does_and_the_whole_range_of_pixels(images):
    found = tflite_convert.calibration_images(images[:2], SIZE_PX)
    from data import input_pipeline

    expected = input_pipeline.decode_image(tf.constant(images[1]), SIZE_PX).numpy()
    np.testing.assert_array_equal(found[1], expected)
    assert (found[0].min(), found[0].max()) == (0, 255)


def test_the_drawn_images_depend_on_the_seed_alone():
    items = list(range(1000))
    assert tflite_convert.choose(items, 1) == tflite_convert.choose(items, 1) == sorted(tflite_convert.choose(items, 1))
    assert tflite_convert.choose(items, 1) != tflite_convert.choose(items, 2)
    assert tflite_convert.choose(items[:5], 1) == items[:5]


def test_a_model_of_tiles_has_no_suppression_inside(tiled):
    with pytest.raises(
        ValueError, match="needs suppression outside for a model of tiles: got tflite_int8_nms, 1x2:0.2"
    ):
        tflite_convert.convert(tiled.model, tiled.decoder, FORMATS["tflite_int8_nms"], {})


def test_int8_without_calibration_is_an_error(exported):
    with pytest.raises(ValueError, match="`calibration` needs images for `tflite_int8`: got none"):
        tflite_convert.convert(exported.model, exported.decoder, FORMATS["tflite_int8"], {})


def test_a_model_of_another_version_is_one_clear_line(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(errors.UserError, match="holds no network to convert: another version of ssd-tuner exported it"):
        tflite_convert.load_exported(str(tmp_path))


def test_a_decoder_of_other_fields_is_one_clear_line(tmp_path):
    module = tf.Module()
    module.network_outputs = tf.function(lambda images: images, input_signature=[tf.TensorSpec([None, 8, 8, 3])])
    tf.saved_model.save(module, str(tmp_path))
    (tmp_path / detections.EXTRAS).mkdir(exist_ok=True)
    (tmp_path / detections.EXTRAS / decoding.FILE_NAME).write_text('{"image_size": 64}')
    with pytest.raises(errors.UserError, match="Export it again with `ssd-tuner run`"):
        tflite_convert.load_exported(str(tmp_path))


def test_broken_files_are_one_clear_line(tmp_path, exported):
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match="does not exist"):
        predict.load_detector(str(path))
    path.write_bytes(b"no model at all")
    with pytest.raises(ValueError, match="has no labels.txt at its end"):
        predict.load_detector(str(path))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in EXTRAS:
            archive.writestr(name, detections.read_extra(exported.model_dir, name))
    path.write_bytes(b"no model at all" + buffer.getvalue())
    with pytest.raises(ValueError, match="does not load as a TFLite model") as caught:
        predict.load_detector(str(path))
    assert "\n" not in str(caught.value)


def test_ranges_are_those_of_scores_that_count(exported):
    decoder = dataclasses.replace(exported.decoder, postprocess=PostprocessConfig(score_threshold=0.02))
    logits = np.array([[[-100.0, 2.0], [-50.0, -60.0]]], np.float32)  # [1, 2, 2]
    deltas = np.array([[[1.0, -1.0, 0.5, 0.0], [90.0, -90.0, 3.0, 3.0]]], np.float32)
    found = tflite_quantise.output_ranges([(logits, deltas)], decoder)
    assert found.logits == pytest.approx((np.log(0.01 / 0.99), 2.0))
    assert found.deltas == (-1.0, 1.0)
    everything = tflite_quantise.output_ranges(
        [(logits, deltas)], dataclasses.replace(decoder, postprocess=PostprocessConfig(score_threshold=0.0))
    )
    assert everything.logits == (-100.0, 2.0)
    assert everything.deltas == (-90.0, 90.0)


def test_softmax_logits_that_saturate_make_no_detection(exported):
    """The background of the second anchor is far above the range and all classes of the third below it."""
    decoder = dataclasses.replace(
        exported.decoder,
        score_converter="softmax",
        has_background=True,
        postprocess=PostprocessConfig(score_threshold=0.02),
    )
    logits = np.array([[[0.0, 5.0, -40.0], [80.0, 3.0, -40.0], [-10.0, -70.0, -90.0]]], np.float32)
    found = tflite_quantise.output_ranges([(logits, np.zeros((1, 3, 4), np.float32))], decoder)
    scores = [np.asarray(decoder.scores(each)) for each in (logits, np.clip(logits, *found.logits))]
    np.testing.assert_allclose(scores[1], scores[0], atol=0.01)
    assert found.logits[0] > -20
    assert found.logits[1] < 20


def test_a_model_of_half_precision_is_exported_in_float32():
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        detector = lively_detector(2, **SETTINGS)
    finally:
        keras.config.set_dtype_policy(policy)
    copy = saved_model.for_serving(detector)
    assert copy.compute_dtype == "float32"
    for new, old in zip(copy.weights, detector.weights, strict=True):
        np.testing.assert_array_equal(new, old)
