"""`ssd-tuner data check`, as a user types it."""

import json

import pytest
from PIL import ExifTags, Image

from pipeline.cli import data_check
from pipeline.cli import main as command_line
from tests import coco_folder


@pytest.fixture
def root(tmp_path):
    """A sound dataset of eight images, all different."""
    tables = {"train": coco_folder.table(4), "val": coco_folder.table(2), "test": coco_folder.table(2)}
    for number, (split, table) in enumerate(tables.items()):
        table["annotations"] += [coco_folder.annotation(0, [30, 8, 9, 25], 2)]
        coco_folder.write(tmp_path, **{split: table})
        for image in table["images"]:
            (tmp_path / split / image["file_name"]).write_bytes(coco_folder.image_bytes(10 * number + image["id"]))
            (tmp_path / split / image["file_name"]).rename(tmp_path / split / f"{split}{image['id']}a.jpg")
            image["file_name"] = f"{split}{image['id']}a.jpg"
        (tmp_path / f"{split}.json").write_text(json.dumps(table))
    return tmp_path


def run(capfd, *arguments):
    status = command_line.main(["data", "check", *map(str, arguments)])
    captured = capfd.readouterr()
    return status, captured.out, captured.err


def test_a_sound_dataset_gives_status_0(root, capfd):
    status, out, _ = run(capfd, f"--dataset={root}")
    assert status == 0
    assert "Recognised" in out
    assert out.splitlines()[-1] == "All 8 images can be used."
    assert "Found" not in out


def test_what_a_run_would_take_out_of_train_is_said_and_the_data_shown_as_they_are(root, capfd):
    for split in ("val", "test"):
        (root / f"{split}.json").unlink()
    status, out, _ = run(capfd, f"--dataset=coco:{root}")
    assert status == 0
    assert "has no val and no test: in `ssd-tuner run` 1 of its 4 train images become val and 1 test (seed 0;" in out
    assert "split missing" in out
    assert out.splitlines()[-1] == "All 4 images can be used; see the warnings."


def test_what_a_run_refuses_is_not_called_usable(root, capfd):
    """Too few images to divide, or all objects in one of them."""
    for split in ("val", "test"):
        (root / f"{split}.json").unlink()
    status, out, _ = run(capfd, f"--dataset=coco:{root}", "--limit=2", "--group_by=(train)")
    assert status == 3
    assert "dataset that a run refuses" in out
    assert "To be divided, train needs 3 usable images in as many groups" in " ".join(out.split())
    assert out.splitlines()[-1] == "`ssd-tuner run` stops at this dataset; see above."
    table = json.loads((root / "train.json").read_text())
    table["annotations"] = [one for one in table["annotations"] if one["image_id"] == 0]
    (root / "train.json").write_text(json.dumps(table))
    status, out, _ = run(capfd, f"--dataset=coco:{root}")
    assert status == 3
    assert "split without an object" in out


def test_one_bad_image_of_a_small_split_is_left_out(root, capfd):
    (root / "train" / "train1a.jpg").write_bytes(b"")
    status, out, _ = run(capfd, f"--dataset=coco:{root}")
    assert status == 3
    assert out.splitlines()[-1] == "1 of 8 images cannot be used; `ssd-tuner run` leaves them out."


def test_a_split_whose_only_image_is_bad_is_not_called_left_out(root, capfd):
    table = json.loads((root / "val.json").read_text())
    del table["images"][1]
    table["annotations"] = [coco_folder.annotation(0, [30, 8, -9, 25])]  # inverted
    (root / "val.json").write_text(json.dumps(table))
    (root / "val" / "val1a.jpg").unlink()
    status, out, _ = run(capfd, f"--dataset=coco:{root}")
    assert status == 3
    assert "split without a usable image" in out
    assert out.splitlines()[-1] == "1 of 7 images cannot be used, and `ssd-tuner run` stops at this dataset; see above."


def test_an_image_that_leaves_a_question_is_not_called_left_out(root, capfd):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    path = root / "train" / "train1a.jpg"
    Image.open(path).save(path, exif=exif)
    status, out, _ = run(capfd, f"--dataset=coco:{root}")
    assert status == 3
    assert "EXIF orientation in doubt" in out
    assert out.splitlines()[-1] == "1 of 8 images cannot be used, and `ssd-tuner run` stops at this dataset; see above."


def test_what_is_mended_or_noted_still_gives_status_0(root, capfd):
    table = json.loads((root / "val.json").read_text())
    table["annotations"].append(table["annotations"][0])
    (root / "val.json").write_text(json.dumps(table))
    (root / "val" / "other.jpg").write_bytes(coco_folder.image_bytes(9))
    status, out, _ = run(capfd, f"--dataset=coco:{root}")
    assert status == 0
    assert "duplicate box removed" in out
    assert "other.jpg: no annotation names it" in out
    assert out.splitlines()[-1] == "All 8 images can be used; see the warnings."


def test_what_is_left_out_gives_its_own_status_and_the_report_names_all(root, tmp_path, capfd):
    for number in range(4):
        (root / "train" / f"train{number}a.jpg").write_bytes(b"")
    report = tmp_path / "reports" / "problems.json"
    status, out, _ = run(capfd, f"--dataset=coco:{root}", f"--report={report}")
    assert status == data_check.STATUS_PROBLEMS == 3
    assert "empty image file" in out
    assert "train2a.jpg" in out
    assert "train3a.jpg" not in out
    assert "4 of 8 images cannot be used, more than 5% of train: `ssd-tuner run` stops there." in out
    assert str(report) in out.splitlines()[-1]
    found = json.loads(report.read_text())
    empty = next(row for row in found["findings"] if row["kind"] == "empty_image")
    assert empty["count"] == len(empty["examples"]) == 4
    assert empty["examples"][3]["file"] == str(root / "train" / "train3a.jpg")
    assert found["splits"]["train"] == {
        "num_images": 4,
        "num_good": 0,
        "num_boxes": {"car": 0, "person": 0},
        "num_ignored": 0,
    }
    assert found["is_usable"] is False


def test_malformed_json_is_one_line_with_its_position(root, capfd):
    (root / "val.json").write_text('{"images": [\n  {"id": 1,')
    status, _, err = run(capfd, f"--dataset=coco:{root}")
    assert status == 2
    assert "val.json: malformed JSON at line 2, column" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["somewhere"], "`data check` takes flags only: got `somewhere`. Did you mean `--dataset=somewhere`?"),
        (["--report=."], "`--report=.` is a folder. Name a file, as NAME."),
        (["--limt=3"], "limit"),
    ],
)
def test_mistakes_are_one_line(root, capfd, arguments, words):
    status, _, err = run(capfd, f"--dataset=coco:{root}", *arguments)
    assert status == 2
    assert words in err
    assert len(err.splitlines()) == 1


def test_options_count(root, capfd):
    status, out, _ = run(capfd, f"--dataset=coco:{root}", "--limit=1", "--classes=car")
    assert status == 0
    assert out.splitlines()[-1] == "All 3 images can be used."


def test_help_has_an_example(capfd):
    status, out, _ = run(capfd, "--help")
    assert status == 0
    assert data_check.EXAMPLE in out
