"""`ssd-tuner data stats` and `ssd-tuner data show`, as a user types them."""

import json

import pytest
from PIL import Image

from models.hyperparameters import ExperimentConfig
from pipeline import configs
from pipeline.cli import main as command_line

SCENES = "road_scenes:train=40,val=12,test=8,size=96x96"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _stats(*flags):
    return command_line.main(["data", "stats", *flags])


def _show(*flags):
    return command_line.main(["data", "show", *flags])


def test_numbers_charts_and_tables_agree(tmp_path, capfd):
    assert _stats(f"--dataset={SCENES}", "--output=out", "--set=input.image_size=96") == 0
    printed = capfd.readouterr().out
    report = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert {split: values["images"] for split, values in report["splits"].items()} == {
        "train": 40,
        "val": 12,
        "test": 8,
    }
    assert Image.open(tmp_path / "out" / "stats.png").format == "PNG"
    train = report["splits"]["train"]
    assert sum(row["objects"] for row in train["by_class"].values()) == train["objects"] > 40
    (line,) = [
        line for line in printed.splitlines() if line.split()[:2] == ["train", "all"] and len(line.split()) == 10
    ]
    assert line.split()[2] == str(train["objects"])
    assert "Written to out/stats.json and out/stats.png" in printed


def test_anchors_are_measured_on_train_and_val_only_and_proposed_as_settings(tmp_path, capfd):
    assert _stats(f"--dataset={SCENES}", "--set=input.image_size=96", "--set=anchors.max_scale=1.0") == 0
    printed = capfd.readouterr().out
    report = json.loads((tmp_path / "dataset_stats" / "stats.json").read_text())
    assert (report["preset"], report["anchors"]["image_size_px"], report["anchors"]["iou"]) == ("quick", [96, 96], 0.5)
    found = report["anchors"]["anchors"]
    for each in found.values():
        assert list(each["recall"]) == ["train", "val"]
    before, after = (found[name]["recall"]["train"]["all"]["recall"] for name in ("configured", "proposed"))
    assert before + 0.05 < after
    written = " ".join(f"--set={text}" for text in found["proposed"]["settings"])
    assert written in printed
    changed = ExperimentConfig().replace(configs.parse_overrides(found["proposed"]["settings"]))
    assert len(changed.anchors.scales) == 6


def test_the_same_seed_gives_the_same_report(tmp_path):
    for folder in ("one", "two"):
        assert _stats(f"--dataset={SCENES}", f"--output={folder}", "--seed=3") == 0
    one, two = ((tmp_path / folder / "stats.json").read_bytes() for folder in ("one", "two"))
    assert one == two


def test_tiles_and_data_options_are_those_of_training(tmp_path):
    assert _stats(f"--dataset={SCENES}", "--set=input.tile=2x1", "--classes=car", "--limit=5") == 0
    report = json.loads((tmp_path / "dataset_stats" / "stats.json").read_text())
    assert report["class_names"] == ["car"]
    assert {split: values["images"] for split, values in report["splits"].items()} == {
        "train": 10,
        "val": 10,
        "test": 5,
    }


def test_a_bad_image_is_left_out_and_listed(tmp_path, capfd):
    from tests import coco_folder

    tables = {"train": coco_folder.table(4), "val": coco_folder.table(2), "test": coco_folder.table(2)}
    folder = coco_folder.write(tmp_path / "data", **tables)
    (folder / "train" / "2.jpg").write_bytes(b"")
    assert _stats(f"--dataset=coco:{folder}", "--preset=cpu") == 0
    report = json.loads((tmp_path / "dataset_stats" / "stats.json").read_text())
    assert report["splits"]["train"]["images"] == 3
    (row,) = report["left_out"]
    assert row["file"].endswith("2.jpg")
    assert f"Left out: {row['file']}: empty file" in capfd.readouterr().out
    for name in ("0", "1", "3"):
        (folder / "train" / f"{name}.jpg").write_bytes(b"")
    for name in ("0", "1"):
        (folder / "val" / f"{name}.jpg").write_bytes(b"")
        (folder / "test" / f"{name}.jpg").write_bytes(b"")
    assert _stats(f"--dataset=coco:{folder}", "--preset=cpu") == 2
    assert "has no readable image. First:" in capfd.readouterr().err


def test_statistics_are_those_of_the_splits_that_a_run_takes(tmp_path, capfd):
    from tests import coco_folder

    folder = coco_folder.write(tmp_path / "data", train=coco_folder.table(12))
    assert _stats(f"--dataset=coco:{folder}", "--preset=cpu") == 0
    report = json.loads((tmp_path / "dataset_stats" / "stats.json").read_text())
    assert {split: found["images"] for split, found in report["splits"].items()} == {"train": 6, "val": 3, "test": 3}
    assert "has no val and no test: 3 of its 12 train images become val and 3 test (seed 0;" in capfd.readouterr().out


def test_a_sheet_is_drawn_and_seeded(tmp_path, capfd):
    for output, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        assert _show(f"--dataset={SCENES}", "--split=val", "--count=6", f"--seed={seed}", f"--output={output}") == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert a == b != c
    image = Image.open(tmp_path / "a.png")
    assert image.width == pytest.approx(4 * 388, abs=40)
    assert f"6 images of the split val drawn to a.png ({image.width}x{image.height} px)" in capfd.readouterr().out


def test_augmented_images_are_drawn_beside_the_stored_one(tmp_path, capfd):
    flags = ("--count=2", "--augment", "--set=augment.mosaic_probability=1", "--output=augmented.png")
    assert _show(f"--dataset={SCENES}", *flags) == 0
    image = Image.open(tmp_path / "augmented.png")
    assert image.width == pytest.approx(5 * 388, abs=40)
    assert image.height > 2 * 380
    assert "2 images of the split train" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("stats", [], "`data stats` needs `--dataset`"),
        ("stats", ["--dataset=road_scene"], "Did you mean `road_scenes`?"),
        ("stats", [f"--dataset={SCENES}", "--set=anchors.scales=0.1,0.2"], "needs 6 ascending numbers"),
        ("stats", [f"--dataset={SCENES}", "more"], "`data stats` takes flags only: got `more`"),
        ("show", [f"--dataset={SCENES}", "--output=sheet.jpg"], "needs a file name that ends in .png: got `sheet.jpg`"),
        ("show", [f"--dataset={SCENES}", "--split=tests"], "Did you mean `test`?"),
        ("show", [f"--dataset={SCENES}", "--count=0"], "count"),
        ("show", [f"--dataset={SCENES}", "--splits=0.9,0.1,0", "--split=test"], "has no split test"),
    ],
)
def test_mistakes_are_one_line_and_status_2(capfd, command, flags, message):
    assert command_line.main(["data", command, *flags]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
