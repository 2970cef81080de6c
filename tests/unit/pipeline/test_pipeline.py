"""Which components an edit of the code runs again: those whose settings change with it."""

import shutil

import pytest

from data import source_tree, sources
from pipeline import configs, pipeline, source_hash
from pipeline.cli import parsing, run
from tests.command_line import ROOT


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Copies the sources, so that a test can edit them; the components' hashes are those of the copy."""
    for package in source_tree.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    for function in (source_hash.source_hash, source_hash.trials_hash):
        monkeypatch.setitem(function.__kwdefaults__, "root", tmp_path)
    return tmp_path


def settings(*arguments: str) -> dict[str, dict]:
    """Makes the components of a run; returns the settings of each, which are part of its cache's key."""
    flag_values = parsing.define(run)
    parsing.parse("run", flag_values, ["--dataset=road_scenes:train=2,val=1,test=1", "--workdir=demo", *arguments])
    config = configs.RunConfig.from_flags({**run.experiment_values(flag_values), "workdir": "demo"})
    components = pipeline.make_components(config, sources.open_source(config.dataset, config.data))
    return {component.id: dict(component.exec_properties) for component in components}


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("models/network/losses.py", {"Tuner", "Trainer"}),
        ("data/sources/voc.py", {"DetectionExampleGen", "Exporter"}),  # which reads the images to calibrate with
        ("pipeline/report/page.py", set()),
    ],
)
def test_an_edit_changes_the_settings_of_what_depends_on_it(tree, name, again) -> None:
    before = settings()
    path = tree / name
    path.write_text(path.read_text(encoding="utf-8") + "\nEDITED = True\n", encoding="utf-8")
    after = settings()
    assert len(before) == 11
    assert {component for component, values in after.items() if values != before[component]} == again


@pytest.mark.parametrize("is_searched", [False, True])
def test_other_weights_in_the_same_file_change_the_settings_of_what_trains(tmp_path, is_searched) -> None:
    weights, space = tmp_path / "own.weights.h5", tmp_path / "space.yaml"
    space.write_text(f"model.backbone_weights: [none, {weights}]\n", encoding="utf-8")
    argument = f"--space={space}" if is_searched else f"--set=model.backbone_weights={weights}"
    weights.write_bytes(b"first")
    before = settings(argument)
    weights.write_bytes(b"other")
    after = settings(argument)
    assert {component for component, values in after.items() if values != before[component]} == {"Tuner", "Trainer"}
