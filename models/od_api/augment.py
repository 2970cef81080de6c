"""What becomes of `data_augmentation_options` of an Object Detection API configuration.

Names and defaults are those of preprocessor.proto; those of `ssd_random_crop` without operations are its function's.
"""

import math
from collections.abc import Sequence
from typing import Any

from models.od_api import fields as od
from models.od_api.fields import Child, Message, Node, Outcome, fixed, honoured, ignored, refused, value

# What leaves every image as it is; a file's augmentations come in addition.
NONE = {
    "augment.flip_probability": 0.0,
    "augment.jitter_probability": 0.0,
    "augment.crop_probability": 0.0,
    "augment.photometric_strength": 0.0,
    "augment.color_strength": 0.0,
    "augment.noise_max_sigma": 0.0,
    "augment.patch_probability": 0.0,
    "augment.mosaic_probability": 0.0,
}
_MAX_RATIO = 2.0  # of a crop's sides in the kit
_CROP = {
    "min_object_covered": (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
    "min_area": (0.1,) * 7,
    "max_aspect_ratio": (2.0,) * 7,
    "random_coef": (0.15,) * 7,
}
_KEPT = "objects stay by the kit's rule: centre inside, 30 % of it seen"


def _options(node: Node) -> list[Node]:
    """Lists the augmentations of the file."""
    train = node.root.find("train_config")
    return [
        step
        for option in train.nodes.get("data_augmentation_options", ())
        for steps in option.nodes.values()
        for step in steps
    ]


def _crop_settings(skipped: Sequence[float], areas: Sequence[float], ratios: Sequence[float]) -> dict[str, float | str]:
    """Computes the kit's settings: how often there is a crop, its least side and area, and what it has of an object."""
    ratio = max(1.0, *(min(each, _MAX_RATIO) for each in ratios))
    area = max(min(areas), 0.0)
    shortest = max(math.sqrt(area / ratio), area)  # the longer side is 1 at most
    return {
        "augment.crop_probability": round(1.0 - sum(skipped) / len(skipped), 6),
        "augment.crop_min_scale": round(min(max(shortest, 0.1), 1.0), 4),
        "augment.crop_min_area": min(area, 1.0),
        "augment.crop_overlap": "covered",
    }


def _own_crop(node: Node) -> Outcome:
    """Judges `ssd_random_crop` without operations."""
    if node.nodes:
        return honoured()
    settings = _crop_settings(_CROP["random_coef"], _CROP["min_area"], _CROP["max_aspect_ratio"])
    return honoured(settings, f"skipped with chance 0.15, area from 0.1 on; {_KEPT}")


def _operation(given: float | None, node: Node) -> Outcome:
    """Judges what the kit's crop takes of an operation: how often it is skipped, and its least area."""
    operations = node.parent.nodes["operations"] if "operations" in node.parent.spec.fields else [node]
    columns = [[each[name] or 0.0 for each in operations] for name in ("random_coef", "min_area", "max_aspect_ratio")]
    several = "the mean chance and the least area of all operations" if len(operations) > 1 else ""
    return honoured(_crop_settings(*columns), several)


def _ratio(low: bool) -> od.Rule:
    def rule(given: float | None, node: Node) -> Outcome:
        nearest = 1.0 / _MAX_RATIO if low else _MAX_RATIO
        if given is not None and math.isclose(given, nearest):
            return honoured(why=od.AS_HERE)
        return refused(f"the sides of the kit's crops differ by {_MAX_RATIO:g} times at most, either way")

    return rule


def _covered(given: float | None, node: Node) -> Outcome:
    operations = node.parent.nodes.get("operations", [])
    if tuple(each["min_object_covered"] for each in operations) == _CROP["min_object_covered"]:
        return honoured(why="the seven choices of the API's own list")
    return refused("the kit draws one of the seven shares of the API's own list")


def _operation_fields(**defaults: float | None) -> Message:
    fields: dict[str, od.Field | Child] = {
        "random_coef": value(defaults.get("random_coef"), _operation, float),
        "min_area": value(defaults.get("min_area"), _operation, float),
        "max_area": value(
            defaults.get("max_area", 1.0), fixed(1.0, "the kit's crops are as large as the image at most")
        ),
        "min_aspect_ratio": value(defaults.get("min_aspect_ratio"), _ratio(low=True), float),
        "max_aspect_ratio": value(defaults.get("max_aspect_ratio"), _ratio(low=False), float),
        "min_object_covered": value(defaults.get("min_object_covered"), _covered, float),
        "overlap_thresh": value(defaults.get("overlap_thresh"), lambda given, node: refused(_KEPT), float),
        "clip_boxes": value(True, fixed(True, "the kit clips boxes to the image")),
    }
    return Message(fields)


def _patches(_: Any, node: Node) -> Outcome:
    probability, tries = min(max(node["probability"], 0.0), 1.0), max(node["max_black_patches"], 0)
    settings = {
        "augment.patch_probability": round(1.0 - (1.0 - probability) ** tries, 6),
        "augment.patch_max_count": max(tries, 1),
        "augment.patch_max_side": node["size_to_image_ratio"],
    }
    return honoured(settings, "chance of any; the kit draws number and sides below the largest")


def _strengths(node: Node, names: Sequence[str]) -> dict[str, float]:
    """Computes the strength that each of two kinds of change would need."""
    found = {}
    for step in _options(node):
        name = step.path.rpartition(".")[2]
        if name in ("random_adjust_contrast", "random_adjust_saturation"):
            found[name] = max(1.0 - step["min_delta"], step["max_delta"] - 1.0)
        elif name == "random_adjust_brightness":
            found[name] = step["max_delta"] * 255.0 / 128.0
        elif name == "random_adjust_hue":
            found[name] = step["max_delta"] * 10.0  # of a turn; the kit's strength 1 is 36 degrees
        elif name == "random_distort_color":
            found |= {"random_adjust_brightness": 0.25, "random_adjust_contrast": 0.5}
            found |= {"random_adjust_saturation": 0.5, "random_adjust_hue": 2.0}
    return {name: round(found[name], 4) for name in names if name in found}


_PAIRS = {
    "augment.photometric_strength": ("random_adjust_brightness", "random_adjust_contrast"),
    "augment.color_strength": ("random_adjust_saturation", "random_adjust_hue"),
}


def _pixels(path: str) -> od.Rule:
    """Makes a rule for changes that the kit makes in pairs of one strength."""

    def rule(given: Any, node: Node) -> Outcome:
        strengths = _strengths(node, _PAIRS[path])
        first, second = (name.removeprefix("random_adjust_") for name in _PAIRS[path])
        strength = {path: min(max(strengths.values()), 0.9)}
        if len(strengths) == 2 and math.isclose(*strengths.values(), rel_tol=0.02):
            return honoured(strength, f"{first} and {second} alike")
        return refused(f"the kit changes {first} and {second} together, by one strength; this is the larger", strength)

    return rule


def _distort(node: Node) -> Outcome:
    settings = {path: min(max(_strengths(node, names).values()), 0.9) for path, names in _PAIRS.items()}
    return refused(
        "the kit's brightness goes with contrast, and its hue turns 36 degrees at most; the nearest", settings
    )


def _adjust(path: str, **defaults: float) -> Child:
    return Child(Message({name: value(default, _pixels(path)) for name, default in defaults.items()}))


def _flip(given: float, node: Node) -> Outcome:
    return honoured({"augment.flip_probability": given})


_SUPPORTED = {
    "random_horizontal_flip": Child(
        Message(
            {
                "probability": value(0.5, _flip),
                "keypoint_flip_permutation": od.repeated(int, ignored("the kit has no keypoints")),
            }
        )
    ),
    "ssd_random_crop": Child(Message({"operations": Child(_operation_fields(), repeated=True)}), chosen=_own_crop),
    "random_crop_image": Child(
        _operation_fields(
            random_coef=0.0,
            min_area=0.1,
            min_aspect_ratio=0.75,
            max_aspect_ratio=1.33,
            min_object_covered=1.0,
            overlap_thresh=0.3,
        )
    ),
    "random_black_patches": Child(
        Message(
            {
                "max_black_patches": value(10, _patches),
                "probability": value(0.5, _patches),
                "size_to_image_ratio": value(0.1, _patches),
            }
        )
    ),
    "random_adjust_brightness": _adjust("augment.photometric_strength", max_delta=0.2),
    "random_adjust_contrast": _adjust("augment.photometric_strength", min_delta=0.8, max_delta=1.25),
    "random_adjust_saturation": _adjust("augment.color_strength", min_delta=0.8, max_delta=1.25),
    "random_adjust_hue": _adjust("augment.color_strength", max_delta=0.02),
    "random_distort_color": Child(
        Message({"color_ordering": value(0, ignored("the kit's order is fixed"))}), chosen=_distort
    ),
}
_RESIZED = "the image is resized to the input's size after it"
_WITHOUT_EFFECT = ("random_image_scale", "random_resize_method", "resize_image")
_LACKING = (
    "normalize_image random_pixel_value_scale random_rgb_to_gray random_jitter_boxes random_pad_image"
    " random_crop_pad_image random_crop_to_aspect_ratio scale_boxes_to_pixel_coordinates subtract_channel_mean"
    " ssd_random_crop_pad ssd_random_crop_fixed_aspect_ratio ssd_random_crop_pad_fixed_aspect_ratio adjust_gamma"
    " random_rotation90 rgb_to_gray convert_class_logits_to_softmax random_absolute_pad_image random_self_concat_image"
    " autoaugment_image drop_label_probabilistically remap_labels random_jpeg_quality random_downscale_to_target_pixels"
    " random_patch_gaussian random_square_crop_by_scale random_scale_crop_and_pad_to_square random_vertical_flip"
)
OPTION = Message(
    {
        **_SUPPORTED,
        **{name: od.unread(_RESIZED) for name in _WITHOUT_EFFECT},
        **{name: od.unsupported("the kit has no such augmentation") for name in _LACKING.split()},
    },
    one_of=True,
)
