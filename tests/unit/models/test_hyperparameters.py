"""Settings: one declaration, checked values, clear errors."""

import pytest

from data.errors import UserError
from models.hyperparameters import ExperimentConfig


def test_dictionary_form_round_trips() -> None:
    config = ExperimentConfig().replace({"optimizer.learning_rate": 0.01, "anchors.aspect_ratios": (1.0, 2.0)})
    assert ExperimentConfig.from_dict(config.to_dict()) == config


def test_text_from_the_command_line_takes_the_settings_type() -> None:
    config = ExperimentConfig().replace(
        {
            "input.batch_size": "8",
            "loss.l2": "1e-5",
            "model.freeze_batch_norm": "true",
            "anchors.aspect_ratios": "1,2,0.5",
        }
    )
    assert (config.input.batch_size, config.loss.l2, config.model.freeze_batch_norm) == (8, 1e-5, True)
    assert config.anchors.aspect_ratios == (1.0, 2.0, 0.5)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("optimizer.learning_rat", 0.1, "Did you mean `optimizer.learning_rate`"),
        ("input.batch_size", "many", "`input.batch_size` needs a value of type int: got 'many'"),
        ("input.batch_size", "2.5", "needs a value of type int"),
        ("input.batch_size", 0, r"must lie in \[1, 4096\]: got 0"),
        ("optimizer.learning_rate", "nan", "must lie in"),
        ("model.alpha", 0.05, r"must lie in \[0.1, 2.0\]: got 0.05"),
        ("model.backbone", "mobilenet_v4", "must be one of mobilenet_v1, mobilenet_v2"),
        ("model.extra_depths", "256,12.5", "needs a value of type tuple"),
        ("model.extra_depths", "", "needs positive numbers"),
        ("anchors.variances", "0.1,0.2", "needs 4 numbers"),
        ("model.freeze_batch_norm", "maybe", "needs a value of type bool"),
        ("anchors.min_scale", 0.99, "must lie in"),
        ("anchors.max_scale", 0.2 + 1e-9 - 1e-9, "must lie in"),
        ("anchors.aspect_ratios", "1,-2", "needs positive numbers"),
        ("anchors.aspect_ratios", "", "needs positive numbers"),
        ("anchors.aspect_ratios", "1,,2", "needs a value of type tuple"),
        ("anchors.scales", "0.1,0.2,0.3", "needs 6 ascending numbers, one per feature level, or none: got"),
        ("anchors.scales", "0.1,0.3,0.2,0.4,0.5,0.6", "needs 6 ascending numbers"),
        ("anchors.scales", "0.1,0.2,0.3,0.4,0.5,1.5", r"must lie in \[0.001, 1.0\]: got 1.5"),
        ("anchors.scales", "0,0.2,0.3,0.4,0.5,0.6", "needs positive numbers"),
    ],
)
def test_each_mistake_is_named(path, value, message) -> None:
    with pytest.raises(UserError, match=message):
        ExperimentConfig().replace({path: value})


@pytest.mark.parametrize(
    ("loss", "converter", "background", "activation", "has_background"),
    [
        ("sigmoid", "loss", False, "sigmoid", False),
        ("sigmoid", "loss", True, "sigmoid", True),
        (
            "sigmoid",
            "softmax",
            False,
            "softmax",
            True,
        ),  # the study's: scores need the background that they compete with
        ("softmax", "loss", False, "softmax", True),
        ("softmax", "sigmoid", False, "sigmoid", True),
        ("focal", "loss", False, "sigmoid", False),
    ],
)
def test_scores_and_background_follow_from_loss_and_converter(
    loss, converter, background, activation, has_background
) -> None:
    config = ExperimentConfig().replace(
        {
            "loss.classification": loss,
            "postprocess.score_converter": converter,
            "model.background_class": background,
        }
    )
    assert (config.score_activation, config.has_background) == (activation, has_background)


def test_the_scales_of_the_levels_may_be_given_and_taken_back() -> None:
    given = ExperimentConfig().replace({"anchors.scales": "0.05,0.1,0.2,0.4,0.6,0.9"})
    assert given.anchors.scales == (0.05, 0.1, 0.2, 0.4, 0.6, 0.9)
    assert ExperimentConfig.from_dict(given.to_dict()) == given
    assert given.replace({"anchors.scales": ""}) == ExperimentConfig()


def test_scales_in_the_wrong_order_are_named() -> None:
    with pytest.raises(UserError, match="`anchors.max_scale` must exceed `anchors.min_scale`"):
        ExperimentConfig().replace({"anchors.min_scale": 0.5, "anchors.max_scale": 0.4})


def test_an_unknown_group_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Unknown settings group `optimiser`. Did you mean `optimizer`"):
        ExperimentConfig.from_dict({"optimiser": {"learning_rate": 1.0}})
