"""What happens to the training process is a result of the trial: each fault is committed in a real process."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import fake_training
import keras_tuner
import psutil
import pytest

from data import progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import devices, failed_trials
from tuner_fn.supervisor import CancelledError, TrainingProcess
from tuner_fn.worker import Job

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def process(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    with_faults = TrainingProcess(tmp_path / "worker.log", training="fake_training")
    yield with_faults
    with_faults.close()


def job(folder: pathlib.Path, fault: str = "none", *, epochs: int = 3, name: str = "state", **settings) -> Job:
    config = ExperimentConfig().replace({"optimizer.learning_rate": fake_training.rate(fault)})
    files = {"train_files": ("train",), "val_files": ("val",), "checkpoint": str(folder / name)}
    horizon = {"schedule_epochs": epochs, "validate_at": range(1, epochs + 1)}
    return Job(config.to_dict(), class_names=("car",), epochs=epochs, **horizon, **files, **settings)


def test_one_process_trains_one_job_after_another(process, tmp_path) -> None:
    reports: list[dict] = []
    history = process.train(job(tmp_path, name="first"), reports.append)
    assert [report["epoch"] for report in history] == [1, 2, 3]
    assert reports == history
    pid = process.pid
    continued = job(tmp_path, name="second", epochs=5, start_from=str(tmp_path / "first"))
    assert len(process.train(continued, reports.append)) == 5
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4, 5]
    assert process.pid == pid


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("diverges", "DivergedError: The loss is not finite"),
        ("no memory", "MemoryError: out of memory"),
        ("killed", r"was killed \(SIGKILL\), as the system does when memory runs out(.|\n)*last words before: killed"),
        ("mid-message", r"was killed \(SIGKILL\)(.|\n)*last words before: mid-message"),
        ("segfault", r"crashed \(SIGSEGV\)(.|\n)*last words before: segfault"),
        ("exit", "ended by itself with status 3(.|\n)*last words before: exit"),
        ("hangs", "took longer than 2 s and was stopped(.|\n)*last words before: hangs"),
    ],
)
def test_a_fault_fails_the_trial_with_reason_and_log_and_the_next_one_trains(process, tmp_path, fault, reason) -> None:
    process.train(job(tmp_path, name="before"))  # the process is up: the time limit is the training's alone
    with pytest.raises(keras_tuner.errors.FailedTrialError, match=reason):
        process.train(job(tmp_path, fault), timeout_s=2 if fault == "hangs" else None)
    assert len(process.train(job(tmp_path, name="next"))) == 3


def test_a_users_own_files_of_the_same_names_are_not_imported(process, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "project"
    for name in ("data.py", "models/__init__.py", "tuner_fn/__init__.py", "pipeline.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("raise SystemExit('imported')")
    monkeypatch.chdir(folder)
    assert len(process.train(job(tmp_path))) == 3


def test_a_limit_counts_though_epochs_follow_one_another_quickly(process, tmp_path, monkeypatch) -> None:
    """A message that is there is not read once the time is over."""
    monkeypatch.setenv("FAKE_EPOCH_S", "0.05")
    process.train(job(tmp_path, name="before"))
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="took longer than 0.5 s and was stopped"):
        process.train(job(tmp_path, name="long", epochs=200), timeout_s=0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CUDA_ERROR_OUT_OF_MEMORY: out of device", True),
        ("RESOURCE_EXHAUSTED: failed to allocate", True),
        ("Resource exhausted: OOM when allocating tensor", True),
        ("RESOURCE_EXHAUSTED: /x/model; No space left on device", False),
        ("INVALID_ARGUMENT: shapes differ", False),
    ],
)
def test_exhausted_memory_is_known_by_all_its_names(text, expected) -> None:
    assert failed_trials.is_out_of_memory(RuntimeError(text)) is expected


def test_costs_are_found_without_training_and_the_time_only_where_asked_for(process, tmp_path) -> None:
    assert process.costs(job(tmp_path)) == {"parameters": 100, "multiply_adds": 7, "file_mb": 0.5}
    assert process.costs(job(tmp_path, latency=True))["latency_ms"] > 0
    assert not (tmp_path / "state").exists()


def test_a_process_killed_while_it_counts_costs_is_replaced_but_not_for_ever(process, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_MARK", str(tmp_path / "mark"))
    assert process.costs(job(tmp_path, "killed once"))["parameters"] == 100
    with pytest.raises(keras_tuner.errors.FailedTrialError, match=r"was killed \(SIGKILL\)"):
        process.costs(job(tmp_path, "killed"))


def test_a_process_killed_while_it_measures_is_replaced_but_not_for_ever(process, tmp_path, monkeypatch) -> None:
    """Without a pace a search has no allotment, no budget and no reserved time."""
    monkeypatch.setenv("FAKE_MARK", str(tmp_path / "mark"))
    notes: list[str] = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        assert process.measure(job(tmp_path, "killed once")).seconds(1, 1) == 3.0
    assert [note.endswith("when memory runs out. A new one begins again.") for note in notes] == [True]
    with pytest.raises(keras_tuner.errors.FailedTrialError, match=r"was killed \(SIGKILL\)"):
        process.measure(job(tmp_path, "killed"))


def test_a_mistake_stops_the_search_with_its_traceback(process, tmp_path) -> None:
    with pytest.raises(keras_tuner.errors.FatalError, match=r"TypeError: wrong argument(.|\n)*Traceback(.|\n)*_commit"):
        process.train(job(tmp_path, "mistake"))


def test_a_mistake_of_the_user_is_told_without_a_traceback(process, tmp_path) -> None:
    with pytest.raises(keras_tuner.errors.FatalError) as caught:
        process.train(job(tmp_path, "user's"))
    assert str(caught.value) == "`model.backbone_weights` cannot be read."
    assert isinstance(caught.value.__cause__, UserError)  # what the command line looks for


def test_a_process_killed_from_outside_costs_an_epoch_and_not_the_trial(process, tmp_path) -> None:
    reports: list[dict] = []
    notes: list[str] = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        history = process.train(job(tmp_path, "killed once"), reports.append)
    assert [report["epoch"] for report in reports] == [1, 2, 3]
    assert len(history) == 3
    assert "continues from the last epoch" in notes[0]


def make_watched(folder: pathlib.Path, monkeypatch, **settings) -> TrainingProcess:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    return TrainingProcess(folder / "worker.log", training="fake_training", **settings)


def test_a_process_that_is_stopped_loses_its_job_to_another_one_and_the_trial_goes_on(tmp_path, monkeypatch) -> None:
    """As a machine that is lost: nothing is heard, nothing has ended."""
    monkeypatch.setenv("FAKE_EPOCH_S", "0.2")
    watched, stopped, notes = make_watched(tmp_path, monkeypatch, lease_s=5.0), [], []

    def stop(report: dict) -> None:
        if not stopped:
            stopped.append(watched.pid)
            os.kill(watched.pid, signal.SIGSTOP)

    with progress.listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        history = watched.train(job(tmp_path, epochs=5), stop)
    assert [report["epoch"] for report in history] == [1, 2, 3, 4, 5]
    assert any("has shown no sign of life for 5 s. A new one continues from the last epoch." in note for note in notes)
    assert watched.pid != stopped[0]
    assert not psutil.pid_exists(stopped[0])
    watched.close()


def test_a_hang_that_comes_again_in_the_same_epoch_is_the_trials(tmp_path, monkeypatch) -> None:
    watched = make_watched(tmp_path, monkeypatch, lease_s=5.0)
    with pytest.raises(keras_tuner.errors.FailedTrialError, match=r"no sign of life for 5 s\.(.|\n)*before: hangs"):
        watched.train(job(tmp_path, "hangs"))
    assert watched.pid is None


def test_a_process_that_computes_keeps_its_job_however_long_an_epoch_takes(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_BUSY_S", "8")
    watched = make_watched(tmp_path, monkeypatch, lease_s=5.0)
    assert len(watched.train(job(tmp_path, epochs=1))) == 1
    assert watched.log.read_text().count("training from epoch") == 1
    watched.close()


def test_a_process_that_takes_more_than_its_share_of_the_memory_fails_its_trial(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_EPOCH_S", "4")
    watched = make_watched(tmp_path, monkeypatch, most_bytes=1_000_000)
    with pytest.raises(keras_tuner.errors.FailedTrialError, match=r"of memory, more than its share, 0\.0 GB"):
        watched.train(job(tmp_path))
    assert watched.pid is None


def test_a_job_is_given_up_at_once_and_the_next_one_trains(tmp_path, monkeypatch) -> None:
    watched, raised = make_watched(tmp_path, monkeypatch), []

    def train() -> None:
        try:
            watched.train(job(tmp_path, "hangs"), lambda report: waiting.set())
        except CancelledError as error:
            raised.append(error)

    waiting, thread = threading.Event(), threading.Thread(target=train)
    thread.start()
    assert waiting.wait(60)
    pid = watched.pid
    watched.cancel()
    thread.join(10)
    assert raised
    assert not psutil.pid_exists(pid)
    watched.close()
    assert len(watched.train(job(tmp_path, name="next"))) == 3
    watched.close()


def test_a_process_has_the_cores_and_the_device_that_it_is_given(tmp_path, monkeypatch) -> None:
    core = max(os.sched_getaffinity(0))
    share = {devices.CORES: str(core), devices.VISIBLE: "7"}
    watched = make_watched(tmp_path, monkeypatch, environment=share)
    watched.train(job(tmp_path))
    own = psutil.Process(watched.pid)
    assert own.cpu_affinity() == [core]
    assert own.environ()[devices.VISIBLE] == "7"
    watched.close()


def test_an_exception_of_the_listener_leaves_no_process(process, tmp_path) -> None:
    def interrupted(report: dict) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.train(job(tmp_path), interrupted)
    assert process.pid is None


def test_a_process_that_has_grown_is_replaced(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    small = TrainingProcess(tmp_path / "worker.log", max_bytes=1, training="fake_training")
    assert len(small.train(job(tmp_path, name="first"))) == 3
    assert small.pid is None
    assert len(small.train(job(tmp_path, name="second"))) == 3


def test_a_process_that_cannot_start_stops_the_search(tmp_path) -> None:
    broken = TrainingProcess(tmp_path / "worker.log", training="no_such_module")
    with pytest.raises(keras_tuner.errors.FatalError, match="does not start(.|\n)*No module named 'no_such_module'"):
        broken.train(job(tmp_path))


def test_the_process_ends_with_a_search_that_is_killed(tmp_path) -> None:
    """kill -9 of the search: nothing continues training unseen."""
    script = """
        import pathlib, sys
        sys.path[:0] = [{root!r}, {tests!r}, {here!r}]
        import test_supervisor
        from tuner_fn.supervisor import TrainingProcess
        process = TrainingProcess(pathlib.Path({folder!r}) / "worker.log", training="fake_training")
        folder = pathlib.Path({folder!r})
        process.train(test_supervisor.job(folder, "hangs"), lambda report: print(process.pid, flush=True))
    """
    paths = {"root": str(ROOT), "tests": str(ROOT / "tests"), "here": str(pathlib.Path(__file__).parent)}
    search = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script).format(**paths, folder=str(tmp_path))],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        text=True,
    )
    pid = int(search.stdout.readline())
    assert psutil.pid_exists(pid)
    search.send_signal(signal.SIGKILL)
    search.wait()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)
