"""The search space comes from the declarations and leads back to settings."""

import pytest

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import presets, reporting, search_space


def test_ranges_choices_and_defaults_are_the_declared_ones() -> None:
    config = ExperimentConfig().replace({"optimizer.learning_rate": 0.05})
    names = ["optimizer.learning_rate", "postprocess.score_converter", "model.alpha", "model.head_layers"]
    space = search_space.make_search_space(config, names)
    rate, converter, alpha, layers = space.space
    assert (rate.min_value, rate.max_value, rate.default, rate.sampling) == (5e-4, 0.05, 0.05, "log")
    assert (converter.values, converter.default) == (["loss", "sigmoid", "softmax"], "loss")
    assert alpha.values == [0.35, 0.5, 0.75, 1.0, 1.3, 1.4]
    assert (type(layers).__name__, layers.min_value, layers.max_value) == ("Int", 0, 4)


def test_a_value_that_is_no_candidate_is_tried_too() -> None:
    """An imported configuration may have any width; the first trial is the configuration itself."""
    space = search_space.make_search_space(ExperimentConfig().replace({"model.alpha": 0.6}), ["model.alpha"])
    assert space.space[0].values == [0.35, 0.5, 0.75, 1.0, 1.3, 1.4, 0.6]
    assert space.space[0].default == 0.6


def test_a_trials_values_become_settings() -> None:
    values = {"optimizer.learning_rate": 0.01, "tuner/epochs": 3, "tuner/trial_id": "0001"}
    config = search_space.configuration(ExperimentConfig(), values)
    assert config == ExperimentConfig().replace({"optimizer.learning_rate": 0.01})


def test_every_declared_hyperparameter_can_be_searched_and_shown(tmp_path) -> None:
    """Each draw of each is a valid configuration of its own, and TensorBoard takes its domain."""
    config = ExperimentConfig()
    names = [path for path, field, _ in config.items() if "search" in field.metadata]
    space = search_space.make_search_space(config, names)
    for parameter in space.space:
        for draw in (0.0, 0.5, 0.999):
            search_space.configuration(config, {parameter.name: parameter.prob_to_value(draw)})
    reporting.write_hparams_domain(tmp_path, config, names)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_a_valid_configuration(name) -> None:
    preset = presets.get_preset(name)
    config = presets.experiment(preset, {}, 0)
    assert config.training.seed == 0
    for strategy in presets.SEARCHES:
        search = presets.search(preset, strategy, 0)
        assert presets.SearchConfig.from_dict(search.to_dict()) == search
        search_space.make_search_space(config, search.tune)


def test_a_setting_the_user_fixed_is_not_searched() -> None:
    search = presets.search(presets.get_preset("quick"), "hyperband", 0, pinned=["loss.l2"])
    assert "loss.l2" not in search.tune


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({"anchors.scales": (0.05, 0.1, 0.2, 0.4, 0.6, 0.9)}, "anchors.min_scale"),
        ({"anchors.kind": "multiscale"}, "anchors.min_scale"),
        ({"loss.classification": "focal"}, "loss.negatives_per_positive"),
    ],
)
def test_what_has_no_effect_is_not_searched(changes, idle) -> None:
    found = presets.without_effect(ExperimentConfig().replace(changes))
    assert found == (idle,)
    assert idle in presets.SEARCHED
    search = presets.search(presets.get_preset("quick"), "hyperband", 0, idle=found)
    assert set(presets.SEARCHED) - set(search.tune) == {idle}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune": ["optimizer.learning_rat"]}, "Did you mean `optimizer.learning_rate`"),
        ({"tune": ["input.batch_size"]}, "`input.batch_size` is no hyperparameter that can be searched"),
        ({"max_epochs": 0}, "`max_epochs` must be at least 1: got 0"),
        ({"max_trials": 0}, "`max_trials` must be at least 1: got 0"),
    ],
)
def test_each_mistake_is_named(changes, message) -> None:
    with pytest.raises(UserError, match=message):
        presets.search(presets.get_preset("quick"), "random", 0, **changes)
    with pytest.raises(UserError, match="Unknown preset `quik`. Did you mean `quick`"):
        presets.get_preset("quik")
