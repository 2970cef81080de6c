"""Makes a weights file of ours from an SSD of the Object Detection API, and checks that it computes the same."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.network import network_parts as network_parts
from models.network import pretrained
from models.network.detector import Detector
from models.od_api import checkpoint, model, tflite
from models.od_api import weights as od_api_weights
from models.training import initial_weights

TOLERANCE = 1e-3  # of outputs that are up to 80; float32 differs by some 4e-5
_CHECKED = 4  # images
_BATCH = 4  # of calibration: a batch's inputs of all batch norms are held at once
Outputs = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray] | None]


@dataclasses.dataclass(frozen=True, eq=False)
class Imported:
    """What became of a file.

    Attributes:
        trained: the weights.
        num_classes: C, background not counted.
        came: {part of the network: (tensors that came, tensors of the part)}.
        missing: paths of our tensors that the file lacks.
        left: what the file has besides.
        folded: batch norms that were folded into convolutions and are rebuilt.
        calibrated: images whose statistics they have.
        difference: the largest between the file's outputs and ours; None where the file's cannot be had.
    """

    trained: pretrained.Weights
    num_classes: int
    came: dict[str, tuple[int, int]]
    missing: tuple[str, ...]
    left: tuple[str, ...]
    folded: int
    calibrated: int
    difference: float | None


def convert(
    path: str,
    class_names: Sequence[str] | None = None,
    images: Callable[[tuple[int, int]], Sequence[np.ndarray]] | None = None,
) -> Imported:
    """Imports a file.

    Args:
        path: a float .tflite file, a checkpoint's prefix or a SavedModel's folder of an SSD or SSDLite on MobileNet v1
            or v2.
        class_names: C names in the file's order; None where they are unknown.
        images: gives images uint8 [H, W, 3] of the size that the network takes, whose statistics rebuilt batch norms
            get, so that training continues as it would from the original ones; None leaves mean 0 and variance 1. At
            inference both are the same.

    Returns:
        The weights, and what came and what did not.

    Raises:
        UserError: the file is of another kind, its classes are not as many as the names, or its outputs are others
            than ours by more than `TOLERANCE`.
    """
    layers, size, outputs = _read(path)
    found = od_api_weights.convert(layers)
    if class_names is not None and len(class_names) != found.num_classes:
        raise UserError(f"has {found.num_classes} classes, background not counted: got {len(class_names)} names.")
    settings = {**found.settings, **(model.size_settings(*size) if size else {})}
    config = ExperimentConfig().replace(settings)
    network = Detector(config, found.num_classes).network
    own = initial_weights.own_weights(network)
    weights = {name: array for name, array in found.weights.items() if name in own and own[name].shape == array.shape}
    missing = tuple(name for name in own if name not in weights)
    if lacking := [name for name in missing if network_parts.part(name) == network_parts.BACKBONE]:
        raise UserError(f"lacks parts of its {config.model.backbone} or has other shapes, first {lacking[0]}.")
    initial_weights.fill(network, {**own, **weights})
    pixels = np.stack(images(config.input.size)) if images is not None and found.folded else None
    if pixels is not None:
        _calibrate(network, found.folded, pixels)
        weights = {name: array for name, array in initial_weights.own_weights(network).items() if name in weights}
    difference = None if missing or outputs is None else _difference(network, outputs, config, pixels)
    names = None if class_names is None else tuple(class_names)
    trained = pretrained.Weights(pathlib.Path(path).name, settings, names, od_api_weights.EPSILON, weights)
    left = (*found.left, *(name for name in found.weights if name not in weights))
    counts = (len(found.folded), 0 if pixels is None else len(pixels))
    return Imported(trained, found.num_classes, _came(own, weights), missing, left, *counts, difference)


def _read(path: str) -> tuple[dict[str, od_api_weights.Layer], tuple[int, int] | None, Outputs | None]:
    """Reads a file's layers, the size of its images where it says it, and what runs it where it can be run."""
    if path.endswith(tflite.SUFFIX):
        return *tflite.read(path), lambda images: tflite.outputs(path, images)
    prefix = checkpoint.find(path)
    if prefix is None:
        raise UserError("is no .tflite file, no checkpoint (PREFIX.index) and no SavedModel with variables.")
    return checkpoint.read(prefix), None, None


def _calibrate(network: keras.Model, norms: Sequence[str], images: np.ndarray) -> None:
    """Gives batch norms the statistics of images as moving averages; what the network computes stays."""
    layers = [network.get_layer(name) for name in norms]
    probe = keras.Model(network.input, [layer.input for layer in layers])
    sums = [np.zeros((2, layer.input.shape[-1])) for layer in layers]
    for start in range(0, len(images), _BATCH):
        maps = probe(_scaled(images[start : start + _BATCH]), training=False)
        for total, each in zip(sums, maps, strict=True):
            values = np.asarray(each, np.float64)  # [B, h, w, channels]
            total += np.stack([values.mean((1, 2)).sum(0), np.square(values).mean((1, 2)).sum(0)])
    for layer, total in zip(layers, sums, strict=True):
        mean, square = total / len(images)
        variance = np.maximum(square - np.square(mean), 0.0)
        values = od_api_weights.rebuilt(np.asarray(layer.beta), mean, variance)
        for name, value in values.items():
            getattr(layer, name).assign(value)


def _difference(network: keras.Model, outputs: Outputs, config: ExperimentConfig, pixels: np.ndarray | None) -> float:
    """Compares a network with the file on random images and on the first given ones; None where that cannot be."""
    images = np.random.default_rng(0).integers(0, 256, (_CHECKED, *config.input.size, 3), dtype=np.uint8)
    if pixels is not None:
        images = np.concatenate([images, pixels[:_CHECKED]])
    expected = outputs(_scaled(images))
    if expected is None:
        return None
    found = network(_scaled(images), training=False)
    pairs = zip(expected, (found["logits"], found["deltas"]), strict=True)
    difference = max(float(np.abs(one - np.asarray(other)).max()) for one, other in pairs)
    if not difference <= TOLERANCE:
        raise UserError(
            f"computes something else than the network rebuilt from its tensors: outputs differ by {difference:.3g},"
            f" more than {TOLERANCE:g}. Its activation or its layers' order is not the published one."
        )
    return difference


def _scaled(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 127.5 - 1.0


def _came(own: dict[str, np.ndarray], weights: dict[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    parts = {part: [name for name in own if network_parts.part(name) == part] for part in network_parts.PARTS}
    return {part: (sum(name in weights for name in names), len(names)) for part, names in parts.items() if names}
