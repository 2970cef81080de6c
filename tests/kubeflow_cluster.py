"""Runs a compiled pipeline as Kubeflow Pipelines does, without a cluster.

What the API server refuses is refused, the drivers' inputs, cache and retries are theirs, and the launcher's copies go
through an S3 server. Each step has folders of its own, which are gone when it ends, so that nothing passes from step
to step but what passes on a cluster: artifacts by the object store, and the volume.

Written after kubeflow/pipelines, backend/src/v2: component/launcher_v2.go, driver/, cacheutils/cache.go,
metadata/client.go, objectstore/object_store.go.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import boto3
import yaml
from botocore import exceptions
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from moto import server as moto_server

from pipeline.cluster import entrypoint
from tests import command_line

FOLDERS = {"gs": "gcs", "minio": "minio", "s3": "s3"}
_ARGO_NAME = re.compile(r"[a-zA-Z0-9](-?[a-zA-Z0-9])*")  # of a task, as Argo's validation has it
_PIPELINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
# Runs a command line in a folder with an environment; returns exit status and log.
Start = Callable[[list[str], pathlib.Path, dict[str, str]], tuple[int, str]]


class RefusedError(ValueError):
    """The API server would not take the file."""


class StepFailedError(RuntimeError):
    """A step failed as often as it is tried."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A compiled file that the API server takes."""

    pipeline: dict[str, Any]
    platform: dict[str, Any]

    @property
    def tasks(self) -> dict[str, Any]:
        return self.pipeline["root"]["dag"]["tasks"]

    def component(self, task: str) -> dict[str, Any]:
        return self.pipeline["components"][self.tasks[task]["componentRef"]["name"]]

    def container(self, task: str) -> dict[str, Any]:
        return self.pipeline["deploymentSpec"]["executors"][self.component(task)["executorLabel"]]["container"]

    def kubernetes(self, task: str) -> dict[str, Any]:
        executors = self.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return executors[self.component(task)["executorLabel"]]

    def order(self) -> Iterator[str]:
        """Yields the tasks, each after those that it depends on."""
        done: list[str] = []
        while len(done) < len(self.tasks):
            ready = [
                name
                for name, task in self.tasks.items()
                if name not in done and set(task.get("dependentTasks", ())) <= set(done)
            ]
            assert ready, "the tasks depend on one another in a circle"
            done += ready
            yield from ready


def read(path: pathlib.Path) -> Compiled:
    """Reads a compiled file, as the API server does.

    Raises:
        RefusedError: open-source Kubeflow Pipelines cannot run it.
    """
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    pipeline, platform = documents[0], documents[1] if len(documents) > 1 else {}
    try:
        json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
        deployment = json_format.ParseDict(pipeline["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        for executor in _kubernetes_executors(platform).values():
            json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    except json_format.ParseError as error:
        raise RefusedError(str(error)) from error
    _require(pipeline["schemaVersion"] == "2.1.0", f"schema version {pipeline['schemaVersion']}")
    _require(bool(_PIPELINE_NAME.fullmatch(pipeline["pipelineInfo"]["name"])), "the pipeline's name")
    for label, spec in deployment.executors.items():
        _require(spec.WhichOneof("spec") in ("container", "importer"), f"executor {label} is not implemented")
    for name, task in pipeline["root"]["dag"]["tasks"].items():
        _require(bool(_ARGO_NAME.fullmatch(name)) and name == task["taskInfo"]["name"], f"task name {name}")
    unknown = _kubernetes_executors(platform).keys() - deployment.executors.keys()
    _require(not unknown, f"platform for executors that are not there: {unknown}")
    return Compiled(pipeline, platform)


class Bucket:
    """The launcher's side of an object store."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def upload(self, local: pathlib.Path, uri: str) -> None:
        """Copies a file, or the files below a folder; empty folders do not exist in an object store."""
        bucket, key = _place(uri)
        if local.is_file():
            self._client.upload_file(str(local), bucket, key)
        for path in sorted(local.rglob("*")):
            if path.is_file():
                self._client.upload_file(str(path), bucket, f"{key}/{path.relative_to(local)}")

    def download(self, uri: str, local: pathlib.Path) -> None:
        """Copies what `upload` copied."""
        bucket, key = _place(uri)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        for found in itertools.chain.from_iterable(page.get("Contents", ()) for page in pages):
            rest = found["Key"].removeprefix(key)
            if rest and not rest.startswith("/"):
                continue
            path = local / rest.lstrip("/") if rest else local
            path.parent.mkdir(parents=True, exist_ok=True)
            self._client.download_file(bucket, found["Key"], str(path))


@dataclasses.dataclass
class Cluster:
    """What outlives a run: object store, cache, artifact ids.

    Attributes:
        bucket: the object store.
        pods: folder for the pods' own folders.
        start: runs a step's command.
        states: {task: "done" or "cached"} of the last run.
        logs: {task: logs of its tries} of the last run.
    """

    bucket: Bucket
    pods: pathlib.Path
    start: Start
    states: dict[str, str] = dataclasses.field(default_factory=dict)
    logs: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    _cache: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    _artifacts: int = 0

    def run(self, compiled: Compiled, only: Collection[str] = ()) -> dict[str, dict[str, Any]]:
        """Runs a pipeline.

        Args:
            compiled: the pipeline.
            only: the tasks to run; empty for all.

        Returns:
            {task: {output: KFP's RuntimeArtifact}}.

        Raises:
            StepFailedError: a step failed more often than it is tried again.
        """
        run_id, outputs = str(uuid.uuid4()), {}
        self.states, self.logs = {}, {}
        for task in compiled.order():
            if task in only or not only:
                outputs[task] = self._run_task(compiled, task, outputs, run_id)
        return outputs

    def _run_task(self, compiled: Compiled, task: str, outputs: dict[str, Any], run_id: str) -> dict[str, Any]:
        spec, container = compiled.tasks[task], compiled.container(task)
        inputs = self._inputs(compiled, task, outputs)
        key = json.dumps(
            [
                {name: [one["name"] for one in value["artifacts"]] for name, value in inputs["artifacts"].items()},
                inputs["parameterValues"],
                compiled.component(task)["outputDefinitions"],
                [container["command"], container["args"], container["image"], container.get("env")],
                sorted(one["constant"] for one in compiled.kubernetes(task).get("pvcMount", ())),
            ],
            sort_keys=True,
        )
        caches = spec.get("cachingOptions", {}).get("enableCache", False)
        if caches and key in self._cache:
            self.states[task] = "cached"
            return self._cache[key]
        tries = 1 + spec.get("retryPolicy", {}).get("maxRetryCount", 0)
        for _ in range(tries):
            pod = self.pods / f"{task}-{uuid.uuid4().hex[:6]}"
            try:
                found = self._launch(compiled, task, inputs, run_id, pod)
            finally:
                shutil.rmtree(pod, ignore_errors=True)
            if found is not None:
                break
        else:
            raise StepFailedError(f"{task} failed {tries} times; its last log:\n{self.logs[task][-1][-6000:]}")
        self.states[task] = "done"
        if caches:
            self._cache[key] = found
        return found

    def _inputs(self, compiled: Compiled, task: str, outputs: dict[str, Any]) -> dict[str, Any]:
        """Resolves a task's inputs, as the driver does."""
        given = compiled.tasks[task].get("inputs", {})
        parameters = {name: value["runtimeValue"]["constant"] for name, value in given.get("parameters", {}).items()}
        artifacts = {}
        for name, value in given.get("artifacts", {}).items():
            source = value["taskOutputArtifact"]
            artifacts[name] = {"artifacts": [outputs[source["producerTask"]][source["outputArtifactKey"]]]}
        return {"parameterValues": parameters, "artifacts": artifacts}

    def _launch(
        self, compiled: Compiled, task: str, inputs: dict[str, Any], run_id: str, pod: pathlib.Path
    ) -> dict[str, Any] | None:
        """Copies inputs into a pod, runs the command and copies outputs out of it; returns None where that failed."""
        name = compiled.pipeline["pipelineInfo"]["name"]
        base = f"{compiled.pipeline['defaultPipelineRoot']}/{name}/{run_id}/{task}/{uuid.uuid4()}"
        declared = compiled.component(task).get("outputDefinitions", {}).get("artifacts", {})
        outputs = {
            key: {"artifacts": [{"uri": f"{base}/{key}", "type": one["artifactType"], "metadata": one.get("metadata")}]}
            for key, one in declared.items()
        }
        for value in outputs.values():
            if value["artifacts"][0]["metadata"] is None:
                del value["artifacts"][0]["metadata"]
        output_file = pod / "tmp" / "kfp_outputs" / "output_metadata.json"
        output_file.parent.mkdir(parents=True)
        invocation = {"inputs": inputs, "outputs": {"artifacts": outputs, "outputFile": str(output_file)}}
        # As `protojson` writes it; a parsed copy, so that what the step gets has no field that KFP does not know.
        message = json_format.ParseDict(invocation, pipeline_spec_pb2.ExecutorInput())
        text = json.dumps(json_format.MessageToDict(message), separators=(",", ":"))
        try:
            for value in inputs["artifacts"].values():
                for artifact in value["artifacts"]:
                    self.bucket.download(artifact["uri"], _local(artifact["uri"], pod))
        except exceptions.ClientError as error:
            self.logs.setdefault(task, []).append(f"failed to download input artifact: {error}")
            return None
        for value in outputs.values():
            _local(value["artifacts"][0]["uri"], pod).parent.mkdir(parents=True, exist_ok=True)
        status, log = self._start(compiled, task, text, pod)
        self.logs.setdefault(task, []).append(log)
        if status != 0:
            return None
        return self._collect(task, outputs, output_file, pod)

    def _start(self, compiled: Compiled, task: str, invocation: str, pod: pathlib.Path) -> tuple[int, str]:
        container = compiled.container(task)
        words = [word.replace("{{$}}", invocation) for word in (*container["command"], *container["args"])]
        variables = {one["name"]: one["value"] for one in container.get("env", ())}
        variables |= {"SSD_TUNER_ARTIFACT_ROOT": str(pod), "TMPDIR": str(pod / "tmp")}
        return self.start(words, pod, variables)

    def _collect(
        self, task: str, outputs: dict[str, Any], output_file: pathlib.Path, pod: pathlib.Path
    ) -> dict[str, Any] | None:
        """Merges what the step says of its outputs, uploads and records them."""
        said = json.loads(output_file.read_text(encoding="utf-8")) if output_file.exists() else {}
        json_format.ParseDict(said, pipeline_spec_pb2.ExecutorOutput())
        found = {}
        for key, value in outputs.items():
            artifact = value["artifacts"][0]
            merged = said.get("artifacts", {}).get(key, {}).get("artifacts", [{}])[0]
            artifact["uri"] = merged.get("uri") or artifact["uri"]
            artifact["metadata"] = artifact.get("metadata", {}) | merged.get("metadata", {})
            for name, one in artifact["metadata"].items():
                assert isinstance(one, str | float | int | dict | list), f"ML Metadata does not store {name}={one!r}"
            scheme = artifact["uri"].partition("://")[0]
            if scheme in FOLDERS:
                try:
                    self.bucket.upload(_local(artifact["uri"], pod), artifact["uri"])
                except (exceptions.ClientError, boto3.exceptions.Boto3Error) as error:
                    self.logs[task].append(f"failed to upload output artifact: {error}")
                    return None
            self._artifacts += 1
            found[key] = artifact | {"name": str(self._artifacts)}
        return found


def in_a_process(words: list[str], pod: pathlib.Path, variables: Mapping[str, str]) -> tuple[int, str]:
    """Runs a step's command in a process of its own, in the pod's folder."""
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=pod,
        env=plain_environment() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=1200,
        check=False,
    )
    return done.returncode, done.stdout


@contextlib.contextmanager
def object_store(bucket: str) -> Iterator[Bucket]:
    """Serves an S3 store with one empty bucket."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=bucket)
        yield Bucket(client)
    finally:
        server.stop()


def in_this_process(words: list[str], pod: pathlib.Path, variables: Mapping[str, str]) -> tuple[int, str]:
    """Runs a step's command in this process, which has TFX already: another one takes 15 s to import it."""
    del pod
    before = os.environ.copy()
    os.environ.update({name: value for name, value in variables.items() if name != "TMPDIR"})  # Python keeps the first
    try:
        with command_line.captured("stdout", 1) as output, command_line.captured("stderr", 2) as problems:
            status = entrypoint.main(words[words.index(entrypoint.__name__) + 1 :])
            return status, command_line.text_of(output) + command_line.text_of(problems)
    finally:
        os.environ.clear()
        os.environ.update(before)


def plain_environment() -> dict[str, str]:
    """Returns this process's variables without what importing TFX has set."""
    return {name: value for name, value in os.environ.items() if name not in ("TF_USE_LEGACY_KERAS", "PYTHONPATH")}


def _kubernetes_executors(platform: Mapping[str, Any]) -> dict[str, Any]:
    return platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise RefusedError(what)


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def _local(uri: str, pod: pathlib.Path) -> pathlib.Path:
    scheme, _, rest = uri.partition("://")
    return pod / FOLDERS[scheme] / rest
