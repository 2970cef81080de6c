"""Test results: COCO's numbers, and precision against recall by class and by size."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.evaluation.image_results import ImageResults
from pipeline.report import matches, page_parts
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section, Table
from pipeline.screen import tables

TITLE = "Precision and recall"
NO_IMAGES = (
    "The run has kept no detections on test images: it has not been evaluated yet, or by an older version. The"
    " same ssd-tuner run command evaluates it again."
)
MOST_CLASSES = 24
_SIZES = ("small (below 32² px)", "medium (32² to 96² px)", "large (above 96² px)")
_IOU_50, _ALL_SIZES, _MOST_DETECTIONS = 0, 0, -1  # positions in COCO's arrays


def make(run: Contents) -> Section:
    """Makes the section."""
    found: list[Any] = [] if run.summary is None else _tables(run.summary["metrics"])
    if run.images is None or not run.images.results:
        return Section(TITLE, found, NO_IMAGES)
    precision = np.asarray(matches.evaluated(run.images).eval["precision"])[
        _IOU_50, ..., _MOST_DETECTIONS
    ]  # [R, C, areas]
    scores = np.asarray(matches.evaluated(run.images).eval["scores"])[_IOU_50, ..., _MOST_DETECTIONS]
    labels = matches.most_objects(run.images, MOST_CLASSES)
    more = len(run.images.class_names) - len(labels)
    caption = "Test precision by recall at IoU 0.5, by class" + (
        f" (the {len(labels)} with most objects)" if more else ""
    )
    found.append(Plot(_figure(_class_traces(run.images, labels, precision, scores)), caption))
    sizes = _size_traces(precision)
    if len(sizes) > 1:
        found.append(
            Plot(_figure(sizes), "Test precision by recall at IoU 0.5, by size of the object, mean of the classes")
        )
    return Section(TITLE, found)


def _tables(metrics: dict[str, float | None]) -> list[Table]:
    coco = [(name, _score(metrics[key]), over) for key, name, over in tables.COCO_ROWS if key in metrics]
    names = [key.removeprefix("AP/") for key in metrics if key.startswith("AP/")]
    classes = [(name, _score(metrics[f"AP/{name}"]), _score(metrics.get(f"AP50/{name}"))) for name in names]
    found = [Table(("", "value", "measured over"), coco, "COCO's numbers on the test split")]
    return [*found, Table(("class", "AP@[.5:.95]", "AP@.5"), classes, "By class")] if classes else found


def _score(value: float | None) -> str:
    return "no ground truth" if value is None else f"{value:.3f}"


def _class_traces(
    images: ImageResults, labels: Sequence[int], precision: np.ndarray, scores: np.ndarray
) -> list[dict[str, Any]]:
    objects = [one.num_objects for one in matches.by_class(images)]
    traces = []
    for label in labels:
        values = precision[:, label, _ALL_SIZES]
        if objects[label]:
            name = f"{page_parts.label(images.class_names[label])}: AP@.5 {values.mean():.2f}, {objects[label]} objects"
            trace = _trace(values, name, page_parts.COLOURS[len(traces) % len(page_parts.COLOURS)])
            trace["customdata"] = page_parts.numbers(scores[:, label, _ALL_SIZES])
            trace["hovertemplate"] = "recall %{x:.2f}, precision %{y:.2f}, score from %{customdata:.2f}"
            traces.append(trace)
    return traces


def _size_traces(precision: np.ndarray) -> list[dict[str, Any]]:
    traces = []
    for area, name in enumerate(("all", *_SIZES)):
        present = [label for label in range(precision.shape[1]) if (precision[:, label, area] > -1).all()]
        if present:
            values = precision[:, present, area].mean(axis=1)
            colour = "#111" if area == 0 else page_parts.COLOURS[area - 1]
            traces.append(_trace(values, f"{name}: AP@.5 {values.mean():.2f}", colour))
    return traces


def _trace(values: np.ndarray, name: str, colour: str) -> dict[str, Any]:
    recalls = page_parts.numbers(np.linspace(0, 1, len(values)).tolist())
    line = {"color": colour, "width": 2}
    return {
        "x": recalls,
        "y": page_parts.numbers(values.tolist()),
        "name": name,
        "type": "scatter",
        "mode": "lines",
        "line": line,
    }


def _figure(traces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    # Below the plot: names of classes would cover its upper part on a phone.
    legend = {"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0}
    height = page_parts.HEIGHT_PX + 22 * len(traces)
    margin = {"l": 60, "r": 16, "t": 16, "b": 60 + 22 * len(traces)}
    bounds = {"range": [0, 1.02]}
    return page_parts.figure(
        traces,
        x={"title": {"text": "recall"}, **bounds},
        y={"title": {"text": "precision"}, **bounds},
        legend=legend,
        height=height,
        margin=margin,
    )
