"""Checks before a pipeline is compiled: what the cluster's containers will not find is said here, not there."""

import pathlib
from collections.abc import Sequence

from data import sources
from data.errors import UserError
from models import imagenet_weights
from models.hyperparameters import ExperimentConfig
from pipeline.cluster import uris
from pipeline.cluster.pods import Pod

_RUNNERS = ("FnApiRunner", "DirectRunner", "BundleBasedDirectRunner")  # those that work in the step's own pod
_WEIGHTS = ("weights", "backbone_weights")  # of `model.`


def check_root(pipeline_root: str) -> None:
    """Raises `UserError` where the artifacts' place is not one that KFP's launcher knows."""
    scheme, separator, rest = pipeline_root.partition("://")
    if not separator or scheme not in uris.FOLDERS or not rest.strip("/"):
        known = ", ".join(f"{name}://BUCKET/PATH" for name in uris.FOLDERS)
        raise UserError(
            f"`--pipeline_root={pipeline_root}` is not a place that Kubeflow Pipelines copies artifacts to. Give one of"
            f" {known}; minio://mlpipeline/v2/artifacts is the one that it installs."
        )


def check_beam(arguments: Sequence[str]) -> None:
    """Raises `UserError` where Beam would work on other machines: those do not see the folders of a step's pod."""
    for argument in arguments:
        name, _, runner = argument.partition("=")
        if name == "--runner" and runner.rpartition(".")[2] not in _RUNNERS:
            raise UserError(
                f"`--beam_args={argument}`: KFP's launcher puts a step's artifacts into folders of its pod, which"
                f" Beam's workers elsewhere do not see. Leave it out, or give one of {', '.join(_RUNNERS)}."
            )


def check_ray(address: str | None) -> None:
    """Raises `UserError` where trials are to train on a Ray cluster: a step's pod belongs to none."""
    if address is not None:
        raise UserError(
            f"`--ray={address}`: a step's pod is no node of a Ray cluster. Leave it out, or run the whole pipeline as a"
            " RayJob (deploy/rayjob.yaml)."
        )


def check_paths(dataset: str, options: sources.DataOptions, workdir: str, pod: Pod) -> None:
    """Checks that the run directory and the datasets lie where every container sees them.

    Args:
        dataset: as the containers are given it.
        options: of which the dataset to test on counts.
        workdir: as the containers see it.
        pod: with the volumes.

    Raises:
        UserError: one lies on no volume.
    """
    uris.check_folder(workdir, "--workdir")
    if pod.mount_of(workdir) is None:
        raise UserError(
            f"`--workdir={workdir}` lies on no volume, and training states have to outlive a step's pod. Mount one with"
            f" --volume=CLAIM:{pathlib.PurePosixPath('/', workdir).parent}, and keep --workdir on it."
        )
    for flag, spec in (("--dataset", dataset), ("--test_dataset", options.test_dataset)):
        path = path_of(spec)
        if path is not None and pod.mount_of(path) is None:
            raise UserError(
                f"`{flag}={spec}`: the containers do not see `{path}`, which lies on no volume. Copy the data to a"
                f" volume and name its place there, for example {flag}={_moved(spec, path, pod)}"
                f" ({flag}_here names this machine's copy)."
            )


def check_weights(experiment: ExperimentConfig, pod: Pod) -> None:
    """Raises `UserError` where the settings name a file of weights that the containers do not see."""
    for name in _WEIGHTS:
        value = str(getattr(experiment.model, name))
        if value not in ("", "none", "imagenet", imagenet_weights.AUTO) and pod.mount_of(value) is None:
            raise UserError(
                f"`--set=model.{name}={value}`: the containers do not see this file, which lies on no volume. Copy it"
                " to a volume, and name its place there."
            )


def path_of(spec: str) -> str | None:
    """Returns the path that a dataset's name holds, None for one that is made or that the image brings."""
    kind, colon, argument = spec.partition(":")
    if kind not in sources.READERS or (argument and not colon):
        return spec or None
    return argument.partition(",")[0] if sources.READERS[kind].argument_help.startswith(":PATH") else None


def _moved(spec: str, path: str, pod: Pod) -> str:
    place = next(iter(pod.volumes), "/mnt")
    return spec.replace(path, f"{place}/{pathlib.PurePosixPath(path).name}")
