"""Every notebook runs from top to bottom, as it is handed out: without output, with a word before each cell."""

import ast
import os
import pathlib
import re

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_DEFINITION_LINES = 10
SHORTENED = {"02_detector": {"TRAIN, VAL, EPOCHS = 400, 40, 25": "TRAIN, VAL, EPOCHS = 32, 16, 2"}}
TIMEOUT_S = 300  # of one cell; a whole notebook takes about 30 s on two cores


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def one_thread(monkeypatch, tmp_path):
    """Caps the threads of the kernel, and keeps what Jupyter and matplotlib write out of the user's home."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "1")
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


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


@pytest.mark.usefixtures("one_thread")
def test_a_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    for long, short in SHORTENED.get(path.stem, {}).items():
        (cell,) = (cell for cell in code_cells(notebook) if long in cell.source)
        cell.source = cell.source.replace(long, short)
    client = nbclient.NotebookClient(
        notebook, timeout=TIMEOUT_S, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises with the cell and its traceback where one fails
    assert all(cell.execution_count for cell in code_cells(notebook))
    CHECKS[path.stem](code_cells(notebook))


def _check_exploration(cells):
    """Charts, contact sheet, two sheets of augmentations and the fit of the anchors are there, and a proposal."""
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    assert "proposed: --set=anchors.scales=" in "".join(output.get("text", "") for output in outputs)


def _check_detector(cells):
    """Anchors, matches, augmentation, training, predictions, errors and the worst images are there."""
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 7
    text = "".join(output.get("text", "") for output in outputs)
    assert "1284 anchors: 16x16 cells of 3, 8x8 cells of 6" in text
    assert "'missed': " in text


CHECKS = {"01_explore_dataset": _check_exploration, "02_detector": _check_detector}
