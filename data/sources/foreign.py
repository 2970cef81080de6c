"""Names the formats that are not read, so that the error says what to do with them."""

import collections
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from data.sources import layout

_LOOKED_AT_FILES = 20  # of a folder's first of each ending that are not images
_LOOKED_AT_BYTES = 1 << 20
_AS_COCO = "Export it as COCO"


@dataclasses.dataclass(frozen=True)
class _Format:
    """A format that is not read.

    Attributes:
        title: to be read after "this is".
        advice: what to do.
        name: of its files, matched whole and in any case.
        content: what is in them, all of it.
        start: what they start with, a regular expression; "" for anything.
    """

    title: str
    advice: str
    name: str
    content: tuple[bytes, ...] = ()
    start: bytes = b""

    def is_of(self, name: str, content: bytes) -> bool:
        """Says whether a file is of the format, by its name and how its content begins."""
        is_called = re.fullmatch(self.name, name, re.IGNORECASE)
        return bool(is_called and all(part in content for part in self.content) and re.match(self.start, content))


_RESULT_KEYS = (b'"image_id"', b'"bbox"', b'"score"')
_HEADER = "Write it as the first row, as filename,width,height,class,xmin,ymin,xmax,ymax"
_CLASSES = "Write the classes' names into classes.txt beside images/ and labels/, one a line, by number"
_FRACTION = rb"[ \t]+(\d?\.\d+(e-\d+)?|[01])"
_IMAGE = rb"[^,\n]+\.(jpg|jpeg|png|bmp|tiff?|webp)"
_FORMATS = (  # what many formats' files could be comes last
    _Format("an archive", "Unpack it and name the folder", r".*\.(zip|tar|tgz|tar\.\w+|7z|rar)"),
    _Format("Label Studio's own JSON", _AS_COCO, r".*\.json", (b'"from_name"', b'"to_name"')),
    _Format("Label Studio's own table", _AS_COCO, r".*\.(json|csv)", (b"rectanglelabels", b'"x"')),
    _Format("Labelbox's export", "Convert it to COCO", r".*\.(json|ndjson)", (b'"data_row"',)),
    _Format("Labelbox's export", "Convert it to COCO", r".*\.json", (b'"Labeled Data"',)),
    _Format("VoTT's JSON", "Export it as CSV or Pascal VOC", r".*\.(json|vott)", (b'"boundingBox"', b'"regions"')),
    _Format("SageMaker Ground Truth's manifest", "Convert it to COCO", r".*\.(manifest|jsonl?)", (b'"source-ref"',)),
    _Format("Cityscapes' polygons", "Convert it to COCO", r".*\.json", (b'"imgHeight"', b'"polygon"')),
    _Format("nuScenes' tables", "Export it as COCO (nuscenes-devkit does)", r"(sample_annotation|object_ann)\.json"),
    _Format("Scalabel's or another JSON Lines table", "Convert it to COCO", r".*\.jsonl"),
    _Format("a Parquet table", "Convert it to COCO", r".*\.parquet"),
    _Format("a MATLAB or HDF5 file", "Convert it to COCO", r".*\.(mat|h5|hdf5)"),
    _Format("UA-DETRAC's XML", "Convert it to COCO", r".*\.xml", (b"<sequence",)),
    _Format("WIDER FACE's list", "Read it as tfds:wider_face, or convert it to COCO", r"wider_face_.*_bbx_gt\.txt"),
    _Format("DOTA's oriented boxes", "Convert it to COCO", r".*\.txt", (b"imagesource:",)),
    _Format("KITTI's tracking labels", "Convert it to COCO", r".*\.txt", (), rb"\d+ -?\d+ [A-Za-z]+( -?[\d.]+){14}\s"),
    _Format("MOTChallenge's tracks", "Convert it to COCO", r"gt\.txt"),
    _Format("VIA's CSV", "Export it as JSON", r".*\.csv", (b"region_shape_attributes",)),
    _Format(
        "a list of detections, as COCO's results", "Add the file of ground truth", r".*\.json", _RESULT_KEYS, rb"\s*\["
    ),
    _Format("Roboflow's export for Darknet", "Export it as YOLOv8", r"_darknet\.labels"),
    _Format("keras-yolo3's list", "Convert it to COCO", r".*\.txt", (), rb"\S+\.\w+( [\d.]+(,[\d.]+){4})+\s"),
    _Format("a table of boxes without its header", _HEADER, r".*\.csv", (), _IMAGE + rb"(,\d+){2},[^,]+(,[\d.]+){4}\s"),
    _Format("a label file of YOLO without names", _CLASSES, r".*\.txt", (), rb"\s*\d+(%s){4,}\s*(\n|\Z)" % _FRACTION),
)


def name_of(path: Path) -> str | None:
    """Names the format of a file or folder that no reader recognises.

    Args:
        path: an existing file or folder.

    Returns:
        Two sentences, what it is and what to do; None where nothing is known.
    """
    files = [(file, _start_of(file)) for file in _first_files(path)]
    for known in _FORMATS:
        for file, content in files:
            if known.is_of(file.name, content):
                return f"`{file}` is {known.title}, which is not read. {known.advice}."
    only_images = path.is_dir() and next(_files(path), None) is None and layout.image_names(path)
    if only_images:
        return f"It holds {len(only_images)} images and no annotation. Add the annotations."
    return None


def _first_files(path: Path) -> Iterator[Path]:
    """Yields the first files of each ending, so that many labels hide no other file."""
    counts: collections.Counter[str] = collections.Counter()
    for file in _files(path):
        counts[file.suffix] += 1
        if counts[file.suffix] <= _LOOKED_AT_FILES:
            yield file


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    walked = ((inside, name) for inside, names in layout.walk(path) for name in names)
    yield from (path / inside / name for inside, name in walked if not layout.is_image(name))


def _start_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_LOOKED_AT_BYTES)
    except OSError:
        return b""
