"""TFDS builder of `road_scenes`: after importing this, `tfds.load("road_scenes")` works; no downloads."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data.road_scenes import scenes

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclasses.dataclass(kw_only=True)
class RoadScenesConfig(tfds.core.BuilderConfig):
    """What is rendered: look, seed, image size and the number of scenes in "train", "val" and "test".

    TFDS keeps prepared data by the configuration's name: a configuration of your own needs its own name.
    """

    look: str = "both"
    seed: int = 0
    height_px: int = 128
    width_px: int = 160
    counts: dict[str, int] = dataclasses.field(default_factory=lambda: dict(scenes.DEFAULT_COUNTS))


class RoadScenes(tfds.core.GeneratorBasedBuilder):
    """Seeded synthetic road scenes with persons, bicycles and cars, in a thermal and a visible-light look."""

    # Beside the code TFDS 4.9 looks for download checksums, through `importlib_resources`, which it does not
    # install on Python 3.11. There are no downloads, so there is nothing to look for.
    code_path = None
    VERSION = tfds.core.Version(scenes.VERSION)
    RELEASE_NOTES = {scenes.VERSION: "First release."}
    BUILDER_CONFIGS = [
        RoadScenesConfig(name="both", look="both", description="Each scene in one of the two looks."),
        RoadScenesConfig(name="thermal", look="thermal", description="Every scene as a thermal camera sees it."),
        RoadScenesConfig(name="visible", look="visible", description="Every scene as a colour camera sees it."),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        """Declares the features."""
        config = self.builder_config
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(config.height_px, config.width_px, 3), encoding_format="jpeg"),
                    "image/id": tfds.features.Text(),
                    "objects": tfds.features.Sequence(
                        {
                            "bbox": tfds.features.BBoxFeature(),
                            "label": tfds.features.ClassLabel(names=list(scenes.CLASS_NAMES)),
                            "is_crowd": tfds.features.Scalar(np.bool_),
                        }
                    ),
                }
            ),
            supervised_keys=None,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[str, Any]]]:
        """Maps the splits to their scenes; the validation split is named as TFDS does."""
        del dl_manager  # nothing to download
        return {_SPLITS[split]: self._generate_examples(split) for split in _SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields each scene of a split, keyed by its id."""
        config = self.builder_config
        for index in range(config.counts[split]):
            scene = scenes.render_scene(
                config.seed, split, index, image_size=(config.height_px, config.width_px), look=config.look
            )
            yield scene.source_id, _to_example(scene)


def _to_example(scene: scenes.Scene) -> dict[str, Any]:
    """Turns a scene into the builder's features; the encoded image keeps its bytes."""
    return {
        "image": scenes.encode_jpeg(scene),
        "image/id": scene.source_id,
        "objects": [
            {
                "bbox": tfds.features.BBox(*(float(side) for side in box)),
                "label": int(label),
                "is_crowd": False,
            }
            for box, label in zip(scene.boxes, scene.labels, strict=True)
        ],
    }
