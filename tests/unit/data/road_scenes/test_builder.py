import socket

import numpy as np
import pytest

from data.road_scenes import scenes

tfds = pytest.importorskip("tensorflow_datasets")
COUNTS = {"train": 9, "val": 4, "test": 5}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    from data.road_scenes import builder

    def refuse(*_):
        raise AssertionError("the builder reached for the network")

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", refuse)
    config = builder.RoadScenesConfig(name="tiny", seed=7, counts=COUNTS)
    folder = str(tmp_path_factory.mktemp("tfds"))
    loaded = tfds.load("road_scenes", data_dir=folder, with_info=True, builder_kwargs={"config": config})
    yield loaded
    patch.undo()


def test_splits_have_their_counts(prepared):
    _, info = prepared
    counts = {name: split.num_examples for name, split in info.splits.items()}
    assert counts == {"train": 9, "validation": 4, "test": 5}
    assert info.features["objects"]["label"].names == list(scenes.CLASS_NAMES)


def test_examples_equal_the_renderers_scenes(prepared):
    datasets, _ = prepared
    for tfds_split, split in (("train", "train"), ("validation", "val"), ("test", "test")):
        examples = {example["image/id"].decode(): example for example in tfds.as_numpy(datasets[tfds_split])}
        for index in range(COUNTS[split]):
            scene = scenes.render_scene(7, split, index)
            example = examples.pop(scene.source_id)
            np.testing.assert_allclose(example["objects"]["bbox"].reshape(-1, 4), scene.boxes, atol=1e-7)
            np.testing.assert_array_equal(example["objects"]["label"], scene.labels)
            assert not example["objects"]["is_crowd"].any()
            assert np.abs(example["image"].astype(int) - scene.image).mean() < 3.5  # JPEG, quality 95
        assert not examples


def test_named_configurations_are_the_looks_with_the_default_counts():
    from data.road_scenes import builder

    configs = {config.name: config for config in builder.RoadScenes.BUILDER_CONFIGS}
    assert {name: config.look for name, config in configs.items()} == {
        "both": "both",
        "thermal": "thermal",
        "visible": "visible",
    }
    assert all(config.counts == scenes.DEFAULT_COUNTS for config in configs.values())
