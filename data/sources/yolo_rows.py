"""Parses the rows of YOLO's label files: boxes, polygons, and boxes with keypoints behind them.

A row that is longer than a box is a polygon, unless data.yaml has `kpt_shape`. Where most long rows of a dataset could
as well be boxes with keypoints, or a tracker's boxes with a score and an id, it is a question: the box around the
"polygon" would be another one. Rows with keypoints are all of one length, so a dataset with any row of a box alone has
none.
"""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from data import errors
from data.sources import values, yolo_names

_BOX = 5  # numbers: class, centre x and y, width, height
_TRACKED = 7  # a box, a score, a track's id
_SHARE = 0.25  # of a box's side that keypoints, if there are several, extend over at least
_MOST_SEEN = 1000  # long rows that are looked at
_TRACK = "track"
_SLACK = 1e-3  # of the image's side: rounding of what was written


class UnknownClassError(ValueError):
    """A row of a class without a name."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        box: centre x, y, width, height, as fractions.
        number: of the class.
        numbers: the whole row.
    """

    box: tuple[float, ...]
    number: int
    numbers: tuple[float, ...]


class SeenRows:
    """What the rows of a dataset tell together: the classes they use, and what long ones could be but polygons.

    Attributes:
        is_known: data.yaml says what rows longer than a box are, so that there is no question.
        used: where a row of each class is, by its number; numbers without a name, too.
    """

    def __init__(self, is_known: bool) -> None:
        """Has seen nothing yet."""
        self.is_known = is_known
        self.used: dict[int, str] = {}
        self._words: set[str] = set()  # that rows begin with
        self._num_seen = 0
        self._has_boxes = False
        self._counts: collections.Counter[str] = collections.Counter()
        self._first: dict[str, str] = {}

    def look_at_classes(self, rows: Sequence[tuple[int, Sequence[str]]], file: Path) -> None:
        """Takes note of the class of each (row number, words), also of rows that cannot be read."""
        for row, (word, *_) in rows:
            if word not in self._words:
                self._words.add(word)
                number = values.whole(word)
                if number is not None:
                    self.used.setdefault(number, f"row {row} of `{file}`")

    def look_at(self, numbers: Sequence[float], file: Path, row: int) -> None:
        """Takes note of a row: that it is a box alone, or of the first longer ones what else they could be."""
        self._has_boxes |= len(numbers) == _BOX
        if self.is_known or len(numbers) == _BOX or self._num_seen == _MOST_SEEN:
            return
        self._num_seen += 1
        for reading in _readings(numbers):
            self._counts[reading] += 1
            self._first.setdefault(reading, f"row {row} of `{file}`")

    def check(self, spec: str, file: Path, root: Path) -> None:
        """Checks that long rows are what they are read as.

        Args:
            spec: what the user typed.
            file: that names the classes.
            root: folder of the dataset.

        Raises:
            UserError: most could be something else. Few polygons of many points can; of triangles, many can.
        """
        counts = {key: count for key, count in self._counts.items() if key == _TRACK or not self._has_boxes}
        reading, count = max(counts.items(), key=lambda entry: entry[1], default=("", 0))
        if 2 * count <= self._num_seen:
            return
        is_yaml = file.suffix.lower() in yolo_names.YAML
        where = str(file) if is_yaml else f"a data.yaml in `{root}`, which needs `names` and `train`, too,"
        head = f"Dataset `{spec}`: {count} of {self._num_seen} rows that are longer than a box"
        if reading == _TRACK:
            raise errors.UserError(
                f"{head} have {_TRACKED} numbers and end with a whole one, as {self._first[reading]}. They look like a"
                " tracker's output (box, score, id), and not like polygons of three points. Detections are not ground"
                f" truth; if these are, write 5 numbers a row. If they are polygons, write `task: segment` into {where}"
                " to say so."
            )
        raise errors.UserError(
            f"{head} could be boxes with keypoints behind them, or polygons, as {self._first[reading]}. Write"
            f" `kpt_shape: {reading}` into {where} if they are keypoints, or `task: segment` if they are polygons."
        )


def parse(words: Sequence[str], row: int, num_classes: int, named_by: str, has_keypoints: bool) -> Row:
    """Parses a row.

    Args:
        words: of the row.
        row: its number, for errors.
        num_classes: that have a name.
        named_by: the file that names them, for errors.
        has_keypoints: what follows the box is keypoints, and no polygon.

    Raises:
        UnknownClassError: the row is of a class without a name.
        ValueError: the row is malformed.
    """
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError as error:
        raise ValueError(f"row {row} must hold numbers only: got `{' '.join(words[:6])}`") from error
    count = len(numbers)
    if count < _BOX or (count > _BOX and not has_keypoints and (count < _TRACKED or count % 2 == 0)):
        hint = {6: "; a sixth is a detection's score, not ground truth"}.get(count, "")
        hint = "; keypoints need `kpt_shape` in data.yaml" if count > _TRACKED else hint
        raise ValueError(f"row {row} has {count} numbers: a box has 5, a polygon 7, 9, 11, ...{hint}")
    if not has_keypoints and numbers[-1] > 1 and _are_tracked(numbers):
        raise ValueError(f"row {row} has 7 numbers and ends with {words[-1]}: that is a track's id, and no polygon's y")
    if numbers[0] not in range(num_classes):
        raise UnknownClassError(f"row {row} has class {words[0]}, but {named_by} names {num_classes} classes, from 0")
    if count == _BOX or has_keypoints:
        return Row(numbers[1:_BOX], int(numbers[0]), numbers)
    xs, ys = numbers[1::2], numbers[2::2]
    centre = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)
    return Row((*centre, max(xs) - min(xs), max(ys) - min(ys)), int(numbers[0]), numbers)


def _readings(numbers: Sequence[float]) -> frozenset[str]:
    """Returns what else than a polygon a row could be: `_TRACK`, or the `kpt_shape` of keypoints."""
    behind = numbers[_BOX:]
    found = {_TRACK} if _are_tracked(numbers) else set()
    for size in (2, 3):
        points = [behind[start : start + size] for start in range(0, len(behind), size)]
        if len(behind) % size == 0 and _are_keypoints(numbers[1:_BOX], points):
            found.add(f"[{len(points)}, {size}]")
    return frozenset(found)


def _are_tracked(numbers: Sequence[float]) -> bool:
    """Says whether numbers could be a box, a score and an id; those of a triangle in px could not."""
    is_score = max(numbers[1:-1]) <= 1 or 0 < numbers[-2] < 1  # behind a box of fractions, or in px
    return len(numbers) == _TRACKED and numbers[-1].is_integer() and is_score


def _are_keypoints(box: Sequence[float], points: Sequence[Sequence[float]]) -> bool:
    """Says whether a box lies in the image and the points that are marked lie in it, over a good part of it."""
    if any(point[2] not in (0, 1, 2) for point in points if len(point) == 3):
        return False
    seen = [point for point in points if point[-1] != 0 or (len(point) == 2 and point[0] != 0)]
    if not seen:
        return False
    for axis in (0, 1):
        centre, side = box[axis], box[axis + 2]
        low, high = min(point[axis] for point in seen), max(point[axis] for point in seen)
        inside = centre - side / 2 - _SLACK <= low and high <= centre + side / 2 + _SLACK
        if not (inside and centre - side / 2 >= -_SLACK and centre + side / 2 <= 1 + _SLACK):
            return False
        if len(seen) > 1 and high - low < _SHARE * side:
            return False
    return True
