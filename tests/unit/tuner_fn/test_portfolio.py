"""The first candidates: what a search can try of them, from where it begins."""

from models.hyperparameters import ExperimentConfig
from tuner_fn import portfolio, presets, search_space

CPU = presets.experiment(presets.get_preset("cpu"), {"model.alpha": 0.75, "input.batch_size": 4}, seed=0)


def test_changes_are_relative_to_the_start() -> None:
    ranges = search_space.named_space("default", CPU)
    assert portfolio.candidates(CPU, ranges) == [
        {"model.alpha": 1.0},
        {"loss.matched_iou": 0.4},
        {"input.batch_size": 2},
        {"optimizer.learning_rate": 0.004},
        {"augment.crop_probability": 0.0},
    ]


def test_the_iou_of_the_plan_falls_to_the_end_of_its_range() -> None:
    """0.8 times 0.4 would be below it."""
    planned = CPU.replace({"loss.matched_iou": 0.4})
    assert {"loss.matched_iou": 0.35} in portfolio.candidates(planned, search_space.named_space("default", planned))


def test_an_iou_below_the_range_is_not_raised() -> None:
    low = CPU.replace({"loss.matched_iou": 0.3})
    ranges = {"loss.matched_iou": {"low": 0.35, "high": 0.6, "scale": "linear"}}
    assert portfolio.candidates(low, ranges) == []


def test_what_is_not_searched_is_left_out() -> None:
    """By name, because the value lies outside of what is searched, or because it is the start's."""
    widest = CPU.replace({"model.alpha": 1.4, "input.batch_size": 2})
    ranges = {
        "model.alpha": {"choices": [0.75, 1.0, 1.4]},
        "input.batch_size": {"choices": [2, 4]},
        "loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"},
    }
    assert portfolio.candidates(widest, ranges) == []


def test_a_width_that_weights_decide_is_not_searched() -> None:
    pretrained = ExperimentConfig().replace({"model.backbone_weights": "some.weights.h5"})
    assert "model.alpha" not in search_space.named_space("default", pretrained)
    assert "model.alpha" in search_space.named_space("default", ExperimentConfig())
