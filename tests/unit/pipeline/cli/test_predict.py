"""`ssd-tuner predict`, as a user types it."""

import json
import pathlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from benchmarks import evaluation
from pipeline.cli import main as command_line
from tests import tiny_detector

CLASS_NAMES = ["person", "bicycle", "car"]


@pytest.fixture(autouse=True)
def _start_up_environment(monkeypatch):
    """Undoes what importing TFX in an earlier test did: tensorflow_transform switches legacy Keras on."""
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)


@pytest.fixture(scope="module")
def results():
    return evaluation.random_results(6, num_images=3, detections=4, height=40, width=60)


@pytest.fixture(scope="module")
def model_dir(results, tmp_path_factory):
    return tiny_detector.export(tmp_path_factory.mktemp("models") / "1", results, CLASS_NAMES)


@pytest.fixture
def images(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, encoded in zip(("a.png", "b.png", "c.png"), tiny_detector.images_of(results), strict=True):
        (tmp_path / name).write_bytes(encoded)
    return ["a.png", "b.png", "c.png"]


def test_every_detection_is_in_the_json_and_every_image_has_a_picture(results, model_dir, images, tmp_path, capfd):
    status = command_line.main(["predict", f"--model={model_dir}", "--output=out", "--min_score=0.4", *images])
    printed = capfd.readouterr().out
    assert status == 0, printed
    table = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [image["file_name"] for image in table["images"]] == images
    expected = [
        (number, CLASS_NAMES[label], round(float(score), 6))
        for number, result in enumerate(results, start=1)
        for label, score in zip(result.det_classes, result.det_scores, strict=True)
        if score >= np.float32(0.4)
    ]
    found = [(a["image_id"], a["category_name"], a["score"]) for a in table["annotations"]]
    assert found == expected
    assert expected
    for name in ("a", "b", "c"):
        assert Image.open(tmp_path / "out" / f"{name}.detections.png").size == (600, 400)
    (line,) = [line for line in printed.splitlines() if line.lstrip().startswith("a.png ")]
    for name in CLASS_NAMES:
        count = sum(number == 1 and found_name == name for number, found_name, _ in expected)
        assert (f"{count} {name}" in line) == (count > 0)


def test_a_file_that_exif_turns_is_taken_as_a_viewer_shows_it(model_dir, images, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 5
    Image.open(images[0]).save(images[0], exif=exif)
    assert command_line.main(["predict", f"--model={model_dir}", "--output=out", images[0]]) == 0
    (stated,) = json.loads((tmp_path / "out" / "detections.json").read_text())["images"]
    assert (stated["height"], stated["width"]) == (60, 40)
    assert Image.open(tmp_path / "out" / "a.detections.png").size == (400, 600)


def test_files_that_are_no_images_are_named_and_the_others_are_done(model_dir, images, tmp_path, capfd):
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    arguments = ["notes.txt", "a.png", "empty.jpg", "absent.png", "cut.png"]
    status = command_line.main(["predict", f"--model={model_dir}", "--output=out", *arguments])
    captured = capfd.readouterr()
    assert status == 2
    for name, reason in (
        ("notes.txt", "not an image"),
        ("empty.jpg", "empty file"),
        ("absent.png", "does not exist"),
        ("cut.png", "does not decode"),
    ):
        (line,) = [line for line in captured.out.splitlines() if line.startswith(f"Skipped {name}: ")]
        assert reason in line
    assert "4 of 5 files could not be used; the others are done. First: notes.txt: not an image" in captured.err
    assert len(captured.err.splitlines()) == 1
    assert (tmp_path / "out" / "a.detections.png").exists()
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == 1


def test_originals_and_pictures_of_the_same_name_are_not_overwritten(model_dir, images, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").write_bytes((tmp_path / "b.png").read_bytes())
    before = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a-2.png").write_bytes(before)
    arguments = ["predict", f"--model={model_dir}", "--output=.", "a.png", "other/a.png", "a-2.png"]
    assert command_line.main(arguments) == 0
    assert (tmp_path / "a.png").read_bytes() == before
    found = sorted(path.name for path in tmp_path.glob("*.detections.png"))
    assert found == ["a-2-2.detections.png", "a-2.detections.png", "a.detections.png"]


@pytest.mark.parametrize("given", [["."], ["*.png"], ["?.png"], ["a.png", "[bc].png"]])
def test_a_folder_or_a_pattern_stands_for_its_images(model_dir, images, tmp_path, given):
    """Pictures of an earlier call are none of them; the newest of several versions detects."""
    for _ in range(2):
        folder = str(pathlib.Path(model_dir).parent)
        assert command_line.main(["predict", f"--model={folder}", "--output=.", *given]) == 0
        table = json.loads((tmp_path / "detections.json").read_text())
        assert [image["file_name"] for image in table["images"]] == images


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=MODEL"], "needs at least one image"),
        (["--model=absent", "a.png"], "`--model=absent` does not exist. Give a run directory"),
        (["--model=.", "a.png"], "`--model=.` holds no model"),
        (["--model=MODEL", "empty"], "`empty` holds no image"),
        (["--model=MODEL", "*.gif"], "`*.gif` matches no image"),
        (["--model=MODEL", "--output=a.png", "b.png"], "a.png` is a file. Name another folder"),
        (["a.png"], "--model"),
        (["--model=MODEL", "--min_score=2", "a.png"], "min_score"),
    ],
)
def test_mistakes_are_one_line_and_status_2(model_dir, images, capfd, arguments, message):
    pathlib.Path("empty").mkdir()
    arguments = [argument.replace("MODEL", model_dir) for argument in arguments]
    assert command_line.main(["predict", *arguments]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
