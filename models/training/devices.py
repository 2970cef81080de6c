"""The device a training runs on."""

import contextlib
import functools
import os
import re
from typing import Any

import keras

from data import progress
from data.errors import UserError

# In the environment of a training, where the kit has given it GPUs.
POD_GPUS = "SSD_TUNER_GPUS"  # how many its pod requests
TRIAL_GPUS = "SSD_TUNER_TRIAL_GPUS"  # how many Ray reserves for it
SHARED_GPUS = "SSD_TUNER_SHARED_GPUS"  # names of those that it shares with other trials
_VISIBLE = "CUDA_VISIBLE_DEVICES"
# What asks for a GPU, if its value begins so; what it stands for, and how it is withdrawn. CUDA's variable is the last:
# Ray and the shares set it, too. A name there that is no GPU's hides all from CUDA.
_ASKING = {
    POD_GPUS: (r".", "--gpus={}", "leave out --gpus"),
    TRIAL_GPUS: (r".", "--trial_gpus={}", "give --trial_gpus=0"),
    SHARED_GPUS: (r".", "A trial that shares the GPUs {}", f"set {_VISIBLE}=-1"),
    _VISIBLE: (r"\s*(\d|GPU-|MIG-)", f"{_VISIBLE}={{}}", f"set {_VISIBLE}=-1"),
}


@functools.cache
def configure_device() -> str:
    """Prepares the accelerator, if there is one: memory growth and mixed precision. A CPU is made reproducible.

    Call it before the first model is built. Half precision is bfloat16 where the GPU has it (compute capability 8 and
    up), float16 with loss scaling elsewhere.

    Returns:
        A description for logs, such as "CPU" or "GPU NVIDIA H100 (mixed_bfloat16)".

    Raises:
        UserError: a GPU was asked for, and TensorFlow sees none.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        _check_not_asked_for()
        # Above an estimated 205 MB a step, Grappler's memory optimizer turns a sum of three gradients into additions in
        # any order, so that two runs of one seed differ; `enable_op_determinism` leaves that on. With auto-clustering
        # the optimizer is off; without --tf_xla_cpu_global_jit XLA itself leaves a CPU's operations alone.
        tf.config.optimizer.set_jit("autoclustering")
        return "CPU"
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # it is in use already: `ssd-tuner run` asks by the environment, too
            tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    major = details.get("compute_capability", (0, 0))[0]
    policy = "mixed_bfloat16" if major >= 8 else "mixed_float16"
    keras.mixed_precision.set_global_policy(policy)
    return f"GPU {details.get('device_name', gpus[0].name)} ({policy})"


def _check_not_asked_for() -> None:
    """Raises `UserError` where a GPU was asked for: trained on the CPU in its place, a search would not end."""
    for name, (pattern, who, way_out) in _ASKING.items():
        value = os.environ.get(name, "")
        if re.match(pattern, value):
            raise UserError(
                f"{who.format(value)} asks for a GPU, and TensorFlow sees none: it has no CUDA libraries, or there is"
                f" no driver. Set up with GPU=1 (`make setup GPU=1`; an image by its build argument), or {way_out} to"
                " train on the CPU."
            )


def accelerators() -> list[str]:
    """Names the devices that one training is spread over, as TensorFlow does; none where it has a CPU alone."""
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices("GPU")]


def distribution(batch_size: int) -> contextlib.AbstractContextManager[Any]:
    """Makes the scope to build a detector and its optimizer in: its steps divide each batch among all GPUs.

    With several GPUs a note says among how many.

    Args:
        batch_size: as many devices are used as divide it in equal parts.

    Returns:
        A scope that does nothing where there is one device.
    """
    names = accelerators() if keras.backend.backend() == "tensorflow" else []
    count = max((number for number in range(1, len(names) + 1) if batch_size % number == 0), default=1)
    if len(names) > 1:
        rest = "" if count == len(names) else f"; {len(names)} cannot share it equally"
        shared = f"divided among {count} GPUs" if count > 1 else "on one GPU"
        progress.emit("note", text=f"Each batch of {batch_size} images is {shared}{rest}.")
    if count == 1:
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names[:count]).scope()
