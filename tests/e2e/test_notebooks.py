"""Every notebook runs from top to bottom, as it is handed out: without output, with a word before each cell."""

import ast
import re

import nbformat
import pytest

from tests import notebooks
from tests.notebooks import code_cells

NOTEBOOKS = sorted(notebooks.FOLDER.glob("*.ipynb"))
LONGEST_DEFINITION_LINES = 10
ELSEWHERE = {"03_tune_and_compare", "05_model_analysis"}  # with the run of test_review.py
SHORTENED = {
    "02_detector": {"TRAIN, VAL, EPOCHS = 400, 40, 25": "TRAIN, VAL, EPOCHS = 32, 16, 2"},
    "04_which_settings_matter": {"train=48,val=40,test=8": "train=12,val=8,test=4", "--epochs=8": "--epochs=2"},
}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_a_notebook_is_numbered_and_keeps_no_output(path):
    assert re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name)
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_prose_comes_before_every_cell_of_code(path):
    cells = nbformat.read(path, as_version=4).cells
    before = [first for first, second in zip(cells, cells[1:], strict=False) if second.cell_type == "code"]
    assert cells[0].cell_type == "markdown"
    assert all(cell.cell_type == "markdown" and cell.source.strip() for cell in before)


def test_a_notebook_defines_nothing_long(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno + 1 <= LONGEST_DEFINITION_LINES, node.name


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS if path.stem not in ELSEWHERE])
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    CHECKS[name](notebooks.execute(name, tmp_path, monkeypatch, SHORTENED.get(name)))


def _check_exploration(cells):
    """Charts, contact sheet, two sheets of augmentations and the fit of the anchors are there, and a proposal."""
    assert notebooks.pictures(cells) == 5
    assert "proposed: --set=anchors.scales=" in notebooks.text(cells)


def _check_detector(cells):
    """Anchors, matches, augmentation, training, predictions, errors and the worst images are there."""
    assert notebooks.pictures(cells) == 7
    text = notebooks.text(cells)
    assert "1284 anchors: 16x16 cells of 3, 8x8 cells of 6" in text
    assert "'missed': " in text


def _check_settings(cells):
    """The importance of a known function beside the truth, and an ablation with three seeds: table and figures."""
    assert notebooks.pictures(cells) == 4
    text = notebooks.text(cells)
    (line,) = re.findall(r"optimizer\.learning_rate +([\d.]+) +([\d.]+) .* matters", text)
    assert float(line[0]) == pytest.approx(float(line[1]), abs=0.15)
    assert re.search(r"loss\.l2 +0\.0+ .*little or none", text)
    assert "ablate: status 0" in text
    assert re.search(r"baseline +[\d.]+", text)
    assert "optimizer.learning_rate=0.0003" in text


CHECKS = {
    "01_explore_dataset": _check_exploration,
    "02_detector": _check_detector,
    "04_which_settings_matter": _check_settings,
}
