"""Whether Keras' ImageNet weights of a backbone are at hand: in its cache, or to be fetched."""

import os
import pathlib
import urllib.error
import urllib.request

AUTO = "auto"  # value of `model.backbone_weights`: ImageNet weights where they can be had, else none
_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
_SIZES = (128, 160, 192, 224)  # px, that there are weights for; 224 for any other
_TIMEOUT_S = 5.0


def file_name(backbone: str, alpha: float, size: tuple[int, int]) -> str | None:
    """Names Keras' weights file of a backbone without its classifier; None where there is none.

    Args:
        backbone: `model.backbone`.
        alpha: `model.alpha`.
        size: height and width of the input, px.

    Source: `keras.applications`, modules mobilenet, mobilenet_v2 and mobilenet_v3.
    """
    if backbone == "mobilenet_v2" and alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4):
        rows = _rows(size, (96, *_SIZES))
        return f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}_no_top.h5"
    if backbone == "mobilenet_v1" and alpha in (0.25, 0.5, 0.75, 1.0):
        rows = _rows(size, _SIZES)
        return (
            f"mobilenet_{'1_0' if alpha == 1.0 else {0.25: '2_5', 0.5: '5_0', 0.75: '7_5'}[alpha]}_{rows}_tf_no_top.h5"
        )
    if backbone.startswith("mobilenet_v3") and alpha in (0.75, 1.0):
        return f"weights_mobilenet_v3_{backbone.rpartition('_')[2]}_224_{float(alpha)}_float_no_top_v2.h5"
    return None


def _rows(size: tuple[int, int], known: tuple[int, ...]) -> int:
    height, width = size
    return height if height == width and height in known else 224


def find(backbone: str, alpha: float, size: tuple[int, int]) -> tuple[str, str]:
    """Decides what `auto` stands for on this machine, now.

    Args:
        backbone: as of `file_name`.
        alpha: as of `file_name`.
        size: as of `file_name`.

    Returns:
        "imagenet" or "none", and why.
    """
    name = file_name(backbone, alpha, size)
    if name is None:
        return "none", f"Keras has no ImageNet weights of {backbone} with alpha {alpha:g}"
    cache = keras_home() / "models" / name
    if cache.is_file():
        return "imagenet", f"{cache} is there"
    folder = "mobilenet" if backbone == "mobilenet_v1" else backbone.removesuffix("_small").removesuffix("_large")
    try:
        request = urllib.request.Request(f"{_URL}/{folder}/{name}", method="HEAD")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return "imagenet", "Keras' ImageNet weights can be downloaded"
    except (OSError, urllib.error.URLError):
        return "none", f"{name} is not in Keras' cache and cannot be downloaded"


def keras_home() -> pathlib.Path:
    """Finds the folder where Keras keeps its settings and weights, without importing it."""
    given = os.environ.get("KERAS_HOME")
    if given:
        return pathlib.Path(given)
    home = os.path.expanduser("~")  # `Path.home` raises where a user has none, as in a container
    return pathlib.Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras"
