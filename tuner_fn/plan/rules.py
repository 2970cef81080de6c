"""The plan's rules: from numbers of the dataset to settings, each with its reason.

A rule is a pure function of the fingerprint and of the settings so far: those of the preset, what the user set, and
what the rules before it chose. `docs/plan.md` has the measurements that each rule stands on.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from data import tiles
from models import imagenet_weights
from models.hyperparameters import AnchorConfig, ExperimentConfig
from models.network import anchors, pretrained, weights_kind
from tuner_fn.plan import anchor_fit, box_shapes
from tuner_fn.plan.fingerprint import Fingerprint

_LEFT_OF_START = 0.01  # of batch norm's first moving averages, once they count
_EPOCHS_TO_FORGET = 3  # in which they shrink to that
_STEPS_WANTED = 2400  # of a training from scratch
_MOST_TIMES = 4  # as many epochs as asked for
_LEAST_BATCH = 4  # images
_LARGE_BATCH = 32  # images, from which on batch norm's statistics are good
_PRETRAINED_RATE = 0.001
_WIDTH = 0.75  # of a backbone without pretrained weights, at least
_MOMENTUM_RANGE = (0.8, 0.99)
_MATCHED_IOU = 0.4
# Of a training process: what it holds at all, and what a step takes for each pixel of a batch at width 1.0. By what
# MobileNet v2 took on a CPU: 1,500 at widths 0.75 and 1.0, without head and losses.
_PROCESS_BYTES, _PIXEL_BYTES = 1_500_000_000, 2_000
_MOST_OF_MEMORY = 0.8
_WORTH_A_WORD = 0.05  # share of objects too small for the input


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a rule chose.

    Attributes:
        setting: its path, as "model.head".
        value: for it.
        reason: one sentence with the numbers behind it.
    """

    setting: str
    value: Any
    reason: str


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule. `unless_fixed` and `unless_searched` leave it out as a whole.

    Otherwise, only its choices for settings that the user fixed are dropped.

    Attributes:
        choose: the function.
        unless_fixed: {path: values} of settings that would no longer mean what the user meant by them, None for any
            value.
        unless_searched: paths of settings that could not be searched with what it chooses.
    """

    choose: Callable[[Fingerprint, ExperimentConfig], Sequence[Choice]]
    unless_fixed: Mapping[str, Sequence[Any] | None] = dataclasses.field(default_factory=dict)
    unless_searched: tuple[str, ...] = ()

    def is_left_out(self, config: ExperimentConfig, fixed: Collection[str], searched: Collection[str]) -> bool:
        """Tells whether what the user fixed, or what is searched, excludes the rule."""
        values = config.flat()
        return any(path in searched for path in self.unless_searched) or any(
            path in fixed and (excluding is None or values[path] in excluding)
            for path, excluding in self.unless_fixed.items()
        )


def trained_network(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Chooses the network that the file of `model.weights` is of, so that all of it is taken over."""
    del about
    if not _has_weights(config):
        return []
    trained = pretrained.read(config.model.weights)
    reason = f"{config.model.weights} holds a trained network with it"
    shaping = {path: value for path, value in trained.settings.items() if path.startswith(("model.", "anchors."))}
    shaping = {path: tuple(value) if isinstance(value, list) else value for path, value in shaping.items()}
    return [Choice(path, value, reason) for path, value in shaping.items()]


def pretrained_network(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Chooses the backbone and the width that the weights file is of."""
    del about
    file = config.model.weights_file()
    kind = None if file is None else weights_kind.find(file)
    if kind is None:
        return []
    reason = f"{file.name} holds weights of {kind[0]} with alpha {kind[1]:g}"
    return [Choice("model.backbone", kind[0], reason), Choice("model.alpha", kind[1], reason)]


def width(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Widens a network that is trained from scratch: a narrow one learns too slowly for a training of a few epochs."""
    del about
    if _is_pretrained(config) or config.model.alpha >= _WIDTH:
        return []
    reason = "from scratch a narrow network learns less in as many epochs"
    return [Choice("model.alpha", _WIDTH, reason)]


def pretrained_batch_norm(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Keeps the batch-norm statistics of a pretrained backbone where batches are too small to estimate better ones."""
    del about
    if not _is_pretrained(config) or config.input.batch_size >= _LARGE_BATCH:
        return []
    reason = (
        f"batches of {config.input.batch_size} images estimate statistics worse than those that came with the weights"
    )
    return [Choice("model.freeze_batch_norm", True, reason)]


def pretrained_rate(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Lowers the learning rate of a pretrained network, so that it keeps what it knows."""
    del about
    if not _is_pretrained(config):
        return []
    return [Choice("optimizer.learning_rate", _PRETRAINED_RATE, "a pretrained backbone keeps more of what it knows")]


def _is_pretrained(config: ExperimentConfig) -> bool:
    return _has_weights(config) or config.model.backbone_weights not in ("", "none", imagenet_weights.AUTO)


def _has_weights(config: ExperimentConfig) -> bool:
    return config.model.weights not in ("", "none")


def batch_size(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Halves the batch until the training has steps enough: small datasets otherwise end half trained."""
    asked, before = config.training.epochs, config.input.batch_size
    batch = before
    while batch > _LEAST_BATCH and _epoch_steps(about, config, batch) * asked < _STEPS_WANTED:
        batch = max(batch // 2, _LEAST_BATCH)
    steps = [_epoch_steps(about, config, each) * asked for each in (before, batch)]
    about_steps = f"{steps[0]:,} steps with batches of {before}, {steps[1]:,} with these"
    reason = f"{asked} epochs of {_images(about, config)} images are {about_steps}"
    return [Choice("input.batch_size", batch, reason)]


def batch_that_fits(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Halves the batch until a training step fits into the memory; a GPU's own is not known."""
    before = batch = config.input.batch_size
    if not _fits(about, _PROCESS_BYTES):
        return []  # no batch is small enough
    while batch > 1 and not _fits(about, _bytes(config, batch)):
        batch //= 2
    taken, now = (_gigabytes(_bytes(config, each)) for each in (before, batch))
    height, width_px = config.input.size
    reason = (
        f"training with batches of {before} and images of {width_px}x{height} px takes about {taken}, with these"
        f" {now}; the machine has {_gigabytes(about.machine.memory_bytes)}"
    )
    return [Choice("input.batch_size", batch, reason)]


def _fits(about: Fingerprint, taken_bytes: float) -> bool:
    machine = about.machine
    is_known = machine.memory_bytes and not machine.has_gpu
    return not is_known or taken_bytes <= _MOST_OF_MEMORY * machine.memory_bytes


def _bytes(config: ExperimentConfig, batch: int) -> float:
    """Estimates what training takes."""
    return _PROCESS_BYTES + _PIXEL_BYTES * config.model.alpha * math.prod(config.input.size) * batch


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB"


def epochs(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Trains a network from scratch longer where small batches alone do not give steps enough."""
    if _is_pretrained(config):
        return []  # it was measured from scratch only
    asked, steps = config.training.epochs, _epoch_steps(about, config, config.input.batch_size)
    wanted = min(math.ceil(_STEPS_WANTED / steps), _MOST_TIMES * asked)
    if wanted <= asked:
        return []
    reason = f"{asked} epochs of {_images(about, config)} images are {steps * asked:,} steps, these are"
    return [Choice("training.epochs", wanted, f"{reason} {steps * wanted:,}")]


def _images(about: Fingerprint, config: ExperimentConfig) -> int:
    return int(about.num_images["train"] * config.training.data_share)


def _epoch_steps(about: Fingerprint, config: ExperimentConfig, batch: int) -> int:
    """Counts the batches of an epoch, as `data.input_pipeline.steps_per_epoch`: a batch that is not full is dropped."""
    return max(_images(about, config) // batch, 1)


def head(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Chooses the box predictor: SSDLite's 3x3 separable one sees an object's surroundings at little cost."""
    del about
    if _has_weights(config):
        return []
    reason = "its 3x3 separable predictor sees more of an object than one cell, at little cost"
    return [Choice("model.head", "ssdlite", reason)]


def batch_norm_momentum(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Chooses how fast batch norm's moving averages follow, by the steps of an epoch."""
    steps = _epoch_steps(about, config, config.input.batch_size)
    low, high = _MOMENTUM_RANGE
    momentum = math.floor(100 * _LEFT_OF_START ** (1 / (_EPOCHS_TO_FORGET * steps))) / 100
    momentum = min(max(momentum, low), high)
    reason = (
        f"an epoch has {steps} steps: after {_EPOCHS_TO_FORGET} of them the moving averages have forgotten their start"
    )
    return [Choice("model.batch_norm_momentum", momentum, reason)]


def fitted_anchors(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Fits scales and aspect ratios of the anchors to the objects, by k-means."""
    grid = anchors.detector_grid(config)
    configured = anchors.anchor_config(config)
    # A trained box predictor knows as many anchors a cell as it was trained with.
    whole = configured if _has_weights(config) else dataclasses.replace(configured, reduce_lowest_level=False)
    found = anchor_fit.propose(about.boxes, grid, whole, seed=0) or whole
    before, after = (_recall(about, grid, each) for each in (configured, found))
    if after <= before:
        return []
    if _has_weights(config):  # what was trained for squares goes on with squares
        ratios = box_shapes.in_place(found.aspect_ratios, configured.aspect_ratios)
        found = dataclasses.replace(found, aspect_ratios=ratios)
    reason = (
        f"they cover {after:.0%} of the objects with IoU {anchor_fit.MATCH_IOU:g}, the configured ones {before:.0%}"
    )
    changed = [
        field.name
        for field in dataclasses.fields(AnchorConfig)
        if getattr(found, field.name) != getattr(config.anchors, field.name)
    ]
    return [Choice(f"anchors.{name}", getattr(found, name), reason) for name in changed]


def matched_iou(about: Fingerprint, config: ExperimentConfig) -> list[Choice]:
    """Matches anchors with objects from a lower IoU on, so that more anchors learn from each object."""
    usual = config.loss.matched_iou
    if usual <= _MATCHED_IOU or not len(about.boxes):
        return []
    ious = anchor_fit.best_ious(about.boxes, anchors.detector_grid(config), anchors.anchor_config(config))
    covered, before = (float(np.mean(ious >= least)) for least in (_MATCHED_IOU, usual))
    if not covered:
        return []
    reason = (
        f"more anchors learn from each object; {covered:.0%} of the objects have an anchor with this IoU, {before:.0%}"
        f" with {usual:g}"
    )
    return [Choice("loss.matched_iou", _MATCHED_IOU, reason)]


def _recall(about: Fingerprint, grid: anchors.Grid, config: AnchorConfig) -> float:
    return float(np.mean(anchor_fit.best_ious(about.boxes, grid, config) >= anchor_fit.MATCH_IOU))


def notes(about: Fingerprint, config: ExperimentConfig) -> list[str]:
    """Says what stands in the way of a good training although no rule changes it.

    Args:
        about: numbers of dataset and machine.
        config: the settings with the plan.

    Returns:
        A sentence or two for each.
    """
    found = []
    if not _fits(about, _bytes(config, config.input.batch_size)):
        found.append(_memory_note(about, config))
    (height, width_px), grid = config.input.size, anchors.detector_grid(config)
    below = anchor_fit.LEAST_CELLS / math.sqrt(math.prod(grid.sizes[0]))
    ious = anchor_fit.best_ious(about.boxes, grid, anchors.anchor_config(config))
    missed = (about.sides < below) & (ious < config.loss.matched_iou)
    if missed.any() and missed.mean() >= _WORTH_A_WORD:
        is_tiled = tiles.parse_grid(config.input.tile).count > 1
        cut = "more tiles (--set=input.tile=...)" if is_tiled else "tiles (--set=input.tile=2x2:0.2)"
        found.append(
            f"{missed.mean():.0%} of the objects are too small for an input of {width_px}x{height} px, where the median"
            f" of their sides is {np.median(about.sides[missed]) * math.sqrt(height * width_px):.2g} px: no anchor has"
            f" an IoU of {config.loss.matched_iou:g} with them. Cut the images into {cut} or"
            f" give a larger {_size_flags(config)}"
        )
    return found


def _memory_note(about: Fingerprint, config: ExperimentConfig) -> str:
    """Says what a training takes that the memory does not hold, and what would help."""
    (height, width_px), batch = config.input.size, config.input.batch_size
    if not _fits(about, _PROCESS_BYTES):
        what, taken = "Training takes at least", _gigabytes(_PROCESS_BYTES)
        way_out = "Train on a machine with more memory."
    else:
        what = f"Training with batches of {batch} and images of {width_px}x{height} px takes about"
        taken = _gigabytes(_bytes(config, batch))
        way_out = f"Give a smaller {'--set=input.batch_size=... or ' if batch > 1 else ''}{_size_flags(config)}"
    limit = f"{_MOST_OF_MEMORY:g} of the machine's {_gigabytes(about.machine.memory_bytes)}"
    return f"{what} {taken} of memory, more than {limit}. {way_out}"


def _size_flags(config: ExperimentConfig) -> str:
    """Names the flags that the size of the network's input follows."""
    height = "image_height" if config.input.image_height else "image_size"
    width = "image_width" if config.input.image_width else "image_size"
    return " and ".join(f"--set=input.{name}=..." for name in dict.fromkeys((height, width)))


_SHAPES = (
    *("anchors.kind", "anchors.scales", "anchors.min_scale", "anchors.max_scale", "anchors.lowest_scale"),
    *("anchors.aspect_ratios", "anchors.interpolated_aspect_ratio", "anchors.reduce_lowest_level"),
    *("anchors.size_in_cells", "anchors.scales_per_octave"),
)

RULES = (
    Rule(trained_network),
    Rule(pretrained_network, unless_fixed=dict.fromkeys(("model.backbone", "model.alpha"))),
    Rule(width),
    Rule(batch_size),
    Rule(batch_that_fits),
    Rule(epochs),
    Rule(pretrained_batch_norm),
    Rule(pretrained_rate),
    Rule(head, unless_fixed={"model.head_kernel_size": (1,)}),  # it has 3 at least
    Rule(batch_norm_momentum),
    Rule(fitted_anchors, dict.fromkeys(_SHAPES), ("anchors.min_scale", "anchors.max_scale", "model.num_levels")),
    Rule(matched_iou, unless_fixed=dict.fromkeys(("loss.unmatched_iou", "loss.negatives_below_unmatched"))),
)
