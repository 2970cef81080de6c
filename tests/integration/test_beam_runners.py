"""Beam on workers elsewhere: ingestion and the data checks on a cluster of processes."""

import pathlib

import pytest

from pipeline.components.example_gen import DetectionExampleGen
from tests import beam_cluster, data_checks


@pytest.fixture(scope="module")
def cluster():
    with beam_cluster.start() as arguments:
        yield arguments


def run(folder: pathlib.Path, arguments: list[str]) -> pathlib.Path:
    dataset = "road_scenes:train=70,val=2,test=2,size=32x48"
    examples = DetectionExampleGen(dataset=dataset, fingerprint="f", report_dir=str(folder / "report"))
    return data_checks.run(folder, examples, "examples", arguments)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("DetectionExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file() and ".system" not in path.parts
    }


def test_a_cluster_makes_the_same_examples_statistics_and_schema(tmp_path, cluster) -> None:
    here, there = (contents(run(tmp_path / name, own)) for name, own in (("here", []), ("there", cluster)))
    assert here.keys() == there.keys()
    assert {pathlib.PurePath(path).name for path in here} >= {"FeatureStats.pb", "schema.pbtxt", "SchemaDiff.pb"}
    assert [path for path in here if here[path] != there[path]] == []
