"""Runs side by side, as a user compares them."""

import json

import pytest

from data import errors
from data.run_directory import RunDirectory
from models.evaluation import paired_bootstrap
from pipeline.cli import main as command_line
from pipeline.report import comparison
from tests import finished_run


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(comparison, "NUM_RESAMPLES", 50)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`first` and `second` found other things in the same images."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("first", "second")):
        finished_run.write(folder / name, seed=seed)
    path = folder / "second" / "report" / "config.json"
    config = json.loads(path.read_text())
    config["optimizer"]["learning_rate"] = 0.5
    path.write_text(json.dumps(config))
    return folder


def test_settings_metrics_and_cost_beside_one_another(runs):
    found = comparison.compare([runs / "first", runs / "second"])
    assert list(found.settings) == ["optimizer.learning_rate"]
    assert found.settings["optimizer.learning_rate"][1] == 0.5
    (pair,) = [one for one in found.metrics if one.metric == "AP50" and one.run == "second"]
    images = [run.images.results for run in found.runs]
    expected = paired_bootstrap.compare(images[1], images[0], finished_run.CLASS_NAMES, "AP50", num_resamples=50)
    assert pair.comparison == expected
    assert pair.comparison.difference == pytest.approx(pair.value - found.runs[0].summary["metrics"]["AP50"], abs=1e-9)
    assert found.costs["trials"] == [12, 12]
    assert found.costs["minutes of the last start"] == [6.0, 6.0]


def test_other_test_images_are_not_paired_and_the_reason_is_given(runs, tmp_path, capfd):
    finished_run.write(tmp_path / "third")
    results = RunDirectory(tmp_path / "third").test_results
    ours = RunDirectory(runs / "first").test_results.read_bytes()
    images = comparison.contents.image_results.ImageResults.from_bytes(ours)
    fewer = type(images)(images.class_names, images.source_ids[:5], images.checksums[:5], images.results[:5])
    results.write_bytes(fewer.to_bytes())
    assert command_line.main(["compare", str(runs / "first"), str(tmp_path / "third")]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert "third is not paired with first: the test images differ: 8 here, 5 there" in printed
    assert " to +" not in printed  # no interval


def test_files_and_screen(runs, tmp_path, capfd):
    roots = [str(runs / "first"), str(runs / "second")]
    for name in ("out.json", "deep/out.html"):
        assert command_line.main(["compare", *roots, f"--output={tmp_path / name}"]) == 0
    printed = capfd.readouterr().out
    assert "Settings of the final model that differ" in printed
    assert "mAP@.5" in printed
    written = json.loads((tmp_path / "out.json").read_text())
    assert [run["name"] for run in written["runs"]] == ["first", "second"]
    assert written["metrics"][1]["comparison"].keys() == {"difference", "low", "high", "p_worse"}
    assert "Learning curves" in (tmp_path / "deep" / "out.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in (runs / "first").iterdir()) == ["pipeline", "report", "search"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["first"], "at least two"),
        (["first", "first"], "twice"),
        (["first", "nothing"], "is not a folder"),
    ],
)
def test_mistakes_get_one_line(runs, names, words):
    with pytest.raises(errors.UserError, match=words):
        comparison.compare([runs / name for name in names])


def test_an_output_of_another_kind_is_refused_before_the_work(runs, capfd):
    assert command_line.main(["compare", str(runs / "first"), str(runs / "second"), "--output=out.csv"]) == 2
    assert "ends in .json or .html" in capfd.readouterr().err


def test_a_run_that_has_not_ended_beside_one_that_has(runs, tmp_path):
    finished_run.write_search(tmp_path / "running", num_trials=3)
    found = comparison.compare([runs / "first", tmp_path / "running"])
    assert found.unpaired == {"running": "running has kept no detections on test images."}
    assert found.costs["epochs of the final model"] == [finished_run.EPOCHS, None]
    assert [one.value for one in found.metrics if one.run == "running"] == [None] * (len(found.metrics) // 2)
    assert "running has no final model yet." in found.notes()
    assert "No setting of the final models differs." not in found.notes()


def test_runs_of_other_classes_beside_a_pair(runs, tmp_path):
    """A class that only the third run has is not a metric of the pair."""
    finished_run.write(tmp_path / "third", class_names=("ace", "king", "queen"))
    found = comparison.compare([runs / "first", runs / "second", tmp_path / "third"])
    assert list(found.unpaired) == ["third"]
    assert "classes differ" in found.unpaired["third"]
    values = {one.run: (one.value, one.comparison) for one in found.metrics if one.metric == "AP50/ace"}
    assert values["first"] == values["second"] == (None, None)
    assert values["third"][0] is not None


def test_the_objective_of_a_plug_in_comes_first_and_classes_without_a_row_are_counted(tmp_path):
    for name in ("first", "second"):
        finished_run.write(tmp_path / name)
        path = RunDirectory(tmp_path / name).summary
        summary = json.loads(path.read_text())
        summary["objective"] = "night"
        summary["metrics"] |= {"night": 0.5, **{f"AP50/class {number}": None for number in range(20)}}
        path.write_text(json.dumps(summary))
    found = comparison.compare([tmp_path / "first", tmp_path / "second"])
    first = found.metrics[0]
    assert (first.metric, first.value, first.comparison) == ("night", 0.5, None)
    assert any("11 more classes have no row" in note for note in found.notes())  # 23 of them, 12 rows
