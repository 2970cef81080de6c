"""Parses XML files as the many tools write them, whatever encoding they declare."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from data.sources import text_bytes

_DECLARATION = re.compile(r"<\?xml.*?\?>", re.DOTALL)
_ENCODING = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)""")


def parse(file: Path) -> ElementTree.Element:
    """Parses an XML file, also one whose declaration names another encoding than its text has.

    Args:
        file: path of the file.

    Returns:
        Its root.

    Raises:
        ParseError: it is malformed.
        OSError: it cannot be read.
        ValueError: it is not the text that its declaration says.
        LookupError: its declaration names an encoding that Python does not know.
    """
    content = file.read_bytes()
    declared = _ENCODING.match(content)
    encoding = declared[1].decode("ascii") if declared else "utf-8-sig"
    if text_bytes.utf_of(content) != "utf-8-sig" or encoding.casefold().startswith(("utf", "ucs")):
        encoding = text_bytes.utf_of(content)  # whatever is declared
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"not {error.encoding} text at byte {error.start}") from error
    return ElementTree.fromstring(_DECLARATION.sub(lambda match: " " * len(match[0]), text, count=1))
