"""The rule that makes 8-bit images of 16-bit ones, as thermal cameras deliver them.

Each image is stretched by itself: the pixel value below which 1 % of its pixels lie becomes 0, the one above which 1 %
lie becomes 255, and what is between is scaled linearly. The same pixels always give the same image; the rule needs no
camera's calibration, and a few dead or glowing pixels do not move it. The serving path has the same rule
(`data.input_pipeline.decode_image`).
"""

import numpy as np

ONE_OF = 100  # one of this many pixels is cut off at either end


def stretch_to_8bit(pixels: np.ndarray) -> np.ndarray:
    """Stretches one image between its 1st and its 99th percentile.

    Args:
        pixels: uint16 [H, W], at least one pixel.

    Returns:
        uint8 [H, W]; an image of one value is black.
    """
    ordered = np.sort(pixels, axis=None)
    low, high = (np.float32(ordered[index]) for index in limit_indices(ordered.size))
    scaled = (pixels.astype(np.float32) - low) * np.float32(255.0) / max(high - low, np.float32(1.0))
    return np.round(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def limit_indices(num_pixels: int) -> tuple[int, int]:
    """Finds where, among an image's sorted pixels, the darkest and the brightest value kept lie.

    Args:
        num_pixels: at least 1.

    Returns:
        Two indices in [0, num_pixels).
    """
    cut = num_pixels // ONE_OF
    return cut, num_pixels - 1 - cut
