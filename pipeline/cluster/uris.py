"""URIs of an object store, and the folders that stand for them inside a container of Kubeflow Pipelines.

The launcher, which Kubeflow Pipelines puts before every step, copies a step's inputs from the object store to folders
of the container and its outputs from there to the object store. To the step it names the URIs. TensorFlow 2.21 has no
file system for minio:// and s3://, so the step has to be told the folders.

Source: kubeflow/pipelines, backend/src/v2/component/launcher_v2.go, `LocalPathForURI`.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from data import errors

FOLDERS = {"minio": "/minio", "s3": "/s3", "gs": "/gcs"}  # by scheme
ROOT_VARIABLE = "SSD_TUNER_ARTIFACT_ROOT"  # of the environment: a folder that FOLDERS lie below, "" as on a cluster
EMPTY = "is_empty"  # property of an artifact that stands for none: a step of KFP cannot leave an output out


def root() -> str:
    """Returns the folder that the launcher's folders lie below, "" for the container's own root."""
    return os.environ.get(ROOT_VARIABLE, "").rstrip("/")


def to_path(text: str) -> str:
    """Returns the folder that stands for a URI; any other text comes back as it is."""
    scheme, separator, rest = text.partition("://")
    return f"{root()}{FOLDERS[scheme]}/{rest}" if separator and scheme in FOLDERS else text


def to_uri(text: str) -> str:
    """Returns the URI that a folder stands for; any other text comes back as it is. It inverts `to_path`."""
    for scheme, folder in FOLDERS.items():
        if text.startswith(f"{root()}{folder}/"):
            return f"{scheme}://{text.removeprefix(f'{root()}{folder}/')}"
    return text


def map_artifacts(artifacts: Mapping[str, Any], convert: Callable[[str], str]) -> dict[str, Any]:
    """Converts the places of artifacts: the artifact's own, and those that its properties name.

    Args:
        artifacts: {name: {"artifacts": [{"uri": ..., "metadata": {...}}]}}, as JSON of KFP's `ExecutorInput` and
            `ExecutorOutput` has them.
        convert: `to_path` or `to_uri`.

    Returns:
        The same with converted places. Properties that are null are left out: KFP's launcher does not store them.
    """
    return {name: {**value, "artifacts": [_convert(one, convert) for one in value.get("artifacts", ())]}
            for name, value in artifacts.items()}  # fmt: skip


def check_folder(text: str, flag: str) -> None:
    """Checks that a text names a folder of a file system, and not a URI, which would become a folder named `gs:`.

    Raises:
        UserError: it is a URI.
    """
    scheme, separator, _ = text.partition("://")
    if separator and "/" not in scheme:
        raise errors.UserError(
            f"`{flag}={text}` is a URI, and a run directory holds files that are changed in place (training states,"
            " SQLite). Name a folder; on a cluster one on a shared volume."
        )


def _convert(artifact: Mapping[str, Any], convert: Callable[[str], str]) -> dict[str, Any]:
    result = dict(artifact)
    if "uri" in artifact:
        result["uri"] = convert(artifact["uri"])
    if "metadata" in artifact:
        kept = {name: value for name, value in (artifact["metadata"] or {}).items() if value is not None}
        result["metadata"] = {name: convert(value) if isinstance(value, str) else value for name, value in kept.items()}
    return result
