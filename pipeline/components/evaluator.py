"""The TFX Evaluator: COCO metrics on the test split, thresholds, and the verdict in words."""

import dataclasses
import json
import math
import pathlib
from typing import Any

from tensorflow_model_analysis.api import model_eval_lib
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers import eval_config_writer
from tfx import types
from tfx.components.evaluator import component, constants
from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies import latest_blessed_model_strategy
from tfx.types import standard_artifacts

from models.evaluation import coco, constancy, metrics, paired_bootstrap
from pipeline.components import coco_metric
from pipeline.configs import MAX_P_WORSE
from tuner_fn import objectives
from tuner_fn.objectives import DEFAULT_OBJECTIVE

SPLIT = "test"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What the Evaluator measured.

    Attributes:
        metrics: the candidate's numbers, as `detection_metrics.coco_metrics` names them; empty where the
            split has no image.
        baseline_metrics: the last blessed model's; None where there was none.
        comparison: how the two compare by the objective; None where there was no other model, or no image.
        num_images: images of the split.
        objective: the number that decides, for example "AP50".
        min_map: the least value of it that is blessed.
        max_p_worse: the highest `comparison.p_worse` that is blessed; None where there was no other model.
        constancy: of the candidate's detections, as `constancy.constancy`.
        max_constancy: the highest that is blessed; None where it does not count.
    """

    metrics: dict[str, float]
    baseline_metrics: dict[str, float] | None
    comparison: paired_bootstrap.Comparison | None
    num_images: int
    objective: str
    min_map: float
    max_p_worse: float | None
    constancy: float = 0.0
    max_constancy: float | None = None


class LastBlessedOtherModelStrategy(latest_blessed_model_strategy.LatestBlessedModelStrategy):
    """Resolves the latest blessed model that is not the candidate.

    TFX's own strategy returns the candidate itself once it is blessed. A second run with nothing changed
    would then have another baseline than the first: Evaluator, ServingCheck and Pusher would miss the cache,
    and the same model would be pushed again.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Resolves `model` and `model_blessing`, leaving out the model in `candidate`."""
        candidates = input_dict["candidate"]
        candidate_ids = {artifact.id for artifact in candidates}
        others = {
            "model": [artifact for artifact in input_dict["model"] if artifact.id not in candidate_ids],
            "model_blessing": input_dict["model_blessing"],
        }
        return super().resolve_artifacts(store, others) | {"candidate": candidates}


def make_baseline_resolver(candidate: types.BaseChannel) -> resolver.Resolver:
    """Makes the node that finds the model to compare with.

    Kubeflow Pipelines knows TFX's own strategy only; use `LatestBlessedModelStrategy` there.

    Args:
        candidate: the Trainer's model.

    Returns:
        The node; its output `model` is empty where no other model was blessed.
    """
    return resolver.Resolver(
        strategy_class=LastBlessedOtherModelStrategy,
        candidate=candidate,
        model=types.Channel(type=standard_artifacts.Model),
        model_blessing=types.Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("last_blessed_model")


def eval_config(
    min_map: float, objective: str = DEFAULT_OBJECTIVE, max_p_worse: float = MAX_P_WORSE, source_hash: str = ""
) -> config_pb2.EvalConfig:
    """Makes TFMA's settings: one metric, blessed at or above a value and where not shown to be below the baseline's.

    A model that answers much the same whatever it sees is not blessed either.

    Args:
        min_map: least value that is blessed, in [0, 1]; at 0 a model whose answer is always the same is blessed, too,
            unless it is shown to be worse than the baseline.
        objective: one of `objectives.every`, what the search went by.
        max_p_worse: highest probability of being worse than the baseline that is blessed, in [0, 1].
        source_hash: of the code the numbers depend on; a new one makes TFX's cache evaluate again.

    Returns:
        The settings. Where no baseline model is given TFX ignores the comparison and keeps the value.

    Raises:
        ValueError: a value is outside [0, 1] or the metric unknown.
    """
    for name, value in (("min_map", min_map), ("max_p_worse", max_p_worse)):
        if not 0 <= value <= 1:
            raise ValueError(f"`{name}` must be in [0, 1]: got {value}.")
    if objective not in objectives.every():
        raise ValueError(f"`objective` must be one of {', '.join(objectives.every())}: got `{objective}`.")
    metric = config_pb2.MetricConfig(
        class_name=coco_metric.CocoMetrics.__name__,
        module=coco_metric.__name__,
        config=json.dumps({"name": "coco", "objective": objective, "source_hash": source_hash}),
    )
    thresholds = {
        objective: config_pb2.MetricThreshold(
            value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": min_map})
        ),
        coco_metric.P_WORSE_KEY: config_pb2.MetricThreshold(
            change_threshold=config_pb2.GenericChangeThreshold(
                direction=config_pb2.MetricDirection.LOWER_IS_BETTER, absolute={"value": max_p_worse}
            )
        ),
    }
    if min_map > 0:
        thresholds[coco_metric.CONSTANCY_KEY] = config_pb2.MetricThreshold(
            value_threshold=config_pb2.GenericValueThreshold(upper_bound={"value": constancy.MOST})
        )
    return config_pb2.EvalConfig(
        # Named, the type spares TFMA an attempt to load each model as a Keras file.
        model_specs=[config_pb2.ModelSpec(signature_name="serving_default", model_type="tf_generic")],
        slicing_specs=[config_pb2.SlicingSpec()],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[metric], thresholds=thresholds)],
        options=config_pb2.Options(include_default_metrics={"value": False}),
    )


def make_evaluator(
    examples: types.BaseChannel,
    model: types.BaseChannel,
    baseline_model: types.BaseChannel | None,
    *,
    min_map: float,
    objective: str = DEFAULT_OBJECTIVE,
    max_p_worse: float = MAX_P_WORSE,
    source_hash: str = "",
) -> component.Evaluator:
    """Makes the Evaluator component.

    Args:
        examples: Examples with a test split; the others are not read.
        model: the Trainer's model; `assets.extra/labels.txt` names its classes.
        baseline_model: the last blessed model from a Resolver, or None.
        min_map: as `eval_config`.
        objective: as `eval_config`.
        max_p_worse: as `eval_config`.
        source_hash: as `eval_config`.

    Returns:
        The component; its outputs are `evaluation` and `blessing`.

    Raises:
        ValueError: as `eval_config`.
    """
    return component.Evaluator(
        examples=examples,
        model=model,
        baseline_model=baseline_model,
        example_splits=[SPLIT],
        eval_config=eval_config(min_map, objective, max_p_worse, source_hash),
        module_path=coco_metric.__name__,
    )


def read_evaluation(evaluation_dir: str) -> Evaluation:
    """Reads the numbers the Evaluator wrote.

    Args:
        evaluation_dir: uri of its `evaluation` artifact.

    Returns:
        The numbers of candidate and baseline.
    """
    config, *_ = eval_config_writer.load_eval_run(evaluation_dir)
    baseline_names = {spec.name for spec in config.model_specs if spec.is_baseline}
    candidate, baseline = {}, {}
    for metrics_of_slice in model_eval_lib.load_metrics(evaluation_dir):
        for entry in metrics_of_slice.metric_keys_and_values:
            if not entry.key.is_diff and entry.key.name != coco_metric.IMAGES_KEY:
                numbers = baseline if entry.key.model_name in baseline_names else candidate
                numbers[entry.key.name] = entry.value.double_value.value
    thresholds = config.metrics_specs[0].thresholds
    (objective,) = thresholds.keys() - {coco_metric.P_WORSE_KEY, coco_metric.CONSTANCY_KEY}
    compared = all(name in candidate for name in coco_metric.COMPARISON_KEYS)
    return Evaluation(
        metrics=in_coco_order(candidate),
        baseline_metrics=in_coco_order(baseline) if baseline_names else None,
        comparison=_comparison(candidate) if compared else None,
        num_images=int(candidate.get(coco_metric.NUM_IMAGES_KEY, 0)),
        objective=objective,
        min_map=thresholds[objective].value_threshold.lower_bound.value,
        max_p_worse=thresholds[coco_metric.P_WORSE_KEY].change_threshold.absolute.value if baseline_names else None,
        constancy=candidate.get(coco_metric.CONSTANCY_KEY, 0.0),
        max_constancy=constancy.MOST if coco_metric.CONSTANCY_KEY in thresholds else None,
    )


def read_image_results(evaluation_dir: str) -> bytes | None:
    """Reads what the candidate found in each image of the test split.

    Args:
        evaluation_dir: uri of its `evaluation` artifact.

    Returns:
        Bytes of `image_results.ImageResults`; None where the split has no image.
    """
    for metrics_of_slice in model_eval_lib.load_metrics(evaluation_dir):
        for entry in metrics_of_slice.metric_keys_and_values:
            if entry.key.name == coco_metric.IMAGES_KEY:
                return entry.value.bytes_value
    return None


def read_blessing(evaluation_dir: str, blessing_dir: str) -> tuple[bool, list[str], dict[str, float]]:
    """Reads whether the Evaluator blessed the model, and why or why not.

    Args:
        evaluation_dir: uri of its `evaluation` artifact.
        blessing_dir: uri of its `blessing` artifact.

    Returns:
        Blessed or not; sentences to print; the model's numbers on the test split.
    """
    evaluation = read_evaluation(evaluation_dir)
    blessed = (pathlib.Path(blessing_dir) / constants.BLESSED_FILE_NAME).exists()
    failed, passed = _reasons(evaluation)
    return blessed, passed if blessed else failed, evaluation.metrics


def _reasons(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """Returns what speaks against the model and what for it."""
    name, least = objectives.get(evaluation.objective).text, evaluation.min_map
    if not evaluation.num_images:
        return [f"{name} cannot be computed: the {SPLIT} split has no images"], []
    value = evaluation.metrics[evaluation.objective]
    if math.isnan(value):
        return [f"{name} cannot be computed: the {SPLIT} split has no ground truth for it"], []
    failed, passed = [], []
    if value >= least:
        passed.append(f"{name} {value:.4f} reaches the threshold {least:.4f}")
    else:
        failed.append(f"{name} {value:.4f} is below the threshold {least:.4f}")
    if evaluation.max_constancy is not None and evaluation.constancy > evaluation.max_constancy:
        failed.append(
            f"{evaluation.constancy:.0%} of what it detects is the same in other images, where the objects are"
            f" others (at most {evaluation.max_constancy:.0%} is allowed): the model hardly looks at the image"
        )
    if evaluation.comparison is None:
        passed.append("no model was blessed before, so the threshold alone decides")
        return failed, passed
    found, most = evaluation.comparison, evaluation.max_p_worse
    before = f"the last blessed model's {evaluation.baseline_metrics[evaluation.objective]:.4f}"
    numbers = (
        f"difference {found.difference:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f}, "
        f"worse with probability {found.p_worse:.3f}, at most {most:g} allowed"
    )
    if found.p_worse <= most:
        passed.append(f"{name} {value:.4f} is not shown to be worse than {before} ({numbers})")
    else:
        failed.append(f"{name} {value:.4f} is worse than {before} ({numbers})")
    return failed, passed


def _comparison(numbers: dict[str, float]) -> paired_bootstrap.Comparison:
    return paired_bootstrap.Comparison(**{name: numbers[name] for name in coco_metric.COMPARISON_KEYS})


def in_coco_order(numbers: dict[str, float]) -> dict[str, float]:
    """Sorts numbers as `coco_metrics` does, and leaves others out; TFMA stores them in no order."""
    classes = [name.removeprefix("AP/") for name in numbers if name.startswith("AP/")]
    names = [*coco.SUMMARY_KEYS, *metrics.REGISTERED, *(f"{key}/{c}" for c in classes for key in ("AP", "AP50"))]
    return {name: numbers[name] for name in names if name in numbers}
