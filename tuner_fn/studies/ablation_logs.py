"""An ablation in TensorBoard: the loss of every variant in one chart, and the two figures."""

import io
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from tuner_fn.studies.ablation_results import Row

LOSS = "ablation/total_loss"


def write(logdir: str | os.PathLike[str], rows: Sequence[Row], figures: Mapping[str, bytes]) -> None:
    """Writes the logs anew.

    Each variant is a run of its own, so that one chart has the losses of all: mean of the repeats, and a chart for each
    seed. TensorBoard draws no bars, so the scores are the figure.

    Args:
        logdir: folder of these logs alone.
        rows: as `ablation_results.rows` returns.
        figures: {name: PNG bytes}, as `ablation_plots.write` returns.
    """
    shutil.rmtree(logdir, ignore_errors=True)
    for row in rows:
        if not row.losses:
            continue
        folder = pathlib.Path(logdir) / row.variant.replace(os.sep, "_")
        charts = {LOSS: np.mean([*row.losses.values()], axis=0)}
        charts |= {f"{LOSS}_seed_{seed}": np.array(losses) for seed, losses in row.losses.items()}
        with tf.summary.create_file_writer(str(folder)).as_default():
            for name, losses in charts.items():
                for epoch, loss in enumerate(losses, start=1):
                    tf.summary.scalar(name, loss, epoch)
    if figures:
        with tf.summary.create_file_writer(str(logdir)).as_default():
            for name, png in figures.items():
                pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
                tf.summary.image(f"ablation/{name}", pixels[None], 0)
