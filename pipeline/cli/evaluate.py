"""`ssd-tuner evaluate`: COCO metrics of an exported model on one split of a dataset."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from data import errors, example_rules, examples, files, loading, progress, sources
from models.hyperparameters import InputConfig
from pipeline.cli import data_flags
from pipeline.screen import display

if TYPE_CHECKING:
    from models.evaluation import coco

SUMMARY = "Compute COCO metrics of an exported model on a dataset."
USAGE = "--model=DIR --dataset=KIND:PATH [--split=test] [--classes=a,b] [--output=metrics.json]"
EXAMPLE = "ssd-tuner evaluate --model=runs/demo/serving_model/VERSION --dataset=road_scenes --split=test"

_MOST_NAMED = 5
_DIVISION = ("splits", "split_seed", "group_by", "test_dataset", "test_classes")  # which split has an image


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_string(
        "model",
        None,
        "Run directory, folder of an exported model, or a .tflite file.",
        required=True,
        flag_values=flag_values,
    )
    data_flags.define_flags(flag_values)
    flags.DEFINE_enum("split", "test", list(sources.SPLITS), "Split to read.", flag_values=flag_values)
    flags.DEFINE_string(
        "output",
        "metrics.json",
        "File for the numbers. The recall by position is written beside it: NAME_spatial_recall.npz and .png.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "min_score",
        0.3,
        "Score from which detections count in the recall by position.",
        lower_bound=0,
        upper_bound=1,
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Evaluates a model.

    Args:
        arguments: none.
        flag_values: as `define_flags`.

    Returns:
        0, where the metrics were written.

    Raises:
        UserError: the model or dataset is unusable, or their classes differ.
    """
    from models.evaluation import detections, spatial_recall, spatial_recall_plot
    from models.export import predict

    if arguments:
        raise errors.UserError(f"`evaluate` takes flags only: got `{arguments[0]}`. Example: {EXAMPLE}")
    files.check_writable(flag_values.output, "--output")
    model = predict.find_model(flag_values.model)
    class_names = detections.read_class_names(model)
    with display.open_display(flag_values.verbosity) as screen:
        options = divided_as_trained(flag_values.dataset, data_flags.options(flag_values), model)
        source = open_for_model(flag_values.dataset, options, class_names, flag_values.split)
        screen.note(f"Loading {model} ...")
        detector = predict.load_detector(model)
        positions = spatial_recall.Counter(source.class_names, flag_values.min_score)
        report = evaluate(detector, source, flag_values.split, positions.add)
        recall = positions.result()
        report = {"model": model, **report, "settings": _settings(model), "spatial_recall": recall.summary()}
        files.write_json(flag_values.output, report)
        maps = pathlib.Path(flag_values.output).with_suffix("")
        maps = maps.with_name(f"{maps.name}_{spatial_recall.FILE_NAME}")
        files.write_bytes(maps, recall.to_bytes())
        title = f"Recall by position: {report['dataset']}, split {report['split']}, {report['num_images']} images"
        files.write_bytes(maps.with_suffix(".png"), spatial_recall_plot.plot(recall, title))
        metrics = {k: math.nan if value is None else value for k, value in report["metrics"].items()}
        screen.note(_conditions(report))
        screen.print_metrics(metrics, title=f"COCO metrics, split {report['split']}")
        for row in report["quarantined"][:_MOST_NAMED]:
            screen.note(f"Left out: {row['file']}: {row['reason']}")
        for text in recall.texts():
            screen.note(text)
        screen.note(f"Written to {flag_values.output} and {maps.with_suffix('.png')}")
    return 0


def divided_as_trained(spec: str, options: sources.DataOptions, model: str) -> sources.DataOptions:
    """Takes over how the data was divided for a model's training, where that is not given.

    Another division of the same images would score the model on what it was trained on.

    Args:
        spec: as `--dataset`.
        options: as given.
        model: folder of a SavedModel, or a .tflite file.

    Returns:
        The options; those of another dataset, and those that divide it, stay as they are.
    """
    from models.evaluation import detections
    from models.export import model_card

    training = json.loads(detections.read_extra(model, model_card.TRAINING_FILE) or "{}")
    trained_on = training.get("dataset_path") or training.get("dataset", {}).get("spec")
    if trained_on is None or "options" not in training or sources.canonical(trained_on) != sources.canonical(spec):
        return options
    own, default = sources.DataOptions.from_dict(training["options"]), sources.DataOptions()
    given = {name: getattr(options, name) for name in _DIVISION}
    as_trained = {name: getattr(own, name) for name in _DIVISION}
    if given == as_trained or any(value != getattr(default, name) for name, value in given.items()):
        return options
    flags_of = " ".join(f"--{name}={_text(as_trained[name])}" for name in _DIVISION if as_trained[name] != given[name])
    progress.emit("note", text=f"The data is divided as for the model's training: {flags_of}")
    return dataclasses.replace(options, **as_trained)


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def open_for_model(spec: str, options: sources.DataOptions, class_names: Sequence[str], split: str) -> sources.Source:
    """Opens a dataset and checks that it has the model's classes.

    Args:
        spec: as `--dataset`.
        options: what to take of it; its classes are those to score.
        class_names: the model's.
        split: that must be there.

    Returns:
        The dataset, its classes in the model's order and as the model spells them.

    Raises:
        UserError: the dataset is unusable, the model does not know one of its classes, or, where all are taken, the
            dataset lacks one of the model's.
    """
    source = sources.open_source(spec, options, required_splits=[split])
    in_data = {name: own for name in class_names if (own := _same_class(name, source.class_names))}
    only_data = [name for name in source.class_names if name not in in_data.values()]
    only_model = [name for name in class_names if name not in in_data]
    if only_data or (only_model and options.classes is None):
        parts = [("only in the dataset", only_data), ("only in the model", only_model)]
        differences = "; ".join(f"{where}: {', '.join(names)}" for where, names in parts if names)
        shown = ",".join(name if name == own else f"{name}={own}" for name, own in in_data.items())
        hint = f" Score the common ones with --classes={shown}." if in_data else ""
        if only_data and only_model:
            hint += f" Pair classes that mean the same with --classes={only_model[0]}={only_data[0]},..."
        raise errors.UserError(f"The dataset `{spec}` and the model differ in classes ({differences}).{hint}")
    if list(in_data) == list(source.class_names):
        return source
    entries = dict(zip(source.class_names, options.classes or source.class_names, strict=True))
    renamed = {own: f"{name}={entries[own].partition('=')[2] or own}" for name, own in in_data.items() if name != own}
    ordered = dataclasses.replace(options, classes=tuple((entries | renamed)[own] for own in in_data.values()))
    return sources.open_source(spec, ordered, required_splits=[split])


def _same_class(name: str, known: Sequence[str]) -> str | None:
    """Returns the known class of a name, else the only one of that name in another case."""
    alike = [name] if name in known else [other for other in known if other.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def evaluate(
    detector: Any,
    source: sources.Source,
    split: str,
    on_result: Callable[["coco.ImageResult"], None] = lambda result: None,
) -> dict[str, Any]:
    """Scores a model on a split; bad examples are left out and listed.

    Args:
        detector: as `predict.load_detector` gives.
        source: dataset with classes the model knows; detections of others are dropped.
        split: to read.
        on_result: gets what was found in each image.

    Returns:
        dataset, split, class_names, num_images, quarantined (file, reason), max_detections and metrics (None
        where there is no ground truth).

    Raises:
        UserError: too many of the examples are bad, or no image is left.
    """
    from models.evaluation import coco, score

    names = list(source.class_names)
    quarantined: list[dict[str, str]] = []
    metrics, num_images = score.evaluate(detector, good_records(source, split, quarantined), names, on_result)
    if not num_images:
        raise errors.UserError(f"The split {split} of `{source.spec}` has no images. Choose another --split.")
    return {
        "dataset": source.spec,
        "split": split,
        "class_names": names,
        "num_images": num_images,
        "quarantined": quarantined,
        "max_detections": coco.MAX_DETECTIONS,
        "metrics": coco.to_json_numbers(metrics),
    }


def good_records(
    source: sources.Source, split: str, quarantined: list[dict[str, str]]
) -> Iterator[examples.DetectionRecord]:
    """Loads the examples of a split that are not bad.

    Args:
        source: the dataset.
        split: of it.
        quarantined: gets file and reason of each bad one.

    Yields:
        The others.

    Raises:
        UserError: too many are bad; as soon as that is certain.
    """
    total = len(source.items(split))
    for record in loading.load_split(source, split, quarantined):
        _check_share(source, split, quarantined, total)
        yield record
    _check_share(source, split, quarantined, total)


def _check_share(source: sources.Source, split: str, quarantined: Sequence[dict[str, str]], total: int) -> None:
    if example_rules.too_many_bad(len(quarantined), total):
        first = quarantined[0]
        raise errors.UserError(
            f"At least {len(quarantined)} of {total} examples of the split {split} of `{source.spec}` are bad,"
            f" more than {example_rules.MOST_BAD_SHARE:.0%}. First: {first['file']}: {first['reason']}."
            " Mend or remove them."
        )


def _settings(model: str) -> dict[str, Any]:
    """Reads what a mAP depends on from the model's settings; {} where it was exported without."""
    from models.evaluation import detections

    text = detections.read_extra(model, "config.json")
    if text is None:
        return {}
    config = json.loads(text)
    return {"image_size_px": list(InputConfig(**config["input"]).size), **config["postprocess"]}


def _conditions(report: dict[str, Any]) -> str:
    """Says what the numbers depend on, so that they are compared with their like only."""
    parts = [f"{report['dataset']}, split {report['split']}, {report['num_images']} images"]
    settings = report["settings"]
    if settings:
        height, width = settings["image_size_px"]
        parts.append(f"input {width}x{height} px, scores from {settings['score_threshold']:g}")
        parts.append(f"NMS IoU {settings['nms_iou']:g}")
    parts.append(f"at most {report['max_detections']} detections an image")
    if report["quarantined"]:
        parts.append(f"{len(report['quarantined'])} bad examples left out")
    return ", ".join(parts)
