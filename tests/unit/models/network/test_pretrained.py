"""Weights files, and what networks of other shapes and classes take of them."""

import numpy as np
import pytest

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.network import pretrained

SETTINGS = {"model.backbone": "mobilenet_v2", "model.alpha": 0.35, "model.head": "ssd", "model.first_stride": 16}
CONFIG = ExperimentConfig().replace({"model.alpha": 0.35})


def draw(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Draws a weight each."""
    random = np.random.default_rng(seed)
    return {name: random.uniform(1.0, 2.0, shape).astype(np.float32) for name, shape in shapes.items()}


def predictor(level: int, anchors: int, outputs: int, channels: int = 8) -> dict[str, tuple[int, ...]]:
    """Lists the shapes of a level's box predictor."""
    return {
        f"head_{level}_{kind}/{name}": (*shape, anchors * count)
        for kind, count in (("box", 4), ("class", outputs))
        for name, shape in (("kernel", (1, 1, channels)), ("bias", ()))
    }


def trained(**changes) -> pretrained.Weights:
    """Makes a network of two classes, with background, three anchors on the first level and six on the second."""
    shapes = {"Conv1/kernel": (3, 3, 3, 4), "bn_Conv1/gamma": (4,), "bn_Conv1/moving_variance": (4,)}
    shapes |= {"extra_1_expand/kernel": (3, 3, 4, 8), **predictor(0, 3, 3), **predictor(1, 6, 3)}
    values = {"source": "ssd.tflite", "settings": SETTINGS, "class_names": ("Person", "Car"), "epsilon": 1e-3}
    return pretrained.Weights(**values | {"weights": draw(shapes), **changes})


def test_a_file_gives_back_what_was_written(tmp_path) -> None:
    path = tmp_path / "new" / "weights.npz"
    pretrained.write(path, trained())
    found = pretrained.read(path)
    assert (found.source, found.settings, found.class_names) == ("ssd.tflite", SETTINGS, ("Person", "Car"))
    for name, array in trained().weights.items():
        np.testing.assert_array_equal(found.weights[name], array)
    pretrained.write(path, trained(class_names=None))
    assert pretrained.read(path).class_names is None


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_another_file_is_named(tmp_path, content) -> None:
    path = tmp_path / "weights.npz"
    if content is None:
        np.savez(path, kernel=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"`model.weights`: .*weights.npz is not a weights file .* import-weights"):
        pretrained.check(CONFIG.replace({"model.weights": str(path)}))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"`model.weights`: no file absent.npz"):
        pretrained.check(CONFIG.replace({"model.weights": "absent.npz"}))
    assert pretrained.check(CONFIG) is None


def test_a_file_of_another_network_names_both(tmp_path) -> None:
    pretrained.write(tmp_path / "w.npz", trained())
    config = ExperimentConfig().replace(
        {"model.weights": str(tmp_path / "w.npz"), "model.backbone": "mobilenet_v1", "model.alpha": 0.5}
    )
    message = r"is of mobilenet_v2 with alpha 0.35 \(ssd.tflite\), this network is of mobilenet_v1 with alpha 0.5"
    with pytest.raises(UserError, match=message):
        pretrained.check(config)


def test_two_sources_of_a_backbone_are_a_mistake() -> None:
    with pytest.raises(UserError, match="`model.weights` and `model.backbone_weights` both name"):
        ExperimentConfig().replace({"model.weights": "a.npz", "model.backbone_weights": "imagenet"})


def test_the_same_network_takes_all() -> None:
    donor = trained()
    own = draw({name: array.shape for name, array in donor.weights.items()}, seed=1)
    config = CONFIG.replace({"model.background_class": True})
    found = pretrained.fit(own, donor, config, ["Person", "Car"])
    assert set(found.taken) == set(own)
    for name, array in donor.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)
    assert found.summary() == (
        "backbone 3 of 3 tensors, extra levels 1 of 1 tensors, box predictor 8 of 8 tensors; classes known: Person, Car"
    )


def test_classes_come_by_name_and_new_ones_stay_as_drawn() -> None:
    """Without background, in another order and case, and one more."""
    donor = trained()
    own = draw({**predictor(0, 3, 3), **predictor(1, 6, 3)}, seed=1)
    found = pretrained.fit(own, donor, CONFIG, ["car", "bicycle", "PERSON"])
    for level, anchors in ((0, 3), (1, 6)):
        for name in ("kernel", "bias"):
            path = f"head_{level}_class/{name}"
            new, theirs, drawn = (
                weights[path].reshape(-1, anchors, 3) for weights in (found.weights, donor.weights, own)
            )
            np.testing.assert_array_equal(new[..., 0], theirs[..., 2])  # car, behind background and person
            np.testing.assert_array_equal(new[..., 1], drawn[..., 1])
            np.testing.assert_array_equal(new[..., 2], theirs[..., 1])
    assert (found.classes, found.new_classes, found.left) == (("car", "PERSON"), ("bicycle",), ())
    assert found.summary().endswith("classes known: car, PERSON; drawn afresh: class bicycle")


def test_without_names_boxes_and_background_come_and_no_class() -> None:
    donor = trained(class_names=None)
    own = draw(predictor(0, 3, 3), seed=1)
    config = CONFIG.replace({"loss.classification": "softmax"})
    found = pretrained.fit(own, donor, config, ["Person", "Car"])
    new, drawn = (weights["head_0_class/bias"].reshape(3, 3) for weights in (found.weights, own))
    np.testing.assert_array_equal(new[:, 0], donor.weights["head_0_class/bias"].reshape(3, 3)[:, 0])
    np.testing.assert_array_equal(new[:, 1:], drawn[:, 1:])
    np.testing.assert_array_equal(found.weights["head_0_box/kernel"], donor.weights["head_0_box/kernel"])
    assert (found.classes, found.new_classes) == ((), ("Person", "Car"))
    found = pretrained.fit(own, donor, CONFIG, ["Person", "Car", "Dog"])  # nothing of a class predictor is of use
    assert found.left == ("head_0_class/kernel", "head_0_class/bias")


def test_levels_pair_by_stride_and_anchors_by_their_number() -> None:
    """With a finer level before them, the file's first level is the second here; that has six anchors, not three."""
    donor = trained()
    own = draw({**predictor(0, 3, 2, 5), **predictor(1, 6, 2), **predictor(2, 6, 2)}, seed=1)
    found = pretrained.fit(own, donor, CONFIG.replace({"model.first_stride": 8}), ["Person", "Car"])
    np.testing.assert_array_equal(found.weights["head_2_box/kernel"], donor.weights["head_1_box/kernel"])
    assert {path[:6] for path in found.taken} == {"head_2"}
    assert {path[:6] for path in found.left} == {"head_0", "head_1"}


def test_another_head_takes_the_backbone_only() -> None:
    donor = trained()
    own = draw({name: array.shape for name, array in donor.weights.items()}, seed=1)
    found = pretrained.fit(own, donor, CONFIG.replace({"model.head": "ssdlite"}), ["Person", "Car"])
    assert found.taken == ("Conv1/kernel", "bn_Conv1/gamma", "bn_Conv1/moving_variance")
    assert "drawn afresh: class Person, class Car, extra_1_expand/kernel and 8 more" in found.summary()


def test_batch_norm_computes_the_same_with_another_epsilon() -> None:
    donor = trained()
    own = draw({name: array.shape for name, array in donor.weights.items()}, seed=1)
    found = pretrained.fit(own, donor, CONFIG.replace({"model.batch_norm_epsilon": 0.05}), [])
    scales = [
        weights["bn_Conv1/gamma"] / np.sqrt(weights["bn_Conv1/moving_variance"] + epsilon)
        for weights, epsilon in ((found.weights, 0.05), (donor.weights, 1e-3))
    ]
    np.testing.assert_allclose(*scales, rtol=1e-6)
