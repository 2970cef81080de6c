"""The range test's sweeps, with a loss that is a formula: what is kept, said and drawn."""

import csv
import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import progress
from models.hyperparameters import ExperimentConfig
from tuner_fn.studies import lr_range, lr_range_report, rate_interval

STEPS = 60


class Sweeps:
    """Stands in for `rate_sweep.sweep`: falls between 1e-4 and a rate that the seed decides, then diverges."""

    def __init__(self, ends=(1e-2, 1e-2, 1e-2)) -> None:
        self.seeds, self.ends = [], ends

    def __call__(self, config, train_files, class_names, *, low, high, steps, on_step) -> list[float]:
        self.seeds.append(config.training.seed)
        end = self.ends[config.training.seed]
        place = np.log(np.geomspace(low, high, steps) / 1e-4) / np.log(end / 1e-4)
        losses = np.where(place < 0, 4.0, np.where(place < 1, 4.0 - 3.0 * place, 1.0 + 9.0 * (place - 1.0)))
        found = losses[losses < 5.0].tolist()
        for step, loss in enumerate(found, start=1):
            on_step(step, loss)
        return found


def make(repeats: int = 3, steps: int = STEPS, **changes) -> lr_range.RangeTest:
    about = {"low": 1e-7, "high": 1.0, "class_names": ("car",), "train_files": ("t",), "depends_on": {}}
    return lr_range.RangeTest(ExperimentConfig(), steps=steps, repeats=repeats, **{**about, **changes})


def test_each_seed_is_swept_once_and_kept(tmp_path) -> None:
    sweep = Sweeps()
    first = lr_range.run(make(2), tmp_path, sweep)
    more = lr_range.run(make(3), tmp_path, sweep)
    assert sweep.seeds == [0, 1, 2]
    assert more[:2] == first
    lr_range.run(make(1, depends_on={"code": "another"}), tmp_path, sweep)
    lr_range.run(make(1, steps=50), tmp_path, sweep)
    assert sweep.seeds == [0, 1, 2, 0, 0]


def test_other_weights_at_the_same_path_are_swept_anew(tmp_path) -> None:
    path = tmp_path / "backbone.h5"
    path.write_bytes(b"one")
    test = dataclasses.replace(make(1), config=ExperimentConfig().replace({"model.backbone_weights": str(path)}))
    sweep = Sweeps()
    lr_range.run(test, tmp_path, sweep)
    path.write_bytes(b"another")
    lr_range.run(test, tmp_path, sweep)
    assert sweep.seeds == [0, 0]


def test_every_step_is_shown(tmp_path) -> None:
    events = []
    with progress.listen(lambda kind, fields: events.append((kind, fields))):
        (only,) = lr_range.run(make(1), tmp_path, Sweeps())
    assert [fields["step"] for _, fields in events] == list(range(1, len(only.losses) + 1))
    kind, last = events[-1]
    assert kind == "sweep"
    assert last["learning_rate"] == make(1).rates[last["step"] - 1]


def test_what_is_found_is_said_with_its_spread(tmp_path) -> None:
    found = lr_range.run(make(), tmp_path / "a", Sweeps())
    (text,) = lr_range.conclusions(make(), found)
    assert text.startswith("The loss falls at learning rates from 0.00")
    assert "up to 0.0056 (within a factor of 1 in the repeats)" in text  # the smoothing costs a factor below 2
    apart = lr_range.run(make(), tmp_path / "b", Sweeps(ends=(1e-3, 1e-2, 1e-1)))
    assert any("differ by more than a factor of 3" in text for text in lr_range.conclusions(make(), apart))
    alone = lr_range.conclusions(make(1), found[:1])
    assert alone[1] == "One repeat does not tell how far that can be trusted. Give --repeats=3."


def test_seeds_without_a_fall_few_steps_and_a_fall_without_end_are_said() -> None:
    flat = lr_range.Sweep(0, (4.0,) * STEPS, None)
    assert lr_range.conclusions(make(1), [flat]) == ["It does not fall clearly with 1 of 1 seeds: 0."]
    assert lr_range.together([flat]) is None
    to_the_end = lr_range.Sweep(1, (4.0,) * 12, rate_interval.Interval(1e-3, 1.0, is_cut_off=True))
    texts = lr_range.conclusions(make(2, steps=12), [to_the_end, flat])
    assert "It still falls at the highest rate. Raise --max_rate." in texts
    assert texts[-1].startswith("12 steps a sweep are few")


@pytest.mark.parametrize(
    ("steps_per_epoch", "repeats", "expected"), [(18, 3, 12), (18, 1, 36), (1000, 3, 300), (1, 3, 10), (75, 3, 50)]
)
def test_all_sweeps_together_take_two_epochs_at_most(steps_per_epoch, repeats, expected) -> None:
    assert lr_range.num_steps(steps_per_epoch, repeats) == expected


def test_files_figure_and_logs(tmp_path) -> None:
    test = make(2)
    sweeps = lr_range.run(test, tmp_path / "sweeps", Sweeps())
    lr_range_report.write(tmp_path, test, sweeps)
    rows = list(csv.DictReader(io.StringIO((tmp_path / lr_range_report.TABLE_FILE).read_text())))
    assert len(rows) == sum(len(one.losses) for one in sweeps)
    assert (rows[0]["seed"], rows[0]["learning_rate"], rows[0]["loss"]) == ("0", "1e-07", "4")
    picture = (tmp_path / lr_range_report.PLOT_FILE).read_bytes()
    assert Image.open(io.BytesIO(picture)).size == (800, 500)
    for _ in range(2):  # the second replaces the first
        lr_range_report.write_logs(tmp_path / "logs", test, sweeps, picture)
    (events,) = (tmp_path / "logs" / "seed_1").iterdir()
    summaries = [value for event in tf.compat.v1.train.summary_iterator(str(events)) for value in event.summary.value]
    losses = [float(tf.make_ndarray(value.tensor)) for value in summaries if value.tag == "lr_range/loss"]
    assert losses == pytest.approx(sweeps[1].losses, rel=1e-6)
    assert lr_range_report.plot(test, [lr_range.Sweep(0, (), None)])[:4] == b"\x89PNG"
