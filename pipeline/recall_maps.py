"""The final model's recall by position on the test images: for the report's folder and for TensorBoard."""

import io
import shutil

import numpy as np
import tensorflow as tf
from PIL import Image

from data import files, progress
from data.run_directory import RunDirectory
from models.evaluation import image_results, spatial_recall, spatial_recall_plot

TAG = "test/recall by position"


def write(paths: RunDirectory, images: bytes, epoch: int) -> None:
    """Writes maps and picture, and says where recall is lower than elsewhere.

    Args:
        paths: of the run.
        images: bytes of `image_results.ImageResults`, of the test split.
        epoch: whose weights were tested.
    """
    found = image_results.ImageResults.from_bytes(images)
    recall = spatial_recall.spatial_recall(found.results, found.class_names, spatial_recall.MIN_SCORE)
    title = f"Recall by position: test split, {len(found.results)} images, scores from {recall.min_score:g}"
    picture = spatial_recall_plot.plot(recall, title)
    files.write_bytes(paths.report / spatial_recall.FILE_NAME, recall.to_bytes())
    files.write_bytes(paths.report / spatial_recall.PLOT_NAME, picture)
    shutil.rmtree(paths.test_logs, ignore_errors=True)  # of an earlier model
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    with tf.summary.create_file_writer(str(paths.test_logs)).as_default(step=epoch):
        tf.summary.image(TAG, pixels[None])
    for text in recall.texts():
        progress.emit("note", text=text)
