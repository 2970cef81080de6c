"""A search that is killed again and again, with real processes; only the training itself is a formula."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
KILLER = """
import os, pathlib, random, signal, sys, time
sys.path[:0] = [{root!r}, {tests!r}]
import tuning
from tuner_fn.supervisor import TrainingProcess

def search(folder, strategy, settings):
    process = TrainingProcess(folder / "worker.log", training="fake_training")
    tuning.make(folder, process, strategy, max_trials=None, **settings).search(["train"], ["val"], verbose=0)

def start(folder, strategy, settings):
    child = os.fork()
    if not child:
        search(folder, strategy, settings)
        os._exit(0)
    return child

def kill_often(root, most_kills, strategy, **settings):
    assert os.waitpid(start(root / "whole", strategy, settings), 0)[1] == 0
    draw, kills = random.Random(0), 0
    while True:
        child = start(root / "cut", strategy, settings)
        if kills == most_kills:
            assert os.waitpid(child, 0)[1] == 0
            break
        time.sleep(draw.uniform(0.1, 0.7))
        if kills % 2:  # its worker first: the search continues with another one
            workers = pathlib.Path(f"/proc/{{child}}/task/{{child}}/children").read_text().split()
            for worker in workers:
                os.kill(int(worker), signal.SIGKILL)
            time.sleep(draw.uniform(0.1, 0.7))
        os.kill(child, signal.SIGKILL)
        kills += os.waitpid(child, 0)[1] == signal.SIGKILL
    print(kills)

root = pathlib.Path(sys.argv[1])
heirs = {{"inherit": True, "max_disk_bytes": 200, "second_objective": "latency"}}
trials = {{"max_epochs_total": 50, "max_epochs": 3, "early_stopping": 0.2}}
kill_often(root / "freeze_thaw", {freeze_thaw}, "freeze_thaw", max_epochs_total=60, max_epochs=8, repeats=2, **heirs)
kill_often(root / "early_stopping", {early_stopping}, "random", repeats=2, **trials)
"""


@pytest.mark.parametrize(
    ("kills", "epoch_s"),
    [
        pytest.param({"freeze_thaw": 6, "early_stopping": 2}, 0.05, id="8 kills"),
        pytest.param({"freeze_thaw": 20, "early_stopping": 5}, 0.1, id="25 kills", marks=pytest.mark.slow),
    ],
)
def test_a_search_killed_at_random_moments_ends_as_one_that_was_not(kills, epoch_s, tmp_path) -> None:
    """kill -9 of the search, every other time after its worker: trials, order and scores are the same.

    Weights are inherited within a disk limit: what is kept, and who inherits from whom, is the same, too. So is the
    comparison of the best with the start. The second search stops trials early.
    """
    paths = {"root": str(ROOT), "tests": str(ROOT / "tests")}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FAKE_EPOCH_S": str(epoch_s)}
    command = [sys.executable, "-c", KILLER.format(**paths, **kills), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    counts = [line for line in done.stdout.splitlines() if line.isdigit()]
    assert (done.returncode, counts) == (0, list(map(str, kills.values()))), done.stderr[-3000:]
    # Search, further seeds, and at most one lost for each kill.
    for name, most_epochs in (("freeze_thaw", 60 + 16), ("early_stopping", 50 + 6)):
        whole, cut = (read_rows(tmp_path / name / part) for part in ("whole", "cut"))
        assert len(whole) > 10
        assert cut == whole
        assert any(row["inherited"] for row in whole) == (name == "freeze_thaw")
        log = (tmp_path / name / "cut" / "worker.log").read_text()
        assert log.count("epoch trained") <= most_epochs + 2 * kills[name]
        assert [row["trial"] for row in whole if row["seeds"]]
    stopped = [row for row in whole if row["status"] == "completed" and row["reason"]]
    assert len(stopped) > 3


def read_rows(folder: pathlib.Path) -> list[dict]:
    names = ("trial", "score", "epochs", "parent", "inherited", "status", "reason", "mean", "seeds", "confidence")
    rows = json.loads((folder / "search" / "leaderboard.json").read_text())
    assert len({row["latency_ms"] for row in rows if row["rank"]}) == 1  # a clock's reading: it was read once
    return [{name: row[name] for name in names} for row in rows]
