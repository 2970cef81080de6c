"""A training on two devices is that on one: statistics, loss, clipping and weights are of the whole batch."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


def test_two_devices_train_as_one_does(tmp_path) -> None:
    command = [sys.executable, str(HERE / "several_devices.py"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == [1, 2]
    one, two = found["reports"]
    assert len(one) == 2
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, rel=1e-5, abs=1e-6)
    assert found["moved"] > 1e-3  # the weights have learned
    assert found["weights"] < 1e-5
    assert found["scores"] < 1e-5  # of the exported models
