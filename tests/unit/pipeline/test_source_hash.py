"""The hashes of the project's own code: what trains and chooses decides a search, and what is only said does not."""

import shutil

import pytest

from data import source_tree
from pipeline import source_hash

STRATEGY = "tuner_fn.oracles.freeze_thaw"


@pytest.fixture
def tree(tmp_path):
    """Copies the project's code, so that a test can edit it."""
    for package in source_tree.PACKAGES:
        for path in (source_tree.ROOT / package).rglob("*.py"):
            copy = tmp_path / path.relative_to(source_tree.ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return tmp_path


def is_changed_by(tree, name, old, new):
    """Tells whether an edit of the copy changes the key of a search."""
    before = source_hash.trials_hash(STRATEGY, root=tree)
    text = (tree / name).read_text(encoding="utf-8")
    assert old in text
    (tree / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    return source_hash.trials_hash(STRATEGY, root=tree) != before


def test_the_project_itself_can_be_hashed():
    assert len(source_hash.source_hash("pipeline.source_hash")) == 64
    assert "data.progress" in source_tree.dependencies("pipeline.screen.display")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("models/hyperparameters.py", 'help="', 'help="In other words: '),
        ("data/errors.py", " Did you mean ", " Was it "),
        ("data/tiles.py", "Tiles are written ", "Write tiles as "),  # an error
        ("models/training/devices.py", "Each batch of ", "A batch of "),  # a note
        ("data/progress.py", "import ", "import json\nimport "),
        ("tuner_fn/trial_runner.py", "import ", "import json\nimport "),
        ("pipeline/report/page.py", "import ", "import json\nimport "),
        ("tuner_fn/oracles/grid.py", "import ", "import json\nimport "),  # another strategy
    ],
)
def test_what_is_only_said_or_another_strategy_does_continues_a_search(tree, name, old, new):
    assert not is_changed_by(tree, name, old, new)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("models/hyperparameters.py", "learning_rate: float = tunable(\n", "learning_rate: float = tunable(1 * \n"),
        ("models/network/losses.py", "import ", "import json\nimport "),
        ("data/augment.py", " < ", " <= "),
        ("tuner_fn/oracles/curve_model.py", "import ", "import json\nimport "),
        ("tuner_fn/search_space.py", "import ", "import json\nimport "),
        ("tuner_fn/oracles/freeze_thaw.py", "import ", "import json\nimport "),
    ],
)
def test_what_trains_and_chooses_decides_a_search(tree, name, old, new):
    assert is_changed_by(tree, name, old, new)


def test_each_strategy_has_its_own_key_and_a_plug_in_has_one():
    assert source_hash.trials_hash("tuner_fn.oracles.grid") != source_hash.trials_hash(STRATEGY)
    assert source_hash.trials_hash("kit_of_mine")
