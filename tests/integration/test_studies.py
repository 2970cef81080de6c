"""Both studies of settings with real trainings, as a user runs them; the smallest that there are."""

import csv
import io
import json
import pathlib
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest
from PIL import Image

from data.run_directory import RunDirectory
from models.hyperparameters import ExperimentConfig
from pipeline.cli import board
from pipeline.cli import main as command_line
from tuner_fn import search_space

SMALL = ("input.image_size=64", "input.batch_size=4", "model.num_levels=2", "model.backbone=mobilenet_v1")


def test_a_range_is_found_and_written_and_its_ends_are_compared(tmp_path, capfd) -> None:
    """A second start trains nothing: it prints the same."""
    workdir, space = tmp_path / "run", tmp_path / "space.yaml"
    data = ["--dataset=road_scenes:train=24,val=4,test=4", f"--workdir={workdir}", "--plan=off", "--preset=quick"]
    data += [f"--set={setting}" for setting in SMALL]
    sweep = ["lr-range", *data, "--repeats=1", "--steps=40", "--min_rate=1e-6", f"--write_space={space}"]
    assert command_line.main(sweep) == 0
    said = capfd.readouterr().out
    assert "1 times 40 mini-batches: the time of 6.7 epochs at most." in said
    report = json.loads((workdir / "studies" / "lr_range" / "lr_range.json").read_text())
    found = report["found"]["interval"]
    ranges = search_space.named_space(str(space), ExperimentConfig())
    assert ranges["optimizer.learning_rate"]["low"] == float(f"{found['low']:.2g}")
    assert 1e-6 <= found["low"] < found["high"] <= 1.0
    assert list((workdir / "tensorboard" / "lr_range" / "seed_0").glob("events*"))
    sweeps = list((workdir / "studies" / "lr_range" / "sweeps").glob("*.json"))
    assert len(sweeps) == 1

    compare = ["ablate", *data, f"--space={space}", "--repeats=1", "--epochs=1"]
    assert command_line.main(compare) == 0
    said = capfd.readouterr().out
    assert "One repeat has no interval and no verdict" in said
    folder = workdir / "studies" / "ablation"
    with (folder / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["baseline", *(row["variant"] for row in rows[1:])]
    assert {row["variant"].partition("=")[0] for row in rows[1:]} == {"optimizer.learning_rate"}
    assert all(row["verdict"] in ("", "fails") for row in rows)
    assert (folder / "ablation_scores.png").exists()
    check_tensorboard(workdir)
    states = {path.name: path.stat().st_mtime_ns for path in (folder / "trainings").iterdir()}
    assert len(states) == len(rows)
    assert command_line.main(compare) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "trainings").iterdir()} == states
    assert said.splitlines()[-6:] == capfd.readouterr().out.splitlines()[-6:]


def check_tensorboard(workdir: pathlib.Path) -> None:
    """The losses of all variants have one tag, so that TensorBoard draws them in one chart; both figures are there."""
    folder = workdir / "studies" / "ablation"
    variants = json.loads((folder / "ablation.json").read_text())["variants"]
    runs = {f"ablation/{one['variant']}": list(one["losses"].values()) for one in variants}
    url = board.serve_logs(RunDirectory(workdir), 0)
    tags = wait_for(url, "scalars/tags", lambda found: runs.keys() | {"lr_range/seed_0"} <= found.keys())
    for name, losses in runs.items():
        assert tags[name].keys() == {"ablation/total_loss", "ablation/total_loss_seed_0"}
        shown = json.loads(ask(url, "scalars/scalars", run=name, tag="ablation/total_loss"))
        assert [value for _, _, value in shown] == pytest.approx(losses[0], rel=1e-5)
        assert [step for _, step, _ in shown] == [1]
    figures = wait_for(url, "images/tags", lambda found: "ablation" in found)["ablation"]
    for tag, name in (("ablation/total_loss", "ablation_loss.png"), ("ablation/scores", "ablation_scores.png")):
        assert tag in figures
        (shown,) = json.loads(ask(url, "images/images", run="ablation", tag=tag, sample=0))
        picture = ask(url, f"images/individualImage?{shown['query']}&")
        assert Image.open(io.BytesIO(picture)).size == Image.open(folder / name).size


def ask(url: str, path: str, **query: Any) -> bytes:
    """Asks TensorBoard's HTTP interface."""
    return urllib.request.urlopen(f"{url}data/plugin/{path}?{urllib.parse.urlencode(query)}", timeout=60).read()


def wait_for(url: str, path: str, is_there: Any) -> Any:
    """Asks again until the logs are read."""
    deadline = time.monotonic() + 120
    while not is_there(found := json.loads(ask(url, path))):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found
