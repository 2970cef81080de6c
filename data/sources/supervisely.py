"""Reads Supervisely's format, one JSON an image: PROJECT/DATASET/ann/NAME.json beside PROJECT/DATASET/img/NAME.

Of rectangles, polygons and lines the box around their points is taken, and of a turned box the upright one around it.
Datasets named as splits are the splits. An object whose `classId` is another class's in meta.json makes its image
unusable.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from data import errors
from data.sources import box_units, json_files, stated, values

_DEPTH = 5  # folders from a JSON to its project: ann/, its dataset, and those above


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
        rows, titles = [], _class_titles(file)
        for number, entry in enumerate(stated.items_of(table.get("objects"), "`objects`"), start=1):
            name = stated.text_of(entry.get("classTitle"), f"`classTitle` of object {number}")
            title = titles.get(values.identity(entry.get("classId")), name)
            if title != name:
                raise ValueError(f"object {number} is a {name}, but its `classId` is that of {title} in meta.json")
            points = entry.get("points")
            if not isinstance(points, dict):
                raise ValueError(f"object {number} ({name}) is a {entry.get('geometryType')}, which has no corners")
            box = stated.around(points.get("exterior"), f"object {number} ({name})")
            rows.append((name, box_units.around_turned(box, math.degrees(values.angle(entry.get("angle")))), False))
        sides = stated.object_of(table.get("size"), "`size`")
        return [stated.Stated(cls.image_name(file), tuple(rows), values.size(sides.get("height"), sides.get("width")))]


def _class_titles(file: Path) -> Mapping[str | None, str]:
    """Returns the names of a project's classes by their ids, as its meta.json has them; a stray one says nothing."""
    paths = (folder / "meta.json" for folder in itertools.islice(file.parents, 1, _DEPTH))
    meta = next(filter(Path.is_file, paths), None)
    return _titles(meta, meta.stat().st_mtime_ns) if meta else {}


@functools.lru_cache(maxsize=8)
def _titles(meta: Path, changed: int) -> dict[str | None, str]:
    del changed  # part of the key
    try:
        classes = stated.items_of(stated.object_of(json_files.read(meta), "it").get("classes"), "`classes`")
    except (errors.UserError, ValueError):
        return {}
    pairs = [(values.identity(entry.get("id")), entry.get("title")) for entry in classes]
    return {key: title.strip() for key, title in pairs if key and isinstance(title, str)}
