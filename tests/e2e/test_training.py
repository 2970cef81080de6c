"""Training: it learns, it goes on after a kill, it stops on NaN, and it starts each trial afresh."""

import numpy as np
import pytest
from tiny_data import CLASS_NAMES, scene_record, write_split

from models import training
from models.hyperparameters import ExperimentConfig

SMALL = ExperimentConfig().replace(
    {
        "input.image_size": 64,
        "input.batch_size": 8,
        "input.max_boxes": 8,
        "model.alpha": 0.35,
        "model.batch_norm_momentum": 0.7,
        "model.first_stride": 8,
        "anchors.min_scale": 0.15,
        "optimizer.learning_rate": 0.005,
        "augment.crop_probability": 0.3,
    }
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    train_files = write_split(folder, "train", [scene_record("train", index) for index in range(16)])
    return train_files, write_split(folder, "val", [scene_record("val", index) for index in range(4)])


def weights(result: training.TrainingResult) -> list[np.ndarray]:
    return [np.array(weight) for weight in result.detector.weights]


class Killed(Exception):
    """Stands for a kill between two epochs."""


def test_a_killed_training_goes_on_to_the_same_weights(data, tmp_path) -> None:
    """Model, optimizer, schedule, random state and data position come back: bit for bit on the CPU."""
    whole = training.train(SMALL, *data, CLASS_NAMES, epochs=3)
    expected, history = weights(whole), whole.history

    def kill(report):
        if report["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        training.train(SMALL, *data, CLASS_NAMES, epochs=3, checkpoint=tmp_path / "state.npz", on_epoch=kill)
    training.train(
        SMALL.replace({"optimizer.learning_rate": 0.1}), *data, CLASS_NAMES, epochs=1
    )  # another trial between
    resumed = training.train(SMALL, *data, CLASS_NAMES, epochs=3, checkpoint=tmp_path / "state.npz")
    for found, wanted in zip(weights(resumed), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [report["loss"] for report in resumed.history] == [report["loss"] for report in history]


def test_a_promoted_trial_goes_on_from_its_parent(data, tmp_path) -> None:
    """With a constant rate the rungs together are one training; the parent's state is left as it was."""
    constant = SMALL.replace({"optimizer.schedule": "constant", "optimizer.warmup_fraction": 0.0})
    whole = training.train(constant, *data, CLASS_NAMES, epochs=2)
    expected = weights(whole)
    parent, child = tmp_path / "0" / "state.npz", tmp_path / "1" / "state.npz"
    training.train(constant, *data, CLASS_NAMES, epochs=1, checkpoint=parent)
    before = parent.read_bytes()
    promoted = training.train(constant, *data, CLASS_NAMES, epochs=2, checkpoint=child, start_from=parent)
    for found, wanted in zip(weights(promoted), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert parent.read_bytes() == before
    assert [report["epoch"] for report in promoted.history] == [1, 2]


def test_a_diverging_training_stops(data, tmp_path) -> None:
    """One NaN weight is enough to make the loss NaN; the state before it is left as it was."""
    path = tmp_path / "state.npz"
    training.train(SMALL, *data, CLASS_NAMES, epochs=1, checkpoint=path)
    with np.load(path) as state:
        arrays = dict(state)
    kernel = next(name for name, array in arrays.items() if array.ndim == 4)
    arrays[kernel] = np.full_like(arrays[kernel], np.nan)
    np.savez(path, **arrays)
    before = path.read_bytes()
    with pytest.raises(training.DivergedError, match="lower `optimizer.learning_rate`"):
        training.train(SMALL, *data, CLASS_NAMES, epochs=2, checkpoint=path)
    assert path.read_bytes() == before


def test_eight_images_are_learned_by_heart(data, tmp_path) -> None:
    """The whole chain of targets, losses, decoding and metrics agrees with itself."""
    files = write_split(tmp_path, "train", [scene_record("train", index) for index in range(8)])
    config = SMALL.replace(
        {
            "input.image_size": 96,
            "augment.flip_probability": 0.0,
            "augment.crop_probability": 0.0,
            "augment.photometric_strength": 0.0,
        }
    )
    result = training.train(config, files, files, CLASS_NAMES, epochs=150, validate_every=150)
    assert result.history[-1]["AP50"] >= 0.9


def test_live_settings_do_not_trace_again(data) -> None:
    """Trials that differ only in live settings share one traced step."""
    first = training.train(SMALL, *data, CLASS_NAMES, epochs=1).detector
    changed = SMALL.replace({"optimizer.learning_rate": 0.001, "anchors.min_scale": 0.2, "loss.l2": 1e-3})
    second = training.train(changed, *data, CLASS_NAMES, epochs=1).detector
    assert second is first
    assert float(second.scalars["l2"]) == pytest.approx(1e-3)
