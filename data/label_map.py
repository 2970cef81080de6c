"""The Object Detection API's label map: names and ids of classes as protobuf text (`label_map.pbtxt`)."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from data import errors

_BACKGROUND = ("background", "none_of_the_above")


def read(path: str | os.PathLike[str]) -> dict[int, tuple[str, ...]]:
    """Reads a label map.

    Args:
        path: of the file; fields that it has besides `id`, `name` and `display_name` count for nothing.

    Returns:
        {id: names} by ascending id: the name to show first (`display_name`, else `name`), then others that records
        may use. The background is left out.

    Raises:
        UserError: the file cannot be read or parsed, an item lacks id or name, or an id comes twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        label_map = text_format.Parse(text, _message_class()(), allow_unknown_field=True)
    except OSError as error:
        raise errors.UserError(f"{path}: the file cannot be read: {error.strerror or error}.") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise errors.UserError(
            f"{path}: no label map: {error}. Its form is: item {{ id: 1 name: 'person' }}."
        ) from error
    names: dict[int, tuple[str, ...]] = {}
    for number, item in enumerate(label_map.item, start=1):
        given = tuple(dict.fromkeys(filter(None, (item.display_name, item.name))))
        if not given or not item.HasField("id") or item.id in names:
            raise errors.UserError(f"{path}: item {number} needs a `name` and an `id` of its own.")
        names[item.id] = given
    return {key: names[key] for key in sorted(names) if key or names[key][-1].casefold() not in _BACKGROUND}


def to_text(class_names: Sequence[str]) -> str:
    """Writes a label map: the classes in label order, with ids from 1."""
    label_map = _message_class()()
    for number, name in enumerate(class_names, start=1):
        label_map.item.add(id=number, name=name)
    return text_format.MessageToString(label_map, as_utf8=True)


@functools.cache
def _message_class() -> type:
    """Returns a message class with the fields of `object_detection.protos.StringIntLabelMap` that matter."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="label_map.proto", package="ssd_tuner", syntax="proto2")
    item = file.message_type.add(name="Item")
    kinds = {"name": field_type.TYPE_STRING, "id": field_type.TYPE_INT32, "display_name": field_type.TYPE_STRING}
    for number, (name, kind) in enumerate(kinds.items(), start=1):
        item.field.add(name=name, number=number, type=kind, label=field_type.LABEL_OPTIONAL)
    file.message_type.add(name="LabelMap").field.add(
        name="item",
        number=1,
        type=field_type.TYPE_MESSAGE,
        type_name=".ssd_tuner.Item",
        label=field_type.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ssd_tuner.LabelMap"))
