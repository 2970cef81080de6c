"""What becomes of `feature_extractor`, `box_predictor` and the anchors of an Object Detection API configuration.

Names and defaults are those of ssd.proto, fpn.proto, hyperparams.proto, box_predictor.proto, ssd_anchor_generator.proto
and multiscale_anchor_generator.proto.
"""

import math
import re
from typing import Any

from models.od_api import fields as od
from models.od_api.fields import Child, Message, Node, Outcome, choice, fixed, honoured, refused, sets, value

_TYPE = re.compile(r"ssd_(mobilenet_v(?:1|2|3_small|3_large))(_fpn)?(_keras)?")
_TYPES = [
    f"ssd_mobilenet_{version}"
    for version in ("v1", "v2", "v1_fpn", "v2_fpn", "v1_keras", "v2_keras", "v1_fpn_keras", "v2_fpn_keras")
] + ["ssd_mobilenet_v3_small", "ssd_mobilenet_v3_large"]
_EXTRACTOR, _PREDICTOR = "model.ssd.feature_extractor", "model.ssd.box_predictor"
_CONVOLUTIONAL, _SHARED = "convolutional_box_predictor", "weight_shared_convolutional_box_predictor"
_NARROWEST = 128  # channels of the coarsest level after the backbone, at depth multiplier 1
# Batch norm and L2 weight in the API's own MobileNets.
_BACKBONE_DECAY, _BACKBONE_EPSILON, _BACKBONE_L2 = 0.9997, 0.001, 4e-5
_ACTIVATIONS = {"RELU": "relu", "RELU_6": "relu6", "SWISH": "silu"}


def head(root: Node) -> str:
    """Returns the setting `model.head` of a configuration."""
    extractor, predictor = root.find(_EXTRACTOR), root.find(_PREDICTOR)
    if extractor.has("fpn") or "_fpn" in (extractor["type"] or ""):
        return "fpnlite"
    convolutional = predictor.find(_CONVOLUTIONAL)
    depthwise = extractor["use_depthwise"] or (convolutional is not None and convolutional["use_depthwise"])
    return "ssdlite" if depthwise else "ssd"


def _type(given: str | None, node: Node) -> Outcome:
    if given == "embedded_ssd_mobilenet_v1":
        why = "it is a MobileNet v1 with coarser levels of its own; the kit's are those of ssd_mobilenet_v1"
        return refused(why, {"model.backbone": "mobilenet_v1", "model.first_stride": 16})
    match = _TYPE.fullmatch(given or "")
    if match is None or given not in _TYPES:
        if given is None:
            return refused("the API needs a type, as 'ssd_mobilenet_v2'")
        return refused(f"no such backbone here.{od.nearest(given, _TYPES)}")
    stride = {} if head(node.root) == "fpnlite" else {"model.first_stride": 16}
    return honoured({"model.backbone": match[1], **stride})


def _depthwise(given: bool, node: Node) -> Outcome:
    name = head(node.root)
    if given == (name != "ssd"):
        return honoured({"model.head": name})
    why = "the kit's feature pyramid" if name == "fpnlite" else "`ssdlite`, as the other use_depthwise asks,"
    return refused(f"{why} is separable in its levels and in the box predictor alike", {"model.head": name})


def _override(given: bool, node: Node) -> Outcome:
    """The kit has one batch norm and one L2 penalty for the backbone and what follows it."""
    hyperparams = node.find("conv_hyperparams")
    if given:
        activation = _ACTIVATIONS.get(hyperparams["activation"])
        why = "batch norm and L2 hold for the backbone, too; its initializer stays Keras' own"
        if activation in (None, "relu6"):
            return honoured(why=why)
        return honoured({"model.backbone_activation": activation}, why)
    batch_norm, l2 = hyperparams.find("batch_norm"), hyperparams.find("regularizer.l2_regularizer")
    theirs = (_BACKBONE_DECAY, _BACKBONE_EPSILON)
    own = []
    if batch_norm is not None and (batch_norm["decay"], batch_norm["epsilon"]) != theirs:
        own.append(f"batch norm of its own, decay {theirs[0]} and epsilon {theirs[1]}")
    if l2 is not None and not math.isclose(l2["weight"], _BACKBONE_L2):
        own.append(f"an L2 weight of its own, {_BACKBONE_L2:g}")
    if own:
        return refused(f"the API's backbone has {' and '.join(own)}; the kit's takes the file's")
    return honoured(why="the API's backbone has the same batch norm and L2")


def _padding(given: int, node: Node) -> Outcome:
    resizer = node.root.find("model.ssd.image_resizer.fixed_shape_resizer")
    if given <= 1 or (resizer is not None and resizer["height"] % given == resizer["width"] % given == 0):
        return Outcome(od.IGNORED, why="the input's side is a multiple of it already")
    return refused("the kit pads maps inside the network, not images")


def _l2(given: float, node: Node) -> Outcome:
    if not node.root.find("train_config")["add_regularization_loss"]:
        return honoured({"loss.l2": 0.0}, "since add_regularization_loss is false")
    return honoured({"loss.l2": given / 2}, "half, since the API's penalty is weight * sum of squares / 2")


def _no_batch_norm(node: Node) -> Outcome:
    """Judges hyperparameters without batch norm; without layers of its own the predictor has no use for it."""
    if _PREDICTOR in node.path and not _hidden_layers(node.parent):
        return honoured()
    return refused("the kit has batch norm after every convolution but the last")


def _hidden_layers(predictor: Node) -> bool:
    return bool(predictor["use_depthwise"] or predictor["num_layers_before_predictor"])


def _activation(given: str, node: Node) -> Outcome:
    if given not in _ACTIVATIONS:
        return refused("the kit has an activation after every convolution but the last")
    return honoured({"model.activation": _ACTIVATIONS[given]})


def _normal(name: str) -> Child:
    fields = {
        "stddev": value(1.0, sets("model.initializer_stddev")),
        "mean": value(0.0, fixed(0.0, "the kit's initializers have mean 0")),
    }
    return Child(Message(fields), chosen=lambda node: honoured({"model.initializer": name}))


def _he(node: Node) -> Outcome:
    if (node["factor"], node["uniform"], node["mode"]) == (2.0, False, "FAN_IN"):
        return honoured({"model.initializer": "variance_scaling"})
    return refused("the kit has He's only: factor 2, normal, FAN_IN", {"model.initializer": "variance_scaling"})


_VARIANCE_SCALING = {
    "factor": value(2.0, lambda given, node: _he(node)),
    "uniform": value(False, lambda given, node: _he(node)),
    "mode": choice("FAN_IN FAN_OUT FAN_AVG", "FAN_IN", lambda given, node: _he(node)),
}
_BATCH_NORM = {
    "decay": value(0.999, sets("model.batch_norm_momentum")),
    "epsilon": value(0.001, sets("model.batch_norm_epsilon")),
    "center": value(True, fixed(True, "the kit's batch norm learns a centre")),
    "scale": value(False, fixed(True, "the kit's batch norm learns a scale")),
    "train": value(True, fixed(True, "only the backbone's can be frozen: model.freeze_batch_norm")),
}
HYPERPARAMS = Message(
    {
        "op": choice("CONV FC", "CONV", fixed("CONV", "a detector has convolutions only")),
        "activation": choice("NONE RELU RELU_6 SWISH", "RELU", _activation),
        "regularizer": Child(
            Message(
                {
                    "l2_regularizer": Child(Message({"weight": value(1.0, _l2)})),
                    "l1_regularizer": od.unsupported("the kit's penalty is L2"),
                },
                one_of=True,
            ),
            absent=lambda node: honoured({"loss.l2": 0.0}, "no regularizer"),
        ),
        "initializer": Child(
            Message(
                {
                    "truncated_normal_initializer": _normal("truncated_normal"),
                    "random_normal_initializer": _normal("random_normal"),
                    "variance_scaling_initializer": Child(Message(_VARIANCE_SCALING), chosen=_he),
                },
                one_of=True,
            )
        ),
        "batch_norm": Child(Message(_BATCH_NORM), absent=_no_batch_norm),
        "group_norm": od.unsupported("the kit normalises by batch"),
        "regularize_depthwise": value(False, fixed(False, "the kit's L2 leaves depthwise kernels out")),
        "force_use_bias": value(False, fixed(False, "the kit's convolutions before batch norm have no bias")),
    }
)


def _pyramid_stride(given: int, node: Node) -> Outcome:
    return honoured({"model.first_stride": 2 ** max(0, min(given, 20))})


def _pyramid_levels(given: int, node: Node) -> Outcome:
    return honoured({"model.num_levels": given - node["min_level"] + 1})


def _pyramid_depth(given: int, node: Node) -> Outcome:
    extractor = node.parent
    return honoured({"model.head_depth": max(int(given * extractor["depth_multiplier"]), extractor["min_depth"])})


_FPN = {
    "min_level": value(3, _pyramid_stride),
    "max_level": value(7, _pyramid_levels),
    "additional_layer_depth": value(256, _pyramid_depth),
}


def _no_pyramid(node: Node) -> Outcome:
    if head(node.root) != "fpnlite":
        return honoured()
    depth = max(int(256 * node["depth_multiplier"]), node["min_depth"])
    return honoured({"model.first_stride": 8, "model.num_levels": 5, "model.head_depth": depth})


def _extractor_layers(given: int, node: Node) -> Outcome:
    if head(node.root) == "fpnlite":
        return Outcome(od.IGNORED, why="the pyramid's levels count")
    return honoured({"model.num_levels": given})


FEATURE_EXTRACTOR = Message(
    {
        "type": value(None, _type, str),
        "use_depthwise": value(False, _depthwise),
        "depth_multiplier": value(1.0, sets("model.alpha")),
        "min_depth": value(
            16,
            sets(
                "model.min_depth",
                lambda given: max(given, 1),
                "of the levels after the backbone; its own have 8 at least",
            ),
        ),
        "num_layers": value(6, _extractor_layers),
        "fpn": Child(Message(_FPN), absent=_no_pyramid),
        "bifpn": od.unsupported("the kit's feature pyramid goes one way"),
        "conv_hyperparams": Child(HYPERPARAMS, always=True),
        "override_base_feature_extractor_hyperparams": value(False, _override),
        "pad_to_multiple": value(1, _padding),
        "use_explicit_padding": value(False, fixed(False, "the kit pads as TensorFlow's SAME")),
        "replace_preprocessor_with_placeholder": value(False, fixed(False, "the kit scales images to [-1, 1] itself")),
    }
)


def _dropout(_: Any, node: Node) -> Outcome:
    if not node["use_dropout"]:
        return honoured({"model.dropout_rate": 0.0}, "use_dropout is false")
    rate = round(1.0 - node["dropout_keep_probability"], 6)
    return honoured({"model.dropout_rate": rate}, "1 - keep probability; the kit's acts on the boxes, too")


def _kernel(given: int, node: Node) -> Outcome:
    name = head(node.root)
    if name != "ssd" and given < 3:
        return refused(f"the kernel of `{name}` is 3 at least", {"model.head_kernel_size": 3})
    return honoured({"model.head_kernel_size": given})


def _layers(_: Any, node: Node) -> Outcome:
    """Judges convolutions before the predictor: the API has as many channels as the level, within limits."""
    depth = max(node["min_depth"], node["max_depth"])
    if not node["num_layers_before_predictor"] or not depth:
        return honoured({"model.head_layers": 0}, "no convolution before the predictor")
    settings = {"model.head_layers": node["num_layers_before_predictor"], "model.head_depth": depth}
    extractor = node.root.find(_EXTRACTOR)
    if node["min_depth"] < depth and depth > _NARROWEST * extractor["depth_multiplier"]:
        return refused("the API's are no wider than their level, the kit's all alike", settings)
    return honoured(settings)


def _shared_layers(given: int, node: Node) -> Outcome:
    return honoured({"model.head_layers": given if node["depth"] else 0})


def _shared_depth(given: int, node: Node) -> Outcome:
    if not (given and node["num_layers_before_predictor"]):
        return honoured({"model.head_layers": 0}, "no convolution before the predictor")
    return honoured({"model.head_depth": given})


def _shared_tower(given: bool, node: Node) -> Outcome:
    if given or not (node["depth"] and node["num_layers_before_predictor"]):
        return honoured(why=od.AS_HERE)
    return refused("classes and boxes share the kit's convolutions before the predictor")


def _needs(name: str) -> Any:
    def chosen(node: Node) -> Outcome:
        if (head(node.root) == "fpnlite") == (name == _SHARED):
            return honoured()
        return refused(
            f"the predictor of `{head(node.root)}` {'is not' if name == _SHARED else 'is'} shared by its levels"
        )

    return chosen


_CODE_SIZE = value(4, fixed(4, "a box has 4 numbers here"))
_COMMON: dict[str, od.Field | Child] = {
    "kernel_size": value(1, _kernel),
    "box_code_size": _CODE_SIZE,
    "class_prediction_bias_init": value(0.0, sets("model.class_bias")),
    "use_depthwise": value(False, _depthwise),
    "mask_head": od.unsupported("the kit detects boxes"),
    "conv_hyperparams": Child(HYPERPARAMS),
}
BOX_PREDICTOR = Message(
    {
        _CONVOLUTIONAL: Child(
            Message(
                {
                    "min_depth": value(0, _layers),
                    "max_depth": value(0, _layers),
                    "num_layers_before_predictor": value(0, _layers),
                    "use_dropout": value(True, _dropout),
                    "dropout_keep_probability": value(0.8, _dropout),
                    "apply_sigmoid_to_scores": value(False, fixed(False, "post_processing converts the scores")),
                    **_COMMON,
                }
            ),
            chosen=_needs(_CONVOLUTIONAL),
        ),
        _SHARED: Child(
            Message(
                {
                    "depth": value(0, _shared_depth),
                    "num_layers_before_predictor": value(0, _shared_layers),
                    "share_prediction_tower": value(False, _shared_tower),
                    "use_dropout": value(False, _dropout),
                    "dropout_keep_probability": value(0.8, _dropout),
                    "score_converter": choice(
                        "IDENTITY SIGMOID", "IDENTITY", fixed("IDENTITY", "post_processing converts the scores")
                    ),
                    "box_encodings_clip_range": od.unsupported("the kit limits decoded sides, not encodings"),
                    **_COMMON,
                    "kernel_size": value(3, _kernel),
                }
            ),
            chosen=_needs(_SHARED),
        ),
        "mask_rcnn_box_predictor": od.unsupported("of a two-stage detector"),
        "rfcn_box_predictor": od.unsupported("of a two-stage detector"),
    },
    one_of=True,
)


def _end_scale(path: str) -> od.Rule:
    def rule(given: float, node: Node) -> Outcome:
        return Outcome(od.IGNORED, why="`scales` count") if node["scales"] else honoured({path: given})

    return rule


def _reduced(given: bool, node: Node) -> Outcome:
    lowest = {"anchors.lowest_scale": 0.1} if given else {}
    return honoured(
        {"anchors.reduce_lowest_level": given, **lowest}, "0.1 is the API's, whatever min_scale" if given else ""
    )


def _ratios(given: tuple[float, ...], node: Node) -> Outcome:
    return honoured({"anchors.aspect_ratios": given}) if given else refused("the kit needs one at least")


def _some_scales(given: tuple[float, ...], node: Node) -> Outcome:
    if any(second <= first for first, second in zip(given, given[1:], strict=False)):
        return refused("the kit's scales ascend from level to level")
    return honoured({"anchors.scales": given})


_SQUARE = fixed(1.0, "the kit's scales are relative to the shorter side of the input")
_GRID = fixed((), "the kit centres anchors in the cells of the maps")
_SSD_ANCHORS: dict[str, od.Field | Child] = {
    "num_layers": value(6, sets("model.num_levels")),
    "min_scale": value(0.2, _end_scale("anchors.min_scale")),
    "max_scale": value(0.95, _end_scale("anchors.max_scale")),
    "scales": od.repeated(float, _some_scales),
    "aspect_ratios": od.repeated(float, _ratios),
    "interpolated_scale_aspect_ratio": value(1.0, sets("anchors.interpolated_aspect_ratio")),
    "reduce_boxes_in_lowest_layer": value(True, _reduced),
    "base_anchor_height": value(1.0, _SQUARE),
    "base_anchor_width": value(1.0, _SQUARE),
    "height_stride": od.repeated(int, _GRID),
    "width_stride": od.repeated(int, _GRID),
    "height_offset": od.repeated(int, _GRID),
    "width_offset": od.repeated(int, _GRID),
}
_MULTISCALE_ANCHORS = {
    "min_level": value(3, _pyramid_stride),
    "max_level": value(7, _pyramid_levels),
    "anchor_scale": value(4.0, sets("anchors.size_in_cells")),
    "scales_per_octave": value(2, sets("anchors.scales_per_octave")),
    "aspect_ratios": od.repeated(float, _ratios),
    "normalize_coordinates": value(True, fixed(True, "the kit's boxes are relative to the image")),
}
ANCHOR_GENERATOR = Message(
    {
        "ssd_anchor_generator": Child(Message(_SSD_ANCHORS), chosen=lambda node: honoured({"anchors.kind": "ssd"})),
        "multiscale_anchor_generator": Child(
            Message(_MULTISCALE_ANCHORS), chosen=lambda node: honoured({"anchors.kind": "multiscale"})
        ),
        "grid_anchor_generator": od.unsupported("of a two-stage detector"),
        "flexible_grid_anchor_generator": od.unsupported("the kit's anchors are SSD's or RetinaNet's"),
    },
    one_of=True,
)
