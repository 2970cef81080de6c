"""Reads detection datasets that TensorFlow Datasets has prepared on disk, whatever their features are called.

What TFDS stored is read as it is: its files hold tf.Examples, whose image bytes are taken over without decoding them.
Boxes, classes and what marks a region to ignore are found by the features' types and usual names (`tfds_layout`).
"""

import dataclasses
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data import errors, examples, progress
from data.examples import DetectionRecord
from data.sources import annotated, base, example_records, tfds_layout, values

_NAME = re.compile(r"\w+(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")
_OPTIONS = ("download", "data_dir", "objects")
_UPSIDE_DOWN = ("kitti",)  # whose builder counts y from the bottom (its `_build_bounding_box`)
_PEEKED = 200  # examples in which a split must show a box; TFDS shuffles them when it writes


@dataclasses.dataclass(frozen=True, slots=True)
class RowItem:
    """One example of a file format with random access (ArrayRecord).

    Attributes:
        source_id: its name, unique in its split.
        split: as TFDS calls it.
        index: in the split.
        problem: why it is unusable, or None.
    """

    source_id: str
    split: str
    index: int
    problem: str | None = None


class TfdsSource(base.Reader):
    """A dataset of TensorFlow Datasets with boxes."""

    kind = "tfds"
    argument_help = ":NAME[/CONFIG][:VERSION][,download=1,data_dir=PATH,objects=FEATURE]"

    def __init__(self, spec: str, builder: Any, objects: str | None, options: base.ReadOptions) -> None:
        """Looks through the features and finds each example's place.

        Args:
            spec: what the user typed.
            builder: prepared `tfds.core.DatasetBuilder`.
            objects: name of the boxes' feature, or None to find it.
            options: answers to what the data leaves open.

        Raises:
            UserError: there are no boxes or no splits, it is not clear which ones are meant, or files are missing or
                damaged.
        """
        self.spec, self.options = spec, options
        self.layout = tfds_layout.find_layout(builder.info.features, builder.name, spec, objects)
        self.class_names = tuple(name for name in self.layout.class_names if not base.is_ignore_category(name))
        self._name, self._root = _exact_name(builder), str(builder.data_dir_root)
        self._upside_down = builder.name in _UPSIDE_DOWN
        self._folder = str(builder.data_dir)
        self._items: dict[str, list[Any]] = {}
        for split, name in _splits(spec, builder).items():
            items = self._read_items(builder, name)
            if items is None:
                progress.emit("note", text=f"Split {name} of `{spec}` has no boxes; it is left out.")
            else:
                self._items[split] = items
        self.splits = tuple(split for split in base.SPLITS if split in self._items)
        if not self.splits:
            raise errors.UserError(f"Dataset `{spec}`: no split has a box. Check that it was prepared with boxes.")

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the items behind: a worker gets those it loads."""
        return self.__dict__ | {"_items": {}}

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "TfdsSource":
        """Opens a dataset that lies prepared on disk; nothing is downloaded unless told to.

        Args:
            spec: what the user typed.
            argument: NAME, NAME/CONFIG, NAME:VERSION or NAME/CONFIG:VERSION as TFDS knows it; then, behind commas,
                download=1 (download and prepare it first where it is not), data_dir=PATH (instead of TFDS's own
                folder), objects=FEATURE (the feature with the boxes, where there are several).
            options: answers to what the data leaves open.

        Returns:
            The source.

        Raises:
            UserError: the name or an option is unknown, the dataset is not prepared, or it cannot be read.
        """
        name, values = _parse(spec, argument)
        data_dir = os.path.expanduser(values["data_dir"]) if "data_dir" in values else None
        builder = _builder(name, data_dir)
        if not builder.is_prepared():
            if values.get("download") != "1":
                more = f" --data_dir={data_dir}" if data_dir else ""
                raise errors.UserError(
                    f"Dataset `{spec}` is not prepared in {builder.data_dir}. Download and prepare it with"
                    f" --dataset={spec},download=1, or with: tfds build {name}{more}"
                )
            progress.emit("note", text=f"Downloading and preparing {name} in {builder.data_dir} ...")
            builder.download_and_prepare()
            _builder.cache_clear()
            builder = _builder(name, data_dir)
        return cls(spec, builder, values.get("objects"), options)

    def fingerprint(self) -> str:
        """Returns a digest of the dataset's name, the options and the names and contents of all its files."""
        folder = Path(self._folder)
        files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."] if folder.is_dir() else []
        return example_records.digest(files, self._name, self.layout, self.options)

    def items(self, split: str) -> list[Any]:
        """Lists a split's examples in the order of TFDS's files."""
        return list(self._items[split])

    def load(self, item: Any) -> DetectionRecord:
        """Reads one example and checks it.

        Args:
            item: one of `items`.

        Returns:
            The example.

        Raises:
            BadExampleError: the record, its image or a box is unusable.
        """
        file, features = self._read_features(item)
        try:
            encoded, stated = self._parse_boxes(features, item.source_id, file)
            return example_records.to_record(encoded, stated, len(self.class_names), self.options)
        except errors.BadExampleError as error:
            place = f"byte {item.offset}" if isinstance(item, example_records.RecordItem) else f"row {item.index}"
            raise type(error)(file, f"record at {place} ({item.source_id}): {error.reason}", error.kind) from error

    def glance(self, item: Any) -> base.Glance:
        """Tells what a record holds; the record is read and its image not decoded.

        Args:
            item: one of `items`.

        Raises:
            BadExampleError: the record is unusable.
        """
        file, features = self._read_features(item)
        return example_records.glance(*self._parse_boxes(features, item.source_id, file))

    def _read_items(self, builder: Any, split: str) -> list[Any] | None:
        """Lists a split's items with their names; None where its examples have no boxes."""
        items, names, boxes_seen = [], [], False
        for item, features in _scan(self.spec, builder, split):
            number = len(items)
            boxes_seen = boxes_seen or bool((features or {}).get(self.layout.boxes))
            if not boxes_seen and number >= _PEEKED:
                return None
            items.append(item)
            ids = (_id(features, key) for key in self.layout.ids)
            names.append((*ids, f"{split}-{number:06d}"))
        return example_records.name_items(items, names, f"Split {split} of `{self.spec}`") if boxes_seen else None

    def _read_features(self, item: Any) -> tuple[str, example_records.Features]:
        """Returns the name of an item's file, and its features."""
        if isinstance(item, example_records.RecordItem):
            return item.path, example_records.read_item(item)
        file = f"{self._name}, split {item.split}"
        if item.problem:
            raise errors.BadExampleError(file, f"record at row {item.index}: {item.problem}")
        return file, examples.read_features(_rows(self._name, self._root, item.split)[item.index])

    def _parse_boxes(
        self, features: example_records.Features, source_id: str, file: str
    ) -> tuple[bytes, annotated.AnnotatedImage]:
        layout = self.layout
        encoded = features.get(layout.image, [])
        if len(encoded) != 1:
            raise errors.BadExampleError(file, f"it needs one `{layout.image}`: got {len(encoded)}")
        ymin, xmin, ymax, xmax = np.array(features.get(layout.boxes, []), np.float64).reshape(-1, 4).T
        if self._upside_down:
            ymin, ymax = 1.0 - ymax, 1.0 - ymin
        count = len(ymin)
        flags = [_per_box(features, key, count, file) for key in layout.ignore]
        areas = _per_box(features, layout.area, count, file) if layout.area else None
        return encoded[0], annotated.AnnotatedImage(
            source_id=source_id,
            path=file,
            boxes=tuple(map(tuple, np.stack([xmin, ymin, xmax, ymax], axis=1).tolist())),  # N of 4
            labels=tuple(self._labels(features, count, file)),
            is_crowd=tuple(any(map(values.flag, row)) for row in zip(*flags, strict=True)) or (False,) * count,
            areas_px=example_records.areas_px(areas, count),
            box_form="xyxy",
        )

    def _labels(self, features: example_records.Features, count: int, file: str) -> list[int]:
        layout = self.layout
        if layout.label is None:
            return [0] * count
        given = features.get(layout.label, [])
        if not layout.label.startswith(layout.boxes.rpartition("/")[0] or "/"):
            given = given * count  # the image's own class is that of its boxes
        if len(given) != count:
            raise errors.BadExampleError(file, f"it has {count} boxes and {len(given)} labels")
        unknown = next((label for label in given if not 0 <= label < len(layout.class_names)), None)
        if unknown is not None:
            raise errors.BadExampleError(file, f"it has a box of class {unknown}, which has no name", "unknown_class")
        names = [layout.class_names[label] for label in given]
        return [
            annotated.IGNORE_LABEL if base.is_ignore_category(name) else self.class_names.index(name) for name in names
        ]


def _parse(spec: str, argument: str) -> tuple[str, dict[str, str]]:
    name, *assignments = argument.split(",")
    if not _NAME.fullmatch(name):
        raise errors.UserError(f"Dataset `{spec}`: write tfds:NAME, tfds:NAME/CONFIG or tfds:NAME/CONFIG:VERSION.")
    values = {}
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        if key not in _OPTIONS or not value:
            hint = errors.nearest(key, _OPTIONS) if key not in _OPTIONS else " It needs a value."
            raise errors.UserError(f"Dataset `{spec}`: unknown option `{assignment}`.{hint}")
        values[key] = value
    return name, values


@functools.lru_cache(maxsize=4)
def _builder(name: str, data_dir: str | None) -> Any:
    """Returns TFDS's builder, made once a process."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        short = re.split("[/:]", name)[0]
        raise errors.UserError(
            f"TFDS knows no dataset `{short}`.{errors.nearest(short, tfds.list_builders())}"
        ) from error
    except (ValueError, AssertionError, NotImplementedError) as error:
        raise errors.UserError(f"TFDS cannot open `{name}`: {' '.join(str(error).split())}") from error


def _exact_name(builder: Any) -> str:
    """Returns NAME/CONFIG:VERSION, by which another process opens the same data."""
    return ":".join(builder.info.full_name.rsplit("/", 1))


@functools.lru_cache(maxsize=4)
def _rows(name: str, data_dir: str, split: str) -> Any:
    """Returns a split's serialised examples, opened once a process."""
    import tensorflow_datasets as tfds

    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    return _builder(name, data_dir).as_data_source(split=split, deserialize_method=raw)


def _splits(spec: str, builder: Any) -> dict[str, str]:
    """Returns {our split: TFDS's}; a dataset with one split of another name has only train."""
    known: dict[str, str] = {}
    for name in builder.info.splits:
        if name in base.SPLIT_NAMES:
            known.setdefault(base.SPLIT_NAMES[name], name)
    names = list(builder.info.splits)
    if not known and len(names) == 1:
        return {"train": names[0]}
    if not known:
        raise errors.UserError(f"Dataset `{spec}` has no split train, validation or test; it has {', '.join(names)}.")
    return {split: known[split] for split in base.SPLITS if split in known}


def _scan(spec: str, builder: Any, split: str) -> Iterator[tuple[Any, example_records.Features | None]]:
    """Yields each example's place, without a name, and its features."""
    import tensorflow_datasets as tfds

    file_format = builder.info.file_format
    if file_format == tfds.core.FileFormat.TFRECORD:
        paths = [str(path) for path in builder.info.splits[split].filepaths]
        missing = next((path for path in paths if not os.path.exists(path)), None)
        if missing:
            raise errors.UserError(f"Dataset `{spec}`: {missing} is missing. Prepare the dataset again.")
        yield from example_records.scan(paths)
    elif file_format == tfds.core.FileFormat.ARRAY_RECORD:
        rows = _rows(_exact_name(builder), str(builder.data_dir_root), split)
        for index in range(len(rows)):
            yield RowItem("", split, index), examples.read_features(rows[index])
    else:
        raise errors.UserError(
            f"Dataset `{spec}` is stored as {file_format}; tfrecord and array_record can be read. Prepare it so."
        )


def _id(features: example_records.Features | None, key: str) -> str | None:
    values = (features or {}).get(key)
    if not values:
        return None
    return values[0].decode("utf-8", "replace") if isinstance(values[0], bytes) else str(values[0])


def _per_box(features: example_records.Features, key: str, count: int, file: str) -> list[Any]:
    values = features.get(key, [])
    if len(values) != count:
        raise errors.BadExampleError(file, f"`{key}` has {len(values)} values for {count} boxes")
    return values
