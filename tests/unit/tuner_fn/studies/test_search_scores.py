"""Scores after equally many epochs, from whole, running and broken searches."""

import os

import pytest

from data.errors import UserError
from data.run_directory import RunDirectory
from tests import finished_search
from tuner_fn.studies import search_scores

RANGES = {"loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"}}


def l2_and_epoch(values, epoch):
    return values["loss.l2"] + epoch


def read(root, epochs=None):
    return search_scores.read(RunDirectory(root), epochs)


def test_a_configuration_that_went_on_counts_once_with_its_whole_curve(tmp_path) -> None:
    finished_search.write(tmp_path, RANGES, l2_and_epoch, count=8, epochs=(1, 3, 9), promoted=0.25)
    found = read(tmp_path)
    assert len(found.configurations) == 8
    assert sorted(len(one.curve) for one in found.configurations) == [1] * 6 + [2] * 2
    assert (found.epochs, found.max_epochs, len(found.rows)) == (1, 9, 8)
    assert all(row["score"] == pytest.approx(row["loss.l2"] + 1) for row in found.rows)


def test_the_latest_epoch_that_half_reached_is_taken(tmp_path) -> None:
    finished_search.write(tmp_path, RANGES, l2_and_epoch, count=8, epochs=(1, 3, 9), promoted=0.5)
    assert (read(tmp_path).epochs, len(read(tmp_path).rows)) == (3, 4)
    assert read(tmp_path).left_out_text() == "Left out: 4 without a score after 3 epochs."
    assert (read(tmp_path, 1).epochs, len(read(tmp_path, 1).rows)) == (1, 8)
    with pytest.raises(UserError, match=r"`--epochs=2`.*There are: 1 \(8 configurations\), 3 \(4 configurations\)"):
        read(tmp_path, 2)


def test_failed_running_and_unreadable_trials_are_counted_and_left_alone(tmp_path) -> None:
    folder = finished_search.write(tmp_path, RANGES, l2_and_epoch, count=4)
    about = {"loss.l2": 1e-4, "tuner/epochs": 4, "tuner/initial_epoch": 0}
    finished_search.write_trial(folder, 4, about, {}, status="FAILED")
    finished_search.write_trial(folder, 5, about, {}, status="RUNNING")
    broken = folder / "trial_0006" / "trial.json"
    broken.parent.mkdir()
    broken.write_text("{")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    found = read(tmp_path)
    assert (len(found.rows), found.num_failed, found.num_open) == (4, 1, 2)
    assert found.left_out_text() == "Left out: 1 failed, 2 in training or unreadable."
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_trial_that_failed_later_keeps_what_it_reached(tmp_path) -> None:
    folder = finished_search.write(tmp_path, RANGES, l2_and_epoch, count=4, epochs=(2,))
    values = {"loss.l2": 1e-4, "tuner/epochs": 8, "tuner/initial_epoch": 2, "tuner/trial_id": "0001"}
    finished_search.write_trial(folder, 4, values, {}, status="FAILED")
    found = read(tmp_path)
    assert (len(found.rows), found.num_failed) == (4, 0)


def test_the_search_that_changed_last_is_read(tmp_path) -> None:
    first = finished_search.write(tmp_path, RANGES, l2_and_epoch, count=2, key="aaaaaaaaaaaa")
    second = finished_search.write(tmp_path, RANGES, l2_and_epoch, count=3, key="bbbbbbbbbbbb")
    for folder, time_s in ((first, 2_000), (second, 1_000)):
        os.utime(folder / "search.json", (time_s, time_s))
    assert read(tmp_path).folder == first


def test_what_is_missing_is_said(tmp_path) -> None:
    with pytest.raises(UserError, match="`.*nothing` is not a folder"):
        read(tmp_path / "nothing")
    with pytest.raises(UserError, match="has no search: give the --workdir of a `ssd-tuner run`"):
        read(tmp_path)
    folder = finished_search.write(tmp_path, RANGES, l2_and_epoch, count=0)
    assert read(tmp_path).rows == []
    (folder / "search.json").write_text("[]")
    with pytest.raises(UserError, match="search.json` is damaged"):
        read(tmp_path)
