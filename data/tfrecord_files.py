"""TFRecord files, plain or GZIP, without TensorFlow: frames to write, an index to make, single records to read.

A record is framed by its length and a checksum of that, and by a checksum of its bytes. Where the length is damaged
nothing behind it can be found; where only the bytes are, one record is lost.

Source: tensorflow/core/lib/io/record_writer.h.
"""

import gzip
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import google_crc32c

from data import errors

DAMAGED = "its bytes do not match their checksum"

_HEADER_BYTES = 12  # length and its checksum
_FOOTER_BYTES = 4  # checksum of the bytes
_MOST_BYTES = 1 << 28  # of a record: far above an image's, and little enough to be held in memory
_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)

_of_thread = threading.local()  # the GZIP file that a thread keeps open, and what it is


class Record(NamedTuple):
    """One record of a file.

    Attributes:
        offset: of its frame, bytes from the start of the file's content (uncompressed, where that is GZIP).
        data: its bytes, or None where they do not match their checksum.
        length: of its bytes.
    """

    offset: int
    data: bytes | None
    length: int


def frame(record: bytes) -> bytes:
    """Frames one record: length, its checksum, the bytes, their checksum."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, _checksum(length), record, _checksum(record)))


def is_gzip(path: str | os.PathLike[str]) -> bool:
    """Says whether a TFRecord file is compressed.

    Raises:
        UserError: it cannot be read, or begins neither with a record nor as GZIP does.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEADER_BYTES)
    except OSError as error:
        raise errors.UserError(f"{path}: the file cannot be read: {error.strerror or error}.") from error
    if not head or (len(head) == _HEADER_BYTES and _checksum(head[:8]) == head[8:]):
        return False
    if head.startswith(_GZIP_MAGIC):
        return True
    raise errors.UserError(f"{path}: no TFRecord file: neither a record nor GZIP data at byte 0. Remove or replace it.")


def scan(path: str | os.PathLike[str], compressed: bool) -> Iterator[Record]:
    """Reads a file's records one after another.

    Args:
        path: of the file.
        compressed: as `is_gzip` says.

    Yields:
        The records; one at a time is in memory.

    Raises:
        UserError: the file ends within a record, or a record's length is damaged or above 256 MB; says at which byte.
    """
    offset, size = 0, None if compressed else os.path.getsize(path)
    with gzip.open(path, "rb") if compressed else open(path, "rb") as file:
        while True:
            header = _read(file, _HEADER_BYTES, path, offset)
            if not header:
                return
            length = _length(header)
            if length is None:
                raise _broken(path, offset, "a damaged length" if len(header) == _HEADER_BYTES else "the file ends")
            if length > _MOST_BYTES:
                raise _broken(path, offset, f"a length of {length} bytes, which no image has,")
            end = offset + _HEADER_BYTES + length + _FOOTER_BYTES
            if size is not None and end > size:
                raise _broken(path, offset, "the file ends")
            body = _read(file, length + _FOOTER_BYTES, path, offset)
            if len(body) < length + _FOOTER_BYTES:
                raise _broken(path, offset, "the file ends")
            yield Record(offset, _verified(body), length)
            offset = end


def read(path: str, offset: int, length: int, compressed: bool) -> bytes:
    """Reads one record.

    In a plain file this seeks. A GZIP file has to be unpacked up to the record: each thread keeps the last one open, so
    that records in the order of the file cost one pass a thread; going back starts from the beginning.

    Args:
        path: of the file.
        offset: of the record's frame, from `scan`.
        length: of the record's bytes, from `scan`.
        compressed: as `is_gzip` says.

    Returns:
        The record's bytes.

    Raises:
        BadExampleError: the file is gone or changed, or the bytes do not match their checksum.
    """
    try:
        if compressed:
            frame_bytes = _read_compressed(path, offset, _HEADER_BYTES + length + _FOOTER_BYTES)
        else:
            with open(path, "rb") as file:
                file.seek(offset)
                frame_bytes = file.read(_HEADER_BYTES + length + _FOOTER_BYTES)
    except (OSError, *_DAMAGE) as error:
        raise errors.BadExampleError(path, f"record at byte {offset}: it cannot be read: {error}") from error
    body = frame_bytes[_HEADER_BYTES:]
    data = _verified(body) if _length(frame_bytes) == length == len(body) - _FOOTER_BYTES else None
    if data is None:
        raise errors.BadExampleError(path, f"record at byte {offset}: {DAMAGED}")
    return data


def _read_compressed(path: str, offset: int, count: int) -> bytes:
    key = (path, os.stat(path).st_mtime_ns)  # a file that was written anew is opened anew
    last, file = getattr(_of_thread, "open", (None, None))
    if last != key:
        file = gzip.open(path, "rb")  # noqa: SIM115 - stays open for the next record
    _of_thread.open = (None, None)  # where the file stands is not known if reading fails
    file.seek(offset)
    frame_bytes = file.read(count)
    _of_thread.open = (key, file)
    return frame_bytes


def _read(file: gzip.GzipFile | IO[bytes], count: int, path: str | os.PathLike[str], offset: int) -> bytes:
    try:
        return file.read(count)
    except EOFError as error:
        raise _broken(path, offset, "the file ends") from error
    except _DAMAGE as error:
        raise _broken(path, offset, f"damaged GZIP data ({error})") from error


def _length(header: bytes) -> int | None:
    """Returns the length that a frame's header states; None where it is cut off or damaged."""
    if len(header) < _HEADER_BYTES or _checksum(header[:8]) != header[8:_HEADER_BYTES]:
        return None
    return struct.unpack_from("<Q", header)[0]


def _verified(body: bytes) -> bytes | None:
    data = body[:-_FOOTER_BYTES]
    return data if _checksum(data) == body[-_FOOTER_BYTES:] else None


def _broken(path: str | os.PathLike[str], offset: int, what: str) -> errors.UserError:
    return errors.UserError(
        f"{path}: {what} within the record at byte {offset}; what comes after it is lost. Write or copy the file again."
    )


def _checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
