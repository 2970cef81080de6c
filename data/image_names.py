"""File names for images that are known by an id, which may be anything."""

import hashlib
import re

_SUFFIXES = {"jpeg": (".jpg", ".jpeg", ".jfif"), "png": (".png",)}
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
_ANY_SUFFIX = (*_IMAGE_SUFFIXES, ".xml", ".txt", ".json")  # what readers take off a name that annotations go by
_LONGEST_PART = 150  # bytes; file systems take 255
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")


class FileNames:
    """Gives each image a relative file name of its own.

    An id that is a sound name is kept; folders in it are kept, too.
    """

    def __init__(self, one_stem: bool, flat: bool = False, reserved: tuple[str, ...] = ()) -> None:
        """Starts without names.

        Args:
            one_stem: names must differ in more than their suffix, as their annotations go by the name without it.
            flat: names hold neither folders nor white space; "_" stands for both.
            reserved: names of folders that an id may not hold.
        """
        self._one_stem, self._flat, self._reserved = one_stem, flat, reserved
        self._taken: set[str] = set()
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, source_id: str, image_format: str) -> str:
        """Makes the name of one more image.

        Args:
            source_id: of the image; may hold folders, a suffix that is not right, or none.
            image_format: "jpeg" or "png".

        Returns:
            A relative path with "/" between its parts and the format's suffix. No other path of these names is the same
            in any case of its letters, or a folder of it.
        """
        parts = [self._clean(part) for part in re.split(r"[\\/]", source_id)]
        parts = [part for part in parts if part not in ("", ".", "..", *self._reserved)] or ["image"]
        parts = [f"_{part[1:]}" if part.startswith(".") else part for part in parts]  # else the file is hidden
        stem, suffix = _split_suffix(parts[-1], image_format)
        if self._one_stem and stem.casefold().endswith(_ANY_SUFFIX):
            stem = "_".join(stem.rpartition(".")[::2])
        parts[-1] = stem
        if self._flat or any("/".join(parts[:end]).casefold() in self._files for end in range(1, len(parts))):
            parts = ["_".join(parts)]
        number, path = 1, "/".join(parts)
        while self._key(path, suffix) in self._taken or (path + suffix).casefold() in self._folders:
            number += 1
            path = "/".join([*parts[:-1], f"{parts[-1]}-{number}"])
        self._taken.add(self._key(path, suffix))
        self._files.add((path + suffix).casefold())
        self._folders.update("/".join(parts[:end]).casefold() for end in range(1, len(parts)))
        return path + suffix

    def _key(self, path: str, suffix: str) -> str:
        return (path if self._one_stem else path + suffix).casefold()

    def _clean(self, part: str) -> str:
        part = _UNSAFE.sub("_", part).strip()
        if self._flat:
            part = re.sub(r"\s+", "_", part)
        encoded = part.encode("utf-8", "replace")
        if len(encoded) <= _LONGEST_PART:
            return encoded.decode()
        head = encoded[: _LONGEST_PART - 20].decode("utf-8", "ignore")
        return f"{head}-{hashlib.sha256(encoded).hexdigest()[:8]}{encoded[-8:].decode('utf-8', 'ignore')}"


def _split_suffix(name: str, image_format: str) -> tuple[str, str]:
    """Returns a name without its suffix, and the suffix it should have."""
    right, folded = _SUFFIXES[image_format], name.casefold()
    suffix = next((each for each in _IMAGE_SUFFIXES if folded.endswith(each) and len(folded) > len(each)), "")
    stem, own = (name[: -len(suffix)], name[-len(suffix) :]) if suffix else (name, "")
    return stem, own if suffix in right else right[0]
