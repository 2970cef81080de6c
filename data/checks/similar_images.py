"""Finds pictures that are in two splits, or nearly so: what a model has seen in training says nothing when tested.

A picture's hash has 64 bits, one a pair of spatial frequencies: whether that frequency of the discrete cosine transform
of its 32x32 grey miniature is above their median. Frequency 0 is left out in both directions, so that brightness and
plain gradients, all that dark night images have in common, do not count. Of the thresholds: re-encoding, scaling by 2,
brightness and sensor noise change at most 4 bits of 64 in 95 of 100 images of HIT-UAV and of road_scenes, while no two
different scenes of these differ in fewer than 10.

Source of the idea: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2.
"""

import array
import dataclasses
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from data.sources import base

SIMILAR_BITS = 4  # two pictures that differ in at most so many bits are nearly the same
NEIGHBOUR_BITS = 16  # the same of pictures whose names say that they follow each other

_SIDE, _FREQUENCIES = 32, np.arange(1, 9)
_COSINES = np.cos(np.pi * (2 * np.arange(_SIDE) + 1) * _FREQUENCIES[:, None] / (2 * _SIDE))  # [8, 32]
_LEAST_CONTRAST = 1.0  # grey levels; a miniature with less has no picture to recognise
_ROWS, _COLUMNS = 32, 8192  # hashes compared at a time: 2 MB, which fits the processor's cache
_EXPORT_SUFFIX = re.compile(r"\.rf\.[0-9a-f]{32}$")  # what Roboflow appends to a name
_FRAME = re.compile(r"^(.*?)(\d+)(\D*)$")

Report = Callable[[str, int, str], None]  # kind, index of the picture, detail


@dataclasses.dataclass(frozen=True)
class Picture:
    """What is kept of a picture to recognise it by.

    Attributes:
        digest: of its bytes.
        hash: 64 bits; None of a picture of one colour.
    """

    digest: int
    hash: int | None


class Gallery:
    """The pictures of a dataset, 17 bytes each and their names."""

    def __init__(self) -> None:
        """Starts empty."""
        self.names: list[str] = []
        self.splits: list[str] = []
        self._digests, self._hashes, self._plain = array.array("Q"), array.array("Q"), array.array("B")

    def add(self, split: str, name: str, picture: Picture) -> None:
        """Adds a picture; splits come one after another, and what is found is said of the later one."""
        self.names.append(name)
        self.splits.append(split)
        self._digests.append(picture.digest)
        self._hashes.append(picture.hash or 0)
        self._plain.append(picture.hash is None)

    def path(self, index: int) -> str:
        """Returns "split/name" of a picture."""
        return f"{self.splits[index]}/{self.names[index]}"

    def find_leaks(self, report: Report) -> None:
        """Reports pictures that are in the dataset twice, each once.

        Args:
            report: called with "same_picture", "repeated_picture", "similar_picture" or "neighbouring_frames", the
                index of the picture and the name of the other one.
        """
        hashes, plain = np.array(self._hashes, np.uint64), np.array(self._plain, bool)
        split_order = {split: number for number, split in enumerate(dict.fromkeys(self.splits))}
        splits = np.array([split_order[split] for split in self.splits], np.int64)
        found = self._report_equal(report)
        for split in range(1, len(split_order)):
            queries = np.flatnonzero((splits == split) & ~plain & ~found)
            keys = np.flatnonzero((splits < split) & ~plain)
            nearest, distances = nearest_hashes(hashes[queries], hashes[keys], SIMILAR_BITS)
            for query, key, bits in zip(queries, nearest, distances, strict=True):
                if key >= 0:
                    found[query] = True
                    report("similar_picture", int(query), f"like {self.path(keys[key])} ({bits} of 64 bits differ)")
        for first, second in neighbours(self.names, self.splits):
            bits = int(np.bitwise_count(hashes[first] ^ hashes[second]))
            if bits <= NEIGHBOUR_BITS and not (plain[first] or plain[second] or found[first] or found[second]):
                found[second] = True
                report("neighbouring_frames", second, f"next to {self.path(first)} ({bits} of 64 bits differ)")

    def _report_equal(self, report: Report) -> np.ndarray:
        """Reports equal files; returns bool [pictures], whether it is equal to an earlier one of another split."""
        digests = np.array(self._digests, np.uint64)
        _, firsts, groups = np.unique(digests, return_index=True, return_inverse=True)
        found = np.zeros(len(digests), bool)
        for index in np.flatnonzero(firsts[groups] != np.arange(len(digests))).tolist():
            first = int(firsts[groups[index]])
            found[index] = self.splits[first] != self.splits[index]
            report("same_picture" if found[index] else "repeated_picture", index, f"as {self.path(first)}")
        return found


def recognise(encoded: bytes) -> Picture:
    """Computes what a picture is recognised by.

    Args:
        encoded: of an image file that decodes; of a 16-bit one the scale of its values does not matter.
    """
    digest = digest_of(encoded)
    image = Image.open(io.BytesIO(encoded))
    image.draft("L", (2 * _SIDE, 2 * _SIDE))  # a JPEG decoder scales down at a fraction of the time
    image = image.convert("I" if image.mode.startswith("I") else "L")  # 32 bits hold 16
    grey = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
    if np.ptp(grey) < _LEAST_CONTRAST:
        return Picture(digest, None)
    spectrum = _COSINES @ grey @ _COSINES.T  # [8, 8]
    bits = (spectrum > np.median(spectrum)).ravel()
    return Picture(digest, int.from_bytes(np.packbits(bits).tobytes(), "big"))


def digest_of(encoded: bytes) -> int:
    """Returns 64 bits that only equal files share."""
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")


def similar_groups(hashes: np.ndarray, most_bits: int) -> np.ndarray:
    """Groups pictures that are alike, directly or through others, in time N x N and a few MB of memory.

    Args:
        hashes: uint64 [N].
        most_bits: by which two that are alike may differ, in [0, 64].

    Returns:
        int64 [N], the number of each picture's group, that of its first picture.
    """
    groups = np.arange(len(hashes))
    waiting, values = groups.copy(), hashes  # pictures of no group yet
    while len(waiting):
        first, found = waiting[0], values[:1]
        waiting, values = waiting[1:], values[1:]
        while len(found):
            alike = np.zeros(len(waiting), bool)
            for top in range(0, len(found), _ROWS):
                for left in range(0, len(values), _COLUMNS):
                    columns = slice(left, left + _COLUMNS)
                    bits = np.bitwise_count(found[top : top + _ROWS, None] ^ values[None, columns])  # [rows, columns]
                    alike[columns] |= (bits <= most_bits).any(axis=0)
            found = values[alike]
            if len(found):
                groups[waiting[alike]] = first
                waiting, values = waiting[~alike], values[~alike]
    return groups


def nearest_hashes(queries: np.ndarray, keys: np.ndarray, most_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the key nearest to each query, in time queries x keys and a few MB of memory.

    Args:
        queries: uint64 [Q].
        keys: uint64 [K].
        most_bits: by which a key may differ, in [0, 64].

    Returns:
        int64 [Q], the index of the first nearest key, -1 where none is near enough; int64 [Q], the bits it differs by.
    """
    nearest = np.full(len(queries), -1, np.int64)
    distances = np.full(len(queries), most_bits + 1, np.int64)
    for top in range(0, len(queries), _ROWS):
        rows = slice(top, min(top + _ROWS, len(queries)))
        for left in range(0, len(keys), _COLUMNS):
            bits = np.bitwise_count(queries[rows, None] ^ keys[None, left : left + _COLUMNS])  # [rows, columns]
            best = bits.min(axis=1)
            for row in np.flatnonzero(best < distances[rows]).tolist():
                nearest[top + row], distances[top + row] = left + int(bits[row].argmin()), best[row]
    return nearest, distances


def neighbours(names: Sequence[str], splits: Sequence[str]) -> list[tuple[int, int]]:
    """Finds pictures that follow each other by the numbers in their names and are in different splits.

    A name's last number counts; what stands before and behind it, folders included, must agree. Folders that only name
    a split are left out.

    Args:
        names: of the pictures.
        splits: of the pictures.

    Returns:
        (index, index) of each such pair, the one of the later split last.
    """
    frames = sorted((*key, index) for index, name in enumerate(names) if (key := _frame_of(name)) is not None)
    pairs = [
        (first[-1], second[-1])
        for first, second in zip(frames, frames[1:], strict=False)
        if first[0] == second[0] and splits[first[-1]] != splits[second[-1]]
    ]
    order = {split: number for number, split in enumerate(dict.fromkeys(splits))}
    return [pair if order[splits[pair[0]]] < order[splits[pair[1]]] else pair[::-1] for pair in pairs]


def _frame_of(name: str) -> tuple[tuple[str, ...], int] | None:
    """Returns the recording that a name belongs to, and the number of the frame."""
    path = PurePosixPath(name)
    match = _FRAME.match(_EXPORT_SUFFIX.sub("", path.stem))
    if match is None:
        return None
    folders = [part for part in path.parent.parts if part not in base.SPLIT_NAMES]
    return (*folders, match[1], match[3]), int(match[2])
