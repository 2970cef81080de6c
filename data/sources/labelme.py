"""Reads labelme's format, one JSON an image: `shapes` with `label` and `points`, of which the box around is taken.

The image is that of `imagePath`, or, where it is not there, the one of the JSON's name beside it. Where both are there
and differ, it is not clear which is meant.
"""

from collections.abc import Iterable
from pathlib import Path

from data.sources import locate, stated, values


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
        table = stated.read_json(file)
        rows = []
        for number, shape in enumerate(stated.items_of(table.get("shapes"), "`shapes`"), start=1):
            name = stated.text_of(shape.get("label"), f"`label` of shape {number}")
            kind, points = shape.get("shape_type", "polygon"), shape.get("points")
            box = stated.around(points, f"shape {number} ({name}, {kind})")
            if kind == "circle":  # its centre and a point on it
                (x, y), (x2, y2) = points[:2]
                radius = ((x2 - x) ** 2 + (y2 - y) ** 2) ** 0.5
                box = (x - radius, y - radius, x + radius, y + radius)
            rows.append((name, box, False))
        image = stated.text_of(table.get("imagePath"), "`imagePath`")
        own = stated.image_of_stem(file.parent, file.stem)
        if own and own != locate.plain(image).rpartition("/")[2]:
            if (file.parent / locate.plain(image)).is_file():
                raise ValueError(f"`imagePath` says {image}, and `{own}` has its name; correct one of them")
            image = own
        return [stated.Stated(image, tuple(rows), values.size(table.get("imageHeight"), table.get("imageWidth")))]
