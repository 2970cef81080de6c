"""The Object Detection API's configurations: the study's sample line by line, and small ones for each rule.

Expected values come from the API's protos and functions, by hand; the comments say where a number is not the file's.
"""

import contextlib
import re

import pytest

from data.errors import UserError
from models.network import anchors
from models.network.detector import Detector
from models.od_api import config as od_api_config
from models.od_api import config_text as od_api_text
from tests import od_api_configs as configs

FLIR_TRAIN_IMAGES = 8862
SAMPLE = {
    "input.image_size": 300,
    "input.batch_size": 16,
    "anchors.variances": (0.1, 0.1, 0.2, 0.2),  # 1 / 10, 1 / 5
    "loss.matched_iou": 0.5,
    "loss.unmatched_iou": 0.5,
    "loss.negatives_below_unmatched": True,
    "loss.force_match": True,
    "anchors.kind": "ssd",
    "model.num_levels": 6,
    "anchors.min_scale": 0.2,
    "anchors.max_scale": 0.95,
    "anchors.scales": (),
    "anchors.aspect_ratios": (1.0, 2.0, 0.5, 3.0, 0.3333),
    "anchors.interpolated_aspect_ratio": 1.0,  # ssd_anchor_generator.proto
    "anchors.reduce_lowest_level": True,  # ssd_anchor_generator.proto
    "anchors.lowest_scale": 0.1,  # ssd_anchor_generator.proto, in the comment
    "model.head": "ssd",
    "model.head_layers": 0,
    "model.head_kernel_size": 1,
    "model.dropout_rate": 0.0,  # use_dropout is false, whatever the keep probability
    "model.class_bias": 0.0,
    "model.backbone": "mobilenet_v2",
    "model.first_stride": 16,
    "model.alpha": 1.0,
    "model.min_depth": 16,
    "model.activation": "relu6",
    "loss.l2": 2e-5,  # slim's l2_regularizer is weight * sum of squares / 2
    "model.initializer": "truncated_normal",
    "model.initializer_stddev": 0.03,
    "model.batch_norm_momentum": 0.9997,
    "model.batch_norm_epsilon": 0.001,
    "model.freeze_batch_norm": False,
    "loss.classification": "sigmoid",
    "postprocess.score_converter": "softmax",  # the study changed this and not the loss
    "model.background_class": True,  # ssd.proto: add_background_class
    "loss.localization": "smooth_l1",
    "loss.smooth_l1_delta": 1.0,
    "loss.mining_max_examples": 3000,
    "loss.mining_iou": 0.99,
    "loss.mining_by": "classification",
    "loss.negatives_per_positive": 3.0,
    "loss.min_negatives": 3,
    "loss.classification_weight": 1.0,
    "loss.localization_weight": 1.0,
    "loss.normalize_by_matches": True,
    "postprocess.score_threshold": 1e-8,
    "postprocess.nms_iou": 0.6,
    "postprocess.max_per_class": 100,
    "postprocess.max_detections": 100,
    "optimizer.name": "rmsprop",
    "optimizer.learning_rate": 0.004,
    "optimizer.schedule": "exponential",
    "optimizer.warmup_fraction": 0.0,
    "optimizer.decay_steps": 800_720,
    "optimizer.decay_factor": 0.95,
    "optimizer.staircase": True,  # optimizer.proto
    "optimizer.momentum": 0.9,
    "optimizer.rho": 0.9,
    "optimizer.epsilon": 1.0,
    "optimizer.clip_norm": 0.0,  # train.proto
    "optimizer.ema_momentum": 0.0,  # optimizer.proto keeps averages, eval.proto does not use them
    "training.epochs": 362,  # 200,000 steps of 16 images, 553 an epoch
    "augment.flip_probability": 0.5,
    "augment.crop_probability": 0.85,  # preprocessor.ssd_random_crop: random_coef 0.15
    "augment.crop_min_scale": 0.2236,  # the shorter side of area 0.1 at ratio 2 is sqrt(0.05)
    "augment.crop_min_area": 0.1,
    "augment.crop_overlap": "covered",
    "augment.jitter_probability": 0.0,
    "augment.photometric_strength": 0.0,
    "augment.color_strength": 0.0,
    "augment.noise_max_sigma": 0.0,
    "augment.patch_probability": 0.0,
    "augment.mosaic_probability": 0.0,
    "input.max_boxes": 100,
}


@pytest.fixture(scope="module")
def sample(shared_data):
    return (shared_data.parent / "ssd_mobilenet_v2_flir.config").read_text()


@pytest.fixture(scope="module")
def imported(sample):
    return od_api_config.read(sample, FLIR_TRAIN_IMAGES)


def settings(text, **arguments):
    return od_api_config.read(text, **arguments).settings


def verdict(text, field):
    """Finds the verdict on the field whose path ends so, and what it becomes."""
    rows = [row for row in od_api_config.read(text).report if row.field.endswith(field)]
    assert rows, field
    return rows[0].verdict, rows[0].becomes


def leaves(block, path=""):
    """Lists (line, path) of the fields of a block that hold no other field, without indices of repeated ones."""
    found = []
    for entry in block.entries:
        blocks = [value for value in entry.values if isinstance(value, od_api_text.Block) and value.entries]
        inner = [leaf for value in blocks for leaf in leaves(value, f"{path}{entry.name}.")]
        found += inner or [(entry.line, path + entry.name)]
    return found


def test_the_sample_becomes_these_settings_and_no_others(imported):
    assert dict(imported.settings) == SAMPLE


def test_the_experiment_has_what_the_sample_says_and_our_defaults_elsewhere(imported):
    flat = imported.experiment().flat()
    assert {path: flat[path] for path in SAMPLE} == SAMPLE
    assert flat["loss.label_smoothing"] == flat["optimizer.weight_decay"] == 0.0


def test_every_line_of_the_sample_with_a_value_is_in_the_report_once(sample, imported):
    """The sample has one field a line; empty blocks are fields, too."""
    lines = sample.split("\n")
    expected = [number for number, line in enumerate(lines, 1) if re.search(r":\s*[^{\s]", line)]
    expected += [
        number for number, line in enumerate(lines, 1) if line.rstrip().endswith("{") and lines[number].strip() == "}"
    ]
    reported = [row.line for row in imported.report if row.line is not None and row.value != "{...}"]
    assert reported == sorted(expected)


def test_every_field_of_the_sample_is_honoured_but_these(sample, imported):
    others = {row.field.rpartition(".")[2]: row.verdict for row in imported.report if row.verdict != "honoured"}
    # A checkpoint that is not there; the number of classes is the dataset's.
    assert others == {"fine_tune_checkpoint": "cannot", "num_classes": "ignored"}
    assert imported.count("honoured") == len([row for row in imported.report if row.line]) - 2


def test_steps_need_the_number_of_images(sample):
    assert verdict(sample, "num_steps") == (
        "cannot",
        "epochs need the number of images: --train_images=N, or set training.epochs to 3200000 / N",
    )
    assert "training.epochs" not in settings(sample)
    (row,) = [row for row in od_api_config.read(sample, 10).report if row.field.endswith("num_steps")]
    assert row.verdict == "cannot"  # 200,000 epochs of one step
    assert "`training.epochs` must lie in [1, 100000]" in row.becomes


def test_the_sample_has_the_anchors_of_the_api(imported):
    found = anchors.detector_anchors(imported.experiment())
    assert found.shape == (1917, 4)
    assert found[0, 2:] - found[0, :2] == pytest.approx([0.1, 0.1], abs=1e-6)  # not half of min_scale by chance
    assert found[1, 2] - found[1, 0] == pytest.approx(0.2 / 2**0.5, abs=1e-6)


def test_a_detector_is_built_from_the_sample(imported):
    config = imported.experiment().replace({"input.image_size": 64, "model.alpha": 0.35})
    detector = Detector(config, num_classes=3)
    assert detector.anchors.shape[0] == anchors.detector_anchors(config).shape[0] == 4 * 4 * 3 + (2 * 2 + 4) * 6
    assert detector.network.output["logits"].shape[-1] == 4  # background first


@pytest.mark.parametrize("make", [configs.ssd, configs.ssdlite, configs.fpnlite])
def test_each_style_of_the_api_is_read_whole(make):
    text = make()
    imported = od_api_config.read(text, train_images=118_287)
    rows = [(row.line, re.sub(r"\[\d+\]", "", row.field)) for row in imported.report if row.line is not None]
    assert sorted(leaves(od_api_text.parse(text))) == sorted(
        place
        for place, row in zip(rows, [row for row in imported.report if row.line], strict=True)
        if row.value != "{...}"
    )
    assert imported.count("cannot") == 0
    assert {row.verdict for row in imported.report if row.line is None} <= {"honoured"}
    imported.experiment()


def test_mobilenet_v1():
    found = settings(configs.ssd())
    assert (found["model.backbone"], found["model.head"], found["loss.min_negatives"]) == ("mobilenet_v1", "ssd", 0)
    assert found["anchors.aspect_ratios"] == (1.0, 2.0, 0.5)
    assert found["model.background_class"] is True


def test_ssdlite():
    found = settings(configs.ssdlite())
    assert (found["model.head"], found["model.alpha"], found["model.head_kernel_size"]) == ("ssdlite", 0.75, 3)


def test_fpnlite():
    imported = od_api_config.read(configs.fpnlite(), train_images=118_287)
    expected = {
        "model.head": "fpnlite",
        "model.first_stride": 8,  # 2^3
        "model.num_levels": 5,
        "model.head_depth": 128,
        "model.head_layers": 4,
        "model.class_bias": -4.6,
        "model.initializer": "random_normal",
        "model.background_class": False,  # encode_background_as_zeros: nothing to learn of it
        "anchors.kind": "multiscale",
        "anchors.size_in_cells": 4.0,
        "anchors.scales_per_octave": 2,
        "loss.classification": "focal",
        "loss.focal_alpha": 0.25,
        "loss.negatives_per_positive": 0.0,
        "loss.localization_weight": 0.25,  # normalize_loc_loss_by_codesize
        "optimizer.name": "momentum",
        "optimizer.schedule": "cosine",
        "optimizer.warmup_fraction": 0.02,
        "augment.crop_probability": 0.0,
        "training.epochs": 54,
    }
    assert {path: imported.settings[path] for path in expected} == pytest.approx(expected)
    # 320 px: maps of 40, 20, 10, 5 and 3, with 2 scales and 3 ratios.
    assert len(anchors.detector_anchors(imported.experiment())) == 6 * (40**2 + 20**2 + 10**2 + 5**2 + 3**2)


def test_the_protos_defaults_stand_for_what_an_empty_block_leaves_out():
    losses = "classification_loss { weighted_sigmoid {} } localization_loss { weighted_smooth_l1 {} }"
    text = configs.ssd(loss=f"{losses} hard_example_miner {{}}", matcher="argmax_matcher {}")
    found = settings(text)
    mining = ("mining_max_examples", "mining_iou", "mining_by", "negatives_per_positive", "min_negatives")
    assert [found[f"loss.{name}"] for name in mining] == [64, 0.7, "both", 0.0, 0]
    assert found["loss.force_match"] is False
    assert verdict(text, "hard_example_miner")[0] == "honoured"


def test_a_default_of_the_api_that_the_kit_cannot_follow_is_told():
    row = next(
        row
        for row in od_api_config.read(configs.ssd(post="logit_scale: 1.0")).report
        if row.field.endswith("score_converter")
    )
    assert (row.line, row.value, row.verdict) == (None, "IDENTITY", "cannot")
    bare = configs.HYPERPARAMS.replace("scale: true,", "")
    text = configs.ssd(extractor="type: 'ssd_mobilenet_v1'" + bare)
    row = next(
        row for row in od_api_config.read(text).report if row.field.endswith("batch_norm.scale") and row.line is None
    )
    assert ("feature_extractor" in row.field, row.verdict) == (True, "cannot")


def test_a_resizer_to_unequal_sides_gives_a_rectangular_input() -> None:
    found = settings(configs.ssd(resizer="fixed_shape_resizer { height: 300 width: 500 }"))
    assert (found["input.image_height"], found["input.image_width"]) == (300, 500)


def test_a_number_that_begins_with_zero_is_octal_as_protobuf_reads_it() -> None:
    found = settings(configs.ssd(resizer="fixed_shape_resizer { height: 0454 width: 0x12C }"))
    assert found["input.image_size"] == 300


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"resizer": "keep_aspect_ratio_resizer { }"}, "keep_aspect_ratio_resizer", "resizes all images to one size"),
        ({"more": "encode_background_as_zero: true"}, "as_zero", "Did you mean `encode_background_as_zeros`?"),
        ({"more": "wholly_unknown { a: 1 b { c: 2 } }"}, "unknown.b.c", "no such field"),
        ({"more": "explicit_background_class: true"}, "explicit_background_class", "hold no background"),
        ({"more": "add_background_class: 7"}, "add_background_class", "needs true or false"),
        ({"more": "negative_class_weight: 'x'"}, "negative_class_weight", "needs a finite number"),
        ({"more": "negative_class_weight { }"}, "negative_class_weight", "needs a finite number"),
        ({"more": "loss: 3"}, "ssd.loss", "needs a block in braces"),
        ({"post": "score_converter: SOFTMX"}, "score_converter", "Did you mean `SOFTMAX`?"),
        ({"post": "score_converter: SIGMOID batch_non_max_suppression { soft_nms_sigma: 0.5 }"}, "sigma", "is hard"),
        ({"extractor": "type: 'ssd_mobilenet_edgetpu'"}, "type", "no such backbone here"),
        ({"extractor": "type: 'ssd_mobilenet_v1' depth_multiplier: 5"}, "depth_multiplier", "must lie in"),
        ({"anchors": configs.SSD_ANCHORS[:-1] + "base_anchor_width: 0.5 }"}, "width", "the shorter side of the input"),
        ({"anchors": configs.SSD_ANCHORS[:-1] + "num_layers: 5 }"}, "num_layers", "`model.num_levels` is 6 by"),
        ({"matcher": "bipartite_matcher { }"}, "bipartite_matcher", "highest IoU"),
        ({"optimizer": configs.RMSPROP.replace("0.95", "0.95 burnin_steps: 9")}, "burnin_steps", "linear"),
        ({"train": "data_augmentation_options { random_rotation90 {} }"}, "rotation90", "no such augmentation"),
        ({"train": "freeze_variables: 'a' freeze_variables: 'b'"}, "freeze_variables", "model.frozen_blocks"),
        ({"rest": "graph_rewriter { quantization { delay: 48000 } }"}, "delay", "floating point"),
    ],
)
def test_what_the_kit_cannot_do_is_told(changes, field, expected):
    found, becomes = verdict(configs.ssd(**changes), field)
    assert found == "cannot"
    assert expected in becomes


@pytest.mark.parametrize(
    ("extractor", "change", "expected"),
    [
        ("ssd_mobilenet_v1", ("0.9997", "0.9997"), None),
        ("ssd_mobilenet_v2_keras", ("0.9997", "0.9997"), None),
        ("ssd_mobilenet_v2_keras", ("0.9997", "0.999"), "batch norm of its own, decay 0.9997 and epsilon 0.001;"),
        ("ssd_mobilenet_v1", ("0.00004", "0.004"), "an L2 weight of its own, 4e-05;"),
    ],
)
def test_a_backbone_that_is_not_overridden_keeps_the_apis_own(extractor, change, expected):
    field = "override_base_feature_extractor_hyperparams"
    text = configs.ssd(extractor=f"type: '{extractor}' {field}: false" + configs.HYPERPARAMS.replace(*change))
    found, becomes = verdict(text, field)
    assert found == ("honoured" if expected is None else "cannot")
    assert (expected or "the same batch norm and L2") in becomes


def test_different_hyperparameters_of_extractor_and_predictor():
    other = configs.HYPERPARAMS.replace("0.03", "0.01")
    text = configs.ssd(predictor="convolutional_box_predictor { use_dropout: false" + other + "}")
    assert settings(text)["model.initializer_stddev"] == 0.03
    rows = {row.field: row for row in od_api_config.read(text).report if row.field.endswith("stddev")}
    (extractor,) = [row for field, row in rows.items() if "feature_extractor" in field]
    (predictor,) = [row for field, row in rows.items() if "box_predictor" in field]
    assert (extractor.verdict, predictor.verdict) == ("honoured", "cannot")
    assert f"(line {extractor.line})" in predictor.becomes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"predictor": "convolutional_box_predictor { use_dropout: true dropout_keep_probability: 0.8 }"}, 0.2),
        ({"predictor": "convolutional_box_predictor { }"}, 0.2),  # box_predictor.proto: on, 0.8
        ({"predictor": "convolutional_box_predictor { use_dropout: false }"}, 0.0),
    ],
)
def test_dropout(changes, expected):
    assert settings(configs.ssd(**changes))["model.dropout_rate"] == expected


@pytest.mark.parametrize(
    ("loss", "converter", "more", "expected"),
    [
        ("weighted_sigmoid", "SIGMOID", "", True),
        ("weighted_sigmoid", "SIGMOID", "add_background_class: false", False),
        ("weighted_sigmoid", "SIGMOID", "encode_background_as_zeros: true", False),
        ("weighted_sigmoid", "SOFTMAX", "", True),
        ("weighted_softmax", "SOFTMAX", "", True),
    ],
)
def test_background(loss, converter, more, expected):
    losses = f"classification_loss {{ {loss} {{}} }} localization_loss {{ weighted_smooth_l1 {{}} }}"
    text = configs.ssd(loss=losses, post=f"score_converter: {converter}", more=more)
    imported = od_api_config.read(text, train_images=1000)
    assert imported.settings["model.background_class"] is expected
    assert imported.experiment().has_background is expected
    assert imported.count("cannot") == 0


def test_focal_loss_without_alpha_weighs_both_parts_alike():
    """Alpha 0.5 is half of the loss without alpha."""
    losses = "classification_loss { weighted_sigmoid_focal {} } localization_loss { weighted_giou {} }"
    found = settings(configs.ssd(loss=losses))
    assert (found["loss.focal_alpha"], found["loss.classification_weight"]) == (0.5, 2.0)
    assert found["loss.localization"] == "giou"


@pytest.mark.parametrize(
    ("optimizer", "rest", "expected"),
    [
        ("", "", 0.0),
        ("", "eval_config { use_moving_averages: true }", 0.9999),  # optimizer.proto
        ("moving_average_decay: 0.99", "eval_config { use_moving_averages: true }", 0.99),
        ("use_moving_average: false", "eval_config { use_moving_averages: true }", 0.0),
    ],
)
def test_moving_averages_count_where_the_evaluation_uses_them(optimizer, rest, expected):
    text = configs.ssd(optimizer=configs.RMSPROP + optimizer, rest=rest)
    assert settings(text)["optimizer.ema_momentum"] == expected


def test_a_field_set_twice_counts_once_and_both_lines_are_told():
    text = configs.ssd(train="batch_size: 8\nbatch_size: 16")
    rows = [row for row in od_api_config.read(text).report if row.field == "train_config.batch_size"]
    assert [row.verdict for row in rows] == ["ignored", "honoured"]
    assert rows[0].becomes == f"line {rows[1].line} sets it again"
    assert settings(text)["input.batch_size"] == 16


def test_of_two_alternatives_the_last_counts():
    text = configs.ssd(resizer="keep_aspect_ratio_resizer { min_dimension: 600 }\nfixed_shape_resizer { }")
    assert verdict(text, "min_dimension")[0] == "ignored"
    assert settings(text)["input.image_size"] == 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no `model { ssd { ... } }` in it"),
        ("item { id: 1 name: 'person' }", "no `model { ssd { ... } }` in it"),
        ("model { faster_rcnn { num_classes: 3 } }", "the kit's detectors are SSDs"),
        ("model {\n ssd {\n  num_classes 3", "line 3: expected `:` or `{` after `num_classes`, got `3`."),
    ],
)
def test_a_file_that_is_no_configuration(text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        od_api_config.read(text)


def test_scales_that_contradict_one_another():
    text = configs.ssd(anchors=configs.SSD_ANCHORS[:-1] + "min_scale: 0.9 max_scale: 0.5 }")
    with pytest.raises(UserError, match="`anchors.max_scale` must exceed `anchors.min_scale`"):
        od_api_config.read(text).experiment()


@pytest.mark.parametrize("odd", ["-1", "0", "1e30", "1000000000", "'x'", "{}", "[1, 2]", "RELU", "0.5", ""])
def test_an_odd_value_anywhere_is_told_and_breaks_nothing(odd):
    text = configs.ssdlite() + "train_config { data_augmentation_options { random_black_patches { probability: 1 } } }"
    for place in re.finditer(r":\s*([^\s{\[,]+)", text):
        changed = text[: place.start(1)] + odd + text[place.end(1) :]
        with contextlib.suppress(UserError):
            od_api_config.read(changed, train_images=100).experiment()


def test_a_detectors_checkpoint_that_is_there_becomes_the_weights(tmp_path) -> None:
    checkpoint = tmp_path / "model.ckpt"
    text = configs.ssd(train=f"fine_tune_checkpoint: '{checkpoint}' fine_tune_checkpoint_type: 'detection'")
    found, becomes = verdict(text, "fine_tune_checkpoint")
    assert (found, "no such file here; where it is, ssd-tuner import-weights CHECKPOINT" in becomes) == ("cannot", True)
    assert "model.weights" not in settings(text)
    (tmp_path / "model.ckpt.index").touch()
    command = f"ssd-tuner import-weights {checkpoint} --output=weights.npz"
    assert verdict(text, "fine_tune_checkpoint") == ("honoured", f"model.weights=weights.npz: after {command}")
    assert verdict(text, "fine_tune_checkpoint_type")[0] == "honoured"
    assert settings(text)["model.weights"] == "weights.npz"


@pytest.mark.parametrize(
    "kind", ["fine_tune_checkpoint_type: 'classification'", "from_detection_checkpoint: false", ""]
)
def test_a_classifiers_checkpoint_is_refused_as_the_api_takes_it(kind, tmp_path) -> None:
    """Without a type the API asks `from_detection_checkpoint`, which is false by default."""
    (tmp_path / "model.ckpt.index").touch()
    found, becomes = verdict(
        configs.ssd(train=f"fine_tune_checkpoint: '{tmp_path}/model.ckpt' {kind}"), "fine_tune_checkpoint"
    )
    assert (found, "model.backbone_weights=FILE" in becomes) == ("cannot", True)
