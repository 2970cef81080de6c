"""The device a training runs on; a GPU is played by TensorFlow's own functions, replaced."""

import types

import keras
import pytest
import tensorflow as tf

from data import progress
from data.errors import UserError
from models.training import devices


@pytest.mark.parametrize(("capability", "policy"), [((9, 0), "mixed_bfloat16"), ((7, 5), "mixed_float16")])
def test_a_gpu_that_is_in_use_already_is_used_on(monkeypatch, capability, policy) -> None:
    """Writing a summary may have come first; then TensorFlow refuses to change how memory is taken."""

    def refuse(gpu, enable):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    gpu = types.SimpleNamespace(name="gpu:0")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": capability})
    before = keras.mixed_precision.global_policy()
    try:
        assert devices.configure_device.__wrapped__() == f"GPU gpu:0 ({policy})"
        assert keras.mixed_precision.global_policy().name == policy
    finally:
        keras.mixed_precision.set_global_policy(before)


@pytest.mark.parametrize(
    ("name", "value", "who", "way_out"),
    [
        (None, "0", "CUDA_VISIBLE_DEVICES=0", "set CUDA_VISIBLE_DEVICES=-1"),
        (None, "MIG-8f1b", "CUDA_VISIBLE_DEVICES=MIG-8f1b", "set CUDA_VISIBLE_DEVICES=-1"),
        (devices.POD_GPUS, "1", "--gpus=1", "leave out --gpus"),
        (devices.TRIAL_GPUS, "0.5", "--trial_gpus=0.5", "give --trial_gpus=0"),
        (devices.SHARED_GPUS, "0,1", "A trial that shares the GPUs 0,1", "set CUDA_VISIBLE_DEVICES=-1"),
    ],
)
def test_the_cpu_does_not_take_the_place_of_a_gpu_that_was_asked_for(monkeypatch, name, value, who, way_out) -> None:
    """Ray and parallel trials set CUDA's variable themselves; what helps is what the user gave."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value if name is None else "1")
    if name is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"^{who} asks for a GPU, and TensorFlow sees none.* or {way_out} to"):
        devices.configure_device.__wrapped__()


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_without_a_word_of_a_gpu_the_cpu_trains(monkeypatch, value) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(tf.config.optimizer, "set_jit", lambda kind: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert devices.configure_device.__wrapped__() == "CPU"


@pytest.mark.parametrize(
    ("num_gpus", "batch_size", "text"),
    [
        (2, 8, "Each batch of 8 images is divided among 2 GPUs."),
        (4, 9, "Each batch of 9 images is divided among 3 GPUs; 4 cannot share it equally."),
        (2, 7, "Each batch of 7 images is on one GPU; 2 cannot share it equally."),
        (1, 8, None),
    ],
)
def test_it_is_said_among_how_many_gpus_a_batch_is_divided(monkeypatch, num_gpus, batch_size, text) -> None:
    notes = []
    monkeypatch.setattr(devices, "accelerators", lambda: [f"GPU:{number}" for number in range(num_gpus)])
    strategy = types.SimpleNamespace(scope=lambda: None)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: strategy)
    with progress.listen(lambda kind, fields: notes.append((kind, fields["text"]))):
        devices.distribution(batch_size)
    assert notes == ([] if text is None else [("note", text)])
