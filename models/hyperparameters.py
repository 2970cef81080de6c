"""Every setting of an experiment, declared once.

A field declared with `tunable` can be searched. A field declared with `setting` is fixed unless the user sets it. A
field declared with `fidelity` may be lower in a search than in the final training. The path of a field is its name
everywhere: `optimizer.learning_rate` is the search parameter, the key of `config.json`, the argument of `--set` and
the column in TensorBoard.

The declarations live here, below the search, because training one configuration needs them without a search.
"""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from data import files, tiles
from data.errors import UserError, nearest
from models import declarations, foreign_names, imagenet_weights
from models.declarations import fidelity, setting, tunable

LEAST_SIDE = 64  # px, of the detector's input
ACTIVATIONS = ("relu6", "relu", "leaky_relu", "silu", "hard_silu")


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """Images and ground truth as the detector gets them."""

    image_size: int = fidelity(
        300, low=LEAST_SIDE, high=1280, unit="px", help="Side of the square that images are resized to."
    )
    image_height: int = fidelity(
        0, low=0, high=1280, unit="px", help="Height that images are resized to; 0 uses `image_size`."
    )
    image_width: int = fidelity(
        0, low=0, high=1280, unit="px", help="Width that images are resized to; 0 uses `image_size`."
    )
    batch_size: int = tunable(
        16, low=1, high=4096, candidates=(2, 4, 8, 16), unit="images", help="Images per training step."
    )
    tile: str = setting(
        "1x1", help="Tiles that images are cut into: ROWSxCOLS, or ROWSxCOLS:OVERLAP with the overlap / side of a tile."
    )
    max_boxes: int = setting(
        100, low=1, high=2000, unit="boxes", help="Maximum number of ground-truth boxes kept per image, largest first."
    )
    cache_bytes: int = setting(
        4_000_000_000,
        low=0,
        unit="bytes",
        help="Decoded images of a split stay in memory up to this size; a larger split is decoded in every epoch.",
    )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the detector's input, px."""
        return self.image_height or self.image_size, self.image_width or self.image_size

    @property
    def shape_text(self) -> str:
        """Text of the size: "640x512" with the width first, or "320" for a square."""
        height, width = self.size
        return str(height) if height == width else f"{width}x{height}"


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes of the training images."""

    flip_probability: float = tunable(0.5, low=0.0, high=1.0, help="Chance of a horizontal flip.")
    jitter_probability: float = tunable(
        0.0, low=0.0, high=1.0, help="Chance of a random zoom; the image is padded or cropped to its size."
    )
    jitter_min_zoom: float = tunable(
        0.5,
        low=0.1,
        high=1.0,
        help="Smallest zoom: size after / size before.",
        when={"augment.jitter_probability": None},
    )
    jitter_max_zoom: float = tunable(
        1.5,
        low=1.0,
        high=10.0,
        search=(1.0, 3.0),
        help="Largest zoom: size after / size before.",
        when={"augment.jitter_probability": None},
    )
    crop_probability: float = tunable(
        0.5, low=0.0, high=1.0, help="Chance of a random crop (Liu et al. 2016), resized to the size of the image."
    )
    crop_min_scale: float = tunable(
        0.6,
        low=0.1,
        high=1.0,
        search=(0.4, 0.9),
        help="Smallest side of a crop / side of the image; 0.1 in the paper.",
        when={"augment.crop_probability": None},
    )
    crop_min_area: float = setting(0.0, low=0.0, high=1.0, help="Smallest area of a crop / area of the image.")
    crop_overlap: str = setting(
        "iou",
        choices=("iou", "covered"),
        help="Overlap that a crop needs: IoU with an object (Liu et al. 2016) or share covered (Object Detection API).",
    )
    photometric_strength: float = tunable(
        0.2,
        low=0.0,
        high=0.9,
        search=(0.0, 0.6),
        help="Largest change of contrast, as a share, and of brightness, where 1 is 128 grey levels.",
    )
    color_strength: float = tunable(
        0.0,
        low=0.0,
        high=1.0,
        help="Largest change of saturation, as a share, and of hue, where 1 is 36 degrees; 0.5 in SSD.",
    )
    noise_max_sigma: float = tunable(
        0.0,
        low=0.0,
        high=128.0,
        search=(0.0, 25.0),
        unit="grey levels",
        help="Largest standard deviation of Gaussian noise.",
    )
    patch_probability: float = tunable(0.0, low=0.0, high=1.0, help="Chance of black patches on an image.")
    patch_max_count: int = tunable(
        4,
        low=1,
        high=64,
        candidates=(1, 2, 4, 8, 16),
        unit="patches",
        help="Maximum number of black patches on an image.",
        when={"augment.patch_probability": None},
    )
    patch_max_side: float = tunable(
        0.2,
        low=0.01,
        high=1.0,
        search=(0.05, 0.5),
        help="Largest side of a black patch / side of the image; the smallest is half as long.",
        when={"augment.patch_probability": None},
    )
    mosaic_probability: float = tunable(
        0.0, low=0.0, high=1.0, help="Chance that a mosaic of four images replaces an image."
    )


BACKBONES = ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"]  # and those of plug-ins


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network."""

    backbone: str = tunable(
        "mobilenet_v2",
        choices=BACKBONES,
        help="Feature extractor.",
    )
    alpha: float = tunable(
        1.0,
        low=0.1,
        high=2.0,
        candidates=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        help="Width multiplier of the backbone.",
        when={"model.backbone_weights": ("none", imagenet_weights.AUTO), "model.weights": ("none",)},
    )
    backbone_weights: str = setting(
        "none",
        help="`none`, `imagenet` (downloaded by Keras), `auto` (`imagenet` if available, decided once per run) or "
        "the path of a Keras weights file.",
    )
    weights: str = setting(
        "none", help="`none`, or a file made by `ssd-tuner import-weights`: a whole trained network to start from."
    )
    backbone_activation: str = setting(
        "own", choices=("own", *ACTIVATIONS), help="Activation inside the backbone; `own` is the published one."
    )
    frozen_blocks: int = setting(
        0,
        low=0,
        high=19,
        unit="blocks",
        help="First blocks of the backbone that are not trained, batch norm included; the first convolution is one.",
    )
    freeze_batch_norm: bool = setting(
        False, help="Keep the backbone's batch norm as loaded: statistics, scales and offsets."
    )
    batch_norm_momentum: float = setting(
        0.99, low=0.5, high=0.9999, help="Share of the old moving statistics that batch norm keeps at each step."
    )
    batch_norm_epsilon: float = setting(1e-3, low=1e-8, high=0.1, help="Constant added to the variance in batch norm.")
    head: str = tunable("ssd", choices=("ssd", "ssdlite", "fpnlite"), help="Extra levels and box predictor.")
    num_levels: int = tunable(6, low=1, high=8, search=(4, 7), help="Number of feature levels.")
    first_stride: int = tunable(16, choices=(8, 16), unit="px", help="Stride of the finest feature level.")
    extra_depths: tuple[int, ...] = setting(
        (512, 256, 256, 128),
        unit="channels",
        help="Widths of the levels after the backbone, at alpha 1; further levels repeat the last one.",
    )
    min_depth: int = setting(
        16, low=1, high=1024, unit="channels", help="Smallest width of the levels after the backbone."
    )
    activation: str = tunable("relu6", choices=ACTIVATIONS, help="Activation of the layers after the backbone.")
    head_kernel_size: int = tunable(
        1, choices=(1, 3, 5), unit="cells", help="Kernel size of the box predictor; at least 3, except for `ssd`."
    )
    head_layers: int = tunable(0, low=0, high=8, search=(0, 4), help="Number of convolutions before the box predictor.")
    head_depth: int = tunable(
        128,
        low=8,
        high=1024,
        candidates=(64, 96, 128, 192, 256),
        unit="channels",
        help="Width of the convolutions before the box predictor and of the feature pyramid of `fpnlite`.",
        when=({"model.head_layers": None}, {"model.head": ("fpnlite",)}),
    )
    dropout_rate: float = tunable(
        0.0,
        low=0.0,
        high=0.9,
        candidates=(0.0, 0.1, 0.2, 0.3),
        live="above 0",
        help="Dropout rate before the box predictor.",
    )
    initializer: str = setting(
        "truncated_normal",
        choices=("truncated_normal", "random_normal", "variance_scaling"),
        help="Initializer of the convolutions after the backbone; `variance_scaling` is He's.",
    )
    initializer_stddev: float = setting(
        0.03, low=1e-5, high=1.0, help="Standard deviation of the two normal initializers."
    )
    class_bias: float = setting(
        0.0,
        low=-20.0,
        high=20.0,
        help="Initial bias of the class logits; -4.6 is a prior of 0.01, which suits focal loss.",
    )
    background_class: bool = setting(False, help="Add a background class to a sigmoid as well; softmax always has one.")

    def weights_file(self) -> pathlib.Path | None:
        """Finds the weights file of the backbone; None if the backbone has no weights or those that Keras downloads.

        Raises:
            UserError: the file does not exist.
        """
        if self.backbone_weights in ("", "none", "imagenet", imagenet_weights.AUTO):
            return None
        path = pathlib.Path(self.backbone_weights)
        if not path.is_file():
            raise UserError(
                f"`model.backbone_weights`: no file {path}. Give `none`, `imagenet`, `auto` or a Keras weights file."
            )
        return path

    def weights_digests(self) -> dict[str, str]:
        """Returns {field: digest of its file} of weights that are files; a path alone does not tell their content."""
        named = {"weights": self.weights, "backbone_weights": self.backbone_weights}
        return {name: files.digest(path) for name, path in named.items() if pathlib.Path(path).is_file()}


@dataclasses.dataclass(frozen=True)
class AnchorConfig:
    """Anchors, which the paper calls default boxes."""

    kind: str = setting(
        "ssd",
        choices=("ssd", "multiscale"),
        help="How anchors get their sizes: `ssd` as in Liu et al. 2016, `multiscale` as in RetinaNet.",
    )
    min_scale: float = tunable(
        0.2,
        low=0.005,
        high=0.9,
        search=(0.05, 0.3),
        scale="log",
        live=True,
        help="Side of the finest anchors / shorter side of the input.",
        when={"anchors.kind": ("ssd",), "anchors.scales": ((),)},
    )
    max_scale: float = tunable(
        0.95,
        low=0.3,
        high=1.0,
        search=(0.6, 0.95),
        live=True,
        help="Side of the coarsest anchors / shorter side of the input.",
        when={"anchors.kind": ("ssd",), "anchors.scales": ((),)},
    )
    scales: tuple[float, ...] = setting(
        (),
        low=0.001,
        high=1.0,
        live=True,
        help="Side of the anchors / shorter side of the input for each level, finest first; if empty, the levels are "
        "spaced evenly from `min_scale` to `max_scale`.",
    )
    aspect_ratios: tuple[float, ...] = setting((1.0, 2.0, 0.5, 3.0, 0.3333), help="Width / height of the anchors.")
    interpolated_aspect_ratio: float = setting(
        1.0,
        low=0.0,
        high=10.0,
        help="Aspect ratio of one extra anchor between a level's scale and the next level's; 0 for none.",
    )
    reduce_lowest_level: bool = setting(
        True,
        help="Lay only three anchors per cell on the finest level; not for `fpnlite`, whose levels share a predictor.",
    )
    lowest_scale: float = setting(
        0.0,
        low=0.0,
        high=1.0,
        live=True,
        help="Side of the first of the three anchors that `reduce_lowest_level` lays / shorter side of the input; 0 is "
        "half the level's scale.",
    )
    size_in_cells: float = tunable(
        4.0,
        low=0.5,
        high=16.0,
        search=(1.0, 6.0),
        live=True,
        help="Side of `multiscale` anchors / side of a cell.",
        when={"anchors.kind": ("multiscale",)},
    )
    scales_per_octave: int = setting(2, low=1, high=8, help="Number of sizes of `multiscale` anchors on each level.")
    variances: tuple[float, ...] = setting(
        (0.1, 0.1, 0.2, 0.2), help="Divisors of the box targets: y, x, height and width."
    )


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Matching and the training objective."""

    matched_iou: float = tunable(
        0.5,
        low=0.0,
        high=1.0,
        search=(0.35, 0.6),
        live=True,
        help="Anchors with at least this IoU with an object are positive.",
    )
    unmatched_iou: float = setting(
        1.0,
        low=0.0,
        high=1.0,
        live=True,
        help="Anchors from this IoU up to `matched_iou` are ignored; no effect from `matched_iou` on.",
    )
    negatives_below_unmatched: bool = setting(
        True, help="If false, anchors below `unmatched_iou` are ignored, and those from it on are negative."
    )
    force_match: bool = setting(True, help="Match an anchor to every object, whatever the IoU.")
    classification: str = tunable(
        "sigmoid",
        choices=("sigmoid", "softmax", "focal"),
        help="Classification loss; `focal` does not mine hard negatives.",
    )
    focal_alpha: float = tunable(
        0.25,
        low=0.0,
        high=1.0,
        search=(0.1, 0.75),
        live=True,
        help="Weight of positives in focal loss.",
        when={"loss.classification": ("focal",)},
    )
    focal_gamma: float = tunable(
        2.0,
        low=0.0,
        high=10.0,
        search=(0.5, 4.0),
        live=True,
        help="Focus of focal loss on hard examples.",
        when={"loss.classification": ("focal",)},
    )
    label_smoothing: float = tunable(
        0.0,
        low=0.0,
        high=0.5,
        search=(0.0, 0.2),
        live=True,
        help="Share of the class targets that is spread evenly over all classes.",
    )
    localization: str = tunable("smooth_l1", choices=("smooth_l1", "giou"), help="Box loss.")
    smooth_l1_delta: float = setting(1.0, low=1e-3, high=100.0, live=True, help="Error from which smooth L1 is linear.")
    negatives_per_positive: float = tunable(
        3.0,
        low=0.0,
        high=100.0,
        search=(1.0, 6.0),
        live=True,
        help="Hard negatives kept per positive; 0 keeps all negatives.",
        when={"loss.classification": ("sigmoid", "softmax")},
    )
    min_negatives: int = setting(
        3, low=0, high=1000, live=True, help="Minimum number of hard negatives kept per image."
    )
    mining_iou: float = setting(
        1.0,
        low=0.0,
        high=1.0,
        help="Predicted boxes that overlap by more than this IoU count once in mining; 1 counts all.",
    )
    mining_max_examples: int = setting(
        3000,
        low=1,
        high=100_000,
        help="Highest-loss anchors per image that `mining_iou` considers.",
    )
    mining_by: str = setting(
        "classification", choices=("classification", "localization", "both"), help="Loss by which mining ranks anchors."
    )
    classification_weight: float = setting(
        1.0, low=0.0, high=100.0, live=True, help="Weight of the classification loss."
    )
    localization_weight: float = tunable(
        1.0, low=0.0, high=100.0, search=(0.3, 3.0), scale="log", live=True, help="Weight of the box loss."
    )
    normalize_by_matches: bool = setting(True, help="Divide the losses by the number of matched anchors in the batch.")
    l2: float = tunable(
        4e-5,
        low=0.0,
        high=0.1,
        search=(1e-6, 1e-3),
        scale="log",
        live=True,
        help="Weight of the sum of squares of the convolution kernels, except depthwise ones.",
    )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How the weights are updated."""

    name: str = tunable("adam", choices=("sgd", "momentum", "rmsprop", "adam", "adamw", "lion"), help="Update rule.")
    learning_rate: float = tunable(
        0.002, low=1e-7, high=10.0, search=(5e-4, 1e-2), scale="log", live=True, help="Peak learning rate."
    )
    backbone_rate: float = setting(
        1.0, low=0.0, high=100.0, help="Learning rate of the backbone / learning rate of the rest of the network."
    )
    schedule: str = tunable(
        "cosine",
        choices=("constant", "exponential", "cosine", "cyclic"),
        live=True,
        help="How the learning rate changes over the steps.",
    )
    warmup_fraction: float = setting(
        0.05, low=0.0, high=0.9, live=True, help="Share of the steps spent on linear warm-up; `cyclic` has none."
    )
    decay_steps: int = tunable(
        1000,
        low=1,
        high=100_000_000,
        search=(100, 10_000),
        scale="log",
        live=True,
        unit="steps",
        help="`exponential`: steps per decay. `cyclic`: steps from the lowest rate to the peak.",
        when={"optimizer.schedule": ("exponential", "cyclic")},
    )
    decay_factor: float = tunable(
        0.95,
        low=0.01,
        high=1.0,
        search=(0.5, 0.99),
        live=True,
        help="`exponential`: rate after one decay / rate before it.",
        when={"optimizer.schedule": ("exponential",)},
    )
    staircase: bool = setting(False, live=True, help="`exponential`: decay in one jump after every `decay_steps`.")
    final_fraction: float = setting(
        0.0, low=0.0, high=1.0, live=True, help="Lowest rate / peak rate: where `cosine` ends and `cyclic` starts."
    )
    momentum: float = tunable(
        0.9,
        low=0.0,
        high=0.9999,
        search=(0.8, 0.98),
        live=True,
        help="Momentum of `momentum` and `rmsprop`; beta 1 of `adam`, `adamw` and `lion`.",
        when={"optimizer.name": ("momentum", "rmsprop", "adam", "adamw", "lion")},
    )
    rho: float = setting(0.9, low=0.0, high=0.9999, help="Decay rate of the mean squared gradients of `rmsprop`.")
    epsilon: float = setting(
        1e-7, low=1e-12, high=10.0, help="Constant added in the denominators of `rmsprop`, `adam` and `adamw`."
    )
    weight_decay: float = tunable(
        0.0,
        low=0.0,
        high=0.5,
        search=(1e-5, 1e-1),
        scale="log",
        live="above 0",
        help="Decoupled weight decay of the kernels, multiplied by the learning rate.",
    )
    clip_norm: float = setting(
        10.0,
        low=0.0,
        high=1e6,
        help="Largest global norm of the gradients, to which larger ones are clipped; 0 for no limit.",
    )
    ema_momentum: float = setting(
        0.0,
        low=0.0,
        high=0.99999,
        help="Momentum of the moving average of the weights, which is scored and exported; 0 for no average.",
    )


@dataclasses.dataclass(frozen=True)
class PostprocessConfig:
    """How network outputs become detections."""

    score_converter: str = tunable(
        "loss",
        choices=("loss", "sigmoid", "softmax"),
        help="Function that turns logits into scores; `loss` is the one that the loss uses.",
    )
    score_threshold: float = setting(
        0.01, low=0.0, high=1.0, live=True, help="Detections with a lower score are dropped."
    )
    nms_iou: float = setting(
        0.6,
        low=0.0,
        high=1.0,
        live=True,
        help="Boxes of one class that overlap by more than this IoU suppress each other.",
    )
    nms_candidates: int = setting(
        400, low=1, high=100_000, unit="boxes", help="Highest-scoring boxes per class that suppression considers."
    )
    max_per_class: int = setting(
        100, low=1, high=1000, unit="boxes", help="Maximum number of detections per image and class."
    )
    max_detections: int = setting(100, low=1, high=1000, unit="boxes", help="Maximum number of detections per image.")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The final training; the search sets the epochs of its trials."""

    epochs: int = fidelity(60, low=1, high=100_000, unit="epochs", help="Epochs of the final training.")
    data_share: float = fidelity(
        1.0, low=0.001, high=1.0, help="Share of the train split that is used, spread evenly over the split."
    )
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the initial weights, of shuffling and of augmentation.")


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """All settings of one training, immutable and checked on construction."""

    input: InputConfig = InputConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    anchors: AnchorConfig = AnchorConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    postprocess: PostprocessConfig = PostprocessConfig()
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self) -> None:
        for path, field, value in self.items():
            declarations.check_value(path, field, value)
        tiles.parse_grid(self.input.tile)
        if min(self.input.size) < LEAST_SIDE:
            raise UserError(
                f"`input.image_height` and `input.image_width` must be 0 or at least {LEAST_SIDE} px: got"
                f" {self.input.image_height} and {self.input.image_width}."
            )
        if self.anchors.max_scale <= self.anchors.min_scale:
            raise UserError(
                f"`anchors.max_scale` must exceed `anchors.min_scale`: got {self.anchors.max_scale} and "
                f"{self.anchors.min_scale}. Raise the first or lower the second."
            )
        scales, levels = self.anchors.scales, self.model.num_levels
        if scales and (len(scales) != levels or any(b <= a for a, b in itertools.pairwise(scales))):
            raise UserError(
                f"`anchors.scales` needs {levels} ascending numbers, one per feature level, or none: got {scales}."
            )
        if not {self.model.weights, self.model.backbone_weights} & {"", "none", imagenet_weights.AUTO}:
            raise UserError(
                "`model.weights` and `model.backbone_weights` both name weights of the backbone. Set one to `none`."
            )
        if len(self.anchors.variances) != 4:
            raise UserError(f"`anchors.variances` needs 4 numbers (y, x, height, width): got {self.anchors.variances}.")

    @property
    def has_background(self) -> bool:
        """Whether the first class logit is background."""
        return self.model.background_class or "softmax" in (self.loss.classification, self.score_activation)

    @property
    def score_activation(self) -> str:
        """Name of the function from logits to scores: "sigmoid" or "softmax"."""
        if self.postprocess.score_converter != "loss":
            return self.postprocess.score_converter
        return "softmax" if self.loss.classification == "softmax" else "sigmoid"

    def items(self) -> Iterator[tuple[str, dataclasses.Field, Any]]:
        """Yields (path, field, value) of every setting in declaration order."""
        for group in dataclasses.fields(self):
            values = getattr(self, group.name)
            for field in dataclasses.fields(values):
                yield f"{group.name}.{field.name}", field, getattr(values, field.name)

    def flat(self) -> dict[str, Any]:
        """Returns {path: value} of every setting."""
        return {path: value for path, _, value in self.items()}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns the settings as nested dictionaries that `json` can write; `from_dict` inverts."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, Any]]) -> "ExperimentConfig":
        """Builds a configuration from nested dictionaries; missing keys keep their default.

        Raises:
            UserError: an unknown key (names the nearest known one) or a value out of its range.
        """
        flat = {}
        groups = [group.name for group in dataclasses.fields(cls)]
        for group, entries in values.items():
            if group not in groups or not isinstance(entries, Mapping):
                raise UserError(f"Unknown settings group `{group}`.{nearest(group, groups)}")
            flat.update({f"{group}.{name}": value for name, value in entries.items()})
        return cls().replace(flat)

    def replace(self, values: Mapping[str, Any]) -> "ExperimentConfig":
        """Returns a copy with settings replaced by their path.

        Args:
            values: {path: value}; text is converted to the setting's type, as `--set` needs.

        Raises:
            UserError: an unknown path (names the nearest known one), a wrong type or a value out of its range.
        """
        known = {path: field for path, field, _ in self.items()}
        groups: dict[str, dict[str, Any]] = {}
        for path, value in values.items():
            if path not in known:
                hint = foreign_names.setting_hint(path) or nearest(path, known)
                raise UserError(f"Unknown setting `{path}`.{hint} `ssd-tuner settings` lists all.")
            group, name = path.split(".")
            groups.setdefault(group, {})[name] = declarations.convert(path, known[path], value)
        return dataclasses.replace(
            self, **{group: dataclasses.replace(getattr(self, group), **entries) for group, entries in groups.items()}
        )
