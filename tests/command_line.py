"""The command line as tests call it: in a process of its own, or, where nothing is trained, in this one."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys

from pipeline.cli import main

ROOT = pathlib.Path(__file__).parents[1]


def ssd_tuner(*arguments: str, cwd: pathlib.Path = ROOT, timeout_s: float = 1200) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *arguments],
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(cwd)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def ssd_tuner_here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in this process, which has TensorFlow already: another one takes 10 s to import it."""
    output, problems = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(problems):
        status = main.main(arguments)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), problems.getvalue())
