"""The metrics that a search and the blessing of its model can go by."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric of COCO that search and blessing go by.

    Attributes:
        text: its name for people.
        min_map: a model is blessed from this value on, unless the user gives another.
    """

    text: str
    min_map: float


# By their names in `models.evaluation.coco`; the first is the default. A detector's AP is about half of its AP50.
OBJECTIVES = {"AP50": Objective("mAP@.5", 0.1), "AP": Objective("mAP@[.5:.95]", 0.05)}
DEFAULT_OBJECTIVE = next(iter(OBJECTIVES))
