"""Mistakes: what each kind costs, and which class is taken for which."""

import numpy as np

from models.evaluation.image_results import ImageResults
from pipeline.report import matches, page_parts, precision_recall
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section, Table, Text

TITLE = "Mistakes"
# hotcoco's names of the kinds of Bolya et al. 2020 (arXiv:2008.08115), section 2.2.
KINDS = {
    "Cls": ("wrong class", "right place, other class"),
    "Loc": ("wrong place", "right class, IoU 0.1 to 0.5"),
    "Both": ("wrong class and place", "other class, IoU 0.1 to 0.5"),
    "Dupe": ("duplicate", "the object was found already"),
    "Bkg": ("background", "no object there"),
    "Miss": ("missed", "an object that no detection is near"),
}
_MOST_CLASSES = 24
_BACKGROUND, _MISSED = "background", "missed"


def make(run: Contents) -> Section:
    """Makes the section."""
    if run.images is None or not run.images.results:
        return Section(TITLE, missing=precision_recall.NO_IMAGES)
    if not any(one.num_objects for one in matches.by_class(run.images)):
        return Section(TITLE, missing="The test split has no objects.")
    score = matches.best_score(run.images)
    counts = matches.evaluated_from(run.images, score)
    gains = matches.evaluated(run.images).tide_errors()["delta_ap"]
    found = counts.tide_errors()["counts"]
    rows = [(name, about, found.get(kind, 0), _gain(gains.get(kind))) for kind, (name, about) in KINDS.items()]
    heads = ("kind", "what it is", f"number from score {score:.2f} on", "mAP@.5 gained without them")
    matrix = np.asarray(counts.confusion_matrix()["matrix"], np.int64)
    note = (
        f"Counts are of detections from score {score:.2f} on, where F1 over all classes is highest; the gain is that of"
        " all detections."
    )
    return Section(TITLE, [Text(note), Table(heads, rows), _confusion(run.images, matrix)])


def _gain(value: float | None) -> str | None:
    return None if value is None else f"{value:+.3f}"


def _confusion(images: ImageResults, matrix: np.ndarray) -> Plot:
    """Draws the matrix of truth (rows, the last is background) and detection (columns, the last is missed)."""
    labels = matches.most_objects(images, _MOST_CLASSES)
    kept = [*labels, len(images.class_names)]
    shown = matrix[np.ix_(kept, kept)]
    shares = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    names = [page_parts.label(images.class_names[label]) for label in labels]
    columns, rows = [*names, _MISSED], [*names, _BACKGROUND]
    # Places are numbers: Plotly would make one row of two that have one name, as of a class called background.
    places = [*range(len(kept))]
    trace = {
        "type": "heatmap",
        "z": [page_parts.numbers(row) for row in shares.tolist()],
        "text": [[str(count) if count else "" for count in row] for row in shown.tolist()],
        "texttemplate": "%{text}",
        "customdata": [[[row, column] for column in columns] for row in rows],
        "x": places,
        "y": places,
        "colorscale": [[0, "#fff"], [1, page_parts.COLOURS[0]]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "truth %{customdata[0]}, detected as %{customdata[1]}: %{text}<extra></extra>",
    }
    caption = "Objects (rows) and what they were detected as (columns); colours are shares of the row"
    if len(labels) < len(images.class_names):
        caption += f" (the {len(labels)} classes with most objects)"
    ticks = {"tickvals": places, "showgrid": False, "zeroline": False}
    y = {"autorange": "reversed", "title": {"text": "truth"}, "ticktext": rows, **ticks}
    x = {"title": {"text": "detected as"}, "ticktext": columns, **ticks}
    figure = page_parts.figure([trace], x=x, y=y, height=max(260, 140 + 34 * len(kept)))
    return Plot(figure, caption, 60 * len(kept))
