"""The TFX component before the Pusher: a fresh process loads the model and calls its signatures."""

import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils, path_utils

SPLIT = "test"
DEFAULT_TIMEOUT_S = 300  # importing TensorFlow, loading and tracing took 20 s on two slow cores
REASON_FILE = "reason.txt"
_BLESSED_FILE, _NOT_BLESSED_FILE = "INFRA_BLESSED", "INFRA_NOT_BLESSED"  # InfraValidator's names
_MOST_REASONS = 10
_STDERR_TAIL_CHARACTERS = 2000


@component
def ServingCheck(  # noqa: N802 - the name is the component's, as TFX shows it
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    examples: InputArtifact[standard_artifacts.Examples],
    blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    source_hash: Parameter[str] = "",
    timeout_s: Parameter[int] = DEFAULT_TIMEOUT_S,
) -> None:
    """Blesses a model for serving, as TFX's InfraValidator does but without Docker.

    A failed check does not fail the component: the reason is written, and the Pusher pushes nothing.

    Args:
        model: the Exporter's copy of the Trainer's model.
        model_blessing: the Evaluator's verdict; a model it refused is not tried.
        examples: Examples with a test split.
        blessing: for the Pusher's `infra_blessing`.
        source_hash: of the code the check depends on; part of the cache key.
        timeout_s: for the fresh process, in seconds.
    """
    del source_hash
    if not model_utils.is_model_blessed(model_blessing):
        return _record(blessing, ["not tried: the Evaluator did not bless the model"])
    model_dir = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
    split_dir = pathlib.Path(artifact_utils.get_split_uri([examples], SPLIT))
    tfrecords = sorted(str(path) for path in split_dir.iterdir())
    return _record(blessing, check_in_fresh_process(model_dir, tfrecords, timeout_s))


def check_in_fresh_process(model_dir: str, tfrecords: Sequence[str], timeout_s: float) -> list[str]:
    """Runs `pipeline.components.signature_check` in a Python process of its own.

    Args:
        model_dir: folder of the SavedModel.
        tfrecords: GZIP TFRecord files to take images from.
        timeout_s: until the process is killed, in seconds.

    Returns:
        What is wrong with the model, a sentence each; empty where it serves.
    """
    command = [sys.executable, "-P", "-m", "pipeline.components.signature_check", model_dir, *tfrecords]
    root = str(pathlib.Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # This process holds the GPU's memory too: the other one must not claim all of it.
    environment = os.environ | {"PYTHONPATH": paths, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    environment.pop("TF_USE_LEGACY_KERAS", None)  # TFX sets it on import; a server's process does not have it
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [f"no answer within {timeout_s:g} s"]
    logging.info("Serving check, standard error: %s", done.stderr)
    if done.returncode == 0:
        return []
    lines = done.stdout.strip().splitlines() if done.returncode == 1 else []
    tail = done.stderr[-_STDERR_TAIL_CHARACTERS:]
    return lines or [f"the process ended with status {done.returncode}: {tail}"]


def read_serving_check(blessing_dir: str) -> tuple[bool, str]:
    """Reads the outcome.

    Args:
        blessing_dir: uri of the component's `blessing` artifact.

    Returns:
        Blessed or not; why not, "" where blessed.
    """
    folder = pathlib.Path(blessing_dir)
    reason = folder / REASON_FILE
    return (folder / _BLESSED_FILE).exists(), reason.read_text("utf-8").strip() if reason.exists() else ""


def _record(blessing: standard_artifacts.InfraBlessing, problems: Sequence[str]) -> None:
    """Marks the artifact as InfraValidator does, which is what the Pusher reads."""
    verdict_file = _NOT_BLESSED_FILE if problems else _BLESSED_FILE
    io_utils.write_string_file(os.path.join(blessing.uri, verdict_file), "")
    blessing.set_int_custom_property("blessed", 0 if problems else 1)
    if problems:
        more = len(problems) - _MOST_REASONS
        shown = [*problems[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else [])]
        io_utils.write_string_file(os.path.join(blessing.uri, REASON_FILE), "\n".join(shown) + "\n")
