"""What the pod of each step is given: volumes, CPU, memory, GPU, where it may run, and how often it is tried."""

import dataclasses
import math
import pathlib
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError, nearest
from pipeline.cluster import uris

GPU_STEPS = ("Tuner", "Trainer", "Evaluator")  # those that a GPU makes faster
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_RETRY_AFTER_S, _RETRY_FACTOR, _RETRY_AT_MOST_S = 30, 2.0, 600
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[KMGT]i?)?")
_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")  # of an object of Kubernetes
_SHARED_MEMORY = "/dev/shm"
_RESERVED = (*uris.FOLDERS.values(), "/dev", "/proc", "/sys", "/kfp-launcher")


@dataclasses.dataclass(frozen=True)
class Pod:
    """What every step's pod is given; checked by `parse`.

    Attributes:
        volumes: {folder in the container: name of a PersistentVolumeClaim}.
        cpu: cores, as Kubernetes writes them ("4", "500m"); "" for the cluster's default. It is requested, too.
        memory: bytes, as Kubernetes writes them ("16Gi"); "" for the cluster's default. It is requested, too.
        gpus: for the steps of `GPU_STEPS`.
        gpu_resource: what Kubernetes calls the GPU.
        node_selector: {label: value} of the nodes.
        tolerations: with key, operator, value and effect, as Kubernetes writes them.
        shared_memory: size of /dev/shm; "" for the container runtime's default, 64 MB.
        secrets: (secret, key, variable of the environment) of each.
        image_pull_secrets: names of the secrets that pull the image.
        retries: how often a step that failed is tried again.
    """

    volumes: Mapping[str, str]
    cpu: str = ""
    memory: str = ""
    gpus: int = 0
    gpu_resource: str = "nvidia.com/gpu"
    node_selector: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[Mapping[str, str], ...] = ()
    shared_memory: str = ""
    secrets: tuple[tuple[str, str, str], ...] = ()
    image_pull_secrets: tuple[str, ...] = ()
    retries: int = 2

    @property
    def cores(self) -> int | None:
        """Cores that a step may keep busy, a part of one counted as one; None where the cluster decides."""
        return math.ceil(_number(self.cpu)) if self.cpu else None

    def mount_of(self, path: str) -> str | None:
        """Returns the folder of the volume that a path of the container lies on, None where it lies on none."""
        parts = pathlib.PurePosixPath(path)
        return next((folder for folder in self.volumes if parts.is_relative_to(folder)), None)

    def resources(self, step: str) -> dict[str, Any]:
        """Returns the `resources` of a step's container, as `PipelineContainerSpec` has them.

        Newer releases of Kubeflow Pipelines read the texts, older ones the numbers (memory in 10^9 bytes).
        """
        found: dict[str, Any] = {}
        for name, text, number in (
            ("cpu", self.cpu, _number(self.cpu)),
            ("memory", self.memory, _number(self.memory) / 1e9),
        ):
            if text:
                for bound in ("Limit", "Request"):
                    found[f"{name}{bound}"] = number
                    found[f"resource{name.capitalize()}{bound}"] = text
        if self.gpus and step in GPU_STEPS:
            found["accelerator"] = {
                "type": self.gpu_resource,
                "count": str(self.gpus),
                "resourceType": self.gpu_resource,
                "resourceCount": str(self.gpus),
            }
        return found

    def retry_policy(self) -> dict[str, Any]:
        """Returns the `retryPolicy` of a task, as `PipelineTaskSpec` has it."""
        return {
            "maxRetryCount": self.retries,
            "backoffDuration": f"{_RETRY_AFTER_S}s",
            "backoffFactor": _RETRY_FACTOR,
            "backoffMaxDuration": f"{_RETRY_AT_MOST_S}s",
        }

    def platform(self) -> dict[str, Any]:
        """Returns what only Kubernetes knows of a step, as kfp-kubernetes writes it for an executor."""
        from kfp import kubernetes

        task: Any = types.SimpleNamespace(platform_config={})  # all that kfp-kubernetes looks at of a task
        for folder, claim in self.volumes.items():
            kubernetes.mount_pvc(task, pvc_name=claim, mount_path=folder)
        for label, value in self.node_selector.items():
            kubernetes.add_node_selector(task, label_key=label, label_value=value)
        for toleration in self.tolerations:
            kubernetes.add_toleration(task, **toleration)
        if self.shared_memory:
            kubernetes.empty_dir_mount(
                task,
                volume_name="shared-memory",
                mount_path=_SHARED_MEMORY,
                medium="Memory",
                size_limit=self.shared_memory,
            )
        for secret, key, variable in self.secrets:
            kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={key: variable})
        if self.image_pull_secrets:
            kubernetes.set_image_pull_secrets(task, list(self.image_pull_secrets))
        return task.platform_config["kubernetes"]


def parse(values: Mapping[str, Any]) -> Pod:
    """Builds what a pod is given from the flags of `ssd-tuner kubeflow compile`.

    Args:
        values: {flag: value}; None or [] where it was not given.

    Raises:
        UserError: a value is not of its flag's form.
    """
    for flag in ("cpu", "memory", "shared_memory"):
        _check_quantity(flag, values[flag])
    return Pod(
        volumes=_volumes(values["volume"] or ()),
        cpu=values["cpu"] or "",
        memory=values["memory"] or "",
        gpus=values["gpus"],
        gpu_resource=values["gpu_resource"],
        node_selector=dict(_pair("node_selector", text, "LABEL=VALUE") for text in values["node_selector"] or ()),
        tolerations=tuple(_toleration(text) for text in values["toleration"] or ()),
        shared_memory=values["shared_memory"] or "",
        secrets=tuple(_secret(text) for text in values["secret_env"] or ()),
        image_pull_secrets=tuple(values["image_pull_secret"] or ()),
        retries=values["retries"],
    )


def _volumes(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        claim, colon, folder = text.partition(":")
        path = pathlib.PurePosixPath(folder)
        if not colon or not _NAME.fullmatch(claim) or not path.is_absolute() or ".." in path.parts:
            raise UserError(
                f"`--volume={text}` needs CLAIM:FOLDER, the name of a PersistentVolumeClaim and where the containers"
                " mount it, for example --volume=ssd-tuner:/mnt."
            )
        taken = next((one for one in _RESERVED if path.is_relative_to(one)), None)
        if taken or str(path) in ("/", "/tmp"):
            raise UserError(
                f"`--volume={text}`: `{taken or path}` is the container's or KFP's own. Choose another folder, as /mnt."
            )
        if str(path) in found:
            raise UserError(f"`--volume={text}`: `{path}` is taken by the claim `{found[str(path)]}`.")
        found[str(path)] = claim
    return found


def _toleration(text: str) -> dict[str, str]:
    """Parses KEY[=VALUE][:EFFECT]."""
    head, colon, effect = text.rpartition(":") if ":" in text else (text, "", "")
    if colon and effect not in EFFECTS:
        raise UserError(f"`--toleration={text}`: `{effect}` is not an effect.{nearest(effect, EFFECTS)}")
    key, equals, value = head.partition("=")
    if not key:
        raise UserError(f"`--toleration={text}` needs KEY[=VALUE][:EFFECT], for example nvidia.com/gpu:NoSchedule.")
    found = {"key": key, "operator": "Equal" if equals else "Exists"}
    if equals:
        found["value"] = value
    return found | ({"effect": effect} if effect else {})


def _secret(text: str) -> tuple[str, str, str]:
    secret, colon, rest = text.partition(":")
    if not colon or "=" not in rest or not _NAME.fullmatch(secret):
        raise UserError(
            f"`--secret_env={text}` needs SECRET:KEY=VARIABLE, for example mlflow:token=MLFLOW_TRACKING_TOKEN."
        )
    key, variable = _pair("secret_env", rest, "SECRET:KEY=VARIABLE")
    return secret, key, variable


def _pair(flag: str, text: str, form: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise UserError(f"`--{flag}={text}` needs {form}.")
    return key, value


def _check_quantity(flag: str, text: str | None) -> None:
    if text and not (_QUANTITY.fullmatch(text) and _number(text) > 0):
        example = "4 or 500m" if flag == "cpu" else "16Gi"
        raise UserError(f"`--{flag}={text}` is not a quantity as Kubernetes writes it, for example {example}.")


def _number(text: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return 0.0
    number, unit = match.groups()
    return float(number) / 1000 if unit == "m" else float(number) * _UNITS.get(unit or "", 1)
