"""SIGTERM in each step of a run: it ends at once and says so, and the same command continues with that step."""

import os
import subprocess
import sys

import pytest

from tests.command_line import ROOT
from tests.e2e.test_pipeline import DATASET, SMALL, TUNED, states

STEPS = (  # in the order in which TFX runs them
    *("DetectionExampleGen", "StatisticsGen", "Tuner", "SchemaGen", "Trainer", "ExampleValidator", "Evaluator"),
    *("Exporter", "ServingCheck", "Pusher"),
)
MOMENTS = {"before its work": "_run_executor", "after its work": "_publish_successful_execution"}
# The process gets the signal at a moment of a step.
CODE = """
import os, signal, sys
from tfx.orchestration.portable import launcher
from pipeline.cli import main

os.environ.pop("TF_USE_LEGACY_KERAS", None)  # tensorflow_transform sets it, which the launcher imports
step, name = sys.argv.pop(1), sys.argv.pop(1)
original = getattr(launcher.Launcher, name)

def interrupted(self, *args, **kwargs):
    if self._pipeline_node.node_info.id == step:
        os.kill(os.getpid(), signal.SIGTERM)
    return original(self, *args, **kwargs)

setattr(launcher.Launcher, name, interrupted)
main.entry_point()
"""


@pytest.mark.slow  # 21 starts; `test_pipeline` interrupts and kills a run in its search
def test_a_signal_in_any_step_loses_nothing_but_that_step(tmp_path) -> None:
    arguments = ["run", f"--dataset={DATASET}", f"--workdir={tmp_path / 'run'}", "--min_map=0", TUNED, *SMALL]
    finished: set[str] = set()
    for step in STEPS:
        for moment, name in MOMENTS.items():
            done = start(step, name, *arguments)
            assert done.returncode == 130, (step, moment, done.stdout, done.stderr)
            assert done.stderr.endswith("interrupted; the same command continues where this one stopped.\n")
            found = states(done.stdout)
            assert found.pop(step).startswith(" interrupted")
            assert set(found.values()) <= {"cached", "done"}
            again = {one for one, state in found.items() if state == "done"} & finished
            assert not again, (step, moment)
            finished |= set(found) & set(STEPS)
    done = start("", MOMENTS["before its work"], *arguments)
    assert done.returncode == 0, done.stderr
    assert set(states(done.stdout)) == {*STEPS, "last_blessed_model"}  # which has no work of its own
    assert (tmp_path / "run" / "report" / "summary.json").exists()
    assert list((tmp_path / "run" / "serving_model").iterdir())


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200, check=False)
