"""Every notebook runs from top to bottom, as it is handed out: without output, with a word before each cell."""

import ast
import json
import re

import nbformat
import pytest

from models.hyperparameters import ExperimentConfig
from pipeline import configs
from pipeline.cli import parsing, run
from tests import finished_run, notebooks
from tests.notebooks import code_cells

NOTEBOOKS = sorted(notebooks.FOLDER.glob("*.ipynb"))
LONGEST_DEFINITION_LINES = 10
ELSEWHERE = {"03_tune_and_compare", "05_model_analysis"}  # the former below, the latter with the run of test_review.py
SHORTENED = {
    "02_detector": {
        "TRAIN, VAL, EPOCHS = 400, 40, 25": "TRAIN, VAL, EPOCHS = 32, 16, 2",
        '{"training.epochs": EPOCHS}': '{"training.epochs": EPOCHS, "model.backbone": "mobilenet_v1"}',
    },
    "04_which_settings_matter": {
        "train=48,val=40,test=8": "train=12,val=8,test=4",
        "--epochs=8": "--epochs=2",
        '"--set=model.alpha=0.35"': '"--set=model.alpha=0.35", "--set=model.backbone=mobilenet_v1", '
        '"--set=model.num_levels=2"',
    },
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


def test_a_notebook_compares_runs_that_are_there(tmp_path, monkeypatch):
    for seed, name in enumerate(("planned", "plain")):
        finished_run.write(tmp_path / "runs" / name, seed=seed)
    path = tmp_path / "runs" / "plain" / "report" / "config.json"
    path.write_text(json.dumps(ExperimentConfig().replace({"loss.l2": 0.1}).to_dict()))
    cells = notebooks.execute("03_tune_and_compare", tmp_path, monkeypatch)
    notebooks.check_comparison(tmp_path / "runs", cells)
    assert "loss.l2" in notebooks.text(cells)


def test_run_takes_the_flags_of_the_notebook_that_compares(tmp_path):
    """That the notebook makes a run with them, too, is one of the slow tests of test_review.py."""
    first, *_ = code_cells(nbformat.read(notebooks.FOLDER / "03_tune_and_compare.ipynb", as_version=4))
    exec(first.source, names := {})
    for own in names["NAMES"].values():
        flag_values = parsing.define(run)
        arguments = [f"--dataset={names['DATASET']}", f"--workdir={tmp_path}", *names["SMALL"], *own]
        assert parsing.parse("run", flag_values, arguments) == []
        configs.RunConfig.from_flags(run.experiment_values(flag_values) | {"workdir": str(tmp_path)})


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
