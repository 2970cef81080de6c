"""Finds what is what among the features of a dataset of TensorFlow Datasets, by their types and usual names."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from data import errors

_LABEL_KEYS = ("label", "type", "category", "class")
_IGNORE_KEYS = ("is_crowd", "iscrowd", "is_difficult", "difficult", "is_group_of", "group_of", "invalid", "ignore")
_ID_KEYS = ("image/filename", "image/file_name", "filename", "file_name", "image/id", "id", "image_id")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which features of a dataset are what; names as in its tf.Examples.

    Attributes:
        image: of the encoded image.
        boxes: of the boxes: ymin, xmin, ymax, xmax as fractions of the sides.
        label: of their classes, or None where all boxes are of one class.
        ignore: flags of regions to ignore.
        area: of areas in px^2, or None.
        ids: names of the example, best first.
        class_names: as TFDS lists them.
    """

    image: str
    boxes: str
    label: str | None
    ignore: tuple[str, ...]
    area: str | None
    ids: tuple[str, ...]
    class_names: tuple[str, ...]


def find_layout(features: Any, dataset_name: str, spec: str, objects: str | None = None) -> Layout:
    """Finds image, boxes and classes among a dataset's features by their types.

    Args:
        features: `tfds.features.FeaturesDict`.
        dataset_name: as TFDS knows it, for the class of boxes that have none.
        spec: what the user typed, for errors.
        objects: name of the feature that holds the boxes, or None to find it.

    Returns:
        The layout. Boxes without a class are of one, named after their feature: "face" for `faces`.

    Raises:
        UserError: no boxes or no image, or several and no telling which.
    """
    import tensorflow_datasets as tfds

    groups = _box_groups(features)
    if not groups:
        raise errors.UserError(
            f"Dataset `{spec}`: {dataset_name} has no feature with boxes; it has {', '.join(features)}. Choose a"
            " detection dataset."
        )
    wanted = objects or next((name for name in groups if name.rpartition("/")[2] == "objects"), None)
    if wanted is None and len(groups) > 1:
        raise errors.UserError(
            f"Dataset `{spec}` has several features with boxes: {', '.join(groups)}. Choose one with {spec},"
            f"objects={next(iter(groups))}."
        )
    name = wanted or next(iter(groups))
    if name not in groups:
        raise errors.UserError(f"Dataset `{spec}`: no boxes in `{name}`.{errors.nearest(name, groups)}")
    box_key, siblings = groups[name]
    parent = name.rpartition("/")[0]
    flat = dict(_walk(features))
    label = _label_key(siblings)
    label_name = f"{name}/{label}" if label else _own_label(flat, parent)
    label_feature = siblings[label] if label else flat.get(label_name)
    return Layout(
        image=_image_key({key: f for key, f in flat.items() if isinstance(f, tfds.features.Image)}, parent, spec),
        boxes=box_key,
        label=label_name,
        ignore=tuple(f"{name}/{key}" for key in _IGNORE_KEYS if key in siblings),
        area=f"{name}/area" if "area" in siblings else None,
        ids=tuple(
            key for short in _ID_KEYS for key in dict.fromkeys((_join(parent, short), short)) if _is_id(flat.get(key))
        ),
        class_names=tuple(label_feature.names) if label_feature is not None else (_object_name(name),),
    )


def _box_groups(features: Any) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Returns {name: (boxes' key, features beside them)}: of sequences where there are any, else of single boxes."""
    import tensorflow_datasets as tfds

    box = tfds.features.BBoxFeature
    sequences: dict[str, tuple[str, Mapping[str, Any]]] = {}
    singles: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, feature in _walk(features):
        inner = getattr(feature, "feature", None) if isinstance(feature, tfds.features.Sequence) else None
        if isinstance(inner, tfds.features.FeaturesDict):
            keys = [key for key, each in inner.items() if isinstance(each, box)]
            if keys:
                key = "bbox" if "bbox" in keys else keys[0]
                sequences[name] = (f"{name}/{key}", dict(inner.items()))
        elif isinstance(inner, box):
            sequences[name] = (name, {})
        elif isinstance(feature, box):
            singles[name] = (name, {})
    return sequences or singles


def _walk(features: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (name, feature) of all features that are not dictionaries themselves."""
    import tensorflow_datasets as tfds

    for key, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict):
            yield from _walk(feature, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", feature


def _label_key(features: Mapping[str, Any]) -> str | None:
    """Names the feature that says of which class something is."""
    import tensorflow_datasets as tfds

    classes = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    usual = next((key for key in _LABEL_KEYS if key in classes), None)
    return usual or (classes[0] if len(classes) == 1 else None)


def _own_label(flat: Mapping[str, Any], parent: str) -> str | None:
    """Names the feature that says of which class the whole image is, as where one bird is shown."""
    import tensorflow_datasets as tfds

    names = (_join(parent, key) for key in _LABEL_KEYS)
    return next((name for name in names if isinstance(flat.get(name), tfds.features.ClassLabel)), None)


def _image_key(images: Mapping[str, Any], parent: str, spec: str) -> str:
    wanted = (_join(parent, "image"), "image")
    found = next((key for key in wanted if key in images), None)
    if found is None and len(images) == 1:
        found = next(iter(images))
    if found is None:
        raise errors.UserError(f"Dataset `{spec}`: which feature is the image? It has {', '.join(images) or 'none'}.")
    return found


def _is_id(feature: Any) -> bool:
    """Says whether a feature is a text or a whole number."""
    return feature is not None and feature.shape == () and feature.np_dtype in (np.object_, np.int64, np.int32, str)


def _object_name(name: str) -> str:
    """Makes a class name of a feature's: "face" of "faces", "head" of "head_bbox"."""
    word = re.sub("_?(bbox|bounding_box|box)(es)?$", "", name.rpartition("/")[2]).strip("_")
    return word.removesuffix("s") or "object"


def _join(parent: str, key: str) -> str:
    return f"{parent}/{key}" if parent else key
