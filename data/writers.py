"""Writers of datasets in the formats that others read: COCO, VOC, YOLO, Object Detection API TFRecord.

A writer gets one checked example after another and keeps none. Image bytes are written as they are. Coordinates are
written with the fewest digits that come back as the same float32 boxes.
"""

import abc
import collections
import contextlib
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, ClassVar, TextIO
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from data import boxes as box_forms
from data import examples, image_names, label_map, tfrecord_files
from data.examples import DetectionRecord
from data.sources import box_units

CROWD = "regions to ignore, which become background"
AREA = "areas that are not the box's own, as of masks"
CLASS_ORDER = "the order of the classes, which come back by name"
UNUSED_CLASS = "the names of classes without a box"

IGNORED_NAME = "DontCare"  # of a region that every class ignores, in a format whose classes are free text
_MOST_DIGITS = 17
_OVERHANG = 1e-6  # of a side that rounding may put outside the image; readers clip it
_RECORDS_PER_SHARD = 512
_MOST_SHARDS = 256


class Writer(abc.ABC):
    """Writes one dataset; a context manager, because its files must be closed.

    Attributes:
        kind: name of the format.
        lost: how much of what the examples say the format cannot say, by what it is.
        num_renamed: images whose file is named otherwise than their id.
    """

    kind: ClassVar[str]

    def __init__(self, root: Path, class_names: tuple[str, ...]) -> None:
        """Prepares an empty folder.

        Args:
            root: the folder.
            class_names: C names in label order.
        """
        self.root, self.class_names = root, class_names
        self.lost: collections.Counter[str] = collections.Counter()
        self.num_renamed = 0
        self._files = contextlib.ExitStack()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    @abc.abstractmethod
    def start(self, split: str, count: int) -> None:
        """Starts a split of at most `count` examples."""

    @abc.abstractmethod
    def write(self, record: DetectionRecord) -> None:
        """Writes one example of the split that was started last."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Finishes the split that was started last."""

    def close(self) -> None:  # noqa: B027 - most formats have nothing to add
        """Finishes the dataset after its last split."""

    def _write_image(self, folder: str, names: image_names.FileNames, record: DetectionRecord) -> str:
        """Writes the image's bytes and returns its name in the folder."""
        name = names.add(record.source_id, record.image_format)
        self.num_renamed += name != record.source_id
        _write(self.root / folder / name, record.encoded)
        return name

    def _open(self, name: str) -> TextIO:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return self._files.enter_context(open(path, "w", encoding="utf-8"))

    def _count_areas(self, record: DetectionRecord) -> None:
        """Counts areas that cannot be computed from the boxes."""
        own = box_forms.areas_px(record.boxes, record.height, record.width)
        self.lost[AREA] += int((~np.isclose(record.area_px, own, rtol=1e-3, atol=0.0)).sum())


class CocoWriter(Writer):
    """COCO JSON: train.json beside train/."""

    kind = "coco"

    def start(self, split: str, count: int) -> None:
        """Opens the split's JSON; the annotations wait in a file of their own until the images are listed."""
        del count
        self._names = image_names.FileNames(one_stem=False)
        self._split, self._num_images, self._num_boxes = split, 0, 0
        self._images = self._open(f"{split}.json")
        self._annotations = self._open(f"{split}.annotations")
        self._images.write('{"categories": ')
        categories = [{"id": label, "name": name} for label, name in enumerate(self.class_names, start=1)]
        json.dump(categories, self._images, ensure_ascii=False)
        self._images.write(',\n"images": [')

    def write(self, record: DetectionRecord) -> None:
        """Writes the image and its entries."""
        self._num_images += 1
        image = {
            "id": self._num_images,
            "file_name": self._write_image(self._split, self._names, record),
            "height": record.height,
            "width": record.width,
        }
        _add_row(self._images, self._num_images, json.dumps(image, ensure_ascii=False))
        boxes = written_boxes(record, "xywh_px")
        for box, label, crowd, area in zip(boxes, record.labels, record.is_crowd, record.area_px, strict=True):
            self._num_boxes += 1
            fields = {
                "id": self._num_boxes,
                "image_id": self._num_images,
                "category_id": int(label) + 1,
                "iscrowd": int(crowd),
                "area": float(str(np.float32(area))),  # the fewest digits that come back
            }
            row = f'{json.dumps(fields)[:-1]}, "bbox": [{", ".join(box)}]}}'
            _add_row(self._annotations, self._num_boxes, row)

    def finish(self) -> None:
        """Appends the annotations to the list of images."""
        self._annotations.close()
        self._images.write('\n],\n"annotations": [')
        path = self.root / f"{self._split}.annotations"
        with open(path, encoding="utf-8") as annotations:
            shutil.copyfileobj(annotations, self._images)
        path.unlink()
        self._images.write("\n]}\n")
        self._images.close()


class VocWriter(Writer):
    """Pascal VOC: Annotations/, JPEGImages/ and ImageSets/Main/, without folders in them.

    Crowd boxes are marked as difficult. Coordinates are written as they are, from 0, as most tools do.
    """

    kind = "voc"

    def __init__(self, root: Path, class_names: tuple[str, ...]) -> None:
        """Prepares names that are unique in all splits, as those share their folders."""
        super().__init__(root, class_names)
        self._names = image_names.FileNames(one_stem=True, flat=True)
        self._used: set[int] = set()

    def start(self, split: str, count: int) -> None:
        """Opens the split's list of names."""
        del count
        (self.root / "JPEGImages").mkdir(exist_ok=True)
        (self.root / "Annotations").mkdir(exist_ok=True)
        self._list = self._open(f"ImageSets/Main/{split}.txt")

    def write(self, record: DetectionRecord) -> None:
        """Writes the image, its XML and its line."""
        self._count_areas(record)
        name = self._write_image("JPEGImages", self._names, record)
        stem = name.rpartition(".")[0]
        tree = self._tree(name, record)
        ElementTree.indent(tree)
        _write(self.root / "Annotations" / f"{stem}.xml", ElementTree.tostring(tree, encoding="utf-8"))
        self._list.write(f"{stem}\n")

    def finish(self) -> None:
        """Closes the split's list."""
        self._list.close()

    def close(self) -> None:
        """Counts what a list of classes would say."""
        used = [name for label, name in enumerate(self.class_names) if label in self._used]
        self.lost[UNUSED_CLASS] += len(self.class_names) - len(used)
        self.lost[CLASS_ORDER] += int(used != sorted(used))

    def _tree(self, name: str, record: DetectionRecord) -> ElementTree.Element:
        root = ElementTree.Element("annotation")
        _add_texts(root, {"folder": "JPEGImages", "filename": name})
        channels = len(Image.open(io.BytesIO(record.encoded)).getbands())
        size = {"width": record.width, "height": record.height, "depth": channels}
        _add_texts(ElementTree.SubElement(root, "size"), size)
        _add_texts(root, {"segmented": 0})
        boxes, ignored = written_boxes(record, "xyxy_px"), ignored_by_all(record, len(self.class_names))
        for row, box in enumerate(boxes):
            if row in ignored and not ignored[row]:
                continue
            self._used.add(-1 if row in ignored else int(record.labels[row]))
            class_name = IGNORED_NAME if row in ignored else self.class_names[record.labels[row]]
            node = ElementTree.SubElement(root, "object")
            _add_texts(node, {"name": class_name, "pose": "Unspecified", "truncated": 0})
            _add_texts(node, {"difficult": int(record.is_crowd[row])})
            corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
            _add_texts(ElementTree.SubElement(node, "bndbox"), corners)
        return root


class YoloWriter(Writer):
    """YOLO: data.yaml, images/SPLIT/ and labels/SPLIT/; crowd boxes cannot be said and are left out."""

    kind = "yolo"

    def __init__(self, root: Path, class_names: tuple[str, ...]) -> None:
        """Starts without a split."""
        super().__init__(root, class_names)
        self._splits: list[str] = []

    def start(self, split: str, count: int) -> None:
        """Makes the split's folders."""
        del count
        self._splits.append(split)
        # Tools find the labels of a path by its last folder `images`.
        self._names = image_names.FileNames(one_stem=True, reserved=("images", "labels"))
        for folder in ("images", "labels"):
            (self.root / folder / split).mkdir(parents=True)

    def write(self, record: DetectionRecord) -> None:
        """Writes the image and its labels; an image without objects gets an empty file."""
        split = self._splits[-1]
        self._count_areas(record)
        ignored = ignored_by_all(record, len(self.class_names))
        self.lost[CROWD] += int(record.is_crowd.sum()) - sum(not is_first for is_first in ignored.values())
        name = self._write_image(f"images/{split}", self._names, record)
        lines = [
            f"{label} {' '.join(box)}\n"
            for box, label, crowd in zip(
                written_boxes(record, "cxcywh"), record.labels.tolist(), record.is_crowd, strict=True
            )
            if not crowd
        ]
        _write(self.root / "labels" / split / f"{name.rpartition('.')[0]}.txt", "".join(lines).encode())

    def finish(self) -> None:
        """Has nothing to finish in a split."""

    def close(self) -> None:
        """Writes data.yaml."""
        lines = [f"{split}: images/{split}" for split in self._splits]
        lines += [f"nc: {len(self.class_names)}", "names:"]
        # JSON's strings are YAML's double-quoted ones.
        lines += [f"  {label}: {json.dumps(name, ensure_ascii=False)}" for label, name in enumerate(self.class_names)]
        _write(self.root / "data.yaml", ("\n".join(lines) + "\n").encode())


class TfrecordWriter(Writer):
    """Object Detection API TFRecords: SPLIT.tfrecord-00000-of-00001 and label_map.pbtxt."""

    kind = "tfrecord"

    def start(self, split: str, count: int) -> None:
        """Plans the split's shards; they depend on the number of examples only."""
        self._size = max(_RECORDS_PER_SHARD, -(-count // _MOST_SHARDS))
        self._num_shards = max(1, -(-count // self._size))
        self._split, self._shard, self._in_shard = split, -1, self._size
        self._file: BinaryIO | None = None

    def write(self, record: DetectionRecord) -> None:
        """Appends the example."""
        if self._in_shard == self._size:
            self._next_shard()
        self._in_shard += 1
        example = examples.encode_example(record, self.class_names)
        self._file.write(tfrecord_files.frame(example.SerializeToString(deterministic=True)))

    def finish(self) -> None:
        """Closes the last shard; where bad examples made shards superfluous those stay empty."""
        while self._shard < self._num_shards - 1:
            self._next_shard()
        self._file.close()

    def close(self) -> None:
        """Writes the label map."""
        _write(self.root / "label_map.pbtxt", label_map.to_text(self.class_names).encode())

    def _next_shard(self) -> None:
        if self._file:
            self._file.close()
        self._shard, self._in_shard = self._shard + 1, 0
        name = f"{self._split}.tfrecord-{self._shard:05d}-of-{self._num_shards:05d}"
        self._file = (self.root / name).open("wb")
        self._files.callback(self._file.close)


WRITERS: dict[str, type[Writer]] = {
    writer.kind: writer for writer in (CocoWriter, VocWriter, YoloWriter, TfrecordWriter)
}


def written_boxes(record: DetectionRecord, form: str) -> list[tuple[str, ...]]:
    """Writes an example's boxes as decimal numbers.

    Args:
        record: the example.
        form: one of `box_units.BOX_FORMS`.

    Returns:
        Four numbers a box, with the fewest decimals, equal for the four, that are read back as the same float32 box.
    """
    exact = _in_form(record, form)  # [N, 4]
    texts = [tuple(map(repr, box)) for box in exact.tolist()]
    left = np.arange(len(exact))
    for digits in range(_MOST_DIGITS + 1):
        if not len(left):
            break
        rounded = np.round(exact[left], digits)
        xywh_px = box_units.to_xywh_px(rounded, form, record.height, record.width)
        back = box_forms.coco_to_normalized(xywh_px, record.height, record.width)
        inside = (np.abs(back - np.clip(back, 0.0, 1.0)) < _OVERHANG).all(axis=1)
        same = inside & (np.clip(back, 0.0, 1.0) == record.boxes[left]).all(axis=1)
        for row, box in zip(left[same], rounded[same].tolist(), strict=True):
            texts[row] = tuple(f"{value:.{digits}f}" for value in box)
        left = left[~same]
    return texts


def ignored_by_all(record: DetectionRecord, num_classes: int) -> dict[int, bool]:
    """Finds regions that every class ignores: crowd boxes that are there once a class.

    Args:
        record: the example.
        num_classes: C; with one class there is no telling, and none is found.

    Returns:
        {row: whether it is the first of its region} of the rows that belong to such regions.
    """
    rows_of: dict[tuple[float, ...], list[int]] = collections.defaultdict(list)
    for row in np.flatnonzero(record.is_crowd).tolist():
        rows_of[tuple(record.boxes[row].tolist())].append(row)
    return {
        row: row == rows[0]
        for rows in rows_of.values()
        if num_classes > 1 and record.labels[rows].tolist() == list(range(num_classes))
        for row in rows
    }


def _in_form(record: DetectionRecord, form: str) -> np.ndarray:
    """Returns float64 [N, 4] boxes in one of `box_units.BOX_FORMS`, without rounding."""
    ymin, xmin, ymax, xmax = record.boxes.astype(np.float64).T
    if form == "cxcywh":
        return np.stack([(xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin], axis=1)
    xywh_px = box_forms.normalized_to_coco(record.boxes, record.height, record.width)
    return xywh_px if form == "xywh_px" else np.concatenate([xywh_px[:, :2], xywh_px[:, :2] + xywh_px[:, 2:]], axis=1)


def _add_row(file: TextIO, number: int, text: str) -> None:
    file.write(("\n" if number == 1 else ",\n") + text)


def _add_texts(parent: ElementTree.Element, texts: Mapping[str, str | int]) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _write(path: Path, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
