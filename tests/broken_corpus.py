"""A small dataset that tests break in many ways."""

import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from data import sources
from data.checks import dataset
from tests import coco_folder, format_folders

NUM_IMAGES = {"train": 3, "val": 2, "test": 2}

_TEXTS = (".json", ".xml", ".txt", ".csv", ".yaml")

Files = dict[str, bytes | str | None]  # path below the root: content, or None for a file that is missing


class Corpus:
    """A whole COCO dataset of seven images with a car and a person each, to be broken by a case."""

    def __init__(self, root: pathlib.Path) -> None:
        """Prepares seven different pictures; `write` writes the dataset."""
        self.root = root
        self.tables: dict[str, dict[str, Any]] = {}
        self.images: dict[str, bytes] = {}
        for split, count in NUM_IMAGES.items():
            table = coco_folder.table(count, [])
            for number, image in enumerate(table["images"]):
                image["file_name"] = f"{split}_{'abc'[number]}.jpg"
                for label, box in ((1, [4, 5, 20, 10]), (2, [30, 8, 9, 25])):
                    table["annotations"].append(coco_folder.annotation(number, list(box), label))
                seed = 10 * len(self.tables) + number
                self.images[f"{split}/{image['file_name']}"] = coco_folder.image_bytes(seed)
            self.tables[split] = table

    def write(self) -> None:
        """Writes images and JSON."""
        for name, encoded in self.images.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded)
        for split, table in self.tables.items():
            (self.root / f"{split}.json").write_text(json.dumps(table))

    def write_files(self, files: Files) -> None:
        """Writes files of another format."""
        for name, content in files.items():
            if content is not None:
                path = self.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def check(self) -> dataset.CheckReport:
        """Checks what was written."""
        return dataset.check(sources.open_source(f"coco:{self.root}"))

    def set_box(self, *box: float, split: str = "train") -> None:
        """Changes the first box of a split: x, y, width, height, px."""
        self.tables[split]["annotations"][0]["bbox"] = list(box)

    def rename(self, old: str, new: str, split: str) -> None:
        """Renames an image, in the JSON too."""
        self.images[f"{split}/{new}"] = self.images.pop(f"{split}/{old}")
        for image in self.tables[split]["images"]:
            image["file_name"] = new if image["file_name"] == old else image["file_name"]

    def set_size(self, height: int, width: int) -> None:
        """Changes the size that the JSON states of the first training image, px."""
        self.tables["train"]["images"][0].update(height=height, width=width)


def coco_files(corpus: Corpus) -> Files:
    """Writes the corpus as COCO files: {path: content}."""
    return corpus.images | {f"{split}.json": json.dumps(table) for split, table in corpus.tables.items()}


def yolo_files(corpus: Corpus) -> Files:
    """Writes the corpus as YOLO files: {path: content}."""
    files = {"data.yaml": "train: images/train\nval: images/val\ntest: images/test\nnames: [car, person]\n"}
    for name, encoded in corpus.images.items():
        files[f"images/{name}"] = encoded
        files[f"labels/{name[:-4]}.txt"] = "0 0.3 0.4 0.2 0.2\n1 0.7 0.4 0.1 0.3\n"
    return files


def voc_files(corpus: Corpus) -> Files:
    """Writes the corpus as VOC files: {path: content}."""
    files = {}
    for name, encoded in corpus.images.items():
        split, stem = name[:-4].split("/")
        files[f"JPEGImages/{stem}.jpg"] = encoded
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x}</xmin><ymin>5</ymin><xmax>{x + 20}</xmax><ymax>15</ymax>"
            "</bndbox></object>"
            for label, x in (("car", 4), ("person", 30))
        )
        size = "<size><width>64</width><height>48</height><depth>1</depth></size>"
        files[f"Annotations/{stem}.xml"] = f"<annotation>{size}{objects}</annotation>"
        listed = f"ImageSets/Main/{split}.txt"
        files[listed] = files.get(listed, "") + f"{stem}\n"
    return files


def csv_files(corpus: Corpus) -> Files:
    """Writes the corpus as CSV tables: {path: content}."""
    files = dict(corpus.images)
    for split in NUM_IMAGES:
        rows = [f"{name},{box},{label}" for name in corpus.images for box, label in CSV_BOXES if name.startswith(split)]
        files[f"{split}.csv"] = "\n".join(["filename,xmin,ymin,xmax,ymax,class", *rows, ""])
    return files


def kitti_files(corpus: Corpus) -> Files:
    """Writes the corpus as KITTI files: {path: content}."""
    files = {}
    for name, encoded in corpus.images.items():
        split, stem = name[:-4].split("/")
        files[f"{split}/image_2/{stem}.jpg"] = encoded
        rows = ("Car 0 0 0 4 5 24 15 1 1 1 1 1 1 0", "Pedestrian 0 0 0 30 8 39 33 1 1 1 1 1 1 0")
        files[f"{split}/label_2/{stem}.txt"] = "\n".join([*rows, ""])
    return files


def as_written(kind: str) -> Callable[[Corpus], Files]:
    """Returns what writes the corpus in a format of `format_folders`: {path: content}."""

    def make(corpus: Corpus) -> Files:
        boxes = tuple((label, *map(int, corners.split(","))) for corners, label in CSV_BOXES)
        ground_truth: dict[str, list[format_folders.Scene]] = {split: [] for split in NUM_IMAGES}
        for seed, name in enumerate(corpus.images):
            split, _, image = name.partition("/")
            ground_truth[split].append(format_folders.Scene(image, boxes, seed))
        encoded = {name.partition("/")[2]: content for name, content in corpus.images.items()}
        with tempfile.TemporaryDirectory() as folder:
            root = format_folders.WRITERS[kind](pathlib.Path(folder), ground_truth)
            files = [path for path in sorted(root.rglob("*")) if path.is_file()]
            found = {path: path.read_text() if path.suffix in _TEXTS else path.read_bytes() for path in files}
            return {path.relative_to(root).as_posix(): encoded.get(path.name, found[path]) for path in files}

    return make


CSV_BOXES = (("4,5,24,15", "car"), ("30,8,39,33", "person"))
FORMATS = {"coco": coco_files, "yolo": yolo_files, "voc": voc_files, "csv": csv_files, "kitti": kitti_files} | {
    kind: as_written(kind) for kind in ("cvat", "datumaro", "supervisely", "labelme", "via", "createml", "bdd100k")
}
