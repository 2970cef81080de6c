"""Reads what an image file's header says, without decoding its pixels."""

import dataclasses
from pathlib import PurePath
from typing import BinaryIO

from PIL import Image

from data import image_decoding

_BYTES_READ = 32  # at most, before Pillow reads on
_FORMATS_OF_SUFFIX = {
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".jfif": ("JPEG",),
    ".png": ("PNG",),
    ".bmp": ("BMP",),
    ".tif": ("TIFF",),
    ".tiff": ("TIFF",),
    ".webp": ("WEBP",),
    ".gif": ("GIF",),
}


@dataclasses.dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Attributes:
        format: Pillow's name, as "JPEG".
        mode: Pillow's name, as "RGB".
        size: (height, width) as stored, px.
        orientation: EXIF's, from 1 (upright) to 8.
        is_deep: whether a colour has 16 bits.
        is_transparent: whether pixels can be transparent.
    """

    format: str
    mode: str
    size: tuple[int, int]
    orientation: int
    is_deep: bool
    is_transparent: bool

    def size_for(self, stated_size: tuple[int, int] | None, exif: str) -> tuple[int, int]:
        """Returns the size that boxes refer to: turned where EXIF turns the image on its side and the boxes with it.

        Args:
            stated_size: (height, width) that the annotation states, px, or None.
            exif: as `validation.check_image`.
        """
        is_turned = exif == "apply" or (exif == "auto" and stated_size == self.size[::-1])
        return self.size[::-1] if self.orientation >= image_decoding.FIRST_SIDEWAYS and is_turned else self.size

    def facts(self, file: str) -> list[tuple[str, str]]:
        """Lists what is worth a note.

        Args:
            file: name of the file.

        Returns:
            (kind of `findings.KINDS`, detail) of each.
        """
        suffix = PurePath(file).suffix.lower()
        notes = {
            "cmyk_image": self.mode == "CMYK",
            "palette_image": self.mode in ("P", "PA"),
            "transparent_image": self.is_transparent,
            "deep_image": self.is_deep,
        }
        found = [(kind, f"{self.format}, {self.mode}") for kind, is_so in notes.items() if is_so]
        if self.format not in _FORMATS_OF_SUFFIX.get(suffix, (self.format,)):
            found.append(("renamed_image", f"is {self.format}"))
        return found


def read_header(file: BinaryIO) -> Header | None:
    """Reads an image's header.

    Args:
        file: at its start.

    Returns:
        What it says, or None where it is none that Pillow can read.
    """
    try:
        start = file.read(_BYTES_READ)
        file.seek(0)
        image = Image.open(file)
        orientation = image_decoding.read_orientation(image)
    except Exception:  # whatever it is, decoding the image says so with a reason
        return None
    is_deep_png = image.format == "PNG" and start[image_decoding.PNG_BIT_DEPTH_AT] == 16
    return Header(
        format=image.format or "unknown",
        mode=image.mode,
        size=(image.height, image.width),
        orientation=orientation,
        is_deep=is_deep_png or image.mode.startswith("I;16"),
        is_transparent=image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info,
    )
