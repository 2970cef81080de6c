"""Every setting of an experiment, declared once.

A field declared with `tunable` can be searched; one declared with `setting` is fixed unless the user sets it. The
field's path is its name everywhere: `optimizer.learning_rate` is the search parameter, the key of `config.json`, the
argument of `--set` and the column in TensorBoard.

The declarations live here, below the search, because training one configuration needs them without a search.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data import tiles
from data.errors import UserError, nearest

NUM_LEVELS = 6  # feature maps that the box predictor reads


def setting(
    default: Any,
    *,
    help: str,
    choices: Sequence[Any] | None = None,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    live: bool = False,
) -> Any:
    """Declares one setting of a config dataclass that is not searched.

    Args:
        default: the only default of this setting.
        help: one sentence.
        choices: allowed values; None allows any of the default's type.
        low: smallest allowed value, inclusive.
        high: largest allowed value, inclusive.
        unit: unit of the value, empty when it has none.
        live: whether a traced training step takes a new value without being traced again.

    Returns:
        A dataclass field with the declaration in its metadata.
    """
    metadata = {"help": help, "choices": choices, "low": low, "high": high, "unit": unit, "live": live}
    return dataclasses.field(default=default, metadata=metadata)


def tunable(
    default: Any, *, help: str, scale: str = "linear", search: Sequence[Any] | None = None, **limits: Any
) -> Any:
    """Declares one setting of a config dataclass that a search can vary.

    Args:
        default: the only default of this setting.
        help: one sentence.
        scale: "linear" or "log", how a numeric range is sampled.
        search: (low, high) to search inside the allowed range; None searches all of it.
        **limits: `choices`, `low`, `high`, `unit` and `live` as in `setting`.

    Returns:
        A dataclass field with the declaration in its metadata.

    Raises:
        ValueError: neither `choices` nor both of `low` and `high` are given.
    """
    field = setting(default, help=help, **limits)
    metadata = dict(field.metadata)
    if metadata["choices"] is None and (metadata["low"] is None or metadata["high"] is None):
        raise ValueError("`tunable` needs `choices` or both `low` and `high`.")
    low_high = search or (metadata["low"], metadata["high"])
    metadata["search"] = {"scale": scale, "low": low_high[0], "high": low_high[1], "choices": metadata["choices"]}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """Images and boxes as the detector gets them."""

    image_size: int = setting(300, low=64, high=1280, unit="px", help="Side of the square that images are resized to.")
    batch_size: int = setting(16, low=1, high=1024, unit="images", help="Images a training step.")
    tile: str = setting(
        "1x1", help="Tiles that images are cut into, ROWSxCOLS or ROWSxCOLS:OVERLAP with the overlap / side of a tile."
    )
    max_boxes: int = setting(
        100, low=1, high=2000, unit="boxes", help="Ground-truth boxes kept an image, the largest first."
    )
    cache_bytes: int = setting(
        4_000_000_000, low=0, unit="bytes", help="Decoded images are kept in memory up to this many bytes."
    )


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training images."""

    flip_probability: float = tunable(0.5, low=0.0, high=1.0, help="Chance of a horizontal flip.")
    jitter_probability: float = tunable(0.0, low=0.0, high=1.0, help="Chance of a change of scale, padded or cut off.")
    jitter_min_zoom: float = tunable(0.5, low=0.1, high=1.0, help="Smallest size after a change of scale / before.")
    jitter_max_zoom: float = tunable(1.5, low=1.0, high=10.0, search=(1.0, 3.0), help="Largest size after / before.")
    crop_probability: float = tunable(
        0.5, low=0.0, high=1.0, help="Chance of a random crop after Liu et al. 2016, resized to the full image."
    )
    crop_min_scale: float = tunable(
        0.6, low=0.1, high=1.0, search=(0.4, 0.9), help="Smallest side of a crop / image side; 0.1 in the paper."
    )
    photometric_strength: float = tunable(
        0.2, low=0.0, high=0.9, search=(0.0, 0.6), help="Range of brightness and contrast."
    )
    color_strength: float = tunable(
        0.0, low=0.0, high=1.0, help="Range of saturation and hue; 0.5 for SSD's; grey images stay as they are."
    )
    noise_max_sigma: float = tunable(
        0.0, low=0.0, high=128.0, search=(0.0, 25.0), unit="grey levels", help="Largest deviation of Gaussian noise."
    )
    patch_probability: float = tunable(0.0, low=0.0, high=1.0, help="Chance of black patches on an image.")
    patch_max_count: int = tunable(4, choices=(1, 2, 4, 8, 16), unit="patches", help="Most black patches on an image.")
    patch_max_side: float = tunable(
        0.2, low=0.01, high=1.0, search=(0.05, 0.5), help="Largest side of a black patch / image side; half at least."
    )
    mosaic_probability: float = tunable(0.0, low=0.0, high=1.0, help="Chance of joining four images to one.")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network."""

    backbone: str = setting("mobilenet_v2", choices=("mobilenet_v2",), help="Feature extractor.")
    alpha: float = tunable(1.0, choices=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4), help="Width multiplier of the backbone.")
    backbone_weights: str = setting(
        "none", help="`none`, `imagenet` (Keras' download) or the path of a Keras weights file."
    )
    freeze_batch_norm: bool = setting(False, help="Keep the backbone's batch-norm statistics as loaded.")
    batch_norm_momentum: float = setting(
        0.99, low=0.5, high=0.9999, help="Share of the old moving statistics kept a step."
    )
    first_stride: int = tunable(16, choices=(8, 16), unit="px", help="Stride of the finest of the 6 feature levels.")
    head_kernel_size: int = tunable(1, choices=(1, 3), unit="cells", help="Kernel of the box predictor.")
    dropout_rate: float = tunable(0.0, choices=(0.0, 0.1, 0.2, 0.3), help="Dropout before the box predictor.")
    score_activation: str = tunable("sigmoid", choices=("sigmoid", "softmax"), help="Scores and classification loss.")


@dataclasses.dataclass(frozen=True)
class AnchorConfig:
    """Default boxes, after Liu et al. 2016, section 2.2."""

    min_scale: float = tunable(
        0.2, low=0.02, high=0.5, search=(0.05, 0.3), scale="log", live=True, help="Side of the finest anchors / image."
    )
    max_scale: float = tunable(
        0.95, low=0.3, high=1.0, search=(0.6, 0.95), live=True, help="Side of the coarsest / image."
    )
    scales: tuple[float, ...] = setting(
        (),
        low=0.001,
        high=1.0,
        live=True,
        help="Side / image side on each of the 6 levels, finest first, in place of `min_scale` and `max_scale`; empty "
        "spaces them evenly between those.",
    )
    aspect_ratios: tuple[float, ...] = setting((1.0, 2.0, 0.5, 3.0, 0.3333), help="Width / height of anchors.")
    reduce_lowest_level: bool = setting(True, help="Only three anchors a cell on the finest level.")


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Matching and the training objective."""

    matched_iou: float = setting(
        0.5, low=0.0, high=1.0, help="An anchor of at least this IoU with an object is positive."
    )
    negatives_per_positive: float = tunable(
        3.0, low=0.5, high=20.0, search=(1.0, 6.0), live=True, help="Hard negatives kept for one positive."
    )
    min_negatives: int = setting(
        3, low=0, high=1000, live=True, help="Hard negatives kept in an image without objects."
    )
    classification_weight: float = setting(
        1.0, low=0.0, high=100.0, live=True, help="Weight of the classification loss."
    )
    localization_weight: float = tunable(
        1.0, low=0.0, high=100.0, search=(0.3, 3.0), scale="log", live=True, help="Weight of the box loss."
    )
    l2: float = tunable(
        4e-5, low=0.0, high=0.1, search=(1e-6, 1e-3), scale="log", live=True, help="L2 penalty of convolution kernels."
    )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How weights are updated."""

    name: str = tunable("adam", choices=("adam", "momentum"), help="Update rule.")
    learning_rate: float = tunable(
        0.002, low=1e-7, high=10.0, search=(5e-4, 1e-2), scale="log", live=True, help="Peak learning rate, per step."
    )
    schedule: str = setting(
        "cosine", choices=("cosine", "constant"), help="Learning rate over the steps of a training."
    )
    warmup_fraction: float = setting(0.05, low=0.0, high=0.9, live=True, help="Share of the steps of linear warm-up.")
    momentum: float = setting(0.9, low=0.0, high=0.9999, help="Momentum of `momentum`.")
    clip_norm: float = setting(10.0, low=0.0, high=1e6, help="Global norm that gradients are clipped to.")


@dataclasses.dataclass(frozen=True)
class PostprocessConfig:
    """From network outputs to detections."""

    score_threshold: float = setting(0.01, low=0.0, high=1.0, help="Detections below this score are dropped.")
    nms_iou: float = setting(0.6, low=0.0, high=1.0, help="Boxes of one class above this IoU suppress each other.")
    max_detections: int = setting(100, low=1, high=1000, unit="boxes", help="Detections an image.")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The final training; a trial's epochs are the search's."""

    epochs: int = setting(60, low=1, high=100_000, unit="epochs", help="Epochs of the final training.")
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of weights, shuffling and augmentation.")


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """All settings of one training; immutable, checked on construction."""

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
            _check_value(path, field, value)
        tiles.parse_grid(self.input.tile)
        if self.anchors.max_scale <= self.anchors.min_scale:
            raise UserError(
                f"`anchors.max_scale` must exceed `anchors.min_scale`: got {self.anchors.max_scale} and "
                f"{self.anchors.min_scale}. Raise the one or lower the other."
            )
        scales = self.anchors.scales
        if scales and (len(scales) != NUM_LEVELS or any(b <= a for a, b in itertools.pairwise(scales))):
            raise UserError(
                f"`anchors.scales` needs {NUM_LEVELS} ascending numbers, one a feature level, or none: got {scales}."
            )

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
                raise UserError(f"Unknown setting `{path}`.{nearest(path, known)}")
            group, name = path.split(".")
            groups.setdefault(group, {})[name] = _convert(path, known[path], value)
        return dataclasses.replace(
            self, **{group: dataclasses.replace(getattr(self, group), **entries) for group, entries in groups.items()}
        )


def _convert(path: str, field: dataclasses.Field, value: Any) -> Any:
    """Converts a JSON value or a command-line text to the type of the field's default."""
    kind = type(field.default)
    try:
        if kind is bool:
            if isinstance(value, bool):
                return value
            return {"true": True, "1": True, "false": False, "0": False}[str(value).strip().lower()]
        if kind is tuple:
            text = value.strip("()[] ") if isinstance(value, str) else None
            parts = value if text is None else text.split(",") if text else ()
            return tuple(float(part) for part in parts)
        if kind is int and float(value) != int(float(value)):
            raise ValueError("not a whole number")
        return kind(float(value)) if kind is int else kind(value)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(f"`{path}` needs a value of type {kind.__name__}: got {value!r}.") from error


def _check_value(path: str, field: dataclasses.Field, value: Any) -> None:
    limits = field.metadata
    if limits["choices"] is not None and value not in limits["choices"]:
        known = ", ".join(str(choice) for choice in limits["choices"])
        raise UserError(f"`{path}` must be one of {known}: got {value!r}.")
    positive = not isinstance(value, tuple) or all(0 < entry < float("inf") for entry in value)
    if not positive or (value == () and field.default):
        raise UserError(f"`{path}` needs positive numbers: got {value}.")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            low, high = limits["low"], limits["high"]
            if not (low is None or number >= low) or not (high is None or number <= high):
                raise UserError(f"`{path}` must lie in [{low}, {high}]: got {number}.")
