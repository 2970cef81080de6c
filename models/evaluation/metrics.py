"""Metrics of a plug-in, computed beside COCO's: one value for all images of a split."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.evaluation.coco import ImageResult

Function = Callable[[Sequence["ImageResult"], Sequence[str]], float]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric that is better the higher it is.

    Attributes:
        compute: from the results of all images and the class names, in label order, to a value in [0, 1], or NaN where
            no image has what the metric counts.
        text: its name for people.
        min_map: a model is blessed from this value on, unless the user gives another.
    """

    compute: Function
    text: str
    min_map: float


REGISTERED: dict[str, Metric] = {}


def register(name: str, *, text: str, min_map: float = 0.0) -> Callable[[Function], Function]:
    """Decorates a function as a metric, which `--objective=NAME` then takes.

    Args:
        name: letters, digits and `_`.
        text: as of `Metric`.
        min_map: as of `Metric`, in [0, 1].

    Raises:
        ValueError: the name is not an identifier or taken, or `min_map` out of its range.
    """
    from models.evaluation.coco import SUMMARY_KEYS

    if not name.isidentifier() or name in SUMMARY_KEYS or name in REGISTERED:
        raise ValueError(f"`name` must be a new identifier: got {name!r}.")
    if not 0 <= min_map <= 1:
        raise ValueError(f"`min_map` must be in [0, 1]: got {min_map}.")

    def decorate(compute: Function) -> Function:
        REGISTERED[name] = Metric(compute, text, min_map)
        return compute

    return decorate
