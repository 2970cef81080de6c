"""Finds the kind of a dataset that is given as a bare path, without one.

- A folder of several datasets is none itself. Folders in it count as datasets of their own where each is recognised
  and has images, and they are of different kinds or share no class; parts of one dataset are of one kind and share
  classes. A folder that is named as a split is a part, and so are flat folders of one kind, as one a recording.
- Where two readers recognise a folder and find the same boxes of the same classes in every image, the first one's is
  taken, with a notice. Where they do not, it is a question.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from data import errors, progress
from data.sources import annotated, base, box_units, foreign, layout

_MOST_LISTED = 8
_WITHOUT_FILES = ("tfrecord", "tfds")  # kinds whose images are not files of their own
_TOLERANCE_PX = 1.0  # of a corner: formats count whole pixels, from 0 or from 1
_NOWHERE = annotated.AnnotatedImage("", "")

Readers = Mapping[str, type[base.Reader]]


@dataclasses.dataclass(frozen=True)
class Recognised:
    """What a path is.

    Attributes:
        kind: of its reader.
        reason: to be read after "because".
        notices: what was found on the way.
    """

    kind: str
    reason: str
    notices: tuple[annotated.Notice, ...] = ()


def recognise(spec: str, path: Path, readers: Readers) -> Recognised:
    """Finds the kind of a folder or file.

    Args:
        spec: what the user typed.
        path: an existing file or folder.
        readers: by kind, the preferred ones first.

    Returns:
        Its kind.

    Raises:
        UserError: no reader recognises it, it holds several datasets, or two readers read it differently.
    """
    reasons = _reasons(path, readers)
    if all(readers[kind].looks_below for kind in reasons):
        _check_one(spec, path, reasons, readers)
    if not reasons:
        raise _unknown(spec, path, readers)
    kind, *others = reasons
    notices = []
    for other in others:
        flagged = _flagged_otherwise(path, readers[kind], readers[other])
        if flagged is None:
            found = "; ".join(f"{kind}, because {reason}" for kind, reason in reasons.items())
            raise errors.UserError(f"Dataset `{spec}` could be {found}. Say which, as {kind}:{spec}.")
        detail = f"{kind} and {other} state the same boxes; {kind} is read"
        detail += f", although {flagged} of them are to be ignored in one of the two only" if flagged else ""
        notices.append(annotated.Notice("told_twice", str(path), detail))
    return Recognised(kind, reasons[kind], tuple(notices))


def _reasons(path: Path, readers: Readers) -> dict[str, str]:
    return {kind: reason for kind, reader in readers.items() if (reason := reader.recognises(path))}


def _unknown(spec: str, path: Path, readers: Readers) -> errors.UserError:
    if named := foreign.name_of(path):
        return errors.UserError(f"Dataset `{spec}`: {named}")
    return errors.UserError(
        f"Dataset `{spec}`: its layout is not recognised; it holds {base.found_in(path)}."
        f" Say which one it is with KIND:PATH; kinds: {', '.join(readers)}."
    )


def _check_one(spec: str, path: Path, reasons: Mapping[str, str], readers: Readers) -> None:
    """Checks that a path is not a folder of datasets.

    Args:
        spec: what the user typed.
        path: an existing file or folder.
        reasons: why it could be a dataset itself, by kind.
        readers: by kind.

    Raises:
        UserError: it holds several datasets, or it is none and holds one.
    """
    below = dict(_datasets_in(path, readers))
    if not below or (reasons and not _are_several(below, readers)):
        return
    listed = [f"{folder} ({' and '.join(kinds)})" for folder, kinds in below.items()]
    more = f" and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    count = f"{len(listed)} datasets" if len(listed) > 1 else "a dataset"
    whole = "".join(f" If it is one dataset, write {kind}:{spec}." for kind in itertools.islice(reasons, 1))
    raise errors.UserError(
        f"Dataset `{spec}` holds {count}: {', '.join(listed[:_MOST_LISTED])}{more}. Name the folder of one.{whole}"
    )


def _datasets_in(path: Path, readers: Readers) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yields the folders in a path that are whole datasets, with their kinds."""
    for folder in layout.subfolders(path):
        is_image = [layout.is_image(name) for _, names in layout.walk(folder) for name in names]
        if all(is_image) or layout.split_within(folder.name):
            continue
        asked = readers if any(is_image) else {kind: readers[kind] for kind in _WITHOUT_FILES if kind in readers}
        try:
            kinds = tuple(_reasons(folder, asked))
        except errors.UserError:  # as two files for one split
            continue
        if kinds:
            yield folder, kinds


def _are_several(below: Mapping[Path, tuple[str, ...]], readers: Readers) -> bool:
    """Says whether folders are datasets of their own, and not parts of one."""
    if len(below) < 2 or len(set(below.values())) > 1:
        return len(below) > 1
    if not any(map(layout.subfolders, below)):
        return False
    groups: list[set[str]] = []  # of classes that some folder has together
    for folder, kinds in below.items():
        names = set(_open(folder, readers[kinds[0]]).class_names)
        shared = [group for group in groups if group & names]
        groups = [group for group in groups if group not in shared] + [names.union(*shared)]
    return len(groups) > 1


def _open(path: Path, reader: type[base.Reader]) -> base.Reader:
    with progress.silence():
        return reader.open(str(path), str(path), base.ReadOptions())


def _flagged_otherwise(path: Path, one: type[base.Reader], other: type[base.Reader]) -> int | None:
    """Compares what two readers find at a path.

    Returns:
        How many boxes only one of them calls regions to ignore; None where images, classes or boxes differ.
    """
    try:
        first, second = _open(path, one), _open(path, other)
    except errors.UserError:
        return None
    if not isinstance(first, annotated.AnnotatedSource) or not isinstance(second, annotated.AnnotatedSource):
        return None
    if set(first.class_names) != set(second.class_names) or first.splits != second.splits:
        return None
    count = 0
    for split in first.splits:
        images, others = ({annotated.real_path(item.path): item for item in it.items(split)} for it in (first, second))
        for file in images.keys() | others.keys():
            image, other_image = images.get(file, _NOWHERE), others.get(file, _NOWHERE)
            size = image.size or other_image.size
            if image.problem or other_image.problem:
                return None
            flagged = _compare(_rows(first, image, size), _rows(second, other_image, size))
            if flagged is None:
                return None
            count += flagged
    return count


def _rows(
    source: annotated.AnnotatedSource, image: annotated.AnnotatedImage, size: tuple[int, int] | None
) -> list[tuple[str, bool, np.ndarray]]:
    """Returns of each box its class ("" for none), whether it is to be ignored, and xmin, ymin, xmax, ymax.

    Corners are in px; NaN where they are stated as fractions and `size` is None.
    """
    xywh = box_units.to_xywh_px(image.boxes, source.form_of(image), *(size or (np.nan, np.nan)))
    corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    names = ["" if label == annotated.IGNORE_LABEL else source.class_names[label] for label in image.labels]
    return list(zip(names, image.is_crowd, corners, strict=True))


def _compare(rows: list[tuple[str, bool, np.ndarray]], others: list[tuple[str, bool, np.ndarray]]) -> int | None:
    """Returns how many boxes are to be ignored in one list only; None where the boxes differ. Their order may."""
    left, count = list(others), 0
    for name, is_ignored, corners in rows:
        apart = [np.abs(corners - other[2]).max() if name == other[0] else np.inf for other in left]
        if not apart or not min(apart) <= _TOLERANCE_PX:
            return None
        count += left.pop(int(np.argmin(apart)))[1] != is_ignored
    return None if left else count
