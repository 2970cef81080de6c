"""Searches with the real tuner, whose training process is a formula."""

import json
import pathlib

import fake_training
import keras_tuner

from data import files
from models.hyperparameters import ExperimentConfig
from tuner_fn import oracles, search_space
from tuner_fn.trial_runner import DetectionTuner, make_objective
from tuner_fn.worker import should_stop

NAMES = ("optimizer.learning_rate",)
MINUTES = {"max_trials": None, "max_epochs": 4, "config": ExperimentConfig().replace({"training.epochs": 4})}


class FakeProcess:
    """In the place of the training process, which has its own tests: a formula; lists what was trained."""

    def __init__(self) -> None:
        self.jobs: list = []
        self.timeouts_s: set = set()
        self.counted: list = []
        self.clock: float | list[float] = 1.0  # what times are multiplied by, one after another
        self.actions: dict[int, BaseException | int] = {}  # {job: what it raises, or the epochs before it fails}
        self.closed = False
        self.luck: dict[tuple[float, int], float] = {}  # {(learning rate, seed): what it adds to the score}
        self.epoch_s = lambda rate: 2.0
        self.advance = lambda seconds: None  # the hands of a clock
        self.curve = lambda epoch: 1.0  # the part of its score that a training has after so many epochs

    def train(self, job, on_epoch, timeout_s):
        assert all(pathlib.Path(path).exists() for path in (job.start_from, job.inherit_from) if path)
        self.jobs.append(job)
        self.timeouts_s.add(timeout_s)
        action = self.actions.get(len(self.jobs) - 1)
        if isinstance(action, BaseException):
            raise action
        rate = self.rate(job) + self.luck.get((self.rate(job), job.settings["training"]["seed"]), 0.0)
        history = []
        for epoch in range(1, job.epochs + 1):
            report = {"epoch": epoch, "loss": 1.0, "seconds": self.epoch_s(self.rate(job))}
            self.advance(report["seconds"])
            if epoch in job.validate_at or epoch == job.epochs:
                report |= {"AP": rate * self.curve(epoch), "AP50": 0.5 - rate, "AP75": float("nan")}
            history.append(report)
            on_epoch(report)
            if epoch == action:
                raise keras_tuner.errors.FailedTrialError(f"epoch {epoch + 1}")
            if should_stop(job, history):
                break
        files.write_bytes(job.checkpoint, b"state")
        return history

    def measure(self, job):
        return fake_training.Pace()

    def costs(self, job, timeout_s):
        self.counted.append(job)
        width = ExperimentConfig.from_dict(job.settings).model.alpha
        found = {"parameters": round(100 * width), "multiply_adds": round(1000 * width), "file_mb": width}
        clock = self.clock.pop(0) if isinstance(self.clock, list) else self.clock
        return found | ({"latency_ms": width * clock, "latency_slow_ms": 2 * width * clock} if job.latency else {})

    def release(self) -> None:
        pass

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    @staticmethod
    def rate(job) -> float:
        return ExperimentConfig.from_dict(job.settings).optimizer.learning_rate


def make(tmp_path, process, strategy: str = "random", **settings) -> DetectionTuner:
    """Makes a tuner that trains in a process, or in each of a list of them."""
    config = settings.pop("config", ExperimentConfig())
    names = {"max_minutes", "trial_timeout_s", "max_disk_bytes", "repeats", "limits", "fidelity", "second_objective"}
    names |= {"inherit", "early_stopping", "min_confidence", "reserved_s", "before_s", "max_trainings", "further_seeds"}
    names.add("test_share")
    names &= settings.keys()
    limits = {name: settings.pop(name) for name in names}
    defaults = {"max_epochs": 2, "seed": 0, "max_trials": 4}
    if strategy == "hyperband":
        defaults = {"max_epochs": 4, "seed": 0, "factor": 2}
    ranges = settings.pop("ranges", None) or search_space.pick({}, NAMES, config)
    oracle = oracles.make_oracle(
        strategy,
        objective=make_objective(settings.pop("metric", "AP")),
        hyperparameters=search_space.make_search_space(config, ranges),
        **defaults | settings,
    )
    folders = {"directory": tmp_path / "search", "logdir": tmp_path / "logs"}
    about = {"ranges": ranges, "class_names": ("car",)}
    about["processes"] = process if isinstance(process, list) else [process]
    return DetectionTuner(oracle, config, **about, **folders, **limits)


def search(tuner: DetectionTuner) -> list[dict]:
    tuner.search(["train"], ["val"], verbose=0)
    return json.loads((pathlib.Path(tuner.project_dir) / "leaderboard.json").read_text())


def best_config(tmp_path: pathlib.Path) -> ExperimentConfig:
    return ExperimentConfig.from_dict(json.loads((tmp_path / "search" / "best_config.json").read_text()))


def states(tmp_path: pathlib.Path) -> set[str]:
    return {path.parent.name.removeprefix("trial_") for path in (tmp_path / "search").glob("trial_*/state.npz")}


def with_width(*widths: float) -> dict:
    choices = {"model.alpha": {"choices": list(widths)}} if widths else {}
    return search_space.pick(choices, (*NAMES, "model.alpha"), ExperimentConfig())
