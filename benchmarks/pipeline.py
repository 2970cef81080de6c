"""Times the main job by component, from the start of the process to its end.

There is no peer for a whole pipeline: the budget is what it is compared with. Search and training are the work itself;
everything else together is the price of a pipeline, at most 90 s.

    python -m benchmarks.pipeline
"""

import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

BUDGET_S = 90
WORK = ("Tuner", "Trainer")


def main() -> int:
    """Runs `ssd-tuner run` in a new run directory, then again from the cache, and prints both; returns 0."""
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("command: python -m benchmarks.pipeline\n")
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "demo"
        total_s = _run(workdir)
        seconds = json.loads((workdir / "report" / "summary.json").read_text())["seconds"]
        again_s = _run(workdir)
        cached = json.loads((workdir / "report" / "summary.json").read_text())["cached"]
    seconds["start-up and summary"] = total_s - sum(seconds.values())
    for name, value in seconds.items():
        print(f"{name:<24}{value:8.1f} s")
    rest_s = total_s - sum(seconds[name] for name in WORK)
    print(f"{'everything':<24}{total_s:8.1f} s")
    print(f"{'without ' + ' and '.join(WORK):<24}{rest_s:6.1f} s (target: at most {BUDGET_S} s)")
    print(f"{'again, from the cache':<24}{again_s:8.1f} s ({len(cached)} components cached; target: under 60 s)")
    return 0


def _run(workdir: pathlib.Path) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "pipeline.cli.main", "run", "--dataset=road_scenes", f"--workdir={workdir}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
