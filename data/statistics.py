"""What a dataset's splits hold, in numbers: boxes, sizes, shapes, objects an image, brightness."""

import array
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data import drawing
from data.examples import DetectionRecord

# Areas below which COCO's metrics call an object small and medium, px^2.
COCO_AREAS_PX = (32**2, 96**2)
COCO_SIZES = ("small", "medium", "large")
PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
# Headings of `class_rows` and `image_rows`.
CLASS_COLUMNS = ("split", "class", "objects", "ignored", *COCO_SIZES, "side px", "side", "w / h")
IMAGE_COLUMNS = ("split", "images", "no objects", "objects, mean", "most", "width x height (images)", "brightness")


@dataclasses.dataclass(frozen=True, eq=False)
class SplitTable:
    """The numbers of one split: I images, N boxes.

    Attributes:
        image_sizes_px: int32 [I, 2] height, width.
        brightness: float32 [I], mean of the decoded image in [0, 255].
        boxes: float32 [N, 4] ymin, xmin, ymax, xmax as fractions of the image's sides.
        labels: int32 [N], from 0.
        is_ignored: bool [N], a region to ignore.
        image_index: int32 [N], the image that a box is in, from 0.
        area_px: float32 [N], px^2, as COCO's metrics count it.
    """

    image_sizes_px: np.ndarray
    brightness: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    is_ignored: np.ndarray
    image_index: np.ndarray
    area_px: np.ndarray

    @property
    def sides_px(self) -> np.ndarray:
        """Height and width of every box, float32 [N, 2], px of its image."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]) * self.image_sizes_px[self.image_index].astype(np.float32)

    @property
    def objects_per_image(self) -> np.ndarray:
        """Boxes of every image without the regions to ignore, int64 [I]."""
        return np.bincount(self.image_index[~self.is_ignored], minlength=len(self.image_sizes_px))

    def objects(self) -> "SplitTable":
        """Returns the table without the regions to ignore."""
        return self.take(~self.is_ignored)

    def take(self, keep: np.ndarray) -> "SplitTable":
        """Returns the table with the boxes that `keep`, bool [N], marks; images stay."""
        names = ("boxes", "labels", "is_ignored", "image_index", "area_px")
        return dataclasses.replace(self, **{name: getattr(self, name)[keep] for name in names})


def collect(records: Iterable[DetectionRecord]) -> SplitTable:
    """Reads a split once; of every image and box a few numbers are kept.

    Args:
        records: the split's examples.

    Returns:
        Its table.
    """
    codes = (("size", "i"), ("boxes", "f"), ("area", "f"), ("light", "f"))
    columns: dict[str, array.array[Any]] = {name: array.array(code) for name, code in codes}
    labels, ignored, index = array.array("i"), array.array("b"), array.array("i")
    for number, record in enumerate(records):
        columns["size"].extend((record.height, record.width))
        columns["light"].append(mean_brightness(record.encoded))
        columns["boxes"].extend(record.boxes.ravel().tolist())
        columns["area"].extend(record.area_px.tolist())
        labels.extend(record.labels.tolist())
        ignored.extend(record.is_crowd.tolist())
        index.extend([number] * len(record.labels))
    return SplitTable(
        image_sizes_px=np.array(columns["size"], np.int32).reshape(-1, 2),
        brightness=np.array(columns["light"], np.float32),
        boxes=np.array(columns["boxes"], np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int32),
        is_ignored=np.array(ignored, bool),
        image_index=np.array(index, np.int32),
        area_px=np.array(columns["area"], np.float32),
    )


def mean_brightness(encoded: bytes) -> float:
    """Computes the mean luma of an image, in [0, 255].

    Args:
        encoded: JPEG or PNG bytes.

    Source: ITU-R BT.601, section 2.5.1 (0.299 R + 0.587 G + 0.114 B).
    """
    return float(np.asarray(drawing.decode(encoded).convert("L"), np.float32).mean())


def coco_size(areas_px: np.ndarray) -> np.ndarray:
    """Sorts areas in px^2 into COCO's sizes: int64 [N], an index of `COCO_SIZES`."""
    return np.searchsorted(COCO_AREAS_PX, areas_px, side="right")


def summarise(tables: Mapping[str, SplitTable], class_names: Sequence[str]) -> dict[str, Any]:
    """Summarises splits as values that JSON can hold.

    Args:
        tables: by split.
        class_names: C names in label order.

    Returns:
        By split: images, images_without_objects, objects, ignored_regions (one that several classes ignore counts
        once), by_class, objects_per_image, image_sizes_px, brightness, and of the objects side_px,
        side_of_image, aspect_ratio and coco_sizes. Distributions are {"p5": 5th percentile, ...}, {} where empty.
    """
    return {split: _summary(table, class_names) for split, table in tables.items()}


def class_rows(summary: Mapping[str, Any], class_names: Sequence[str]) -> list[list[Any]]:
    """Lists boxes by class and split as the rows of a table.

    Args:
        summary: as `summarise`.
        class_names: in label order.

    Returns:
        A cell for each of `CLASS_COLUMNS`: after COCO's sizes, counted in objects, come medians, the side
        √(width · height) in px and as a share of the image's, and the aspect ratio in px.
    """
    rows = []
    for split, values in summary.items():
        entries = [(name, values["by_class"][name]) for name in class_names] + [("all", values)]
        for name, entry in entries:
            rows.append(
                [
                    split,
                    name,
                    entry["objects"],
                    entry["ignored_regions"],
                    *(entry["coco_sizes"][size] for size in COCO_SIZES),
                    _digits(entry["side_px"].get("p50"), 1),
                    _digits(entry["side_of_image"].get("p50"), 3),
                    _digits(entry["aspect_ratio"].get("p50"), 2),
                ]
            )
    return rows


def image_rows(summary: Mapping[str, Any]) -> list[list[Any]]:
    """Lists images by split as the rows of a table.

    Args:
        summary: as `summarise`.

    Returns:
        A cell for each of `IMAGE_COLUMNS`; brightness is the 5th, 50th and 95th percentile of the images' means.
    """
    rows = []
    for split, values in summary.items():
        counts, light = values["objects_per_image"], values["brightness"]
        sizes = sorted(values["image_sizes_px"].items(), key=lambda pair: -pair[1])
        shown = ", ".join(f"{size} ({count})" for size, count in sizes[:3])
        more = f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""
        rows.append(
            [
                split,
                values["images"],
                values["images_without_objects"],
                _digits(counts.get("mean"), 1),
                _digits(counts.get("p100"), 0),
                shown + more,
                f"{light['p5']:.0f}, {light['p50']:.0f}, {light['p95']:.0f}" if light else None,
            ]
        )
    return rows


def _summary(table: SplitTable, class_names: Sequence[str]) -> dict[str, Any]:
    counts = table.objects_per_image
    sizes, number = np.unique(table.image_sizes_px, axis=0, return_counts=True)
    return {
        "images": len(table.image_sizes_px),
        "images_without_objects": int((counts == 0).sum()),
        **_of_boxes(table),
        "by_class": {name: _of_boxes(table.take(table.labels == label)) for label, name in enumerate(class_names)},
        "objects_per_image": _distribution(counts),
        "image_sizes_px": {f"{w}x{h}": int(count) for (h, w), count in zip(sizes, number, strict=True)},
        "brightness": _distribution(table.brightness),
    }


def _of_boxes(table: SplitTable) -> dict[str, Any]:
    objects = table.objects()
    sides_px, sides = objects.sides_px, objects.boxes[:, 2:] - objects.boxes[:, :2]
    regions = np.column_stack([table.image_index, table.boxes])[table.is_ignored]
    sizes = np.bincount(coco_size(objects.area_px), minlength=len(COCO_SIZES))
    return {
        "objects": len(objects.labels),
        "ignored_regions": len(np.unique(regions, axis=0)),
        "coco_sizes": dict(zip(COCO_SIZES, sizes.tolist(), strict=True)),
        "side_px": _distribution(np.sqrt(sides_px.prod(axis=1))),
        "side_of_image": _distribution(np.sqrt(sides.prod(axis=1))),
        "aspect_ratio": _distribution(sides_px[:, 1] / sides_px[:, 0]),
    }


def _distribution(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    cuts = np.percentile(values, PERCENTILES)
    named = {f"p{share}": round(float(cut), 6) for share, cut in zip(PERCENTILES, cuts, strict=True)}
    return {"mean": round(float(np.mean(values)), 6), **named}


def _digits(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
