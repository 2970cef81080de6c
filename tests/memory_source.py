"""A source whose examples a test makes, for what reads any source."""

import dataclasses

import numpy as np

from data import errors
from data.examples import DetectionRecord
from data.sources import base
from tests import coco_folder


@dataclasses.dataclass(frozen=True)
class Item:
    source_id: str
    index: int
    split: str


class MemorySource(base.Source):
    """Records by split; an exception in their place is raised when it is loaded."""

    def __init__(self, records, class_names=("car", "person")):
        self.spec, self.class_names, self.splits, self._records = "memory", tuple(class_names), tuple(records), records

    def fingerprint(self):
        return "0"

    def items(self, split):
        return [Item(getattr(r, "source_id", "bad"), i, split) for i, r in enumerate(self._records[split])]

    def load(self, item):
        record = self._records[item.split][item.index]
        if isinstance(record, errors.BadExampleError):
            raise record
        return record


def record(source_id, xywh_px=((4, 5, 20, 10),), labels=(0,), is_crowd=None, area_px=None, **image):
    """Makes an example of 64x48 px; `image` as `coco_folder.image_bytes`."""
    encoded = coco_folder.image_bytes(**image)
    width, height = image.get("size", (coco_folder.WIDTH, coco_folder.HEIGHT))
    x, y, w, h = np.array(xywh_px, np.float64).reshape(-1, 4).T
    sides = np.array([height, width, height, width])
    return DetectionRecord(
        source_id=source_id,
        encoded=encoded,
        image_format=image.get("image_format", "JPEG").lower(),
        height=height,
        width=width,
        boxes=(np.stack([y, x, y + h, x + w], axis=1) / sides).astype(np.float32),
        labels=np.array(labels, np.int32),
        is_crowd=np.array([False] * len(labels) if is_crowd is None else is_crowd, bool),
        area_px=np.array(w * h if area_px is None else area_px, np.float32),
    )
