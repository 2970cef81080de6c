"""Reads VisDrone-DET, one text file an image.

A row is `x,y,width,height,score,category,truncation,occlusion` (px). A score of 0 marks what the evaluation leaves out,
as does category 0, "ignored regions"; all else has 1, and a row with another score makes its image unusable. Images lie
in images/, text files in annotations/; folders as VisDrone2019-DET-train tell the split.

Source: Zhu et al. 2018, "Vision Meets Drones: A Challenge", toolkit's readme.
"""

from collections.abc import Iterable
from pathlib import Path

from data.sources import layout, stated

CLASS_NAMES = (
    "ignored regions",
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
    "others",
)
_NUM_FIELDS = 8


class VisdroneSource(stated.StatedSource):
    """VisDrone-DET's text files with their images."""

    kind = "visdrone"
    argument_help = ":PATH (images/ and annotations/, also below folders as VisDrone2019-DET-train/)"
    suffix = ".txt"
    box_form = "xywh_px"
    looked_for = "`annotations/*.txt` with rows of 8 numbers, and `images/`"

    @classmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether the first row has eight numbers between commas."""
        fields = content.decode("utf-8", "replace").strip().partition("\n")[0].strip().strip(",").split(",")
        return len(fields) == _NUM_FIELDS and all(map(layout.is_number, fields))

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads an image's rows."""
        rows = []
        for number, line in enumerate(layout.read_text(file, "text").splitlines(), start=1):
            fields = line.strip().strip(",").split(",")
            if not line.strip():
                continue
            if len(fields) != _NUM_FIELDS:
                raise ValueError(f"row {number} has {len(fields)} fields, VisDrone's {_NUM_FIELDS}")
            *box, score, category = stated.numbers_of(fields[:6], f"row {number}")
            if score not in (0, 1):
                raise ValueError(
                    f"row {number} has the score {fields[4]}; VisDrone's ground truth has 0 or 1 (detections, and rows"
                    " whose columns changed places, have others)"
                )
            if category not in range(len(CLASS_NAMES)):
                raise ValueError(f"row {number} has category {fields[5]}; VisDrone has 0 to {len(CLASS_NAMES) - 1}")
            rows.append((CLASS_NAMES[int(category)], tuple(box), score == 0))
        return [stated.Stated(cls.image_name(file), tuple(rows))]

    @classmethod
    def belongs(cls, file: Path) -> bool:
        """Says whether it has the name of an image, which has no object where the file has no row."""
        return stated.image_of_stem(_images(file), file.stem) is not None

    @classmethod
    def image_name(cls, file: Path) -> str:
        """Returns the name of the image in the folder of images."""
        return stated.image_of_stem(_images(file), file.stem) or file.stem

    @classmethod
    def _split_of(cls, file: Path, root: Path) -> str | None:
        names = [parent.name for parent in file.relative_to(root).parents]
        return next(filter(None, map(layout.split_within, names)), None)


def _images(file: Path) -> Path:
    return file.parent.parent / "images"
