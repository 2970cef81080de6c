"""Weights files: a trained network to start from, which `ssd-tuner import-weights` writes and `model.weights` names."""

import dataclasses
import io
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data import files
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.network import network_parts as network_parts

SUFFIX = ".npz"
_ABOUT = "about.json"
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
_LEVEL = re.compile(r"head_(\d+)_(class|box)")
_PREDICTOR = re.compile(r"(head_\d+_)(class|box)/(kernel|bias)")
_BOX = 4  # numbers of a box
_SHOWN = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """A trained network.

    Attributes:
        source: what it was made from, for people.
        settings: {path: value} of those that shape the network.
        class_names: C names in label order; None where they are unknown.
        epsilon: of its batch norm.
        weights: {path of a weight: float32}; the class predictor has C + 1 outputs an anchor, background first.
    """

    source: str
    settings: Mapping[str, Any]
    class_names: tuple[str, ...] | None
    epsilon: float
    weights: Mapping[str, np.ndarray]

    @property
    def network(self) -> str:
        """Names the network, as "mobilenet_v2 with alpha 1.0"."""
        return _network(self.settings["model.backbone"], self.settings["model.alpha"])


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """What a network took over.

    Attributes:
        weights: {path: array} of all its weights, its own where nothing fits.
        taken: paths of those that are the file's; of a class predictor, some classes at least.
        left: paths of those that stay as drawn.
        classes: names that the class predictor has of the file.
        new_classes: names that it has not.
    """

    weights: Mapping[str, np.ndarray]
    taken: tuple[str, ...]
    left: tuple[str, ...]
    classes: tuple[str, ...]
    new_classes: tuple[str, ...]

    def summary(self) -> str:
        """Says in one sentence what came, by the network's parts, and what did not."""
        parts = []
        for part in network_parts.PARTS:
            taken, left = (sum(network_parts.part(path) == part for path in paths) for paths in (self.taken, self.left))
            if taken + left:
                parts.append(f"{part} {taken} of {taken + left} tensors")
        text = f"{', '.join(parts)}; classes known: {', '.join(self.classes) or 'none'}"
        fresh = [*(f"class {name}" for name in self.new_classes), *self.left]
        shown = ", ".join(fresh[:_SHOWN]) + (f" and {len(fresh) - _SHOWN} more" if len(fresh) > _SHOWN else "")
        return f"{text}; drawn afresh: {shown}" if fresh else text


def write(path: str | os.PathLike[str], trained: Weights) -> None:
    """Writes a weights file whole or not at all; `read` inverts.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    about = {field.name: getattr(trained, field.name) for field in dataclasses.fields(trained)}
    del about["weights"]
    content = io.BytesIO()
    np.savez(content, **{_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}, **trained.weights)
    files.write_bytes(path, content.getvalue())


def read(path: str | os.PathLike[str]) -> Weights:
    """Reads a weights file.

    Raises:
        UserError: it is missing, damaged, or no weights file of ours.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"`model.weights`: no file {path}. Give `none` or a file of `ssd-tuner import-weights`.")
    try:
        with np.load(path) as archive:
            about = json.loads(archive[_ABOUT].tobytes())
            weights = {name: archive[name] for name in archive.files if name != _ABOUT}
            names = about["class_names"]
            return Weights(**{**about, "class_names": None if names is None else tuple(names)}, weights=weights)
    except (*_DAMAGE, TypeError) as error:
        raise UserError(
            f"`model.weights`: {path} is not a weights file ({type(error).__name__}: {error})."
            " Give a file of `ssd-tuner import-weights`; a Keras file of a backbone goes to `model.backbone_weights`."
        ) from error


def check(config: ExperimentConfig) -> Weights | None:
    """Reads the file of `model.weights` and checks that it is of the configured network; None where there is none.

    Raises:
        UserError: as `read`, or it is of another backbone.
    """
    if config.model.weights in ("", "none"):
        return None
    trained = read(config.model.weights)
    own = _network(config.model.backbone, config.model.alpha)
    if trained.network != own:
        raise UserError(
            f"`model.weights`: {config.model.weights} is of {trained.network} ({trained.source}), this network is of"
            f" {own}. Set `model.backbone` and `model.alpha` to the file's."
        )
    return trained


def fit(own: Mapping[str, np.ndarray], trained: Weights, config: ExperimentConfig, class_names: Sequence[str]) -> Start:
    """Fills a network's weights from a trained one's.

    The backbone comes whole. The levels after it and the box predictor come where the head is of the same kind, level
    by stride and tensor by shape; what an anchor predicts, where a cell has as many anchors; a class, where it has the
    same name but for case. Batch norm's scales follow `model.batch_norm_epsilon`: inference is the file's.

    Args:
        own: {path: array} as drawn, all of a network's that have a shape.
        trained: of the same backbone.
        config: the network's settings.
        class_names: C names in label order.

    Returns:
        The weights, and which of them came.
    """
    rows = _class_rows(trained, config, class_names)
    weights, taken = dict(own), []
    for path, array in own.items():
        donor = _donor_path(path, trained, config)
        found = None if donor is None else _value(path, donor, own, trained, rows)
        if found is not None:
            weights[path] = _rescaled(donor, found, trained, config.model.batch_norm_epsilon).astype(array.dtype)
            taken.append(path)
    first = int(config.has_background)
    known = [name for row, name in enumerate(class_names, first) if row in rows]
    known = known if any("_class/" in path for path in taken) else []
    new = [name for name in class_names if name not in known]
    left = tuple(path for path in own if path not in set(taken))
    return Start(weights, tuple(taken), left, tuple(known), tuple(new))


def _network(backbone: str, alpha: float) -> str:
    return f"{backbone} with alpha {alpha}"


def _class_rows(trained: Weights, config: ExperimentConfig, class_names: Sequence[str]) -> dict[int, int]:
    """Maps the outputs of an anchor to those of the file: {output: output}."""
    places = {name.casefold(): row for row, name in enumerate(trained.class_names or (), 1)}
    first = int(config.has_background)
    rows = {row: places[name.casefold()] for row, name in enumerate(class_names, first) if name.casefold() in places}
    return {0: 0, **rows} if first else rows


def _donor_path(path: str, trained: Weights, config: ExperimentConfig) -> str | None:
    """Finds the name of a weight in the file; None where there is none of the same meaning."""
    if network_parts.part(path) != network_parts.BACKBONE and trained.settings["model.head"] != config.model.head:
        return None
    match = _LEVEL.match(path)
    if match:
        shift = config.model.first_stride.bit_length() - int(trained.settings["model.first_stride"]).bit_length()
        path = f"head_{int(match[1]) + shift}_{path[match.start(2) :]}"
    return path if path in trained.weights else None


def _value(
    path: str, donor: str, own: Mapping[str, np.ndarray], trained: Weights, rows: Mapping[int, int]
) -> np.ndarray | None:
    """Returns what a weight takes over; None where it does not fit."""
    array, found, match = own[path], trained.weights[donor], _PREDICTOR.fullmatch(path)
    if match is None:
        return found if found.shape == array.shape else None
    per_cell, theirs = _anchors_per_cell(path, own), _anchors_per_cell(donor, trained.weights)
    if found.shape[:-1] != array.shape[:-1] or per_cell != theirs:
        return None
    if match[2] == "box":
        return found
    if not rows:
        return None
    result = array.reshape(*array.shape[:-1], per_cell, -1).copy()
    result[..., list(rows)] = found.reshape(*found.shape[:-1], per_cell, -1)[..., list(rows.values())]
    return result.reshape(array.shape)


def _anchors_per_cell(path: str, weights: Mapping[str, np.ndarray]) -> int:
    """Returns how many anchors a cell the level of a predictor's weight has."""
    return weights[f"{_PREDICTOR.fullmatch(path)[1]}box/bias"].shape[0] // _BOX


def _rescaled(donor: str, found: np.ndarray, trained: Weights, epsilon: float) -> np.ndarray:
    """Adapts the scale of a batch norm to another epsilon."""
    layer, _, name = donor.rpartition("/")
    if name != "gamma" or epsilon == trained.epsilon:
        return found
    variance = trained.weights[f"{layer}/moving_variance"]
    return found * np.sqrt((variance + epsilon) / (variance + trained.epsilon))
