"""Reads Supervisely's format, one JSON an image: PROJECT/DATASET/ann/NAME.json beside PROJECT/DATASET/img/NAME.

Of rectangles, polygons and lines the box around their points is taken. Datasets named as splits are the splits.
"""

from collections.abc import Iterable
from pathlib import Path

from data.sources import json_files, stated, values


class SuperviselySource(stated.StatedSource):
    """A Supervisely project."""

    kind = "supervisely"
    argument_help = ":PATH (a project: meta.json, and datasets with img/ and ann/)"
    looked_for = "`ann/NAME.json` with `objects` beside `img/`"

    @classmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether the keys of an image's annotation are there."""
        return b'"objects"' in content and b'"size"' in content and b'"tags"' in content

    @classmethod
    def belongs(cls, file: Path) -> bool:
        """Says whether it lies in a folder of annotations."""
        return file.parent.name == "ann"

    @classmethod
    def image_name(cls, file: Path) -> str:
        """Returns the name before `.json`, which has the image's ending."""
        return file.name[: -len(cls.suffix)]

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads an image's objects."""
        table = stated.object_of(json_files.read(file), "Supervisely's JSON, one an image,")
        rows = []
        for number, entry in enumerate(stated.items_of(table.get("objects"), "`objects`"), start=1):
            name = stated.text_of(entry.get("classTitle"), f"`classTitle` of object {number}")
            points = entry.get("points")
            if not isinstance(points, dict):
                raise ValueError(f"object {number} ({name}) is a {entry.get('geometryType')}, which has no corners")
            rows.append((name, stated.around(points.get("exterior"), f"object {number} ({name})"), False))
        sides = stated.object_of(table.get("size"), "`size`")
        return [stated.Stated(cls.image_name(file), tuple(rows), values.size(sides.get("height"), sides.get("width")))]
