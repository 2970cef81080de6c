"""Nothing before the Evaluator reads the test split: a run of the components with one that cannot be read."""

import pathlib

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.dsl.components.common import importer
from tfx.types import standard_artifacts

from data import examples
from tests import data_checks, tiny_detector

CLASS_NAMES = ["person", "bicycle", "car"]
CLASS_KEY = "image/object/class/text"
MARK = "only_in_test"


def run_data_checks(folder: pathlib.Path, corrupt: bool) -> pathlib.Path:
    """Runs StatisticsGen, SchemaGen and ExampleValidator on three splits; returns the folder of their artifacts.

    Args:
        folder: to work in.
        corrupt: whether the test split is not a TFRecord file; else its examples have a class of their own.
    """
    records = tiny_detector.records_of(tiny_detector.random_results())
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        path = tiny_detector.write_split(folder / "examples" / f"Split-{split}", records[:count], CLASS_NAMES)
    if corrupt:
        pathlib.Path(path).write_bytes(b"no TFRecord")
    else:
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[MARK.encode()]))
            example = tf.train.Example(features=tf.train.Features(feature={CLASS_KEY: value}))
            writer.write(example.SerializeToString())
    imported = importer.Importer(
        source_uri=str(folder / "examples"),
        artifact_type=standard_artifacts.Examples,
        properties={"split_names": '["train", "val", "test"]'},
    ).with_id("examples")
    return data_checks.run(folder, imported, "result")


def read_statistics(path: pathlib.Path) -> statistics_pb2.DatasetFeatureStatistics:
    (found,) = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets
    return found


# A split that cannot be read ends the run if it is read; one that can be read repeats that with its features.
@pytest.mark.parametrize("corrupt", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_neither_statistics_nor_schema_nor_anomalies_hold_the_test_split(tmp_path, corrupt) -> None:
    root = run_data_checks(tmp_path, corrupt)
    statistics = {path.parent.name: read_statistics(path) for path in root.glob("StatisticsGen/statistics/*/*/*")}
    assert {split: one.num_examples for split, one in statistics.items()} == {"Split-train": 4, "Split-val": 2}
    (schema,) = root.glob("SchemaGen/schema/*/schema.pbtxt")
    inferred = text_format.Parse(schema.read_text(), schema_pb2.Schema())
    assert {feature.name for feature in inferred.feature} == set(examples.stored_features()) - {"image/encoded"}
    (classes,) = [domain.value for domain in inferred.string_domain if domain.name == CLASS_KEY]
    assert set(classes) <= set(CLASS_NAMES)
    assert classes
    anomalies = {path.parent.name for path in root.glob("ExampleValidator/anomalies/*/*/*")}
    assert anomalies == {"Split-train", "Split-val"}
