"""A run reviewed: TensorBoard and Optuna's dashboard over HTTP, MLflow through its own API, the notebooks about runs.

The tests of this file share one run. It was to keep a tracking server up to date, which is away.
"""

import contextlib
import io
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data import sources
from data.road_scenes import scenes
from tests import notebooks
from tests.command_line import ROOT, SMALL, ssd_tuner, ssd_tuner_here

DATASET = "road_scenes:train=24,val=12,test=8"
SETTINGS = (*SMALL, "--tune=optimizer.learning_rate,loss.matched_iou")
SETTINGS += ("--max_epochs=2", "--max_epochs_total=4", "--epochs=3", "--min_map=0", "--profile")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli.main", *arguments]


def environment() -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    return known | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("runs") / "demo"


@pytest.fixture(scope="module")
def run(workdir, closed_port) -> subprocess.CompletedProcess[str]:
    uri = f"http://127.0.0.1:{closed_port}"
    done = ssd_tuner("run", f"--dataset={DATASET}", f"--workdir={workdir}", *SETTINGS, f"--mlflow={uri}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@contextlib.contextmanager
def board(*arguments: str) -> Iterator[Callable[..., bytes]]:
    """Starts `ssd-tuner board`, gives a function that asks it, and ends it with Ctrl-C."""
    process = subprocess.Popen(
        command("board", *arguments),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background have it ignored
    )
    found = (re.search(r"http://127\.0\.0\.1:\d+/", line) for line in process.stdout)
    url = next(one.group() for one in found if one)

    def ask(path: str, body: Any = None, **query: Any) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{url}{path}?{urllib.parse.urlencode(query)}", data, headers)
        return urllib.request.urlopen(asked, timeout=60).read()

    try:
        yield ask
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def wait_for(ask: Callable[[], Any], is_there: Callable[[Any], bool]) -> Any:
    """Asks again until the logs are read."""
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(urllib.error.HTTPError):  # not found yet
            found = json.loads(ask())
            if is_there(found):
                return found
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_tracking_server_that_is_away_costs_a_warning_and_not_the_run(run, workdir, closed_port) -> None:
    uri = f"http://127.0.0.1:{closed_port}"
    assert f"Warning: MLflow at {uri} cannot be used" in run.stdout
    assert f"Export it later by `ssd-tuner mlflow {workdir} --tracking_uri={uri}`." in run.stdout
    done = ssd_tuner_here("mlflow", str(workdir), f"--tracking_uri={uri}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"MLflow at {uri} cannot be used" in done.stderr


@pytest.mark.usefixtures("run")
def test_tensorboard_shows_scalars_hparams_images_curves_and_the_graph(workdir) -> None:
    rows = json.loads((workdir / "report" / "leaderboard.json").read_text())
    trials = {f"search_1/trial_{row['trial']}": row for row in rows}
    history = json.loads((workdir / "report" / "history.json").read_text())
    with board(str(workdir)) as ask:
        tags = wait_for(lambda: ask("data/plugin/scalars/tags"), lambda found: {"final", *trials} <= found.keys())
        assert {"loss", "learning_rate", "AP50", "AP50/car", "images_per_s"} <= tags["final"].keys()
        scalars = json.loads(ask("data/plugin/scalars/scalars", run="final", tag="loss"))
        by_epoch = {step: value for _, step, value in scalars}
        assert by_epoch == pytest.approx({one["epoch"]: one["loss"] for one in history}, rel=1e-6)

        experiment = json.loads(ask("data/plugin/hparams/experiment", {"experimentName": ""}))
        names = [one.get("displayName") or one["name"] for one in experiment["hparamInfos"]]
        assert names == ["optimizer.learning_rate", "rung (epochs)", "loss.matched_iou"]
        domain = experiment["hparamInfos"][0]["domainInterval"]
        assert 0 < domain["minValue"] < domain["maxValue"] < 1
        assert experiment["metricInfos"][0]["displayName"] == "val mAP@.5"
        wanted = {"experimentName": "", "startIndex": 0, "sliceSize": 100, "colParams": []}
        wanted["allowedStatuses"] = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
        groups = json.loads(ask("data/plugin/hparams/session_groups", wanted))["sessionGroups"]
        sessions = {group["sessions"][0]["name"]: group for group in groups}
        assert sessions.keys() == trials.keys()
        for name, row in trials.items():
            assert sessions[name]["sessions"][0]["status"] == "STATUS_SUCCESS"
            shown = sessions[name]["hparams"]
            assert shown["optimizer.learning_rate"] == row["hyperparameters"]["optimizer.learning_rate"]
            values = {one["name"]["tag"]: one["value"] for one in sessions[name]["metricValues"]}
            assert values["AP50"] == pytest.approx(row["AP50"], abs=1e-6)

        validated = [one["epoch"] for one in history if "AP50" in one]
        pictures = json.loads(ask("data/plugin/images/tags"))
        images = {f"val/image_{number}" for number in range(1, 5)}
        assert all(images <= pictures[name].keys() for name in ("final", *trials))
        shown = json.loads(ask("data/plugin/images/images", run="final", tag="val/image_1", sample=0))
        assert {one["step"] for one in shown} <= set(validated)
        picture = ask(f"data/plugin/images/individualImage?{shown[-1]['query']}&")
        assert len(picture) < 60_000
        width, height = Image.open(io.BytesIO(picture)).size
        assert width > 2 * height * 0.9  # ground truth beside detections

        curves = json.loads(ask("data/plugin/pr_curves/pr_curves", run="final", tag="val/car/pr_curves"))["final"]
        recall = curves[-1]["recall"]
        assert recall == sorted(recall, reverse=True)
        assert max(recall) > 0
        graph = ask("data/plugin/graphs/graph", run="final", limit_attr_size=1024, large_attrs_key="_too_large")
        assert b"Conv2D" in graph
    assert list(workdir.glob("tensorboard/final/plugins/profile/*/*.xplane.pb"))


@pytest.mark.usefixtures("run")
def test_optunas_dashboard_shows_the_search(workdir) -> None:
    rows = json.loads((workdir / "report" / "leaderboard.json").read_text())
    with board(str(workdir), "--optuna") as ask:
        (study,) = json.loads(ask("api/studies"))["study_summaries"]
        assert study["study_name"] == "search_1"
        found = json.loads(ask(f"api/studies/{study['study_id']}"))
        scores = sorted(one["values"][0] for one in found["trials"] if one["state"] == "Complete")
        assert scores == pytest.approx(sorted(row["score"] for row in rows if row["status"] == "completed"))


@pytest.mark.usefixtures("run")
def test_mlflow_has_trials_metrics_and_a_model_that_predicts_as_we_do(workdir, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = ssd_tuner_here("mlflow", str(workdir))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((workdir / "report" / "leaderboard.json").read_text())
    summary = json.loads((workdir / "report" / "summary.json").read_text())
    runs = len(rows) + 2
    assert f"{runs}, {runs} of them new or renewed" in done.stdout
    done = ssd_tuner_here("mlflow", str(workdir))
    assert f"{runs}, 0 of them new or renewed" in done.stdout
    assert list(tmp_path.iterdir()) == []  # neither ./mlruns nor ./mlflow.db

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    uri = f"sqlite:///{workdir}/mlflow/mlflow.db"
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name(f"ssd-tuner {sources.canonical(DATASET)}")
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    parent, final = found["demo search_1"], found["final model"]
    assert parent.info.status == final.info.status == "FINISHED"
    assert parent.data.params["input.image_size"] == "64"
    assert final.data.metrics["test/AP50"] == pytest.approx(summary["metrics"]["AP50"])
    losses = client.get_metric_history(final.info.run_id, "loss")
    assert [one.step for one in losses] == [1, 2, 3]
    for row in rows:
        trial = found[f"trial {row['trial']}"]
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.data.params == {name: str(value) for name, value in row["hyperparameters"].items()}
        assert trial.data.metrics["score"] == row["score"]
    files = {one.path for one in client.list_artifacts(final.info.run_id)}
    assert {"summary.json", "leaderboard.csv", "model_card.md"} <= files

    image = tmp_path / "scene.jpg"
    image.write_bytes(scenes.encode_jpeg(scenes.render_scene(1, "test", 0)))
    done = ssd_tuner_here("predict", f"--model={workdir}", f"--output={tmp_path}", "--min_score=0.01", str(image))
    assert done.returncode == 0, done.stdout + done.stderr
    expected = json.loads((tmp_path / "detections.json").read_text())["annotations"]
    (output,) = final.outputs.model_outputs
    model = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    table = model.predict([{"image": image.read_bytes()}], params={"min_score": 0.01})
    assert len(table) == 1
    assert len(expected) > 0
    (surest,) = model.predict([{"image": image.read_bytes()}])["scores"]
    assert len(surest) == sum(one["score"] >= 0.3 for one in expected)
    np.testing.assert_allclose(table["boxes"][0], [one["box"] for one in expected], atol=1e-5)
    np.testing.assert_allclose(table["scores"][0], [one["score"] for one in expected], atol=1e-5)
    assert table["classes"][0] == [one["category_name"] for one in expected]


@pytest.mark.usefixtures("run")
def test_a_notebook_shows_the_test_result_by_slice(workdir, tmp_path, monkeypatch) -> None:
    """Those of TFMA: its own list at the end has them all; the first row is what the run's Evaluator found."""
    cells = notebooks.execute("05_model_analysis", tmp_path, monkeypatch, {'"runs/planned"': repr(str(workdir))})
    assert notebooks.pictures(cells) == 2
    text = notebooks.text(cells)
    summary = json.loads((workdir / "report" / "summary.json").read_text())
    (images, ap50) = re.search(r"all images +(\d+) +\d+ +([\d.]+)", text).groups()
    assert int(images) == summary["num_test_images"]
    assert float(ap50) == pytest.approx(summary["metrics"]["AP50"], abs=6e-4)
    for value in ("dark", "bright"):
        assert re.search(rf"{value} +\d", text)
    assert re.search(r"\(\('brightness', 'dark'\), \('class', '\w+'\)\)", text)


@pytest.mark.slow
@pytest.mark.usefixtures("run")
def test_a_notebook_compares_the_run_with_a_second_one(workdir, tmp_path, monkeypatch) -> None:
    """The second one is made in the notebook, without the plan, on the same images.

    test_notebooks.py shows the same of two runs that are there, and that `run` takes the notebook's flags.
    """
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "planned").symlink_to(workdir)
    replaced = {'"road_scenes:look=thermal,train=120,val=40,test=80"': repr(DATASET)}
    replaced["SMALL = ["] = f"SMALL = {list(SETTINGS[:-1])}\nOTHERS = ["  # what the run had, but for the profile
    cells = notebooks.execute("03_tune_and_compare", tmp_path, monkeypatch, replaced)
    text = notebooks.text(cells)
    assert "plain: status 0" in text
    assert "planned: status" not in text
    notebooks.check_comparison(runs, cells)
    assert "anchors.scales" in text
