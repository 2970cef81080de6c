"""Worst and best test images, with what was found and what is there."""

import base64
import io
from collections.abc import Collection, Mapping
from typing import Any

from PIL import Image

from data import dataset_info, drawing, errors, examples, tfrecord_files
from models.evaluation.image_results import ImageResults
from models.export import predict
from pipeline.report import matches, precision_recall
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Pictures, Section, Text

TITLE = "Worst and best images"
NUM_WORST, NUM_BEST = 6, 3
_LONGEST_PX, _QUALITY = 480, 80
_SPLIT = "test"
_DRAWN = "Coloured boxes are detections from score {score:.2f} on, dashed white boxes the ground truth."


def make(run: Contents) -> Section:
    """Makes the section."""
    if run.images is None or not run.images.results:
        return Section(TITLE, missing=precision_recall.NO_IMAGES)
    score = matches.best_score(run.images)
    chosen = {
        "Most mistakes first": worst(run.images, score),
        "No mistake, most objects first": best(run.images, score),
    }
    wanted = {run.images.source_ids[index] for found in chosen.values() for index in found}
    encoded = _encoded(run, wanted)
    parts: list[Any] = []
    for name, found in chosen.items():
        pictures = [
            (_data_url(_drawn(run.images, index, encoded[source_id], score)), _caption(source_id, counts))
            for index, counts in found.items()
            if (source_id := run.images.source_ids[index]) in encoded
        ]
        if pictures:
            parts.append(Pictures(name, pictures))
    missing = "" if len(encoded) == len(wanted) else "Some test images are no longer in the run's pipeline/ folder."
    return Section(TITLE, [Text(_DRAWN.format(score=score)), *parts] if parts else [], missing)


Counts = Mapping[str, Any]  # "tp", "fp", "fn", "f1"


def worst(images: ImageResults, score: float) -> dict[int, Counts]:
    """Finds the images with most mistakes, of equal ones those with the lowest F1 first.

    Args:
        images: of the test split.
        score: detections below it do not count.

    Returns:
        {number of the image: its counts}, at most `NUM_WORST`.
    """
    found = {index: one for index, one in _counts(images, score).items() if one["fp"] + one["fn"]}
    order = sorted(found, key=lambda index: (-found[index]["fp"] - found[index]["fn"], found[index]["f1"], index))
    return {index: found[index] for index in order[:NUM_WORST]}


def best(images: ImageResults, score: float) -> dict[int, Counts]:
    """Finds the images without mistakes, those with most objects first; as `worst`, at most `NUM_BEST`."""
    found = {index: one for index, one in _counts(images, score).items() if one["tp"] and not one["fp"] + one["fn"]}
    order = sorted(found, key=lambda index: (-found[index]["tp"], index))
    return {index: found[index] for index in order[:NUM_BEST]}


def _counts(images: ImageResults, score: float) -> dict[int, Counts]:
    found = matches.evaluated_from(images, score).image_diagnostics(iou_thr=matches.MATCH_IOU)["img_summary"]
    return {image_id - 1: counts for image_id, counts in found.items()}


def _encoded(run: Contents, wanted: Collection[str]) -> dict[str, bytes]:
    """Finds encoded images by their names in the ingested test split."""
    found: dict[str, bytes] = {}
    for folder in run.folder.ingested[:1]:
        for path in dataset_info.split_files(folder, _SPLIT):
            try:
                for record in tfrecord_files.scan(path, tfrecord_files.is_gzip(path)):
                    if len(found) == len(wanted):
                        return found
                    if record.data is not None:
                        example = examples.decode_example(record.data)
                        if example.source_id in wanted:
                            found[example.source_id] = example.encoded
            except (errors.UserError, ValueError):  # damaged: the pictures before it are shown
                continue
    return found


def _drawn(images: ImageResults, index: int, encoded: bytes, score: float) -> Image.Image:
    one = images.results[index]
    kept = one.det_scores >= score
    boxes, labels, scores = one.det_boxes[kept], one.det_classes[kept], one.det_scores[kept]
    picture = drawing.decode(encoded)
    drawn = predict.draw_detections(picture, boxes, labels, scores, images.class_names, one.gt_boxes[~one.gt_is_crowd])
    drawn.thumbnail((_LONGEST_PX, _LONGEST_PX))
    return drawn


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _caption(source_id: str, counts: Counts) -> str:
    return f"{source_id}: {counts['tp']} found, {counts['fn']} missed, {counts['fp']} false"
