"""The process that trains: one job after another, with everything that was traced kept between them.

`tuner_fn.supervisor` starts it as `python -m tuner_fn.worker` and talks to it over a pipe. It ends with its parent,
however that ends.
"""

import contextlib
import dataclasses
import importlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

import psutil

from data import plugins, progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import devices, early_stopping, failed_trials

TRAINING = "models.training.train"
BEAT_S = 2.0  # between two signs of life
_PARENT_CHECK_S = 0.2


@dataclasses.dataclass(frozen=True)
class Job:
    """What to train: the arguments of `models.training.train.train` that can cross to another process.

    Attributes:
        settings: `ExperimentConfig.to_dict`.
        train_files: GZIP TFRecord files.
        val_files: GZIP TFRecord files.
        class_names: in label order.
        epochs: to train up to.
        schedule_epochs: that the learning rate's schedule spans.
        validate_at: epochs after which the model is scored, beside the last.
        checkpoint: file of the whole training state.
        start_from: file of an earlier part to continue from, None for none.
        inherit_from: training state whose weights a training without an earlier part begins with, None for its own.
        latency: whether the time of an image is among the costs.
        formats: that it is measured in, as `network_cost.latency`.
        objective: the metric that `stopping` goes by, and that `resample` is about.
        resample: whether the last epoch writes the metric of resamples of the validation images beside the state.
        stopping: tells by the scores so far whether training ends early; None for never.
    """

    settings: Mapping[str, Any]
    train_files: tuple[str, ...]
    val_files: tuple[str, ...]
    class_names: tuple[str, ...]
    epochs: int
    schedule_epochs: int
    validate_at: Sequence[int]
    checkpoint: str
    start_from: str | None = None
    inherit_from: str | None = None
    latency: bool = False
    formats: tuple[str, ...] = ()
    objective: str = ""
    resample: bool = False
    stopping: early_stopping.StoppingRule | None = None


class Pipe:
    """A connection that several threads send over, and that shows signs of life while a job is worked on."""

    def __init__(self, connection: Connection) -> None:
        """Takes the connection; the signs of life begin with the first job."""
        self._connection, self._lock, self._is_working = connection, threading.Lock(), threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def send(self, message: Any) -> None:
        """Sends a message, whole."""
        with self._lock:
            self._connection.send(message)

    def recv(self) -> Any:
        """Waits for a job, in silence.

        Raises:
            EOFError: the other side has closed the connection.
        """
        self._is_working.clear()
        job = self._connection.recv()
        self._is_working.set()
        return job

    def _beat(self) -> None:
        while True:
            self._is_working.wait()
            time.sleep(BEAT_S)
            if self._is_working.is_set():
                with contextlib.suppress(OSError):  # the other side has gone, and so does this one soon
                    self.send(("alive", time.process_time(), psutil.Process().memory_info().rss))


def serve(connection: Pipe, training: ModuleType) -> None:
    """Trains jobs until the other side closes the pipe.

    Sends ("ready",); then for each job any number of ("progress", kind, fields), ("epoch", report) and ("alive",
    seconds of the processor used so far, resident bytes), and in the end ("done", result, resident bytes), ("failed",
    reason, whether memory ran out), or ("mistake", reason and traceback, whether it is the user's: then without
    traceback).

    Args:
        connection: to the supervisor; sends a `Job` and what is to be done with it, of `_ACTIONS`.
        training: `models.training.train`, or what has the same functions of these names.
    """
    connection.send(("ready",))
    with progress.listen(lambda kind, fields: connection.send(("progress", kind, fields))):
        while True:
            try:
                job, action = connection.recv()
            except EOFError:
                return
            try:
                result = _ACTIONS[action](training, job, connection)
            except Exception as error:
                traceback.print_exc()
                reason = failed_trials.describe(error)
                if failed_trials.fails_the_trial(error):
                    connection.send(("failed", reason, failed_trials.is_out_of_memory(error)))
                else:
                    reason = str(error) if isinstance(error, UserError) else f"{reason}\n{traceback.format_exc()}"
                    connection.send(("mistake", reason, isinstance(error, UserError)))
            else:
                connection.send(("done", result, psutil.Process().memory_info().rss))


def _train(training: ModuleType, job: Job, connection: Pipe) -> list[dict[str, float]]:
    begun: list[int] = []
    summariser: list[Any] = []

    def on_validation(epoch: int, results: Sequence[Any]) -> None:
        if not summariser:
            from tuner_fn import validation_summary  # brings TensorFlow, as the training has by now

            summariser.append(validation_summary.Summariser(job.val_files, job.class_names))
        progress.emit("validated", summary=summariser[0].summarise(epoch, results))

    def ends(history: Sequence[Mapping[str, float]]) -> bool:
        if not begun:
            begun.append(len(history))
            progress.emit("begun", epoch=len(history))
        return should_stop(job, history)

    return training.train(
        ExperimentConfig.from_dict(job.settings),
        job.train_files,
        job.val_files,
        job.class_names,
        epochs=job.epochs,
        schedule_epochs=job.schedule_epochs,
        checkpoint=job.checkpoint,
        start_from=job.start_from,
        inherit_from=job.inherit_from,
        validate_at=job.validate_at,
        resampled=job.objective if job.resample else None,
        on_epoch=lambda report: connection.send(("epoch", report)),
        on_validation=on_validation,
        should_stop=ends,
    ).history


def should_stop(job: Job, history: Sequence[Mapping[str, float]]) -> bool:
    """Tells whether a job ends early, by the reports of its epochs so far."""
    return job.stopping is not None and job.stopping.stops([report[job.objective] for report in history])


def _measure(training: ModuleType, job: Job, _: Pipe) -> Any:
    return training.measure(ExperimentConfig.from_dict(job.settings), job.train_files, job.val_files, job.class_names)


def _costs(training: ModuleType, job: Job, _: Pipe) -> dict[str, float]:
    config = ExperimentConfig.from_dict(job.settings)
    return training.costs(config, len(job.class_names), latency=job.latency, formats=job.formats)


_ACTIONS = {"train": _train, "measure": _measure, "costs": _costs}


def _end_with(parent: int) -> None:
    """Ends this process, from a thread, when its parent is gone; training would not notice."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)


def main() -> None:
    """Serves the supervisor: arguments are its process number, the pipe's descriptor and the module that trains."""
    parent, descriptor, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if cores := os.environ.get(devices.CORES):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    plugins.load_again()
    serve(Pipe(Connection(descriptor)), importlib.import_module(name))


if __name__ == "__main__":
    main()
