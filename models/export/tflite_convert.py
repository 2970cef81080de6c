"""From a SavedModel to TFLite files: three precisions, with and without the suppression inside."""

import contextlib
import io
import random
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data import errors, input_pipeline
from models.evaluation import detections
from models.export import tflite_quantise
from models.export.formats import Format
from models.network import decoding

Tensor = Any
CALIBRATION_SEED = 0
CALIBRATION_IMAGES = 200  # at most; the ranges of the activations hardly change from 100 on
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the ZIP format's first date: equal contents give equal files
_LEAST_IOU = 1e-6  # the operation wants a positive one


def load_exported(model_dir: str) -> tuple[Any, decoding.Decoder]:
    """Loads a SavedModel to convert.

    Args:
        model_dir: folder that `export.export_saved_model` wrote.

    Returns:
        The model and its decoder.

    Raises:
        UserError: it has no decoder or no function `network_outputs`: another version exported it.
    """
    text = detections.read_extra(model_dir, decoding.FILE_NAME)
    earlier = errors.UserError(
        f"`{model_dir}` holds no network to convert: another version of ssd-tuner exported it."
        " Export it again with `ssd-tuner run`."
    )
    model = tf.saved_model.load(model_dir)
    if text is None or not hasattr(model, "network_outputs"):
        raise earlier
    try:
        return model, decoding.Decoder.from_json(text)
    except ValueError as error:
        raise earlier from error


def calibration_images(encoded: Iterable[bytes], size: tuple[int, int]) -> list[np.ndarray]:
    """Decodes and resizes images as in training, without augmentation.

    Args:
        encoded: JPEG or PNG files' bytes; of models trained on tiles, tiles.
        size: height H and width W, px.

    Returns:
        uint8 [H, W, 3] each. One pixel of the first is black and one is white, so that calibration sees the whole range
        of pixels: a quantised input then takes their values as they are.
    """
    images = [input_pipeline.decode_image(tf.constant(one), size).numpy() for one in encoded]
    if images:
        images[0] = images[0].copy()
        images[0][0, 0], images[0][-1, -1] = 0, 255
    return images


def choose(items: Sequence[Any], seed: int = CALIBRATION_SEED, count: int = CALIBRATION_IMAGES) -> list[Any]:
    """Draws up to `count` items, in their order; equal seeds draw equal ones."""
    rows = random.Random(seed).sample(range(len(items)), min(count, len(items)))
    return [items[row] for row in sorted(rows)]


def convert(
    model: Any,
    decoder: decoding.Decoder,
    kind: Format,
    extras: Mapping[str, str],
    calibration: Sequence[np.ndarray] = (),
) -> bytes:
    """Converts a SavedModel's network to a TFLite file for one image.

    The input `images` [1, H, W, 3] takes pixels in [0, 255], as float32, or as uint8 where the precision is int8.
    Without suppression the outputs are `logits` [1, A, C or C + 1] and `deltas` [1, A, 4], float32, or int8 with the
    tensors' scale; with it they are detection_boxes float32 [1, D, 4], detection_classes float32 [1, D], from 0,
    detection_scores float32 [1, D] and num_detections float32 [1]. In an int8 file every operation but
    TFLite_Detection_PostProcess computes in integers.

    Args:
        model: as `load_exported` gives.
        decoder: the same model's.
        kind: of file.
        extras: text files by name, appended as a ZIP archive, which interpreters pass over.
        calibration: as `calibration_images` gives; int8 needs some.

    Returns:
        The file's content.

    Raises:
        ValueError: int8 without calibration images, or suppression inside a model of tiles, whose boxes must be
            merged before it.
    """
    if kind.nms and decoder.grid.count > 1:
        raise ValueError(f"`kind` needs suppression outside for a model of tiles: got {kind.name}, {decoder.tile}.")
    function = (_with_nms(model, decoder) if kind.nms else _network(model, decoder)).get_concrete_function()
    holder = tf.Module()  # the converter saves and loads its object: the weights alone, not three signatures
    holder.weights = list(function.graph.variables)
    with _quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
        converter.allow_custom_ops = kind.nms
        if kind.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind.precision == "int8":
            content = _quantised(converter, model, decoder, kind, calibration)
        else:
            content = converter.convert()
    return _append(content, extras)


def _quantised(
    converter: Any, model: Any, decoder: decoding.Decoder, kind: Format, calibration: Sequence[np.ndarray]
) -> bytes:
    if not len(calibration):
        raise ValueError(f"`calibration` needs images for `{kind.name}`: got none.")

    def images() -> Iterator[np.ndarray]:  # one float copy at a time: all of them, and their outputs, may be gigabytes
        return (image[None].astype(np.float32) for image in calibration)

    converter.representative_dataset = lambda: ({"images": image} for image in images())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_calibrate_only = True  # the ranges of the outputs are cut before it quantises
    outputs = map(model.network_outputs, images())
    ranges = tflite_quantise.output_ranges(((one["logits"].numpy(), one["deltas"].numpy()) for one in outputs), decoder)
    return tflite_quantise.quantise(converter.convert(), ranges, tf.float32 if kind.nms else tf.int8)


def _network(model: Any, decoder: decoding.Decoder) -> Any:
    @tf.function(input_signature=[_images_spec(decoder)])
    def network(images: Tensor) -> dict[str, Tensor]:
        return model.network_outputs(images)

    return network


def _with_nms(model: Any, decoder: decoding.Decoder) -> Any:
    boxes = decoder.anchors
    centre_size = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)  # [A, 4]

    @tf.function(input_signature=[_images_spec(decoder)])
    def network(images: Tensor) -> dict[str, Tensor]:
        outputs = model.network_outputs(images)
        scores = decoder.scores(outputs["logits"])
        suppress = _suppression(decoder, scores.shape[-1])
        found = suppress(outputs["deltas"], scores, tf.constant(centre_size, tf.float32))
        # The converter numbers the outputs by name, which is the order that edge runtimes expect.
        return dict(
            zip(("detection_boxes", "detection_classes", "detection_scores", "num_detections"), found, strict=True)
        )

    return network


def _suppression(decoder: decoding.Decoder, num_classes: int) -> Any:
    """Makes the function that the converter replaces by TFLite_Detection_PostProcess; its own body is never run."""
    settings = decoder.postprocess
    ints = {
        "max_detections": settings.max_detections,
        "max_classes_per_detection": 1,  # of the fast suppression, which mixes the classes; not used
        "detections_per_class": settings.max_per_class,
        "num_classes": num_classes,
    }
    floats = {
        "nms_score_threshold": settings.score_threshold,
        "nms_iou_threshold": max(settings.nms_iou, _LEAST_IOU),
        **{f"{side}_scale": 1.0 / by for side, by in zip("yxhw", decoder.variances, strict=True)},
    }
    attributes = [f'attr {{ key: "{name}" value {{ i: {value} }} }}' for name, value in ints.items()]
    attributes += [f'attr {{ key: "{name}" value {{ f: {value:.9g} }} }}' for name, value in floats.items()]
    attributes += ['attr { key: "use_regular_nms" value { b: true } }']
    shapes = ([1, settings.max_detections, 4], [1, settings.max_detections], [1, settings.max_detections], [1])

    @tf.function(experimental_implements=" ".join(['name: "TFLite_Detection_PostProcess"', *attributes]))
    def post_process(box_encodings: Tensor, class_predictions: Tensor, anchors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tf.zeros(shape) for shape in shapes)

    return post_process


def _images_spec(decoder: decoding.Decoder) -> tf.TensorSpec:
    return tf.TensorSpec([1, *decoder.image_size, 3], tf.float32, name="images")


def _append(content: bytes, extras: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    buffer.write(content)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, text in extras.items():
            info = zipfile.ZipInfo(name, _EARLIEST)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)
    return buffer.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drops the converter's warnings about its own internals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
