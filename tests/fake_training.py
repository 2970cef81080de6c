"""Stands in for `models.training.train` in a worker process: follows the settings to a fault instead of training.

`optimizer.learning_rate` of 0.01 to 0.1 names the fault, by `FAULTS`; the state is a text file of the epochs done, with
those of the donor.
"""

import os
import pathlib
import signal
import struct
import sys
import time
import types

from data import files
from data.errors import UserError
from models.training.divergence import DivergedError

FAULTS = ("none", "diverges", "no memory", "mistake", "killed", "killed once", "segfault", "exit", "hangs", "user's")
FAULTS += ("mid-message",)


class Pace:
    """0.1 s a step, 10 steps an epoch, 2 s a validation."""

    steps = 10
    validation_s = 2.0

    def seconds(self, epochs, validations):
        """Returns how long so many of them take."""
        return epochs + 2.0 * validations


def rate(fault: str) -> float:
    """Returns the learning rate that brings about a fault."""
    return 0.01 * FAULTS.index(fault) or 0.001


def train(
    config,
    *data,
    epochs,
    schedule_epochs,
    checkpoint,
    start_from,
    inherit_from,
    validate_at,
    resampled,
    on_epoch,
    on_validation,
    should_stop,
):
    """Counts epochs in the checkpoint and commits the fault in the second one."""
    fault = FAULTS[round(100 * config.optimizer.learning_rate)]
    path = pathlib.Path(checkpoint)
    source = path if path.exists() else pathlib.Path(start_from or path)
    words = source.read_text().split() if source.exists() else []
    if inherit_from and not words:
        words = ["donor"] * pathlib.Path(inherit_from).read_text().count("epoch")
    donors, done = words.count("donor"), words.count("epoch")
    print(f"training from epoch {done}", flush=True)
    scored = {*validate_at, epochs}
    history = [_report(config, epoch, donors, epoch in scored) for epoch in range(1, done + 1)]
    for epoch in range(done + 1, epochs + 1):
        if should_stop(history):
            break
        if epoch == 2:
            _commit(fault, path)
        time.sleep(float(os.environ.get("FAKE_EPOCH_S", 0)))
        busy_until_s = time.monotonic() + float(os.environ.get("FAKE_BUSY_S", 0))
        while time.monotonic() < busy_until_s:
            pass
        print("epoch trained", flush=True)
        files.write_text(path, "donor " * donors + "epoch " * epoch)
        history.append(_report(config, epoch, donors, epoch in scored))
        on_epoch(history[-1])
    return types.SimpleNamespace(history=history)


def costs(config, num_classes, *, latency, formats):
    """Takes the width for the number of parameters and the clock for the time; commits the faults that kill."""
    fault = FAULTS[round(100 * config.optimizer.learning_rate)]
    if fault.startswith("killed"):
        _commit(fault, pathlib.Path(os.environ["FAKE_MARK"]))
    counted = {"parameters": round(100 * config.model.alpha), "multiply_adds": 7, "file_mb": 0.5}
    return counted | ({"latency_ms": time.perf_counter()} if latency else {})


def measure(config, train_files, val_files, class_names):
    """Returns a pace; commits the faults that kill where a test names a file to mark them with."""
    fault = FAULTS[round(100 * config.optimizer.learning_rate)]
    if fault.startswith("killed") and "FAKE_MARK" in os.environ:
        _commit(fault, pathlib.Path(os.environ["FAKE_MARK"]))
    return Pace()


def _report(config, epoch: int, donors: int, is_scored: bool) -> dict[str, float]:
    score = config.optimizer.learning_rate * (epoch + 0.5 * donors)
    return {"epoch": epoch, "loss": 1.0, "seconds": 0.1} | dict.fromkeys(("AP", "AP50", "AP75") * is_scored, score)


def _commit(fault: str, path: pathlib.Path) -> None:
    print(f"last words before: {fault}", file=sys.stderr, flush=True)
    mark = path.with_suffix(".once")
    if fault == "diverges":
        raise DivergedError("The loss is not finite")
    if fault == "no memory":
        raise MemoryError("out of memory")
    if fault == "user's":
        raise UserError("`model.backbone_weights` cannot be read.")
    if fault == "mistake":
        raise TypeError("wrong argument")
    if fault == "killed" or (fault == "killed once" and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "mid-message":
        os.write(int(sys.argv[2]), struct.pack("!i", 100) + b"half of it")  # as `multiprocessing` sends 100 bytes
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "exit":
        os._exit(3)
    if fault == "hangs":
        time.sleep(1000)
