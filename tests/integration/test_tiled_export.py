"""A detector of tiles, exported: its signatures against the same steps done one by one."""

import io
import random

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import input_pipeline, tiles
from models.export import saved_model
from models.hyperparameters import ExperimentConfig
from models.network import box_coder, suppression
from models.network.detector import Detector

SIZE_PX = (64, 80)  # height, width
SETTINGS = {"input.image_height": 64, "input.image_width": 80, "model.backbone": "mobilenet_v1"}
SETTINGS |= {"model.alpha": 0.35, "model.num_levels": 2, "model.first_stride": 8}


@pytest.fixture(scope="module")
def tiled():
    random.seed(0)  # Keras draws its initializers' seeds from it
    return saved_model.ServingModule(Detector(ExperimentConfig().replace(SETTINGS | {"input.tile": "2x3:0.25"}), 2))


def picture(height=90, width=130):
    small = np.random.default_rng(1).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height)))


def by_hand(module, image):
    """Detects in each tile by itself, keeps what lies in the tile's own part and suppresses over all.

    All tiles are one batch of the module's network: its outputs depend on the batch in their last bits, and an
    untrained network's scores are so close together that a bit may decide which of two boxes is suppressed.
    """
    grid = tiles.parse_grid("2x3:0.25")
    height, width = image.shape[:2]
    cuts, cells = grid.windows_px(height, width), grid.cells()
    cut = [image[None, top : top + tall, left : left + wide] for top, left, tall, wide in cuts]
    tiles_px = tf.concat([input_pipeline.resize_images(one, SIZE_PX) for one in cut], axis=0)
    outputs = module.network_outputs(tf.cast(tiles_px, tf.float32))
    coded = box_coder.decode(outputs["deltas"], module.detector.anchors, module.detector.config.anchors.variances)
    of_tiles = zip(np.array(coded), np.array(module.detector.scores(outputs["logits"])), strict=True)
    all_boxes, all_scores, windows = [], [], []
    for (top, left, tall, wide), cell, (boxes, scores) in zip(cuts, cells, of_tiles, strict=True):
        boxes = np.clip(boxes, 0, 1) * [tall, wide, tall, wide] + [top, left, top, left]
        boxes = boxes / [height, width, height, width]
        centre_y, centre_x = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        own = (centre_y >= cell[0]) & (centre_y < cell[2]) & (centre_x >= cell[1]) & (centre_x < cell[3])
        all_boxes.append(boxes)
        windows.append(np.array([top, left, top + tall, left + wide]) / [height, width, height, width])
        all_scores.append(np.where(own[:, None], scores, 0))
    found = suppression.detect(
        np.concatenate(all_boxes)[None].astype(np.float32),
        np.concatenate(all_scores)[None].astype(np.float32),
        module.detector.config.postprocess,
    )
    return suppression.join_fragments(found, np.array(windows, np.float32)[None])


def test_an_exported_model_detects_in_tiles_as_by_hand(tiled):
    image = picture()
    found, expected = tiled.serving_tensor(image[None]), by_hand(tiled, image)
    assert int(found["num_detections"][0]) == int(expected["num_detections"][0]) > 0
    np.testing.assert_allclose(found["detection_scores"], expected["detection_scores"], atol=1e-5)
    assert found["detection_boxes"].shape == (1, 100, 4)


def test_the_signatures_agree_on_tiles_of_images_of_different_sizes(tiled):
    images = [picture(), picture(70, 64)]
    encoded = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    batch = tiled.serving_bytes(tf.constant(encoded))
    for row, image in enumerate(images):
        alone = tiled.serving_tensor(image[None])
        np.testing.assert_allclose(batch["detection_scores"][row], alone["detection_scores"][0], atol=1e-5)
