import pickle

import pytest

from data import errors, sources
from tests import coco_folder


@pytest.fixture(params=["coco", "road_scenes"])
def source(request, tmp_path):
    if request.param == "road_scenes":
        return sources.open_source("road_scenes:train=3,val=2,test=1")
    tables = {split: coco_folder.table(count) for split, count in (("train", 3), ("val", 2), ("test", 1))}
    return sources.open_source(f"coco:{coco_folder.write(tmp_path / 'set', **tables)}")


def test_every_source_lists_unique_picklable_items_and_loads_them_elsewhere(source):
    assert source.splits == ("train", "val", "test")
    worker = pickle.loads(pickle.dumps(source))
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        items = source.items(split)
        assert len({item.source_id for item in items}) == len(items) == count
        assert items == source.items(split)
        for item in pickle.loads(pickle.dumps(items)):
            record = worker.load(item)
            assert record.source_id == item.source_id
            assert len(record.labels) == 0 or 0 <= record.labels.min() <= record.labels.max() < len(source.class_names)
            assert record.encoded == source.load(item).encoded


def test_every_source_has_a_stable_fingerprint(source):
    assert source.fingerprint() == pickle.loads(pickle.dumps(source)).fingerprint()
    assert sources.open_source(source.spec).fingerprint() == source.fingerprint()


def test_every_source_takes_a_subset_of_its_classes(source):
    chosen = source.class_names[1:][::-1]
    subset = sources.open_source(source.spec, chosen)
    assert subset.class_names == chosen
    for item, same in zip(source.items("train"), subset.items("train"), strict=True):
        kept = [source.class_names[label] for label in source.load(item).labels]
        kept = [name for name in kept if name in chosen]
        assert [chosen[label] for label in subset.load(same).labels] == kept


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["perzon"], "Unknown class `perzon`. Did you mean `person`?"),
        (["zzz"], "Unknown class `zzz`. Known: "),
        (["person", "person"], "Class `person` is named twice; name each class once."),
        ([], "No class is left to detect; name at least one."),
    ],
)
def test_wrong_classes_end_with_a_clear_line(source, classes, message):
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(source.spec, classes)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "road_scene",
            "Unknown dataset kind `road_scene`. Did you mean `road_scenes`? Write one of: coco:PATH (",
        ),
        ("cooc:/data", "Unknown dataset kind `cooc`. Did you mean `coco`?"),
        ("", "Unknown dataset kind ``. Known: coco, road_scenes."),
        (
            "/no/such/folder",
            "Dataset `/no/such/folder`: there is no such path. Give an existing folder, or KIND:PATH.",
        ),
    ],
)
def test_an_unknown_dataset_ends_with_a_clear_line(spec, message):
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(spec)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_kind_is_recognised(tmp_path):
    root = coco_folder.write(tmp_path / "set", **{split: coco_folder.table(1) for split in sources.SPLITS})
    assert sources.open_source(str(root)).kind == "coco"


def test_a_folder_in_no_known_layout_ends_with_a_clear_line(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(str(tmp_path))
    assert str(caught.value) == (
        f"Dataset `{tmp_path}`: its layout is not recognised; it holds `notes.txt`."
        " Say which one it is with KIND:PATH; kinds: coco, road_scenes."
    )
