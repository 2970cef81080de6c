"""SIGTERM in each step of a run: it ends at once and says so, and the same command continues with that step."""

import os
import subprocess
import sys

import pytest

from tests.command_line import ROOT, SHORT, SMALL, ssd_tuner
from tests.e2e.test_pipeline import DATASET, TUNED, states

STEPS = {
    *("DetectionExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Tuner", "Trainer", "Evaluator"),
    *("Exporter", "ServingCheck", "Pusher"),
}
BEFORE, AFTER = "_run_executor", "_publish_successful_execution"  # the work of a step that is not in the cache
# The process gets the signal at this moment of a step, after so many steps that do their work undisturbed.
CODE = """
import os, signal, sys
from tfx.orchestration.portable import launcher
from pipeline.cli import main

os.environ.pop("TF_USE_LEGACY_KERAS", None)  # tensorflow_transform sets it, which the launcher imports
name, undisturbed = sys.argv.pop(1), int(sys.argv.pop(1))
original = getattr(launcher.Launcher, name)

def interrupted(self, *args, **kwargs):
    global undisturbed
    undisturbed -= 1
    if undisturbed < 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return original(self, *args, **kwargs)

setattr(launcher.Launcher, name, interrupted)
main.entry_point()
"""


@pytest.mark.slow  # 21 starts; `test_pipeline` kills a run in its search, `test_kubeflow` interrupts one there
def test_a_signal_in_any_step_loses_nothing_but_that_step(tmp_path) -> None:
    arguments = ["run", f"--dataset={DATASET}", f"--workdir={tmp_path / 'run'}", "--min_map=0", TUNED, *SMALL, *SHORT]
    finished: list[str] = []
    for number in range(len(STEPS)):
        step = interrupted_step(start(BEFORE, str(min(number, 1)), *arguments), finished)
        again = interrupted_step(start(AFTER, "0", *arguments), finished)  # its work is done, but not known to be
        assert again == step
        finished.append(step)
    assert set(finished) == STEPS
    done = ssd_tuner(*arguments)
    assert done.returncode == 0, done.stderr
    assert {step for step, state in states(done.stdout).items() if state == "cached"} >= STEPS - {finished[-1]}
    assert (tmp_path / "run" / "report" / "summary.json").exists()
    assert list((tmp_path / "run" / "serving_model").iterdir())


def interrupted_step(done: subprocess.CompletedProcess[str], finished: list[str]) -> str:
    """Names the step that a run was interrupted in; all that were finished before but the last came from the cache."""
    assert done.returncode == 130, done.stdout + done.stderr
    assert done.stderr.endswith("interrupted; the same command continues where this one stopped.\n")
    found = states(done.stdout)
    (step,) = (name for name, state in found.items() if state.startswith(" interrupted"))
    assert {found[name] for name in finished[:-1]} <= {"cached"}
    assert {found[name] for name in finished[-1:]} <= {"cached", "done"}
    return step


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200, check=False)
