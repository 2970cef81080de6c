"""COCO's numbers as a TFMA metric: what runs inside the Evaluator's Beam pipeline.

TFMA's own extractors parse every feature of an example into tensors. Detection ground truth is ragged and
images are large, so the extractors here hand the raw examples to the models, pair each image's ground truth
with its detections and drop the image bytes before anything is grouped.
"""

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.extractors import extractor, predictions_extractor, slice_key_extractor
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from data import examples
from models.evaluation import coco, constancy, detections, image_results, paired_bootstrap

NUM_IMAGES_KEY = "num_images"
IMAGES_KEY = "image_results"  # the candidate's, as bytes of `ImageResults`
CONSTANCY_KEY = "constancy"  # of `constancy.constancy`
# The candidate's numbers beside a baseline. The baseline has the last one, too: TFMA's change thresholds are for
# differences, and no model is worse than itself.
COMPARISON_KEYS = ("difference", "low", "high", "p_worse")
P_WORSE_KEY = COMPARISON_KEYS[-1]
BATCH_SIZE = 16  # images a model call; Arrow batches may hold 1,000, too many decoded images for a small GPU
_RESULTS_KEY = "image_results"

Extracts = dict[str, Any]


class Row(NamedTuple):
    """One image: its name, the CRC-32 of its bytes, the names of the labels, and what each model found."""

    source_id: str
    checksum: int
    class_names: tuple[str, ...]
    by_model: dict[str, coco.ImageResult]


class CocoMetrics(metric_types.Metric):
    """COCO's numbers, AP and AP50 of each class, `num_images` and `constancy`, for each model; how two compare.

    The candidate's detections are kept beside its numbers.
    """

    def __init__(self, name: str = "coco", objective: str = "AP50", source_hash: str = "") -> None:
        """Stores the settings TFMA passes on.

        Args:
            name: TFMA's name of the metric; the numbers have `coco_metrics`' names.
            objective: the number by which candidate and baseline are compared.
            source_hash: of the code behind the numbers; a setting, so that TFX's cache sees an edit.
        """
        super().__init__(_computations, name=name, objective=objective, source_hash=source_hash)


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
    return make_extractors(eval_shared_model, eval_config)


def make_extractors(
    eval_shared_model: Any,
    eval_config: config_pb2.EvalConfig,
    features: Callable[[examples.DetectionRecord], dict[str, np.ndarray]] = lambda record: {},
) -> list[extractor.Extractor]:
    """Makes the extractors of `custom_extractors`, for slices by features of each image.

    Args:
        eval_shared_model: as of `custom_extractors`.
        eval_config: of the evaluation.
        features: returns {feature: values} of an image, which the slices of `eval_config` name.

    Returns:
        As `custom_extractors`.

    Raises:
        UserError: a model has no labels.
    """
    models = eval_shared_model if isinstance(eval_shared_model, list) else [eval_shared_model]
    class_names = {model.model_name: detections.read_class_names(model.model_path) for model in models}
    candidate = next(model.model_name for model in models if not model.is_baseline)
    return [
        extractor.Extractor("ReadSerializedExamples", beam.FlatMap(_serialized_examples)),
        predictions_extractor.PredictionsExtractor(eval_config, eval_shared_model),
        extractor.Extractor("PairWithGroundTruth", beam.FlatMap(_pair, class_names, class_names[candidate], features)),
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
    extracts: Extracts,
    class_names: Mapping[str, Sequence[str]],
    gt_class_names: Sequence[str],
    features: Callable[[examples.DetectionRecord], dict[str, np.ndarray]],
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
            constants.FEATURES_KEY: features(record),
            _RESULTS_KEY: Row(record.source_id, zlib.crc32(record.encoded), tuple(gt_class_names), results),
        }


def _image_result(
    record: examples.DetectionRecord,
    found: detections.Detections,
    class_names: Sequence[str],
    gt_class_names: Sequence[str],
) -> coco.ImageResult:
    result = detections.image_result(record, found)
    if list(class_names) == list(gt_class_names):
        return result
    labels = [gt_class_names.index(name) if name in gt_class_names else -1 for name in class_names]
    return detections.image_result(record, found.with_labels(np.array(labels, np.int32)))


class _ImageResults(metric_types.Preprocessor):
    """Selects an image's results."""

    def process(self, extracts: Extracts) -> Iterator[Row]:
        """Yields the one row of an image."""
        yield extracts[_RESULTS_KEY]


class _CocoCombineFn(beam.CombineFn):
    """Collects the results of all images (about 3 KB each and model), then computes the metrics once."""

    def __init__(self, objective: str) -> None:
        super().__init__()
        self._objective = objective

    def create_accumulator(self) -> list[Row]:
        """Begins with no image."""
        return []

    def add_input(self, accumulator: list[Row], element: Row) -> list[Row]:
        """Adds an image."""
        accumulator.append(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Row]]) -> list[Row]:
        """Joins the images of several workers."""
        return [row for accumulator in accumulators for row in accumulator]

    def extract_output(self, accumulator: list[Row]) -> dict[metric_types.MetricKey, Any]:
        """Computes the metrics of each model and, where there is a baseline, the comparison."""
        if not accumulator:
            return {}
        rows = sorted(accumulator, key=lambda row: row.source_id)  # Beam's order varies; ties in score depend on it
        class_names = rows[0].class_names
        by_model = {name: [row.by_model[name] for row in rows] for name in rows[0].by_model}
        candidate = _candidate(by_model)
        images = _images(rows, by_model[candidate])
        numbers: dict[metric_types.MetricKey, Any] = {_key(IMAGES_KEY, candidate): images}
        for model_name, results in by_model.items():
            metrics = coco.coco_metrics(results, class_names)
            metrics |= {NUM_IMAGES_KEY: float(len(rows)), CONSTANCY_KEY: constancy.constancy(results)}
            numbers |= {_key(name, model_name): value for name, value in metrics.items()}
        return numbers | self._comparison(by_model, class_names)

    def _comparison(
        self, by_model: Mapping[str, Sequence[coco.ImageResult]], class_names: Sequence[str]
    ) -> dict[metric_types.MetricKey, float]:
        if constants.BASELINE_KEY not in by_model:
            return {}
        pair = by_model[constants.CANDIDATE_KEY], by_model[constants.BASELINE_KEY]
        found = dataclasses.asdict(paired_bootstrap.compare(*pair, class_names, self._objective))
        numbers = {_key(name, constants.CANDIDATE_KEY): found[name] for name in COMPARISON_KEYS}
        return numbers | {_key(P_WORSE_KEY, constants.BASELINE_KEY): 0.0}


def _candidate(by_model: Mapping[str, Any]) -> str:
    """Names the candidate, which TFMA does where there is a baseline, too."""
    return constants.CANDIDATE_KEY if constants.CANDIDATE_KEY in by_model else next(iter(by_model))


def _images(rows: Sequence[Row], results: Sequence[coco.ImageResult]) -> bytes:
    checksums = np.array([row.checksum for row in rows], np.uint32)
    ids = tuple(row.source_id for row in rows)
    return image_results.ImageResults(rows[0].class_names, ids, checksums, tuple(results)).to_bytes()


def _key(name: str, model_name: str) -> metric_types.MetricKey:
    # TFMA looks up `MetricsSpec.thresholds` with example_weighted=None.
    return metric_types.MetricKey(name, model_name=model_name, example_weighted=None)


def _computations(
    name: str, objective: str, source_hash: str, model_names: Sequence[str]
) -> metric_types.MetricComputations:
    del source_hash  # only there for the cache
    return [
        metric_types.MetricComputation(
            keys=[_key(f"{name}_of_{model_name}", model_name) for model_name in model_names or [""]],
            preprocessors=[_ImageResults(name="coco_results")],
            combiner=_CocoCombineFn(objective),
        )
    ]
