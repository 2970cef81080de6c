"""Reads labelme's format, one JSON an image: `shapes` with `label` and `points`, of which the box around is taken.

The flag `difficult` or `crowd` of a shape marks a region to ignore. The image is that of `imagePath`, or, where it is
not there, the one of the JSON's name beside it. Where an image of the JSON's name lies beside that of `imagePath`, it
is not clear which is meant, unless `imagePath` is an absolute path of another machine: the JSON's own image is taken,
with a notice.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.sources import annotated, json_files, locate, stated, values

_IGNORED = ("difficult", "crowd", "iscrowd")


class LabelmeSource(stated.StatedSource):
    """labelme's JSON files with their images."""

    kind = "labelme"
    argument_help = ":PATH (one JSON an image, also below train/, val/, test/)"
    looked_for = "labelme's JSON files, with `shapes` and `imagePath`"

    @classmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether labelme's keys are there."""
        return b'"shapes"' in content and b'"imagePath"' in content

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads an image's shapes."""
        table = stated.object_of(json_files.read(file), "labelme's JSON, one an image,")
        image, size = _image_of(table, file), values.size(table.get("imageHeight"), table.get("imageWidth"))
        try:
            shapes = stated.items_of(table.get("shapes"), "`shapes`")
            rows = tuple(_row(shape, number) for number, shape in enumerate(shapes, 1))
        except ValueError as error:
            return [stated.Stated(image, (), size, problem=f"{file}: {error}")]
        return [stated.Stated(image, rows, size, own_name=file.stem)]

    @classmethod
    def _locate(
        cls, entry: stated.Stated, file: Path, finder: locate.Finder, split: str, notices: list[annotated.Notice]
    ) -> annotated.NamedImage:
        own = _own_image(entry, stated.folders_of_images(file.parent, finder.root, split))
        if own:
            notices.append(annotated.Notice("other_filename", str(own), f"`{file}` says {entry.image}"))
            entry = dataclasses.replace(entry, image=Path(os.path.relpath(own, file.parent)).as_posix())
        return super()._locate(entry, file, finder, split, notices)

    @classmethod
    def belongs(cls, file: Path) -> bool:
        """Says whether an image beside it has its name."""
        return stated.image_of_stem(file.parent, file.stem) is not None

    @classmethod
    def image_name(cls, file: Path) -> str:
        """Returns the name of the image beside a file."""
        return stated.image_of_stem(file.parent, file.stem) or file.stem


def _image_of(table: Mapping[str, Any], file: Path) -> str:
    """Returns the path of the image.

    Raises:
        ValueError: it is missing.
    """
    image = stated.text_of(table.get("imagePath"), "`imagePath`")
    own, path = stated.image_of_stem(file.parent, file.stem), locate.plain(image)
    names = {path, path.rpartition("/")[2]} - {own}
    return image if own is None or any((file.parent / name).is_file() for name in names) else own


def _own_image(entry: stated.Stated, folders: Iterable[Path]) -> Path | None:
    """Returns the image of an annotation's own name, where its path is one of another machine and names another image.

    Such a path is stale. If images and annotations were renamed together later, the old name of one image may be the
    new name of another.
    """
    said = locate.plain(entry.image)
    name = said.rpartition("/")[2]
    if not entry.own_name or not said.startswith("/") or os.path.isfile(entry.image):
        return None
    for folder in folders:
        own = stated.image_of_stem(folder, entry.own_name)
        if own and own != name and (folder / name).is_file():
            return folder / own
    return None


def _row(shape: Mapping[str, Any], number: int) -> stated.Row:
    name = stated.text_of(shape.get("label"), f"`label` of shape {number}")
    kind, points, what = shape.get("shape_type", "polygon"), shape.get("points"), f"shape {number} ({name})"
    box = stated.around(points, f"shape {number} ({name}, {kind})")
    if kind == "circle":  # its centre and a point on it
        (x, y), (x2, y2) = (stated.numbers_of(point, what) for point in points[:2])
        radius = ((x2 - x) ** 2 + (y2 - y) ** 2) ** 0.5
        box = (x - radius, y - radius, x + radius, y + radius)
    places = (shape, stated.object_of(shape.get("flags"), f"`flags` of {what}"))
    return name, box, any(values.flag(place.get(key)) for place in places for key in _IGNORED)
