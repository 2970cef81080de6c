"""Weights of a trained network for one of another shape: copied where they fit, morphed where they nearly do."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from models.network import heads


@dataclasses.dataclass(frozen=True)
class Inheritance:
    """What a network took over.

    Attributes:
        weights: {name: array} of all its weights, its own where nothing fits.
        copied: names of those that are the donor's.
        morphed: names of those that hold the donor's and some of their own, or a part of the donor's.
        left: names of those that stay as initialised.
    """

    weights: Mapping[str, np.ndarray]
    copied: tuple[str, ...]
    morphed: tuple[str, ...]
    left: tuple[str, ...]

    def summary(self) -> str:
        """Says in one sentence how much was inherited; the first tensors that were not are named."""
        if len(self.copied) == len(self.weights):
            return f"all {len(self.weights)} tensors"
        text = f"{len(self.copied)} of {len(self.weights)} tensors copied, {len(self.morphed)} morphed"
        shown = ", ".join(self.left[:3]) + (", ..." if len(self.left) > 3 else "")
        return f"{text}, {len(self.left)} left as initialised: {shown}" if self.left else text


def inherit(own: Mapping[str, np.ndarray], donor: Mapping[str, np.ndarray]) -> Inheritance:
    """Fills a network's weights from a donor's of the same names.

    A network that is wider, or whose kernels are larger, computes what the donor does: channels that the donor lacks
    keep their initial weights but are not read by those that it has. In a narrower one the first channels are left.
    Box predictors, whose outputs are not channels, are taken over with the same number of outputs only.

    Args:
        own: {name: array}, as initialised; names as `weight.path` of Keras, which is equal from build to build.
        donor: the same of the donor; names that the network lacks are not read.

    Returns:
        The weights, and which of them were copied, morphed and left.

    Source: Wei et al. 2016, "Network Morphism" (arXiv:1603.01670), width and kernel size morphing. Net2Net (Chen et al.
    2016, arXiv:1511.05641) duplicates channels instead, which depthwise convolutions and residual sums would have to
    follow through the whole network.
    """
    weights, kinds = dict(own), {"copied": [], "morphed": [], "left": []}
    for name, array in own.items():
        found = donor.get(name)
        morphed = None if found is None or not _fits(name, array, found) else morph(array, found)
        if morphed is not None:
            weights[name] = morphed
        kinds["left" if morphed is None else "copied" if array.shape == found.shape else "morphed"].append(name)
    return Inheritance(weights, **{kind: tuple(names) for kind, names in kinds.items()})


def morph(own: np.ndarray, donor: np.ndarray) -> np.ndarray:
    """Brings a donor's tensor into the shape of one's own.

    Args:
        own: kernel [rows, columns, inputs, outputs], depthwise kernel [rows, columns, channels, 1] or a number a
            channel [channels]; as initialised.
        donor: the same, of any sizes.

    Returns:
        As `own`: the common channels are the donor's, its kernel centred, cut off or surrounded by zeros. Other
        channels are `own`'s, but their weights to the common outputs are 0.
    """
    if own.shape == donor.shape:
        return donor.astype(own.dtype)
    result = own.copy()
    if own.ndim == 1:
        common = min(len(own), len(donor))
        result[:common] = donor[:common]
        return result
    inputs, outputs = (min(sizes) for sizes in zip(own.shape[2:], donor.shape[2:], strict=True))
    is_depthwise = own.shape[3] == donor.shape[3] == 1
    if not is_depthwise:
        result[:, :, inputs:, :outputs] = 0.0
    result[:, :, :inputs, :outputs] = _centred(donor[:, :, :inputs, :outputs], own.shape[:2])
    return result


def _fits(name: str, own: np.ndarray, donor: np.ndarray) -> bool:
    """Tells whether a tensor can be taken over: one of the same rank, and a predictor with the same outputs."""
    if own.ndim != donor.ndim or (own.shape != donor.shape and own.ndim not in (1, 4)):
        return False
    return not heads.is_predictor(name) or own.shape[-1] == donor.shape[-1]


def _centred(kernel: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Cuts the middle `sizes` cells out of a kernel, or surrounds it by zeros."""
    for axis, size in enumerate(sizes):
        more = max(0, size - kernel.shape[axis])
        pads = [(0, 0)] * kernel.ndim
        pads[axis] = (more // 2, more - more // 2)
        start = max(0, kernel.shape[axis] - size) // 2
        kernel = np.pad(np.take(kernel, range(start, start + min(size, kernel.shape[axis])), axis), pads)
    return kernel
