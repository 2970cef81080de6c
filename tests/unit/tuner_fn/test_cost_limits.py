"""What a search knows of costs: limits, and each architecture found once."""

import errno

import pytest

from data import files
from models.hyperparameters import ExperimentConfig
from tuner_fn import cost_limits

FOUND = {"parameters": 4_212_345, "multiply_adds": 9, "file_mb": 16.85, "latency_ms": 30.04}


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({}, ""),
        ({"max_parameters": 4_212_345, "max_multiply_adds": None, "max_latency_ms": 31}, ""),
        ({"max_parameters": 4e6}, "4,212,345 parameters: more than the limit of 4,000,000."),
        ({"max_multiply_adds": 8.5}, "9 multiply-adds an image: more than the limit of 8.5."),
        ({"max_parameters": 5e6, "max_file_mb": 10.0}, "16.85 MB of the float32 file: more than the limit of 10."),
        ({"max_latency_ms": 30.0}, "30.04 ms an image: more than the limit of 30."),
    ],
)
def test_a_limit_that_is_exceeded_is_named_with_the_cost(limits, sentence) -> None:
    assert cost_limits.excess(FOUND, limits) == sentence


def test_costs_are_asked_for_by_a_limit_or_as_the_second_objective() -> None:
    assert cost_limits.asked_for({}, None) == []
    assert cost_limits.asked_for({"max_file_mb": 3.0, "max_parameters": None}, "latency") == ["file_mb", "latency_ms"]
    assert cost_limits.asked_for({"max_latency_ms": 3.0}, "latency") == ["latency_ms"]


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"optimizer.learning_rate": 0.01, "augment.mosaic_probability": 0.5, "loss.l2": 0.0}, True),
        ({"model.dropout_rate": 0.2, "postprocess.nms_iou": 0.5, "anchors.min_scale": 0.1}, True),
        ({"loss.localization": "giou", "input.batch_size": 4, "optimizer.name": "lion"}, True),
        ({"model.alpha": 0.5}, False),
        ({"input.image_size": 128}, False),
        ({"input.tile": "1x2"}, False),
        ({"loss.classification": "softmax"}, False),  # the background is a class of its own
        ({"postprocess.max_detections": 50}, False),
    ],
)
def test_an_architecture_is_what_costs_follow_from(changes, same) -> None:
    config = ExperimentConfig()
    assert (cost_limits.architecture(config.replace(changes)) == cost_limits.architecture(config)) is same


def test_costs_are_found_once_also_over_a_restart_and_again_where_the_time_is_missing(tmp_path) -> None:
    found: list[dict] = []

    def find() -> dict:
        found.append({"parameters": 7, "latency_ms": float(len(found))} if found else {"parameters": 7})
        return found[-1]

    config = ExperimentConfig()
    known = cost_limits.KnownCosts(tmp_path / "costs.json")
    assert known.find(config, find, latency=False) == {"parameters": 7}
    assert known.find(config, find, latency=False) == {"parameters": 7}
    known = cost_limits.KnownCosts(tmp_path / "costs.json")
    assert known.find(config, find, latency=True) == {"parameters": 7, "latency_ms": 1.0}
    again = cost_limits.KnownCosts(tmp_path / "costs.json")
    assert again.find(config.replace({"loss.l2": 0.0}), find, latency=True) == {"parameters": 7, "latency_ms": 1.0}
    assert len(found) == 2
    again.find(config.replace({"model.alpha": 0.5}), find, latency=True)
    assert len(found) == 3


def test_costs_that_could_not_be_written_are_not_known(tmp_path, monkeypatch) -> None:
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    known = cost_limits.KnownCosts(tmp_path / "costs.json")
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", full)
        with pytest.raises(OSError, match="No space"):
            known.find(ExperimentConfig(), lambda: {"parameters": 7}, latency=False)
    assert known.find(ExperimentConfig(), lambda: {"parameters": 8}, latency=False) == {"parameters": 8}
