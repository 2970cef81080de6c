"""Datasets of an image or two, for tests of what a reader makes of one annotation."""

import json
import pathlib
from typing import Any

import pytest

from data import errors, sources
from data.sources import base
from tests.format_folders import HEIGHT, WIDTH, Scene, put, write_images


def open_as(kind: str, root: pathlib.Path) -> base.Reader:
    """Opens a folder with the reader of a kind."""
    return sources.READERS[kind].open(f"{kind}:{root}", str(root), base.ReadOptions())


def boxes_px(source: base.Reader, split: str = "train") -> list[tuple]:
    """Lists class and corners of the first image's boxes, px."""
    record = source.load(source.items(split)[0])
    corners = (record.boxes[:, [1, 0, 3, 2]] * [WIDTH, HEIGHT, WIDTH, HEIGHT]).round(3).tolist()
    return [(source.class_names[label], *box) for label, box in zip(record.labels, corners, strict=True)]


def problem(source: base.Reader) -> str:
    """Returns why the first image cannot be used."""
    with pytest.raises(errors.BadExampleError) as caught:
        source.load(source.items("train")[0])
    return caught.value.reason


def notices(source: Any) -> list[tuple[str, str, str]]:
    """Lists kind, file's name and detail of a source's notices."""
    return [(notice.kind, pathlib.Path(notice.file).name, notice.detail) for notice in source.notices]


def write_json(root: pathlib.Path, table: Any, name: str = "a.json") -> pathlib.Path:
    """Writes the image a.jpg and a JSON beside it."""
    write_images(root, [Scene("a.jpg")])
    put(root / name, json.dumps(table))
    return root


def labelme(label: str = "car", points=((4, 6), (24, 18)), kind: str = "rectangle", image: str = "a.jpg", **fields):
    """Makes labelme's JSON of one shape."""
    shape = {"label": label, "points": [list(point) for point in points], "shape_type": kind} | fields
    return {"shapes": [shape], "imagePath": image, "imageHeight": HEIGHT, "imageWidth": WIDTH}


def via(shape: Any, attributes: Any) -> dict[str, Any]:
    """Makes VIA's JSON of one region."""
    return {"a.jpg1": {"filename": "a.jpg", "regions": [{"shape_attributes": shape, "region_attributes": attributes}]}}


RECT = {"name": "rect", "x": 4, "y": 6, "width": 20, "height": 12}  # of VIA
