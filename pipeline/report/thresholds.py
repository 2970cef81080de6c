"""Score thresholds by class: from which score on a wished precision, or up to which a wished recall, is reached."""

from collections.abc import Callable

import numpy as np

from pipeline.report import matches, precision_recall
from pipeline.report.contents import Contents
from pipeline.report.matches import ClassMatches
from pipeline.report.page_parts import Section, Table, Text

TITLE = "Score thresholds"
PRECISIONS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)
_MOST_ROWS = 100
_EXPLAINED = (
    "A cell has the threshold and what it gives on the test images at IoU 0.5. Thresholds that are chosen on these"
    " images look a little better on them than on others; few objects make them uncertain."
)


def make(run: Contents) -> Section:
    """Makes the section."""
    if run.images is None or not run.images.results:
        return Section(TITLE, missing=precision_recall.NO_IMAGES)
    found = matches.by_class(run.images)
    labels = matches.most_objects(run.images, _MOST_ROWS)
    parts = [
        Table(
            ("class", "objects", *(f"{kind} {wish:g}" for wish in wishes)),
            [
                (
                    run.images.class_names[i],
                    found[i].num_objects,
                    *(_cell(choose(found[i], wish), other) for wish in wishes),
                )
                for i in labels
            ],
            caption=f"Score from which on {kind} is at least",
        )
        for kind, wishes, choose, other in (
            ("precision", PRECISIONS, for_precision, "recall"),
            ("recall", RECALLS, for_recall, "precision"),
        )
    ]
    best = matches.best_score(run.images)
    return Section(TITLE, [Text(f"{_EXPLAINED} F1 over all classes is highest from score {best:.2f} on."), *parts])


Choice = tuple[float, float, float] | None  # threshold, precision, recall


def for_precision(found: ClassMatches, wish: float) -> Choice:
    """Finds the lowest threshold whose precision is at least `wish`, so that recall is highest.

    Returns:
        Threshold, precision, recall; None where no threshold gives it, or the class has no object.
    """
    return _chosen(found, lambda precision, recall: np.flatnonzero(precision >= wish)[-1:])


def for_recall(found: ClassMatches, wish: float) -> Choice:
    """Finds the highest threshold whose recall is at least `wish`, which costs least precision; as `for_precision`."""
    return _chosen(found, lambda precision, recall: np.flatnonzero(recall >= wish)[:1])


def _chosen(found: ClassMatches, choose: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Choice:
    if not found.num_objects or not found.scores.size:
        return None
    ends = found.ends
    precision, recall = found.precision[ends], found.recall[ends]
    index = choose(precision, recall)
    if not index.size:
        return None
    first = index[0]
    return float(found.scores[ends][first]), float(precision[first]), float(recall[first])


def _cell(choice: Choice, other: str) -> str:
    if choice is None:
        return "not reached"
    score, precision, recall = choice
    return f"{score:.3f} ({other} {recall if other == 'recall' else precision:.2f})"
