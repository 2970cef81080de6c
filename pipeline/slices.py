"""The test result by parts of the images: TFMA's slices by class, object size and brightness.

A slice of TFMA is a set of examples, and an example is an image. So a slice holds the images that show a class, or an
object of a size, or that are dark: its numbers count everything in these images and nothing in others. COCO's numbers
by class and by size (`AP50/car`, `AP_small`) are no slices: a false car in an image without cars counts in them, and
objects of other sizes are ignored in them. Each slice has them, too.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
from apache_beam.options import pipeline_options
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.api import model_eval_lib
from tensorflow_model_analysis.proto import config_pb2
from tfx_bsl.tfxio import raw_tf_record

from data import dataset_info, errors, examples, input_pipeline
from models.evaluation import detections, image_results, paired_bootstrap
from pipeline import beam_options
from pipeline.components import coco_metric, evaluator
from tuner_fn.objectives import DEFAULT_OBJECTIVE

CLASS, SIZE, BRIGHTNESS = FEATURES = ("class", "size", "brightness")
SIZES = ("small", "medium", "large")
BRIGHTNESSES = ("dark", "medium", "bright")
# The features of each group of slices: every one alone, and what is hard in the dark.
GROUPS = ((CLASS,), (SIZE,), (BRIGHTNESS,), (BRIGHTNESS, CLASS), (BRIGHTNESS, SIZE))
NUM_RESAMPLES = 1000
_SMALL_PX, _MEDIUM_PX = 32.0**2, 96.0**2  # areas at which COCO's medium and large begin


@dataclasses.dataclass(frozen=True)
class Slice:
    """A set of images and what the model found in them.

    Attributes:
        features: {feature of `FEATURES`: value} that its images have; {} for all images.
        metrics: as `coco.coco_metrics`.
        images: ground truth and detections.
    """

    features: Mapping[str, str]
    metrics: Mapping[str, float]
    images: image_results.ImageResults

    @property
    def name(self) -> str:
        """Its values, as "dark, small"; "all images"."""
        return ", ".join(self.features.values()) or "all images"

    @property
    def num_objects(self) -> int:
        """Objects in its images, regions to ignore left out."""
        return sum(int((~one.gt_is_crowd).sum()) for one in self.images.results)

    def interval(self, metric: str, num_resamples: int = NUM_RESAMPLES) -> tuple[float, float]:
        """Computes the 95 % interval of a metric by a bootstrap over the slice's images; NaN where there is none.

        Args:
            metric: as of `paired_bootstrap.compare`.
            num_resamples: at least 1.
        """
        about = (self.images.results, self.images.class_names, metric)
        values = paired_bootstrap.resampled(*about, num_resamples=num_resamples)
        values = values[~np.isnan(values)]
        tail = (1 - paired_bootstrap.LEVEL) / 2
        low, high = np.quantile(values, [tail, 1 - tail]) if values.size else (np.nan, np.nan)
        return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Features:
    """Computes the features of an image, which TFMA slices by.

    Attributes:
        class_names: in label order.
        edges: brightness, 0 to 255, at which `BRIGHTNESSES` end, but for the last.
    """

    class_names: tuple[str, ...]
    edges: tuple[float, float]

    def __call__(self, record: examples.DetectionRecord) -> dict[str, np.ndarray]:
        """Returns {feature: values}; an image has as many classes and sizes as its objects, regions to ignore aside."""
        shown = ~record.is_crowd
        sizes = np.digitize(record.area_px[shown], [_SMALL_PX, _MEDIUM_PX])
        level = int(np.digitize(brightness(record), self.edges))
        return {
            CLASS: np.array([self.class_names[label] for label in np.unique(record.labels[shown])], np.str_),
            SIZE: np.array([SIZES[size] for size in np.unique(sizes)], np.str_),
            BRIGHTNESS: np.array([BRIGHTNESSES[level]], np.str_),
        }


def brightness(record: examples.DetectionRecord) -> float:
    """Returns the mean of an image's pixels, 0 to 255, as the detector sees them."""
    return float(input_pipeline.decode_pixels(record.encoded).numpy().mean())


def brightness_edges(files: Sequence[str]) -> tuple[float, float]:
    """Finds the brightnesses that divide the images of TFRecord files into three equal parts.

    Raises:
        UserError: there is no image.
    """
    values = [brightness(record) for record in input_pipeline.read_records(files)]
    if not values:
        raise errors.UserError(f"There is no image in {', '.join(files) or 'no file'}. Name a split with images.")
    dark, medium = np.quantile(values, [1 / 3, 2 / 3])
    return float(dark), float(medium)


def evaluate(
    model: str, examples_dir: pathlib.Path, output: pathlib.Path, *, objective: str = DEFAULT_OBJECTIVE
) -> list[Slice]:
    """Evaluates an exported model on the test split with TFMA, by slice.

    Args:
        model: folder of a SavedModel.
        examples_dir: of ingested examples, as `RunDirectory.ingested` lists them.
        output: folder for TFMA's files, which `tfma.load_eval_result` reads, too.
        objective: as of `evaluator.eval_config`.

    Returns:
        All images, then the slices of each of `GROUPS`; without those that have no image.

    Raises:
        UserError: the split has no image, or the model no labels.
    """
    files = dataset_info.split_files(examples_dir, evaluator.SPLIT)
    features = Features(tuple(detections.read_class_names(model)), brightness_edges(files))
    config = _config(objective)
    shared = model_eval_lib.default_eval_shared_model(model, eval_config=config)
    extractors = coco_metric.make_extractors(shared, config, features)
    source = raw_tf_record.RawTfRecordTFXIO(files, constants.ARROW_INPUT_COLUMN, ["ssd-tuner"])
    with beam.Pipeline(options=pipeline_options.PipelineOptions(beam_options.arguments(()))) as pipeline:
        _ = (
            pipeline
            | "Read" >> source.BeamSource()
            | "Evaluate"
            >> model_eval_lib.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared, eval_config=config, extractors=extractors, output_path=str(output)
            )
        )
    return read(output)


def read(output: pathlib.Path) -> list[Slice]:
    """Reads what `evaluate` wrote; returns the same."""
    return sorted(_slices(output), key=_place)


def _config(objective: str) -> config_pb2.EvalConfig:
    """Makes TFMA's settings: the metric of the Evaluator, without its thresholds, in every slice."""
    config = evaluator.eval_config(0.0, objective)
    config.metrics_specs[0].thresholds.clear()
    for group in GROUPS:
        config.slicing_specs.append(config_pb2.SlicingSpec(feature_keys=group))
    return config


def _slices(output: pathlib.Path) -> Iterator[Slice]:
    for found in model_eval_lib.load_metrics(str(output)):
        entries = {entry.key.name: entry.value for entry in found.metric_keys_and_values}
        images = image_results.ImageResults.from_bytes(entries.pop(coco_metric.IMAGES_KEY).bytes_value)
        numbers = {name: value.double_value.value for name, value in entries.items()}
        keys = {key.column: key.bytes_value.decode() for key in found.slice_key.single_slice_keys}
        ordered = {name: keys[name] for name in (BRIGHTNESS, CLASS, SIZE) if name in keys}
        yield Slice(ordered, evaluator.in_coco_order(numbers), images)


def _place(one: Slice) -> tuple[int, list[int]]:
    """Orders the slices as `GROUPS`, then by the values as they are listed here, classes by their labels."""
    orders = {CLASS: one.images.class_names, SIZE: SIZES, BRIGHTNESS: BRIGHTNESSES}
    groups = [frozenset(), *map(frozenset, GROUPS)]
    values = [orders[feature].index(value) for feature, value in one.features.items()]
    return groups.index(frozenset(one.features)), values
