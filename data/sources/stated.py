"""What readers share of formats whose annotations name their images and whose boxes name their classes.

A reader of such a format says how its files are known and parsed; where they lie does not matter. Their split is told
by a folder above them, by a word in the name of a file that holds a whole split, or by the annotation itself; where
nothing says it, by folders above the images, or all of it is "train".
"""

import abc
import collections
import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from data import errors
from data.sources import annotated, base, class_labels, division, layout, locate, text_bytes, values

_SHOWN = 80  # characters of a value in an error
_SNIFFED_FILES = 5  # of a folder's first that could be annotations
_IMAGE_FOLDERS = ("", "images", "img", "images/100k")

Row = tuple[str, tuple[float, ...], bool]  # class name, box, whether it is a region to ignore


@dataclasses.dataclass(frozen=True)
class Stated:
    """One image as an annotation states it.

    Attributes:
        image: its path, as it stands.
        rows: its boxes, in the reader's form.
        size: (height, width), px, or None.
        split: as the annotation says, or "".
        problem: why it is unusable, or None.
        own_name: what the image is called besides, without an ending: by the file that is about it, or an id; or "".
    """

    image: str
    rows: tuple[Row, ...] = ()
    size: tuple[int, int] | None = None
    split: str = ""
    problem: str | None = None
    own_name: str = ""


_Pair = tuple[Path, Stated]  # a file, and one of its images


class StatedSource(annotated.AnnotatedSource):
    """A reader of such a format.

    Attributes:
        suffix: that its files end with.
        box_form: one of `box_units.BOX_FORMS`.
        looked_for: its files, for the error where there are none.
        whole_splits: whether a file holds a split, so that its name may tell which.
    """

    suffix: ClassVar[str] = ".json"
    box_form: ClassVar[str] = "xyxy_px"
    looked_for: ClassVar[str]
    whole_splits: ClassVar[bool] = False
    looks_below = True

    @classmethod
    @abc.abstractmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether a file's content is this format's."""

    @classmethod
    @abc.abstractmethod
    def parse(cls, file: Path) -> Iterable[Stated]:
        """Reads a file.

        Raises:
            UserError: it is malformed.
            ValueError: the annotation of the one image that it is about is malformed.
        """

    @classmethod
    def read(cls, files: Sequence[Path]) -> Iterator[tuple[Path, Stated]]:
        """Reads all files; a format overrides it where what one says depends on the others.

        Args:
            files: of the format.

        Yields:
            A file, and one of its images.

        Raises:
            UserError: a file of several images is malformed.
        """
        return ((file, entry) for file in files for entry in cls._entries(file))

    @classmethod
    def belongs(cls, file: Path) -> bool:
        """Says whether a file beside others of the format is one, too, although it is broken or has no object."""
        del file
        return False

    @classmethod
    def image_name(cls, file: Path) -> str:
        """Returns the name of the image that a file is about, where the file cannot be read."""
        return file.stem

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "StatedSource":
        """Opens a folder; classes sorted by name.

        Raises:
            UserError: the folder is missing or holds nothing of the format, or a file is malformed.
        """
        root = layout.existing_folder(spec, cls.kind, argument)
        files = cls._files(root)
        if not files:
            raise layout.nothing_found(spec, root, cls.looked_for)
        by_split: dict[str, list[_Pair]] = collections.defaultdict(list)
        for file, entry in cls.read(files):
            by_split[base.split_named(entry.split) or cls._split_of(file, root) or ""].append((file, entry))
        unsaid = by_split.pop("", [])
        _check_split_of(spec, unsaid, by_split)
        is_whole = not by_split
        by_split, left_out = (by_split, unsaid) if by_split else ({"train": unsaid}, [])
        layout.check_any(spec, by_split)
        finder, notices = locate.Finder(root, by_split), _left_out(left_out)
        located = {
            split: [(cls._locate(entry, file, finder, split, notices), file) for file, entry in entries]
            for split, entries in by_split.items()
        }
        if is_whole:
            located = division.divide_by_folder(
                located["train"], lambda pair: pair[0].image.path, root, options.is_test_set
            )
        else:
            notices += _in_other_folders(located, root)
        found = {split: _apart(_one_an_image(pairs), root) for split, pairs in located.items()}
        notices += finder.notices()
        noted = [finder.find(entry.image, folders_of_images(file.parent, root, ""))[0] for file, entry in left_out]
        notices += _unnamed([named.image.path for of_split in found.values() for named in of_split], noted)
        images, class_names = class_labels.label_by_name(found)
        return cls(spec, images, class_names, options, notices)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which file is this format's; None where none of the first is."""
        for file in _first_files(path, path.stat().st_mtime_ns).get(cls.suffix, ()):
            if cls._has(file):
                return f"{file.relative_to(path)} is written as {cls.kind} has it"
        return None

    @classmethod
    def _files(cls, root: Path) -> list[Path]:
        """Lists the files of the format below a folder, with those beside them that belong to them."""
        there = layout.files(root, cls.suffix, deep=True)
        known = {file for file in there if cls._has(file)}
        folders = {file.parent for file in known}
        return [file for file in there if file in known or (file.parent in folders and cls.belongs(file))]

    @classmethod
    def _has(cls, file: Path) -> bool:
        try:
            return cls.is_its(text_bytes.content(file))
        except OSError:
            return False

    @classmethod
    def _entries(cls, file: Path) -> Iterator[Stated]:
        try:
            yield from cls.parse(file)
        except errors.UserError as error:
            if cls.whole_splits:
                raise
            yield Stated(cls.image_name(file), problem=str(error).removesuffix("."))
        except ValueError as error:
            if cls.whole_splits:
                raise errors.UserError(f"{file}: {error}. Export it again.") from error
            yield Stated(cls.image_name(file), problem=f"{file}: {error}")

    @classmethod
    def _split_of(cls, file: Path, root: Path) -> str | None:
        names = [*(parent.name for parent in file.relative_to(root).parents)]
        named = next(filter(None, map(base.split_named, names)), None)
        return named or (layout.split_within(file.stem) if cls.whole_splits else None)

    @classmethod
    def _locate(
        cls, entry: Stated, file: Path, finder: locate.Finder, split: str, notices: list[annotated.Notice]
    ) -> annotated.NamedImage:
        path, unclear = finder.find(entry.image, folders_of_images(file.parent, finder.root, split), split)
        problem = entry.problem or unclear
        is_called_so = layout.stem(path.name).casefold() == entry.own_name.casefold()
        other = None if is_called_so or not entry.own_name else image_of_stem(path.parent, entry.own_name)
        if other and cls.whole_splits:  # an id, which may be a mere number
            detail = f"it is the image of `{entry.own_name}` by its path, and `{other}` is there, too"
            notices.append(annotated.Notice("other_id", str(path), detail))
        elif other:
            problem = problem or f"{file}: it says {entry.image}, and `{other}` has its name; correct one of them"
            path = path.with_name(other)
            entry = dataclasses.replace(entry, image=os.path.join(os.path.dirname(locate.plain(entry.image)), other))
        names, boxes, is_crowd = zip(*entry.rows, strict=True) if entry.rows and not problem else ((), (), ())
        image = annotated.AnnotatedImage(
            source_id=locate.plain(entry.image),
            path=str(path),
            size=entry.size,
            boxes=boxes,
            is_crowd=is_crowd,
            areas_px=(None,) * len(boxes),
            box_form=cls.box_form,
            problem=problem,
        )
        return annotated.NamedImage(image, names)


def _check_split_of(spec: str, unsaid: Sequence[_Pair], by_split: Mapping[str, Sequence[_Pair]]) -> None:
    """Checks that files of no split lie beside those of one, as the other subsets of an export do.

    Raises:
        UserError: one does not.
    """
    beside = {file.parent for pairs in by_split.values() for file, _ in pairs}
    alone = next((file for file, _ in unsaid if beside and file.parent not in beside), None)
    if alone:
        raise errors.UserError(
            f"Dataset `{spec}`: which split is `{alone}`? Others lie in folders of a split. Put it into"
            " train/, val/ or test/, too."
        )


def _left_out(pairs: Iterable[_Pair]) -> list[annotated.Notice]:
    """Notes the images of subsets that are no splits."""
    groups: dict[tuple[Path, str], list[str]] = collections.defaultdict(list)
    for file, entry in pairs:
        groups[file, entry.split].append(entry.image)
    notices = []
    for (file, subset), images in groups.items():
        count = f"{len(images)} images" if len(images) > 1 else "1 image"
        of_what = f"the subset `{subset}`, which is no split" if subset else "no split"
        notices.append(
            annotated.Notice("left_out", str(file), f"{count} of {of_what} (train, val or test), as {images[0]}")
        )
    return notices


def _in_other_folders(
    located: Mapping[str, Iterable[tuple[annotated.NamedImage, Path]]], root: Path
) -> list[annotated.Notice]:
    """Notes the images that lie in the folder of another split, where folders tell several splits."""
    paths = [(split, named.image.path) for split, pairs in located.items() for named, _ in pairs]
    lying = [(split, path, division.split_above(Path(path), root)) for split, path in paths]
    if len({folder for _, _, folder in lying if folder}) < 2:
        return []
    return [
        annotated.Notice("other_split", path, f"its annotation says {split}, which counts, and its folder {folder}")
        for split, path, folder in lying
        if folder not in (None, split)
    ]


def _unnamed(paths: Sequence[str], noted: Iterable[Path]) -> list[annotated.Notice]:
    """Notes the images beside those of some paths that are neither among them nor noted otherwise."""
    folders = layout.outermost(sorted({Path(path).parent for path in paths if Path(path).is_file()}))
    known = {*paths, *map(str, noted)}
    return [notice for folder in folders for notice in layout.unnamed_images(folder, known)]


def _one_an_image(found: Iterable[tuple[annotated.NamedImage, Path]]) -> list[annotated.NamedImage]:
    """Keeps one annotation per image; where several differ, the image is unusable: nothing tells which is right.

    Args:
        found: annotations with the files that they stand in.
    """
    groups: dict[str, list[tuple[annotated.NamedImage, Path]]] = collections.defaultdict(list)
    for named, file in found:
        groups[annotated.real_path(named.image.path)].append((named, file))
    result = []
    for (first, its_file), *others in groups.values():
        if any((other.names, other.image.boxes) != (first.names, first.image.boxes) for other, _ in others):
            files = list(dict.fromkeys(map(str, (its_file, *(file for _, file in others)))))
            where = " and ".join(f"`{file}`" for file in files[:3])
            which = f"{where} differ about it" if len(files) > 1 else f"{where} names it several times"
            problem = first.image.problem or f"{which}; keep one annotation of each image"
            image = dataclasses.replace(first.image, boxes=(), is_crowd=(), areas_px=(), problem=problem)
            first = annotated.NamedImage(image)
        result.append(first)
    return result


def _apart(found: Sequence[annotated.NamedImage], root: Path) -> list[annotated.NamedImage]:
    """Names images that are called alike, as the frames of two recordings, by their paths in the dataset."""
    counts = collections.Counter(named.image.source_id for named in found)
    result = []
    for named in found:
        path = Path(named.image.path)
        if counts[named.image.source_id] > 1 and path.is_relative_to(root):
            image = dataclasses.replace(named.image, source_id=path.relative_to(root).as_posix())
            named = dataclasses.replace(named, image=image)
        result.append(named)
    return result


def items_of(table: Any, what: str) -> list[dict[str, Any]]:
    """Checks that a JSON value is a list of objects.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(table, list) or not all(isinstance(entry, dict) for entry in table):
        raise ValueError(f"{what} must be a list of objects")
    return table


def object_of(value: Any, what: str) -> dict[str, Any]:
    """Checks that a JSON value is an object; what is empty counts as an empty one.

    Raises:
        ValueError: it is none.
    """
    if value and not isinstance(value, dict):
        raise ValueError(f"{what} must be an object with keys: got {str(value)[:_SHOWN]}")
    return value or {}


def text_of(value: Any, what: str) -> str:
    """Checks that a JSON value is a text that is not empty.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} must be a text: got {value!r}")
    return value.strip()


def numbers_of(given: Any, what: str, count: int | None = None) -> tuple[float, ...]:
    """Checks that a value is a list of numbers, also as text.

    Args:
        given: the value.
        what: names it, for the error.
        count: of its numbers; None for one or more.

    Raises:
        ValueError: it is no list, has another length, or holds something else.
    """
    numbers = [values.number(value) for value in given] if isinstance(given, list | tuple) else []
    if None in numbers or len(numbers) != (count or max(len(numbers), 1)):
        raise ValueError(f"{what} needs {f'{count} ' if count else ''}numbers: got {str(given)[:_SHOWN]}")
    return tuple(number for number in numbers if number is not None)


def around(points: Any, what: str) -> tuple[float, float, float, float]:
    """Returns the box xmin, ymin, xmax, ymax around two or more points (x, y).

    Raises:
        ValueError: there are none.
    """
    if (
        not isinstance(points, list)
        or len(points) < 2
        or not all(isinstance(one, list) and len(one) == 2 for one in points)
    ):
        raise ValueError(f"{what} needs two or more points [x, y]: got {points!r}")
    xs, ys = (numbers_of([point[axis] for point in points], what) for axis in (0, 1))
    return min(xs), min(ys), max(xs), max(ys)


def image_of_stem(folder: Path, stem: str) -> str | None:
    """Returns the one image in a folder that has a name before its ending; None where none or several do."""
    endings = (end for suffix in layout.IMAGE_SUFFIXES for end in (suffix, suffix.upper()))
    there = [f"{stem}{end}" for end in endings if (folder / f"{stem}{end}").is_file()]
    return there[0] if len(there) == 1 else None


@functools.lru_cache(maxsize=1)
def _first_files(root: Path, changed: int) -> dict[str, list[Path]]:
    """Returns a folder's first files by their endings; kept, since several readers ask one after another."""
    del changed  # of the folder: part of the key
    found: dict[str, list[Path]] = {}
    for inside, names in layout.walk(root) if root.is_dir() else ():
        for name in names:
            of_suffix = found.setdefault(os.path.splitext(name)[1].lower(), [])
            if len(of_suffix) < _SNIFFED_FILES:
                of_suffix.append(root / inside / name)
    return found


def folders_of_images(parent: Path, root: Path, split: str) -> list[Path]:
    """Returns where the images of annotations in a folder may lie, the likeliest first."""
    above = [parent, *(folder for folder in (parent.parent, root) if root in (folder, *folder.parents))]
    ends = [f"{folder}/{end}".strip("/") for folder in _IMAGE_FOLDERS for end in (split, "")]
    return list(dict.fromkeys(folder / end for folder in above for end in ends)) or [root]
