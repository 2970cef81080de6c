"""Looks at the bytes of text files, whichever UTF they are in."""

import codecs
from pathlib import Path


def content(path: Path) -> bytes:
    """Reads a text file's bytes, in UTF-8 where it is UTF-16, so that keys can be looked for in them.

    Raises:
        OSError: it cannot be read.
    """
    raw = path.read_bytes()
    encoding = utf_of(raw)
    return raw.removeprefix(codecs.BOM_UTF8) if encoding == "utf-8-sig" else raw.decode(encoding, "replace").encode()


def utf_of(text: bytes) -> str:
    """Returns Python's name of the UTF that a text's first two bytes show; "utf-8-sig" where they show none."""
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-16-le" if text[1:2] == b"\0" else "utf-16-be" if text[:1] == b"\0" else "utf-8-sig"
