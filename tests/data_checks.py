"""StatisticsGen, SchemaGen and ExampleValidator, run after what makes the examples."""

import pathlib
from typing import Any

from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import local_dag_runner

from pipeline import beam_options, pipeline


def run(folder: pathlib.Path, examples: Any, output: str, beam_args: list[str] | None = None) -> pathlib.Path:
    """Runs the components; returns the folder of their artifacts.

    Args:
        folder: to work in.
        examples: component that makes them.
        output: of it.
        beam_args: as of `ssd-tuner run`.
    """
    local_dag_runner.LocalDagRunner().run(
        tfx_pipeline.Pipeline(
            "data_checks",
            str(folder / "pipeline"),
            components=[examples, *pipeline.make_data_checks(examples.outputs[output])],
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(folder / "metadata.db")),
            beam_pipeline_args=beam_options.arguments(beam_args or []),
        )
    )
    return folder / "pipeline"
