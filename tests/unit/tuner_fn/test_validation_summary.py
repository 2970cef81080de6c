"""Curves and pictures of a validation, as TensorBoard gets them."""

import io

import numpy as np
import pytest
from PIL import Image
from tiny_data import CLASS_NAMES, scene_record, write_split

from models.evaluation import coco, detections
from tuner_fn import reporting, validation_summary


@pytest.fixture(scope="module")
def records():
    """Six scenes; the first one has lost its objects."""
    found = [scene_record("val", index) for index in range(6)]
    nothing = {"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int32)}
    nothing |= {"is_crowd": np.zeros(0, bool), "area_px": np.zeros(0, np.float32)}
    return [type(found[0])(**{**vars(found[0]), **nothing}), *found[1:]]


@pytest.fixture(scope="module")
def summariser(records, tmp_path_factory):
    return validation_summary.Summariser(write_split(tmp_path_factory.mktemp("data"), "val", records), CLASS_NAMES)


def perfect(record, scores: float = 0.9) -> coco.ImageResult:
    found = detections.Detections(record.boxes, np.full(len(record.boxes), scores, np.float32), record.labels)
    return detections.image_result(record, found)


def pixels(picture: validation_summary.Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.jpeg)), np.int32)


def test_the_same_images_are_drawn_after_each_epoch_truth_on_the_left(summariser, records) -> None:
    """Those with objects: of six images the four behind the empty one."""
    first = summariser.summarise(1, [perfect(record, 0.001) for record in records])
    later = summariser.summarise(5, [perfect(record) for record in records])
    assert (first.epoch, later.epoch) == (1, 5)
    assert len(first.pictures) == len(later.pictures) == validation_summary.PICTURES
    for before, after in zip(first.pictures, later.pictures, strict=True):
        assert (before.width, before.height) == (after.width, after.height)
        middle = before.width // 2 - 8
        assert np.abs(pixels(before)[:, :middle] - pixels(after)[:, :middle]).max() <= 8  # of JPEG
        assert len(after.jpeg) < 80_000


def test_the_surest_detections_are_drawn_where_none_is_sure_and_at_most_twenty(records) -> None:
    record = records[1]
    image = Image.fromarray(np.full((96, 96, 3), 90, np.uint8))
    grid = [(y / 8, x / 8, y / 8 + 0.1, x / 8 + 0.1) for y in range(8) for x in range(8)]

    def right_half(scores) -> np.ndarray:
        boxes = np.array(grid[: len(scores)], np.float32).reshape(-1, 4)
        found = detections.Detections(boxes, np.array(scores, np.float32), np.zeros(len(scores), np.int32))
        picture = pixels(validation_summary.draw(image, detections.image_result(record, found), CLASS_NAMES))
        return picture[:, picture.shape[1] // 2 + 8 :]

    assert np.abs(right_half([0.1] * 3) - right_half([])).max() > 50
    np.testing.assert_array_equal(right_half([0.1] * 3), right_half([0.1] * 64))
    np.testing.assert_array_equal(right_half([0.4]), right_half([0.4] + [0.1] * 63))
    np.testing.assert_array_equal(right_half([0.4] * 20), right_half([0.4] * 64))


def test_a_validation_is_logged_small_and_as_tensorboard_reads_it(summariser, records, tmp_path) -> None:
    from tensorboard.backend.event_processing import event_accumulator

    log = reporting.TrialLog(tmp_path, {"loss.l2": 0.1}, "trial 0000")
    for epoch in (1, 2):
        log.validation(summariser.summarise(epoch, [perfect(record) for record in records]))
    log.close(succeeded=True)
    (path,) = tmp_path.glob("*tfevents*")
    assert path.stat().st_size < 2 * 200_000
    found = event_accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    content = found.PluginTagToContent("pr_curves")
    assert set(content) == {f"val/{name}/pr_curves" for name in CLASS_NAMES}
    curve = np.frombuffer(found.Tensors("val/car/pr_curves")[-1].tensor_proto.tensor_content, np.float32).reshape(6, -1)
    true_positives, false_positives, _, false_negatives, precision, recall = curve
    cars = sum(int((record.labels == CLASS_NAMES.index("car")).sum()) for record in records)
    assert (true_positives[0], false_positives[0], false_negatives[0]) == (cars, 0, 0)
    assert (true_positives[-1], false_negatives[-1], recall[-1]) == (0, cars, 0)  # no score reaches 1
    assert precision.min() == 1
    steps = [event.step for event in found.Tensors("val/image_1")]
    assert steps == [1, 2]
    width, height, jpeg = found.Tensors("val/image_1")[0].tensor_proto.string_val
    assert Image.open(io.BytesIO(jpeg)).size == (int(width), int(height))
