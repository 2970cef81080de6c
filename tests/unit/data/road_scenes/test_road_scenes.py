import collections
import dataclasses
import functools
import hashlib
import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data.road_scenes import scenes

# From `render_scene(0, "test", 0)` of version 1.0.0, NumPy 2.4, Pillow 12.3.
RECORDED = {
    "look": "visible",
    "labels": [1, 0, 0],
    "boxes": [
        [0.4349, 0.6396, 0.6276, 0.7792],
        [0.3307, 0.4583, 0.6302, 0.5688],
        [0.2604, 0.6542, 0.8151, 0.8458],
    ],
    "mean": 105.22,
}
HEIGHT, WIDTH = 128, 160
ROOT = pathlib.Path(scenes.__file__).parents[2]


@functools.cache
def sample(split: str = "train", count: int = 250, look: str = "both") -> list[scenes.Scene]:
    return [scenes.render_scene(0, split, index, look=look) for index in range(count)]


def sides_px(all_scenes: list[scenes.Scene]) -> np.ndarray:
    boxes = np.concatenate([scene.boxes for scene in all_scenes])
    return (boxes[:, 2:] - boxes[:, :2]) * (HEIGHT, WIDTH)  # [N, 2] height, width


def digest(scene: scenes.Scene) -> str:
    content = scenes.encode_jpeg(scene) + scene.image.tobytes() + scene.boxes.tobytes() + scene.labels.tobytes()
    return hashlib.sha256(content).hexdigest()


# ----------------------------------------------------------------------------------------- determinism


def test_same_arguments_give_the_same_bytes_in_another_process_without_tensorflow():
    code = (
        "import sys, tests.unit.data.road_scenes.test_road_scenes as t\n"
        "print(*[t.digest(t.scenes.render_scene(3, 'val', i)) for i in (5, 0, 2)])\n"
        "assert 'tensorflow' not in sys.modules"
    )
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [digest(scenes.render_scene(3, "val", index)) for index in (5, 0, 2)]


def test_numpys_global_state_is_neither_read_nor_changed():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = digest(scenes.render_scene(0, "train", 3))
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(2)
    assert digest(scenes.render_scene(0, "train", 3)) == first


def test_seeds_splits_and_indexes_all_change_the_scene():
    digests = {
        digest(scenes.render_scene(seed, split, index))
        for seed in (0, 1, 2)
        for split in ("train", "val", "test")
        for index in range(4)
    }
    assert len(digests) == 36


def test_no_scene_is_shared_between_splits():
    # The street's and the camera's measures are continuous draws: equal ones mean the same scene.
    layouts = [
        (plan.layout.street, plan.layout.camera)
        for split in ("train", "val", "test")
        for plan, _ in (scenes.plan_scene(0, split, index) for index in range(40))
    ]
    assert len(set(layouts)) == len(layouts)


def test_recorded_boxes_still_hold_for_this_version():
    # When this fails after a change on purpose: raise `VERSION`, else caches go stale.
    assert scenes.VERSION == "1.0.0"
    scene = scenes.render_scene(0, "test", 0)
    assert scene.look == RECORDED["look"]
    assert scene.labels.tolist() == RECORDED["labels"]
    np.testing.assert_allclose(scene.boxes, RECORDED["boxes"], atol=0.5 / HEIGHT)  # half a pixel
    np.testing.assert_allclose(scene.image.mean(), RECORDED["mean"], atol=0.5)  # half a grey level


# ----------------------------------------------------------------------------------------------- boxes


def test_boxes_are_inside_the_image_and_large_enough():
    for scene in sample():
        assert scene.image.shape == (HEIGHT, WIDTH, 3)
        assert scene.image.dtype == np.uint8
        assert scene.boxes.dtype == np.float32
        assert scene.boxes.shape == (len(scene.labels), 4)
        assert scene.labels.dtype == np.int32
        assert ((scene.labels >= 0) & (scene.labels < len(scenes.CLASS_NAMES))).all()
        assert ((scene.boxes >= 0) & (scene.boxes <= 1)).all()
        assert (scene.visible >= scenes.MIN_VISIBLE).all()
        assert (scene.visible <= 1).all()
    assert sides_px(sample()).min() >= 9 - 1e-4


def test_boxes_are_tight_around_what_is_painted():
    # Measured again from finished pixels: the picture with this object alone against the one with nothing.
    errors = []
    for index in range(45):
        plan, _ = scenes.plan_scene(0, "train", index, look="visible")
        empty = pixels(dataclasses.replace(plan, placed=()))
        for one in plan.placed:
            if one.label >= 0:
                changed = np.abs(pixels(dataclasses.replace(plan, placed=(one,))) - empty).max(axis=2) >= 1
                ys, xs = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
                box_px = np.array(one.box) * (HEIGHT, WIDTH, HEIGHT, WIDTH)
                errors.append(np.abs(box_px - (ys[0], xs[0], ys[-1] + 1, xs[-1] + 1)))
                inner = np.floor(box_px[:2]), np.ceil(box_px[2:])
                assert (inner[0] <= (ys[0], xs[0])).all()  # nothing painted outside the box
                assert (inner[1] >= (ys[-1] + 1, xs[-1] + 1)).all()
    errors = np.array(errors)
    assert len(errors) > 80
    # A border pixel is partly covered: up to 1 px is rounding; a foot as dark as the road hides more.
    assert np.mean(errors <= 1.0) > 0.97
    assert errors.max() <= 3.0


def test_every_box_has_something_to_see():
    for index in range(40):
        plan, _ = scenes.plan_scene(0, "train", index, look="visible")
        whole = pixels(plan)
        for one in plan.placed:
            if one.label >= 0:
                changed = np.abs(pixels(plan, omit=one) - whole).max(axis=2) >= 1
                assert changed.sum() >= 12, (index, one.thing)


def test_no_object_lacks_its_box_and_riders_come_with_bicycles():
    ridden = 0
    for index in range(120):
        plan, _ = scenes.plan_scene(0, "train", index)
        kinds = collections.Counter(thing.kind for thing in plan.layout.things)
        labels = collections.Counter(one.label for one in plan.placed)
        assert kinds["person"] + kinds["rider"] == labels[0]
        assert kinds["bicycle"] == labels[1]
        assert kinds["car"] == labels[2]
        bicycles = {thing.group for thing in plan.layout.things if thing.kind == "bicycle"}
        riders = {thing.group for thing in plan.layout.things if thing.kind == "rider"}
        assert riders <= bicycles
        ridden += len(riders)
    assert ridden > 10


def pixels(plan: scenes.Plan, omit: scenes.Placed | None = None) -> np.ndarray:
    return np.asarray(plan.compose(omit)).astype(np.int16)


# ------------------------------------------------------------------------------------------ statistics


def test_classes_looks_and_counts_are_balanced():
    labels = np.concatenate([scene.labels for scene in sample()])
    shares = np.bincount(labels, minlength=3) / len(labels)
    assert shares[0] == pytest.approx(0.40, abs=0.06)
    assert shares[1] == pytest.approx(0.25, abs=0.05)
    assert shares[2] == pytest.approx(0.35, abs=0.06)
    assert np.mean([scene.look == "thermal" for scene in sample()]) == pytest.approx(0.5, abs=0.08)
    counts = np.array([len(scene.labels) for scene in sample()])
    assert 0.02 < np.mean(counts == 0) < 0.12
    assert 2.0 < counts.mean() < 3.5
    assert counts.max() <= 10


def test_sizes_and_shapes_are_those_of_road_scenes():
    height, width = sides_px(sample()).T
    labels = np.concatenate([scene.labels for scene in sample()])
    side = np.sqrt(height * width)
    assert 22 < np.median(side) < 34
    assert np.percentile(side, 95) > 2.2 * np.percentile(side, 5)  # distance varies
    aspect = width / height
    assert np.mean(aspect[labels == 0] < 1) > 0.97
    assert 0.9 < np.median(aspect[labels == 1]) < 1.6
    assert np.percentile(aspect[labels == 2], 20) < 1.3  # from the front
    assert np.percentile(aspect[labels == 2], 90) > 1.8  # from the side


def test_nearer_objects_stand_lower_and_are_larger():
    correlations = []
    for index in range(160):
        plan, _ = scenes.plan_scene(0, "train", index)
        persons = [one for one in plan.placed if one.thing.kind == "person" and one.box[2] < 1]
        for first, second in zip(persons, persons[1:], strict=False):  # the farthest first
            correlations.append(second.box[2] >= first.box[2])
    assert len(correlations) > 12
    assert all(correlations)


def test_occlusion_and_truncation_really_occur():
    hidden, cut, total = 0, 0, 0
    for index in range(120):
        plan, _ = scenes.plan_scene(0, "train", index)
        for one in plan.placed:
            if one.label >= 0:
                at_border = min(one.box[:2]) <= 0 or max(one.box[2:]) >= 1
                cut += at_border
                hidden += not at_border and one.visible < 0.85
                total += 1
    assert 0.10 < cut / total < 0.40
    assert 0.10 < hidden / total < 0.45


# ----------------------------------------------------------------------------------------------- looks


def test_both_looks_show_the_same_scene():
    for index in range(30):
        thermal = scenes.render_scene(0, "val", index, look="thermal")
        visible = scenes.render_scene(0, "val", index, look="visible")
        either = scenes.render_scene(0, "val", index)
        np.testing.assert_array_equal(thermal.boxes, visible.boxes)
        np.testing.assert_array_equal(thermal.labels, visible.labels)
        assert (thermal.look, visible.look) == ("thermal", "visible")
        assert digest(either) == digest(thermal if either.look == "thermal" else visible)


def test_thermal_is_grey_with_warm_persons_and_visible_is_coloured():
    contrast = []
    for scene in sample(count=40, look="thermal"):
        assert (scene.image == scene.image[:, :, :1]).all()
        for box in scene.boxes[(scene.labels == 0) & (scene.visible > 0.9)]:
            top, left, bottom, right = (box * (HEIGHT, WIDTH, HEIGHT, WIDTH)).round().astype(int)
            contrast.append(np.percentile(scene.image[top:bottom, left:right], 80) - np.median(scene.image))
    assert len(contrast) > 15
    assert np.mean(np.array(contrast) > 20) > 0.95
    colourful = [np.ptp(scene.image.astype(int), axis=2).mean() for scene in sample(count=40, look="visible")]
    assert min(colourful) > 4


def test_brightness_contrast_and_noise_vary_between_scenes():
    for look in ("thermal", "visible"):
        means = [scene.image.mean() for scene in sample(count=40, look=look)]
        assert np.std(means) > 12
        assert 40 < np.mean(means) < 170
        grain = [np.abs(np.diff(scene.image[:20].astype(int), axis=1)).mean() for scene in sample(count=40, look=look)]
        assert np.percentile(grain, 90) > 1.5 * np.percentile(grain, 10)


# -------------------------------------------------------------------------------------- size, encoding


def test_other_image_sizes_keep_the_rules():
    for height, width in ((300, 300), (96, 128), (64, 65)):
        boxes = []
        for index in range(8):
            scene = scenes.render_scene(0, "train", index, image_size=(height, width))
            assert scene.image.shape == (height, width, 3)
            boxes.append(scene.boxes)
        sides = np.concatenate(boxes)
        sides = (sides[:, 2:] - sides[:, :2]) * (height, width)
        assert len(sides)
        assert sides.min() >= 9 / 128 * height - 1e-3


def test_jpeg_holds_the_image():
    scene = sample()[0]
    encoded = scenes.encode_jpeg(scene)
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (WIDTH, HEIGHT), "RGB")
        error = np.asarray(image).astype(int) - scene.image
    assert np.abs(error).mean() < 3.5  # grey levels; quality 95 of noisy pixels
    assert len(encoded) < 30_000


def test_source_ids_are_unique_and_name_the_scene():
    names = {scene.source_id for split in ("train", "val", "test") for scene in sample(split, 5)}
    assert len(names) == 15
    assert scenes.render_scene(4, "test", 12).source_id == "s4_test_000012"


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((0, "validation", 0), {}, "train, val, test"),
        ((0, "train", 0), {"look": "radar"}, "'radar'"),
        ((-1, "train", 0), {}, "-1"),
        ((0, "train", -2), {}, "-2"),
        ((0, "train", 0), {"image_size": (16, 160)}, "(16, 160)"),
    ],
)
def test_arguments_outside_their_range_are_named(arguments, options, told):
    with pytest.raises(ValueError) as error:
        scenes.render_scene(*arguments, **options)
    assert told in str(error.value)
