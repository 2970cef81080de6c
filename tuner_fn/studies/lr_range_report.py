"""What a learning-rate range test leaves: a table, the intervals, a figure, and TensorBoard's log."""

import csv
import dataclasses
import io
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from data import files
from models.training import rate_sweep
from tuner_fn.studies import lr_range
from tuner_fn.studies.lr_range import RangeTest, Sweep

JSON_FILE, TABLE_FILE, PLOT_FILE = "lr_range.json", "lr_range.csv", "lr_range.png"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_INCHES, _DOTS_PER_INCH = (8.0, 5.0), 100


def write(folder: pathlib.Path, test: RangeTest, sweeps: Sequence[Sweep]) -> None:
    """Writes `JSON_FILE`, `TABLE_FILE` and `PLOT_FILE`.

    Args:
        folder: to write to.
        test: what was swept.
        sweeps: as `lr_range.run` returns.
    """
    found = lr_range.together(sweeps)
    about = {"low": test.low, "high": test.high, "steps": test.steps, "settings": test.config.to_dict()}
    about["found"] = None if found is None else dataclasses.asdict(found)
    files.write_json(folder / JSON_FILE, about | {"sweeps": [dataclasses.asdict(one) for one in sweeps]})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("seed", "step", "learning_rate", "loss", "smoothed_loss"))
    for one in sweeps:
        smoothed = rate_sweep.smooth(one.losses, test.steps)
        for step, row in enumerate(zip(test.rates, one.losses, smoothed, strict=False), start=1):
            writer.writerow((one.seed, step, *(f"{value:.6g}" for value in row)))
    files.write_text(folder / TABLE_FILE, text.getvalue())
    files.write_bytes(folder / PLOT_FILE, plot(test, sweeps))


def write_logs(logdir: str | os.PathLike[str], test: RangeTest, sweeps: Sequence[Sweep], picture: bytes) -> None:
    """Writes TensorBoard's logs anew: loss, smoothed loss and learning rate by step for each seed, and the figure.

    Args:
        logdir: folder of these logs alone.
        test: what was swept.
        sweeps: as `lr_range.run` returns.
        picture: PNG bytes of `plot`.
    """
    import tensorflow as tf

    shutil.rmtree(logdir, ignore_errors=True)
    for one in sweeps:
        smoothed = rate_sweep.smooth(one.losses, test.steps)
        with tf.summary.create_file_writer(os.path.join(logdir, f"seed_{one.seed}")).as_default():
            for step, (rate, loss, average) in enumerate(zip(test.rates, one.losses, smoothed, strict=False), start=1):
                tf.summary.scalar("lr_range/loss", loss, step)
                tf.summary.scalar("lr_range/smoothed_loss", average, step)
                tf.summary.scalar("lr_range/learning_rate", rate, step)
    with tf.summary.create_file_writer(str(logdir)).as_default():
        tf.summary.image("lr_range/loss_by_rate", np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))[None], 0)


def plot(test: RangeTest, sweeps: Sequence[Sweep]) -> bytes:
    """Draws loss against learning rate: mini-batches as dots, smoothed lines, and the intervals.

    Args:
        test: what was swept.
        sweeps: as `lr_range.run` returns.

    Returns:
        PNG bytes.
    """
    from matplotlib.backends import backend_agg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    backend_agg.FigureCanvasAgg(figure)
    axis = figure.subplots()
    drawn = [one for one in sweeps if one.losses]
    for number, one in enumerate(drawn):
        _draw(axis, test, one, _COLOURS[number % len(_COLOURS)])
    found = lr_range.together(sweeps)
    if found is not None:
        text = f"the loss falls: {found.interval.low:.2g} to {found.interval.high:.2g}"
        axis.axvspan(found.interval.low, found.interval.high, color="#000000", alpha=0.08, lw=0, label=text)
    axis.set_xscale("log")
    axis.set_xlim(test.low, test.high)
    if drawn:
        axis.legend(fontsize=8, frameon=False, loc="lower left")
        # What diverges would flatten the rest.
        start = max(one.losses[0] for one in drawn)
        lowest = min(float(rate_sweep.smooth(one.losses, test.steps).min()) for one in drawn)
        axis.set_ylim(max(0.0, lowest - 0.15 * (start - lowest)), start + 0.35 * max(start - lowest, 0.1 * start))
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("learning rate, logarithmic")
    axis.set_ylabel("training loss of a mini-batch")
    axis.set_title("Learning-rate range test: dots are mini-batches, lines are smoothed", fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw(axis: Any, test: RangeTest, one: Sweep, colour: str) -> None:
    rates = test.rates[: len(one.losses)]
    axis.scatter(rates, one.losses, s=8, color=colour, alpha=0.3, lw=0)
    axis.plot(rates, rate_sweep.smooth(one.losses, test.steps), color=colour, linewidth=1.5, label=f"seed {one.seed}")
    for end in () if one.interval is None else (one.interval.low, one.interval.high):
        axis.axvline(end, color=colour, linestyle=":", linewidth=1)
