"""Beam on workers elsewhere: ingestion and the data checks on a cluster of processes."""

import pathlib
from collections.abc import Sequence

import distributed
import pytest

from pipeline.components.example_gen import DetectionExampleGen
from tests import beam_cluster, data_checks

PARTS = ("DetectionExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator")


@pytest.fixture(scope="module")
def cluster():
    with beam_cluster.start() as arguments:
        yield arguments


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What is made in one process."""
    return contents(run(tmp_path_factory.mktemp("here"), []))


def run(folder: pathlib.Path, arguments: list[str], own: list[str] | None = None) -> pathlib.Path:
    """Runs the components; `own` are options of DetectionExampleGen alone."""
    dataset = "road_scenes:train=70,val=2,test=2,size=32x48"
    examples = DetectionExampleGen(dataset=dataset, fingerprint="f", report_dir=str(folder / "report"))
    if own is not None:
        examples = examples.with_beam_pipeline_args(own)
    return data_checks.run(folder, examples, "examples", arguments)


def contents(folder: pathlib.Path, parts: Sequence[str] = PARTS) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.is_file() and ".system" not in path.parts
    }


def test_a_cluster_makes_the_same_examples_statistics_and_schema(tmp_path, cluster, here) -> None:
    there = contents(run(tmp_path, cluster))
    assert here.keys() == there.keys()
    assert {pathlib.PurePath(path).name for path in here} >= {"FeatureStats.pb", "schema.pbtxt", "SchemaDiff.pb"}
    assert [path for path in here if here[path] != there[path]] == []


@pytest.mark.slow  # that ingestion runs elsewhere is shown above
def test_ingestion_runs_on_two_processes_of_dask(tmp_path, here) -> None:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as dask:
        own = [
            "--runner=apache_beam.runners.dask.dask_runner.DaskRunner",
            f"--dask_client_address={dask.scheduler_address}",
        ]
        there = contents(run(tmp_path, [], own), PARTS[:1])
        distributed.default_client().close()  # Beam leaves it open, and it would ask for the cluster until the end
    assert there
    assert there == {path: content for path, content in here.items() if path.startswith(PARTS[0])}
