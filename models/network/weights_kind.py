"""Which network a Keras weights file is of, read from the shapes of its kernels: nothing is built."""

import io
import os
import pathlib
import zipfile
from collections.abc import Iterator

import h5py

from data.errors import UserError
from models.hyperparameters import ModelConfig

WIDTHS = (0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4)  # those that Keras has ImageNet weights of


def find(path: str | os.PathLike[str]) -> tuple[str, float] | None:
    """Recognises a MobileNet's weights.

    Args:
        path: of a file in Keras' HDF5 formats, new or old, or of a `.keras` archive.

    Returns:
        (`model.backbone`, `model.alpha`); None where it is no such file, of no network that is known, or without the
        last layers.

    Source: Howard et al. 2017 (arXiv:1704.04861), table 1; Sandler et al. 2018 (arXiv:1801.04381), table 2; Howard et
    al. 2019 (arXiv:1905.02244), tables 1 and 2: the widths of the last convolutions, and of v1's first.
    """
    shapes = _shapes(path) or set()
    for backbone, alpha, kernels in _marks():
        if all((1, 1, *kernel) in shapes for kernel in kernels):
            return backbone, alpha
    return None


def check(config: ModelConfig) -> None:
    """Checks by its kernels that the file of `model.backbone_weights` is of the configured network.

    A plug-in's backbone, and a width that Keras has no weights of, are left to the network's own check when it is
    built. So is a file without the last layers.

    Raises:
        UserError: there is no such file, it is no weights file, or it is of another network.
    """
    file = config.weights_file()
    if file is None or file.suffix == ".json":  # that names further files
        return
    shapes, kind, own = _shapes(file), find(file), (config.backbone, config.alpha)
    wanted = f"Give a Keras weights file of {own[0]} with alpha {own[1]:g}, or `none`."
    if shapes is None:
        raise UserError(f"`model.backbone_weights`: {file} is not a Keras weights file. {wanted}")
    if own not in {(backbone, alpha) for backbone, alpha, _ in _marks()} or kind == own:
        return
    if kind is not None:
        raise UserError(
            f"`model.backbone_weights`: {file} is of {kind[0]} with alpha {kind[1]:g}, this network is of {own[0]} with"
            f" alpha {own[1]:g}. Set `model.backbone` and `model.alpha` to the file's."
        )
    if (1, 1, *_inner_kernel(*own)) not in shapes:
        raise UserError(f"`model.backbone_weights`: {file} is of another network. {wanted}")


def _shapes(path: str | os.PathLike[str]) -> set[tuple[int, ...]] | None:
    """Collects the shapes of a file's arrays; None where it is no weights file."""
    shapes: set[tuple[int, ...]] = set()
    try:
        content = pathlib.Path(path).read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content)) as file:
            file.visititems(lambda _, entry: shapes.add(entry.shape) if isinstance(entry, h5py.Dataset) else None)
    except Exception:  # h5py and zipfile raise many kinds for a damaged file
        return None
    return shapes


def _inner_kernel(backbone: str, alpha: float) -> tuple[int, int]:
    """Returns (inputs, outputs) of a 1x1 kernel in the first half of a network, which a part of its weights has, too.

    Source: as of `find`.
    """
    if backbone == "mobilenet_v1":
        return int(256 * alpha), int(256 * alpha)
    width, times = {"mobilenet_v2": (64, 6), "mobilenet_v3_small": (40, 6), "mobilenet_v3_large": (40, 3)}[backbone]
    inputs = _of_eight(width * alpha)
    return inputs, inputs * times if backbone == "mobilenet_v2" else _of_eight(inputs * times)


def _marks() -> Iterator[tuple[str, float, list[tuple[int, int]]]]:
    """Yields backbone, width and (inputs, outputs) of 1x1 kernels that no other one has together."""
    for alpha in WIDTHS:
        yield "mobilenet_v2", alpha, [(_of_eight(320 * alpha), _of_eight(1280 * max(alpha, 1.0)))]
    for alpha in reversed(WIDTHS):  # a wide one has the last kernel of a narrow one, too, but not its first
        yield "mobilenet_v1", alpha, [(int(32 * alpha), int(64 * alpha)), (int(1024 * alpha), int(1024 * alpha))]
    for backbone, width in (("mobilenet_v3_small", 96), ("mobilenet_v3_large", 160)):
        for alpha in (0.75, 1.0):
            last = _of_eight(width * alpha)
            inner = _of_eight(6 * last)
            yield backbone, alpha, [(last, inner), (inner, _of_eight(inner / 4))]  # the second is its last gate's


def _of_eight(channels: float) -> int:
    """Rounds channels to a multiple of eight, not below nine tenths, as MobileNets do."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
