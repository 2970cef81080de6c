"""Writes `model_card.md`: what is known of a model, from the files that travel with it and nothing else."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.export import formats
from models.hyperparameters import ExperimentConfig, InputConfig

FILE_NAME = "model_card.md"
TRAINING_FILE = "training.json"  # dataset, options, search_seed, versions: written by the Trainer
EVALUATION_FILE = "evaluation.json"  # what the Evaluator measured
SOURCES = ("labels.txt", "config.json", TRAINING_FILE, EVALUATION_FILE, formats.REPORT_FILE)
_BAR = r"\|"  # in a cell of a Markdown table
_METRICS = (
    ("AP", "mAP@[.5:.95]"),
    ("AP50", "mAP@.5"),
    ("AP75", "mAP@.75"),
    ("AP_small", "mAP@[.5:.95], objects below 32² px"),
    ("AP_medium", "mAP@[.5:.95], 32² to 96² px"),
    ("AP_large", "mAP@[.5:.95], above 96² px"),
    ("AR_100", "recall, 100 detections an image"),
)


def write(extras: Mapping[str, str | None]) -> str:
    """Writes the card.

    Args:
        extras: texts of the files named in `SOURCES`; what is missing is said to be unknown.

    Returns:
        Markdown.
    """
    labels = (extras.get("labels.txt") or "").split("\n")
    config, training, evaluation, export = (json.loads(extras.get(name) or "{}") for name in SOURCES[1:])
    names = [name for name in labels if name.strip()]
    sections = [
        ("", _head(names, config)),
        ("Data", _data(training.get("dataset") or {}, training.get("options") or {}, config)),
        ("Metrics", _metrics(evaluation, names, config)),
        ("Formats", _formats(export)),
        ("Settings", _settings(config)),
        ("Seeds and versions", _origin(config, training)),
        ("Use and limits", _limits(training.get("dataset") or {}, config)),
    ]
    return "\n".join("\n".join([*([f"## {title}", ""] if title else []), *lines, ""]) for title, lines in sections)


def _head(names: Sequence[str], config: Mapping[str, Any]) -> Iterator[str]:
    yield "# Model card"
    yield ""
    listed = ", ".join(map(html.escape, names)) or "unknown"
    yield f"A single-shot object detector (SSD) for {len(names)} classes: {listed}."
    if config:
        model, (height, width) = config["model"], InputConfig(**config["input"]).size
        yield f"Backbone {model['backbone']}, width {model['alpha']:g}, input {width} x {height} px."


def _data(dataset: Mapping[str, Any], options: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    if not dataset:
        yield "The training data is not recorded."
        return
    yield f"- Dataset: `{dataset['spec']}`"
    yield f"- Fingerprint: `{dataset['fingerprint']}`"
    taken = {name: value for name, value in options.items() if value not in (None, "", "1x1", "auto", 0, 0.0)}
    if taken:
        yield f"- Taken of it: {', '.join(f'{name} {value}' for name, value in taken.items())}"
    if config and config["input"]["tile"] != "1x1":
        yield f"- Trained on tiles, {config['input']['tile']}; the images of train and val are tiles."
    yield "- Train is what the weights were fitted to, val chose the hyperparameters, test was opened for the"
    yield "  evaluation only."
    yield ""
    counts = ("num_examples", "num_boxes", "num_quarantined")
    rows = [[split, *(dataset[name].get(split) for name in counts)] for split in dataset["num_examples"]]
    yield from _table(["split", "images", "boxes", "left out as unusable"], rows)


def _metrics(evaluation: Mapping[str, Any], names: Sequence[str], config: Mapping[str, Any]) -> Iterator[str]:
    metrics = evaluation.get("metrics")
    if not metrics:
        yield "This model was not evaluated on a test split by the pipeline."
        return
    yield f"COCO's, on the split {evaluation['split']}: {evaluation['num_images']} images."
    if config:
        post = config["postprocess"]
        yield f"Scores from {post['score_threshold']:g}, suppression above an IoU of {post['nms_iou']:g}, at most"
        yield f"{post['max_detections']} detections an image."
    verdict = {True: "The model was blessed", False: "The model was not blessed"}.get(evaluation.get("blessed"))
    if verdict:
        yield f"{verdict}: {'; '.join(evaluation['reasons'])}."
    yield ""
    yield from _table(["metric", "value"], [(text, _score(metrics.get(key))) for key, text in _METRICS])
    yield ""
    rows = [
        (html.escape(name), _score(metrics.get(f"AP/{name}")), _score(metrics.get(f"AP50/{name}"))) for name in names
    ]
    yield from _table(["class", "mAP@[.5:.95]", "mAP@.5"], rows)


def _formats(export: Mapping[str, Any]) -> Iterator[str]:
    if not export.get("formats"):
        yield "The SavedModel alone; no other format was asked for."
        return
    if export["num_images"]:
        yield f"mAP on the split {export['split']} of `{export['dataset']}` ({export['num_images']} images). A format"
        yield f"is left out where it loses more than {export['max_drop']:g}."
        if export["num_calibration_images"]:
            count = export["num_calibration_images"]
            yield f"int8 was calibrated on {count} images of the train split, preprocessed as in training."
        yield "Time: median of one image on one CPU thread where it was exported, the suppression included in the"
        yield "SavedModel's and in _nms alone. Memory: what loading and one run add to a fresh process at their peak."
        yield ""
    heads = ["format", "file", "mAP@[.5:.95]", "drop", "mAP@.5", "size, bytes", "ms", "peak memory, bytes"]
    rows = [
        (
            one["name"],
            one["file"] or ("SavedModel" if one["kept"] else f"left out: {one['reason']}"),
            *(None if one[key] is None else f"{round(one[key], 4) + 0.0:.4f}" for key in ("map", "drop", "map50")),
            one["size_bytes"],
            None if one["latency_ms"] is None else f"{one['latency_ms']:.2f}",
            one["peak_memory_bytes"],
        )
        for one in export["formats"]
    ]
    yield from _table(heads, rows)


def _settings(config: Mapping[str, Any]) -> Iterator[str]:
    if not config:
        yield "Not recorded."
        return
    defaults = ExperimentConfig().to_dict()
    rows = [
        (f"`{group}.{name}`", value, defaults.get(group, {}).get(name))
        for group, values in config.items()
        for name, value in values.items()
        if value != defaults.get(group, {}).get(name)
    ]
    yield "What differs from the declared defaults; `config.json` has every setting."
    yield ""
    yield from _table(["setting", "value", "default"], rows)


def _origin(config: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[str]:
    seed = config.get("training", {}).get("seed", "unknown")
    yield f"- Seed of weights, shuffling and augmentation: {seed}"
    if "epoch" in training:
        yield f"- Weights of epoch {training['epoch']} of {training['epochs']}, the best on val that was validated"
    if "search_seed" in training:
        yield f"- Seed of the search: {training['search_seed']}"
    for name, version in training.get("versions", {}).items():
        yield f"- {name} {version}"


def _limits(dataset: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    yield "- It finds the classes above and no other, as axis-aligned boxes."
    if config:
        height, width = InputConfig(**config["input"]).size
        yield f"- Images are resized to {width} x {height} px; their aspect ratio is not kept."
    if dataset:
        yield f"- Its numbers hold for images like those of `{dataset['spec']}`; nothing else was measured."
    yield "- Scores are not calibrated probabilities: choose a threshold on images of your own."


def _score(value: float | None) -> str:
    return "no ground truth" if value is None or value != value else f"{value:.4f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join('-' if cell is None else str(cell).replace('|', _BAR) for cell in row)} |"
