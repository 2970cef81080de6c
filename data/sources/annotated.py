"""What readers share whose images and annotations are separate files."""

import collections
import dataclasses
import functools
import hashlib
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data import errors, example_rules, image_decoding
from data.examples import DetectionRecord
from data.sources import base, box_units

OTHER_SIZE = "the annotation states another image size; its boxes were taken as they are"
IGNORE_LABEL = -1  # of a region to ignore that is of no class

_SAMPLE_BYTES = 4096  # a compressed image's end depends on all of it; to read 100,000 whole images takes minutes
_UNCOMPRESSED = (".bmp", ".tif", ".tiff", ".pgm", ".ppm")  # or often so


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image as its annotation states it; nothing of it is checked against the file yet.

    Attributes:
        source_id: its name, unique in its split.
        path: of the image file.
        size: (height, width) that the annotation states, px, or None.
        boxes: four numbers a box, in the form `box_form`.
        labels: one a box, from 0; `IGNORE_LABEL` for a region that every class ignores. None in a `NamedImage`.
        is_crowd: one flag a box: a region to ignore.
        areas_px: one area a box, px^2; None where the annotation does not state it.
        box_form: one of `box_units.BOX_FORMS`.
        problem: why the annotation is unusable, or None.
        problem_kind: "broken_annotation" or "unknown_class".
    """

    source_id: str
    path: str
    size: tuple[int, int] | None = None
    boxes: tuple[tuple[float, ...], ...] = ()
    labels: tuple[int, ...] = ()
    is_crowd: tuple[bool, ...] = ()
    areas_px: tuple[float | None, ...] = ()
    box_form: str = "xywh_px"
    problem: str | None = None
    problem_kind: str = "broken_annotation"

    def __post_init__(self) -> None:
        """Checks that each box has a label, unless names stand for labels, a flag and an area.

        Raises:
            ValueError: one of the tuples has another length than the boxes.
        """
        named = {} if not self.labels else {"labels": self.labels}
        for name, values in (named | {"is_crowd": self.is_crowd, "areas_px": self.areas_px}).items():
            if len(values) != len(self.boxes):
                raise ValueError(f"`{name}` needs one entry a box: got {len(values)} for {len(self.boxes)} boxes.")


@dataclasses.dataclass(frozen=True, slots=True)
class NamedImage:
    """An image of a format that has no list of classes: its boxes name theirs.

    Attributes:
        image: without labels.
        names: class names, one a box.
    """

    image: AnnotatedImage
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Notice:
    """Something wrong with a dataset as a whole, found while its annotations were read.

    Attributes:
        kind: one of the keys of `data.checks.findings.KINDS`.
        file: path at fault.
        detail: one line.
    """

    kind: str
    file: str
    detail: str


class AnnotatedSource(base.Reader):
    """A source of `AnnotatedImage`s; a reader of a format only finds and parses its files.

    Attributes:
        notices: what was found wrong besides single images.
    """

    def __init__(
        self,
        spec: str,
        images: Mapping[str, Sequence[AnnotatedImage]],
        class_names: Sequence[str],
        options: base.ReadOptions,
        notices: Sequence[Notice] = (),
    ) -> None:
        """Stores what a reader has parsed.

        Args:
            spec: what the user typed.
            images: by split.
            class_names: C names in label order.
            options: answers to what the data leaves open.
            notices: what was found wrong besides single images.

        Raises:
            UserError: a split names an image twice, no class is there, or the boxes' units are in doubt.
        """
        self.spec, self.class_names, self.options = spec, tuple(class_names), options
        self.splits = tuple(split for split in base.SPLITS if split in images)
        self.notices = tuple(notices)
        if not self.class_names:
            problems = (image.problem for of_split in images.values() for image in of_split if image.problem)
            why = next((f"no annotation can be read. First problem: {problem}" for problem in problems), "")
            raise errors.UserError(
                f"Dataset `{spec}` has no class: {why or 'no annotation names one'}. Check its annotations."
            )
        self._images: dict[str, list[AnnotatedImage]] = {}
        for split in self.splits:
            self._images[split] = sorted(_one_an_image(images[split]), key=lambda image: image.source_id)
            example_rules.check_unique((image.source_id for image in images[split]), f"Split {split} of `{spec}`")
        self.notices += (*_all_ignored(spec, self._images), *_shared(self._images))
        self._units = self._decide_units()

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the images behind: a worker gets those it loads."""
        return self.__dict__ | {"_images": {}, "notices": (), "_fingerprint": self._fingerprint}

    def fingerprint(self) -> str:
        """Returns a digest of the options, of what the annotations state and of the images.

        An image counts by its size in bytes and its end. Where the data lies, when it was copied and what else lies
        beside it do not count.
        """
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr((dataclasses.astuple(self.options), self.class_names)).encode())
        for split, images in self._images.items():
            for image in images:
                stated = dataclasses.replace(image, path="", problem=image.problem and image.problem_kind)
                digest.update(repr((split, stated, _sample(image.path))).encode())
        return digest.hexdigest()

    def items(self, split: str) -> list[AnnotatedImage]:
        """Lists a split's images by name."""
        return list(self._images[split])

    def load(self, item: AnnotatedImage) -> DetectionRecord:
        """Reads one image and checks it with its boxes.

        A size in the annotation that is not the file's counts for nothing where the boxes fit the file, but is named.

        Args:
            item: one of `items`.

        Returns:
            The example; a region that every class ignores becomes one crowd box a class.

        Raises:
            BadExampleError: the annotation, the image or a box is unusable.
        """
        if item.problem:
            raise errors.BadExampleError(item.path, item.problem, item.problem_kind)
        image = image_decoding.read_image(item.path, self.options.exif, item.size, has_boxes=bool(item.boxes))
        record = to_record(image, item, self.form_of(item), len(self.class_names))
        return with_other_size(record, item, lambda: image_decoding.read_file(item.path))

    def glance(self, item: AnnotatedImage) -> base.Glance:
        """Tells what the annotation states; of the file only its size is asked for.

        Args:
            item: one of `items`.

        Raises:
            BadExampleError: the annotation is unusable, or there is no image file.
        """
        if item.problem:
            raise errors.BadExampleError(item.path, item.problem, item.problem_kind)
        try:
            num_bytes = os.path.getsize(item.path)
        except (OSError, ValueError) as error:  # a name may hold a NUL
            raise image_decoding.missing_image(item.path) from error
        return base.Glance(object_labels(item), num_bytes, lambda: image_decoding.read_file(item.path))

    def form_of(self, item: AnnotatedImage) -> str:
        """Returns the form that an image's boxes are read in: its own, in the units that the user has said.

        Args:
            item: one of `items`.

        Returns:
            One of `box_units.BOX_FORMS`.
        """
        form = item.box_form.removesuffix("_px")
        units = self._units or ("pixels" if item.box_form.endswith("_px") else "normalized")
        return f"{form}_px" if units == "pixels" else form

    def _decide_units(self) -> str | None:
        """Checks the boxes' units against their numbers.

        Returns:
            "pixels" or "normalized" where the user has said so, or None for each format's own.

        Raises:
            UserError: most numbers speak against the format's own units and the user has not said which they are.
        """
        if self.options.box_units != "auto":
            return self.options.box_units
        num_boxes, doubtful = 0, []
        for image in (image for images in self._images.values() for image in images):
            for box in image.boxes:
                num_boxes += all(math.isfinite(value) for value in box)
                if box_units.in_other_units(box, image.box_form):
                    doubtful.append((image, box))
        if 2 * len(doubtful) <= num_boxes:
            return None
        image, box = doubtful[0]
        shown = ", ".join(f"{value:g}" for value in box)
        own, other = ("pixels", "normalized") if image.box_form.endswith("_px") else ("normalized", "pixels")
        words = {"pixels": "in px", "normalized": "as fractions of the image's sides"}
        seen = "lie within [0, 1]" if own == "pixels" else f"have a number above {box_units.LEAST_PIXEL:g}"
        raise errors.UserError(
            f"Dataset `{self.spec}`: {self.kind} states boxes {words[own]}, but {len(doubtful)} of {num_boxes} {seen},"
            f" as [{shown}] of `{image.path}`. Are they {words[other]}? Answer with --box_units={other}, or with"
            f" --box_units={own} if they are right as they stand."
        )


def _one_an_image(images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """Marks images with several annotations as unusable, unless one names the file exactly and no other has a box."""
    groups: dict[str, list[AnnotatedImage]] = collections.defaultdict(list)
    for image in images:
        groups[real_path(image.path)].append(image)
    result = []
    for several in groups.values():
        exact = [image for image in several if image.path.endswith(f"/{image.source_id}")]
        exact = exact if not any(image.boxes for image in several if image not in exact) else []
        for image in several:
            if len(several) > 1 and not image.problem and exact != [image]:
                others = " and ".join(f"`{other.source_id}`" for other in several[:3])
                image = dataclasses.replace(image, problem=f"{others} mean one file; name each image once")
            result.append(image)
    return result


def _all_ignored(spec: str, images: Mapping[str, Sequence[AnnotatedImage]]) -> list[Notice]:
    """Notes that a dataset has boxes but no object."""
    stated = [image for of_split in images.values() for image in of_split]
    num_boxes = sum(len(image.boxes) for image in stated)
    if not num_boxes or any(map(object_labels, stated)):
        return []
    return [Notice("all_ignored", spec, f"all {num_boxes} boxes; there is no object to learn from")]


def _shared(images: Mapping[str, Sequence[AnnotatedImage]]) -> list[Notice]:
    """Notes the files that lie in several splits."""
    first: dict[str, str] = {}
    notices = []
    for split, of_split in images.items():
        for image in of_split:
            other = first.setdefault(real_path(image.path), split)
            if other != split:
                notices.append(Notice("shared_image", image.path, f"in {other} and {split}"))
    return notices


def real_path(path: str) -> str:
    """Returns a file's absolute path with the links in its folder followed, so that two names of one folder agree."""
    folder, name = os.path.split(os.path.join(os.getcwd(), path))
    return os.path.join(_real_folder(folder), name)


@functools.lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def object_labels(stated: AnnotatedImage) -> tuple[int, ...]:
    """Returns the labels of an image's objects, without those of regions to ignore."""
    pairs = zip(stated.labels, stated.is_crowd, strict=True)
    return tuple(label for label, is_crowd in pairs if not is_crowd and label != IGNORE_LABEL)


def to_record(
    image: image_decoding.CheckedImage, stated: AnnotatedImage, form: str, num_classes: int
) -> DetectionRecord:
    """Checks and mends what an annotation states of an image.

    Args:
        image: the file that the annotation is about.
        stated: the annotation.
        form: that its boxes are read in, one of `box_units.BOX_FORMS`; where it is not the annotation's own, neither
            are the stated areas, and the boxes' count.
        num_classes: C; a region that every class ignores becomes C crowd boxes.

    Returns:
        The example.

    Raises:
        BadExampleError: a box is unusable.
    """
    xywh_px = box_units.to_xywh_px(stated.boxes, form, image.height, image.width)
    labels = np.array(stated.labels, np.int32)
    is_crowd = np.array(stated.is_crowd, bool) | (labels == IGNORE_LABEL)
    keep, mended = example_rules.mend_boxes(xywh_px, labels, is_crowd, image.height, image.width)
    boxes = _check_boxes(stated, xywh_px, image)
    areas_px = xywh_px[:, 2] * xywh_px[:, 3]
    if form == stated.box_form:
        own = np.array([math.nan if area is None else area for area in stated.areas_px])
        areas_px = np.where(np.isnan(own), areas_px, own)
    rows = [
        (row, target)
        for row in keep
        for target in (range(num_classes) if labels[row] == IGNORE_LABEL else (labels[row],))
    ]
    chosen = np.array([row for row, _ in rows], np.intp)
    return DetectionRecord(
        source_id=stated.source_id,
        encoded=image.encoded,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        boxes=boxes[chosen],
        labels=np.array([label for _, label in rows], np.int32),
        is_crowd=is_crowd[chosen],
        area_px=areas_px[chosen].astype(np.float32),
        mended=image.mended + mended,
    )


def with_other_size(record: DetectionRecord, stated: AnnotatedImage, read: Callable[[], bytes]) -> DetectionRecord:
    """Notes that an annotation with boxes states another size than its image has.

    Height and width that have changed places are another size, too, but where EXIF turns the image on its side: then
    the annotation may mean it either way.

    Args:
        record: of the image.
        stated: the annotation.
        read: returns the image file's bytes.
    """
    size = (record.height, record.width)
    if stated.size in (None, size) or not stated.boxes:
        return record
    if stated.size == size[::-1] and _is_sideways(read()):
        return record
    return dataclasses.replace(record, mended=(*record.mended, OTHER_SIZE))


def _is_sideways(encoded: bytes) -> bool:
    orientation = image_decoding.read_orientation(Image.open(io.BytesIO(encoded)))
    return orientation >= image_decoding.FIRST_SIDEWAYS


def _check_boxes(item: AnnotatedImage, xywh_px: np.ndarray, image: image_decoding.CheckedImage) -> np.ndarray:
    """Checks boxes; an error names the size that the annotation states where the file has another."""
    try:
        return example_rules.check_boxes(xywh_px, image.height, image.width, item.path)
    except errors.BadExampleError as error:
        if item.size in (None, (image.height, image.width)):
            raise
        stated = f"the annotation states {item.size[1]}x{item.size[0]} px"
        raise errors.BadExampleError(item.path, f"{error.reason}; {stated}", error.kind) from error


def _sample(path: str) -> tuple[int, bytes] | None:
    """Returns a file's size in bytes and a digest of its ends; None where it cannot be read.

    An uncompressed image is read whole: its end depends on nothing else in it.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            is_whole = path.lower().endswith(_UNCOMPRESSED)
            content = file.read(-1 if is_whole else _SAMPLE_BYTES)  # with EXIF's orientation
            if not is_whole:
                file.seek(max(size - _SAMPLE_BYTES, 0))
                content += file.read()
            return size, hashlib.blake2b(content, digest_size=16).digest()
    except (OSError, ValueError):  # a name may hold a NUL
        return None
