"""Finds the file that an annotation means: one place for every reader.

A path is first taken as it stands, with `\\` as `/`, in the folders that a reader names: the annotation's own, then
the dataset's. Where nothing lies there, files below the dataset's root are compared by the end of their paths, without
regard to case, to Unicode's two forms, to `%20` for a space and, where the annotation has none, to the ending. The
longest common end wins, and only where one file has it; what was found so is counted and said (`Finder.notices`).
"""

import collections
import os
import re
import unicodedata
import urllib.parse
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from data.sources import annotated, base, layout

_DRIVE = re.compile(r"^[a-zA-Z]:(?=/)")
_QUOTES = " \t'\""


class Names:
    """Relative paths, found again by what others write for them."""

    def __init__(self, names: Iterable[str]) -> None:
        """Files the names under their last parts.

        Args:
            names: with "/" between their parts.
        """
        self._by_tail: dict[str, list[str]] = collections.defaultdict(list)
        self._by_stem: dict[str, list[str]] = collections.defaultdict(list)
        for name in names:
            tail = (_parts(name) or [name])[-1]
            self._by_tail[tail].append(name)
            self._by_stem[layout.stem(tail)].append(name)

    def matches(self, stated: str, least: int = 1) -> list[str]:
        """Finds the names whose ends are the most like a path's.

        Args:
            stated: a path, as somebody wrote it.
            least: parts that must be alike, where the path has as many.

        Returns:
            Those that share the longest end with it; of several, those that spell the last part alike.
        """
        wanted = _parts(stated)
        if not wanted:
            return []
        found = self._by_tail.get(wanted[-1]) or []
        if not found and not layout.is_image(wanted[-1]):
            found = self._by_stem.get(wanted[-1]) or []
        common = {name: 1 + _common_end(_parts(name)[:-1], wanted[:-1]) for name in found}
        most = max(common.values(), default=0)
        best = [name for name in found if common[name] == most >= min(least, len(wanted))]
        alike = [name for name in best if name.rpartition("/")[2] == plain(stated).rpartition("/")[2]]
        return alike or best


class Finder:
    """Finds a dataset's images by the paths that its annotations have for them."""

    def __init__(self, root: Path, splits: Collection[str] = ()) -> None:
        """Reads nothing yet.

        Args:
            root: folder of the dataset.
            splits: those that lie apart; nothing is looked for in the folder of another split.
        """
        self.root = root
        self._splits = frozenset(splits) if len(splits) > 1 else frozenset()
        self._names: dict[str, Names] = {}
        self._inexact: list[tuple[str, str]] = []

    def find(self, stated: str, folders: Sequence[Path], split: str = "") -> tuple[Path, str | None]:
        """Finds an image.

        Args:
            stated: its path, as the annotation has it.
            folders: that the path may start from, the likeliest first.
            split: that the annotation belongs to, or "".

        Returns:
            The path, or where the image would be; and why it is not clear which is meant, or None.
        """
        for write in (str, plain):
            name = write(stated)
            for folder in folders:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    return Path(os.path.normpath(path) if ".." in name else path), None
        matches = self._index(split).matches(stated)
        if len(matches) == 1:
            found = self.root / matches[0]
            self._inexact.append((stated, str(found)))
            return found, None
        shown = " or ".join(f"`{self.root / name}`" for name in matches[:3])
        return folders[0] / plain(stated), f"`{stated}` may be {shown}; name one of them" if matches else None

    def notices(self) -> list[annotated.Notice]:
        """Tells which images were found otherwise than as they are named."""
        return inexact(self._inexact)

    def _index(self, split: str) -> Names:
        if split not in self._names:
            names = layout.image_names(self.root)
            self._names[split] = Names(name for name in names if not self._is_others(name, split))
        return self._names[split]

    def _is_others(self, name: str, split: str) -> bool:
        named = {base.split_named(part) for part in name.split("/")[:-1]}
        return bool(split and named & (self._splits - {split}) and split not in named)


def inexact(found: Iterable[tuple[str, str | Path]]) -> list[annotated.Notice]:
    """Words the notices about names that are not exactly those of files.

    Args:
        found: what is written and the file that was taken for it, of each.
    """
    return [annotated.Notice("inexact_name", str(file), f"written as `{stated}`") for stated, file in found]


def plain(stated: str) -> str:
    r"""Returns a path with "/" for `\` and without a drive, or white space and quotes around it."""
    return _DRIVE.sub("", stated.strip(_QUOTES).replace("\\", "/"), count=1)


def _parts(path: str) -> list[str]:
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", urllib.parse.unquote(plain(path))).casefold())
    return [part for part in text.split("/") if part not in ("", ".", "..")]


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return count
