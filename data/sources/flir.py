"""Reads the FLIR ADAS thermal datasets as they are delivered.

- Version 1: folders train/ and val/ (training/, validation/), and video/, which becomes "test". Each holds 8-bit
  thermal_8_bit/*.jpeg (PreviewData/), 16-bit thermal_16_bit/*.tiff (Data/), and either one JSON an image in
  thermal_annotations/ (Annotations/) or one COCO JSON thermal_annotations.json.
- Version 2: images_thermal_train/, images_thermal_val/ and video_thermal_test/, each with coco.json, 8-bit data/*.jpg
  and 16-bit analyticsData/*.tiff.

Classes are person (category 1), bicycle (2) and car (3); boxes of other categories (18 dog, 91 other vehicle; in
version 2 twelve more) are left out, as the study did whose configuration is this project's baseline.

Source: the readme files of the FLIR Thermal Starter Dataset (31 July 2018) and of the Teledyne FLIR Free ADAS Thermal
Dataset v2.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors
from data.sources import annotated, base, coco, layout, locate, values

CLASS_NAMES = ("person", "bicycle", "car")
LABELS = {1: 0, 2: 1, 3: 2}  # by category id, in both versions

_NAMES = (("person", "people"), ("bicycle", "bike"), ("car",))
_SPLIT_FOLDERS = {
    "train": ("train", "training", "images_thermal_train"),
    "val": ("val", "validation", "images_thermal_val"),
    "test": ("video", "test", "video_thermal_test", "images_thermal_test"),
}
_IMAGE_FOLDERS = {8: ("thermal_8_bit", "PreviewData", "data"), 16: ("thermal_16_bit", "analyticsData", "Data")}
_ANNOTATIONS = ("thermal_annotations", "Annotations", "thermal_annotations.json", "coco.json")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a split lies.

    Attributes:
        annotations: a COCO JSON, or a folder with one JSON an image.
        images: folder of the images, of the chosen depth.
    """

    annotations: Path
    images: Path


class FlirSource(annotated.AnnotatedSource):
    """FLIR ADAS thermal images, version 1 or 2."""

    kind = "flir"
    argument_help = ":PATH[,bits=8|16] (the folder of FLIR ADAS version 1 or 2)"

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "FlirSource":
        """Opens a folder.

        Args:
            spec: what the user typed.
            argument: path of the folder; with ",bits=16" behind it the 16-bit images are read, else the 8-bit ones,
                where they are there.
            options: answers to what the data leaves open.

        Returns:
            The source; its classes are `CLASS_NAMES`.

        Raises:
            UserError: the folder is missing or in neither layout, the depth is unknown, or a JSON for a whole split is
                malformed.
        """
        path, comma, depth = argument.partition(",bits=")
        if comma and depth not in ("8", "16"):
            raise errors.UserError(f"Dataset `{spec}`: `bits` must be 8 or 16: got `{depth}`.")
        root = layout.existing_folder(spec, cls.kind, path)
        depths = [int(depth)] if comma else list(_IMAGE_FOLDERS)
        places = next(filter(None, (find_splits(root, bits) for bits in depths)), {})
        if not places:
            folders = " or ".join(f"`{name}/`" for bits in depths for name in _IMAGE_FOLDERS[bits])
            looked_for = (
                "`train/` with `thermal_annotations/` or `thermal_annotations.json`, or `images_thermal_train/` with"
                f" `coco.json`, and images in {folders}"
            )
            raise layout.nothing_found(spec, root, looked_for)
        images, notices = {}, []
        for split, place in places.items():
            is_v1 = place.annotations.is_dir()
            images[split] = _read_folder(place) if is_v1 else _read_coco(place, notices)
            notices += layout.unnamed_images(place.images, [image.path for image in images[split]])
        layout.check_any(spec, images)
        return cls(spec, images, CLASS_NAMES, options, notices)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which of FLIR ADAS' folders are there; None where they are not."""
        for bits in _IMAGE_FOLDERS if path.is_dir() else ():
            for place in find_splits(path, bits).values():
                if "thermal" in str(place.annotations.relative_to(path)) or place.images.name == "PreviewData":
                    return f"{place.annotations.relative_to(path)} lies beside {place.images.name}/"
        return None


def find_splits(root: Path, bits: int) -> dict[str, Place]:
    """Finds the splits of a folder.

    Args:
        root: an existing folder.
        bits: 8 or 16, of the images.

    Returns:
        Where each split lies, in the order train, val, test; only those that are there.
    """
    found = {}
    for split, names in _SPLIT_FOLDERS.items():
        for folder in filter(None, (layout.folder_named(root, name) for name in names)):
            annotations = next((path for name in _ANNOTATIONS if (path := folder / name).exists()), None)
            images = next((path for name in _IMAGE_FOLDERS[bits] if (path := folder / name).is_dir()), None)
            if annotations and images and split not in found:
                found[split] = Place(annotations, images)
    return found


def _read_coco(place: Place, notices: list[annotated.Notice]) -> list[annotated.AnnotatedImage]:
    """Reads a split with one COCO JSON; its file names start with the folder of the 8-bit images."""
    table, files_of = coco.read_json(place.annotations), _files(place.images)
    _check_categories(table, place.annotations)

    def find(name: str) -> tuple[Path, str | None]:
        located = _located(annotated.AnnotatedImage(name, ""), name, place.images, files_of)
        return Path(located.path), located.problem

    images = coco.read_images(table, place.annotations, LABELS, notices, find, drop_others=True)
    return [dataclasses.replace(image, source_id=Path(image.path).name) for image in images]


def _check_categories(table: Mapping[str, Any], path: Path) -> None:
    """Checks that a JSON that names the categories that are read names them as FLIR does."""
    for number, name in coco.read_categories(table, path).items() if "categories" in table else ():
        if number in LABELS and name.casefold() not in _NAMES[LABELS[number]]:
            raise errors.UserError(
                f"{path}: category {number} is `{name}`, in FLIR ADAS {CLASS_NAMES[LABELS[number]]}. Read it as"
                " coco:PATH, or correct the category."
            )


def _read_folder(place: Place) -> list[annotated.AnnotatedImage]:
    """Reads a split with one JSON an image; a malformed one makes its image unusable."""
    files_of = _files(place.images)
    images = []
    for file in layout.files(place.annotations, ".json"):
        image = annotated.AnnotatedImage(source_id=file.stem, path="")
        try:
            image = _parse_image(coco.read_json(file), image)
        except errors.UserError as error:
            image = dataclasses.replace(image, problem=str(error).removesuffix("."))
        images.append(_located(image, file.stem, place.images, files_of))
    return images


def _parse_image(table: Mapping[str, Any], image: annotated.AnnotatedImage) -> annotated.AnnotatedImage:
    """Adds one JSON's content to its image; category ids may be text."""
    entries, stated = table.get("annotation", table.get("annotations")), table.get("image", {})
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return dataclasses.replace(image, problem="its JSON needs `annotation`, a list of objects")
    size = values.size(stated.get("height"), stated.get("width")) if isinstance(stated, dict) else None
    return coco.with_boxes(dataclasses.replace(image, size=size), entries, LABELS, drop_others=True)


def _files(folder: Path) -> dict[str, list[str]]:
    """Returns {name without ending: file names} of a folder's images."""
    found: dict[str, list[str]] = {}
    for name in layout.image_names(folder):
        found.setdefault(layout.stem(name), []).append(name)
    return found


def _located(
    image: annotated.AnnotatedImage, stated: str, folder: Path, files: Mapping[str, Sequence[str]]
) -> annotated.AnnotatedImage:
    """Names an image by its file, which lies in the folder of the chosen depth under the stated name."""
    tail = locate.plain(stated).rpartition("/")[2]
    file, *others = files.get(layout.stem(tail), [tail])
    if others:
        both = " and ".join(f"`{name}`" for name in (file, *others))
        problem = f"{both} have its name; keep the image there only"
        image = dataclasses.replace(image, problem=problem, boxes=(), labels=(), is_crowd=(), areas_px=())
    return dataclasses.replace(image, source_id=file, path=str(folder / file))
