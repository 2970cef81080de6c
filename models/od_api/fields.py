"""How a field of the Object Detection API's configuration is declared: its default, and what becomes of it here."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from data.errors import nearest
from models.od_api import config_text as od_api_text

HONOURED, IGNORED, CANNOT = "honoured", "ignored", "cannot"
AS_HERE = "as the kit does"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What becomes of a field.

    Attributes:
        verdict: `HONOURED`, `IGNORED` or `CANNOT`.
        settings: {path: value} of ours; one that cannot be as asked may still have its nearest value here.
        why: a phrase; "" where the settings say all.
    """

    verdict: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    why: str = ""


Rule = Callable[[Any, "Node"], Outcome]


@dataclasses.dataclass(frozen=True)
class Field:
    """A field with a value.

    Attributes:
        default: the proto's; None where it has none, and a tuple for a repeated field.
        rule: says what becomes of a value, the default included.
        kind: type of the value.
        choices: names of an enumeration, as strings.
    """

    default: Any
    rule: Rule
    kind: type
    choices: tuple[str, ...] = ()

    def convert(self, value: od_api_text.Scalar | od_api_text.Block) -> Any:
        """Converts a written value.

        Raises:
            ValueError: it is of another type; the message says which was expected.
        """
        if isinstance(value, od_api_text.Block):
            raise ValueError(f"needs {_KINDS[self.kind]}, not a block.")
        if self.choices:
            if value.text not in self.choices:
                raise ValueError(f"is one of {', '.join(self.choices)}.{_close(value.text, self.choices)}")
            return value.text
        try:
            if (value.kind == "string") != (self.kind is str):
                raise ValueError
            return _CONVERTERS[self.kind](value.text)
        except (ValueError, KeyError) as error:
            raise ValueError(f"needs {_KINDS[self.kind]}.") from error


def _to_int(text: str) -> int:
    digits = text.lower().lstrip("-")
    return int(text, 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10)  # as C and protobuf


def _to_float(text: str) -> float:
    number = float(text.rstrip("fF") if text[-1:] in "fF" and "inf" not in text.lower() else text)
    if not math.isfinite(number):
        raise ValueError
    return number


_CONVERTERS: dict[type, Callable[[str], Any]] = {
    bool: {
        "true": True,
        "True": True,
        "t": True,
        "1": True,
        "false": False,
        "False": False,
        "f": False,
        "0": False,
    }.__getitem__,
    int: _to_int,
    float: _to_float,
    str: str,
}
_KINDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text in quotes"}


@dataclasses.dataclass(frozen=True)
class Child:
    """A field with a nested message.

    Attributes:
        message: its declaration.
        chosen: what its mere presence says; None where nothing.
        absent: what its absence says, of the message that lacks it; None where nothing.
        always: whether the API takes the defaults of a message that is not there.
        repeated: whether it may come several times.
    """

    message: "Message"
    chosen: Callable[["Node"], Outcome] | None = None
    absent: Callable[["Node"], Outcome] | None = None
    always: bool = False
    repeated: bool = False


@dataclasses.dataclass(frozen=True)
class Message:
    """A message.

    Attributes:
        fields: by name, in the order in which they are judged: of two that disagree the first one wins.
        one_of: whether at most one of its children counts, the last one in the file.
        other: what becomes of fields that are not in `fields`; None where they are unknown to the API.
    """

    fields: Mapping[str, Field | Child]
    one_of: bool = False
    other: Outcome | None = None


@dataclasses.dataclass(eq=False)
class Node:
    """A message as the file has it.

    Attributes:
        spec: its declaration.
        path: names from the outermost message on.
        parent: the message around it; None for the outermost.
        entry: what stands in the file; None where a default stands for it.
        values: {name: value} of the fields that are there; tuples of repeated ones.
        entries: {name: where the values stand in the file}.
        nodes: {name: messages}.
        train_images: images in the train split, where known; of the outermost message.
    """

    spec: Message
    path: str = ""
    parent: "Node | None" = None
    entry: od_api_text.Entry | None = None
    values: dict[str, Any] = dataclasses.field(default_factory=dict)
    entries: dict[str, list[od_api_text.Entry]] = dataclasses.field(default_factory=dict)
    nodes: dict[str, list["Node"]] = dataclasses.field(default_factory=dict)
    train_images: int | None = None

    def __getitem__(self, name: str) -> Any:
        """Returns a field's value, or its default."""
        field = self.spec.fields[name]
        assert isinstance(field, Field)
        return self.values.get(name, field.default)

    @property
    def is_empty(self) -> bool:
        """Whether it stands in the file without any field."""
        if self.entry is None:
            return False
        return not any(value.entries for value in self.entry.values if isinstance(value, od_api_text.Block))

    @property
    def root(self) -> "Node":
        """The outermost message."""
        return self if self.parent is None else self.parent.root

    def has(self, path: str) -> bool:
        """Returns whether the file has a message, by its path from here."""
        node = self.find(path)
        return node is not None and node.entry is not None

    def find(self, path: str) -> "Node | None":
        """Finds a message by its path from here; None where it neither is there nor has defaults."""
        node = self
        for name in path.split("."):
            if not node.nodes.get(name):
                return None
            node = node.nodes[name][-1]
        return node

    def join(self, name: str) -> str:
        """Returns the path of a field."""
        return f"{self.path}.{name}" if self.path else name


def value(default: Any, rule: Rule, kind: type | None = None) -> Field:
    """Declares a field; the default's type is the field's, unless there is no default."""
    return Field(default, rule, kind or type(default))


def repeated(kind: type, rule: Rule) -> Field:
    """Declares a repeated field."""
    return Field((), rule, kind)


def choice(names: str, default: str, rule: Rule) -> Field:
    """Declares a field of an enumeration, its names divided by spaces."""
    return Field(default, rule, str, tuple(names.split()))


def honoured(settings: Mapping[str, Any] | None = None, why: str = "") -> Outcome:
    """Says that settings of ours do what the field asks."""
    return Outcome(HONOURED, settings or {}, why)


def refused(why: str, settings: Mapping[str, Any] | None = None) -> Outcome:
    """Says that the kit cannot do it; `settings` are the nearest that it can."""
    return Outcome(CANNOT, settings or {}, why)


def sets(path: str, convert: Callable[[Any], Any] = lambda given: given, why: str = "") -> Rule:
    """Makes a rule that takes the value over into one setting."""
    return lambda given, node: honoured({path: convert(given)}, why)


def fixed(wanted: Any, why: str) -> Rule:
    """Makes a rule for a field of which the kit knows one value only."""
    return lambda given, node: honoured(why=AS_HERE) if given == wanted else refused(why)


def ignored(why: str) -> Rule:
    """Makes a rule for a field that says nothing about the result."""
    return lambda given, node: Outcome(IGNORED, why=why)


def cannot(why: str) -> Rule:
    """Makes a rule for a field that the kit cannot follow, whatever its value; one left empty asks nothing."""
    return lambda given, node: refused(why) if given not in ("", (), None, False) else Outcome(IGNORED, why="empty")


def one_needed(what: str) -> Callable[[Node], Outcome]:
    """Makes a rule for a message of which one child must be there."""
    return lambda node: honoured() if node.nodes else refused(f"the API needs {what}")


def unsupported(why: str) -> Child:
    """Declares a message that the kit cannot follow, whatever is in it."""
    outcome = Outcome(CANNOT, why=why)
    return Child(Message({}, other=outcome), chosen=lambda node: outcome)


def unread(why: str) -> Child:
    """Declares a message that says nothing about the result, whatever is in it."""
    outcome = Outcome(IGNORED, why=why)
    return Child(Message({}, other=outcome), chosen=lambda node: outcome)


def _close(word: str, known: Any) -> str:
    """Returns " Did you mean `x`?" where one name is near, else ""."""
    hint = nearest(word, known)
    return hint if hint.startswith(" Did you mean") else ""


def unknown(name: str, known: Any) -> Outcome:
    """Says that the API has no such field."""
    return refused(f"no such field in the API as far as is known here.{_close(name, known)}")
