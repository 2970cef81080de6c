"""A run directory is made, recognised and locked, and a mistaken one is refused in one line."""

import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from data.errors import UserError
from pipeline import configs, workdir
from pipeline.cli import parsing, run
from tests import coco_folder

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_it_is_made_with_its_parents_and_can_be_opened_again(tmp_path):
    path = tmp_path / "runs" / "demo"
    for _ in range(2):
        with workdir.open_workdir(path) as folder:
            assert folder.root == path
            assert folder.log == path / "logs" / "run.log"
            folder.metadata.touch()


def test_a_second_run_in_the_same_process_is_refused(tmp_path):
    with (
        workdir.open_workdir(tmp_path / "demo"),
        pytest.raises(UserError, match=rf"in use by process {os.getpid()} on .* since 20\d\d-"),
        workdir.open_workdir(tmp_path / "demo"),
    ):
        pass


def test_the_lock_of_another_process_holds_until_it_is_killed(tmp_path):
    code = (
        "import sys, time\nfrom pipeline import workdir\n"
        f"with workdir.open_workdir({str(tmp_path / 'demo')!r}):\n"
        "    print('locked', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "locked\n"
        with (
            pytest.raises(UserError, match=f"process {owner.pid} "),
            workdir.open_workdir(tmp_path / "demo"),
        ):
            pass
        owner.send_signal(signal.SIGKILL)
    time.sleep(0.1)
    with workdir.open_workdir(tmp_path / "demo"):
        pass


def test_a_file_is_refused(tmp_path):
    (tmp_path / "demo").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"), workdir.open_workdir(tmp_path / "demo"):
        pass


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot be written"),
        workdir.open_workdir(tmp_path / "file" / "demo"),
    ):
        pass


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (tmp_path / name).write_text("")
    with (
        pytest.raises(UserError, match=r"holds other files \(a.txt, b.txt, c.txt, \.\.\.\)"),
        workdir.open_workdir(tmp_path),
    ):
        pass
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt", "c.txt", "d.txt"]


def test_a_copied_run_without_its_lock_file_is_recognised(tmp_path):
    (tmp_path / "metadata.db").touch()
    (tmp_path / "search").mkdir()
    with workdir.open_workdir(tmp_path) as folder:
        assert folder.search("").is_dir()


def test_hidden_files_alone_count_as_empty(tmp_path):
    (tmp_path / ".gitkeep").touch()
    with workdir.open_workdir(tmp_path):
        pass


def test_a_users_mistake_leaves_no_new_folder(tmp_path):
    with pytest.raises(UserError, match="unknown"), workdir.open_workdir(tmp_path / "demo") as folder:
        folder.log.parent.mkdir()
        folder.log.touch()
        raise UserError("unknown dataset")
    assert not (tmp_path / "demo").exists()


def test_a_users_mistake_keeps_results(tmp_path):
    with pytest.raises(UserError), workdir.open_workdir(tmp_path / "demo") as folder:
        folder.report.mkdir()
        raise UserError("more than 5 % are bad")
    assert (tmp_path / "demo" / "report").is_dir()


def test_too_little_space_is_told_with_numbers(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=500_000_000)
    monkeypatch.setattr(workdir.shutil, "disk_usage", lambda folder: usage)
    with (
        pytest.raises(UserError, match="has 0.5 GB left, and a run needs 2 GB"),
        workdir.open_workdir(tmp_path / "demo", min_free_gb=2.0),
    ):
        pass
    assert not (tmp_path / "demo").exists()


def test_a_full_disk_stays_a_full_disk(tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(pathlib.Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left"), workdir.open_workdir(tmp_path / "demo"):
        pass


def test_a_clock_that_was_set_back_is_found_before_a_newer_model_counts_as_older(tmp_path, monkeypatch):
    with workdir.open_workdir(tmp_path / "run") as folder:
        (folder.serving_model / "1795936681").mkdir(parents=True)
    monkeypatch.setattr(time, "time", lambda: 1795936000.4)
    with pytest.raises(UserError, match="holds version 1795936681, but by the clock it is 1795936000 s since"):
        workdir.open_workdir(tmp_path / "run").__enter__()
    monkeypatch.setattr(time, "time", lambda: 1795936682.0)
    with workdir.open_workdir(tmp_path / "run"):
        pass


def claim(root: pathlib.Path, *arguments: str) -> None:
    """Claims a run directory as `ssd-tuner run` does."""
    flag_values = parsing.define(run)
    parsing.parse("run", flag_values, [*arguments, f"--workdir={root}"])
    workdir.claim(configs.RunConfig.from_flags({**run.experiment_values(flag_values), "workdir": str(root)}))


@pytest.fixture
def two_streets(tmp_path, monkeypatch):
    """Returns two folders, each with a dataset `street` of its own, and a run directory; the first is the current."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        coco_folder.write(folder / "street", train=coco_folder.table(1))
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(here)
    return here, there, tmp_path / "run"


@pytest.mark.parametrize("flags", [("--dataset={}",), ("--dataset=road_scenes", "--test_dataset={}")])
def test_a_run_directory_knows_its_dataset_from_every_folder(flags, two_streets, monkeypatch):
    here, there, root = two_streets
    claim(root, *[flag.format("coco:street") for flag in flags])
    monkeypatch.chdir(there)
    for spec in (here / "street", f"coco:{here}/street/"):
        claim(root, *[flag.format(spec) for flag in flags])
    with pytest.raises(UserError, match=f"belongs to .*coco:{here}/street; this run has .*coco:{there}/street"):
        claim(root, *[flag.format("coco:street") for flag in flags])


def test_a_run_directory_of_an_older_version_holds_what_was_typed(two_streets):
    here, there, root = two_streets
    (root / "dataset.json").write_text(json.dumps({"dataset": "coco:street"}))
    claim(root, f"--dataset={here}/street")
    with pytest.raises(UserError, match="Choose another --workdir"):
        claim(root, f"--dataset={there}/street")
