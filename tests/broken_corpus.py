"""A small dataset that tests break in many ways."""

import json
import pathlib
from typing import Any

from data import sources
from data.checks import dataset
from tests import coco_folder

NUM_IMAGES = {"train": 3, "val": 2, "test": 2}


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
