"""A search that is killed again and again, with real processes; only the training itself is a formula."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
KILLER = """
import os, pathlib, random, signal, sys, time
sys.path[:0] = [{root!r}, {tests!r}, {here!r}]
import test_trial_runner as tests
from tuner_fn.supervisor import TrainingProcess

def search(folder):
    process = TrainingProcess(folder / "worker.log", training="fake_training")
    budget = {{"max_trials": None, "max_epochs_total": 60, "max_epochs": 8, "second_objective": "latency"}}
    heirs = {{"inherit": True, "max_disk_bytes": 200}}
    tests.make(folder, process, "freeze_thaw", **budget, **heirs).search(["train"], ["val"], verbose=0)

def start(folder):
    child = os.fork()
    if not child:
        search(folder)
        os._exit(0)
    return child

root = pathlib.Path(sys.argv[1])
assert os.waitpid(start(root / "whole"), 0)[1] == 0
draw, kills = random.Random(0), 0
while True:
    child = start(root / "cut")
    if kills == 20:
        assert os.waitpid(child, 0)[1] == 0
        break
    time.sleep(draw.uniform(0.1, 0.7))
    if kills % 2:  # its worker first: the search goes on with another one
        workers = pathlib.Path(f"/proc/{{child}}/task/{{child}}/children").read_text().split()
        for worker in workers:
            os.kill(int(worker), signal.SIGKILL)
        time.sleep(draw.uniform(0.1, 0.7))
    os.kill(child, signal.SIGKILL)
    kills += os.waitpid(child, 0)[1] == signal.SIGKILL
print(kills)
"""


def test_a_search_killed_at_random_moments_ends_as_one_that_was_not(tmp_path) -> None:
    """kill -9 of the search, every other time after its worker, twenty times: trials, order and scores are the same.

    Weights are inherited within a disk limit: what is kept, and who inherits from whom, is the same, too.
    """
    paths = {"root": str(ROOT), "tests": str(ROOT / "tests"), "here": str(ROOT / "tests" / "unit" / "tuner_fn")}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FAKE_EPOCH_S": "0.1"}
    command = [sys.executable, "-c", KILLER.format(**paths), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["20"]), done.stderr[-3000:]
    found = {}
    for name in ("whole", "cut"):
        rows = json.loads((tmp_path / name / "search" / "leaderboard.json").read_text())
        assert len({row["latency_ms"] for row in rows if row["rank"]}) == 1  # a clock's reading: it was read once
        columns = ("trial", "score", "epochs", "parent", "inherited", "status")
        found[name] = [tuple(row[column] for column in columns) for row in rows]
    assert len(found["whole"]) > 10
    assert found["cut"] == found["whole"]
    assert any(row[-2] for row in found["whole"])
    log = (tmp_path / "cut" / "worker.log").read_text()
    assert log.count("epoch trained") <= 60 + 40  # at most one epoch lost for each kill
