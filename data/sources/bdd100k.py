"""Reads BDD100K's detection labels: a JSON list of images with `labels`, each of a `category` and a `box2d`.

The older form, one JSON an image with `frames`, is read, too. Labels without a `box2d`, as lanes and drivable areas,
are left out; the attribute `crowd` marks a region to ignore. Images lie in images/100k/train/, ...; the file's name, or
a folder above it, tells the split.

Source: Yu et al. 2020 (arXiv:1805.04687), and the dataset's description of its label format (Scalabel).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data import errors
from data.sources import detections, json_files, stated, values

_CORNERS = ("x1", "y1", "x2", "y2")


class Bdd100kSource(stated.StatedSource):
    """BDD100K's labels with their images."""

    kind = "bdd100k"
    argument_help = ":PATH (labels as bdd100k_labels_images_train.json or det_20/det_train.json, with images/100k/)"
    looked_for = "BDD100K's JSON, with `name`, `labels` and `box2d`"
    whole_splits = True

    @classmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether BDD100K's keys are there."""
        return b'"box2d"' in content and b'"category"' in content and b'"name"' in content

    @classmethod
    def belongs(cls, file: Path) -> bool:
        """Says whether it has the keys of the older form, whose images without a `box2d` have files, too."""
        content = file.read_bytes()
        return b'"frames"' in content and b'"name"' in content

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads all images of a file."""
        table = json_files.read(file)
        try:
            entries = stated.items_of([table] if isinstance(table, dict) else table, "it")
            read = [_read(entry) for entry in entries]
        except ValueError as error:
            raise errors.UserError(f"{file}: not BDD100K's JSON: {error}. Download it again.") from error
        detections.check(detections.below(entries, "labels"), file)
        detections.check(detections.below(detections.below(entries, "frames"), "objects"), file)
        return read


def _read(entry: Mapping[str, Any]) -> stated.Stated:
    name = stated.text_of(entry.get("name"), "`name`")
    try:
        frames = stated.items_of(entry.get("frames", []), "`frames`")
        labels = [label for frame in frames for label in stated.items_of(frame.get("objects", []), "`objects`")]
        labels += stated.items_of(entry.get("labels") or [], "`labels`")
        return stated.Stated(name, tuple(_row(label) for label in labels if label.get("box2d")))
    except ValueError as error:
        return stated.Stated(name, problem=f"{name}: {error}")


def _row(label: Mapping[str, Any]) -> stated.Row:
    category, box = stated.text_of(label.get("category"), "`category`"), stated.object_of(label["box2d"], "`box2d`")
    corners = stated.numbers_of([box.get(corner) for corner in _CORNERS], f"`box2d` of {category}")
    attributes = stated.object_of(label.get("attributes"), f"`attributes` of {category}")
    return category, corners, values.flag(attributes.get("crowd"))
