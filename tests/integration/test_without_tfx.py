"""What a machine that only uses a model installs: no TFX, no Beam, no Keras Tuner."""

import json
import pathlib
import subprocess
import sys

import pytest

from pipeline import environment

ROOT = pathlib.Path(__file__).parents[2]
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({names!r}))  # whoever imports them gets an ImportError
from pipeline.cli import main
sys.exit(main.main({arguments!r}))
"""


def ssd_tuner(*arguments) -> subprocess.CompletedProcess:
    names = [*environment._LIBRARIES["pipeline"]]
    code = WITHOUT.format(names=names, arguments=[str(argument) for argument in arguments])
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Exports an untrained detector of the embedded dataset's classes."""
    folder = tmp_path_factory.mktemp("model")
    code = (
        "import sys; from models.export import saved_model; from models.hyperparameters import ExperimentConfig;"
        " from models.network.detector import Detector; from data.road_scenes import scenes;"
        " config = ExperimentConfig().replace({'input.image_size': 64, 'model.alpha': 0.35});"
        " saved_model.export_saved_model(Detector(config, len(scenes.CLASS_NAMES)), scenes.CLASS_NAMES, sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "check", "--dataset=road_scenes:train=4,val=2,test=2"),
        ("data", "stats", "--dataset=road_scenes:train=4,val=2,test=2"),
        ("plan", "--dataset=road_scenes:train=8,val=4,test=4"),
        ("settings", "optimizer"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_commands_that_train_nothing_run(arguments, tmp_path) -> None:
    where = [f"--output={tmp_path}"] if "stats" in arguments else []
    done = ssd_tuner(*arguments, *where)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_is_used_and_judged(model, tmp_path) -> None:
    dataset = "road_scenes:train=2,val=2,test=3"
    done = ssd_tuner("evaluate", f"--model={model}", f"--dataset={dataset}", f"--output={tmp_path / 'found.json'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "found.json").read_text())["num_images"] == 3
    done = ssd_tuner("data", "convert", f"--dataset={dataset}", "--format=coco", f"--output={tmp_path / 'coco'}")
    assert done.returncode == 0, done.stdout + done.stderr
    images = sorted(path for path in (tmp_path / "coco").rglob("*") if path.suffix in (".jpg", ".png"))
    done = ssd_tuner("predict", f"--model={model}", f"--output={tmp_path / 'drawn'}", images[0])
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_trains_says_what_to_install(tmp_path) -> None:
    done = ssd_tuner("run", "--dataset=road_scenes", f"--workdir={tmp_path}")
    assert done.returncode == 2
    assert "tfx" in done.stderr
    assert "pip install 'ssd-tuner[pipeline]'" in done.stderr
