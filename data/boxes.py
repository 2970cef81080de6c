"""Conversions between the box forms at the edges and the one inside: normalised [ymin, xmin, ymax, xmax]."""

import numpy as np

MIN_VISIBLE = 0.3  # an object of which a cut leaves less than this share of its area becomes a region to ignore


def coco_to_normalized(boxes_xywh_px: np.ndarray, height: int, width: int) -> np.ndarray:
    """Converts COCO's boxes to the form used inside.

    Args:
        boxes_xywh_px: float [N, 4], top-left x and y, width, height, in px; N may be 0.
        height: of the image, px, positive.
        width: of the image, px, positive.

    Returns:
        float32 [N, 4] ymin, xmin, ymax, xmax as fractions of the image's sides; `normalized_to_coco` inverts.

    Raises:
        ValueError: the boxes have another shape, or a side of the image is not positive.
    """
    xywh = _checked(boxes_xywh_px, height, width)
    x, y, box_width, box_height = np.moveaxis(xywh, -1, 0)
    yxyx = np.stack([y, x, y + box_height, x + box_width], axis=-1)  # [N, 4]
    return (yxyx / _sides(height, width)).astype(np.float32)


def normalized_to_coco(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Converts boxes to COCO's form.

    Args:
        boxes: float [N, 4] ymin, xmin, ymax, xmax as fractions of the image's sides; N may be 0.
        height: of the image, px, positive.
        width: of the image, px, positive.

    Returns:
        float64 [N, 4] top-left x and y, width, height, in px; `coco_to_normalized` inverts.

    Raises:
        ValueError: the boxes have another shape, or a side of the image is not positive.
    """
    yxyx_px = _checked(boxes, height, width) * _sides(height, width)
    ymin, xmin, ymax, xmax = np.moveaxis(yxyx_px, -1, 0)
    return np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=-1)


def areas_px(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Computes the boxes' areas.

    Args:
        boxes: float [N, 4] ymin, xmin, ymax, xmax as fractions of the image's sides; N may be 0.
        height: of the image, px, positive.
        width: of the image, px, positive.

    Returns:
        float32 [N], px^2.

    Raises:
        ValueError: the boxes have another shape, or a side of the image is not positive.
    """
    xywh = normalized_to_coco(boxes, height, width)
    return (xywh[:, 2] * xywh[:, 3]).astype(np.float32)


def _sides(height: int, width: int) -> np.ndarray:
    return np.array([height, width, height, width], dtype=np.float64)


def _checked(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0 and boxes.ndim < 2:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"`boxes` needs the shape [N, 4]: got {list(boxes.shape)}.")
    if height <= 0 or width <= 0:
        raise ValueError(f"`height` and `width` must be positive: got {height} and {width}.")
    return boxes
