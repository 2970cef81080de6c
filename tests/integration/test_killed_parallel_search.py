"""A search with several workers, whose workers and which itself are killed, with real processes; training is a formula.

In what order trials end is luck, so the search that was cut short is compared with what its own journal says: a search
that nobody disturbs, with another number of workers, repeats it to the same trials and scores.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
KILLER = """
import os, pathlib, random, shutil, signal, sys, time
sys.path[:0] = [{root!r}, {tests!r}]
import tuning as tests
from tuner_fn.supervisor import TrainingProcess

settings = {{"max_trials": None, "max_epochs_total": 70, "max_epochs": 8, "repeats": 2, "inherit": True}}

def start(folder, workers):
    child = os.fork()
    if not child:
        logs = [folder / f"worker_{{number}}.log" for number in range(workers)]
        processes = [TrainingProcess(log, training="fake_training", lease_s=10.0) for log in logs]
        tests.make(folder, processes, {strategy!r}, **settings).search(["train"], ["val"], verbose=0)
        os._exit(0)
    return child

def progress():
    logs = (log.read_text().count("epoch trained") for log in cut.glob("worker_*.log"))
    return sum(logs) + journal_text().count("end")

def journal_text():
    path = cut / "search" / "journal.jsonl"
    return path.read_text() if path.exists() else ""

def wait_for_progress(child, before):
    deadline = time.monotonic() + 60
    while progress() == before and time.monotonic() < deadline and not os.waitpid(child, os.WNOHANG)[0]:
        time.sleep(0.02)

draw, kills, root = random.Random({seed}), 0, pathlib.Path(sys.argv[1])
cut = root / "cut"
while kills < {kills}:
    before, seen = progress(), journal_text()
    child = start(cut, {workers})
    wait_for_progress(child, before)
    time.sleep(draw.uniform(0.0, 0.3))
    if kills % 2:  # one of its workers first: its trial continues in another process
        workers = pathlib.Path(f"/proc/{{child}}/task/{{child}}/children").read_text().split()
        if workers:
            os.kill(int(draw.choice(workers)), signal.SIGKILL)
        wait_for_progress(child, progress())
        time.sleep(draw.uniform(0.0, 0.3))
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        raise SystemExit("the search ended before it was killed often enough")
    kills += 1
    assert journal_text().startswith(seen), "what has happened was changed"
assert os.waitpid(start(cut, {workers}), 0)[1] == 0
(root / "again" / "search").mkdir(parents=True)
shutil.copy(cut / "search" / "journal.jsonl", root / "again" / "search")
assert os.waitpid(start(root / "again", {others}), 0)[1] == 0
print(kills)
"""


@pytest.mark.parametrize(
    ("workers", "kills", "strategy", "epoch_s"),
    [
        (2, 2, "freeze_thaw", 0.05),
        pytest.param(4, 2, "asha", 0.05, marks=pytest.mark.slow),
        pytest.param(2, 12, "hyperband", 0.1, marks=pytest.mark.slow),
        pytest.param(4, 13, "freeze_thaw", 0.1, marks=pytest.mark.slow),
    ],
)
def test_a_search_killed_at_random_moments_is_what_its_journal_says(
    workers, kills, strategy, epoch_s, tmp_path
) -> None:
    """kill -9 of the search, every other time after one of its workers: the journal only grows, and is followed.

    tests/unit/tuner_fn/test_parallel_trials.py interrupts the other strategies.
    """
    paths = {"root": str(ROOT), "tests": str(ROOT / "tests")}
    about = {"workers": workers, "others": 3, "kills": kills, "strategy": strategy, "seed": workers}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FAKE_EPOCH_S": str(epoch_s)}
    command = [sys.executable, "-c", KILLER.format(**paths, **about), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(kills)), done.stderr[-3000:]
    cut, again = (read_rows(tmp_path / part) for part in ("cut", "again"))
    assert len(cut) > 10
    assert again == cut
    assert {row["status"] for row in cut} == {"completed", "failed"}  # rates that stand for faults are tried, too
    assert (tmp_path / "again/search/journal.jsonl").read_text() == (tmp_path / "cut/search/journal.jsonl").read_text()
    # A kill costs each worker the epoch that it was in, and the one before where that was not yet told.
    trained = sum(log.read_text().count("epoch trained") for log in (tmp_path / "cut").glob("worker_*.log"))
    needed = sum(log.read_text().count("epoch trained") for log in (tmp_path / "again").glob("worker_*.log"))
    assert needed <= trained <= needed + 2 * workers * kills


def read_rows(folder: pathlib.Path) -> list[dict]:
    names = ("trial", "score", "epochs", "parent", "inherited", "status", "reason", "mean", "seeds", "confidence")
    rows = json.loads((folder / "search" / "leaderboard.json").read_text())
    return [{name: row[name] for name in names} for row in rows]
