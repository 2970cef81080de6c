"""Recall by position: where in the image objects are found, and where the detector is blind."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.evaluation import spatial_recall
from models.evaluation.image_results import ImageResults
from pipeline.report import matches, page_parts, precision_recall
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section, Table, Text

TITLE = "Recall by position"
_CELLS = 32  # down and across: half as many as were counted, so that each has more objects
_MOST_CLASSES = 12
_HEIGHT_PX = 460


def make(run: Contents) -> Section:
    """Makes the section."""
    if run.images is None or not run.images.results:
        return Section(TITLE, missing=precision_recall.NO_IMAGES)
    score = matches.best_score(run.images)
    found = spatial_recall.spatial_recall(run.images.results, run.images.class_names, score)
    if not found.totals()[1][0]:
        return Section(TITLE, missing="The test split has no objects.")
    recalls = [(one["group"], one["objects"], one["recall"]) for one in found.summary()["groups"]]
    rows = [(name, count, None if recall is None else round(recall, 3)) for name, count, recall in recalls]
    caption = f"Share of the objects over each place that were found (IoU 0.5, scores from {score:.2f} on)"
    plot = Plot(_figure(found, _groups(run.images)), caption)
    return Section(TITLE, [Text(_words(found)), plot, Table(("", "objects", "recall"), rows)])


def _words(found: spatial_recall.SpatialRecall) -> str:
    weak = [
        f"{one['part']} ({one['recall']:.2f} of {one['objects']} objects, elsewhere {one['recall_elsewhere']:.2f})"
        for one in found.weak_parts()
    ]
    if not weak:
        return "No ninth of the image is shown to have a lower recall than the rest."
    return f"Recall is lower here than elsewhere: {'; '.join(weak)}."


def _groups(images: ImageResults) -> list[int]:
    """Lists which groups are drawn: all objects, the sizes, and the classes with most objects."""
    first = 1 + len(spatial_recall.SIZES)
    return [*range(first), *(first + label for label in matches.most_objects(images, _MOST_CLASSES))]


def _figure(found: spatial_recall.SpatialRecall, groups: Sequence[int]) -> dict[str, Any]:
    """Draws one map a group, of which a menu shows one; the first is that of all objects."""
    found_cells, cells = (_coarser(counts) for counts in (found.found, found.objects))
    drawn = [group for group in groups if cells[group].any()]
    traces = [_map(found_cells[group], cells[group], is_shown=group == drawn[0]) for group in drawn]
    buttons = [
        {
            "label": page_parts.label(found.names[group]),
            "method": "restyle",
            "args": ["visible", [other == group for other in drawn]],
        }
        for group in drawn
    ]
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "showactive": True}
    # Cells are as wide as the images are, and the first row is the top of the image.
    hidden = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False, "constrain": "domain"}
    y = hidden | {"autorange": "reversed", "scaleanchor": "x", "scaleratio": 1 / found.aspect_ratio}
    margin = {"l": 16, "r": 16, "t": 60, "b": 16}
    return page_parts.figure(traces, x=hidden, y=y, height=_HEIGHT_PX, margin=margin, updatemenus=[menu])


def _coarser(counts: np.ndarray) -> np.ndarray:
    """Adds the counts [groups, 64, 64] of neighbouring cells; [groups, `_CELLS`, `_CELLS`]."""
    step = spatial_recall.CELLS // _CELLS
    return counts.reshape(len(counts), _CELLS, step, _CELLS, step).sum(axis=(2, 4))


def _map(found: np.ndarray, objects: np.ndarray, *, is_shown: bool) -> dict[str, Any]:
    recall = np.where(objects > 0, found / np.maximum(objects, 1), np.nan)
    return {
        "type": "heatmap",
        "z": [[page_parts.number(round(value, 3)) for value in row] for row in recall.tolist()],
        "zmin": 0,
        "zmax": 1,
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": "recall"}, "thickness": 12},
        "visible": is_shown,
        "hovertemplate": "recall %{z:.2f}<extra></extra>",
    }
