import pytest

from data import errors, sources
from data.road_scenes import scenes


def test_scenes_arrive_as_the_renderer_draws_them():
    source = sources.open_source("road_scenes:seed=3,train=2,look=thermal,size=64x96")
    item = source.items("train")[1]
    scene = scenes.render_scene(3, "train", 1, image_size=(64, 96), look="thermal")
    record = source.load(item)
    assert record.source_id == scene.source_id
    assert (record.height, record.width) == (64, 96)
    assert record.encoded == scenes.encode_jpeg(scene)
    assert record.boxes.tolist() == scene.boxes.tolist()
    assert record.labels.tolist() == scene.labels.tolist()
    assert not record.is_crowd.any()


def test_defaults_are_the_renderers():
    source = sources.open_source("road_scenes")
    assert source.class_names == scenes.CLASS_NAMES
    assert {split: len(source.items(split)) for split in source.splits} == scenes.DEFAULT_COUNTS


def test_the_fingerprint_follows_every_parameter_and_the_renderer(monkeypatch):
    specs = ["seed=1", "train=9", "val=9", "test=9", "look=thermal", "size=64x96"]
    prints = {sources.open_source(f"road_scenes:{spec}").fingerprint() for spec in ["", *specs]}
    assert len(prints) == 1 + len(specs)
    monkeypatch.setattr(scenes, "VERSION", "another")
    assert sources.open_source("road_scenes").fingerprint() not in prints


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sed=3", "unknown parameter `sed`. Did you mean `seed`?"),
        ("zzz=3", "unknown parameter `zzz`. Known: seed, train, val, test, look, size."),
        ("seed=-1", "`seed` needs a whole number of at least 0: got `-1`."),
        ("train", "`train` needs a whole number of at least 1: got ``."),
        ("val=0", "`val` needs a whole number of at least 1: got `0`."),
        ("test=1.5", "`test` needs a whole number of at least 1: got `1.5`."),
        ("look=night", "`look` needs one of both, thermal, visible: got `night`."),
        ("size=64", "`size` needs HEIGHTxWIDTH in px, from 32 to 4096 each, for example 128x160: got `64`."),
        ("size=8x64", "`size` needs HEIGHTxWIDTH in px, from 32 to 4096 each, for example 128x160: got `8x64`."),
        ("seed=1,seed=2", "`seed` is set twice; set it once."),
    ],
)
def test_a_wrong_parameter_ends_with_a_clear_line(argument, message):
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(f"road_scenes:{argument}")
    assert str(caught.value) == f"Dataset `road_scenes:{argument}`: {message}"
