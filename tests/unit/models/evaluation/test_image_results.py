"""Results of images in one file: nothing is lost, damage is noticed, other images are told apart."""

import dataclasses

import numpy as np
import pytest

from benchmarks import evaluation as peer
from data import errors
from models.evaluation import coco, image_results

CLASS_NAMES = ("person", "bicycle", "car")


def images(results, prefix="image"):
    ids = tuple(f"{prefix}-{i:02}" for i in range(len(results)))
    return image_results.ImageResults(CLASS_NAMES, ids, np.arange(len(results), dtype=np.uint32), tuple(results))


@pytest.fixture(scope="module")
def found():
    return images(peer.random_results(3, 12, detections=20))


def test_what_is_packed_comes_back_and_scores_the_same(found):
    again = image_results.ImageResults.from_bytes(found.to_bytes())
    assert (again.class_names, again.source_ids) == (found.class_names, found.source_ids)
    assert again.checksums.tolist() == found.checksums.tolist()
    assert coco.coco_metrics(again.results, CLASS_NAMES) == coco.coco_metrics(found.results, CLASS_NAMES)
    found.check_same_images(again)


def test_images_without_objects_or_detections_and_no_images_at_all(found):
    bare = dataclasses.replace(
        found.results[0],
        **{
            name: getattr(found.results[0], name)[:0] for name in ("gt_boxes", "gt_labels", "gt_is_crowd", "gt_area_px")
        },
        **{name: getattr(found.results[0], name)[:0] for name in ("det_boxes", "det_scores", "det_classes")},
    )
    again = image_results.ImageResults.from_bytes(images([bare, found.results[1], bare]).to_bytes())
    assert [len(one.gt_labels) for one in again.results] == [0, len(found.results[1].gt_labels), 0]
    assert [len(one.det_scores) for one in again.results] == [0, 20, 0]
    assert image_results.ImageResults.from_bytes(images([]).to_bytes()).results == ()


@pytest.mark.parametrize("damaged", [b"", b"{}", "half"])
def test_damage_is_named(found, damaged):
    data = found.to_bytes()
    with pytest.raises(ValueError, match="needs the bytes of"):
        image_results.ImageResults.from_bytes(data[: len(data) // 2] if damaged == "half" else damaged)


def test_other_images_or_other_ground_truth_are_not_the_same(found):
    first = found.results[0]
    moved = dataclasses.replace(first, gt_boxes=first.gt_boxes * 0.5)
    others = {
        "12 of them|in one of the two only": images(found.results[:6], "other"),
        "`image-03` has other content": dataclasses.replace(
            found, checksums=np.where(np.arange(12) == 3, 99, np.arange(12))
        ),
        "ground truth .* `image-00`": dataclasses.replace(found, results=(moved, *found.results[1:])),
        "classes differ": dataclasses.replace(found, class_names=("a", "b", "c")),
    }
    for words, other in others.items():
        with pytest.raises(errors.UserError, match=words):
            found.check_same_images(other)


def test_other_detections_on_the_same_images_are(found):
    blind = [dataclasses.replace(one, det_scores=one.det_scores * 0.5) for one in found.results]
    found.check_same_images(dataclasses.replace(found, results=tuple(blind)))
