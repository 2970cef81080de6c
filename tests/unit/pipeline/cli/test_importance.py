"""`ssd-tuner importance`, as a user types it."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from pipeline import configs
from pipeline.cli import main, parsing, run
from tests import finished_search

RANGES = {
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
    "loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"},
    "model.alpha": {"choices": [0.5]},
}


def by_rate(values, epoch):
    return 0.3 + 0.1 * np.log10(values["optimizer.learning_rate"])


def command(tmp_path, capfd, *arguments):
    status = main.main(["importance", str(tmp_path), *arguments])
    shown = capfd.readouterr()
    return status, " ".join(shown.out.split()), shown.err


def test_table_files_and_a_space_that_run_takes(tmp_path, capfd) -> None:
    finished_search.write(tmp_path, RANGES, by_rate, count=80)
    space = tmp_path / "smaller.yaml"
    status, shown, _ = command(tmp_path, capfd, f"--write_space={space}")
    assert status == 0
    assert "val mAP@.5 of 80 configurations after 4 of 4 epochs" in shown
    assert "Little or no effect is shown for: loss.l2." in shown
    assert "Never varied, so not measured: model.alpha." in shown
    report = json.loads((tmp_path / "report" / "importance.json").read_text())
    assert report["no_effect"] == ["loss.l2"]
    assert report["totals"]["optimizer.learning_rate"][0] > 0.9
    assert (tmp_path / "report" / "importance.png").read_bytes().startswith(b"\x89PNG")

    flag_values = parsing.define(run)
    parsing.parse("run", flag_values, ["--dataset=road_scenes", "--workdir=demo", f"--space={space}"])
    config = configs.RunConfig.from_flags(run.experiment_values(flag_values) | {"workdir": "demo"})
    assert list(config.search.ranges) == ["model.alpha", "optimizer.learning_rate"]
    assert config.experiment.loss.l2 == report["best"]["loss.l2"]


def test_a_forest_that_predicts_nothing_says_so_and_recommends_nothing(tmp_path, capfd) -> None:
    rng = np.random.default_rng(9)  # another seed than that of the values
    finished_search.write(tmp_path, RANGES, lambda values, epoch: rng.uniform(), count=30)
    status, shown, error = command(tmp_path, capfd, f"--write_space={tmp_path / 'smaller.yaml'}")
    assert "The forest predicts too little" in shown
    assert status == 2
    assert "`--write_space`: the forest predicts too little" in error
    assert not (tmp_path / "smaller.yaml").exists()
    assert (tmp_path / "report" / "importance.json").exists()


def test_nothing_is_written_outside_the_run_directory_but_temporary_files(tmp_path) -> None:
    run_directory, home, temporary = (tmp_path / name for name in ("run", "home", "temporary"))
    home.mkdir()
    temporary.mkdir()
    finished_search.write(run_directory, RANGES, by_rate, count=10)
    names = ("MPLCONFIGDIR", "KERAS_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    variables = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "importance", str(run_directory)],
        env=variables | {"HOME": str(home), "TMPDIR": str(temporary)},
        cwd=pathlib.Path(main.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (run_directory / "report" / "importance.png").exists()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_trials_end_with_one_line(tmp_path, capfd, count) -> None:
    folder = finished_search.write(tmp_path, RANGES, by_rate, count=count)
    finished_search.write_trial(folder, 7, {"loss.l2": 1e-4, "tuner/epochs": 4}, {}, status="FAILED")
    status, _, error = command(tmp_path, capfd)
    assert status == 2
    assert f"{'only 1 trial has' if count else 'no trial has'} a score: at least 10 are needed" in error
    assert "Left out: 1 failed." in error
    assert not (tmp_path / "report").exists()


def test_a_folder_is_needed(tmp_path, capfd) -> None:
    assert main.main(["importance"]) == 2
    assert "`importance` needs one run directory: got 0" in capfd.readouterr().err
    assert main.main(["importance", str(tmp_path)]) == 2
    assert "has no search" in capfd.readouterr().err
