import collections
import random

import pytest

from data.sources import stratification
from data.sources.stratification import ANY, NO_OBJECT, UNUSABLE, Group

THREE = {"train": 14, "val": 3, "test": 3}


def images(*labels, names="image"):
    """Makes a group of each image, by the classes of its objects."""
    return [
        Group(f"{names}{number}", 1, dict.fromkeys(stratification.label_images(each), 1))
        for number, each in enumerate(labels)
    ]


def held(groups, splits):
    """Counts the images of each split by label."""
    counts = collections.defaultdict(collections.Counter)
    for group, split in zip(groups, splits, strict=True):
        counts[split].update(group.counts)
    return counts


def test_what_an_image_counts_for():
    assert stratification.label_images((2, 0, 2)) == (0, 2, ANY)
    assert stratification.label_images(()) == (NO_OBJECT, ANY)
    assert stratification.label_images(None) == (UNUSABLE,)


def test_each_split_gets_its_share_of_every_class():
    groups = images(*[(0,)] * 20, *[(1,)] * 40, *[()] * 40)
    counts = held(groups, stratification.stratify(groups, {"train": 70, "val": 15, "test": 15}, 0))
    assert {label: [counts[split][label] for split in counts] for label in (0, 1, NO_OBJECT)} == {
        0: [14, 3, 3],
        1: [28, 6, 6],
        NO_OBJECT: [28, 6, 6],
    }


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (1, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (4, (2, 1, 1)), (20, (14, 3, 3))]
)
def test_a_class_of_as_many_images_as_splits_is_in_each_and_a_rarer_one_in_train(count, expected):
    groups = images(*[(0,)] * count, *[()] * (200 - count))
    for seed in range(20):
        counts = held(groups, stratification.stratify(groups, {"train": 140, "val": 30, "test": 30}, seed))
        assert tuple(counts[split][0] for split in ("train", "val", "test")) == expected
        assert counts["val"][ANY] == counts["test"][ANY] == 30


def test_images_of_several_classes_are_shared_out_by_the_rarest():
    """No class of three images and more is missing anywhere, and no size is far off."""
    for seed in range(100):
        draw = random.Random(seed)
        groups = images(*[set(draw.choices(range(9), range(1, 10), k=draw.randint(0, 4))) for _ in range(60)])
        splits = stratification.stratify(groups, {"train": 30, "val": 15, "test": 15}, seed)
        counts = held(groups, splits)
        totals = sum(counts.values(), start=collections.Counter())
        for label, total in totals.items():
            assert counts["train"][label]
            assert label < 0 or total < 3 or all(counts[split][label] for split in ("val", "test"))
        assert all(11 <= splits.count(split) <= 17 for split in ("val", "test"))


def test_a_single_object_stays_in_train_even_where_it_is_the_only_other_image_of_a_class():
    groups = images((0, 1), (0, 2), (0, 3), (1,), (2,), (3,))
    for seed in range(20):
        counts = held(groups, stratification.stratify(groups, {"train": 4, "val": 1, "test": 1}, seed))
        assert all(counts["train"][label] for label in range(4))
        assert all(counts[split][0] for split in ("train", "val", "test"))


def test_no_split_is_left_empty_however_large_the_groups():
    sizes = (50, 10, 10)
    groups = [Group(str(size) + name, size, {0: size, ANY: size}) for size, name in zip(sizes, "abc", strict=True)]
    assert sorted(stratification.stratify(groups, {"train": 50, "val": 10, "test": 10}, 0)) == ["test", "train", "val"]
    same = [Group(name, 10, {0: 10, ANY: 10}) for name in "abc"]
    assert sorted(stratification.stratify(same, {"train": 20, "val": 5, "test": 5}, 0)) == ["test", "train", "val"]


def test_unusable_images_are_shared_out_and_fill_no_split():
    groups = images(*[None] * 6, (0,), (0,), (0,))
    for seed in range(20):
        counts = held(groups, stratification.stratify(groups, {"train": 5, "val": 2, "test": 2}, seed))
        assert [counts[split][0] for split in ("train", "val", "test")] == [1, 1, 1]
        assert max(counts[split][UNUSABLE] for split in ("val", "test")) <= 2


def test_the_seed_decides_and_the_order_of_the_groups_does_not():
    groups = images(*[(0,)] * 20)
    splits = stratification.stratify(groups, THREE, 0)
    assert stratification.stratify(groups[::-1], THREE, 0)[::-1] == splits != stratification.stratify(groups, THREE, 1)
