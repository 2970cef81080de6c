"""The whole job as a user runs it: search, training, blessing and push, its cache, and its bad input.

One run is made for all tests. Each of them gets its directory as the run left it, whatever the others did.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from data.road_scenes import scenes
from tests.command_line import ROOT, SHORT, SMALL, ssd_tuner, ssd_tuner_here

DATASET = "road_scenes:train=48,val=12,test=12"
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


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that was killed in its search and ended at its second start.

    Attributes:
        arguments: of the command line.
        project: the folder of the sources it ran with.
        workdir: its run directory.
        first_score: of the trial that was finished before the kill.
        output: of the second start.
    """

    arguments: tuple[str, ...]
    project: pathlib.Path
    workdir: pathlib.Path
    first_score: float
    output: str

    def again(self, *changes: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Starts the same command with further arguments, without some."""
        kept = [argument for argument in self.arguments if not argument.startswith(without)]
        return ssd_tuner(*kept, *changes, cwd=self.project)

    def report(self, name: str) -> Any:
        """Reads a JSON file of the report."""
        return json.loads((self.workdir / "report" / name).read_text())

    def pushed(self) -> list[pathlib.Path]:
        """Lists the models that were pushed, the first one first."""
        return sorted((self.workdir / "serving_model").iterdir())


@pytest.fixture(scope="module")
def ended(tmp_path_factory, project) -> Run:
    """Kills a run by `kill -9` in the middle of its search, then gives the same command again."""
    workdir = tmp_path_factory.mktemp("runs") / "demo"
    data = (f"--dataset={DATASET}", f"--workdir={workdir}")
    arguments = ("run", *data, "--min_map=0", TUNED, *SMALL, *SHORT, *EXPORT)
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", *arguments],
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
    done = ssd_tuner(*arguments, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    shutil.copytree(workdir, workdir.with_name("kept"), symlinks=True)
    return Run(arguments, project, workdir, score, done.stdout)


@pytest.fixture
def run(ended) -> Run:
    """Puts the run directory back to how the run left it."""
    shutil.rmtree(ended.workdir)
    shutil.copytree(ended.workdir.with_name("kept"), ended.workdir, symlinks=True)
    return ended


@pytest.fixture
def edit() -> Iterator[Callable[[pathlib.Path], None]]:
    """Gives a function that adds a line to a source file; it is taken out after the test."""
    before: dict[pathlib.Path, str] = {}

    def add(path: pathlib.Path) -> None:
        before[path] = path.read_text()
        path.write_text(before[path] + "\nEDITED = True\n")

    yield add
    for path, text in before.items():
        path.write_text(text)


def test_a_search_that_was_killed_goes_on_where_it_was(run) -> None:
    rows = run.report("leaderboard.json")
    assert {row["status"] for row in rows} == {"completed"}
    by_trial = {row["trial"]: row for row in rows}
    begun = {row["trial"]: by_trial[row["parent"]]["epochs"] if row["parent"] else 0 for row in rows}
    assert sum(row["epochs"] - begun[row["trial"]] for row in rows) == 8
    assert (by_trial["0000"]["score"], by_trial["0000"]["epochs"]) == (run.first_score, 2)
    assert "trial 1/" not in run.output  # what was finished is not trained again
    assert re.search(
        r"plan: at most \d trials, 8 epochs in all, \d done before; about .* by the first steps", run.output
    )
    assert all(row["score"] == row["AP50"] for row in rows)


def test_the_final_model_is_the_winner_as_the_search_left_it(run) -> None:
    """Unless that was paused before its end, when it goes on."""
    rows, history = run.report("leaderboard.json"), run.report("history.json")
    winner = rows[0]
    assert [report["epoch"] for report in history] == [1, 2]
    assert history[int(winner["epochs"]) - 1]["AP50"] == winner["AP50"]
    decision = run.report("summary.json")["decision"]
    (first,) = (row for row in rows if row["trial"] == "0000")
    others = [row for row in rows if row["hyperparameters"] != first["hyperparameters"]]
    assert (decision is None) == all(row["epochs"] < 2 for row in others)  # what is short cannot be compared
    assert decision is not None, "With this seed no other trial comes to its end. Take a seed with which one does."
    assert decision["replaced"] == (decision["confidence"] >= 0.8) == (winner["trial"] == decision["challenger"])
    assert "search's best" in run.output


def test_a_run_ends_with_a_pushed_model_and_a_report(run) -> None:
    summary = run.report("summary.json")
    assert summary["blessed"]
    assert (pathlib.Path(summary["pushed_model"]) / "saved_model.pb").is_file()
    extras = pathlib.Path(summary["pushed_model"]) / "assets.extra"
    assert (extras / "labels.txt").read_text().split() == list(scenes.CLASS_NAMES)
    assert [path.name for path in extras.glob("*.tflite")] == ["model_int8_nms.tflite"]
    assert [one["name"] for one in summary["export"]["formats"]] == ["saved_model", "tflite_int8_nms"]
    assert "| test | 12 |" in (extras / "model_card.md").read_text()
    assert "tflite_int8_nms" in run.output
    assert summary["num_test_images"] == 12
    assert (summary["objective"], summary["comparison"]) == ("AP50", None)
    splits = {path.name for path in run.workdir.glob("pipeline/StatisticsGen/statistics/*/*")}
    assert splits == {"Split-train", "Split-val"}  # no component before the Evaluator looks at test
    assert {"AP", "AP50", "AR_100", "AP/person", "AP/bicycle", "AP/car"} <= set(summary["metrics"])
    assert list((run.workdir / "tensorboard" / "search_1").glob("trial_*/events*"))
    assert list((run.workdir / "tensorboard" / "final").glob("events*"))
    for path in (run.workdir / "report").glob("*.json"):
        json.loads(path.read_text(), parse_constant=lambda name, path=path: pytest.fail(f"{name} in {path}"))
    page = (run.workdir / "report" / "report.html").read_text(encoding="utf-8")
    assert "has kept no detections" not in page  # every section about test images is there
    assert str(summary["pushed_model"]) in run.output
    assert "ssd-tuner board" in run.output


@pytest.mark.slow
def test_a_second_run_takes_every_step_from_the_cache(run) -> None:
    """test_blessing.py shows it of Evaluator and Pusher; the other steps are taken from the cache below."""
    done = run.again()
    assert done.returncode == 0, done.stdout + done.stderr
    found = states(done.stdout)
    assert len(found) >= 9
    assert {name for name, state in found.items() if state != "cached"} <= {"last_blessed_model"}
    assert len(run.pushed()) == 1


@pytest.mark.slow
def test_after_an_edit_of_a_loss_only_what_depends_on_it_runs_again(run, edit) -> None:
    """With another format, and compared with the model that was blessed before.

    tests/unit/pipeline/test_pipeline.py shows whose settings an edit changes, tests/integration/test_evaluator.py the
    comparison.
    """
    edit(run.project / PROBE)
    done = run.again("--export=tflite_float16", "--max_drop=1", "--max_p_worse=1", without=EXPORT)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = run.report("summary.json")
    compared = summary["comparison"]
    assert compared["low"] <= compared["difference"] <= compared["high"]
    assert [one["name"] for one in summary["export"]["formats"]] == ["saved_model", "tflite_float16"]
    found = states(done.stdout)
    again = {"Tuner", "Trainer", "Evaluator", "Exporter", "ServingCheck", "Pusher"}
    assert {name for name, state in found.items() if state == "done"} - {"last_blessed_model"} == again
    assert found["DetectionExampleGen"] == found["StatisticsGen"] == found["SchemaGen"] == "cached"


def test_a_model_below_the_threshold_is_not_pushed_and_the_reason_is_printed(run) -> None:
    """Neither the threshold nor the formats are part of the cache's key of search and training.

    The report is of the search that the model is from, whatever a later start left in the search's folder.
    """
    before, reported = run.pushed(), run.report("leaderboard.json")
    for path in run.workdir.glob("search/*/leaderboard.json"):
        path.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    done = run.again("--min_map=0.99", without=("--min_map",))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "is below the threshold 0.9900" in " ".join(done.stdout.split())
    assert run.pushed() == before
    found = states(done.stdout)
    cached = {"DetectionExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Tuner", "Trainer"}
    assert {name for name, state in found.items() if state == "cached"} - {"last_blessed_model"} == cached
    assert found["Exporter"] == "done"
    assert run.report("leaderboard.json") == reported
    assert "tflite_int8_nms is left out: not pushed" in done.stdout
    figures = next(line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["tflite_int8_nms"])
    assert float(figures[1]) >= 0.0


def test_the_pushed_model_predicts_and_evaluates_as_the_pipeline_did(run, tmp_path) -> None:
    (model,) = run.pushed()
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
    assert found == pytest.approx(run.report("summary.json")["metrics"], abs=1e-6)
