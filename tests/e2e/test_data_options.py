"""Data as users have it: another format, merged classes, tiles, and a test split from another dataset."""

import json
import pathlib

import pytest

from tests.command_line import ssd_tuner, ssd_tuner_here
from tests.e2e.test_pipeline import SMALL

SCENES = "road_scenes:train=24,val=8,test=8"
CLASSES = "person,vehicle=car+bicycle"


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> pathlib.Path:
    """Writes scenes of another seed as Pascal VOC."""
    folder = tmp_path_factory.mktemp("voc") / "set"
    done = ssd_tuner_here(
        "data", "convert", "--dataset=road_scenes:seed=1,train=2,val=2,test=6", "--format=voc", f"--output={folder}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_what_convert_wrote_passes_check(converted) -> None:
    done = ssd_tuner_here("data", "check", f"--dataset={converted}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as voc, because" in " ".join(done.stdout.split())


def test_a_model_of_tiles_is_judged_on_whole_images_of_another_dataset(converted, tmp_path) -> None:
    options = (f"--classes={CLASSES}", "--search=random", "--max_trials=1", "--min_map=0", "--direct_num_workers=2")
    test = (f"--test_dataset={converted}", f"--test_classes={CLASSES}")
    workdir = tmp_path / "run"
    run = ssd_tuner(
        "run",
        f"--dataset={SCENES}",
        f"--workdir={workdir}",
        "--tile=1x2:0.2",
        *options,
        *test,
        *SMALL,
        "--export=tflite_float32",
    )
    assert run.returncode == 0, run.stdout + run.stderr
    summary = json.loads((workdir / "report" / "summary.json").read_text())
    assert summary["num_test_images"] == 6
    saved, float32 = summary["export"]["formats"]
    assert float32["map"] == pytest.approx(saved["map"], abs=1e-3)  # on val's tiles
    assert {"AP/person", "AP/vehicle"} <= set(summary["metrics"])
    output = tmp_path / "metrics.json"
    evaluated = ssd_tuner_here(
        "evaluate",
        f"--model={summary['pushed_model']}",
        f"--dataset={converted}",
        f"--classes={CLASSES}",
        f"--output={output}",
    )
    assert evaluated.returncode == 0, evaluated.stdout + evaluated.stderr
    metrics = json.loads(output.read_text())["metrics"]
    for name, value in summary["metrics"].items():
        assert metrics[name] == pytest.approx(value, abs=1e-6), name
    whole = tmp_path / "tflite.json"
    path = pathlib.Path(summary["pushed_model"]) / "assets.extra" / float32["file"]
    done = ssd_tuner_here(
        "evaluate", f"--model={path}", f"--dataset={converted}", f"--classes={CLASSES}", f"--output={whole}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(whole.read_text())["metrics"]
    assert found["AP50"] == pytest.approx(metrics["AP50"], abs=1e-3)  # the file's caller cuts the same tiles
