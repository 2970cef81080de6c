"""The whole job as a user runs it: search, training, blessing and push, its cache, and its bad input.

The tests of this file run in order on one run directory; each states what the one before it left.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from data.road_scenes import scenes
from tests.command_line import ROOT, ssd_tuner, ssd_tuner_here

DATASET = "road_scenes:train=48,val=12,test=12"
SMALL = (
    "--set=input.image_size=64",
    "--set=model.backbone=mobilenet_v1",
    "--set=model.alpha=0.35",
    "--set=model.num_levels=2",
    "--set=input.batch_size=8",
    "--max_epochs=2",
    "--max_epochs_total=8",
    "--epochs=2",
)
TUNED = "--tune=optimizer.learning_rate,loss.localization_weight"  # what no trial has to build the network anew for
EXPORT = ("--export=tflite_int8_nms", "--max_drop=1")
PROBE = "models/network/losses.py"  # search, training and evaluation depend on it, ingestion does not


def states(output: str) -> dict[str, str]:
    """Reads from the progress lines which component was run and which came from the cache."""
    found = {}
    for line in output.splitlines():
        if line.startswith("[") and ":" in line:
            name, _, rest = line.split("]", 1)[1].strip().partition(":")
            found[name] = "cached" if "from the cache" in rest else "done" if "done" in rest else rest
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> pathlib.Path:
    """Copies the sources, so that a test can edit them."""
    folder = tmp_path_factory.mktemp("project")
    for package in ("data", "models", "tuner_fn", "pipeline"):
        subprocess.run(["cp", "-r", str(ROOT / package), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def run_arguments(tmp_path_factory) -> list[str]:
    workdir = tmp_path_factory.mktemp("runs") / "demo"
    return ["run", f"--dataset={DATASET}", f"--workdir={workdir}", "--min_map=0", TUNED, *SMALL, *EXPORT]


def workdir_of(arguments: list[str]) -> pathlib.Path:
    return pathlib.Path(arguments[2].partition("=")[2])


def test_a_run_that_was_killed_goes_on_and_ends_with_a_pushed_model_and_a_report(run_arguments, project) -> None:
    """kill -9 in the middle of the search, then the same command again."""
    workdir = workdir_of(run_arguments)
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", *run_arguments],
        cwd=project,
        env=environment | {"PYTHONPATH": str(project)},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not list(workdir.glob("search/*/trial_0001/state.npz")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (first,) = workdir.glob("search/*/trial_0000/trial.json")
    score = json.loads(first.read_text())["score"]
    done = ssd_tuner(*run_arguments, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((workdir / "report" / "leaderboard.json").read_text())
    assert {row["status"] for row in rows} == {"completed"}
    by_trial = {row["trial"]: row for row in rows}
    begun = {row["trial"]: by_trial[row["parent"]]["epochs"] if row["parent"] else 0 for row in rows}
    assert sum(row["epochs"] - begun[row["trial"]] for row in rows) == 8
    assert (by_trial["0000"]["score"], by_trial["0000"]["epochs"]) == (score, 2)
    assert "trial 1/" not in done.stdout  # what was finished is not trained again
    assert re.search(
        r"plan: at most \d trials, 8 epochs in all, \d done before; about .* by the first steps", done.stdout
    )
    summary = json.loads((workdir / "report" / "summary.json").read_text())
    (workdir.parent / "first_summary.json").write_text(json.dumps(summary))
    assert summary["blessed"]
    # The final model is the winner as the search left it, unless that was paused before its end.
    winner, history = rows[0], json.loads((workdir / "report" / "history.json").read_text())
    assert [report["epoch"] for report in history] == [1, 2]
    assert history[int(winner["epochs"]) - 1]["AP50"] == winner["AP50"]
    others = [row for row in rows if row["hyperparameters"] != by_trial["0000"]["hyperparameters"]]
    decision = summary["decision"]
    assert (decision is None) == all(row["epochs"] < 2 for row in others)  # what is short cannot be compared
    if decision is not None:
        assert decision["replaced"] == (decision["confidence"] >= 0.8) == (winner["trial"] == decision["challenger"])
    assert ("search's best" if decision else "began with") in done.stdout
    assert (pathlib.Path(summary["pushed_model"]) / "saved_model.pb").is_file()
    assert (pathlib.Path(summary["pushed_model"]) / "assets.extra" / "labels.txt").read_text().split() == list(
        scenes.CLASS_NAMES
    )
    extras = pathlib.Path(summary["pushed_model"]) / "assets.extra"
    assert [path.name for path in extras.glob("*.tflite")] == ["model_int8_nms.tflite"]
    assert [one["name"] for one in summary["export"]["formats"]] == ["saved_model", "tflite_int8_nms"]
    assert "| test | 12 |" in (extras / "model_card.md").read_text()
    assert "tflite_int8_nms" in done.stdout
    assert summary["num_test_images"] == 12
    assert (summary["objective"], summary["comparison"]) == ("AP50", None)
    assert all(row["score"] == row["AP50"] for row in rows)
    splits = {path.name for path in workdir.glob("pipeline/StatisticsGen/statistics/*/*")}
    assert splits == {"Split-train", "Split-val"}  # no component before the Evaluator looks at test
    assert {"AP", "AP50", "AR_100", "AP/person", "AP/bicycle", "AP/car"} <= set(summary["metrics"])
    assert list((workdir / "tensorboard" / "search_1").glob("trial_*/events*"))
    assert list((workdir / "tensorboard" / "final").glob("events*"))
    for path in (workdir / "report").glob("*.json"):
        json.loads(path.read_text(), parse_constant=lambda name, path=path: pytest.fail(f"{name} in {path}"))
    page = (workdir / "report" / "report.html").read_text(encoding="utf-8")
    assert "has kept no detections" not in page  # every section about test images is there
    assert str(summary["pushed_model"]) in done.stdout
    assert "ssd-tuner board" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_second_run_takes_every_step_from_the_cache(run_arguments, project) -> None:
    """test_blessing.py shows it of Evaluator and Pusher; the other steps are taken from the cache below."""
    done = ssd_tuner(*run_arguments, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    found = states(done.stdout)
    assert len(found) >= 9
    assert {name for name, state in found.items() if state != "cached"} <= {"last_blessed_model"}
    assert len(list((workdir_of(run_arguments) / "serving_model").iterdir())) == 1


@pytest.mark.slow
def test_after_an_edit_of_a_loss_only_what_depends_on_it_runs_again(run_arguments, project) -> None:
    """With another format, and compared with the model that was blessed before.

    tests/unit/pipeline/test_pipeline.py shows whose settings an edit changes, tests/integration/test_evaluator.py the
    comparison.
    """
    path = project / PROBE
    path.write_text(path.read_text() + "\nEDITED = True\n")
    arguments = [argument for argument in run_arguments if argument not in EXPORT]
    done = ssd_tuner(*arguments, "--export=tflite_float16", "--max_drop=1", "--max_p_worse=1", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((workdir_of(run_arguments) / "report" / "summary.json").read_text())
    compared = summary["comparison"]
    assert compared["low"] <= compared["difference"] <= compared["high"]
    assert [one["name"] for one in summary["export"]["formats"]] == ["saved_model", "tflite_float16"]
    found = states(done.stdout)
    again = {"Tuner", "Trainer", "Evaluator", "Exporter", "ServingCheck", "Pusher"}
    assert {name for name, state in found.items() if state == "done"} - {"last_blessed_model"} == again
    assert found["DetectionExampleGen"] == found["StatisticsGen"] == found["SchemaGen"] == "cached"


def test_a_model_below_the_threshold_is_not_pushed_and_the_reason_is_printed(run_arguments, project) -> None:
    """Neither the threshold nor the formats are part of the cache's key of search and training.

    The report is of the search that the model is from, whatever a later start left in the search's folder.
    """
    before = sorted((workdir_of(run_arguments) / "serving_model").iterdir())
    leaderboard = workdir_of(run_arguments) / "report" / "leaderboard.json"
    reported = leaderboard.read_text()
    for path in workdir_of(run_arguments).glob("search/*/leaderboard.json"):
        path.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    arguments = [argument for argument in run_arguments if not argument.startswith("--min_map")]
    done = ssd_tuner(*arguments, "--min_map=0.99", cwd=project)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "is below the threshold 0.9900" in " ".join(done.stdout.split())
    assert sorted((workdir_of(run_arguments) / "serving_model").iterdir()) == before
    found = states(done.stdout)
    cached = {"DetectionExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Tuner", "Trainer"}
    assert {name for name, state in found.items() if state == "cached"} - {"last_blessed_model"} == cached
    assert found["Exporter"] == "done"
    assert leaderboard.read_text() == reported
    assert "tflite_int8_nms is left out: not pushed" in done.stdout
    figures = next(line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["tflite_int8_nms"])
    assert float(figures[1]) >= 0.0


def test_the_pushed_model_predicts_and_evaluates_as_the_pipeline_did(run_arguments, tmp_path) -> None:
    workdir = workdir_of(run_arguments)
    model = sorted((workdir / "serving_model").iterdir())[0]
    image = tmp_path / "scene.jpg"
    image.write_bytes(scenes.encode_jpeg(scenes.render_scene(1, "test", 0)))
    done = ssd_tuner_here("predict", f"--model={model}", f"--output={tmp_path / 'out'}", "--min_score=0.01", str(image))
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "out").glob("*.json"))
    output = tmp_path / "metrics.json"
    arguments = [f"--model={model}", f"--dataset={DATASET}", "--split=test", f"--output={output}"]
    done = ssd_tuner_here("evaluate", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())["metrics"]
    expected = json.loads((workdir.parent / "first_summary.json").read_text())["metrics"]
    assert found == pytest.approx(expected, abs=1e-6)
