"""The file of `--space` with one range in the place of an earlier one; the rest stays."""

import json

import pytest

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import search_space
from tuner_fn.studies import space_file

RATE = "optimizer.learning_rate"
ENTRY = {"low": 1.2e-05, "high": 0.0034, "scale": "log"}


def read(path) -> dict:
    return dict(search_space.named_space(str(path), ExperimentConfig()))


def test_a_new_file_is_a_space(tmp_path) -> None:
    path = tmp_path / "space.yaml"
    space_file.write_range(str(path), RATE, ENTRY)
    assert path.read_text() == "optimizer.learning_rate: {low: 1.2e-05, high: 0.0034, scale: log}\n"
    assert read(path) == {RATE: ENTRY}


def test_a_whole_power_of_ten_is_a_number_for_yaml(tmp_path) -> None:
    path = tmp_path / "space.yaml"
    space_file.write_range(str(path), RATE, ENTRY | {"low": 1e-05})
    assert read(path) == {RATE: ENTRY | {"low": 1e-05}}


@pytest.mark.parametrize(
    "before",
    [
        "# mine\nloss.l2: {low: 1.0e-6, high: 1.0e-4, scale: log}  # small\n",
        "# mine\noptimizer.learning_rate:\n  low: 0.1\n  high: 0.2\n\nloss.l2: [1.0e-5]  # small",
        "# mine\n'optimizer.learning_rate': [0.1]\nloss.l2: [1.0e-5]  # small\n",
        "# mine\noptimizer.learning_rate:\n- 0.1\n- 0.2\nloss.l2: [1.0e-5]  # small\n",
    ],
)
def test_other_lines_and_comments_stay(tmp_path, before) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(before)
    space_file.write_range(str(path), RATE, ENTRY)
    found = read(path)
    assert found[RATE] == ENTRY
    assert len(found) == 2
    assert path.read_text().startswith("# mine\n")
    assert "# small" in path.read_text()


def test_a_json_file_stays_json(tmp_path) -> None:
    path = tmp_path / "space.json"
    path.write_text('{"loss.l2": [1e-05]}')
    space_file.write_range(str(path), RATE, ENTRY)
    assert json.loads(path.read_text()) == {"loss.l2": [1e-05], RATE: ENTRY}


@pytest.mark.parametrize(("text", "says"), [("- a list\n", "is not a space"), ("{", "neither YAML nor JSON")])
def test_what_is_no_space_is_left_alone(tmp_path, text, says) -> None:
    path = tmp_path / "notes.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        space_file.check(str(path))
    assert path.read_text() == text
