"""What the plan knows of a dataset and of the machine, in numbers."""

import dataclasses
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from data import errors, examples, loading, sources
from tuner_fn import devices

MOST_IMAGES = 300  # of the train split are read, evenly spread
MOST_PIXELS = 300_000_000  # in them together: larger images are fewer
_SHIFTS = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)  # sixteenths of the way to the next image
_MOST_PIXELS_SEARCHED = 1_200_000_000  # in all samples together, where the first ones have no object: some 8 s
_FIRST = 8  # images that say how large the others are
_MOST_COLOR_CHECKS = 16  # images
_GREY_LEVELS = 2.0  # mean distance of the channels up to which an image is grey


@dataclasses.dataclass(frozen=True)
class Machine:
    """What trains.

    Attributes:
        cores: of the CPU that this process may use, at least 1.
        memory_bytes: of the machine; 0 where it is not known.
        has_gpu: whether a GPU will train.
    """

    cores: int
    memory_bytes: int
    has_gpu: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Fingerprint:
    """Numbers of a dataset and of the machine: I sampled images of the train split, N objects in them.

    Attributes:
        class_names: C names in label order.
        num_images: {split: images, or tiles where images are cut}.
        boxes: float32 [N, 4] ymin, xmin, ymax, xmax as fractions of the image's sides, without regions to ignore.
        labels: int32 [N], from 0.
        objects_per_image: int64 [I].
        image_sizes_px: int32 [I, 2] height, width.
        is_grey: whether the sampled images have no colour.
        machine: what trains.
    """

    class_names: tuple[str, ...]
    num_images: dict[str, int]
    boxes: np.ndarray
    labels: np.ndarray
    objects_per_image: np.ndarray
    image_sizes_px: np.ndarray
    is_grey: bool
    machine: Machine

    @property
    def sides(self) -> np.ndarray:
        """Side of every object, sqrt(height x width), as a fraction of the image's side: float64 [N]."""
        boxes = self.boxes.astype(np.float64)
        return np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))

    def summary(self) -> dict[str, Any]:
        """Summarises the numbers as JSON values, for the report."""
        machine = dataclasses.asdict(self.machine)
        if not self.machine.memory_bytes:
            del machine["memory_bytes"]
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        sides = np.percentile(self.sides, (5, 50, 95)).round(4).tolist() if len(self.boxes) else []
        return {
            "images": dict(self.num_images),
            "sampled_images": len(self.image_sizes_px),
            "objects_by_class": dict(zip(self.class_names, counts.tolist(), strict=True)),
            "objects_per_image": round(float(self.objects_per_image.mean()), 2),
            "images_without_objects": round(float((self.objects_per_image == 0).mean()), 3),
            "side_of_image_p5_p50_p95": sides,
            "image_px_median": np.median(self.image_sizes_px, axis=0).astype(int).tolist(),
            "grey": self.is_grey,
            "machine": machine,
        }


def this_machine() -> Machine:
    """Describes the machine without starting TensorFlow, which takes 10 s."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, devices.memory_bytes(), has_gpu=bool(devices.gpus()))


def take(source: sources.Source, machine: Machine) -> Fingerprint:
    """Reads a sample of the train split; time and memory do not grow with the dataset.

    Args:
        source: the opened dataset.
        machine: what trains.

    Returns:
        Its numbers, a function of data and machine alone.

    Raises:
        UserError: no sampled image is readable, or none has an object, although further samples were read.
    """
    boxes, labels, counts, sizes, colored = [], [], [], [], False
    for number, record in enumerate(_sample(source)):
        keep = ~record.is_crowd
        boxes.append(record.boxes[keep])
        labels.append(record.labels[keep])
        counts.append(int(keep.sum()))
        sizes.append((record.height, record.width))
        colored = colored or (number < _MOST_COLOR_CHECKS and _is_colored(record.encoded))
    if not sizes:
        raise errors.UserError(f"Dataset `{source.spec}` has no readable image in its train split.")
    if not sum(counts):
        raise errors.UserError(
            f"Dataset `{source.spec}`: none of {len(sizes)} sampled train images has an object of"
            f" {', '.join(source.class_names)}. Check the annotations with `ssd-tuner data check`. If objects are that"
            " rare, leave the plan out with `--plan=off`."
        )
    return Fingerprint(
        class_names=tuple(source.class_names),
        num_images={split: len(source.items(split)) for split in source.splits},
        boxes=np.concatenate(boxes).astype(np.float32),
        labels=np.concatenate(labels).astype(np.int32),
        objects_per_image=np.array(counts, np.int64),
        image_sizes_px=np.array(sizes, np.int32),
        is_grey=not colored,
        machine=machine,
    )


def _sample(source: sources.Source) -> Iterator[examples.DetectionRecord]:
    """Yields readable train images, evenly spread; how many depends on how large the first ones are.

    Where none of them has an object, those between them follow, sample by sample, until some have or enough are read.
    """
    items = source.items("train")
    first = [one for one in loading.load_items(source, items[:_FIRST]) if not isinstance(one, errors.BadExampleError)]
    pixels = max([1, *(one.height * one.width for one in first)])
    most = min(len(items), MOST_IMAGES, max(_FIRST, MOST_PIXELS // pixels))
    tiles = source.tiles_per_image  # an image's tiles lie side by side: it is taken with all of them
    images, most = len(items) // tiles, max(1, most // tiles)
    unread, pixels_read, has_objects = set(range(images)), 0, False
    for shift in _SHIFTS:
        places = (
            (index * len(_SHIFTS) + shift) * images // (most * len(_SHIFTS)) for index in range(min(most, images))
        )
        chosen = [place for place in places if place in unread]
        unread -= set(chosen)
        spread = [item for place in chosen for item in items[place * tiles : (place + 1) * tiles]]
        for one in loading.load_items(source, spread):
            if not isinstance(one, errors.BadExampleError):
                yield one
                pixels_read += one.height * one.width
                has_objects = has_objects or not one.is_crowd.all()
        if has_objects or pixels_read > _MOST_PIXELS_SEARCHED:
            return


def _is_colored(encoded: bytes) -> bool:
    """Tells whether an image's channels differ by more than JPEG's rounding."""
    image = Image.open(io.BytesIO(encoded))
    if image.mode not in ("RGB", "RGBA", "P", "CMYK"):
        return False
    image.draft("RGB", (128, 128))
    image = image.convert("RGB")
    image.thumbnail((128, 128))
    pixels = np.asarray(image, np.int16)
    return bool((pixels.max(axis=-1) - pixels.min(axis=-1)).mean() > _GREY_LEVELS)
