"""Calls an exported model's three signatures on real images; like a server, it has no code of the project.

    python -m pipeline.components.signature_check MODEL_DIR TFRECORD...

Exit status 0: the model serves. Exit status 1: it does not, with one reason a line on standard output.
"""

import gzip
import itertools
import pathlib
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

NUM_IMAGES = 4
# The three signatures run the same graph on the same pixels, so only rounding may differ.
AGREEMENT_TOLERANCE = 1e-3
INPUTS = {
    "serving_default": ("examples", "string"),
    "serving_bytes": ("image_bytes", "string"),
    "serving_tensor": ("images", "uint8"),
}
OUTPUTS = {  # name: dtype and shape behind the batch; None is D
    "detection_boxes": ("float32", (None, 4)),
    "detection_scores": ("float32", (None,)),
    "detection_classes": ("int32", (None,)),
    "num_detections": ("int32", ()),
}


def find_problems(model_dir: str, tfrecords: Sequence[str]) -> list[str]:
    """Loads the model, calls its signatures image by image and on a batch, and compares the answers.

    Args:
        model_dir: folder of the SavedModel.
        tfrecords: GZIP TFRecord files of tf.Examples; the first `NUM_IMAGES` images are used.

    Returns:
        What is wrong, a sentence each; empty where the model serves.
    """
    import tensorflow as tf

    serialized = list(itertools.islice(_read_records(tfrecords), NUM_IMAGES))
    if not serialized:
        return ["there is no image to try: the split is empty"]
    try:
        model = tf.saved_model.load(model_dir)
    except Exception as error:  # whatever is in the folder, the answer is that it does not load
        return [f"the SavedModel does not load: {_first_line(error)}"]
    problems = _signature_problems(model.signatures)
    if problems:
        return problems
    labels = pathlib.Path(model_dir) / "assets.extra" / "labels.txt"
    if not labels.is_file():
        return ["the SavedModel has no assets.extra/labels.txt"]
    num_classes = len(labels.read_text("utf-8").splitlines())
    images = [_image_bytes(tf, example) for example in serialized]
    for number, (example, encoded) in enumerate(zip(serialized, images, strict=True), start=1):
        pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)[None]
        inputs = {
            "serving_default": tf.constant([example]),
            "serving_bytes": tf.constant([encoded]),
            "serving_tensor": pixels,
        }
        problems += _call_all(model.signatures, inputs, num_classes, f"image {number}")
    batch = {"serving_default": tf.constant(serialized), "serving_bytes": tf.constant(images)}
    return problems + _call_all(model.signatures, batch, num_classes, f"a batch of {len(images)} images")


def main(arguments: Sequence[str]) -> int:
    """Prints the problems and returns 1, or prints a confirmation and returns 0."""
    model_dir, *tfrecords = arguments
    problems = find_problems(model_dir, tfrecords)
    print("\n".join(problems) or f"{', '.join(INPUTS)} answer and agree")
    return 1 if problems else 0


def _read_records(tfrecords: Sequence[str]) -> Iterator[bytes]:
    """Yields the records of GZIP TFRecord files; each is framed by its length and two checksums."""
    for path in tfrecords:
        with gzip.open(path) as file:
            while header := file.read(12):
                yield file.read(struct.unpack("<Q", header[:8])[0])
                file.read(4)


def _signature_problems(signatures: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, (argument, dtype) in INPUTS.items():
        if name not in signatures:
            present = ", ".join(signatures) or "none"
            problems.append(f"the signature {name} is missing; the model has {present}")
            continue
        found = {key: spec.dtype.name for key, spec in signatures[name].structured_input_signature[1].items()}
        if found != {argument: dtype}:
            problems.append(f"{name} needs the input `{argument}` of {dtype}: got {found}")
    return problems


def _call_all(signatures: Mapping[str, Any], inputs: Mapping[str, Any], num_classes: int, what: str) -> list[str]:
    """Calls each signature on its input and returns what is wrong with the answers."""
    problems, answers = [], {}
    for name, value in inputs.items():
        try:
            outputs = signatures[name](**{INPUTS[name][0]: value})
        except Exception as error:  # TensorFlow's errors have no common base with Python's
            problems.append(f"{name} fails on {what}: {_first_line(error)}")
            continue
        answers[name] = {key: np.asarray(tensor) for key, tensor in outputs.items()}
        found = _output_problems(answers[name], len(value), num_classes)
        problems += [f"{name} on {what}: {problem}" for problem in found]
    if not problems:
        first, *others = answers
        for other in others:
            problems += _differences(answers[first], answers[other], f"{first} and {other} on {what}")
    return problems


def _output_problems(outputs: Mapping[str, np.ndarray], batch: int, num_classes: int) -> list[str]:
    if set(outputs) != set(OUTPUTS):
        return [f"needs the outputs {', '.join(OUTPUTS)}: got {', '.join(sorted(outputs))}"]
    depth = outputs["detection_scores"].shape[-1] if outputs["detection_scores"].ndim else 0
    problems = []
    for name, (dtype, shape) in OUTPUTS.items():
        array = outputs[name]
        expected = (batch, *(depth if side is None else side for side in shape))
        if array.dtype.name != dtype or array.shape != expected:
            found = f"{array.dtype.name} {list(array.shape)}"
            problems.append(f"{name} needs {dtype} {list(expected)}: got {found}")
    return problems or _value_problems(outputs, num_classes)


def _value_problems(outputs: Mapping[str, np.ndarray], num_classes: int) -> list[str]:
    boxes, scores, classes, counts = (outputs[name] for name in OUTPUTS)
    depth = scores.shape[1]
    checks = {
        f"num_detections must lie in [0, {depth}]": (counts >= 0) & (counts <= depth),
        "detection_boxes must be finite": np.isfinite(boxes),
        "detection_scores must be finite": np.isfinite(scores),
        "detection_boxes must lie in [0, 1]": (boxes >= 0) & (boxes <= 1),
        "detection_boxes must not be inverted": boxes[..., :2] <= boxes[..., 2:],
        "detection_scores must lie in [0, 1]": (scores >= 0) & (scores <= 1),
        f"detection_classes must lie in [0, {num_classes})": (classes >= 0) & (classes < num_classes),
    }
    return [rule for rule, holds in checks.items() if not holds.all()]


def _differences(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], what: str) -> list[str]:
    for name in OUTPUTS:
        if one[name].shape != other[name].shape:
            shapes = f"{list(one[name].shape)} and {list(other[name].shape)}"
            return [f"{what} disagree: {name} has the shapes {shapes}"]
        difference = np.abs(one[name].astype(np.float64) - other[name]).max(initial=0.0)
        if difference > AGREEMENT_TOLERANCE:
            return [f"{what} disagree: {name} differs by up to {difference:.3g}"]
    return []


def _image_bytes(tf: Any, serialized: bytes) -> bytes:
    return tf.train.Example.FromString(serialized).features.feature["image/encoded"].bytes_list.value[0]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
