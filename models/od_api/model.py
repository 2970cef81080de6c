"""What becomes of `model` of an Object Detection API configuration.

Names and defaults are those of model.proto, ssd.proto, faster_rcnn_box_coder.proto, argmax_matcher.proto,
image_resizer.proto, losses.proto and post_processing.proto.
"""

from typing import Any

from models.od_api import fields as od
from models.od_api import network
from models.od_api.fields import Child, Message, Node, Outcome, choice, fixed, honoured, ignored, refused, sets, value

_MINED_BY = {"CLASSIFICATION": "classification", "LOCALIZATION": "localization", "BOTH": "both"}
_ALL_ANCHORS = 100_000
_CODE_SIZE = 4


def _coder_scale(_: float, node: Node) -> Outcome:
    scales = [node[name] for name in ("y_scale", "x_scale", "height_scale", "width_scale")]
    if min(scales) <= 0:
        return refused("scales are positive")
    return honoured({"anchors.variances": tuple(1 / scale for scale in scales)}, "1 / scale of y, x, height, width")


_CODER = {
    name: value(scale, _coder_scale)
    for name, scale in [("y_scale", 10.0), ("x_scale", 10.0), ("height_scale", 5.0), ("width_scale", 5.0)]
}
BOX_CODER = Message(
    {
        "faster_rcnn_box_coder": Child(Message(_CODER)),
        "mean_stddev_box_coder": od.unsupported("the kit's coder is Faster R-CNN's"),
        "square_box_coder": od.unsupported("the kit's coder is Faster R-CNN's"),
        "keypoint_box_coder": od.unsupported("the kit's coder is Faster R-CNN's"),
    },
    one_of=True,
)


def _threshold(path: str) -> od.Rule:
    def rule(given: float, node: Node) -> Outcome:
        if node["ignore_thresholds"]:
            return Outcome(od.IGNORED, why="ignore_thresholds is true")
        if node["unmatched_threshold"] > node["matched_threshold"]:
            return refused("unmatched_threshold may not exceed matched_threshold")
        return honoured({path: given})

    return rule


def _no_thresholds(given: bool, node: Node) -> Outcome:
    if not given:
        return honoured(why=od.AS_HERE)
    settings = {"loss.matched_iou": 0.0, "loss.unmatched_iou": 0.0}
    return refused("an anchor that no object touches stays negative here", settings)


MATCHER = Message(
    {
        "argmax_matcher": Child(
            Message(
                {
                    "ignore_thresholds": value(False, _no_thresholds),
                    "matched_threshold": value(0.5, _threshold("loss.matched_iou")),
                    "unmatched_threshold": value(0.5, _threshold("loss.unmatched_iou")),
                    "negatives_lower_than_unmatched": value(True, sets("loss.negatives_below_unmatched")),
                    "force_match_for_each_row": value(False, sets("loss.force_match")),
                    "use_matmul_gather": value(False, ignored("a matter of speed on TPUs")),
                }
            )
        ),
        "bipartite_matcher": od.unsupported("the kit matches by the highest IoU"),
    },
    one_of=True,
)
SIMILARITY = Message(
    {
        "iou_similarity": Child(Message({}), chosen=lambda node: honoured(why=od.AS_HERE)),
        "neg_sq_dist_similarity": od.unsupported("the kit compares by IoU"),
        "ioa_similarity": od.unsupported("the kit compares by IoU"),
        "thresholded_iou_similarity": od.unsupported("the kit compares by IoU"),
    },
    one_of=True,
)


def size_settings(height: int, width: int) -> dict[str, int]:
    """Returns the settings of an input's size, px."""
    if height == width:
        return {"input.image_size": height}
    return {"input.image_height": height, "input.image_width": width}


def _side(_: int, node: Node) -> Outcome:
    return honoured(size_settings(node["height"], node["width"]))


_RESIZE = choice("BILINEAR NEAREST_NEIGHBOR BICUBIC AREA", "BILINEAR", fixed("BILINEAR", "the kit resizes bilinearly"))
_COLOUR = value(False, fixed(False, "the kit's input has three channels"))


def _longest(_: Any, node: Node) -> Outcome:
    return refused("the kit resizes all images to one size", {"input.image_size": node["max_dimension"]})


IMAGE_RESIZER = Message(
    {
        "fixed_shape_resizer": Child(
            Message(
                {
                    "height": value(300, _side),
                    "width": value(300, _side),
                    "resize_method": _RESIZE,
                    "convert_to_grayscale": _COLOUR,
                }
            )
        ),
        "keep_aspect_ratio_resizer": Child(
            Message(
                {
                    "min_dimension": value(600, _longest),
                    "max_dimension": value(1024, _longest),
                    "pad_to_max_dimension": value(False, fixed(False, "the kit resizes all images to one size")),
                    "resize_method": _RESIZE,
                    "convert_to_grayscale": _COLOUR,
                    "per_channel_pad_value": od.repeated(float, od.cannot("the kit resizes all images to one size")),
                }
            )
        ),
        "identity_resizer": od.unsupported("the kit resizes all images to one size"),
        "conditional_shape_resizer": od.unsupported("the kit resizes all images to one size"),
        "pad_to_multiple_resizer": od.unsupported("the kit resizes all images to one size"),
    },
    one_of=True,
)


def classification(root: Node) -> str:
    """Returns the name of the classification loss; "" where the file has none."""
    names = root.find("model.ssd.loss.classification_loss").nodes
    return next(iter(names), "")


def _is_softmax(root: Node) -> bool:
    return "softmax" in classification(root)


def _background(given: bool, node: Node) -> Outcome:
    """Judges whether background is learned as a class.

    The API's logits begin with background. With `encode_background_as_zeros` its target is 0 for every anchor, so that
    a sigmoid learns nothing of it: the same as without.
    """
    ssd = node.root.find("model.ssd")
    learned = ssd["add_background_class"] and not ssd["encode_background_as_zeros"]
    converter = ssd.find("post_processing")["score_converter"]
    if not learned and (_is_softmax(node.root) or converter == "SOFTMAX"):
        return refused("with a softmax the kit always learns background as a class", {"model.background_class": True})
    return honoured({"model.background_class": learned})


def _class_weight(given: float, node: Node) -> Outcome:
    focal = node.find("classification_loss.weighted_sigmoid_focal")
    if focal is not None and focal["alpha"] is None:
        return honoured({"loss.classification_weight": 2 * given}, "twice, since focal_alpha 0.5 halves the loss")
    return honoured({"loss.classification_weight": given})


def _box_weight(_: Any, node: Node) -> Outcome:
    ssd = node.root.find("model.ssd")
    weight = ssd.find("loss")["localization_weight"]
    if ssd["normalize_loc_loss_by_codesize"]:
        return honoured(
            {"loss.localization_weight": weight / _CODE_SIZE}, "a quarter, by normalize_loc_loss_by_codesize"
        )
    return honoured({"loss.localization_weight": weight})


def _focal_alpha(given: float | None, node: Node) -> Outcome:
    if given is None:
        return honoured({"loss.focal_alpha": 0.5}, "without alpha both parts weigh alike")
    return honoured({"loss.focal_alpha": given})


_DEPRECATED = value(False, ignored("deprecated in the API, without effect"))
_NO_SCALE = value(1.0, fixed(1.0, "the kit does not scale logits"))


def _loss(path: str, name: str, **fields: od.Field) -> Child:
    return Child(Message({"anchorwise_output": _DEPRECATED, **fields}), chosen=lambda node: honoured({path: name}))


_CLASSIFICATION = Message(
    {
        "weighted_sigmoid": _loss("loss.classification", "sigmoid"),
        "weighted_softmax": _loss("loss.classification", "softmax", logit_scale=_NO_SCALE),
        "weighted_sigmoid_focal": _loss(
            "loss.classification",
            "focal",
            gamma=value(2.0, sets("loss.focal_gamma")),
            alpha=value(None, _focal_alpha, float),
        ),
        "weighted_logits_softmax": od.unsupported("the kit has sigmoid, softmax and focal loss"),
        "bootstrapped_sigmoid": od.unsupported("the kit has sigmoid, softmax and focal loss"),
        "penalty_reduced_logistic_focal_loss": od.unsupported("the kit has sigmoid, softmax and focal loss"),
        "weighted_dice_classification_loss": od.unsupported("the kit has sigmoid, softmax and focal loss"),
    },
    one_of=True,
)
_LOCALIZATION = Message(
    {
        "weighted_smooth_l1": _loss("loss.localization", "smooth_l1", delta=value(1.0, sets("loss.smooth_l1_delta"))),
        "weighted_giou": _loss("loss.localization", "giou"),
        "weighted_l2": od.unsupported("the kit has smooth L1 and GIoU"),
        "weighted_iou": od.unsupported("the kit has smooth L1 and GIoU"),
        "l1_localization_loss": od.unsupported("the kit has smooth L1 and GIoU"),
    },
    one_of=True,
)


def _mined(rule: od.Rule) -> od.Rule:
    """Refuses mining with focal loss, as the API does."""

    def checked(given: Any, node: Node) -> Outcome:
        if classification(node.root) == "weighted_sigmoid_focal":
            return refused("the API refuses mining with focal loss, and the kit's goes without")
        return rule(given, node)

    return checked


def _most_examples(given: int, node: Node) -> Outcome:
    if given and node["iou_threshold"] >= 1.0:
        return refused("at iou_threshold 1 the kit keeps all examples")
    return honoured({"loss.mining_max_examples": given or _ALL_ANCHORS}, "" if given else "0 is all of them")


def _mining_loss(given: str, node: Node) -> Outcome:
    loss, mined_by = node.parent, {"loss.mining_by": _MINED_BY[given]}
    if given == "BOTH" and loss["classification_weight"] != loss["localization_weight"]:
        return refused("the kit adds the two losses up without their weights", mined_by)
    return honoured(mined_by)


_MINER = {
    "num_hard_examples": value(64, _mined(_most_examples)),
    "iou_threshold": value(0.7, _mined(sets("loss.mining_iou"))),
    "loss_type": choice("BOTH CLASSIFICATION LOCALIZATION", "BOTH", _mined(_mining_loss)),
    "max_negatives_per_positive": value(0, _mined(sets("loss.negatives_per_positive", float))),
    "min_negatives_per_image": value(0, _mined(sets("loss.min_negatives"))),
}
_NO_MINING = honoured({"loss.negatives_per_positive": 0.0, "loss.mining_iou": 1.0}, "no hard example miner")
LOSS = Message(
    {
        "classification_loss": Child(_CLASSIFICATION, always=True, chosen=od.one_needed("a classification loss")),
        "localization_loss": Child(_LOCALIZATION, always=True, chosen=od.one_needed("a localization loss")),
        "hard_example_miner": Child(Message(_MINER), absent=lambda node: _NO_MINING),
        "classification_weight": value(1.0, _class_weight),
        "localization_weight": value(1.0, _box_weight),
        "random_example_sampler": od.unsupported("the kit mines hard examples or takes all"),
        "equalization_loss": od.unsupported("the kit has no such loss"),
        "expected_loss_weights": choice(
            "NONE EXPECTED_SAMPLING REWEIGHTING_UNMATCHED_ANCHORS",
            "NONE",
            fixed("NONE", "the kit mines hard examples or takes all"),
        ),
        "min_num_negative_samples": value(0.0, ignored("of expected_loss_weights")),
        "desired_negative_sampling_ratio": value(3.0, ignored("of expected_loss_weights")),
    }
)


def _converter(given: str, node: Node) -> Outcome:
    if given == "IDENTITY":
        nearest = "softmax" if _is_softmax(node.root) else "sigmoid"
        return refused("the kit's scores lie in [0, 1]", {"postprocess.score_converter": nearest})
    return honoured({"postprocess.score_converter": given.lower()})


def _most_per_class(given: int, node: Node) -> Outcome:
    settings = {"postprocess.max_per_class": given}
    return honoured(settings | ({"postprocess.nms_candidates": given} if given > 400 else {}))


_SPEED = ignored("a matter of speed")
_NMS = {
    "score_threshold": value(0.0, sets("postprocess.score_threshold")),
    "iou_threshold": value(
        0.6, sets("postprocess.nms_iou", why="among the postprocess.nms_candidates boxes of highest score a class")
    ),
    "max_detections_per_class": value(100, _most_per_class),
    "max_total_detections": value(100, sets("postprocess.max_detections")),
    "soft_nms_sigma": value(0.0, fixed(0.0, "the kit's suppression is hard")),
    "use_class_agnostic_nms": value(False, fixed(False, "the kit suppresses class by class")),
    "max_classes_per_detection": value(1, ignored("of use_class_agnostic_nms")),
    "change_coordinate_frame": value(True, ignored("the kit's boxes are relative to the image")),
    "use_static_shapes": value(False, _SPEED),
    "use_combined_nms": value(False, _SPEED),
    "combined_nms": value(False, _SPEED),
    "use_hard_nms": value(False, ignored("the kit's suppression is hard")),
    "use_cpu_nms": value(False, _SPEED),
    "use_partitioned_nms": value(False, _SPEED),
}
POST_PROCESSING = Message(
    {
        "batch_non_max_suppression": Child(Message(_NMS), always=True),
        "score_converter": choice("IDENTITY SIGMOID SOFTMAX", "IDENTITY", _converter),
        "logit_scale": _NO_SCALE,
        "calibration_config": od.unsupported("the kit does not calibrate scores"),
    }
)
_SSD: dict[str, od.Field | Child] = {
    "num_classes": value(None, ignored("the dataset's classes count; --classes picks some"), int),
    "image_resizer": Child(IMAGE_RESIZER, always=True, chosen=od.one_needed("an image resizer")),
    "feature_extractor": Child(network.FEATURE_EXTRACTOR, always=True),
    "box_predictor": Child(network.BOX_PREDICTOR, always=True, chosen=od.one_needed("a box predictor")),
    "anchor_generator": Child(network.ANCHOR_GENERATOR, always=True, chosen=od.one_needed("an anchor generator")),
    "box_coder": Child(BOX_CODER, always=True, chosen=od.one_needed("a box coder")),
    "matcher": Child(MATCHER, always=True, chosen=od.one_needed("a matcher")),
    "similarity_calculator": Child(SIMILARITY, always=True, chosen=od.one_needed("a similarity")),
    "encode_background_as_zeros": value(False, _background),
    "add_background_class": value(True, _background),
    "explicit_background_class": value(False, fixed(False, "the dataset's labels hold no background")),
    "negative_class_weight": value(1.0, fixed(1.0, "the kit's negatives weigh as much as positives")),
    "loss": Child(LOSS, always=True),
    "normalize_loss_by_num_matches": value(True, sets("loss.normalize_by_matches")),
    "normalize_loc_loss_by_codesize": value(False, _box_weight),
    "freeze_batchnorm": value(False, sets("model.freeze_batch_norm", why="the backbone's")),
    "inplace_batchnorm_update": value(False, ignored("Keras always updates in place")),
    "use_confidences_as_targets": value(False, fixed(False, "the kit's targets are sure")),
    "implicit_example_weight": value(1.0, fixed(1.0, "the kit's examples weigh alike")),
    "return_raw_detections_during_predict": value(False, ignored("the kit's models return detections")),
    "mask_head_config": od.unsupported("the kit detects boxes"),
    "post_processing": Child(POST_PROCESSING, always=True),
}
MODEL = Message(
    {
        "ssd": Child(Message(_SSD), always=True),
        "faster_rcnn": od.unsupported("the kit's detectors are SSDs"),
        "center_net": od.unsupported("the kit's detectors are SSDs"),
        "experimental_model": od.unsupported("the kit's detectors are SSDs"),
    },
    one_of=True,
)
