"""What a machine that only uses a model installs: no TFX, no Beam, no Keras Tuner."""

import json
import pathlib
import subprocess
import sys

import pytest

from data.road_scenes import scenes
from models.export import saved_model
from models.hyperparameters import ExperimentConfig
from models.network.detector import Detector
from pipeline import environment
from tests import coco_folder

ROOT = pathlib.Path(__file__).parents[2]
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({names!r}))  # whoever imports them gets an ImportError
from pipeline.cli import main
sys.exit(max(main.main(arguments) for arguments in {commands!r}))
"""


def ssd_tuner(*commands) -> subprocess.CompletedProcess:
    """Runs command lines in one process, which imports TensorFlow once; its status is the highest of theirs."""
    names = [*environment._LIBRARIES["pipeline"]]
    code = WITHOUT.format(names=names, commands=[[str(argument) for argument in command] for command in commands])
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Exports an untrained detector of the embedded dataset's classes."""
    config = ExperimentConfig().replace({"input.image_size": 64, "model.backbone": "mobilenet_v1", "model.alpha": 0.35})
    folder = tmp_path_factory.mktemp("model")
    saved_model.export_saved_model(Detector(config, len(scenes.CLASS_NAMES)), scenes.CLASS_NAMES, folder)
    return folder


def test_commands_that_train_nothing_run(tmp_path) -> None:
    done = ssd_tuner(
        ("data", "check", "--dataset=road_scenes:train=4,val=2,test=2"),
        ("data", "stats", "--dataset=road_scenes:train=4,val=2,test=2", f"--output={tmp_path}"),
        ("plan", "--dataset=road_scenes:train=8,val=4,test=4"),
        ("settings", "optimizer"),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_dataset_without_val_and_test_is_divided(tmp_path) -> None:
    root = coco_folder.write(tmp_path / "street", train=coco_folder.table(8))
    done = ssd_tuner(("data", "check", f"--dataset={root}"), ("plan", f"--dataset={root}"))
    assert "become val" in done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_is_used_and_judged(model, tmp_path) -> None:
    dataset = "road_scenes:train=2,val=2,test=3"
    done = ssd_tuner(
        ("evaluate", f"--model={model}", f"--dataset={dataset}", f"--output={tmp_path / 'found.json'}"),
        ("data", "convert", f"--dataset={dataset}", "--format=coco", f"--output={tmp_path / 'coco'}"),
        ("predict", f"--model={model}", f"--output={tmp_path / 'drawn'}", tmp_path / "coco" / "test"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "found.json").read_text())["num_images"] == 3
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 3


def test_what_trains_says_what_to_install(tmp_path) -> None:
    done = ssd_tuner(("run", "--dataset=road_scenes", f"--workdir={tmp_path}"))
    assert done.returncode == 2
    assert "tfx" in done.stderr
    assert "pip install 'ssd-tuner[pipeline]'" in done.stderr
