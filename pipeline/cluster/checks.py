"""Checks before a pipeline is compiled: what the cluster's containers will not find is said here, not there."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data import sources
from data.errors import UserError
from models import imagenet_weights
from models.hyperparameters import ExperimentConfig
from pipeline import beam_options
from pipeline.cluster import uris
from pipeline.cluster.pods import Pod

_RUNNERS = ("FnApiRunner", "DirectRunner", "BundleBasedDirectRunner")  # those that work in the step's own pod
_WEIGHTS = ("weights", "backbone_weights")  # of `model.`
_NO_FILE = ("", "none", "imagenet", imagenet_weights.AUTO)  # in their place
_DATA_DIR = "data_dir="  # option of tfds:NAME that holds a path
_PATTERN = "*?[@"  # marks of a name that stands for several files


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
    """Checks that Beam would work in a step's pod: other machines do not see its folders.

    Raises:
        UserError: it would not, or as `beam_options.check_form`.
    """
    beam_options.check_form(arguments)
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


def check_here(flag: str, spec: str) -> None:
    """Raises `UserError` where this machine, which reads a dataset for the plan, has no such path.

    Args:
        flag: that names it, with dashes.
        spec: of the dataset.
    """
    path = path_of(spec)
    if path is not None and not any(mark in path for mark in _PATTERN) and not os.path.exists(path):
        raise UserError(
            f"`{flag}={spec}`: this machine reads the data, too, for the plan and the cache's key, and there is no"
            f" `{path}` here. Copy the same data to this machine, and name it with"
            f" {flag}_here={spec.replace(path, 'PATH')}."
        )


def check_weights(experiment: ExperimentConfig, ranges: Mapping[str, Mapping[str, Any]], pod: Pod) -> None:
    """Checks that files of pretrained weights lie where every container sees them.

    Args:
        experiment: settings that the search begins with.
        ranges: what is searched, as `SearchConfig.ranges`.
        pod: with the volumes.

    Raises:
        UserError: one lies on no volume.
    """
    for name in _WEIGHTS:
        begun = (f"--set=model.{name}=", getattr(experiment.model, name))
        tried = ((f"--space, model.{name}: ", one) for one in ranges.get(f"model.{name}", {}).get("choices", ()))
        for place, value in (begun, *tried):
            if str(value) not in _NO_FILE and pod.mount_of(str(value)) is None:
                raise UserError(
                    f"`{place}{value}`: the containers do not see this file, which lies on no volume. Copy it to a"
                    " volume, and name its place there."
                )


def check_plugins(names: Sequence[str], pod: Pod) -> None:
    """Raises `UserError` where a plug-in is a file that the containers do not see; modules are in the image."""
    for name in names:
        path = pathlib.Path(os.path.expanduser(name)).resolve()
        if name.endswith(".py") and pod.mount_of(str(path)) is None:
            raise UserError(
                f"`--plugin={name}`: the containers do not see `{path}`, which lies on no volume. Install it as a"
                f" module in the image and here, and give --plugin={path.stem}; or keep it on a volume that this"
                " machine has under the same path."
            )


def check_trials(parallel_trials: int | None, pod: Pod) -> None:
    """Raises `UserError` where more trials are to train at a time than the Tuner's pod has GPUs, or cores without."""
    flag, unit, most = ("gpus", "GPU", pod.gpus) if pod.gpus else ("cpu", "core", pod.cores)
    if parallel_trials is not None and most is not None and parallel_trials > most:
        given = f"--{flag}={pod.gpus or pod.cpu}"
        raise UserError(
            f"`--parallel_trials={parallel_trials}` needs a {unit} for each trial, and the Tuner's pod gets {given}."
            f" Give --{flag}={parallel_trials}, or lower --parallel_trials to {most}."
        )


def path_of(spec: str) -> str | None:
    """Returns the path that a dataset's name holds, None for one that is made or that the image brings."""
    kind, colon, argument = spec.partition(":")
    if kind not in sources.READERS or (argument and not colon):
        return spec or None
    first, *others = argument.split(",")
    if sources.READERS[kind].argument_help.startswith(":PATH"):
        return first
    return next((one.removeprefix(_DATA_DIR) for one in others if one.startswith(_DATA_DIR)), None)


def _moved(spec: str, path: str, pod: Pod) -> str:
    place = next(iter(pod.volumes), "/mnt")
    return spec.replace(path, f"{place}/{pathlib.PurePosixPath(path).name}")
