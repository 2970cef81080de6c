"""The digest changes with the code that a module depends on, and with nothing else."""

import pytest

from data import source_tree

FILES = {
    "data/__init__.py": "",
    "data/boxes.py": "def area(box):\n    return box[0] * box[1]\n",
    "data/checks.py": """from data import progress


def check(value):
    if value < 0:
        raise ValueError(f"`value` must be positive: got {value}.", "negative_value")
    progress.emit("note", text="The value is positive.")
    return tunable(value, help="A value.", mean="two words")
""",
    "data/unused.py": "VALUE = 1\n",
    "data/late.py": "NUMBER = 1\n",
    "data/named.py": "NUMBER = 1\n",
    "data/typing_only.py": "class Shape: ...\n",
    "models/__init__.py": "from models import defaults\n",
    "models/defaults.py": "RATE = 0.1\n",
    "models/losses.py": "from data.boxes import area\n\n\ndef loss(box):\n    return area(box)\n",
    "models/training.py": (
        '"""Trains."""\n'
        "from typing import TYPE_CHECKING\n\n"
        "import numpy\n"
        "from data import checks\n"
        "from models import losses\n\n"
        "if TYPE_CHECKING:\n    from data import typing_only\n\n"
        "READERS = ['data.named.reader']\n\n\n"
        "def train():\n    from data import late\n\n    return losses.loss, late.NUMBER\n"
    ),
}


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def digest(tree, *modules, **options):
    return source_tree.digest(*(modules or ("models.training",)), root=tree, **options)


def edit(tree, name, old, new):
    path = tree / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("models/training.py", "losses.loss", "losses"),
        ("models/losses.py", "area(box)", "2 * area(box)"),
        ("data/boxes.py", "*", "+"),
        ("models/defaults.py", "0.1", "0.2"),  # imported by the package's __init__
        ("data/late.py", "1", "2"),  # imported inside a function
        ("data/named.py", "1", "2"),  # named in a string
        ("data/checks.py", "value < 0", "value <= 0"),
        ("data/checks.py", "ValueError", "TypeError"),
        ("data/checks.py", "negative_value", "bad_value"),  # a key, which the one who catches it may read
        ("data/checks.py", "two words", "three words"),  # a setting
    ],
)
def test_an_edit_of_what_it_depends_on_changes_the_hash(tree, name, old, new):
    before = digest(tree)
    edit(tree, name, old, new)
    assert digest(tree) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("data/unused.py", "1", "2"),
        ("data/typing_only.py", "...", "size = 1"),
        (
            "data/boxes.py",
            "return box[0] * box[1]",
            "return (  # width by height\n        box[0] * box[1]\n    )",
        ),
        ("models/training.py", '"""Trains."""', '"""Trains one configuration."""'),
        ("data/checks.py", "must be positive: got {value}", "needs a number above 0: {value!r} is none"),
        ("data/checks.py", "The value is positive.", "The value is above 0."),
        ("data/checks.py", "A value.", "A positive value."),
        ("models/losses.py", "def loss(box):\n", 'def loss(box):\n    """Weighs a box."""\n'),
    ],
)
def test_any_other_edit_leaves_the_hash(tree, name, old, new):
    before = digest(tree)
    edit(tree, name, old, new)
    assert digest(tree) == before


def test_a_new_submodule_of_the_same_name_counts(tree):
    before = digest(tree)
    (tree / "data/boxes").mkdir()
    (tree / "data/boxes/__init__.py").write_text("def area(box):\n    return 1\n")
    assert digest(tree) != before


def test_dependencies_are_followed_through_all_packages(tree):
    assert source_tree.dependencies("models.training", root=tree) == {
        *("data", "data.boxes", "data.checks", "data.late", "data.named"),
        *("models", "models.defaults", "models.losses", "models.training"),
    }


def test_relative_imports_and_cycles_are_followed(tree):
    (tree / "models/losses.py").write_text("from . import training\nfrom .defaults import RATE\n")
    found = source_tree.dependencies("models.losses", root=tree)
    assert {"models.training", "models.defaults"} <= found


def test_ignored_modules_and_what_only_they_import_do_not_count(tree):
    options = {"ignore": ("models.losses",)}
    before = digest(tree, **options)
    edit(tree, "data/boxes.py", "*", "+")
    edit(tree, "models/losses.py", "area(box)", "2 * area(box)")
    assert digest(tree, **options) == before


@pytest.mark.parametrize("text", [b"print 'old'  # 1\n", b"\xff\n# 1\n", b"\0# 1\n"], ids=["old", "bytes", "null"])
def test_of_a_file_that_cannot_be_parsed_every_byte_counts(tree, text) -> None:
    (tree / "data/late.py").write_bytes(text)
    before = digest(tree)
    assert digest(tree) == before
    (tree / "data/late.py").write_bytes(text.replace(b"# 1", b"# 23"))
    assert digest(tree) != before


def test_a_module_that_does_not_exist_is_an_error(tree):
    with pytest.raises(ValueError, match=r"got 'models\.trainer'"):
        digest(tree, "models.trainer")
