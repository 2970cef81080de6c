"""Reads image files: decodes them whole, turns them by their EXIF orientation, brings 16 bits to 8.

Rules:
- An image is decoded whole with Pillow; what does not decode is bad, whatever its name ends in.
- JPEG and PNG files are stored as they are, byte by byte. TensorFlow decodes grey, palette, 1-bit, transparent (the
  transparency is dropped) and CMYK ones to the same three channels as Pillow.
- 16-bit grey PNG and TIFF files, as thermal cameras write them, are stretched to 8 bits (`data.thermal`) and stored as
  PNG. 8-bit BMP, TIFF and WebP files are rewritten as PNG, without loss. Everything else is bad; so are colours of 16
  bits, of which nothing says how many bits the camera filled.
- TensorFlow ignores EXIF orientation. Where boxes belong to the image as EXIF turns it, it is turned and stored as PNG;
  where they belong to the stored image, it stays, and its orientation is removed, so that nobody turns it later. The
  size that the annotation states decides, or the user.

Every change is an entry in `mended`.
"""

import bisect
import dataclasses
import difflib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from data import errors, examples, thermal

TURNED = "turned as its EXIF orientation says"
STRETCHED = "16-bit image stretched to 8 bits"
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_DEEP_GREY_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_REWRITTEN_AS_PNG = ("BMP", "TIFF", "WEBP")
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
PNG_BIT_DEPTH_AT = 24  # byte of the IHDR chunk, which always comes first
_TURNS = {  # EXIF orientation: what shows the image upright, what undoes that
    2: (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_LEFT_RIGHT),
    3: (Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_180),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_TOP_BOTTOM),
    5: (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSPOSE),
    6: (Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_90),
    7: (Image.Transpose.TRANSVERSE, Image.Transpose.TRANSVERSE),
    8: (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
}
FIRST_SIDEWAYS = 5  # EXIF orientations from here on swap height and width
_PNG_FIRST_CHUNK_AT = 8
_NEIGHBOURS = 100
_DRAFT_SCALE = 8  # the most by which libjpeg shrinks while it decodes
_PNG_CHUNK_FRAME_BYTES = 12  # length, kind and checksum around a chunk's data


@dataclasses.dataclass(frozen=True)
class CheckedImage:
    """An image that decodes.

    Attributes:
        encoded: 8-bit JPEG or PNG bytes.
        image_format: "jpeg" or "png".
        height: px.
        width: px.
        mended: what was mended without guessing, for `DetectionRecord.mended`.
    """

    encoded: bytes
    image_format: str
    height: int
    width: int
    mended: tuple[str, ...] = ()


class AmbiguousImageError(errors.BadExampleError):
    """An image that could be meant in two ways; its reason names the option that says in which."""


def read_image(
    path: str, exif: str = "auto", stated_size: tuple[int, int] | None = None, has_boxes: bool = True
) -> CheckedImage:
    """Reads and checks an image file.

    Args:
        path: of the file.
        exif: as `check_image`.
        stated_size: as `check_image`.
        has_boxes: as `check_image`.

    Returns:
        The image, its bytes unchanged where TensorFlow decodes them right.

    Raises:
        BadExampleError: the file is missing, unreadable, or fails `check_image`.
        AmbiguousImageError: as `check_image`.
    """
    return check_image(read_file(path), path, exif, stated_size, has_boxes)


def read_file(path: str) -> bytes:
    """Reads an image file as it is.

    Args:
        path: of the file.

    Raises:
        BadExampleError: the file is missing or unreadable.
    """
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_image(path) from error
    except (OSError, ValueError) as error:  # a name may hold a NUL
        why = getattr(error, "strerror", None) or error
        raise errors.BadExampleError(path, f"the file cannot be read: {why}", "unreadable_image") from error


def missing_image(path: str) -> errors.BadExampleError:
    """Words the error about an image file that is not there, with what is there.

    Args:
        path: that was tried.
    """
    absolute = os.path.abspath(path)
    folder, name = os.path.split(absolute)
    reason = "the image file does not exist" + (f" (`{absolute}`)" if absolute != path else "")
    if os.path.islink(absolute):
        return errors.BadExampleError(path, f"{reason}: it is a link to `{os.readlink(absolute)}`", "missing_image")
    if not os.path.isdir(folder):
        return errors.BadExampleError(path, f"{reason}, nor does its folder", "missing_image")
    names = [entry for entry in sorted(os.listdir(folder)) if not entry.startswith(".")]
    place = bisect.bisect(names, name)
    around = names[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]  # of many files the rest are less alike
    near = difflib.get_close_matches(name, around, n=1)
    return errors.BadExampleError(path, f"{reason}; the nearest is `{near[0]}`" if near else reason, "missing_image")


def check_image(
    encoded: bytes,
    file: str,
    exif: str = "auto",
    stated_size: tuple[int, int] | None = None,
    has_boxes: bool = True,
) -> CheckedImage:
    """Decodes an image whole and says what is stored of it.

    Args:
        encoded: the file's bytes.
        file: its path, for the error.
        exif: "apply" turns the image as its EXIF orientation says, "ignore" does not; "auto" goes by `stated_size`.
        stated_size: (height, width) that the annotation states, px, or None.
        has_boxes: False where nothing in the image is annotated, so that a doubtful orientation does not matter.

    Returns:
        The image, its bytes unchanged where TensorFlow decodes them right.

    Raises:
        BadExampleError: empty, no image, truncated, of an unknown depth, or of a format that is not supported.
        AmbiguousImageError: EXIF turns the image and `stated_size` does not say whether its boxes are turned, too.
    """
    image, (height, width), orientation = _decode(encoded, file, whole=False)
    _check_depth(image, encoded, file)
    if image.format == "PNG":
        _check_png_chunks(encoded, file)
    stored_format = examples.image_format(encoded)
    if stored_format is None:
        _check_rewritable(image, file)
    image, mended = _to_8_bits(image)
    if stored_format is None and not mended:
        mended.append(f"{image.format} image stored as PNG")
    if _must_turn(orientation, (height, width), exif, stated_size, has_boxes, file):
        whole = _decode(encoded, file, whole=True)[0] if stored_format == "jpeg" else image
        image = whole.transpose(_TURNS[orientation][0])
        mended.append(TURNED)
    elif orientation != 1 and not mended:
        encoded = _without_orientation(encoded, image)
    if mended:
        encoded, stored_format, (width, height) = as_png(image), "png", image.size
    return CheckedImage(encoded, stored_format, height, width, tuple(mended))


def _decode(encoded: bytes, file: str, whole: bool) -> tuple[Image.Image, tuple[int, int], int]:
    """Decodes an image as it is stored.

    Of a JPEG all of the data are read, but with `whole` off a small grey image is made of it: the same files fail.

    Returns:
        The pixels, the stored (height, width) and the EXIF orientation (1 is upright).
    """
    if not encoded:
        raise errors.BadExampleError(file, "empty file (0 bytes)", "empty_image")
    try:
        image = Image.open(io.BytesIO(encoded))
        width, height = image.size
        if width * height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(f"{width}x{height}, at most {Image.MAX_IMAGE_PIXELS} in all")
        orientation = read_orientation(image)  # loading a TIFF turns it and forgets its orientation
        if not whole:
            image.draft("L", (max(1, width // _DRAFT_SCALE), max(1, height // _DRAFT_SCALE)))  # of a JPEG only
        image.load()
    except Image.UnidentifiedImageError as error:
        known = examples.image_format(encoded)
        reason = f"the image does not decode: broken {known} header" if known else "not an image"
        kind = "broken_image" if known else "not_an_image"
        raise errors.BadExampleError(file, f"{reason} (first bytes {encoded[:8]!r})", kind) from error
    except Image.DecompressionBombError as error:
        reason = f"too many pixels, at most {Image.MAX_IMAGE_PIXELS} are read"
        raise errors.BadExampleError(file, reason, "unsupported_image") from error
    except Exception as error:  # Pillow's plugins raise whatever a broken file leads them to
        raise errors.BadExampleError(file, f"the image does not decode: {error}", "broken_image") from error
    if image.format == "TIFF" and orientation in _TURNS and getattr(image, "n_frames", 1) == 1:
        turned_back = image.transpose(_TURNS[orientation][1])
        turned_back.format = image.format
        image = turned_back
        width, height = image.size
    return image, (height, width), orientation


def read_orientation(image: Image.Image) -> int:
    """Reads the EXIF orientation of an image that is opened but not loaded; 1 where there is none that can be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken metadata does not make the pixels bad; the parser raises whatever it leads to
        return 1
    return orientation if orientation in _TURNS else 1


def _must_turn(
    orientation: int, size: tuple[int, int], exif: str, stated_size: tuple[int, int] | None, has_boxes: bool, file: str
) -> bool:
    if orientation == 1 or exif == "ignore":
        return False
    turned = size[::-1] if orientation >= FIRST_SIDEWAYS else size
    if exif == "apply" or (turned == stated_size != size):
        return True
    if size == stated_size != turned or not has_boxes:
        return False
    raise AmbiguousImageError(
        file,
        f"EXIF orientation {orientation} turns the image; do its boxes belong to the turned image (--exif=apply) or to"
        " the stored one (--exif=ignore)?",
    )


def _without_orientation(encoded: bytes, image: Image.Image) -> bytes:
    """Hides the EXIF header of a JPEG from readers, its pixels unchanged; a PNG is written anew without it."""
    if image.format == "PNG":
        return as_png(image)
    return encoded.replace(b"Exif\0\0", b"exif\0\0", 1)


def _check_depth(image: Image.Image, encoded: bytes, file: str) -> None:
    if image.mode in _DEEP_GREY_MODES:
        return
    deep_png = image.format == "PNG" and encoded[PNG_BIT_DEPTH_AT] == 16
    if image.mode not in _EIGHT_BIT_MODES or deep_png:
        mode = "16 bits a channel" if deep_png else f"pixel mode {image.mode}"
        reason = f"not an 8-bit image ({image.format}, {mode}); convert it to 8 bits"
        raise errors.BadExampleError(file, reason, "unsupported_image")


def _to_8_bits(image: Image.Image) -> tuple[Image.Image, list[str]]:
    if image.mode not in _DEEP_GREY_MODES:
        return image, []
    return Image.fromarray(thermal.stretch_to_8bit(np.asarray(image).astype(np.uint16))), [STRETCHED]


def _check_png_chunks(encoded: bytes, file: str) -> None:
    """Walks a PNG's chunks: TensorFlow rejects missing ends and wrong checksums that Pillow forgives."""
    position = _PNG_FIRST_CHUNK_AT
    while True:
        (length,) = struct.unpack_from(">I", encoded.ljust(position + 4, b"\0"), position)
        end = position + length + _PNG_CHUNK_FRAME_BYTES
        if end > len(encoded):
            reason = "the image does not decode: the PNG ends before its end chunk"
            raise errors.BadExampleError(file, reason, "broken_image")
        content = encoded[position + 4 : end - 4]
        if zlib.crc32(content) != int.from_bytes(encoded[end - 4 : end], "big"):
            reason = "the image does not decode: a PNG chunk has a wrong checksum"
            raise errors.BadExampleError(file, reason, "broken_image")
        if content.startswith(b"IEND"):
            return
        position = end


def _check_rewritable(image: Image.Image, file: str) -> None:
    known_mode = image.mode in _PNG_MODES or image.mode in _DEEP_GREY_MODES
    if image.format not in _REWRITTEN_AS_PNG or getattr(image, "n_frames", 1) > 1 or not known_mode:
        reason = f"format {image.format} ({image.mode}) is not supported; convert it to JPEG or PNG"
        raise errors.BadExampleError(file, reason, "unsupported_image")


def as_png(image: Image.Image) -> bytes:
    """Encodes an 8-bit image of any mode as PNG."""
    buffer = io.BytesIO()
    (image if image.mode in _PNG_MODES else image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()
