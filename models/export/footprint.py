"""What a model costs on a CPU: time for one image and memory, each model in a fresh process of its own.

    python -m models.export.footprint MODEL...

prints a line of JSON for each model: `latency_ms` and `peak_memory_bytes`, or `error`. The process imports TensorFlow
once and forks before anything of it has started, so a model's memory is that of loading it and of its runs alone.
"""

import gc
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data import errors
from models.evaluation import detections
from models.network import decoding

THREADS = 1  # what a small device gives one model, and what can be compared between machines
WARM_UP_RUNS = 5
TIMED_RUNS = 50
LONGEST_S = 20.0  # of timing one model; slow ones are timed less often, at least `FEWEST_RUNS` times
FEWEST_RUNS = 5
_TIMEOUT_S = 300  # a model


def measure(models: Sequence[str]) -> dict[str, dict[str, float]]:
    """Measures models one after another.

    Args:
        models: folders of SavedModels and .tflite files, as `ssd-tuner` exports them.

    Returns:
        For each its `latency_ms`, the median of an image (all its tiles, each of the network's size) on `THREADS`
        thread of the CPU, without decoding and resizing; and `peak_memory_bytes`, by which loading it and running it
        grow a process at their peak.

    Raises:
        RuntimeError: a model could not be measured, or took too long; says why.
    """
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": str(THREADS),
        "TF_NUM_INTRAOP_THREADS": str(THREADS),
        "TF_NUM_INTEROP_THREADS": str(THREADS),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, (_root(), os.environ.get("PYTHONPATH")))),
    }
    environment.pop("TF_USE_LEGACY_KERAS", None)
    command = [sys.executable, "-P", "-m", "models.export.footprint", *models]
    limit_s = _TIMEOUT_S * len(models)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"Measuring {len(models)} models took more than {limit_s} s.") from error
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(rows) != len(models):
        raise RuntimeError(f"Measuring ended with status {done.returncode}: {done.stderr[-2000:]}")
    found = dict(zip(models, rows, strict=True))
    for model, row in found.items():
        if "error" in row:
            raise RuntimeError(f"`{model}` could not be measured: {row['error']}")
    return found


def _root() -> str:
    return str(pathlib.Path(__file__).resolve().parents[2])


def _measure_in_fork(model: str) -> str:
    """Measures one model in a child process; returns its line."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            line = json.dumps(_measure_here(model))
        except BaseException as error:
            line = json.dumps({"error": f"{type(error).__name__}: {error}"[:500]})
        os.write(writing, line.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        line = answer.read().decode()
    _, status = os.waitpid(child, 0)
    return line or json.dumps({"error": f"the process ended with status {os.waitstatus_to_exitcode(status)}"})


def _measure_here(model: str) -> dict[str, float]:
    gc.freeze()  # what the parent left is not collected, which would copy its pages
    before = _memory_bytes("VmRSS")  # a child's peak starts here
    run = runner(model)
    run()
    peak = _memory_bytes("VmHWM") - before
    return {"latency_ms": median_ms(run), "peak_memory_bytes": peak}


def runner(model: str) -> Callable[[], Any]:
    """Loads a model and returns what runs it on one image."""
    import tensorflow as tf

    text = detections.read_extra(model, decoding.FILE_NAME)
    if text is None:
        raise errors.UserError(f"`{model}` has no {decoding.FILE_NAME}. Export it again.")
    decoder = decoding.Decoder.from_json(text)
    image = np.random.default_rng(0).integers(0, 256, (*decoder.image_size, 3), dtype=np.uint8)
    if model.endswith(detections.TFLITE_SUFFIX):
        from models.export import tflite_detector

        interpreter = tflite_detector.open_interpreter(model, THREADS)
        interpreter.allocate_tensors()
        (tensor,) = interpreter.get_input_details()
        interpreter.set_tensor(tensor["index"], image[None].astype(tensor["dtype"]))
        tiles = decoder.grid.count
        return lambda: [interpreter.invoke() for _ in range(tiles)]  # the SavedModel cuts its image itself
    loaded = tf.saved_model.load(model)
    signature = loaded.signatures["serving_tensor"]
    images = tf.constant(image[None])
    return lambda: (loaded, signature(images=images)["num_detections"].numpy())


def median_ms(run: Callable[[], Any]) -> float:
    """Times a function: the median of up to `TIMED_RUNS` runs, milliseconds, after some to warm up."""
    return statistics.median(times_ms(run))


def times_ms(run: Callable[[], Any]) -> list[float]:
    """Times up to `TIMED_RUNS` runs of a function, milliseconds each, after some to warm up."""
    for _ in range(WARM_UP_RUNS):
        run()
    times_s: list[float] = []
    while len(times_s) < FEWEST_RUNS or (len(times_s) < TIMED_RUNS and sum(times_s) < LONGEST_S):
        started = time.perf_counter()
        run()
        times_s.append(time.perf_counter() - started)
    return [1000.0 * seconds for seconds in times_s]


def _memory_bytes(name: str) -> int:
    """Reads VmRSS, what this process holds in memory, or VmHWM, the most it ever held."""
    lines = pathlib.Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


if __name__ == "__main__":
    import tensorflow  # noqa: F401 - before the forks, so that no model is charged for it

    for path in sys.argv[1:]:
        print(_measure_in_fork(path), flush=True)
