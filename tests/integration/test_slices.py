"""TFMA's slices of the test result, over TFRecords and a SavedModel: each equals COCO's numbers of its images."""

import dataclasses
import itertools

import numpy as np
import pytest
from tensorflow_model_analysis.api import model_eval_lib

from benchmarks import evaluation as peer
from data.errors import UserError
from models.evaluation import coco
from pipeline import slices
from tests import tiny_detector

CLASS_NAMES = ["person", "bicycle", "car"]
NUM_IMAGES = 24
GREYS = (30, 90, 200)  # of every third image each


@pytest.fixture(scope="module")
def results():
    drawn = peer.random_results(5, NUM_IMAGES, detections=12)
    return [dataclasses.replace(one, height=60 + number % 7, width=80) for number, one in enumerate(drawn)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, results):
    """Holds ingested examples, the model, and what TFMA wrote about it."""
    folder = tmp_path_factory.mktemp("slices")
    records = [
        dataclasses.replace(record, encoded=tiny_detector.png(one, number, GREYS[number % 3]))
        for number, (record, one) in enumerate(zip(tiny_detector.records_of(results), results, strict=True))
    ]
    tiny_detector.write_split(folder / "examples" / "Split-test", records, CLASS_NAMES)
    tiny_detector.write_split(folder / "empty" / "Split-test", [], CLASS_NAMES)
    tiny_detector.export(folder / "model", results, CLASS_NAMES)
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return slices.evaluate(str(folder / "model"), folder / "examples", folder / "analysis")


def images_with(results, **features):
    """Chooses images by hand."""
    for number, one in enumerate(results):
        shown = ~one.gt_is_crowd
        sizes = {slices.SIZES[int(area >= 32**2) + int(area >= 96**2)] for area in one.gt_area_px[shown]}
        has = {
            "class": {CLASS_NAMES[label] for label in one.gt_labels[shown]},
            "size": sizes,
            "brightness": {slices.BRIGHTNESSES[number % 3]},
        }
        if all(value in has[name] for name, value in features.items()):
            yield one


def test_each_slice_has_the_numbers_of_its_images(found, results):
    """And no slice is missing: all values, alone and with each brightness."""
    assert [found[0].name, len(found[0].images.results)] == ["all images", NUM_IMAGES]
    classes, sizes = ([{name: one} for one in of] for name, of in (("class", CLASS_NAMES), ("size", slices.SIZES)))
    dark = [{"brightness": one} for one in slices.BRIGHTNESSES]
    pairs = [left | right for others in (classes, sizes) for left, right in itertools.product(dark, others)]
    expected = [one for one in ({}, *classes, *sizes, *dark, *pairs) if list(images_with(results, **one))]
    assert [one.features for one in found] == expected
    assert len(found) > 15
    for one in found:
        own = list(images_with(results, **one.features))
        assert len(one.images.results) == len(own)
        assert one.num_objects == sum(int((~image.gt_is_crowd).sum()) for image in own)
        metrics = coco.coco_metrics(own, CLASS_NAMES)
        assert list(one.metrics) == list(metrics)
        assert peer.largest_difference(one.metrics, metrics) <= 1e-6


def test_tfma_reads_the_slices_as_its_own(folder, found):
    loaded = model_eval_lib.load_eval_result(str(folder / "analysis"))
    assert set(loaded.get_slice_names()) == {tuple(sorted(one.features.items())) for one in found}
    assert [one.features for one in slices.read(folder / "analysis")] == [one.features for one in found]


def test_the_interval_holds_the_number_and_is_wider_where_there_are_fewer_images(found):
    every, *parts = (one for one in found if one.features.keys() <= {"brightness"})
    low, high = every.interval("AP50", num_resamples=200)
    assert low < every.metrics["AP50"] < high
    widths = [np.subtract(*reversed(one.interval("AP50", num_resamples=200))) for one in parts]
    assert np.mean(widths) > high - low


def test_a_split_without_images_is_refused(folder):
    with pytest.raises(UserError, match=r"There is no image in .*Name a split with images\."):
        slices.evaluate(str(folder / "model"), folder / "empty", folder / "nothing")
