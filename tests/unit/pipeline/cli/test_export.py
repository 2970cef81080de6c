"""`ssd-tuner export` and a user's mistakes: each is one line, before TensorFlow is loaded."""

import json

import pytest

from models.hyperparameters import ExperimentConfig
from pipeline.cli import main as command_line

DATASET = "road_scenes:train=4,val=2,test=2"


def make_model(folder, **settings) -> str:
    """Makes what a SavedModel's folder looks like from outside."""
    extras = folder / "assets.extra"
    extras.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    (extras / "labels.txt").write_text("person\nbicycle\ncar\n")
    (extras / "config.json").write_text(json.dumps(ExperimentConfig().replace(settings).to_dict()))
    return str(folder)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--formats=tflite_int4"], "`--formats=tflite_int4` is not a format. Did you mean `tflite_int8`?"),
        (["--model=absent"], "`--model=absent` does not exist"),
        (["--model=model.tflite"], "is exported already. Give the folder of its SavedModel"),
        (["--dataset=coco:absent"], "absent"),
        (["--split=tset"], "test"),
        (["--max_drop=2"], "max_drop"),
        (["--output=a_file/x"], "cannot be written: `a_file` is a file"),
        (["more"], "`export` takes flags only: got `more`"),
    ],
)
def test_mistakes_are_one_line_and_status_2(tmp_path, monkeypatch, capfd, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").touch()
    model = make_model(tmp_path / "1")
    assert command_line.main(["export", f"--model={model}", f"--dataset={DATASET}", *flags]) == 2
    error = capfd.readouterr().err
    assert message in error.replace(f"{tmp_path}/", "")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "exported").exists()


def test_suppression_inside_a_model_of_tiles_is_one_line(tmp_path, capfd):
    model = make_model(tmp_path / "1", **{"input.tile": "2x2:0.2"})
    flags = ["--formats=tflite_int8_nms", f"--output={tmp_path / 'out'}"]
    assert command_line.main(["export", f"--model={model}", f"--dataset={DATASET}", *flags]) == 2
    error = capfd.readouterr().err
    assert "cannot be made of a model of 2x2:0.2 tiles" in error
    assert "Take `tflite_int8`." in error


def test_int8_needs_training_images(tmp_path, capfd):
    folder = tmp_path / "set"
    convert = ["data", "convert", "--dataset=road_scenes:train=1,val=1,test=1", "--format=coco", f"--output={folder}"]
    assert command_line.main(convert) == 0
    for path in folder.rglob("*train*"):
        path.rename(path.with_name(path.name.replace("train", "other")))
    model = make_model(tmp_path / "1")
    assert command_line.main(["export", f"--model={model}", f"--dataset=coco:{folder}", "--formats=tflite_int8"]) == 2
    assert "train" in capfd.readouterr().err
