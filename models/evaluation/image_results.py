"""What a model found in every image of a split, in one compact file: what reports and later comparisons need."""

import dataclasses
import io
import zipfile
from collections.abc import Sequence
from typing import Self

import numpy as np

from data import errors
from models.evaluation.coco import ImageResult

_OBJECT_COLUMNS = {"gt_boxes": np.float32, "gt_labels": np.int32, "gt_is_crowd": bool, "gt_area_px": np.float64}
_DETECTION_COLUMNS = {"det_boxes": np.float32, "det_scores": np.float32, "det_classes": np.int32}


@dataclasses.dataclass(frozen=True, eq=False)
class ImageResults:
    """The images of a split with their ground truth and detections.

    Attributes:
        class_names: C names in label order.
        source_ids: N names of images, unique and sorted.
        checksums: uint32 [N], CRC-32 of each encoded image.
        results: N entries.
    """

    class_names: tuple[str, ...]
    source_ids: tuple[str, ...]
    checksums: np.ndarray
    results: tuple[ImageResult, ...]

    def to_bytes(self) -> bytes:
        """Packs everything into a compressed `.npz` file; `from_bytes` inverts."""
        columns = {
            name: np.concatenate([np.zeros((0, 4) if "boxes" in name else 0, dtype), *self._column(name)]).astype(dtype)
            for name, dtype in (_OBJECT_COLUMNS | _DETECTION_COLUMNS).items()
        }
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            class_names=np.array(self.class_names, np.str_),
            source_ids=np.array(self.source_ids, np.str_),
            checksums=np.asarray(self.checksums, np.uint32),
            sizes_px=np.array([(one.height, one.width) for one in self.results], np.int32).reshape(-1, 2),
            num_objects=np.array([len(one.gt_labels) for one in self.results], np.int32),
            num_detections=np.array([len(one.det_scores) for one in self.results], np.int32),
            **columns,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` packed.

        Raises:
            ValueError: the bytes are damaged or something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            ends = {name: np.cumsum(arrays[name])[:-1] for name in ("num_objects", "num_detections")}
            columns = {name: np.split(arrays[name], ends["num_objects"]) for name in _OBJECT_COLUMNS}
            columns |= {name: np.split(arrays[name], ends["num_detections"]) for name in _DETECTION_COLUMNS}
            results = tuple(
                ImageResult(height=int(height), width=int(width), **{name: rows[i] for name, rows in columns.items()})
                for i, (height, width) in enumerate(arrays["sizes_px"])
            )
            return cls(
                tuple(arrays["class_names"].tolist()),
                tuple(arrays["source_ids"].tolist()),
                arrays["checksums"],
                results,
            )
        except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"`data` needs the bytes of `ImageResults.to_bytes`: {type(error).__name__}: {error}."
            ) from error

    def check_same_images(self, other: "ImageResults") -> None:
        """Checks that two models were tested on the same images with the same ground truth.

        Raises:
            UserError: the classes, an image or an object differs; says which.
        """
        if self.class_names != other.class_names:
            raise errors.UserError(
                f"the classes differ: {', '.join(self.class_names)} here, {', '.join(other.class_names)} there."
            )
        if self.source_ids != other.source_ids:
            different = sorted(set(self.source_ids) ^ set(other.source_ids))
            raise errors.UserError(
                f"the test images differ: {len(self.source_ids)} here, {len(other.source_ids)} there,"
                f" {len(different)} of them in one of the two only, as `{different[0]}`."
            )
        for name, own, others, checksums in zip(
            self.source_ids, self.results, other.results, zip(self.checksums, other.checksums, strict=True), strict=True
        ):
            if checksums[0] != checksums[1]:
                raise errors.UserError(f"the test images differ: `{name}` has other content.")
            if not all(np.array_equal(getattr(own, column), getattr(others, column)) for column in _OBJECT_COLUMNS):
                raise errors.UserError(f"the ground truth of the test images differs, as that of `{name}`.")

    def _column(self, name: str) -> Sequence[np.ndarray]:
        return [np.asarray(getattr(one, name)) for one in self.results]
