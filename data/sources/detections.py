"""Tells detections, which models make, from ground truth: their boxes have scores that differ."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data import errors
from data.sources import values

SCORE_KEYS = ("score", "confidence", "conf")


def check(boxes: Iterable[Mapping[str, Any]], file: Path) -> None:
    """Checks that the boxes of a file are no detections.

    Scores that are all equal, or all whole numbers as an annotator's grades, say nothing.

    Args:
        boxes: the fields of each, or those called as one of `SCORE_KEYS`.
        file: that they stand in, for the error.

    Raises:
        UserError: their scores differ, and one is no whole number.
    """
    seen: dict[str, set[float]] = {}
    for box in boxes:
        for key in SCORE_KEYS:
            score = values.number(box[key]) if key in box else None
            if score is None or not math.isfinite(score):
                continue
            scores = seen.setdefault(key, set())
            scores.add(score)
            if len(scores) > 1 and not all(map(float.is_integer, scores)):
                one, other = sorted(scores)[:2]
                raise errors.UserError(
                    f"{file}: `{key}` differs between boxes ({one:g} and {other:g}): it looks like a detection's score,"
                    f" and detections are not ground truth. If these are, remove or rename `{key}` in the file."
                )


def below(entries: Iterable[Mapping[str, Any]], *keys: str) -> Iterator[Mapping[str, Any]]:
    """Yields the objects in the lists that JSON objects have under some keys; what is malformed has its own error."""
    for given in (entry.get(key) for entry in entries for key in keys):
        yield from (each for each in given if isinstance(each, dict)) if isinstance(given, list) else ()
