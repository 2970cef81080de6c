"""Compiles the pipeline for Kubeflow Pipelines v2, with the document that says what the pods are given."""

import os
import pathlib
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.types import BaseChannel

from data import files, plugins
from data.sources import Source
from models.training import devices
from pipeline import beam_options
from pipeline.cluster import entrypoint
from pipeline.cluster.pods import GPU_STEPS, Pod
from pipeline.components import last_blessed
from pipeline.configs import NAME, RunConfig
from pipeline.pipeline import make_components
from pipeline.source_hash import source_hash

# -P: a folder `data` or `models` where the container starts would otherwise take the place of the kit's packages.
COMMAND = ("python", "-P", "-m", entrypoint.__name__)
_ENVIRONMENT = {"TF_USE_LEGACY_KERAS": "0", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


def compile_pipeline(
    config: RunConfig, source: Source, *, pipeline_root: str, image: str, pod: Pod, output: str | os.PathLike[str]
) -> pathlib.Path:
    """Writes the pipeline that `ssd-tuner run` runs as a Kubeflow Pipelines v2 specification.

    Args:
        config: settings; `workdir` and the datasets are as the cluster's containers see them.
        source: the same data, opened on this machine.
        pipeline_root: of the artifacts, for example minio://mlpipeline/v2/artifacts.
        image: container image with this package installed.
        pod: what each step is given.
        output: YAML file to write: the pipeline, then the platform.

    Returns:
        The file's path.
    """
    output = pathlib.Path(output).resolve()
    spec = _tfx_spec(config, source, pipeline_root, image)
    platform = _finish(spec, pod)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())  # a field that KFP does not know is an error here
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    files.write_text(output, yaml.safe_dump_all([spec, platform], sort_keys=True))
    return output


def _tfx_spec(config: RunConfig, source: Source, pipeline_root: str, image: str) -> dict[str, Any]:
    """Compiles with TFX; returns KFP's `PipelineSpec`."""

    def last_blessed_model(candidate: BaseChannel) -> Any:
        return last_blessed.LastBlessedModel(
            candidate=candidate,
            serving_model=str(config.paths.serving_model),
            source_hash=source_hash(last_blessed.__name__),
        )

    pipeline = tfx_pipeline.Pipeline(
        pipeline_name=NAME.replace("_", "-"),
        pipeline_root=pipeline_root,
        components=make_components(config, source, last_blessed_model),
        enable_cache=True,
        beam_pipeline_args=beam_options.arguments(config.beam_args),
    )
    settings = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
        default_image=image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True
    )
    job = kubeflow_v2_dag_runner.KubeflowV2DagRunner(config=settings).run(pipeline, write_out=False)
    return job["pipelineSpec"] | {"defaultPipelineRoot": pipeline_root}


def _finish(spec: dict[str, Any], pod: Pod) -> dict[str, Any]:
    """Adds to a specification what TFX has no word for; returns KFP's `PlatformSpec`."""
    executors, on_kubernetes = spec["deploymentSpec"]["executors"], {}
    for step, task in spec["root"]["dag"]["tasks"].items():
        label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        container = executors[label]["container"]
        container["env"] = [{"name": name, "value": value} for name, value in _environment(step, pod).items()]
        if resources := pod.resources(step):
            container["resources"] = resources
        if pod.retries:
            task["retryPolicy"] = pod.retry_policy()
        on_kubernetes[label] = pod.platform()
    # What lies on the volume is not part of KFP's cache key.
    del spec["root"]["dag"]["tasks"][last_blessed.LastBlessedModel.__name__]["cachingOptions"]
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": on_kubernetes}}}}


def _environment(step: str, pod: Pod) -> dict[str, str]:
    """Returns the variables that a step's container gets."""
    named = os.environ.get(plugins.VARIABLE, "")
    gpus = {devices.POD_GPUS: str(pod.gpus)} if pod.gpus and step in GPU_STEPS else {}
    return _ENVIRONMENT | ({plugins.VARIABLE: named} if named else {}) | gpus
