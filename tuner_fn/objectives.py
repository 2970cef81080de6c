"""The metrics that a search and the blessing of its model can go by."""

import dataclasses

from models.evaluation import metrics


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric that search and blessing go by.

    Attributes:
        text: its name for people.
        min_map: a model is blessed from this value on, unless the user gives another.
        scale: its differences / those of AP50, between seeds and between configurations.
    """

    text: str
    min_map: float
    scale: float = 1.0  # a plug-in's metric is in [0, 1], too; what is known of mAP@.5 is the best guess


# By their names in `models.evaluation.coco`; the first is the default. A detector's AP is about half of its AP50.
COCO = {"AP50": Objective("mAP@.5", 0.1), "AP": Objective("mAP@[.5:.95]", 0.05, scale=0.5)}
DEFAULT_OBJECTIVE = next(iter(COCO))


def every() -> dict[str, Objective]:
    """Returns the objectives by name, those of plug-ins included."""
    return COCO | {name: Objective(own.text, own.min_map) for name, own in metrics.REGISTERED.items()}


def get(name: str) -> Objective:
    """Returns the objective of a name."""
    return every()[name]
