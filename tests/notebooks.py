"""Notebooks as tests run them: in a kernel of their own, in a folder of their own, with lines replaced."""

import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
TIMEOUT_S = 900  # of one cell; a run of the whole pipeline is one


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Lists the cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(
    name: str, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, replaced: Mapping[str, str] | None = None
) -> Sequence[nbformat.NotebookNode]:
    """Runs a notebook from top to bottom; a cell that fails raises with its traceback.

    Args:
        name: of the file, without its ending.
        folder: in which it runs, and where Jupyter and matplotlib write what they would write to the user's home.
        monkeypatch: changes the environment of the kernel: one thread, and the path to the packages.
        replaced: {text that one cell holds: what stands in its place}.

    Returns:
        The cells of code with their outputs.
    """
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(variable, "1")
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(variable, str(folder / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for text, other in (replaced or {}).items():
        (cell,) = (cell for cell in code_cells(notebook) if text in cell.source)
        cell.source = cell.source.replace(text, other)
    about = {"timeout": TIMEOUT_S, "kernel_name": "python3", "resources": {"metadata": {"path": str(folder)}}}
    nbclient.NotebookClient(notebook, **about).execute()
    assert all(cell.execution_count for cell in code_cells(notebook))
    return code_cells(notebook)


def check_comparison(runs: pathlib.Path, cells: Sequence[nbformat.NotebookNode]) -> None:
    """Asserts that the notebook that compares shows the runs `planned` and `plain`: trials, curves and metrics."""
    assert pictures(cells) == 2
    shown = text(cells)
    rows = json.loads((runs / "planned" / "report" / "leaderboard.json").read_text())
    assert all(row["trial"] in shown for row in rows)
    summaries = [json.loads((runs / name / "report" / "summary.json").read_text()) for name in ("planned", "plain")]
    first, second = (one["metrics"]["AP50"] for one in summaries)
    found = [float(value) for value in re.search(r"AP50 +" + r"(\S+) +" * 4 + r"(\S+)", shown).groups()]
    assert found[:3] == pytest.approx([first, second, second - first], abs=1.1e-3)
    assert found[3] <= found[2] <= found[4]


def pictures(cells: Sequence[nbformat.NotebookNode]) -> int:
    """Counts the pictures that cells show."""
    return sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)


def text(cells: Sequence[nbformat.NotebookNode]) -> str:
    """Joins what cells printed, and their tables as text."""
    outputs = [output for cell in cells for output in cell.outputs]
    return "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)
