"""Compiles the pipeline for Kubeflow Pipelines v2."""

import os
import pathlib

from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.types import BaseChannel, Channel, standard_artifacts

from data.sources import open_source
from pipeline.configs import NAME, RunConfig
from pipeline.pipeline import make_components


def compile_pipeline(
    config: RunConfig, *, pipeline_root: str, image: str, output: str | os.PathLike[str]
) -> pathlib.Path:
    """Writes the pipeline that `ssd-tuner run` runs as a Kubeflow Pipelines v2 specification.

    Args:
        config: settings; `workdir` is the run directory as the cluster's containers see it.
        pipeline_root: of the artifacts, for example gs://bucket/runs.
        image: container image with this package installed.
        output: file to write, .yaml or .json.

    Returns:
        The file's path.

    Raises:
        UserError: the dataset cannot be opened.
    """
    output = pathlib.Path(output).resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    components = make_components(config, open_source(config.dataset, config.data), _latest_blessed)
    pipeline = tfx_pipeline.Pipeline(
        pipeline_name=NAME.replace("_", "-"),
        pipeline_root=pipeline_root,
        components=components,
        enable_cache=True,
        beam_pipeline_args=list(config.beam_args),
    )
    settings = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image=image)
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=settings, output_dir=str(output.parent), output_filename=output.name
    )
    runner.run(pipeline, write_out=True)
    return output


def _latest_blessed(candidate: BaseChannel) -> Resolver:
    """Makes the only baseline resolver that Kubeflow Pipelines knows."""
    del candidate
    return Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("last_blessed_model")
