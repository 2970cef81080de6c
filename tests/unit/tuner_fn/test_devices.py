"""What parallel trials share: a GPU each where there are some, cores elsewhere; what does not fit is said."""

import os

import psutil
import pytest

from data.errors import UserError
from models.training import devices as training_devices
from pipeline import configs
from tuner_fn import devices
from tuner_fn.plan import fingerprint


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Makes a machine with so many GPUs and cores."""
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.setattr(devices, "CONTAINER_CPU", tmp_path / "cpu.max")

    def make(gpus: int, cores: int = 4) -> None:
        for name in ("nvidiactl", "nvidia-uvm", *(f"nvidia{number}" for number in range(gpus))):
            (tmp_path / name).touch()
        monkeypatch.setattr(devices, "FOLDER", tmp_path)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {*range(2, 2 + cores)})

    return make


def test_each_trial_has_a_gpu_of_its_own(machine, monkeypatch) -> None:
    machine(gpus=12)
    assert devices.default_count() == 12
    assert [share.environment[devices.VISIBLE] for share in devices.shares(3)] == ["0", "1", "2"]
    monkeypatch.setenv(devices.VISIBLE, "3, GPU-8f1b,7,-1,5")
    assert devices.default_count() == 3
    assert [share.environment[devices.VISIBLE] for share in devices.shares(3)] == ["3", "GPU-8f1b", "7"]
    asked = {share.environment[training_devices.SHARED_GPUS] for share in devices.shares(2)}
    assert asked == {"3,GPU-8f1b,7"}  # not what the share alone sees


def test_without_a_gpu_the_cores_and_in_any_case_the_memory_are_shared(machine) -> None:
    machine(gpus=0, cores=5)
    assert devices.default_count() == 1
    shares = devices.shares(2)
    assert [share.environment for share in shares] == [{devices.CORES: "2,3"}, {devices.CORES: "4,5,6"}]
    assert sum(share.most_bytes for share in shares) < psutil.virtual_memory().total
    assert all(share.max_bytes < share.most_bytes for share in shares)
    assert devices.shares(1) == [devices.Share()]  # as a search without parallel trials


def test_gpus_of_a_container_are_counted_from_0_whatever_the_host_calls_them(machine, tmp_path) -> None:
    machine(gpus=0)
    for number in (2, 5):
        (tmp_path / f"nvidia{number}").touch()
    assert devices.gpus() == ["0", "1"]


@pytest.mark.parametrize(("text", "expected"), [("1000000", 1_000_000), ("max", None), ("", None)])
def test_a_container_with_less_memory_than_the_machine_counts(monkeypatch, tmp_path, text, expected) -> None:
    monkeypatch.setattr(devices, "CONTAINER_MEMORY", tmp_path / "memory.max")
    assert devices.memory_bytes() == psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text(text)
    assert devices.memory_bytes() == (expected or psutil.virtual_memory().total)


@pytest.mark.parametrize("gpus", [0, 2])
@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])  # the last is Slurm's
def test_gpus_that_are_hidden_do_not_count(machine, monkeypatch, hidden, gpus) -> None:
    machine(gpus)
    monkeypatch.setenv(devices.VISIBLE, hidden)
    devices.check(4)
    devices.check(None)
    assert devices.default_count() == 1
    assert not fingerprint.this_machine().has_gpu
    assert configs.default_preset("coco:street") == "cpu"


def test_any_gpu_counts_for_the_preset_and_the_plan(machine, tmp_path) -> None:
    machine(gpus=0)
    (tmp_path / "nvidia3").touch()  # a container's file keeps the host's number
    assert fingerprint.this_machine().has_gpu
    assert configs.default_preset("coco:street") == "standard"


@pytest.mark.parametrize(("cuda", "found"), [("libcuda.so.1", ["0"]), (None, [])])
def test_gpus_under_windows_have_one_file_and_may_be_named(machine, monkeypatch, tmp_path, cuda, found) -> None:
    """Without CUDA's library that file is another maker's GPU."""
    machine(gpus=0)
    (tmp_path / "dxg").touch()
    monkeypatch.setattr("ctypes.util.find_library", lambda name: cuda)
    assert devices.gpus() == found
    monkeypatch.setenv(devices.VISIBLE, "0")
    devices.check(None)
    if cuda:
        monkeypatch.setenv(devices.VISIBLE, "1")  # a second one has no file
        assert devices.gpus() == ["1"]
        devices.check(1)


@pytest.mark.parametrize("count", [None, 1])
def test_a_gpu_whose_file_has_another_name_may_be_named(machine, monkeypatch, tmp_path, count) -> None:
    machine(gpus=0)
    (tmp_path / "nvhost-gpu").touch()  # a Jetson's
    monkeypatch.setenv(devices.VISIBLE, "0")
    devices.check(count)


@pytest.mark.parametrize(
    ("text", "most"), [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 4)]
)
def test_a_container_with_the_time_of_fewer_cores_than_it_sees(machine, tmp_path, text, most) -> None:
    machine(gpus=0, cores=4)
    (tmp_path / "cpu.max").write_text(text)
    devices.check(most)
    with pytest.raises(UserError, match=f"this process may use {most}. Take {most} or fewer"):
        devices.check(most + 1)


@pytest.mark.parametrize(
    ("gpus", "visible", "count", "message"),
    [
        (2, None, 3, "`parallel_trials=3` needs a GPU for each trial: this machine has 2 .0, 1.. Take 2 or fewer."),
        (4, "1,2", 3, "`parallel_trials=3` needs a GPU for each trial: this process may use 2 of them"),
        (0, None, 5, "`parallel_trials=5` needs a core for each trial: this process may use 4. Take 4 or fewer."),
        (0, "0", 2, "CUDA_VISIBLE_DEVICES=0 asks for a GPU, and this machine has none"),
        (0, "GPU-8f1b", 2, "CUDA_VISIBLE_DEVICES=GPU-8f1b asks for a GPU, and this machine has none"),
    ],
)
def test_more_than_there_is_is_said_in_a_line(machine, monkeypatch, gpus, visible, count, message) -> None:
    machine(gpus)
    if visible is not None:
        monkeypatch.setenv(devices.VISIBLE, visible)
    with pytest.raises(UserError, match=message) as caught:
        devices.check(count)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [None, 1, 2])
@pytest.mark.parametrize(
    ("visible", "message"),
    [
        (
            "0,2",
            "CUDA_VISIBLE_DEVICES=0,2 names GPU 2, but the GPUs of this machine are numbered 0, 1. Name only these",
        ),
        ("7", "CUDA_VISIBLE_DEVICES=7 names GPU 7, but the GPUs of this machine are numbered 0, 1."),
        ("1,1", "CUDA_VISIBLE_DEVICES=1,1 names the GPU 1 twice. Name each once."),
        ("GPU-8f1b, GPU-8f1b", "names the GPU GPU-8f1b twice"),
    ],
)
def test_a_gpu_that_is_not_there_or_is_named_twice_is_refused(machine, monkeypatch, visible, message, count) -> None:
    """CUDA would show fewer GPUs, or none, and trials would share one or train on the CPU."""
    machine(gpus=2)
    monkeypatch.setenv(devices.VISIBLE, visible)
    with pytest.raises(UserError, match=message):
        devices.check(count)


@pytest.mark.parametrize("visible", ["1,0", "GPU-8f1b,GPU-9c2d", "0,-1,7", "0,"])
def test_gpus_that_are_there_or_have_names_of_their_own_pass(machine, monkeypatch, visible) -> None:
    machine(gpus=2)
    monkeypatch.setenv(devices.VISIBLE, visible)
    devices.check(None)
    devices.check(1)
