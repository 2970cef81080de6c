"""The examples of docs/extending.md as they stand there: an own backbone, reader, strategy and metric in one run."""

import csv
import json
import re

import pytest

from data import sources
from tests.command_line import ROOT, ssd_tuner
from tests.e2e.test_pipeline import SMALL

PAGE = ROOT / "docs" / "extending.md"


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


def test_a_run_with_an_own_backbone_reader_strategy_and_metric(plugin, dataset, tmp_path) -> None:
    done = ssd_tuner(
        *(
            "run",
            f"--plugin={plugin}",
            f"--dataset={dataset}",
            f"--workdir={tmp_path}",
            "--min_map=0",
            "--preset=quick",
        ),
        *("--set=model.backbone=plain", "--search=halton", "--objective=recall_80", "--preset=quick", *SMALL),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recall at score 0.8" in done.stdout
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["objective"] == "recall_80"
    assert 0 <= summary["metrics"]["recall_80"] <= summary["metrics"]["AR_100"] + 1
    assert json.loads((tmp_path / "report" / "best_config.json").read_text())["model"]["backbone"] == "plain"
    with (tmp_path / "report" / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["optimizer.learning_rate"] for row in rows}) == len(rows) >= 3  # the strategy's own points


def test_help_and_hints_know_what_a_plug_in_registers(plugin) -> None:
    assert "halton" in ssd_tuner("run", f"--plugin={plugin}", "--help").stdout
    done = ssd_tuner("run", "--plugin", str(plugin), "--dataset=json_line:x", "--workdir=x")
    assert done.returncode == 2
    assert "did you mean `json_lines`?" in done.stderr.lower()


def test_the_reader_of_a_plug_in_is_checked_as_any_other(plugin, dataset) -> None:
    done = ssd_tuner("data", "check", f"--plugin={plugin}", f"--dataset={dataset}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "json_lines" in done.stdout
