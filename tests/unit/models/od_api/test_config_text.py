"""Protobuf's text format: what it allows, and one line for what it does not."""

import pytest
from google.protobuf import struct_pb2, text_format
from hypothesis import given
from hypothesis import strategies as st

from data.errors import UserError
from models.od_api import config_text as od_api_text


def plain(block):
    """Turns a block into nested lists of (name, value)."""
    return [
        (entry.name, [plain(value) if isinstance(value, od_api_text.Block) else value.text for value in entry.values])
        for entry in block.entries
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# a remark\n", []),
        ("a: 1", [("a", ["1"])]),
        ("a: 1, b: -2.5; c:.5 d: 1e-8", [("a", ["1"]), ("b", ["-2.5"]), ("c", [".5"]), ("d", ["1e-8"])]),
        ("a { b: X }", [("a", [[("b", ["X"])]])]),
        ("a: { b: true, },", [("a", [[("b", ["true"])]])]),
        ("a < b: 0x1F >", [("a", [[("b", ["0x1F"])]])]),
        ("a {}  a {}", [("a", [[]]), ("a", [[]])]),
        ("a: [1.0, 2]", [("a", ["1.0", "2"])]),
        ("a: []", [("a", [])]),
        ("a [{ b: 1 }, {}]", [("a", [[("b", ["1"])], []])]),
        ("a: 'it\\'s' \" two\"  # joined", [("a", ["it's two"])]),
        ('a: "#no remark {"', [("a", ["#no remark {"])]),
        (r'a: "/home/andr\303\251/model"', [("a", ["/home/andré/model"])]),
        (r'a: "\xc3\xA9 \XC3" "\251"', [("a", ["é é"])]),
        (r'a: "\1" "23"', [("a", ["\x0123"])]),
        (r'a: "\u00e9 \U0001F600 \ud83d\ude00"', [("a", ["é 😀 😀"])]),
        (r'a: "\a\b\f\n\r\t\v\\\"\'\?"', [("a", ["\a\b\f\n\r\t\v\\\"'?"])]),
        ("[some.extension] { a: 1 }", [("[some.extension]", [[("a", ["1"])]])]),
    ],
)
def test_forms_of_the_format(text, expected):
    assert plain(od_api_text.parse(text)) == expected


def test_lines_are_counted_through_remarks_and_blocks():
    block = od_api_text.parse("a: 1\n# two\nb {\n  c: 2 d: [\n1,\n2]\n}\n\ne: 3")
    lines = [(entry.name, entry.line) for entry in block.entries]
    assert lines == [("a", 1), ("b", 3), ("e", 9)]
    assert [(entry.name, entry.line) for entry in block.entries[1].values[0].entries] == [("c", 4), ("d", 4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {\n b: 1\n", "line 3: expected `}` for the block that begins in line 1, got the end of the file."),
        ("a: 1\n}", "line 2: expected a field's name, got `}`."),
        ("a:\nb: 2", "line 2: expected a field's name, got `:`."),
        ("a: }", "line 1: expected a value for `a`, got `}`."),
        ("a 1", "line 1: expected `:` or `{` after `a`, got `1`."),
        ("a", "line 1: expected `:` or `{` after `a`, got the end of the file."),
        ("\n: 1", "line 2: expected a field's name, got `:`."),
        ("a: [1 2]", "line 1: expected `,` or `]` in the list of `a`, got `2`."),
        ("a: [1,", "line 1: expected a value in the list of `a`, got the end of the file."),
        ("a: 'open\nb: 1", "line 1: a string without its end."),
        ("a: 1\nb: 1.2.3", "line 2: `1.2.3`, which begins no name or value."),
        ("a: $HOME", "line 1: `$HOME`, which begins no name or value."),
        ("a {" * 60, "line 1: expected at most 50 nested blocks, got `{`."),
        (r'a: "\xg"', r"line 1: `\x` in a string needs digits behind it. Write a backslash as `\\`."),
        (r'a: "\U00110000"', r"line 1: `\U` in a string needs digits behind it. Write a backslash as `\\`."),
        ("\n" + r'a: "\351"', r"line 2: a string that is not UTF-8: b'\xe9'."),
        (r'a: "\ud83d"', r"line 1: a string that is not UTF-8: b'\xed\xa0\xbd'."),
        ("[a b: 1", "line 1: expected `]` after an extension's name, got `:`."),
    ],
)
def test_a_mistake_names_its_line_and_what_was_expected(text, message):
    with pytest.raises(UserError) as caught:
        od_api_text.parse(text)
    assert str(caught.value) == message


values = st.recursive(
    st.floats(allow_nan=False, allow_infinity=False) | st.text([*map(chr, range(256)), *"ŁΩ中😀"]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def content_of(struct):
    """Reads back what `struct_pb2.Struct` holds from its text."""
    content = {}
    for field in struct.entries:
        key, value = field.values[0].entries
        (inner,) = value.values[0].entries
        (held,) = inner.values
        content[key.values[0].text] = {
            "number_value": lambda held=held: float(held.text),
            "string_value": lambda held=held: held.text,
            "struct_value": lambda held=held: content_of(held),
        }[inner.name]()
    return content


@given(st.dictionaries(st.sampled_from("abc"), values, max_size=3))
def test_what_protobuf_writes_is_read_back(content):
    message = struct_pb2.Struct()
    message.update(content)
    for as_utf8 in (True, False):
        assert content_of(od_api_text.parse(text_format.MessageToString(message, as_utf8=as_utf8))) == content


def test_an_unknown_escape_keeps_its_backslash_as_protobufs_reader_in_python_does():
    text = r'path: "C:\data\my.ckpt"'
    (entry,) = od_api_text.parse(text).entries
    assert entry.values[0].text == r"C:\data\my.ckpt"
