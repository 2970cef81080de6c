"""Training: it learns, it continues after a kill, it stops on NaN, and it starts each trial afresh."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny_data import CLASS_NAMES, scene_record, write_split

from data import progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.training import programs, schedules, train
from models.training.divergence import DivergedError

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ExperimentConfig().replace(
    {
        "input.image_size": 64,
        "input.batch_size": 8,
        "input.max_boxes": 8,
        "model.backbone": "mobilenet_v1",
        "model.alpha": 0.35,
        "model.num_levels": 2,
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


def weights(result: train.TrainingResult) -> list[np.ndarray]:
    return [np.array(weight) for weight in result.detector.weights]


class Killed(Exception):
    """Stands for a kill between two epochs."""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "optimizer.name": "rmsprop",
            "optimizer.ema_momentum": 0.9,
            "optimizer.schedule": "cyclic",
            "optimizer.decay_steps": 2,
            "optimizer.weight_decay": 0.01,
            "model.dropout_rate": 0.2,
            "augment.mosaic_probability": 0.5,
        },
        # Above some 200 MB a step TensorFlow would add the three gradients of one map in any order.
        {"input.image_size": 320, "model.backbone": "mobilenet_v2", "model.alpha": 0.5, "model.num_levels": 6},
    ],
    ids=["adam", "rmsprop with averages, dropout and mosaics", "320 px"],
)
def test_a_killed_training_goes_on_to_the_same_weights(data, tmp_path, changes) -> None:
    """Model, optimizer, schedule, averages, random state and data position come back: bit for bit on the CPU."""
    config = SMALL.replace(changes)
    whole = train.train(config, *data, CLASS_NAMES, epochs=3)
    expected, history = weights(whole), whole.history

    def kill(report):
        if report["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        train.train(config, *data, CLASS_NAMES, epochs=3, checkpoint=tmp_path / "state.npz", on_epoch=kill)
    train.train(config.replace({"optimizer.learning_rate": 0.1}), *data, CLASS_NAMES, epochs=1)  # another trial between
    resumed = train.train(config, *data, CLASS_NAMES, epochs=3, checkpoint=tmp_path / "state.npz")
    for found, wanted in zip(weights(resumed), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [report["loss"] for report in resumed.history] == [report["loss"] for report in history]


KILLED_PROCESS = """
import json, sys
from models.training import train
from models.training.divergence import DivergedError
from models.hyperparameters import ExperimentConfig
settings, train_files, val_files, names, state = json.loads(sys.argv[1])
train.train(ExperimentConfig.from_dict(settings), train_files, val_files, names, epochs=4, checkpoint=state,
            on_epoch=lambda report: print("epoch", flush=True))
"""


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_process_killed_within_an_epoch_loses_that_epoch_only(data, tmp_path, share) -> None:
    """SIGKILL a share of an epoch after the second one's end: in the third, or while its state is written."""
    whole = train.train(SMALL, *data, CLASS_NAMES, epochs=4)
    expected, history = weights(whole), whole.history
    state = tmp_path / "state.npz"
    arguments = json.dumps([SMALL.to_dict(), *data, CLASS_NAMES, str(state)])
    process = subprocess.Popen([sys.executable, "-c", KILLED_PROCESS, arguments], stdout=subprocess.PIPE, cwd=ROOT)
    for _ in range(2):
        assert process.stdout.readline() == b"epoch\n"
    time.sleep(share * history[-1]["seconds"])
    process.kill()
    process.communicate()
    first = []
    resumed = train.train(SMALL, *data, CLASS_NAMES, epochs=4, checkpoint=state, on_epoch=first.append)
    assert first[0]["epoch"] >= 3
    for found, wanted in zip(weights(resumed), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_training_that_is_ended_between_validations_is_scored(data) -> None:
    ends = {"validate_at": (), "should_stop": lambda history: len(history) == 2}
    result = train.train(SMALL, *data, CLASS_NAMES, epochs=4, **ends)
    assert ["AP50" in report for report in result.history] == [False, True]


def test_the_best_validated_epoch_gives_the_weights_through_an_interruption(data, tmp_path) -> None:
    """By the loss, of which more counts as better here, that is the first epoch."""
    first = weights(train.train(SMALL, *data, CLASS_NAMES, epochs=1, schedule_epochs=3))

    def kill(report):
        if report["epoch"] == 2:
            raise Killed

    state = tmp_path / "state.npz"
    with pytest.raises(Killed):
        train.train(SMALL, *data, CLASS_NAMES, epochs=3, checkpoint=state, best_by="loss", on_epoch=kill)
    whole = train.train(SMALL, *data, CLASS_NAMES, epochs=3, checkpoint=state, best_by="loss")
    assert (whole.epoch, len(whole.history)) == (1, 3)
    for found, wanted in zip(weights(whole), first, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_state_that_is_continued_may_be_the_best(data, tmp_path) -> None:
    part, whole = tmp_path / "part" / "state.npz", tmp_path / "whole" / "state.npz"
    lengths = {"schedule_epochs": 2, "validate_at": ()}
    first = weights(train.train(SMALL, *data, CLASS_NAMES, epochs=1, checkpoint=part, **lengths))
    settings = {"start_from": part, "checkpoint": whole, "best_by": "loss"}
    result = train.train(SMALL, *data, CLASS_NAMES, epochs=2, **settings, **lengths)
    assert result.epoch == 1
    for found, wanted in zip(weights(result), first, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_state_of_other_variables_is_set_aside_in_one_line(data, tmp_path) -> None:
    """As a library's next version leaves it, which has one more or one of another shape."""
    state, notes = tmp_path / "state.npz", []
    train.train(SMALL, *data, CLASS_NAMES, epochs=1, checkpoint=state)
    with np.load(state) as saved:
        arrays = dict(saved)
    last = max((name for name in arrays if name[1:].isdigit()), key=lambda name: int(name[1:]))
    for changed in ({last: arrays[last][None]}, {f"v{int(last[1:]) + 1}": arrays[last]}):
        np.savez(state, **arrays | changed)
        with progress.listen(lambda kind, fields: notes.append(fields["text"])):
            result = train.train(SMALL, *data, CLASS_NAMES, epochs=1, checkpoint=state)
        assert len(result.history) == 1
        assert "it holds other variables" in notes[-1]
        assert "set aside as state.npz.damaged, the training starts over" in notes[-1]


@pytest.mark.parametrize("schedule", ["cosine", "exponential"])
def test_a_trial_paused_on_its_way_and_continued_is_one_training(data, tmp_path, schedule) -> None:
    """At each pause it is at that point of the long schedule, bit for bit; the parent's state is left as it was."""
    changes = {"optimizer.schedule": schedule, "optimizer.decay_steps": 3, "optimizer.decay_factor": 0.5}
    config = SMALL.replace(changes)
    whole = train.train(config, *data, CLASS_NAMES, epochs=4, validate_at=(1, 3))
    expected, history = weights(whole), whole.history
    long = schedules.LiveSchedule()
    long.configure(config.optimizer, 4 * 2)  # 16 images in batches of 8
    rates = [float(long(2 * epoch - 1)) for epoch in (1, 2, 3, 4)]
    assert [report["learning_rate"] for report in history] == rates
    assert len(set(rates)) == 4
    parent = None
    for epochs in (1, 3, 4):
        state = tmp_path / str(epochs) / "state.npz"
        before = parent and parent.read_bytes()
        lengths = {"epochs": epochs, "schedule_epochs": 4, "validate_at": (1, 3)}
        part = train.train(config, *data, CLASS_NAMES, checkpoint=state, start_from=parent, **lengths)
        for key in ("epoch", "loss", "learning_rate", "AP"):
            assert [one.get(key) for one in part.history] == [one.get(key) for one in history[:epochs]]
        assert before is None or parent.read_bytes() == before
        parent = state
    for found, wanted in zip(weights(part), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("asked", "scored"), [(None, [1, 2, 3]), ((), [3]), ((1, 7), [1, 3]), (range(0, 3, 2), [2, 3])]
)
def test_the_last_epoch_is_always_validated_and_others_where_asked(data, asked, scored) -> None:
    history = train.train(SMALL, *data, CLASS_NAMES, epochs=3, validate_at=asked).history
    assert [report["epoch"] for report in history if "AP" in report] == scored


def test_a_damaged_state_is_set_aside_and_the_training_starts_over(data, tmp_path) -> None:
    """It ends as one that was never begun; what is to be exported from a damaged state is an error."""
    path, notes = tmp_path / "state.npz", []
    expected = weights(train.train(SMALL, *data, CLASS_NAMES, epochs=2, checkpoint=path))
    damaged = path.read_bytes()[:-1000]
    path.write_bytes(damaged)
    with progress.listen(lambda kind, fields: notes.append(fields.get("text"))):
        again = train.train(SMALL, *data, CLASS_NAMES, epochs=2, checkpoint=path)
    for found, wanted in zip(weights(again), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [note.partition(" (")[0] for note in notes if note] == [f"{path} is damaged"]
    assert path.with_name("state.npz.damaged").read_bytes() == damaged
    path.write_bytes(b"")
    with pytest.raises(UserError, match="state.npz is damaged. Train it again"):
        train.restore(SMALL, len(CLASS_NAMES), path)


def test_a_diverging_training_stops(data, tmp_path) -> None:
    """One NaN weight is enough to make the loss NaN; the state before it is left as it was."""
    path = tmp_path / "state.npz"
    train.train(SMALL, *data, CLASS_NAMES, epochs=1, checkpoint=path)
    with np.load(path) as state:
        arrays = dict(state)
    kernel = next(name for name, array in arrays.items() if array.ndim == 4)
    arrays[kernel] = np.full_like(arrays[kernel], np.nan)
    np.savez(path, **arrays)
    before = path.read_bytes()
    with pytest.raises(DivergedError, match="lower `optimizer.learning_rate`"):
        train.train(SMALL, *data, CLASS_NAMES, epochs=2, checkpoint=path)
    assert path.read_bytes() == before


def test_a_training_that_inherits_weights_starts_better_and_takes_nothing_else(data, tmp_path) -> None:
    """Weights only: its steps, schedule and optimizer begin anew; its own state goes before the donor's."""
    donor, heir = tmp_path / "0" / "state.npz", tmp_path / "1" / "state.npz"
    train.train(SMALL, *data, CLASS_NAMES, epochs=3, checkpoint=donor)
    other = SMALL.replace({"optimizer.learning_rate": 0.002, "loss.localization_weight": 1.5})
    afresh = train.train(other, *data, CLASS_NAMES, epochs=1).history
    inherited = train.train(other, *data, CLASS_NAMES, epochs=1, checkpoint=heir, inherit_from=donor)
    assert inherited.history[0]["loss"] < 0.8 * afresh[0]["loss"]
    assert [report["epoch"] for report in inherited.history] == [1]
    assert int(inherited.detector.optimizer.iterations) == 2  # 16 images in batches of 8
    whole = train.train(other, *data, CLASS_NAMES, epochs=2, checkpoint=heir, inherit_from=tmp_path / "missing")
    assert [report["loss"] for report in whole.history][0] == inherited.history[0]["loss"]


def test_moving_averages_are_what_is_scored_and_exported(data, tmp_path) -> None:
    """The state keeps both; with one step an epoch the average after three is 0.81 w1 + 0.09 w2 + 0.1 w3."""
    config = SMALL.replace({"optimizer.ema_momentum": 0.9, "input.batch_size": 16})
    seen = []

    def on_epoch(report):
        with np.load(tmp_path / "state.npz") as state:
            seen.append(dict(state))

    result = train.train(config, *data, CLASS_NAMES, epochs=3, checkpoint=tmp_path / "state.npz", on_epoch=on_epoch)
    for index, weight in enumerate(result.detector.variables):
        one, two, three = (state[f"v{index}"] for state in seen)
        trained = any(weight is other for other in result.detector.trainable_variables)
        expected = 0.81 * one + 0.09 * two + 0.1 * three if trained else three
        assert np.asarray(weight) == pytest.approx(expected, rel=1e-4, abs=1e-6), weight.path
    restored = train.train(config, *data, CLASS_NAMES, epochs=3, checkpoint=tmp_path / "state.npz")
    for found, expected in zip(weights(restored), weights(result), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_live_settings_do_not_trace_again(data) -> None:
    """Trials that differ only in live settings share one traced step, and each is as if it were alone."""
    changes = {"optimizer.learning_rate": 0.001, "anchors.min_scale": 0.2, "loss.l2": 1e-3, "optimizer.momentum": 0.8}
    changes |= {"optimizer.schedule": "exponential", "optimizer.decay_steps": 2, "optimizer.staircase": True}
    changes |= {"postprocess.score_threshold": 0.001, "postprocess.nms_iou": 0.4}
    first = train.train(SMALL, *data, CLASS_NAMES, epochs=1).detector
    traced = first.train_function, first.predict_function
    second = train.train(SMALL.replace(changes), *data, CLASS_NAMES, epochs=2)
    assert second.detector is first
    assert (first.train_function, first.predict_function) == traced
    expected = weights(second)
    programs._programs.clear()
    alone = train.train(SMALL.replace(changes), *data, CLASS_NAMES, epochs=2)
    assert alone.history[-1]["AP"] == second.history[-1]["AP"]
    for weight, value in zip(weights(alone), expected, strict=True):
        np.testing.assert_array_equal(weight, value)
