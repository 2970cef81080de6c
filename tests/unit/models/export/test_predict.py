"""Exported models: what they answer, loading errors, pictures and COCO JSON."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import coco as coco_lib

from benchmarks import evaluation
from data import errors
from models.evaluation import detections
from models.evaluation.detections import Detections
from models.export import predict

CLASS_NAMES = ("person", "bicycle", "car")


def _found(*rows) -> Detections:
    """Makes detections from (class, score, ymin, xmin, ymax, xmax) rows."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, 2:], table[:, 1], table[:, 0].astype(np.int32))


def _draw(image, found, **settings) -> np.ndarray:
    picture = predict.draw_detections(image, found.boxes, found.classes, found.scores, CLASS_NAMES, **settings)
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


def test_padding_is_dropped():
    outputs = {
        "detection_boxes": np.ones((2, 3, 4), np.float32),
        "detection_scores": np.array([[0.9, 0.5, 0.0], [0.0, 0.0, 0.0]], np.float32),
        "detection_classes": np.zeros((2, 3), np.int32),
        "num_detections": np.array([2, 0], np.int32),
    }
    first, second = detections.all_detections(outputs)
    assert first.scores.tolist() == pytest.approx([0.9, 0.5])
    assert first.boxes.shape == (2, 4)
    assert second.boxes.shape == (0, 4)


def test_scores_are_cut_at_the_minimum_itself():
    found = _found((0, 0.5, 0, 0, 1, 1), (1, 0.25, 0, 0, 1, 1))
    assert found.above(0.5).classes.tolist() == [0]
    assert found.above(0.0).classes.tolist() == [0, 1]


def test_classes_are_renumbered_and_dropped():
    found = _found((0, 0.9, 0, 0, 1, 1), (1, 0.8, 0, 0, 1, 1), (2, 0.7, 0, 0, 1, 1))
    kept = found.with_labels(np.array([1, -1, 0], np.int32))
    assert kept.classes.tolist() == [1, 0]
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7])
    with pytest.raises(ValueError, match="`labels` needs an entry for each class: got 2"):
        found.with_labels(np.array([0, 1], np.int32))


def test_missing_and_empty_labels_are_named(tmp_path):
    with pytest.raises(errors.UserError, match="has no assets.extra/labels.txt"):
        detections.read_class_names(str(tmp_path))
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "labels.txt").write_text("\n")
    with pytest.raises(errors.UserError, match="is empty. It needs one class name a line"):
        detections.read_class_names(str(tmp_path))


def test_a_path_without_a_model_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    for name, fault in (("absent", "does not exist"), (".", "holds no model"), ("file", "is not a model")):
        with pytest.raises(errors.UserError, match=rf"{fault}\. Give a run directory, a SavedModel's folder .*file\.$"):
            predict.find_model(str(tmp_path / name))
    (tmp_path / "metadata.db").touch()
    with pytest.raises(errors.UserError, match=r"This run has pushed none\.$"):
        predict.find_model(str(tmp_path))


def test_a_run_directory_means_its_newest_pushed_model(tmp_path):
    for version in ("9", "10", "other"):
        (tmp_path / "serving_model" / version).mkdir(parents=True)
        (tmp_path / "serving_model" / version / "saved_model.pb").touch()
    newest = str(tmp_path / "serving_model" / "10")
    for given in (tmp_path, tmp_path / "serving_model", newest):
        assert predict.find_model(str(given)) == newest
    (tmp_path / "model.tflite").touch()
    assert predict.find_model(f"{tmp_path}/model.tflite") == f"{tmp_path}/model.tflite"


def test_json_is_a_coco_dataset_that_pycocotools_reads(tmp_path):
    found = [_found((2, 0.75, 0.25, 0.5, 0.75, 1.0)), _found()]
    table = predict.coco_json(["a.jpg", "b.jpg"], [(100, 200), (50, 60)], found, CLASS_NAMES)
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(table, allow_nan=False))
    coco = coco_lib.COCO(str(path))
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["a.jpg", "b.jpg"]
    (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert annotation["bbox"] == [100.0, 25.0, 100.0, 50.0]
    assert annotation["box"] == [0.25, 0.5, 0.75, 1.0]
    assert (annotation["category_name"], annotation["score"]) == ("car", 0.75)
    assert coco.loadCats([annotation["category_id"]])[0]["name"] == "car"


def test_a_box_is_drawn_where_it_is_in_its_class_colour():
    pixels = _draw(np.zeros((400, 600), np.uint8), _found((0, 0.9, 0.25, 0.5, 0.75, 0.875)))
    assert pixels.shape == (400, 600, 3)
    red = np.array([255, 92, 92])  # the first colour
    for y, x in ((100, 400), (300, 400), (200, 300), (200, 525)):  # the four sides
        assert (pixels[y, x] == red).all()
    assert (pixels[200, 400] == 0).all()  # inside the box nothing is covered
    assert (pixels[390, 10] == 0).all()
    other = _draw(np.zeros((400, 600), np.uint8), _found((1, 0.9, 0.25, 0.5, 0.75, 0.875)))
    assert (other[200, 300] != red).any()


def test_a_small_image_is_enlarged_and_a_large_one_is_not():
    found = _found((0, 0.9, 0.1, 0.1, 0.9, 0.9))
    assert _draw(np.zeros((64, 96, 3), np.uint8), found).shape == (448, 672, 3)
    assert _draw(np.zeros((500, 900, 1), np.uint8), found).shape == (500, 900, 3)
    assert _draw(Image.new("L", (128, 128)), found, smallest_side_px=128).shape == (128, 128, 3)


def test_a_label_is_written_outside_its_box_and_inside_the_picture():
    low = _found((0, 0.5, 0.5, 0.2, 0.9, 0.6))
    pixels = _draw(np.zeros((400, 400), np.uint8), low)
    above = pixels[180:198, 80:160]
    assert (above == [255, 92, 92]).all(axis=2).mean() > 0.3  # the label's ground
    at_the_top = _draw(np.zeros((400, 400), np.uint8), _found((0, 0.5, 0.0, 0.2, 0.4, 0.6)))
    assert (at_the_top[162:176, 80:160] == [255, 92, 92]).all(axis=2).mean() > 0.3  # below it


def test_ground_truth_is_dashed_and_white():
    truth = np.array([[0.25, 0.25, 0.75, 0.75]])
    pixels = _draw(np.zeros((400, 400), np.uint8), _found(), gt_boxes=truth)
    top = (pixels[100, 100:300] == 255).all(axis=1)
    assert 0.3 < top.mean() < 0.7


def test_no_detection_and_degenerate_boxes_are_drawn_without_an_error():
    image = np.full((50, 40), 7, np.uint8)
    assert (_draw(image, _found()) == 7).all()
    odd = _found((0, 0.9, 0, 0, 0, 0), (1, 0.8, 1, 1, 1, 1), (2, 0.7, -0.2, -0.1, 1.3, 1.2), (0, 0.6, 0, 0, 1, 1))
    _draw(image, odd, gt_boxes=odd.boxes)


@pytest.fixture(scope="module")
def results():
    drawn = evaluation.random_results(5, num_images=11, detections=6)
    return [dataclasses.replace(r, height=30 + 7 * i, width=90 - 5 * i) for i, r in enumerate(drawn)]


@pytest.fixture(scope="module")
def model_dir(results, tmp_path_factory):
    from tests import tiny_detector

    return tiny_detector.export(tmp_path_factory.mktemp("models") / "good", results, CLASS_NAMES)


@pytest.mark.parametrize("batch_size", [1, 4, 11, 64])
def test_a_saved_model_detects_in_images_of_different_sizes(results, model_dir, batch_size):
    from tests import tiny_detector

    detector = predict.load_detector(model_dir)
    assert detector.class_names == CLASS_NAMES
    found = list(detector.detect(tiny_detector.images_of(results), batch_size))
    assert len(found) == len(results)
    for one, result in zip(found, results, strict=True):
        np.testing.assert_array_equal(one.boxes, result.det_boxes)
        np.testing.assert_array_equal(one.scores, result.det_scores)
        np.testing.assert_array_equal(one.classes, result.det_classes)


def test_a_broken_saved_model_is_one_clear_line(tmp_path, model_dir):
    (tmp_path / "saved_model.pb").write_bytes(b"not a protobuf")
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "labels.txt").write_text("car\n")
    with pytest.raises(errors.UserError, match="does not load as a SavedModel: ") as caught:
        predict.load_detector(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_saved_model_of_another_kind_is_named(tmp_path):
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path))
    (tmp_path / "assets.extra").mkdir(exist_ok=True)
    (tmp_path / "assets.extra" / "labels.txt").write_text("car\n")
    with pytest.raises(errors.UserError, match="needs the signature serving_bytes; it has none"):
        predict.load_detector(str(tmp_path))
