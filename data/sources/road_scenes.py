"""Reads the embedded dataset `road_scenes`: scenes are drawn while they are read."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from data import boxes as box_forms
from data import errors
from data.examples import DetectionRecord
from data.road_scenes import looks, scenes
from data.sources import base

_SMALLEST_SIDE_PX = 32
_LARGEST_SIDE_PX = 4096


@dataclasses.dataclass(frozen=True)
class SceneItem:
    """One scene to draw.

    Attributes:
        source_id: its name.
        split: "train", "val" or "test".
        index: its number in the split.
    """

    source_id: str
    split: str
    index: int


@dataclasses.dataclass(frozen=True)
class SceneParameters:
    """What `--dataset=road_scenes:NAME=VALUE,...` may set.

    Attributes:
        seed: of the whole dataset, at least 0.
        train: scenes in the train split, at least 1.
        val: scenes in the val split, at least 1.
        test: scenes in the test split, at least 1.
        look: "thermal", "visible" or "both".
        size: height and width of the images, px, from 32 to 4096 each; written as HEIGHTxWIDTH.
    """

    seed: int = 0
    train: int = scenes.DEFAULT_COUNTS["train"]
    val: int = scenes.DEFAULT_COUNTS["val"]
    test: int = scenes.DEFAULT_COUNTS["test"]
    look: str = "both"
    size: tuple[int, int] = (128, 160)


class RoadScenesSource(base.Reader):
    """Synthetic road scenes with persons, bicycles and cars."""

    kind = "road_scenes"
    argument_help = "[:seed=N,train=N,val=N,test=N,look=both|thermal|visible,size=HEIGHTxWIDTH]"
    splits = base.SPLITS

    def __init__(self, spec: str, parameters: SceneParameters) -> None:
        """Stores the parameters; nothing is drawn yet.

        Args:
            spec: what the user typed.
            parameters: of the dataset.
        """
        self.spec, self.parameters, self.class_names = spec, parameters, scenes.CLASS_NAMES

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "RoadScenesSource":
        """Opens the dataset; `argument` is "" or "NAME=VALUE,..." with the names of `SceneParameters`.

        Raises:
            UserError: a parameter is unknown, or a value is outside its range.
        """
        del options
        return cls(spec, parse_parameters(spec, argument))

    def fingerprint(self) -> str:
        """Returns a digest of the renderer's version and the parameters."""
        state = {"version": scenes.VERSION} | dataclasses.asdict(self.parameters)
        return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()

    def items(self, split: str) -> list[SceneItem]:
        """Lists a split's scenes by number."""
        seed = self.parameters.seed
        return [
            SceneItem(f"s{seed}_{split}_{index:06d}", split, index) for index in range(getattr(self.parameters, split))
        ]

    def load(self, item: SceneItem) -> DetectionRecord:
        """Draws one scene; the same item gives the same bytes."""
        scene = scenes.render_scene(
            self.parameters.seed,
            item.split,
            item.index,
            image_size=self.parameters.size,
            look=self.parameters.look,
        )
        height, width = scene.image.shape[:2]
        return DetectionRecord(
            source_id=item.source_id,
            encoded=scenes.encode_jpeg(scene),
            image_format="jpeg",
            height=height,
            width=width,
            boxes=scene.boxes,
            labels=scene.labels,
            is_crowd=np.zeros(len(scene.labels), dtype=bool),
            area_px=box_forms.areas_px(scene.boxes, height, width),
        )


def parse_parameters(spec: str, argument: str) -> SceneParameters:
    """Parses "NAME=VALUE,...".

    Args:
        spec: what the user typed, for the error.
        argument: the part behind the colon; "" leaves every parameter at its default.

    Returns:
        The parameters.

    Raises:
        UserError: a name is unknown or comes twice, or a value is outside its range.
    """
    values: dict[str, Any] = {}
    for assignment in filter(None, argument.split(",")):
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if name not in _PARSERS:
            raise errors.UserError(f"Dataset `{spec}`: unknown parameter `{name}`.{errors.nearest(name, _PARSERS)}")
        if name in values:
            raise errors.UserError(f"Dataset `{spec}`: `{name}` is set twice; set it once.")
        parse, rule = _PARSERS[name]
        try:
            values[name] = parse(text if equals else "")
        except ValueError as error:
            raise errors.UserError(f"Dataset `{spec}`: `{name}` needs {rule}: got `{text}`.") from error
    return SceneParameters(**values)


def _whole_number(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
            raise ValueError(text)
        return int(text)

    return parse


def _look(text: str) -> str:
    if text not in (*looks.LOOKS, "both"):
        raise ValueError(text)
    return text


def _size(text: str) -> tuple[int, int]:
    height, width = (int(side) for side in text.split("x"))
    if min(height, width) < _SMALLEST_SIDE_PX or max(height, width) > _LARGEST_SIDE_PX:
        raise ValueError(text)
    return height, width


_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "seed": (_whole_number(0), "a whole number of at least 0"),
    **{split: (_whole_number(1), "a whole number of at least 1") for split in base.SPLITS},
    "look": (_look, "one of both, thermal, visible"),
    "size": (_size, f"HEIGHTxWIDTH in px, from {_SMALLEST_SIDE_PX} to {_LARGEST_SIDE_PX} each, for example 128x160"),
}
