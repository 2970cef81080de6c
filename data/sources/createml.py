"""Reads Create ML's JSON: a list of images, each with `annotations` of a `label` and `coordinates`.

`coordinates` are the centre x and y, width and height in px. Roboflow's train/_annotations.createml.json is such.
Apple's documentation calls the keys `imagefilename` and `annotation`; these count, too.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.sources import detections, json_files, stated

_NAME_KEYS = ("image", "imagefilename", "filename")
_LIST_KEYS = ("annotations", "annotation")
_COORDINATES = ("x", "y", "width", "height")


class CreatemlSource(stated.StatedSource):
    """Create ML's JSON with its images."""

    kind = "createml"
    argument_help = ":PATH (a JSON beside its images, also below train/, val/, test/)"
    looked_for = "Create ML's JSON, a list with `annotations` and `coordinates`"
    box_form = "cxcywh_px"
    whole_splits = True

    @classmethod
    def is_its(cls, content: bytes) -> bool:
        """Says whether it is a list with Create ML's keys."""
        return content.lstrip()[:1] == b"[" and b'"annotation' in content and b'"coordinates"' in content

    @classmethod
    def parse(cls, file: Path) -> Iterable[stated.Stated]:
        """Reads all images of a file."""
        entries = stated.items_of(json_files.read(file), "Create ML's JSON")
        detections.check(detections.below(entries, *_LIST_KEYS), file)
        return [_read(entry) for entry in entries]


def _read(entry: Mapping[str, Any]) -> stated.Stated:
    name = stated.text_of(next((entry[key] for key in _NAME_KEYS if key in entry), None), "`image`")
    try:
        keys = [key for key in _LIST_KEYS if key in entry]
        if len(keys) != 1:
            given = ", ".join(f"`{key}`" for key in entry)
            raise ValueError(f"it needs either the key `annotations` or the key `annotation`: got {given}")
        return stated.Stated(name, tuple(map(_row, stated.items_of(entry[keys[0]], f"`{keys[0]}`"))))
    except ValueError as error:
        return stated.Stated(name, problem=f"{name}: {error}")


def _row(annotation: Mapping[str, Any]) -> stated.Row:
    label = stated.text_of(annotation.get("label"), "`label`")
    what = f"`coordinates` of {label}"
    given = stated.object_of(annotation.get("coordinates"), what)
    return label, stated.numbers_of([given.get(key) for key in _COORDINATES], what), False
