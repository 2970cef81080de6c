"""The command line as tests call it: in a process of its own, or, where nothing is trained, in this one."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import TextIO

from pipeline.cli import main

ROOT = pathlib.Path(__file__).parents[1]
SMALL = (  # a network that is built and trained in seconds
    "--set=input.image_size=64",
    "--set=model.backbone=mobilenet_v1",
    "--set=model.alpha=0.35",
    "--set=model.num_levels=2",
    "--set=input.batch_size=8",
)
SHORT = ("--max_epochs=2", "--max_epochs_total=8", "--epochs=2")


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
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # tensorflow_transform sets it, which some tests import
    with captured("stdout", 1) as output, captured("stderr", 2) as problems:
        status = main.main(arguments)
        texts = [text_of(file) for file in (output, problems)]
    return subprocess.CompletedProcess(arguments, status, *texts)


@contextlib.contextmanager
def captured(name: str, descriptor: int) -> Iterator[TextIO]:
    """Leads a stream and its file descriptor, which the screen writes to, into a file."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        before, kept = getattr(sys, name), os.dup(descriptor)
        before.flush()
        os.dup2(file.fileno(), descriptor)
        setattr(sys, name, file)
        try:
            yield file
        finally:
            setattr(sys, name, before)
            os.dup2(kept, descriptor)
            os.close(kept)


def text_of(file: TextIO) -> str:
    """Returns all that a file holds."""
    file.flush()
    file.seek(0)
    return file.read()
