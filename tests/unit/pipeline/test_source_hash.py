"""The hash changes with the code that a module depends on, and with nothing else."""

import pytest

from pipeline import source_hash

FILES = {
    "data/__init__.py": "",
    "data/boxes.py": "def area(box):\n    return box[0] * box[1]\n",
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
    return source_hash.source_hash(*(modules or ("models.training",)), root=tree, **options)


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
    assert source_hash.dependencies("models.training", root=tree) == {
        *("data", "data.boxes", "data.late", "data.named"),
        *("models", "models.defaults", "models.losses", "models.training"),
    }


def test_relative_imports_and_cycles_are_followed(tree):
    (tree / "models/losses.py").write_text("from . import training\nfrom .defaults import RATE\n")
    found = source_hash.dependencies("models.losses", root=tree)
    assert {"models.training", "models.defaults"} <= found


def test_ignored_modules_and_what_only_they_import_do_not_count(tree):
    options = {"ignore": ("models.losses",)}
    before = digest(tree, **options)
    edit(tree, "data/boxes.py", "*", "+")
    edit(tree, "models/losses.py", "area(box)", "2 * area(box)")
    assert digest(tree, **options) == before


def test_a_module_that_does_not_exist_is_an_error(tree):
    with pytest.raises(ValueError, match=r"got 'models\.trainer'"):
        digest(tree, "models.trainer")


def test_the_project_itself_can_be_hashed():
    first = source_hash.source_hash("pipeline.source_hash")
    assert len(first) == 64
    assert "data.progress" in source_hash.dependencies("pipeline.screen.display")


def test_what_trains_and_chooses_decides_a_search_and_a_report_or_message_does_not():
    code = source_hash.trials_code("tuner_fn.oracles.freeze_thaw")
    found = source_hash.dependencies(*code, ignore=source_hash._NOT_COMPUTING)
    assert {"models.network.losses", "data.augment", "tuner_fn.oracles.curve_model", "tuner_fn.search_space"} <= found
    others = {
        "tuner_fn.reporting",
        "tuner_fn.trial_runner",
        "data.progress",
        "tuner_fn.oracles.grid",
        "pipeline.pipeline",
    }
    assert not others & found
    assert source_hash.trials_hash("tuner_fn.oracles.grid") != source_hash.trials_hash("tuner_fn.oracles.freeze_thaw")
    assert source_hash.trials_hash("kit_of_mine")
