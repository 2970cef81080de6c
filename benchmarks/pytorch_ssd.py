"""The detector of the declared defaults in plain PyTorch: the peer of `benchmarks.pytorch_step`.

MobileNet v2, the extra levels, 1x1 box predictors and SSD's objective, with layers named as in Keras so that weights
can be copied. Sandler et al. 2018 (arXiv:1801.04381), table 2; Liu et al. 2016 (arXiv:1512.02325), section 2.2.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.hyperparameters import ExperimentConfig

# Expansion, channels, repeats and stride of the first of each group of blocks.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
TAPS = {8: "block_6_expand", 16: "block_13_expand", 32: "Conv_1"}  # the last map of each stride, after its activation


class Detector(nn.Module):
    """Network and objective.

    Attributes:
        exact_padding: pad maps of even size as TensorFlow does before a convolution of stride 2, by a copy. If false
            the convolutions pad on both sides, as PyTorch's users do: the same work without the copy.
    """

    def __init__(
        self, config: ExperimentConfig, num_classes: int, per_cell: Sequence[int], anchors: np.ndarray
    ) -> None:
        """Builds the network with random weights.

        Args:
            config: of a MobileNet v2 with the head `ssd`, sigmoid and smooth L1 losses.
            num_classes: C.
            per_cell: anchors a cell of each level.
            anchors: float32 [A, 4].
        """
        super().__init__()
        self.config, self.num_classes, self.exact_padding = config, num_classes, True
        self.layers = nn.ModuleDict()
        self.keras_norms: dict[str, str] = {}  # Keras's name of each batch norm
        self.register_buffer("anchors", torch.from_numpy(anchors))
        self.blocks: list[tuple[str, bool]] = []  # prefix, whether its input is added
        taps = self._add_backbone(config.model.alpha)
        self.strides = [s for s in (8, 16, 32) if s >= config.model.first_stride]
        widths = [taps[stride] for stride in self.strides]
        for number in range(1, config.model.num_levels - len(widths) + 1):
            depths = config.model.extra_depths
            depth = depths[min(number, len(depths)) - 1]
            squeezed, width = (max(config.model.min_depth, int(d * config.model.alpha)) for d in (depth // 2, depth))
            self._add(f"extra_{number}_squeeze", widths[-1], squeezed)
            self._add(f"extra_{number}_expand", squeezed, width, kernel=3, stride=2)
            widths.append(width)
        for number, (width, count) in enumerate(zip(widths, per_cell, strict=True)):
            self.layers[f"head_{number}_class"] = nn.Conv2d(width, count * num_classes, 1)
            self.layers[f"head_{number}_box"] = nn.Conv2d(width, count * 4, 1)

    def _add_backbone(self, alpha: float) -> dict[int, int]:
        """Adds MobileNet v2; returns the channels of its taps by stride."""
        channels = _divisible(32 * alpha)
        self._add("Conv1", 3, channels, kernel=3, stride=2, norm="bn_Conv1")
        taps, size = {}, 2
        for expansion, width, repeats, first_stride in BLOCKS:
            for repeat in range(repeats):
                number, stride = len(self.blocks), first_stride if repeat == 0 else 1
                prefix, inner, out = f"block_{number}", channels * expansion, _divisible(width * alpha)
                if expansion > 1:
                    self._add(f"{prefix}_expand", channels, inner, norm=f"{prefix}_expand_BN")
                else:
                    prefix = "expanded_conv"
                if stride == 2:
                    taps[size] = inner
                    size *= 2
                name = f"{prefix}_depthwise"
                self._add(name, inner, inner, kernel=3, stride=stride, groups=inner, norm=f"{name}_BN")
                self._add(f"{prefix}_project", inner, out, norm=f"{prefix}_project_BN")
                self.blocks.append((prefix, stride == 1 and channels == out))
                channels = out
        last = _divisible(1280 * alpha) if alpha > 1 else 1280
        self._add("Conv_1", channels, last, norm="Conv_1_bn")
        return taps | {32: last}

    def _add(
        self, name: str, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, norm: str = ""
    ) -> None:
        settings = {"padding": kernel // 2, "groups": groups, "bias": False}
        self.layers[name] = nn.Conv2d(inputs, outputs, kernel, stride, **settings)
        model = self.config.model
        # PyTorch's momentum is the share of the new statistics.
        self.layers[f"{name}/norm"] = nn.BatchNorm2d(outputs, model.batch_norm_epsilon, 1 - model.batch_norm_momentum)
        self.keras_norms[f"{name}/norm"] = norm or f"{name}_bn"

    def load_keras(self, weights: Mapping[str, np.ndarray]) -> None:
        """Takes over the weights of a Keras network.

        Args:
            weights: by "layer/variable"; every one has to find its place.

        Raises:
            ValueError: a weight is missing, left over or of another shape.
        """
        renamed = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
        own = {keras_name: name for name, keras_name in self.keras_norms.items()}
        state = {name: value for name, value in self.state_dict().items() if "num_batches" in name or name == "anchors"}
        for path, value in weights.items():
            layer, variable = path.split("/")
            if variable == "kernel":
                # Depthwise kernels are [kh, kw, in, 1], all others [kh, kw, in, out].
                value = np.transpose(value, (2, 3, 0, 1) if layer.endswith("_depthwise") else (3, 2, 0, 1))
            name = "weight" if variable == "kernel" else renamed.get(variable, variable)
            state[f"layers.{own.get(layer, layer)}.{name}"] = torch.from_numpy(np.ascontiguousarray(value))
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"The Keras weights do not fit the PyTorch network: {error}") from error

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicts from uint8 images [B, 3, S, S] logits [B, A, C] and deltas [B, A, 4]."""
        x = self._unit("Conv1", images.float() / 127.5 - 1.0)
        found = {}
        for prefix, is_added in self.blocks:
            start = x
            if f"{prefix}_expand" in self.layers:
                x = found[f"{prefix}_expand"] = self._unit(f"{prefix}_expand", x)
            x = self._unit(f"{prefix}_project", self._unit(f"{prefix}_depthwise", x), is_linear=True)
            x = start + x if is_added else x
        found["Conv_1"] = self._unit("Conv_1", x)
        levels = [found[TAPS[stride]] for stride in self.strides]
        for number in range(1, self.config.model.num_levels - len(levels) + 1):
            x = self._unit(f"extra_{number}_squeeze", levels[-1])
            levels.append(self._unit(f"extra_{number}_expand", x))
        return self._predict(levels, "class", self.num_classes), self._predict(levels, "box", 4)

    def _unit(self, name: str, x: torch.Tensor, *, is_linear: bool = False) -> torch.Tensor:
        """Applies convolution, batch norm and, unless linear, the activation."""
        convolution = self.layers[name]
        if self.exact_padding and convolution.stride == (2, 2):
            after = [1, 1]
            before = [size % 2 for size in x.shape[-2:]]
            x = functional.pad(x, (before[1], after[1], before[0], after[0]))
            x = functional.conv2d(x, convolution.weight, stride=2, groups=convolution.groups)
        else:
            x = convolution(x)
        x = self.layers[f"{name}/norm"](x)
        return x if is_linear else functional.relu6(x, inplace=True)

    def _predict(self, levels: Sequence[torch.Tensor], name: str, outputs: int) -> torch.Tensor:
        maps = [self.layers[f"head_{number}_{name}"](x) for number, x in enumerate(levels)]
        return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, outputs) for x in maps], dim=1)

    def penalised(self) -> list[torch.Tensor]:
        """Lists the kernels that the L2 penalty takes: of ordinary convolutions."""
        convolutions = [layer for layer in self.layers.values() if isinstance(layer, nn.Conv2d)]
        return [layer.weight for layer in convolutions if layer.groups == 1]


def objective(
    detector: Detector, logits: torch.Tensor, deltas: torch.Tensor, gt_boxes: torch.Tensor, gt_labels: torch.Tensor
) -> torch.Tensor:
    """Computes the training objective, as `models.network.detector.Detector.compute_loss` with the declared defaults.

    Args:
        detector: its anchors, settings and kernels are read.
        logits: float32 [B, A, C].
        deltas: float32 [B, A, 4].
        gt_boxes: float32 [B, G, 4].
        gt_labels: int64 [B, G], -1 is padding.

    Returns:
        A scalar.
    """
    settings = detector.config.loss
    with torch.no_grad():
        matched, positive = assign(gt_boxes, gt_labels, detector.anchors, settings.matched_iou)
        boxes = gt_boxes.gather(1, matched[:, :, None].expand(-1, -1, 4))
        target_deltas = _encode(boxes, detector.anchors, detector.config.anchors.variances)
        labels = gt_labels.gather(1, matched).clamp(min=0)
        hot = functional.one_hot(labels, detector.num_classes) * positive[:, :, None]
    class_losses = functional.binary_cross_entropy_with_logits(logits, hot.float(), reduction="none").sum(-1)
    with torch.no_grad():
        count = positive.sum(-1) * settings.negatives_per_positive
        count = count.clamp(settings.min_negatives, logits.shape[1]).long()
        ranked = class_losses.masked_fill(positive, -1.0)
        order = ranked.sort(dim=-1, descending=True, stable=True).indices
        counted = positive | (order.argsort(dim=-1) < count[:, None])
    errors = functional.smooth_l1_loss(deltas, target_deltas, reduction="none", beta=settings.smooth_l1_delta).sum(-1)
    matches = positive.sum().clamp(min=1)
    classification, localization = (class_losses * counted).sum() / matches, (errors * positive).sum() / matches
    penalty = sum(kernel.square().sum() for kernel in detector.penalised())
    return (
        settings.classification_weight * classification
        + settings.localization_weight * localization
        + settings.l2 * penalty
    )


def train_step(
    detector: Detector,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    gt_boxes: torch.Tensor,
    gt_labels: torch.Tensor,
) -> float:
    """Does one step of training with clipped gradients; returns the objective before it."""
    optimizer.zero_grad()
    loss = objective(detector, *detector(images), gt_boxes, gt_labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(detector.parameters(), detector.config.optimizer.clip_norm)
    optimizer.step()
    return loss.item()


def assign(
    gt_boxes: torch.Tensor, gt_labels: torch.Tensor, anchors: torch.Tensor, matched_iou: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Matches anchors to objects, as `models.network.matcher.assign`.

    Returns:
        int64 [B, A] the object of each anchor, bool [B, A] whether the anchor is positive.
    """
    low = torch.maximum(gt_boxes[:, :, None, :2], anchors[:, :2])
    high = torch.minimum(gt_boxes[:, :, None, 2:], anchors[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)  # [B, G, A]
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1) for boxes in (gt_boxes, anchors)]
    overlaps = shared / (areas[0][:, :, None] + areas[1] - shared).clamp(min=1e-12)
    waiting = gt_labels >= 0
    overlaps = overlaps.masked_fill(~waiting[:, :, None], -1.0)
    highest, matched = overlaps.max(dim=1)
    positive = (highest >= matched_iou) & (highest > 0)
    # Every object gets an anchor of its own: pairs that are each other's best, until none waits.
    forced = torch.full_like(matched, -1)
    objects = torch.arange(gt_boxes.shape[1])
    while waiting.any():
        left = overlaps.masked_fill(~waiting[:, :, None] | (forced >= 0)[:, None, :], -1.0)
        best = left.argmax(dim=2)
        agreed = waiting & (left.argmax(dim=1).gather(1, best) == objects)
        rows, which = agreed.nonzero(as_tuple=True)
        forced[rows, best[rows, which]] = which
        waiting = waiting & ~agreed
    return torch.where(forced >= 0, forced, matched), positive | (forced >= 0)


def _encode(boxes: torch.Tensor, anchors: torch.Tensor, variances: Sequence[float]) -> torch.Tensor:
    """Encodes boxes, as `models.network.box_coder.encode`."""
    size, anchor_size = (box[..., 2:] - box[..., :2] for box in (boxes, anchors))
    centre = ((boxes[..., :2] + boxes[..., 2:]) - (anchors[:, :2] + anchors[:, 2:])) / 2 / anchor_size
    logs = torch.log(size.clamp(min=1e-6) / anchor_size)
    return torch.cat([centre, logs], dim=-1) / torch.tensor(variances)


def _divisible(channels: float) -> int:
    """Rounds channels to a multiple of 8, not by more than a tenth down, as MobileNet v2."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
