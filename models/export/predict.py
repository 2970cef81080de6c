"""Runs an exported model on images, and shows what it found: drawn boxes and COCO JSON."""

import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image, ImageDraw

from data import drawing, errors
from data.run_directory import RunDirectory
from models.evaluation import detections as model_outputs
from models.evaluation.detections import Detections

if TYPE_CHECKING:
    from models.export import tflite_detector

_GROUND_TRUTH_COLOUR = "#ffffff"
_SMALLEST_DRAWN_SIDE_PX = 400
_MODEL_FILE = "saved_model.pb"


class SavedDetector:
    """An exported model and its class names."""

    def __init__(self, model: Any, class_names: Sequence[str]) -> None:
        """Wraps a model that `load_detector` loaded."""
        self._model = model  # holds the variables; a signature alone does not
        self.class_names = tuple(class_names)

    def detect(self, images: Iterable[bytes], batch_size: int = 8) -> Iterator[Detections]:
        """Runs the signature `serving_bytes`.

        Args:
            images: JPEG or PNG files' bytes, of any sizes; read as the results are taken.
            batch_size: images a call.

        Yields:
            One result an image, in order.
        """
        import tensorflow as tf

        signature = self._model.signatures["serving_bytes"]
        batch = []
        for encoded in images:
            batch.append(encoded)
            if len(batch) == batch_size:
                yield from model_outputs.all_detections(signature(image_bytes=tf.constant(batch)))
                batch = []
        if batch:
            yield from model_outputs.all_detections(signature(image_bytes=tf.constant(batch)))


def load_detector(model_dir: str) -> Union["SavedDetector", "tflite_detector.NetworkDetector"]:
    """Loads an exported model.

    Args:
        model_dir: folder of a SavedModel with `serving_bytes` and `assets.extra/labels.txt`, or a .tflite file of
            `ssd-tuner export`.

    Returns:
        The model, ready to `detect`.

    Raises:
        UserError: the folder is missing, is not a SavedModel, does not load, or is not of this project.
    """
    model_dir = find_model(model_dir)
    if model_dir.endswith(model_outputs.TFLITE_SUFFIX):
        from models.export import tflite_detector  # brings Keras, which the checks before do not need

        return tflite_detector.load(model_dir)
    class_names = model_outputs.read_class_names(model_dir)
    import tensorflow as tf

    try:
        model = tf.saved_model.load(model_dir)
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise errors.UserError(f"`--model={model_dir}` does not load as a SavedModel: {reason}") from error
    if "serving_bytes" not in model.signatures:
        raise errors.UserError(
            f"`--model={model_dir}` needs the signature serving_bytes; it has"
            f" {', '.join(model.signatures) or 'none'}. Give a model that `ssd-tuner` exported."
        )
    return SavedDetector(model, class_names)


def find_model(path: str) -> str:
    """Finds the exported model that a path means, without TensorFlow.

    Args:
        path: what the user gave: a SavedModel's folder, a .tflite file, or a folder of versions or a run directory,
            whose newest pushed model is taken.

    Returns:
        The path of the model.

    Raises:
        UserError: there is none; the text says what was found.
    """
    given = pathlib.Path(path)
    if (given / _MODEL_FILE).is_file() or (given.suffix == model_outputs.TFLITE_SUFFIX and given.is_file()):
        return path
    for folder in (given, RunDirectory(given).serving_model):
        versions = [found.parent for found in folder.glob(f"*/{_MODEL_FILE}") if found.parent.name.isdigit()]
        if versions:
            return str(max(versions, key=lambda version: int(version.name)))
    fault = "does not exist" if not given.exists() else "holds no model" if given.is_dir() else "is not a model"
    pushed = " This run has pushed none." if RunDirectory(given).metadata.exists() else ""
    raise errors.UserError(
        f"`--model={path}` {fault}. Give a run directory, a SavedModel's folder (it holds {_MODEL_FILE}) or a"
        f" {model_outputs.TFLITE_SUFFIX} file.{pushed}"
    )


def coco_json(
    files: Sequence[str],
    sizes_px: Sequence[tuple[int, int]],
    detections: Sequence[Detections],
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Makes a COCO dataset of detections: what COCO tools read, plus `score` and `category_name`.

    Args:
        files: one name an image.
        sizes_px: (height, width) of each.
        detections: of each.
        class_names: in label order.

    Returns:
        `images`, `categories` (ids are the labels, from 0) and `annotations`, with `bbox` as x, y, width and
        height in px and `box` as normalised ymin, xmin, ymax, xmax.
    """
    annotations = []
    for image_id, ((height, width), found) in enumerate(zip(sizes_px, detections, strict=True), start=1):
        for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True):
            ymin, xmin, ymax, xmax = (float(side) for side in box)
            bbox = [xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(label),
                    "category_name": class_names[label],
                    "score": round(float(score), 6),
                    "bbox": [round(side, 3) for side in bbox],
                    "area": round(bbox[2] * bbox[3], 3),
                    "iscrowd": 0,
                    "box": [round(side, 6) for side in (ymin, xmin, ymax, xmax)],
                }
            )
    images = [
        {"id": image_id, "file_name": file, "height": height, "width": width}
        for image_id, (file, (height, width)) in enumerate(zip(files, sizes_px, strict=True), start=1)
    ]
    categories = [{"id": label, "name": name} for label, name in enumerate(class_names)]
    return {"images": images, "categories": categories, "annotations": annotations}


def draw_detections(
    image: np.ndarray | Image.Image,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    class_names: Sequence[str],
    gt_boxes: np.ndarray | None = None,
    smallest_side_px: int = _SMALLEST_DRAWN_SIDE_PX,
) -> Image.Image:
    """Draws detections, and ground truth as dashed white boxes.

    A small image is enlarged first, so that labels are legible. Labels are placed by falling score, where
    they cover no other label and no other box; one that finds no room is left out, its box stays.

    Args:
        image: uint8 [H, W] or [H, W, 1 or 3], or a picture.
        boxes: float [D, 4] normalised ymin, xmin, ymax, xmax.
        labels: int [D], from 0.
        scores: float [D].
        class_names: in label order.
        gt_boxes: float [G, 4] normalised, or None.
        smallest_side_px: the drawn picture's shorter side is at least this.

    Returns:
        An RGB picture, as large as the image or a whole multiple of it.
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(np.squeeze(np.asarray(image)))
    picture = picture.convert("RGB")
    factor = max(1, math.ceil(smallest_side_px / min(picture.size)))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(picture)
    line_px = max(2, round(min(picture.size) / 250))
    for box in np.zeros((0, 4)) if gt_boxes is None else gt_boxes:
        drawing.draw_dashed(canvas, drawing.corners_px(box, picture.size), line_px, _GROUND_TRUTH_COLOUR)
    order = np.argsort(-np.asarray(scores), kind="stable")
    corners = [drawing.corners_px(boxes[i], picture.size) for i in order]
    colours = [drawing.colour(int(labels[i])) for i in order]
    for box, colour in zip(corners[::-1], colours[::-1], strict=True):
        canvas.rectangle(box, outline=colour, width=line_px)
    texts = [f"{class_names[int(labels[i])]} {float(scores[i]):.2f}" for i in order]
    drawing.draw_labels(canvas, corners, texts, colours, picture.size)
    return picture
