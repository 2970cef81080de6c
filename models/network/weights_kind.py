"""Which network a Keras weights file is of, read from the shapes of its kernels: nothing is built."""

import os
from collections.abc import Iterator

import h5py

WIDTHS = (0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4)  # those that Keras has ImageNet weights of


def find(path: str | os.PathLike[str]) -> tuple[str, float] | None:
    """Recognises a MobileNet's weights.

    Args:
        path: of a file in Keras' HDF5 formats, new or old.

    Returns:
        (`model.backbone`, `model.alpha`); None where it is no such file or of no network that is known.

    Source: Howard et al. 2017 (arXiv:1704.04861), table 1; Sandler et al. 2018 (arXiv:1801.04381), table 2; Howard et
    al. 2019 (arXiv:1905.02244), tables 1 and 2: the widths of the last convolutions.
    """
    shapes: set[tuple[int, ...]] = set()
    try:
        with h5py.File(path) as file:
            file.visititems(lambda _, entry: shapes.add(entry.shape) if isinstance(entry, h5py.Dataset) else None)
    except OSError:
        return None
    for backbone, alpha, kernels in _marks():
        if all((1, 1, *kernel) in shapes for kernel in kernels):
            return backbone, alpha
    return None


def _marks() -> Iterator[tuple[str, float, list[tuple[int, int]]]]:
    """Yields backbone, width and (inputs, outputs) of 1x1 kernels that no other one has together."""
    for alpha in WIDTHS:
        yield "mobilenet_v2", alpha, [(_of_eight(320 * alpha), _of_eight(1280 * max(alpha, 1.0)))]
    for alpha in reversed(WIDTHS):  # a wide one has the last kernel of a narrow one, too
        yield "mobilenet_v1", alpha, [(int(1024 * alpha), int(1024 * alpha))]
    for backbone, width in (("mobilenet_v3_small", 96), ("mobilenet_v3_large", 160)):
        for alpha in (0.75, 1.0):
            last = _of_eight(width * alpha)
            inner = _of_eight(6 * last)
            yield backbone, alpha, [(last, inner), (inner, _of_eight(inner / 4))]  # the second is its last gate's


def _of_eight(channels: float) -> int:
    """Rounds channels to a multiple of eight, not below nine tenths, as MobileNets do."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
