"""Protobuf's text format, read without a schema: names, values and where they stand."""

import dataclasses
import re

from data.errors import UserError

_TOKEN = re.compile(
    r"(?P<space>\s+|#[^\n]*)"
    r"|(?P<string>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?![\w.]))"
    r"|(?P<word>-?[A-Za-z_][\w.]*)"
    r"|(?P<mark>[{}<>\[\]:,;/])",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})|u(?P<short>[0-9a-fA-F]{4})"
    r"|U(?P<long>00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|(?P<other>.))",
    re.DOTALL,
)
_ESCAPED = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), **{mark: mark for mark in "\\'\"?"}}
_CLOSING = {"{": "}", "<": ">"}
_MOST_NESTED = 50


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A single value.

    Attributes:
        kind: "string", "number" or "word".
        text: a string's content, else as it is written.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        """Returns the value as it would be written."""
        return f'"{self.text}"' if self.kind == "string" else self.text


@dataclasses.dataclass(frozen=True)
class Entry:
    """One field as written.

    Attributes:
        name: of the field.
        line: counted from 1.
        place: grows through the file.
        values: one, or those of a list in brackets.
        listed: whether it is such a list.
    """

    name: str
    line: int
    place: int
    values: "tuple[Scalar | Block, ...]"
    listed: bool = False

    def __str__(self) -> str:
        """Returns the value on one line, blocks shortened."""
        shown = ", ".join(map(str, self.values))
        return f"[{shown}]" if self.listed else shown


@dataclasses.dataclass(frozen=True)
class Block:
    """A nested message: its fields in the order of the file."""

    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        """Returns "{}" where it is empty."""
        return "{...}" if self.entries else "{}"


def parse(text: str) -> Block:
    """Reads a text.

    Args:
        text: in protobuf's text format.

    Returns:
        The fields of the outermost message.

    Raises:
        UserError: the text breaks the format; names the line and what was expected there.
    """
    parser = _Parser(_tokens(text))
    return Block(parser.entries(end=""))


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """Splits a text into (kind, text, line); the last one has the kind ""."""
    tokens, position, line = [], 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].split("\n", 1)[0]
            problem = (
                "a string without its end" if rest[0] in "\"'" else f"`{rest[:20]}`, which begins no name or value"
            )
            raise UserError(f"line {line}: {problem}.")
        if match.lastgroup != "space":
            tokens.append((match.lastgroup, match.group(), line))
        line += match.group().count("\n")
        position = match.end()
    return [*tokens, ("", "the end of the file", line)]


def _unescaped(text: str, line: int) -> bytes:
    """Returns the bytes that a string stands for.

    Source: protobuf's specification of the text format, "String Literals".
    """
    content, position = b"", 0
    for match in _ESCAPE.finditer(text):
        content += text[position : match.start()].encode("utf-8", "surrogatepass")
        position = match.end()
        if match["octal"] or match["hex"]:
            number = int(match["octal"], 8) if match["octal"] else int(match["hex"], 16)
            content += bytes([number & 0xFF])
        elif match["short"] or match["long"]:
            content += chr(int(match["short"] or match["long"], 16)).encode("utf-8", "surrogatepass")
        elif match["other"] in _ESCAPED:
            content += _ESCAPED[match["other"]].encode()
        elif match["other"] in "xuU":
            raise UserError(
                f"line {line}: `{match[0]}` in a string needs digits behind it. Write a backslash as `\\\\`."
            )
        else:
            content += match[0].encode("utf-8", "surrogatepass")  # as protobuf's own reader in Python: C:\data
    return content + text[position:].encode("utf-8", "surrogatepass")


class _Parser:
    """Reads tokens by recursive descent."""

    def __init__(self, tokens: list[tuple[str, str, int]]) -> None:
        self.tokens, self.position, self.depth = tokens, 0, 0

    def entries(self, end: str) -> tuple[Entry, ...]:
        """Reads fields up to the mark `end`, which is taken, too; "" is the end of the text."""
        found = []
        begun = self.tokens[max(self.position - 1, 0)][2]
        while not (self._take(end) if end else self.tokens[self.position][0] == ""):
            if self.tokens[self.position][0] == "":
                self._fail(f"`{end}` for the block that begins in line {begun}")
            found.append(self._entry())
        return tuple(found)

    def _entry(self) -> Entry:
        place, line = self.position, self.tokens[self.position][2]
        name = self._name()
        colon = self._take(":")
        listed = self._take("[")
        if listed:
            values = self._list(name)
        elif self.tokens[self.position][1] in _CLOSING:
            values = (self._block(),)
        elif colon:
            values = (self._scalar(f"a value for `{name}`"),)
        else:
            self._fail(f"`:` or `{{` after `{name}`")
        _ = self._take(",") or self._take(";")
        return Entry(name, line, place, values, listed)

    def _name(self) -> str:
        kind, text, _ = self.tokens[self.position]
        if kind == "word" and not text.startswith("-"):
            self.position += 1
            return text
        if not self._take("["):
            self._fail("a field's name")
        parts = []
        while not self._take("]"):
            kind, text, _ = self.tokens[self.position]
            if kind != "word" and text != "/":
                self._fail("`]` after an extension's name")
            parts.append(text)
            self.position += 1
        return f"[{''.join(parts)}]"

    def _list(self, name: str) -> tuple[Scalar | Block, ...]:
        values: list[Scalar | Block] = []
        while not self._take("]"):
            if values and not self._take(","):
                self._fail(f"`,` or `]` in the list of `{name}`")
            nested = self.tokens[self.position][1] in _CLOSING
            values.append(self._block() if nested else self._scalar(f"a value in the list of `{name}`"))
        return tuple(values)

    def _block(self) -> Block:
        opening = self.tokens[self.position][1]
        if self.depth == _MOST_NESTED:
            self._fail(f"at most {_MOST_NESTED} nested blocks")
        self.position, self.depth = self.position + 1, self.depth + 1
        block = Block(self.entries(_CLOSING[opening]))
        self.depth -= 1
        return block

    def _scalar(self, expected: str) -> Scalar:
        kind, text, line = self.tokens[self.position]
        if kind not in ("string", "number", "word"):
            self._fail(expected)
        self.position += 1
        if kind != "string":
            return Scalar(kind, text)
        content = _unescaped(text[1:-1], line)
        while self.tokens[self.position][0] == "string":  # strings in a row are one
            _, text, line = self.tokens[self.position]
            content += _unescaped(text[1:-1], line)
            self.position += 1
        try:
            # Two halves of a character beyond 16 bits become one.
            joined = content.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise UserError(f"line {line}: a string that is not UTF-8: {content!r}.") from error
        return Scalar(kind, joined)

    def _take(self, mark: str) -> bool:
        kind, text, _ = self.tokens[self.position]
        taken = kind == "mark" and text == mark
        self.position += taken
        return taken

    def _fail(self, expected: str) -> None:
        kind, text, line = self.tokens[self.position]
        raise UserError(f"line {line}: expected {expected}, got {f'`{text}`' if kind else text}.")
