"""COCO's numbers as a TFMA metric: what runs inside the Evaluator's Beam pipeline.

TFMA's own extractors parse every feature of an example into tensors. Detection ground truth is ragged and
images are large, so the extractors here hand the raw examples to the models, pair each image's ground truth
with its detections and drop the image bytes before anything is grouped.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.extractors import extractor, predictions_extractor, slice_key_extractor
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from data import examples
from models import detection_metrics, detections

NUM_IMAGES_KEY = "num_images"
BATCH_SIZE = 16  # images a model call; Arrow batches may hold 1,000, too many decoded images for a small GPU
_RESULTS_KEY = "image_results"

Extracts = dict[str, Any]
Row = tuple[str, tuple[str, ...], detection_metrics.ImageResult]  # source id, class names, one image


class CocoMetrics(metric_types.Metric):
    """COCO's twelve numbers, AP and AP50 of each class, and `num_images`, for each model."""

    def __init__(self, name: str = "coco", source_hash: str = "") -> None:
        """Stores the settings TFMA passes on.

        Args:
            name: TFMA's name of the metric; the numbers have `coco_metrics`' names.
            source_hash: of the code behind the numbers; a setting, so that TFX's cache sees an edit.
        """
        super().__init__(_computations, name=name, source_hash=source_hash)


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[extractor.Extractor]:
    """Makes the extractors; the Evaluator finds this function by its `module_path`.

    Where the baseline was trained on other classes, its detections are taken by class name: a class the
    candidate does not know is dropped, one the baseline does not know counts as missed.

    Args:
        eval_shared_model: TFMA's model, or candidate and baseline in a list.
        eval_config: of the Evaluator.
        tensor_adapter_config: not used; the models parse the examples.

    Returns:
        Extractors from Arrow record batches of serialized examples to one `ImageResult` an image and model.

    Raises:
        UserError: a model has no labels.
    """
    del tensor_adapter_config
    models = eval_shared_model if isinstance(eval_shared_model, list) else [eval_shared_model]
    class_names = {model.model_name: detections.read_class_names(model.model_path) for model in models}
    candidate = next(model.model_name for model in models if not model.is_baseline)
    return [
        extractor.Extractor("ReadSerializedExamples", beam.FlatMap(_serialized_examples)),
        predictions_extractor.PredictionsExtractor(eval_config, eval_shared_model),
        extractor.Extractor("PairWithGroundTruth", beam.FlatMap(_pair, class_names, class_names[candidate])),
        slice_key_extractor.SliceKeyExtractor(eval_config=eval_config, materialize=False),
    ]


def _serialized_examples(extracts: Extracts) -> Iterator[Extracts]:
    """Splits an Arrow record batch into batches of serialized examples."""
    record_batch = extracts[constants.ARROW_RECORD_BATCH_KEY]
    index = record_batch.schema.get_field_index(constants.ARROW_INPUT_COLUMN)
    serialized = record_batch.column(index).flatten().to_pylist()
    for start in range(0, len(serialized), BATCH_SIZE):
        batch = np.array(serialized[start : start + BATCH_SIZE], dtype=object)
        yield {constants.INPUT_KEY: batch, constants.FEATURES_KEY: {}}


def _pair(
    extracts: Extracts, class_names: Mapping[str, Sequence[str]], gt_class_names: Sequence[str]
) -> Iterator[Extracts]:
    """Yields each image's results by model name; the image's bytes stay behind."""
    outputs = extracts[constants.PREDICTIONS_KEY]
    by_model = outputs if len(class_names) > 1 else {next(iter(class_names)): outputs}
    for row, serialized in enumerate(extracts[constants.INPUT_KEY]):
        record = examples.decode_example(serialized)
        results = {}
        for model_name, names in class_names.items():
            found = detections.image_detections(by_model[model_name], row)
            results[model_name] = _image_result(record, found, names, gt_class_names)
        yield {
            constants.FEATURES_KEY: {},
            _RESULTS_KEY: (record.source_id, tuple(gt_class_names), results),
        }


def _image_result(
    record: examples.DetectionRecord,
    found: detections.Detections,
    class_names: Sequence[str],
    gt_class_names: Sequence[str],
) -> detection_metrics.ImageResult:
    result = detections.image_result(record, found)
    if list(class_names) == list(gt_class_names):
        return result
    labels = [gt_class_names.index(name) if name in gt_class_names else -1 for name in class_names]
    return detections.image_result(record, found.with_labels(np.array(labels, np.int32)))


class _ModelResults(metric_types.Preprocessor):
    """Selects one model's result of an image."""

    def __init__(self, model_name: str) -> None:
        super().__init__(name=f"coco_results_{model_name}")
        self._model_name = model_name

    def process(self, extracts: Extracts) -> Iterator[Row]:
        source_id, class_names, results = extracts[_RESULTS_KEY]
        yield source_id, class_names, results[self._model_name]


class _CocoCombineFn(beam.CombineFn):
    """Collects the results of all images (about 3 KB each), then computes the metrics once."""

    def __init__(self, model_name: str) -> None:
        super().__init__()
        self._model_name = model_name

    def create_accumulator(self) -> list[Row]:
        return []

    def add_input(self, accumulator: list[Row], element: Row) -> list[Row]:
        accumulator.append(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Row]]) -> list[Row]:
        return [row for accumulator in accumulators for row in accumulator]

    def extract_output(self, accumulator: list[Row]) -> dict[metric_types.MetricKey, float]:
        if not accumulator:
            return {}
        rows = sorted(accumulator, key=lambda row: row[0])  # Beam's order varies; ties in score depend on it
        metrics = detection_metrics.coco_metrics([result for _, _, result in rows], rows[0][1])
        metrics[NUM_IMAGES_KEY] = float(len(rows))
        return {_key(name, self._model_name): value for name, value in metrics.items()}


def _key(name: str, model_name: str) -> metric_types.MetricKey:
    # TFMA looks up `MetricsSpec.thresholds` with example_weighted=None.
    return metric_types.MetricKey(name, model_name=model_name, example_weighted=None)


def _computations(name: str, source_hash: str, model_names: Sequence[str]) -> metric_types.MetricComputations:
    del source_hash  # only there for the cache
    return [
        metric_types.MetricComputation(
            keys=[_key(f"{name}_of_{model_name}", model_name)],
            preprocessors=[_ModelResults(model_name)],
            combiner=_CocoCombineFn(model_name),
        )
        for model_name in model_names or [""]
    ]
