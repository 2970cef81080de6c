"""`ssd-tuner import-weights` as a user types it: mistakes are one line, before TensorFlow is loaded where it can be."""

import json

import numpy as np
import pytest

from models.network import pretrained
from pipeline.cli import import_weights, main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ssd.tflite").write_bytes(b"no model")
    (tmp_path / "from_0.pbtxt").write_text("item { id: 0 name: 'a' } item { id: 1 name: 'b' }")
    (tmp_path / "far.pbtxt").write_text("item { id: 1 name: 'a' } item { id: 2000000000 name: 'b' }")
    (tmp_path / "twice.pbtxt").write_text("item { id: 1 name: 'a' } item { id: 2 name: 'A' }")
    (tmp_path / "folder.tflite").mkdir()
    (tmp_path / "damaged.tflite").write_bytes(b"\x10\0\0\0TFL3" + bytes(3))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`import-weights` needs one file: got 0."),
        (
            ["absent.tflite"],
            "`absent.tflite` does not exist. Name a .tflite file, a checkpoint's prefix",
        ),
        (["ssd.tflite", "--output=w.h5"], "`--output=w.h5` needs a name that ends in .npz."),
        (["ssd.tflite", "--output=ssd.tflite/w.npz"], "cannot be written"),
        (["ssd.tflite", "--classes=a,b", "--label_map=x"], "`--classes` and `--label_map` both name the classes."),
        (["ssd.tflite", "--classes=a,A"], "every class needs a name of its own: got a, A."),
        (["ssd.tflite", "--label_map=absent.txt"], "`--label_map=absent.txt` cannot be read"),
        (["ssd.tflite", "--label_map=from_0.pbtxt"], "ids need to be from 1 up to 10000 to tell the outputs: got 0."),
        (["ssd.tflite", "--label_map=far.pbtxt"], "to tell the outputs: got 2000000000."),
        (["ssd.tflite", "--label_map=twice.pbtxt"], "every class needs a name of its own: got a, A."),
        (["ssd.tflite", "--dataset=coco:absent"], "absent"),
        (["ssd.tflite"], "`ssd.tflite` is not a TFLite file."),
        (["folder.tflite"], "`folder.tflite` cannot be read as a TFLite file of a detector (Is a directory): it is"),
        (["damaged.tflite"], "`damaged.tflite` cannot be read as a TFLite file of a detector (error: unpack_from"),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, message, capfd, folder):
    assert main.main(["import-weights", *arguments]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(folder.glob("*.npz"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "???\nPerson\nCar \n"),
        ("plain.txt", "Person\nCar"),
        ("map.pbtxt", "item { id: 1 name: '/m/1' display_name: 'Person' } item { id: 2 name: 'Car' }"),
    ],
)
def test_class_names_come_from_label_maps(name, text, folder):
    (folder / name).write_text(text)
    assert import_weights._class_names(None, name) == ["Person", "Car"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.pbtxt", "item { id: 1 name: 'Person' } item { id: 4 name: 'Car' }"),
        ("labels.txt", "???\nPerson\n???\n???\nCar\n"),
    ],
)
def test_outputs_without_a_class_get_placeholders(name, text, folder):
    """COCO's ids go up to 90 for 80 classes."""
    (folder / name).write_text(text)
    assert import_weights._class_names(None, name) == ["Person", "unnamed 2", "unnamed 3", "Car"]


def test_the_next_command_sets_what_any_preset_would_change():
    settings = {"model.backbone": "mobilenet_v2", "model.alpha": 1.0, "model.first_stride": 16, "model.head": "ssdlite"}
    settings |= {"input.image_size": 300, "model.background_class": True, "model.extra_depths": (512, 256)}
    trained = pretrained.Weights("x", settings, None, 1e-3, {})
    assert import_weights._flags("my weights.npz", trained) == (
        "--set='model.weights=my weights.npz' --set=model.alpha=1.0 --set=model.first_stride=16"
        " --set=model.head=ssdlite --set=model.extra_depths=512,256"
    )


def test_a_run_with_weights_of_another_network_ends_before_it_begins(capfd, folder):
    settings = {"model.backbone": "mobilenet_v1", "model.alpha": 1.0, "model.head": "ssd", "model.first_stride": 16}
    pretrained.write("w.npz", pretrained.Weights("ssd.tflite", settings, None, 1e-3, {"conv1/kernel": np.zeros(3)}))
    arguments = ["--dataset=road_scenes", "--workdir=runs", "--set=model.weights=w.npz", "--set=model.alpha=0.35"]
    assert main.main(["run", *arguments]) == 2
    error = capfd.readouterr().err
    assert (
        "w.npz is of mobilenet_v1 with alpha 1.0 (ssd.tflite), this network is of mobilenet_v1 with alpha 0.35" in error
    )
    assert len(error.splitlines()) == 1
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("before", ["", "fine_tune_checkpoint: 'another.ckpt' "])  # of two lines the last one counts
def test_an_imported_configuration_names_the_command_that_makes_its_weights(capfd, folder, before):
    from tests import od_api_configs

    train = f"{before}fine_tune_checkpoint: 'my model.ckpt' fine_tune_checkpoint_type: 'detection'"
    (folder / "pipeline.config").write_text(od_api_configs.ssd(train=train))
    (folder / "my model.ckpt.index").touch()
    assert main.main(["import-config", "pipeline.config"]) == 0
    first, second = capfd.readouterr().out.splitlines()[-2:]
    assert first.strip() == "ssd-tuner import-weights 'my model.ckpt' --output=weights.npz"
    assert second.strip().startswith("ssd-tuner run --dataset=DATASET")
    assert json.loads((folder / "config.json").read_text())["model"]["weights"] == "weights.npz"
