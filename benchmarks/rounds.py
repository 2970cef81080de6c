"""What the timed scripts share: the heading, rounds that alternate between contestants, and medians with spread."""

import importlib.metadata
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data import examples
from data.road_scenes import scenes


def print_heading(command: str, packages: Sequence[str]) -> None:
    """Prints machine, command and the versions of installed packages."""
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"command: {command}")
    print("versions:", *(f"{package} {importlib.metadata.version(package)}" for package in packages), flush=True)


def seconds_in_turn(contestants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Times each contestant once a round, in turn, after one round that is not counted.

    Args:
        contestants: what to call, by name; a call ends when its work is done.
        rounds: at least 1.

    Returns:
        Seconds of each round by name.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: found[1:] for name, found in times.items()}


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Writes the median with the least and the most, such as "  105.0 (98.7 to 112.0)"."""
    return f"{statistics.median(values):8.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Computes the median over the rounds of ours / theirs."""
    return statistics.median(our / its for our, its in zip(ours, theirs, strict=True))


def road_scenes_batch(batch: int, side: int, room: int = 0) -> dict[str, np.ndarray]:
    """Renders a batch of the embedded dataset.

    Args:
        batch: B.
        side: S, of the images, px.
        room: G at least; the boxes are padded to it and to the image that has the most.

    Returns:
        images uint8 [B, S, S, 3], gt_boxes float32 [B, G, 4] and gt_labels int32 [B, G].
    """
    rendered = [scenes.render_scene(0, "train", index, image_size=(side, side)) for index in range(batch)]
    room = max([room, *(len(scene.labels) for scene in rendered)])
    gt_boxes, gt_labels = np.zeros((batch, room, 4), np.float32), np.full((batch, room), -1, np.int32)
    for row, scene in enumerate(rendered):
        gt_boxes[row, : len(scene.labels)], gt_labels[row, : len(scene.labels)] = scene.boxes, scene.labels
    return {"images": np.stack([scene.image for scene in rendered]), "gt_boxes": gt_boxes, "gt_labels": gt_labels}


def write_road_scenes(folder: pathlib.Path, split: str, count: int, side: int) -> str:
    """Writes scenes of the embedded dataset as the ExampleGen does.

    Args:
        folder: for the file.
        split: of the dataset.
        count: images.
        side: of the images, px.

    Returns:
        Path of the GZIP TFRecord file.
    """
    import tensorflow as tf

    path = str(folder / f"{split}.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for index in range(count):
            scene = scenes.render_scene(0, split, index, image_size=(side, side))
            record = examples.DetectionRecord(
                source_id=scene.source_id,
                encoded=scenes.encode_jpeg(scene),
                image_format="jpeg",
                height=side,
                width=side,
                boxes=scene.boxes,
                labels=scene.labels,
                is_crowd=np.zeros(len(scene.labels), bool),
                area_px=np.ones(len(scene.labels), np.float32),
            )
            writer.write(examples.encode_example(record, scenes.CLASS_NAMES).SerializeToString(deterministic=True))
    return path
