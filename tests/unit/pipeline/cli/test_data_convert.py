import json

import pytest

from data import convert, example_rules
from data.sources import annotated, base, coco
from pipeline.cli import data_check, data_convert, main, parsing
from tests import coco_folder


def run(arguments):
    """Runs the subcommand as the dispatcher of `ssd-tuner data` does."""
    flag_values = parsing.define(data_convert)
    return data_convert.main(parsing.parse("data convert", flag_values, arguments), flag_values)


@pytest.fixture
def folder(tmp_path):
    rows = [coco_folder.annotation(0), coco_folder.annotation(1, [1, 2, 3, 4], 2, iscrowd=1, id=7)]
    coco_folder.write(tmp_path / "in", train=coco_folder.table(3, rows), val=coco_folder.table(2))
    (tmp_path / "in" / "train" / "2.jpg").write_bytes(b"")
    return tmp_path / "in"


def test_a_dataset_is_written_and_what_was_lost_is_told(tmp_path, folder, capfd):
    output = tmp_path / "out"
    assert (
        run([f"--dataset=coco:{folder}", "--format=yolo", f"--output={output}"]) == data_check.STATUS_PROBLEMS
    )  # an image is left out
    shown = capfd.readouterr().out
    assert "Lost, because yolo cannot represent it: regions to ignore, which become background (1)" in shown
    assert f"Left out: train: {folder}/train/2.jpg: empty file (0 bytes)" in shown
    assert f"Written to {output}" in shown
    assert "has no test: in `ssd-tuner run` 1 of its 3 train images become test" in shown
    row = next(line for line in shown.splitlines() if line.split()[:1] == ["train"])
    assert [word for word in row.split() if word.isalnum()] == ["train", "2", "1", "1", "1"]
    assert json.loads((output / convert.SUMMARY_NAME).read_text())["num_images"] == {"train": 2, "val": 2}


def test_what_was_mended_and_sizes_that_differ_are_told(tmp_path, folder, capfd):
    clipped = [coco_folder.WIDTH - 4.5, 0, 5, 5]
    table = coco_folder.table(2, [coco_folder.annotation(0), coco_folder.annotation(1, clipped, id=2)])
    table["images"][0]["width"] *= 2
    coco_folder.write(tmp_path / "other", train=table)
    output = tmp_path / "out"
    assert run([f"--dataset=coco:{tmp_path}/other", "--format=voc", f"--output={output}"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert f"Noticed 1 time: {annotated.OTHER_SIZE}." in shown
    assert f"Mended 1 time: {example_rules.CLIPPED}." in shown
    mended = json.loads((output / convert.SUMMARY_NAME).read_text())["mended"]
    assert mended == {annotated.OTHER_SIZE: 1, example_rules.CLIPPED: 1}


def test_the_options_of_all_datasets_apply(tmp_path, folder):
    output = tmp_path / "out"
    arguments = [f"--dataset=coco:{folder}", "--classes=human=person", "--limit=1", "--format=coco"]
    assert run([*arguments, f"--output={output}"]) == 0
    copy = coco.CocoSource.open("coco", str(output), base.ReadOptions())
    assert copy.class_names == ("human",)
    assert [len(copy.items(split)) for split in copy.splits] == [1, 1]


def test_mistakes_are_named_before_anything_is_read(tmp_path, folder):
    known = ["--dataset=coco:nowhere", "--format=yolo"]
    with pytest.raises(ValueError, match="is not empty: it holds"):
        run([*known, f"--output={folder}"])
    with pytest.raises(ValueError, match="`--format=yola` is unknown. Did you mean `yolo`?"):
        run(["--dataset=coco:nowhere", "--format=yola", f"--output={tmp_path}/out"])
    with pytest.raises(ValueError, match="`data convert` needs `--format` and `--output`"):
        run(["--dataset=coco:nowhere"])
    assert not (tmp_path / "out").exists()


def test_the_command_is_part_of_the_program(tmp_path, folder, capfd):
    arguments = [f"--dataset=coco:{folder}", "--format=voc", f"--output={tmp_path}/out"]
    assert main.main(["data", "convert", *arguments]) == data_check.STATUS_PROBLEMS
    assert (tmp_path / "out" / "ImageSets" / "Main" / "val.txt").read_text() == "0-2\n1-2\n"
    assert main.main(["data", "convert", *arguments]) == 2
    assert "is not empty" in capfd.readouterr().err
