"""The formats a detector is exported to: their names, and what was measured of each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from data import errors, tiles
from models.evaluation.detections import TFLITE_SUFFIX

SAVED_MODEL = "saved_model"
ALL = "all"
REPORT_FILE = "export.json"


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of TFLite file.

    Attributes:
        name: as in `--formats`.
        precision: "float32"; "float16", of the weights; "int8", of weights and activations.
        nms: whether decoding and suppression are inside, as TFLite_Detection_PostProcess.
    """

    name: str
    precision: str
    nms: bool

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return self.name.replace("tflite", "model") + TFLITE_SUFFIX


FORMATS = {
    name: Format(name, precision, bool(suffix))
    for suffix in ("", "_nms")
    for precision in ("float32", "float16", "int8")
    for name in (f"tflite_{precision}{suffix}",)
}


@dataclasses.dataclass(frozen=True)
class FormatReport:
    """What one format is worth and what it costs; numbers are None where it was not measured.

    Attributes:
        name: `SAVED_MODEL` or one of `FORMATS`.
        file: name of its file; "" for the SavedModel itself.
        map: COCO's mAP@[.5:.95].
        map50: mAP@.5.
        drop: the SavedModel's `map` less this one's.
        size_bytes: of the file, or of all of the SavedModel's files that its loading reads.
        latency_ms: median for one image, as `footprint.measure`.
        peak_memory_bytes: as `footprint.measure`.
        kept: whether the file is there.
        reason: why not; "" where it is.
    """

    name: str
    file: str = ""
    map: float | None = None
    map50: float | None = None
    drop: float | None = None
    size_bytes: int | None = None
    latency_ms: float | None = None
    peak_memory_bytes: int | None = None
    kept: bool = True
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What came of one export.

    Attributes:
        formats: the SavedModel's report first.
        num_images: that the mAP is over.
        num_calibration_images: training images that int8 was calibrated on.
        max_drop: most mAP@[.5:.95] that a format may lose.
    """

    formats: tuple[FormatReport, ...]
    num_images: int
    num_calibration_images: int
    max_drop: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return dataclasses.asdict(self) | {"formats": [dataclasses.asdict(one) for one in self.formats]}


def parse(names: Sequence[str], flag: str, tile: str = "1x1") -> tuple[str, ...]:
    """Checks the names of formats that a user gave.

    Args:
        names: of `FORMATS`; `ALL` alone is all that the model can have.
        flag: that names them, for the error.
        tile: grid of the model; one of tiles has no suppression inside.

    Returns:
        The names, each once, in the order of `FORMATS`.

    Raises:
        UserError: a name is unknown, or the model cannot have the format.
    """
    is_whole = tiles.parse_grid(tile).count == 1
    possible = [name for name, kind in FORMATS.items() if is_whole or not kind.nms]
    if list(names) == [ALL]:
        return tuple(possible)
    for name in names:
        if name not in FORMATS:
            raise errors.UserError(f"`{flag}={name}` is not a format.{errors.nearest(name, [*FORMATS, ALL])}")
        if name not in possible:
            raise errors.UserError(
                f"`{flag}={name}` cannot be made of a model of {tile} tiles: their boxes are merged before the"
                f" suppression. Take `{name.removesuffix('_nms')}`."
            )
    return tuple(name for name in FORMATS if name in names)
