"""One example of detection ground truth, and its tf.Example form with the Object Detection API's keys.

The message classes are declared here, wire-compatible with `tf.train.Example`, so that neither the command
line nor a Beam worker has to import TensorFlow (10 s) to read or write an example.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from data import boxes as box_forms

Example: TypeAlias = Any  # a message of type tensorflow.Example; protobuf makes the class at run time

_CORNERS = ("ymin", "xmin", "ymax", "xmax")
_MAGIC_BYTES = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png"}


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionRecord:
    """One image with its ground truth.

    Attributes:
        source_id: name of the example, unique in its split.
        encoded: JPEG or PNG bytes.
        image_format: "jpeg" or "png".
        height: of the image, px.
        width: of the image, px.
        boxes: float32 [N, 4] ymin, xmin, ymax, xmax as fractions of the image's sides; N may be 0.
        labels: int32 [N], from 0.
        is_crowd: bool [N]; True marks a region to ignore, neither positive nor negative (COCO's iscrowd).
        area_px: float32 [N], px^2; COCO's area ranges use it.
        mended: what was mended without guessing when the example was read, as "box clipped to the image"; not stored.

    Raises:
        ValueError: on construction, where the arrays disagree about N.
    """

    source_id: str
    encoded: bytes
    image_format: str
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    is_crowd: np.ndarray
    area_px: np.ndarray
    mended: tuple[str, ...] = ()

    @property
    def num_ignored(self) -> int:
        """Number of regions to ignore; one that several classes ignore counts once."""
        return len({tuple(box) for box in self.boxes[self.is_crowd].tolist()})

    def __post_init__(self) -> None:
        """Checks that the arrays belong together."""
        n = len(self.labels)
        shapes = {"boxes": (n, 4), "labels": (n,), "is_crowd": (n,), "area_px": (n,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                got = list(getattr(self, name).shape)
                raise ValueError(f"`{name}` of `{self.source_id}` needs the shape {list(shape)}: got {got}.")


def encode_example(record: DetectionRecord, class_names: Sequence[str]) -> Example:
    """Encodes a record as tf.Example.

    `image/object/class/label` is stored from 1, as the Object Detection API does.

    Args:
        record: the example; its labels lie in [0, C).
        class_names: the C names in label order.

    Returns:
        A message with the fields of `tf.train.Example`; `decode_example` inverts. For equal bytes from equal
        records serialise it with `SerializeToString(deterministic=True)`.

    Raises:
        ValueError: a label has no class name.
    """
    labels = record.labels.tolist()
    if labels and not 0 <= min(labels) <= max(labels) < len(class_names):
        bad = min(labels) if min(labels) < 0 else max(labels)
        raise ValueError(f"`labels` of `{record.source_id}` must lie in [0, {len(class_names)}): got {bad}.")
    example = _example_class()()
    features = example.features.feature
    _set_bytes(features, "image/source_id", [record.source_id.encode()])
    _set_bytes(features, "image/encoded", [record.encoded])
    _set_bytes(features, "image/format", [record.image_format.encode()])
    _set_ints(features, "image/height", [record.height])
    _set_ints(features, "image/width", [record.width])
    for column, corner in enumerate(_CORNERS):
        _set_floats(features, f"image/object/bbox/{corner}", record.boxes[:, column].tolist())
    _set_ints(features, "image/object/class/label", [label + 1 for label in labels])
    _set_bytes(features, "image/object/class/text", [class_names[label].encode() for label in labels])
    _set_ints(features, "image/object/is_crowd", record.is_crowd.astype(int).tolist())
    _set_floats(features, "image/object/area", record.area_px.tolist())
    return example


def stored_features() -> dict[str, str]:
    """Lists what `encode_example` stores: {key: "bytes_list", "int64_list" or "float_list"}."""
    one_box = np.zeros((1, 4), np.float32)
    record = DetectionRecord("", b"", "", 0, 0, one_box, np.zeros(1, np.int32), np.zeros(1, bool), one_box[:, 0])
    features = encode_example(record, ("",)).features.feature
    return {key: feature.WhichOneof("kind") for key, feature in sorted(features.items())}


def decode_example(example: Example | bytes) -> DetectionRecord:
    """Decodes a tf.Example with the Object Detection API's keys; the inverse of `encode_example`.

    Where the optional `image/format`, `image/object/is_crowd` or `image/object/area` is missing, the format
    comes from the image's first bytes, no box is a crowd, and the areas are those of the boxes.

    Args:
        example: a `tf.train.Example`, a message made by `encode_example`, or either one serialised.

    Returns:
        The record; labels from 0.

    Raises:
        ValueError: a feature is missing or the bytes are not a tf.Example.
    """
    features = _parsed(example).features.feature
    height, width = (int(_one(features, f"image/{side}", "int64_list")) for side in ("height", "width"))
    encoded = _one(features, "image/encoded", "bytes_list")
    columns = [_values(features, f"image/object/bbox/{corner}", "float_list") for corner in _CORNERS]
    boxes = np.array(columns, dtype=np.float32).reshape(4, -1).T  # [N, 4]
    is_crowd = _values(features, "image/object/is_crowd", "int64_list") or [0] * len(boxes)
    area_px = _values(features, "image/object/area", "float_list")
    return DetectionRecord(
        source_id=_one(features, "image/source_id", "bytes_list").decode(),
        encoded=encoded,
        image_format=_format_of(features, encoded),
        height=height,
        width=width,
        boxes=boxes,
        labels=np.array(_values(features, "image/object/class/label", "int64_list"), dtype=np.int32) - np.int32(1),
        is_crowd=np.array(is_crowd, dtype=bool),
        area_px=np.array(area_px, np.float32) if area_px else box_forms.areas_px(boxes, height, width),
    )


def read_features(example: Example | bytes) -> dict[str, list[Any]]:
    """Reads a tf.Example with any keys.

    Args:
        example: as `decode_example` takes it.

    Returns:
        {key: values}, each bytes, float or int; an empty feature has no values.

    Raises:
        ValueError: the bytes are not a tf.Example.
    """
    features = _parsed(example).features.feature
    kinds = {key: feature.WhichOneof("kind") for key, feature in features.items()}
    return {key: list(getattr(features[key], kind).value) if kind else [] for key, kind in kinds.items()}


def image_format(encoded: bytes) -> str | None:
    """Names an image's format by its first bytes: "jpeg", "png", or None where it is neither."""
    return next((name for magic, name in _MAGIC_BYTES.items() if encoded.startswith(magic)), None)


def _format_of(features: Any, encoded: bytes) -> str:
    stored = _values(features, "image/format", "bytes_list")
    return stored[0].decode() if stored else image_format(encoded) or "unknown"


def _parsed(example: Example | bytes) -> Example:
    if not isinstance(example, bytes):
        return example
    try:
        return _example_class().FromString(example)
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        raise ValueError(f"`example` is not a serialised tf.Example ({len(example)} bytes): {error}") from error


def _values(features: Any, key: str, kind: str) -> list[Any]:
    return list(getattr(features[key], kind).value) if key in features else []


def _one(features: Any, key: str, kind: str) -> Any:
    values = _values(features, key, kind)
    if len(values) != 1:
        raise ValueError(
            f"A tf.Example needs one value of `{key}`: got {len(values)}."
            f" Its keys: {', '.join(sorted(features)) or 'none'}."
        )
    return values[0]


def _set_bytes(features: Any, key: str, values: Iterable[bytes]) -> None:
    features[key].bytes_list.value.extend(values)


def _set_floats(features: Any, key: str, values: Iterable[float]) -> None:
    features[key].float_list.value.extend(values)


def _set_ints(features: Any, key: str, values: Iterable[int]) -> None:
    features[key].int64_list.value.extend(values)


@functools.cache
def _example_class() -> Any:
    """Returns the message class, made in a pool of its own so that TensorFlow's can be loaded beside it."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")

    def add(message: Any, name: str, number: int, kind: int, type_name: str = "", repeated: bool = False) -> Any:
        label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
        return message.field.add(
            name=name,
            number=number,
            type=kind,
            type_name=f".tensorflow.{type_name}" if type_name else None,
            label=label,
        )

    lists = {
        "BytesList": field_type.TYPE_BYTES,
        "FloatList": field_type.TYPE_FLOAT,
        "Int64List": field_type.TYPE_INT64,
    }
    for name, kind in lists.items():
        add(file.message_type.add(name=name), "value", 1, kind, repeated=True)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(lists, start=1):
        field = add(feature, name.replace("List", "_list").lower(), number, field_type.TYPE_MESSAGE, name)
        field.oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, field_type.TYPE_STRING)
    add(entry, "value", 2, field_type.TYPE_MESSAGE, "Feature")
    add(features, "feature", 1, field_type.TYPE_MESSAGE, "Features.FeatureEntry", repeated=True)
    add(file.message_type.add(name="Example"), "features", 1, field_type.TYPE_MESSAGE, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
