"""One run on data as users have it and with parts of their own.

Backbone, reader, strategy and metric are the examples of docs/extending.md as they stand there. Classes are merged,
images cut into tiles, and the test split is that of another dataset in another format.
"""

import csv
import json
import pathlib
import re
import subprocess
import sys

import pytest

from data import sources
from models.evaluation import image_results
from tests import box_references
from tests.command_line import ROOT, SHORT, SMALL, ssd_tuner, ssd_tuner_here

PAGE = ROOT / "docs" / "extending.md"
CLASSES = "person,vehicle=car+bicycle"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Writes the page's examples into one file."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    path = tmp_path_factory.mktemp("plugin") / "kit_of_mine.py"
    path.write_text("\n\n".join(blocks), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Writes some synthetic images in the format of the page's reader."""
    folder, rows = tmp_path_factory.mktemp("dataset"), []
    source = sources.open_source("road_scenes:train=24,val=8,test=8,size=96x128")
    for split in source.splits:
        for number, item in enumerate(source.items(split)):
            record, name = source.load(item), f"{split}_{number}.png"
            (folder / name).write_bytes(record.encoded)
            sides = [record.height, record.width, record.height, record.width]
            boxes = [[x0, y0, x1, y1] for y0, x0, y1, x1 in (record.boxes * sides).tolist()]
            labels = [source.class_names[label] for label in record.labels]
            rows.append({"image": name, "split": split, "boxes": boxes, "labels": labels})
    (folder / "all.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return f"json_lines:{folder / 'all.jsonl'}"


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> pathlib.Path:
    """Writes scenes of another seed as Pascal VOC."""
    folder = tmp_path_factory.mktemp("voc") / "set"
    done = ssd_tuner_here(
        "data", "convert", "--dataset=road_scenes:seed=1,train=2,val=2,test=6", "--format=voc", f"--output={folder}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def run(plugin, dataset, converted, workdir) -> subprocess.CompletedProcess[str]:
    data = (f"--dataset={dataset}", f"--classes={CLASSES}", "--tile=1x2:0.2", "--direct_num_workers=2")
    test = (f"--test_dataset={converted}", f"--test_classes={CLASSES}", "--min_map=0", "--export=tflite_float32")
    own = ("--search=halton", "--objective=recall_80", "--preset=quick", *SMALL, *SHORT, "--set=model.backbone=plain")
    done = ssd_tuner("run", f"--plugin={plugin}", f"--workdir={workdir}", *data, *test, *own)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def summary(run, workdir) -> dict:
    return json.loads((workdir / "report" / "summary.json").read_text())


def test_a_run_has_an_own_backbone_reader_strategy_and_metric(run, summary, workdir) -> None:
    assert "recall at score 0.8" in run.stdout
    assert summary["objective"] == "recall_80"
    assert summary["metrics"]["recall_80"] == pytest.approx(recall_80(workdir), abs=1e-6)
    assert json.loads((workdir / "report" / "best_config.json").read_text())["model"]["backbone"] == "plain"
    with (workdir / "report" / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["optimizer.learning_rate"] for row in rows}) == len(rows) >= 3  # the strategy's own points


def recall_80(workdir: pathlib.Path) -> float:
    """Counts the plug-in's metric from the detections that the run kept, with IoUs of another implementation."""
    kept = image_results.ImageResults.from_bytes((workdir / "report" / "test_results.npz").read_bytes())
    found = []
    for one in kept.results:
        for box, label, is_crowd in zip(one.gt_boxes, one.gt_labels, one.gt_is_crowd, strict=True):
            others = one.det_boxes[(one.det_scores >= 0.8) & (one.det_classes == label)]
            if not is_crowd:
                found.append(any(box_references.numpy_iou(box, other) >= 0.5 for other in others))
    assert found
    return sum(found) / len(found)


def test_a_model_of_tiles_is_judged_on_whole_images_of_another_dataset(summary, converted, tmp_path) -> None:
    assert summary["num_test_images"] == 6
    saved, float32 = summary["export"]["formats"]
    assert float32["map"] == pytest.approx(saved["map"], abs=1e-3)  # on val's tiles
    assert {"AP/person", "AP/vehicle"} <= set(summary["metrics"])
    metrics = evaluate(summary["pushed_model"], converted, tmp_path / "metrics.json")
    assert summary["metrics"].keys() - metrics.keys() == {"recall_80"}  # of the plug-in
    for name, value in metrics.items():
        assert summary["metrics"][name] == pytest.approx(value, abs=1e-6), name
    path = pathlib.Path(summary["pushed_model"]) / "assets.extra" / float32["file"]
    found = evaluate(path, converted, tmp_path / "tflite.json")
    assert found["AP50"] == pytest.approx(metrics["AP50"], abs=1e-3)  # the file's caller cuts the same tiles


def evaluate(model, dataset, output) -> dict[str, float]:
    arguments = (f"--model={model}", f"--dataset={dataset}", f"--classes={CLASSES}", f"--output={output}")
    done = ssd_tuner_here("evaluate", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(output.read_text())["metrics"]


def test_what_convert_wrote_passes_check(converted) -> None:
    done = ssd_tuner_here("data", "check", f"--dataset={converted}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as voc, because" in " ".join(done.stdout.split())


def test_help_hints_and_checks_know_what_a_plug_in_registers(plugin, dataset) -> None:
    commands = (
        ["run", f"--plugin={plugin}", "--help"],
        ["run", "--plugin", str(plugin), "--dataset=json_line:x", "--workdir=x"],
        ["data", "check", f"--plugin={plugin}", f"--dataset={dataset}"],
    )
    code = "from pipeline.cli import main\n"
    code += "".join(f"print('status', main.main({command!r}), flush=True)\n" for command in commands)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.findall(r"^status (\d)$", done.stdout, re.MULTILINE) == ["0", "2", "0"], done.stdout + done.stderr
    helped, _, checked, _ = re.split(r"^status \d$", done.stdout, flags=re.MULTILINE)
    assert "halton" in helped
    assert "did you mean `json_lines`?" in done.stderr.lower()
    assert "json_lines" in checked
