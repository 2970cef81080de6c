"""Whole commands that study settings, killed again and again: what has ended stays, and the result is the same.

The processes are real. In the quick test the trainings are a formula, in the slow one they are trainings.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DATA = ("--dataset=road_scenes:train=8,val=4,test=4", "--plan=off", "--preset=quick")
SMALL = ("--set=input.image_size=64", "--set=input.batch_size=4", "--set=model.num_levels=2", "--set=model.alpha=0.35")
KILLER = """
import os, pathlib, signal, sys, time
import numpy as np
import tensorflow  # once, not in each of the children
from pipeline.cli import ablate, lr_range, main
from tuner_fn import supervisor
from tuner_fn.studies import ablation_logs, ablation_plots, lr_range as study, lr_range_report

def formula(config, train_files, class_names, *, low, high, steps, on_step):
    print(f"sweep {config.training.seed}", flush=True)
    found = [*np.linspace(9.0, 1.0 + config.training.seed, steps)]
    for step, loss in enumerate(found, start=1):
        on_step(step, float(loss))
        time.sleep(0.02)
    return [float(loss) for loss in found]

def start(workdir, arguments, is_formula):
    child = os.fork()
    if not child:
        if is_formula:
            supervisor.TrainingProcess.__init__.__kwdefaults__["training"] = "fake_training"
            study.run.__defaults__ = (formula,)
        os._exit(main.main([*arguments, f"--workdir={workdir}"]))
    return child

def state(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}

def kill_when(child, folder, ended, is_begun):
    while len(state(folder)) < ended or not is_begun(folder):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    return state(folder)

def try_command(root, arguments, parts, kills, is_begun, is_formula):
    assert os.waitpid(start(root / "whole", arguments, is_formula), 0)[1] == 0
    folder, kept = root / "cut" / "studies" / parts, {}
    for ended in kills:
        found = kill_when(start(root / "cut", arguments, is_formula), folder, ended, is_begun)
        assert kept.items() <= found.items(), "a training that had ended was done again"
        kept = found
    assert os.waitpid(start(root / "cut", arguments, is_formula), 0)[1] == 0
    assert kept and kept.items() < state(folder).items()
    print("killed", len(kills), flush=True)  # a child would print again what it finds in the buffer

root, is_formula, arguments = pathlib.Path(sys.argv[1]), sys.argv[2] == "formula", sys.argv[3:]
has_state = lambda folder: any(folder.glob("*.npz"))
changes = ["ablate", *arguments, f"--space={root / 'space.yaml'}", "--repeats=2", "--epochs=2"]
try_command(root / "ablate", changes, "ablation/trainings", (1, 3), has_state, is_formula)
sweeps = ["lr-range", *arguments, "--repeats=3", "--steps=40", "--min_rate=1e-5"]
try_command(root / "lr_range", sweeps, "lr_range/sweeps", (1, 2), lambda folder: True, is_formula)
"""


@pytest.mark.parametrize("training", ["formula", pytest.param("real", marks=pytest.mark.slow)])
def test_a_study_killed_twice_ends_as_one_that_was_not_and_does_nothing_twice(training, tmp_path) -> None:
    """kill -9 of the command, in the middle of a training or sweep: the files and the numbers are the same."""
    (tmp_path / "space.yaml").write_text("optimizer.learning_rate: [0.002, 0.004]\n")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "FAKE_EPOCH_S": "0.2"}
    environment |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    command = [sys.executable, "-c", KILLER, str(tmp_path), training, *DATA, *SMALL]
    command += ["--set=optimizer.learning_rate=0.001"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600, check=False)
    assert (done.returncode, done.stdout.count("killed 2")) == (0, 2), done.stdout[-2000:] + done.stderr[-3000:]
    for name in ("ablation/ablation.json", "ablation/ablation.csv", "lr_range/lr_range.json", "lr_range/lr_range.csv"):
        command = "ablate" if name.startswith("ablation") else "lr_range"
        whole, cut = ((tmp_path / command / part / "studies" / name).read_text() for part in ("whole", "cut"))
        assert cut == whole
    rows = json.loads((tmp_path / "ablate" / "cut" / "studies" / "ablation" / "ablation.json").read_text())["variants"]
    assert [len(row["scores"]) for row in rows] == [2, 2, 2]
    assert all(len(losses) == 2 for row in rows for losses in row["losses"].values())
    if training == "formula":
        log = (tmp_path / "ablate" / "cut" / "studies" / "ablation" / "worker.log").read_text()
        assert log.count("epoch trained") <= 6 * 2 + 2  # an epoch lost for each kill
        assert log.count("training from epoch 0") <= 6 + 2
