"""The plan: each rule on fingerprints made by hand, precedence, and what a run keeps."""

import dataclasses
import json

import numpy as np
import pytest

from data import sources
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.network import anchors, pretrained
from tests import coco_folder
from tuner_fn import presets
from tuner_fn.plan import anchor_fit, fingerprint, plan, rules

MACHINE = fingerprint.Machine(cores=2, memory_bytes=8_000_000_000, has_gpu=False)
CPU = presets.experiment(presets.get_preset("cpu"), {}, seed=0)


def about(sides=(0.3,), train: int = 320, classes=("car",), at: float = 0.5, **changes) -> fingerprint.Fingerprint:
    """Makes a dataset of square objects of these sides (fractions), each at one place of an image of its own."""
    sides = np.asarray(sides, np.float32)
    boxes = np.stack([at - sides / 2, at - sides / 2, at + sides / 2, at + sides / 2], axis=1)
    fields = {
        "class_names": tuple(classes),
        "num_images": {"train": train, "val": 40, "test": 40},
        "boxes": boxes,
        "labels": np.zeros(len(sides), np.int32),
        "objects_per_image": np.ones(len(sides), np.int64),
        "image_sizes_px": np.full((len(sides), 2), 300, np.int32),
        "is_grey": False,
        "machine": MACHINE,
    }
    return fingerprint.Fingerprint(**fields | changes)


def test_anchors_of_a_rectangular_input_are_fitted_in_its_pixels() -> None:
    """On an input of 4:1, what is an eighth wide and half as high as the image is a square, a quarter twice as wide."""
    widths = np.tile([0.125, 0.25], 25)
    boxes = np.array([[0.25, 0.5 - width / 2, 0.75, 0.5 + width / 2] for width in widths], np.float32)
    config = CPU.replace({"input.image_height": 128, "input.image_width": 512, "anchors.aspect_ratios": (5.0, 6.0)})
    fitted = config.replace(plan.make(about(widths, boxes=boxes), config).settings)
    assert fitted.anchors.aspect_ratios == (1.0, 2.0)
    ious = anchor_fit.best_ious(boxes, anchors.detector_grid(fitted), anchors.anchor_config(fitted))
    assert anchor_fit.recall(ious) == 1.0


@pytest.mark.parametrize(
    ("train", "batch", "momentum"),
    [
        (320, 8, 0.96),  # 40 steps: 0.01 ** (1 / 120) = 0.9624
        (128, 8, 0.9),  # 16 steps: 0.01 ** (1 / 48) = 0.9085
        (8, 8, 0.8),  # one step: the least
        (100_000, 16, 0.99),  # 6,250 steps: the most
    ],
)
def test_moving_averages_forget_their_start_within_three_epochs(train, batch, momentum) -> None:
    (choice,) = rules.batch_norm_momentum(about(train=train), CPU.replace({"input.batch_size": batch}))
    assert choice.value == momentum
    assert momentum in (0.8, 0.99) or momentum ** (3 * (train // batch)) <= 0.011


@pytest.mark.parametrize(
    ("train", "epochs", "batch"),
    [
        (130, 30, 4),  # 480 steps with 8, 960 with 4: the least batch
        (640, 30, 8),  # exactly 2,400 steps
        (639, 30, 4),
        (10_000, 30, 8),
        (8, 1, 4),
    ],
)
def test_the_batch_is_halved_until_there_are_steps_enough(train, epochs, batch) -> None:
    config = CPU.replace({"training.epochs": epochs})
    (choice,) = rules.batch_size(about(train=train), config)
    assert choice.value == batch
    assert (
        plan.make(about(train=train), config, fixed=["input.batch_size"])
        .settings.keys()
        .isdisjoint({"input.batch_size"})
    )


def test_the_momentum_is_that_of_the_batch_chosen_before() -> None:
    settings = plan.make(about(train=128), CPU).settings
    assert (settings["input.batch_size"], settings["model.batch_norm_momentum"]) == (4, 0.95)  # 32 steps an epoch


def test_anchors_are_fitted_to_objects_that_the_configured_ones_miss() -> None:
    large = about(np.linspace(0.7, 0.95, 50))
    chosen = plan.make(large, CPU).settings
    fitted = CPU.replace(chosen)
    sizes = anchors.make_grid((320, 320), fitted.model.first_stride, fitted.model.num_levels)
    before, after = (
        anchor_fit.recall(anchor_fit.best_ious(large.boxes, sizes, config.anchors)) for config in (CPU, fitted)
    )
    assert before < 0.5
    assert after == 1.0


@pytest.mark.parametrize(("alpha", "planned"), [(0.35, 0.75), (0.75, 0.75), (1.0, 1.0)])
def test_a_network_from_scratch_is_wide(alpha, planned) -> None:
    config = CPU.replace({"model.alpha": alpha})
    assert config.replace(plan.make(about([0.3]), config).settings).model.alpha == planned
    assert "model.alpha" not in plan.make(about([0.3]), config, fixed=["model.alpha"]).settings


@pytest.mark.parametrize(
    ("train", "epochs"),
    [
        (130, 75),  # 2,400 steps of 4 images, 32 an epoch: two images are left over
        (320, 30),
        (10, 120),  # four times as many as asked for at most
    ],
)
def test_a_small_dataset_is_trained_for_more_epochs(train, epochs) -> None:
    planned = CPU.replace(plan.make(about([0.3], train=train), CPU).settings)
    assert planned.training.epochs == epochs
    assert "training.epochs" not in plan.make(about([0.3], train=train), CPU, fixed=["training.epochs"]).settings


@pytest.mark.parametrize(("usual", "planned"), [(0.5, 0.4), (0.4, 0.4), (0.35, 0.35)])
def test_anchors_are_matched_from_a_lower_iou_on(usual, planned) -> None:
    config = CPU.replace({"loss.matched_iou": usual})
    assert config.replace(plan.make(about([0.3]), config).settings).loss.matched_iou == planned
    assert "loss.matched_iou" not in plan.make(about([0.3]), config, fixed=["loss.matched_iou"]).settings


def test_the_reason_counts_the_objects_that_have_an_anchor_with_either_iou() -> None:
    """Squares in an anchor of side 1/2 have IoUs of 0.9, 0.55, 0.45 and 0.3 with it, and less with larger ones."""
    shapes = {"scales": (0.5, 0.9, 0.95, 0.99), "aspect_ratios": (1.0,), "interpolated_aspect_ratio": 0.0}
    own = {f"anchors.{name}": value for name, value in shapes.items()} | {"anchors.reduce_lowest_level": False}
    config = CPU.replace({"input.image_size": 128, "model.first_stride": 16, "model.num_levels": 4} | own)
    (choice,) = rules.matched_iou(about(0.5 * np.sqrt([0.9, 0.55, 0.45, 0.3]), at=9 / 16), config)
    assert choice.reason.endswith("75% of the objects have an anchor with this IoU, 50% with 0.5")


def test_objects_that_no_anchor_of_the_input_can_cover_are_named() -> None:
    """Boxes of 2 px in images of 4,000: another IoU of a match would help none, tiles or a larger input would."""
    made = plan.make(about([0.0005] * 20), CPU)
    assert "loss.matched_iou" not in made.settings
    (note,) = made.notes
    assert note.startswith("100% of the objects are too small for an input of 320x320 px, where the median of their")
    assert "is 0.16 px: no anchor has an IoU of 0.5 with them. Cut the images into tiles (--set=input.tile=" in note
    assert note in made.markdown()
    assert plan.Plan.from_dict(made.to_dict()).notes == made.notes
    assert plan.make(about([0.3] * 99 + [0.0005]), CPU).notes == ()


@pytest.mark.parametrize(("gib", "size", "asked", "planned"), [(8, 1280, 32, 2), (24, 1280, 32, 4), (24, 640, 32, 16)])
def test_the_batch_is_halved_until_training_fits_into_the_memory(gib, size, asked, planned) -> None:
    config = CPU.replace({"input.image_size": size, "input.batch_size": asked})
    machine = fingerprint.Machine(cores=2, memory_bytes=gib * 2**30, has_gpu=False)
    made = plan.make(about(train=10_000, machine=machine), config)
    assert (made.settings["input.batch_size"], made.notes) == (planned, ())
    (reason,) = (choice.reason for choice in made.choices if choice.setting == "input.batch_size")
    assert reason.startswith(f"training with batches of 32 and images of {size}x{size} px takes about ")
    assert reason.endswith(f"the machine has {gib * 2**30 / 1e9:.1f} GB")
    (note,) = plan.make(about(train=10_000, machine=machine), config, fixed=["input.batch_size"]).notes
    assert "Give a smaller --set=input.batch_size=... or --set=input.image_size=..." in note
    for unknown in ({"has_gpu": True}, {"memory_bytes": 0}):
        data = about(train=10_000, machine=dataclasses.replace(machine, **unknown))
        assert "input.batch_size" not in plan.make(data, config).settings


@pytest.mark.parametrize("preset", ["quick", "cpu", "standard"])
def test_a_laptop_of_8_gib_has_the_batches_of_every_preset(preset) -> None:
    config = presets.experiment(presets.get_preset(preset), {}, seed=0)
    machine = fingerprint.Machine(cores=2, memory_bytes=8 * 2**30, has_gpu=False)
    (choice,) = rules.batch_that_fits(about(machine=machine), config.replace({"model.alpha": 1.0}))
    assert choice.value == config.input.batch_size


def test_an_input_that_the_memory_cannot_hold_at_all_is_named() -> None:
    machine = fingerprint.Machine(cores=2, memory_bytes=4 * 2**30, has_gpu=False)
    made = plan.make(about(machine=machine), CPU.replace({"input.image_size": 1280}))
    assert made.settings["input.batch_size"] == 1
    assert made.notes[0].endswith("more than 0.8 of the machine's 4.3 GB. Give a smaller --set=input.image_size=...")


def test_a_memory_that_cannot_hold_the_process_leaves_the_batch_and_asks_for_another_machine() -> None:
    machine = fingerprint.Machine(cores=2, memory_bytes=1_800_000_000, has_gpu=False)
    made = plan.make(about(train=10_000, machine=machine), CPU)
    assert "input.batch_size" not in made.settings
    assert made.notes == (
        "Training takes at least 1.5 GB of memory, more than 0.8 of the machine's 1.8 GB. Train on a machine with more"
        " memory.",
    )


@pytest.mark.parametrize(
    ("own", "flags"),
    [
        ({}, "--set=input.image_size=..."),
        (dict.fromkeys(("height", "width"), 1280), "--set=input.image_height=... and --set=input.image_width=..."),
        ({"height": 1280}, "--set=input.image_height=... and --set=input.image_size=..."),
    ],
)
def test_notes_name_the_settings_that_the_inputs_size_follows(own, flags) -> None:
    machine = fingerprint.Machine(cores=2, memory_bytes=2 * 2**30, has_gpu=False)
    config = CPU.replace({f"input.image_{side}": px for side, px in own.items()})
    memory, objects = plan.make(about([0.0005] * 20, machine=machine), config.replace({"input.image_size": 1280})).notes
    assert memory.endswith(f" Give a smaller {flags}")
    assert objects.endswith(f" Cut the images into tiles (--set=input.tile=2x2:0.2) or give a larger {flags}")


def test_more_tiles_are_asked_for_where_images_are_tiles_already() -> None:
    (note,) = plan.make(about([0.0005] * 20), CPU.replace({"input.tile": "2x2:0.2"})).notes
    assert "Cut the images into more tiles (--set=input.tile=...) or give a larger --set=input.image_size=..." in note


def test_anchors_that_cover_everything_stay() -> None:
    choices = plan.make(about([0.3]), CPU).choices
    assert not [choice for choice in choices if choice.setting.startswith("anchors.scales")]


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_steps_are_those_of_the_images_that_are_used(share) -> None:
    """As in training: a share is rounded down, and what does not fill a batch is left out."""
    config = CPU.replace({"training.data_share": share, "training.epochs": 100, "model.backbone_weights": "none"})
    made = plan.make(about([0.3], train=int(131 / share)), config)
    settings, reasons = made.settings, {choice.setting: choice.reason for choice in made.choices}
    images = int(int(131 / share) * share)
    assert (settings["input.batch_size"], "training.epochs" in settings) == (4, False)  # 32 steps, 3,200 in all
    assert reasons["input.batch_size"] == (
        f"100 epochs of {images} images are 1,600 steps with batches of 8, 3,200 with these"
    )
    assert reasons["model.batch_norm_momentum"].startswith("an epoch has 32 steps")


def test_all_ratios_on_the_finest_level_alone_may_cover_what_the_configured_anchors_miss() -> None:
    small = about([0.12] * 50)
    settings = plan.make(small, CPU).settings
    fitted = CPU.replace(settings)
    before, after = (
        anchor_fit.recall(anchor_fit.best_ious(small.boxes, anchors.detector_grid(CPU), config.anchors))
        for config in (CPU, fitted)
    )
    assert (before, after) == (0.0, 1.0)
    assert {path for path in settings if path.startswith("anchors.")} == {"anchors.reduce_lowest_level"}


@pytest.mark.parametrize("path", ["loss.unmatched_iou", "loss.negatives_below_unmatched"])
def test_a_band_of_ignored_anchors_that_the_user_made_stays(path) -> None:
    config = CPU.replace({"loss.unmatched_iou": 0.4})
    assert plan.make(about([0.3]), config).settings["loss.matched_iou"] == 0.4
    assert "loss.matched_iou" not in plan.make(about([0.3]), config, fixed=[path]).settings


@pytest.mark.parametrize(("kernel", "head"), [(1, "ssd"), (3, "ssdlite"), (5, "ssdlite")])
def test_a_head_that_would_ignore_the_users_kernel_is_not_chosen(kernel, head) -> None:
    config = CPU.replace({"model.head_kernel_size": kernel})
    planned = config.replace(plan.make(about([0.3]), config, fixed=["model.head_kernel_size"]).settings)
    assert planned.model.head == head


@pytest.mark.parametrize("fixed", ["anchors.scales", "anchors.min_scale", "anchors.aspect_ratios"])
def test_a_rule_leaves_what_the_user_fixed(fixed) -> None:
    settings = plan.make(about(np.linspace(0.7, 0.95, 50)), CPU, fixed=[fixed]).settings
    assert not [path for path in settings if path.startswith("anchors.")]
    assert "model.head" in settings


@pytest.mark.parametrize("searched", ["anchors.min_scale", "model.num_levels"])
def test_a_rule_leaves_what_is_searched_its_effect(searched) -> None:
    settings = plan.make(about(np.linspace(0.7, 0.95, 50)), CPU, searched=[searched]).settings
    assert not [path for path in settings if path.startswith("anchors.")]


def test_later_rules_see_what_is_set() -> None:
    """There is a scale for each of the levels that the user wants."""
    boxes = about(np.linspace(0.02, 0.03, 50), at=19.5 / 40)  # the centre of a cell
    config = CPU.replace({"model.num_levels": 4})
    assert len(plan.make(boxes, config).settings["anchors.scales"]) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"sides": (0.5,), "train": 1},
        {"sides": (0.999,) * 20},
        {"sides": (0.0005,) * 20, "image_sizes_px": np.full((20, 2), 4000, np.int32)},
        {"sides": (0.2,) * 100},
        {"sides": (0.2, 0.4), "classes": tuple(f"class {number}" for number in range(1000))},
        {"sides": (0.3,) * 5, "objects_per_image": np.array([1] * 5 + [0] * 95)},
    ],
    ids=["one image", "fills the image", "two pixels of 4,000", "all equal", "1,000 classes", "95 % negatives"],
)
@pytest.mark.parametrize("preset", list(presets.PRESETS))
def test_any_dataset_gets_a_plan_that_is_a_configuration(changes, preset) -> None:
    config = presets.experiment(presets.get_preset(preset), {}, seed=0)
    found = plan.make(about(**changes), config)
    planned = config.replace(found.settings)
    assert len(anchors.detector_anchors(planned))
    assert all(choice.reason for choice in found.choices)
    assert len(found.rows()) == len(found.choices)


def test_equal_data_gives_an_equal_plan_and_json_holds_it() -> None:
    data = about(np.linspace(0.05, 0.5, 80))
    found = plan.make(data, CPU)
    assert found == plan.make(data, CPU)
    restored = plan.Plan.from_dict(json.loads(json.dumps(found.to_dict())))
    assert CPU.replace(restored.settings) == CPU.replace(found.settings)


def test_a_run_keeps_its_plan_until_something_else_is_asked(tmp_path) -> None:
    found = plan.make(about([0.3]), CPU)
    assert plan.kept(tmp_path, "one") is None
    plan.write(tmp_path, found, "one")
    assert plan.kept(tmp_path, "one").settings == json.loads(json.dumps(found.settings))
    assert plan.kept(tmp_path, "other") is None
    plan.write(tmp_path, plan.make(about([0.9]), CPU), "other")
    for key in ("one", "one"):  # it is kept beside that of another command, and written again
        assert plan.kept(tmp_path, key).settings == json.loads(json.dumps(found.settings))
        plan.write(tmp_path, plan.kept(tmp_path, key), key)
    assert plan.kept(tmp_path, "other").settings["anchors.scales"]
    text = (tmp_path / plan.TEXT_FILE).read_text()
    assert all(choice.setting in text and choice.reason in text for choice in found.choices)


def test_the_fingerprint_counts_what_scenes_hold() -> None:
    source = sources.open_source("road_scenes:train=12,val=3,test=2,look=thermal,size=96x128")
    found = fingerprint.take(source, MACHINE)
    assert found.num_images == {"train": 12, "val": 3, "test": 2}
    assert found.is_grey
    assert (found.image_sizes_px == (96, 128)).all()
    records = [source.load(item) for item in source.items("train")]
    assert found.objects_per_image.tolist() == [int((~record.is_crowd).sum()) for record in records]
    assert found.summary()["objects_by_class"].keys() == {"person", "bicycle", "car"}
    assert not fingerprint.take(sources.open_source("road_scenes:train=4,val=3,test=2"), MACHINE).is_grey


def test_a_dataset_without_objects_is_one_line() -> None:
    source = sources.open_source("road_scenes:train=4,val=3,test=2,size=96x128", sources.DataOptions(min_box_px=4000))
    with pytest.raises(UserError, match="none of 4 sampled train images has an object of .* with `--plan=off`"):
        fingerprint.take(source, MACHINE)


@pytest.mark.parametrize("place", [5, 7, 39])
def test_rare_objects_are_looked_for_between_the_sampled_images(monkeypatch, tmp_path, place) -> None:
    table = coco_folder.table(40, [coco_folder.annotation(place)])
    source = sources.open_source(f"coco:{coco_folder.write(tmp_path / 'set', train=table, val=coco_folder.table(2))}")
    monkeypatch.setattr(fingerprint, "MOST_IMAGES", 4)
    found = fingerprint.take(source, MACHINE)
    assert (len(found.boxes), found.objects_per_image.sum()) == (1, 1)
    assert 4 < len(found.image_sizes_px) == len(found.objects_per_image) <= 40
    monkeypatch.setattr(fingerprint, "_MOST_PIXELS_SEARCHED", 0)
    with pytest.raises(UserError, match="none of 4 sampled train images"):
        fingerprint.take(source, MACHINE)


def test_the_sample_is_bounded(monkeypatch) -> None:
    source = sources.open_source("road_scenes:train=40,val=3,test=2,size=96x128")
    monkeypatch.setattr(fingerprint, "MOST_IMAGES", 20)
    assert len(fingerprint.take(source, MACHINE).image_sizes_px) == 20
    monkeypatch.setattr(fingerprint, "MOST_PIXELS", 96 * 128 * 10)
    assert len(fingerprint.take(source, MACHINE).image_sizes_px) == 10


def test_the_sample_of_tiled_images_has_all_their_tiles(monkeypatch, tmp_path) -> None:
    """The upper tile of each image is sky: its objects are in the lower one."""
    low = [coco_folder.annotation(number, [4, 30, 20, 10]) for number in range(8)]
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(8, low), val=coco_folder.table(2))
    source = sources.open_source(f"coco:{root}", sources.DataOptions(tile="2x1"))
    monkeypatch.setattr(fingerprint, "MOST_IMAGES", 8)
    found = fingerprint.take(source, MACHINE)
    assert found.objects_per_image.tolist() == [0, 1] * 4


def test_the_network_is_the_one_that_the_weights_are_of(tmp_path) -> None:
    """Only the weights are named: width, batch norm and rate follow."""
    import keras

    path = tmp_path / "some.weights.h5"
    keras.applications.MobileNetV2(input_shape=(64, 64, 3), alpha=0.5, include_top=False, weights=None).save_weights(
        path
    )
    config = CPU.replace({"model.backbone_weights": str(path)})
    settings = plan.make(about([0.3]), config).settings
    assert settings["model.alpha"] == 0.5
    assert settings["model.freeze_batch_norm"] is True
    assert "training.epochs" not in plan.make(about([0.3], train=50), config).settings
    assert settings["optimizer.learning_rate"] < CPU.optimizer.learning_rate
    fixed = plan.make(about([0.3]), config, fixed=["model.alpha", "optimizer.learning_rate"]).settings
    assert fixed.keys().isdisjoint({"model.alpha", "optimizer.learning_rate"})
    assert "model.freeze_batch_norm" not in plan.make(about([0.3]), CPU).settings


def test_the_network_is_the_one_that_a_trained_detector_has(tmp_path) -> None:
    """All of its box predictor can be taken over: its head, its levels, and as many anchors a cell."""
    settings = {"model.backbone": "mobilenet_v1", "model.alpha": 0.5, "model.head": "ssd", "model.first_stride": 16}
    trained = pretrained.Weights("ssd.tflite", settings, None, 1e-3, {"conv1/kernel": np.zeros(3)})
    pretrained.write(tmp_path / "w.npz", trained)
    config = CPU.replace({"model.weights": str(tmp_path / "w.npz")})
    planned = config.replace(plan.make(about(np.linspace(0.7, 0.95, 50)), config).settings)
    assert {path: planned.flat()[path] for path in settings} == settings
    assert planned.anchors.reduce_lowest_level == config.anchors.reduce_lowest_level


TRAINED = {
    **{"model.backbone": "mobilenet_v1", "model.alpha": 0.5, "model.head": "ssd", "model.first_stride": 16},
    **{"model.num_levels": 6, "model.extra_depths": (512, 256), "anchors.reduce_lowest_level": False},
    "anchors.aspect_ratios": (1.0, 2.0, 0.5),
}


@pytest.fixture
def trained(tmp_path) -> ExperimentConfig:
    """Names the weights of a trained detector of `TRAINED`, and nothing else of it."""
    weights = pretrained.Weights("ssd.tflite", TRAINED, None, 1e-3, {"conv1/kernel": np.zeros(3)})
    pretrained.write(tmp_path / "w.npz", weights)
    return CPU.replace({"model.weights": str(tmp_path / "w.npz")})


@pytest.mark.parametrize(
    "own", [{"model.num_levels": 4}, {"model.alpha": 0.5}, {"anchors.reduce_lowest_level": True}], ids=str
)
def test_with_a_trained_detector_the_users_own_setting_stays_and_all_others_come(own, trained) -> None:
    config = trained.replace(own)
    settings = plan.make(about([0.3]), config, fixed=list(own)).settings
    assert own.keys().isdisjoint(settings)
    planned = config.replace(settings).flat()  # scales of as many levels as there are
    assert {path: planned[path] for path in TRAINED} == TRAINED | own


def test_a_trained_predictor_keeps_as_many_anchors_and_what_each_was_trained_for(trained) -> None:
    """Tall objects of 1:5 are many; squares stay with the output of squares."""
    tall, square = ([0.5 - h / 2, 0.5 - w / 2, 0.5 + h / 2, 0.5 + w / 2] for h, w in ((0.9, 0.18), (0.3, 0.3)))
    data = about([0.3] * 60, boxes=np.array([tall] * 40 + [square] * 20, np.float32))
    made = plan.make(data, trained)
    planned = trained.replace(made.settings)
    assert not planned.anchors.reduce_lowest_level
    assert planned.anchors.aspect_ratios == (1.0, 2.0, 0.2)
    settings = [choice.setting for choice in made.choices]
    assert len(settings) == len(set(settings))


def test_a_class_name_is_no_markup_in_the_plans_text() -> None:
    found = plan.make(about(classes=("<script>alert(1)</script>",)), CPU)
    assert "<script>" not in found.markdown()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in found.markdown()
