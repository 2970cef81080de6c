"""Checks of one example's image and boxes, before they cost a training run.

Rules:
- An image is decoded whole with Pillow; what does not decode is bad, whatever its name ends in.
- 8-bit JPEG and PNG files are stored as they are, byte by byte; 8-bit BMP, TIFF and WebP files are rewritten
  as PNG, without loss. Everything else is bad.
- A box may stick out of its image by at most `BORDER_TOLERANCE_PX`, which covers rounding and 1-based
  coordinates; it is clipped. Beyond that, or with NaN, a negative or a zero side, the whole example is bad: a
  wrong box is a sign that the file and its annotation do not belong together.
"""

import collections
import dataclasses
import io
import struct
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from data import boxes as box_forms
from data import errors, examples

MOST_BAD_SHARE = 0.05  # of a split; more bad examples than this mean that the dataset itself is wrong

BORDER_TOLERANCE_PX = 1.0

_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_REWRITTEN_AS_PNG = ("BMP", "TIFF", "WEBP")
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_PNG_BIT_DEPTH_AT = 24  # byte of the IHDR chunk, which always comes first
_PNG_FIRST_CHUNK_AT = 8
_PNG_CHUNK_FRAME_BYTES = 12  # length, kind and checksum around a chunk's data


@dataclasses.dataclass(frozen=True)
class CheckedImage:
    """An image that decodes.

    Attributes:
        encoded: 8-bit JPEG or PNG bytes.
        image_format: "jpeg" or "png".
        height: px.
        width: px.
    """

    encoded: bytes
    image_format: str
    height: int
    width: int


def read_image(path: str) -> CheckedImage:
    """Reads and checks an image file.

    Args:
        path: of the file.

    Returns:
        The image, its bytes unchanged where they are JPEG or PNG.

    Raises:
        BadExampleError: the file is missing, unreadable, or fails `check_image`.
    """
    try:
        encoded = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise errors.BadExampleError(path, "the image file does not exist") from error
    except OSError as error:
        raise errors.BadExampleError(path, f"the file cannot be read: {error.strerror or error}") from error
    return check_image(encoded, path)


def check_image(encoded: bytes, file: str) -> CheckedImage:
    """Decodes an image whole and says what is stored of it.

    Args:
        encoded: the file's bytes.
        file: its path, for the error.

    Returns:
        The image, its bytes unchanged where they are JPEG or PNG.

    Raises:
        BadExampleError: empty, no image, truncated, not 8-bit, or of a format that is not supported.
    """
    if not encoded:
        raise errors.BadExampleError(file, "empty file (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(encoded))
            image.load()
    except Image.UnidentifiedImageError as error:
        known = examples.image_format(encoded)
        reason = f"the image does not decode: broken {known} header" if known else "not an image"
        raise errors.BadExampleError(file, f"{reason} (first bytes {encoded[:8]!r})") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise errors.BadExampleError(file, f"too many pixels: {error}") from error
    except Exception as error:  # Pillow's plugins raise whatever a broken file leads them to
        raise errors.BadExampleError(file, f"the image does not decode: {error}") from error
    _check_depth(image, encoded, file)
    if image.format == "PNG":
        _check_png_chunks(encoded, file)
    stored_format = examples.image_format(encoded)
    if stored_format is None:
        encoded, stored_format = _as_png(image, file), "png"
    return CheckedImage(encoded, stored_format, image.height, image.width)


def check_boxes(boxes_xywh_px: np.ndarray, height: int, width: int, file: str) -> np.ndarray:
    """Checks an image's boxes and converts them to the form used inside.

    Args:
        boxes_xywh_px: float [N, 4], top-left x and y, width, height, in px; N may be 0.
        height: of the image file, px.
        width: of the image file, px.
        file: path of the image, for the error.

    Returns:
        float32 [N, 4] ymin, xmin, ymax, xmax as fractions of the image's sides, in [0, 1], sides positive.

    Raises:
        BadExampleError: a box is NaN or infinite, inverted, of zero area, or outside its image.
    """
    xywh = np.asarray(boxes_xywh_px, dtype=np.float64).reshape(-1, 4)
    sides, corners = xywh[:, 2:], np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    limits = np.array([width, height], dtype=np.float64)
    overhang = np.maximum(-corners[:, :2], corners[:, 2:] - limits).max(axis=1)  # [N]
    for rule, broken in (
        ("has a coordinate that is no number", ~np.isfinite(xywh).all(axis=1)),
        ("is inverted (negative width or height)", (sides < 0).any(axis=1)),
        ("has zero area", (sides == 0).any(axis=1)),
        (f"lies outside its image of {width}x{height} px", overhang > BORDER_TOLERANCE_PX),
    ):
        if broken.any():
            index = int(np.argmax(broken))
            raise errors.BadExampleError(file, f"box {_show(xywh[index])} (x, y, width, height in px) {rule}")
    normalized = np.clip(box_forms.coco_to_normalized(xywh, height, width), 0.0, 1.0)  # [N, 4]
    empty = (normalized[:, 2:] <= normalized[:, :2]).any(axis=1)
    if empty.any():
        shown = _show(xywh[int(np.argmax(empty))])
        raise errors.BadExampleError(file, f"box {shown} (x, y, width, height in px) has no area inside its image")
    return normalized


def check_unique(names: Iterable[str], where: str) -> None:
    """Checks that a split names no example twice.

    Args:
        names: source ids of one split.
        where: the file or split they come from, for the error.

    Raises:
        UserError: a name comes twice.
    """
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
        raise errors.UserError(
            f"{where} repeats the name `{twice[0]}`{more}; names must be unique in a split. Remove the duplicates."
        )


def _check_depth(image: Image.Image, encoded: bytes, file: str) -> None:
    deep_png = examples.image_format(encoded) == "png" and encoded[_PNG_BIT_DEPTH_AT] == 16
    if image.mode not in _EIGHT_BIT_MODES or deep_png:
        mode = "16 bits a channel" if deep_png else f"pixel mode {image.mode}"
        raise errors.BadExampleError(file, f"not an 8-bit image ({image.format}, {mode}); convert it to 8 bits")


def _check_png_chunks(encoded: bytes, file: str) -> None:
    """Walks a PNG's chunks: TensorFlow rejects missing ends and wrong checksums that Pillow forgives."""
    position = _PNG_FIRST_CHUNK_AT
    while True:
        (length,) = struct.unpack_from(">I", encoded.ljust(position + 4, b"\0"), position)
        end = position + length + _PNG_CHUNK_FRAME_BYTES
        if end > len(encoded):
            raise errors.BadExampleError(file, "the image does not decode: the PNG ends before its end chunk")
        content = encoded[position + 4 : end - 4]
        if zlib.crc32(content) != int.from_bytes(encoded[end - 4 : end], "big"):
            raise errors.BadExampleError(file, "the image does not decode: a PNG chunk has a wrong checksum")
        if content.startswith(b"IEND"):
            return
        position = end


def _as_png(image: Image.Image, file: str) -> bytes:
    if image.format not in _REWRITTEN_AS_PNG or getattr(image, "n_frames", 1) > 1 or image.mode not in _PNG_MODES:
        raise errors.BadExampleError(
            file, f"format {image.format} ({image.mode}) is not supported; convert it to JPEG or PNG"
        )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _show(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
