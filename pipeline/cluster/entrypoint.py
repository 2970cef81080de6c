"""What a container of Kubeflow Pipelines starts: one step of the pipeline, between KFP's launcher and TFX.

TFX's own entry point opens the URIs that the launcher names. This one gives it the folders that the launcher has copied
them to, and writes the URIs into what goes back.
"""

import argparse
import contextlib
import json
import logging
import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data import plugins
from pipeline import environment, failures
from pipeline.cluster import uris

_FLAGS = ("executor_class_path", "json_serialized_invocation_args", "json_serialized_inputs_spec_args")


def main(arguments: Sequence[str]) -> int:
    """Runs a step.

    Args:
        arguments: as TFX's `kubeflow_v2_run_executor` takes them: `--executor_class_path`, then
            `--json_serialized_invocation_args` with KFP's `ExecutorInput` as JSON, `--json_serialized_inputs_spec_args`
            with the component's, and options for Beam.

    Returns:
        The exit status, as of `ssd-tuner`: 0 done, 2 a user's mistake or a full disk, 130 stopped, 1 a bug.
    """
    try:
        environment.check_environment("pipeline")
        _prepare()
        known, beam_arguments = _parse(arguments)
        invocation = json.loads(known.json_serialized_invocation_args)
        known.json_serialized_invocation_args = json.dumps(inputs_here(invocation))
        with _run_directory(invocation):
            _run(known, beam_arguments)
        _send_back(pathlib.Path(invocation["outputs"]["outputFile"]))
    except (Exception, KeyboardInterrupt) as error:
        failure = failures.explain(error)
        if failure.status == failures.STATUS_BUG:
            traceback.print_exception(error)
        kind = "" if failure.status == failures.STATUS_INTERRUPTED else "error: "
        print(f"ssd-tuner: {kind}{failure.message}", file=sys.stderr, flush=True)
        return failure.status
    return 0


def inputs_here(invocation: dict[str, Any]) -> dict[str, Any]:
    """Returns what a step is given with the places of its artifacts in this container.

    Args:
        invocation: KFP's `ExecutorInput`.

    Returns:
        The same with folders for URIs. Inputs that stand for none have no artifact, and those without a name have one,
        as TFX takes an artifact's id from its name.
    """
    inputs, outputs = dict(invocation.get("inputs", {})), dict(invocation["outputs"])
    inputs["artifacts"] = uris.map_artifacts(inputs.get("artifacts", {}), uris.to_path)
    for name, value in inputs["artifacts"].items():
        given = [artifact for artifact in value["artifacts"] if not artifact.get("metadata", {}).get(uris.EMPTY)]
        value["artifacts"] = [artifact | {"name": artifact.get("name") or name} for artifact in given]
    outputs["artifacts"] = uris.map_artifacts(outputs.get("artifacts", {}), uris.to_path)
    return {**invocation, "inputs": inputs, "outputs": outputs}


def entry_point() -> None:
    """Runs the process's step and exits. SIGTERM, as Kubernetes sends it, is a Ctrl-C: the step saves its state."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads of Beam and TensorFlow would be waited for


def _prepare() -> None:
    """Makes the process what `ssd-tuner`'s is, before anything imports TFX."""
    environment.keep_keras_3()
    environment.ignore_current_folder()
    environment.ignore_pillow_warnings()
    environment.share_gpu()
    plugins.load_again()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")  # the pod's log is all there is


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="pipeline.cluster.entrypoint", allow_abbrev=False)
    for name in _FLAGS:
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_known_args(arguments)


@contextlib.contextmanager
def _run_directory(invocation: Mapping[str, Any]) -> Iterator[None]:
    """Holds the run directory of a step that changes it: two runs at a time would spoil each other's files."""
    from pipeline import workdir

    settings = invocation.get("inputs", {}).get("parameterValues", {}).get("custom_config")
    folder = (json.loads(settings) or {}).get("workdir") if settings else None  # TFX writes none as "null"
    if folder is None:
        yield
        return
    root = pathlib.Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    with workdir.locked(root, is_needed=False):
        yield


def _run(known: argparse.Namespace, beam_arguments: list[str]) -> None:
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    kubeflow_v2_run_executor.main((known, beam_arguments))


def _send_back(output_file: pathlib.Path) -> None:
    """Writes URIs for folders into what a step says about its outputs."""
    output = json.loads(output_file.read_text(encoding="utf-8"))
    output["artifacts"] = uris.map_artifacts(output.get("artifacts", {}), uris.to_uri)
    output_file.write_text(json.dumps(output), encoding="utf-8")


if __name__ == "__main__":
    entry_point()
