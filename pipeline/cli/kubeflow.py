"""`ssd-tuner kubeflow compile`: writes the pipeline for Kubeflow Pipelines v2, and starts it."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from data import errors, files, sources
from pipeline import environment, planning
from pipeline.cli import data_flags, parsing, run
from pipeline.cluster import checks, pods, submit
from pipeline.screen import display
from tuner_fn import devices

SUMMARY = "Compile the pipeline of `run` for Kubeflow Pipelines v2, and start it there."
USAGE = (
    "compile --dataset=DATASET --preset=PRESET --workdir=FOLDER --volume=CLAIM:FOLDER --pipeline_root=URI --image=IMAGE"
    " [flags]"
)
EXTRA = "pipeline"
EXAMPLE = (
    "ssd-tuner kubeflow compile --dataset=road_scenes --preset=quick --workdir=/mnt/demo --volume=ssd-tuner:/mnt "
    "--pipeline_root=minio://mlpipeline/v2/artifacts --image=registry.example/ssd-tuner:0.1.0 --output=pipeline.yaml"
)

_ACTIONS = ("compile",)
_ENDINGS = (".yaml", ".yml")
_HERE = ("dataset_here", "test_dataset_here")
_POD_FLAGS = {
    "volume": (
        "A PersistentVolumeClaim and the folder where all containers mount it, for example ssd-tuner:/mnt; the run"
        " directory and the data lie there. May be given several times."
    ),
    "node_selector": "Run on nodes with this label, as LABEL=VALUE. May be given several times.",
    "toleration": (
        "Run also on nodes with this taint, as KEY[=VALUE][:EFFECT], for example nvidia.com/gpu:NoSchedule. May be"
        " given several times."
    ),
    "secret_env": (
        "Give the containers a key of a secret as a variable, as SECRET:KEY=VARIABLE. May be given several times."
    ),
    "image_pull_secret": "Secret that pulls --image. May be given several times.",
}
_SIZES = {
    "cpu": "CPU of each step, requested and at most, for example 4.",
    "memory": "Memory of each step, requested and at most, for example 16Gi.",
    "shared_memory": "Size of /dev/shm, for example 2Gi. By default the container runtime's, 64 MB.",
}


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    run.define_experiment_flags(flag_values)
    texts = {
        "workdir": "Run directory as the cluster's containers see it, on a --volume.",
        "pipeline_root": "Where the cluster keeps the artifacts: minio://, s3:// or gs://, a bucket and a path.",
        "image": "Container image that has ssd-tuner installed (deploy/Dockerfile).",
    }
    for name, text in texts.items():
        flags.DEFINE_string(name, None, text, required=True, flag_values=flag_values)
    for name in _HERE:
        flag = name.removesuffix("_here")
        text = f"Name of --{flag} on this machine, which reads it for the plan and for the cache; by default --{flag}."
        flags.DEFINE_string(name, None, text, flag_values=flag_values)
    flags.DEFINE_string("output", "pipeline.yaml", "File to write, .yaml.", flag_values=flag_values)
    _define_pod_flags(flag_values)
    _define_server_flags(flag_values)


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Runs the command.

    Args:
        arguments: "compile".
        flag_values: parsed flags.

    Returns:
        0 once the file is written, and the run started where one is asked for.
    """
    _check_action(arguments)
    output = flag_values["output"].value
    if not output.endswith(_ENDINGS):
        raise errors.UserError(f"`--output` needs a name that ends in .yaml or .yml: got `{output}`.")
    files.check_writable(output, "--output")
    pod = _pod(flag_values)
    environment.check_environment("kubeflow")
    with display.open_display(flag_values["verbosity"].value) as screen:
        values = run.experiment_values(flag_values) | {"workdir": flag_values["workdir"].value}
        here, found, _ = planning.plan_run(_data_here(values, flag_values), here=False)
        data = dataclasses.replace(here.data, test_dataset=values["data"].test_dataset)
        workdir = pathlib.Path(values["workdir"])  # not resolved here
        config = dataclasses.replace(here, dataset=values["dataset"], data=data, workdir=workdir)
        checks.check_weights(config.experiment, config.search.ranges, pod)
        run.print_plan(screen, found)
        screen.note("Starting TFX (about 15 s) ...")
        from pipeline.runners import kubeflow

        path = kubeflow.compile_pipeline(
            config,
            sources.open_source(here.dataset, here.data),
            pipeline_root=flag_values["pipeline_root"].value,
            image=flag_values["image"].value,
            pod=pod,
            output=output,
        )
        screen.note(f"Wrote {path}")
        if flag_values["submit"].value is not None:
            page = submit.submit(
                path,
                flag_values["submit"].value,
                experiment=flag_values["experiment"].value,
                namespace=flag_values["namespace"].value,
            )
            screen.print_facts({"run": page})
    return 0


def _pod(flag_values: flags.FlagValues) -> pods.Pod:
    """Checks what can be checked before the dataset is read; returns what each step's pod is given."""
    if flag_values["preset"].value is None:
        raise errors.UserError(
            "`kubeflow compile` needs `--preset`, since the machine that compiles is not the one that trains:"
            " --preset=standard for a GPU, cpu without one, quick for road_scenes."
        )
    checks.check_root(flag_values["pipeline_root"].value)
    checks.check_beam(flag_values["beam_args"].value or ())
    checks.check_ray(flag_values["ray"].value)
    devices.check_reserved(flag_values["trial_cpus"].value, flag_values["trial_gpus"].value)
    names = (*_POD_FLAGS, *_SIZES, "gpus", "gpu_resource", "retries")
    pod = pods.parse({name: flag_values[name].value for name in names})
    checks.check_trials(flag_values["parallel_trials"].value, pod)
    checks.check_plugins(flag_values[parsing.PLUGIN].value or (), pod)
    options = data_flags.options(flag_values)
    checks.check_paths(flag_values["dataset"].value, options, flag_values["workdir"].value, pod)
    return pod


def _data_here(values: Mapping[str, Any], flag_values: flags.FlagValues) -> dict[str, Any]:
    """Returns a run's values with the datasets as this machine has them.

    Raises:
        UserError: this machine does not have one.
    """
    dataset, test_dataset = (flag_values[name].value for name in _HERE)
    data = values["data"]
    if test_dataset is not None and not data.test_dataset:
        raise errors.UserError("`--test_dataset_here` needs `--test_dataset`, the same data as the containers see it.")
    if dataset is None:
        checks.check_here("--dataset", values["dataset"])
    if test_dataset is None:
        checks.check_here("--test_dataset", data.test_dataset)
    data = dataclasses.replace(data, test_dataset=test_dataset or data.test_dataset)
    return {**values, "dataset": dataset or values["dataset"], "data": data}


def _define_pod_flags(flag_values: flags.FlagValues) -> None:
    for name, text in _POD_FLAGS.items():
        flags.DEFINE_multi_string(name, None, text, flag_values=flag_values)
    for name, text in _SIZES.items():
        flags.DEFINE_string(name, None, text, flag_values=flag_values)
    flags.DEFINE_integer(
        "gpus",
        0,
        f"GPUs of each of {', '.join(pods.GPU_STEPS)}.",
        lower_bound=0,
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "gpu_resource", pods.Pod.gpu_resource, "What Kubernetes calls the GPU.", flag_values=flag_values
    )
    flags.DEFINE_integer(
        "retries",
        pods.Pod.retries,
        "How often a step that failed is tried again; search and training continue from their last epoch.",
        lower_bound=0,
        flag_values=flag_values,
    )


def _define_server_flags(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "submit",
        None,
        "Start a run on the Kubeflow Pipelines server at this address, for example http://localhost:8080, and print the"
        " run's page.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "experiment",
        submit.EXPERIMENT,
        "Kubeflow's experiment that --submit shows the run in.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "namespace", "", "A user's namespace, for --submit to a shared Kubeflow platform.", flag_values=flag_values
    )


def _check_action(arguments: Sequence[str]) -> None:
    if list(arguments) == list(_ACTIONS):
        return
    if not arguments:
        raise errors.UserError(f"`kubeflow` needs an action: compile. Example: {EXAMPLE}")
    if arguments[0] not in _ACTIONS:
        hint = errors.nearest(arguments[0], _ACTIONS)
        raise errors.UserError(f"`{arguments[0]}` is not an action of `kubeflow`.{hint}")
    raise errors.UserError(f"`kubeflow compile` takes flags only: got `{arguments[1]}`.")
