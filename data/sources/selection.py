"""What a user takes of a dataset, whatever its format: classes, splits, fewer images, tiles."""

import collections
import dataclasses
import hashlib
import io
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data import boxes as box_forms
from data import errors, image_decoding, progress, tiles
from data.examples import DetectionRecord
from data.sources import annotated, base, carving, chosen_classes

TILED_SPLITS = ("train", "val")  # of the test split whole images are detected in, as users do


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What to take of a dataset; checked when it is opened.

    Attributes:
        classes: those to detect, in label order, each "NAME" or "NEW=OLD" or "NEW=OLD+OLD+..."; None takes all as they
            are. Boxes of other classes are dropped, their images stay as negatives.
        splits: shares of train, val and test to divide the whole dataset into; None takes the given splits, and what is
            missing of val and test out of train (`carving`).
        split_seed: of that division.
        group_by: regular expression; images whose names agree in what it finds (its first group, where it has one)
            stay in one split.
        limit: at most this many images of each split, evenly spread; None takes all.
        min_box_px: objects whose shorter side has fewer pixels in the original image become regions to ignore.
        tile: as `tiles.parse_grid`, "1x1" for whole images. Train and val are cut, test is not.
        test_dataset: a dataset whose test split replaces this one's; "" for none.
        test_classes: as `classes`, for `test_dataset`; None pairs equal names, in any case.
        exif: as `base.ReadOptions`.
        box_units: as `base.ReadOptions`.
    """

    classes: tuple[str, ...] | None = None
    splits: tuple[float, ...] | None = None
    split_seed: int = 0
    group_by: str = ""
    limit: int | None = None
    min_box_px: float = 0.0
    tile: str = "1x1"
    test_dataset: str = ""
    test_classes: tuple[str, ...] | None = None
    exif: str = "auto"
    box_units: str = "auto"

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values; `from_dict` inverts."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataOptions":
        """Builds the options from `to_dict`'s result."""
        fields: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**fields)


@dataclasses.dataclass(frozen=True, slots=True)
class SelectedItem:
    """One example of a selection.

    Attributes:
        source_id: unique in its split.
        origin: index of the source that it comes from.
        item: of that source.
        tile: index of the tile, or None for the whole image.
    """

    source_id: str
    origin: int
    item: Any
    tile: int | None = None


class SelectedSource(base.Source):
    """A source seen through `DataOptions`.

    Attributes:
        carving: how splits that the dataset lacks come out of train; None where none is missing, or train is too small.
    """

    def __init__(
        self,
        source: base.Source,
        options: DataOptions,
        test_source: base.Source | None = None,
        carve: bool = True,
    ) -> None:
        """Decides what is taken; images are read only where train has to be divided.

        Args:
            source: with all its classes and splits.
            options: what to take of it.
            test_source: that of `options.test_dataset`.
            carve: take the splits that are missing out of train; else only `carving` says how.

        Raises:
            UserError: a class is unknown or named twice, a share is out of its range, the regular expression is
                malformed, or a split would be empty.
        """
        self.spec = source.spec
        self.options, self.grid = options, tiles.parse_grid(options.tile)
        self.tiles_per_image = self.grid.count
        if not math.isfinite(options.min_box_px):
            raise errors.UserError(f"`--min_box_px` needs a number of pixels: got {options.min_box_px}.")
        if options.test_classes and not options.test_dataset:
            raise errors.UserError("`--test_classes` only works with --test_dataset. Add it, or use --classes.")
        chosen_names = [name for one in options.classes or () if (name := one.partition("=")[0]).strip()]
        base.check_class_names(source.spec, chosen_names or source.class_names)
        self.class_names, targets = chosen_classes.map_classes(source.class_names, options.classes)
        self._origins, self._targets = [source], [targets]
        self.carving = None if options.splits else _carve(source, options)
        chosen = _divide(source, options) if options.splits else _given(source, self.carving if carve else None)
        if test_source is not None:
            wanted = options.test_classes or chosen_classes.same_names(self.class_names, test_source)
            names, targets = chosen_classes.map_classes(test_source.class_names, wanted)
            self._origins.append(test_source)
            self._targets.append(chosen_classes.renumber(targets, names, self.class_names, test_source.spec))
            chosen["test"] = _all_items(test_source, "test", 1)
            _check_apart(chosen, options.test_dataset)
        self.splits = tuple(split for split in base.SPLITS if split in chosen)
        self._items = {split: self._cut(split, _thin(chosen[split], options.limit)) for split in self.splits}
        self._of_thread = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the items behind: a worker gets those it loads."""
        return self.__dict__ | {"_items": {}, "_of_thread": None, "carving": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Starts with no example loaded."""
        self.__dict__.update(state, _of_thread=threading.local())

    @property
    def origins(self) -> tuple[base.Source, ...]:
        """The sources that `SelectedItem.origin` counts."""
        return tuple(self._origins)

    def divided(self) -> "SelectedSource":
        """Returns the dataset as a run takes it: with the splits that it lacks taken out of train."""
        first, *test = self._origins
        return SelectedSource(first, self.options, test[0] if test else None)

    def fingerprint(self) -> str:
        """Returns a digest of the data and of what is taken of it."""
        parts = [repr(sorted(self.options.to_dict().items())), *(origin.fingerprint() for origin in self._origins)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def items(self, split: str) -> list[SelectedItem]:
        """Lists a split's examples: images, or their tiles."""
        return list(self._items[split])

    def load(self, item: SelectedItem) -> DetectionRecord:
        """Reads one example and applies the options to it.

        Args:
            item: one of `items`.

        Returns:
            The example, with the labels of `class_names`.

        Raises:
            BadExampleError: the example is unusable.
        """
        key = (item.origin, item.item)
        last, record, image = getattr(self._of_thread, "last", (None, None, None))
        if last != key:  # an image's tiles come one after another
            record = relabel(self._origins[item.origin].load(item.item), self._targets[item.origin])
            record = ignore_small(record, self.options.min_box_px)
            image = None if item.tile is None else Image.open(io.BytesIO(record.encoded))  # decoded by the first crop
            self._of_thread.last = (key, record, image)
        record = dataclasses.replace(record, source_id=item.source_id)
        return record if item.tile is None else cut_tile(record, image, self.grid, item.tile)

    def _cut(self, split: str, items: list[SelectedItem]) -> list[SelectedItem]:
        if self.grid.count == 1 or split not in TILED_SPLITS:
            return items
        return [
            dataclasses.replace(item, source_id=f"{item.source_id}#tile{tile}", tile=tile)
            for item in items
            for tile in range(self.grid.count)
        ]


def _check_apart(chosen: Mapping[str, Sequence[SelectedItem]], test_dataset: str | None) -> None:
    """Raises `errors.UserError` where files of train or val are those of the test split, too."""
    paths = {
        split: {annotated.real_path(one.item.path) for one in members if isinstance(one.item, annotated.AnnotatedImage)}
        for split, members in chosen.items()
    }
    for split in ("train", "val"):
        shared = sorted(paths.get(split, set()) & paths["test"])
        if shared:
            raise errors.UserError(
                f"`--test_dataset={test_dataset}`: {len(shared)} of its test images are in the {split} split, too, the"
                f" first is {shared[0]}. What was trained on cannot test a model. Leave them out of one of the two."
            )


def _stated(item: annotated.AnnotatedImage) -> list[tuple[Any, ...]]:
    """Lists an image's boxes with their classes and flags in an order of their own."""
    labels = item.labels or ("",) * len(item.boxes)
    return sorted(zip(item.boxes, map(str, labels), item.is_crowd, strict=True))


def relabel(record: DetectionRecord, targets: np.ndarray) -> DetectionRecord:
    """Gives boxes their new labels and drops those of other classes; a region to ignore is kept once a class.

    Args:
        record: with the data's own labels.
        targets: int32 [number of the data's classes], the new label, -1 drops the box.
    """
    labels = targets[record.labels] if len(record.labels) else record.labels
    keep = labels >= 0
    seen: set[tuple[float, ...]] = set()
    for row in np.flatnonzero(keep & record.is_crowd):
        key = (*record.boxes[row].tolist(), int(labels[row]))
        keep[row] = key not in seen
        seen.add(key)
    return _take(record, keep, labels=labels[keep])


def ignore_small(record: DetectionRecord, min_box_px: float) -> DetectionRecord:
    """Turns objects whose shorter side is below `min_box_px` into regions to ignore."""
    sides = (record.boxes[:, 2:] - record.boxes[:, :2]) * (record.height, record.width)
    small = sides.min(axis=1, initial=np.inf) < min_box_px
    return dataclasses.replace(record, is_crowd=record.is_crowd | small) if small.any() else record


def cut_tile(record: DetectionRecord, image: Image.Image, grid: tiles.TileGrid, index: int) -> DetectionRecord:
    """Cuts one tile out of an image, as PNG.

    Args:
        record: the whole image.
        image: the same, opened.
        grid: of the tiles.
        index: of the tile, from 0.

    Returns:
        The tile. Boxes are clipped to it; one of which less than `box_forms.MIN_VISIBLE` of the area remains becomes a
        region to ignore, one of which nothing remains is dropped.
    """
    top, left, height, width = grid.windows_px(record.height, record.width)[index]
    tile = image.crop((left, top, left + width, top + height))
    scale = np.array([record.height, record.width] * 2, np.float32)
    moved = (record.boxes * scale - (top, left, top, left)) / np.array([height, width] * 2, np.float32)
    clipped = np.clip(moved, 0.0, 1.0).astype(np.float32)
    visible = _area(clipped) / np.maximum(_area(moved), 1e-12)
    cut = dataclasses.replace(
        record,
        encoded=image_decoding.as_png(tile),
        image_format="png",
        height=height,
        width=width,
        boxes=clipped,
        is_crowd=record.is_crowd | (visible < box_forms.MIN_VISIBLE),
        area_px=record.area_px * visible.astype(np.float32),
        mended=record.mended if index == 0 else (),
    )
    return _take(cut, (clipped[:, 2:] > clipped[:, :2]).all(axis=1))


def assign_splits(keys: Sequence[str], shares: Sequence[float], seed: int) -> list[str]:
    """Divides images among train, val and test, with the images of one group in one split.

    Args:
        keys: the group of each image.
        shares: of train, val and test, in any unit.
        seed: of the order in which groups are dealt out.

    Returns:
        The split of each image; it depends on keys, shares and seed only.
    """
    sizes = collections.Counter(keys)
    order = sorted(sizes, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
    borders = np.cumsum(shares) / sum(shares)
    split_of, done = {}, 0
    for key in order:
        middle = (done + sizes[key] / 2) / len(keys)
        split_of[key] = base.SPLITS[int(np.searchsorted(borders, middle))]
        done += sizes[key]
    return [split_of[key] for key in keys]


def _divide(source: base.Source, options: DataOptions) -> dict[str, list[SelectedItem]]:
    """Divides all images of a source anew."""
    usable = len(options.splits) == 3 and all(math.isfinite(share) and share >= 0 for share in options.splits)
    if not usable or not options.splits[0] > 0:
        shown = ",".join(f"{share:g}" for share in options.splits)
        raise errors.UserError(f"`--splits` needs shares of train, val and test, as 0.8,0.1,0.1: got {shown}.")
    items = _each_file_once(source)
    unique = len({item.source_id for _, item in items}) == len(items)
    named = [SelectedItem(i.source_id if unique else f"{split}/{i.source_id}", 0, i) for split, i in items]
    own_names = [item.source_id for _, item in items]  # what the user's expression is about
    keys = carving.group_keys(own_names if options.group_by else [one.source_id for one in named], options.group_by)
    chosen: dict[str, list[SelectedItem]] = {
        split: [] for split, share in zip(base.SPLITS, options.splits, strict=True) if share > 0
    }
    for item, split in zip(named, assign_splits(keys, options.splits, options.split_seed), strict=True):
        chosen[split].append(item)
    empty = [split for split, members in chosen.items() if not members]
    if empty:
        raise errors.UserError(
            f"`--splits` leaves {', '.join(empty)} of `{source.spec}` empty: it has {len(named)} images in"
            f" {len(set(keys))} groups. Give larger shares, or a --group_by that makes smaller groups."
        )
    return chosen


def _each_file_once(source: base.Source) -> list[tuple[str, Any]]:
    """Lists (split, item) of a source's images without those whose file an earlier split has, too.

    Raises:
        UserError: two splits state different boxes of one file.
    """
    chosen, first, num_again = [], {}, 0
    for split, item in ((name, item) for name in source.splits for item in source.items(name)):
        if isinstance(item, annotated.AnnotatedImage):
            other_split, other = first.setdefault(annotated.real_path(item.path), (split, item))
            if other is not item:
                if _stated(other) != _stated(item):
                    raise errors.UserError(
                        f"`{item.path}` has other boxes, classes or regions to ignore in {split} than in {other_split}."
                        " Leave it out of one of them."
                    )
                num_again += 1
                continue
        chosen.append((split, item))
    if num_again:
        progress.emit(
            "note", text=f"`{source.spec}`: {num_again} images lie in several splits; --splits takes each once."
        )
    return chosen


def _carve(source: base.Source, options: DataOptions) -> carving.Carving | None:
    """Decides how the splits that a source lacks come out of train."""
    there = [split for split in source.splits if source.items(split)]
    replaced = ["test"] if options.test_dataset else []
    missing = [split for split in base.SPLITS[1:] if split not in (*there, *replaced)]
    if options.group_by and not missing:
        raise errors.UserError(
            f"`--group_by` only works where images are divided, but `{source.spec}` has its splits. Leave it out, or"
            " divide all images anew with --splits=0.8,0.1,0.1."
        )
    if "train" not in there or not missing:
        return None
    given = [split for split in there if split not in ("train", *replaced)]
    return carving.carve(source, missing, given, options.split_seed, options.group_by)


def _given(source: base.Source, carved: carving.Carving | None) -> dict[str, list[SelectedItem]]:
    """Takes a source's own splits, and out of train those that are carved."""
    chosen = {split: _all_items(source, split, 0) for split in source.splits}
    if carved:
        train = chosen["train"]
        chosen |= {split: [] for split in ("train", *carved.missing)}
        for item, split in zip(train, carved.split_of, strict=True):
            chosen[split].append(item)
    return chosen


def _all_items(source: base.Source, split: str, origin: int) -> list[SelectedItem]:
    return [SelectedItem(item.source_id, origin, item) for item in source.items(split)]


def _thin(items: list[SelectedItem], limit: int | None) -> list[SelectedItem]:
    """Takes at most `limit` items, evenly spread."""
    if limit is None or len(items) <= limit:
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def _take(record: DetectionRecord, keep: np.ndarray, **changes: Any) -> DetectionRecord:
    """Keeps the boxes of a mask bool [N]; `changes` replace fields after that."""
    fields = {name: getattr(record, name)[keep] for name in ("boxes", "labels", "is_crowd", "area_px")}
    return dataclasses.replace(record, **fields | changes)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0.0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0.0)
