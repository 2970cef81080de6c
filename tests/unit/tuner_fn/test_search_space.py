"""The search space comes from the declarations and leads back to settings."""

import json

import pytest

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import presets, reporting, search_options, search_space, strategies


def make(names, config=None):
    config = config or ExperimentConfig()
    return search_space.make_search_space(config, search_space.pick({}, names, config)).space


def test_ranges_choices_and_defaults_are_the_declared_ones() -> None:
    config = ExperimentConfig().replace({"optimizer.learning_rate": 0.05})
    names = ["optimizer.learning_rate", "postprocess.score_converter", "model.alpha", "model.head_layers"]
    alpha, layers, rate, converter = make(names, config)  # in the order of their declaration
    assert (rate.min_value, rate.max_value, rate.default, rate.sampling) == (5e-4, 0.05, 0.05, "log")
    assert (converter.values, converter.default) == (["loss", "sigmoid", "softmax"], "loss")
    assert alpha.values == [0.35, 0.5, 0.75, 1.0, 1.3, 1.4]
    assert (type(layers).__name__, layers.min_value, layers.max_value) == ("Int", 0, 4)


def test_a_whole_number_among_the_candidates_of_a_fraction_is_one(tmp_path) -> None:
    (tmp_path / "space.yaml").write_text("model.alpha: [0.35, 1, 1.0]\n")
    ranges = search_space.named_space(str(tmp_path / "space.yaml"), ExperimentConfig())
    (alpha,) = search_space.make_search_space(ExperimentConfig(), ranges).space
    assert alpha.values == [0.35, 1.0]


def test_a_value_that_is_no_candidate_is_tried_too() -> None:
    """An imported configuration may have any width; the first trial is the configuration itself."""
    (alpha,) = make(["model.alpha"], ExperimentConfig().replace({"model.alpha": 0.6}))
    assert alpha.values == [0.35, 0.5, 0.75, 1.0, 1.3, 1.4, 0.6]
    assert alpha.default == 0.6


def test_what_depends_on_a_searched_choice_is_active_with_it_alone() -> None:
    config = ExperimentConfig()
    space = search_space.make_search_space(config, search_space.pick({}, ["loss.*"], config))
    assert space.values["loss.classification"] == "sigmoid"
    assert "loss.negatives_per_positive" in space.values
    assert "loss.focal_gamma" not in space.values
    space.values["loss.classification"] = "focal"
    space.ensure_active_values()
    assert space.is_active("loss.focal_gamma")
    assert not space.is_active("loss.negatives_per_positive")


def test_what_depends_on_a_chance_is_idle_where_that_is_0() -> None:
    config = ExperimentConfig()
    ranges = {**search_space.named_space("flir_study", config), **search_space.pick({}, ["augment.patch*"], config)}
    ranges["augment.patch_probability"] = {"choices": [0.0, 0.5]}
    space = search_space.make_search_space(config, ranges)
    assert not space.is_active("augment.patch_max_count")
    space.values["augment.patch_probability"] = 0.5
    space.ensure_active_values()
    assert space.is_active("augment.patch_max_count")


def test_a_value_of_0_starts_at_the_low_end_of_a_logarithmic_range() -> None:
    (decay,) = make(["optimizer.weight_decay"])
    assert (decay.min_value, decay.default, decay.sampling) == (1e-5, 1e-5, "log")


def test_what_must_hold_of_two_settings_names_the_one_that_does_not() -> None:
    config = ExperimentConfig().replace({"anchors.scales": (0.05, 0.1, 0.2, 0.4, 0.6, 0.9)})
    with pytest.raises(
        UserError, match=r"`anchors.min_scale` cannot be searched .*: it needs `anchors.scales` to be empty"
    ):
        search_space.pick({}, ["anchors.min_scale"], config)


def test_what_needs_one_of_two_settings_is_searched_with_either() -> None:
    """Convolutions before the predictor have a width, and so has a feature pyramid."""
    config = ExperimentConfig()
    with pytest.raises(
        UserError,
        match="`model.head_depth` .*: it needs `model.head_layers` to be other than 0 or `model.head` to be fpnlite",
    ):
        search_space.pick({}, ["model.head_depth"], config)
    for changes in ({"model.head_layers": 2}, {"model.head": "fpnlite"}):
        assert [one.name for one in make(["model.head_depth"], config.replace(changes))] == ["model.head_depth"]
    for others in (["model.head_layers"], ["model.head", "model.head_layers"]):
        assert {one.name for one in make([*others, "model.head_depth"])} == {*others, "model.head_depth"}
    space = search_space.make_search_space(config, search_space.pick({}, ["model.head", "model.head_depth"], config))
    assert not space.is_active("model.head_depth")
    space.values["model.head"] = "fpnlite"
    space.ensure_active_values()
    assert space.is_active("model.head_depth")


def test_what_a_run_decides_once_is_not_searched(tmp_path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("model.backbone_weights: [none, auto]\n")
    with pytest.raises(UserError, match="`model.backbone_weights` cannot be searched over auto"):
        search_space.named_space(str(path), ExperimentConfig())


def test_levels_are_not_searched_beside_scales_of_one_number_of_them() -> None:
    config = ExperimentConfig().replace({"anchors.scales": (0.05, 0.1, 0.2, 0.4, 0.6, 0.9)})
    assert "model.num_levels" in search_space.named_space("architecture", ExperimentConfig())
    assert "model.num_levels" not in search_space.named_space("architecture", config)
    with pytest.raises(
        UserError, match=r"`model.num_levels` cannot be searched .*: it needs `anchors.scales` to be empty"
    ):
        search_space.pick({}, ["model.num_levels"], config)


@pytest.mark.parametrize("name", search_space.SPACES)
def test_every_named_space_can_be_searched(name) -> None:
    config = ExperimentConfig()
    ranges = search_space.named_space(name, config)
    assert len(search_space.make_search_space(config, ranges).space) == len(ranges) >= 4


def test_the_studys_space_is_its_five_settings_and_the_noise() -> None:
    ranges = search_space.named_space("flir_study", ExperimentConfig())
    assert ranges["loss.classification"] == {"choices": ["sigmoid", "softmax"]}
    assert ranges["optimizer.decay_steps"] == {"low": 5000, "high": 800_720, "scale": "log"}
    assert len(ranges) == 7  # the schedule, and its decay's steps


def test_a_file_may_name_any_setting_and_its_range(tmp_path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("postprocess.nms_iou: {low: 0.4, high: 0.7}\nmodel.alpha: [0.35, 0.5]\nloss.l2:\naugment.crop*:\n")
    ranges = search_space.named_space(str(path), ExperimentConfig())
    assert ranges["postprocess.nms_iou"] == {"low": 0.4, "high": 0.7, "scale": "linear"}
    assert ranges["model.alpha"] == {"choices": [0.35, 0.5]}
    assert ranges["loss.l2"] == {"low": 1e-6, "high": 1e-3, "scale": "log"}
    assert {"augment.crop_probability", "augment.crop_min_scale"} < set(ranges)
    picked = search_space.pick(ranges, ["model.*"], ExperimentConfig())
    assert picked["model.alpha"] == {"choices": [0.35, 0.5]}
    assert "loss.l2" not in picked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss.l3: [1]", "`loss.l3` is not a hyperparameter that can be searched. Did you mean `loss.l2`"),
        ("model.alpha: [0.35, 9]", r"`model.alpha` must lie in \[0.1, 2.0\]: got 9"),
        ("model.alpha: []", "`model.alpha` needs at least one value"),
        ("input.max_boxes:", "`input.max_boxes` is not a hyperparameter that can be searched without a range"),
        ("input.max_boxes: {low: 4}", "`input.max_boxes` needs `low` and `high`"),
        ("loss.l2: {low: 0.01, high: 0.001}", "`loss.l2` needs numbers with `low` up to `high`"),
        ("loss.l2: {lo: 0.01}", "`loss.l2` needs a list of values, or some of low, high, scale, choices"),
        ("loss.l2: {scale: cubic}", "`loss.l2` needs a `scale` of linear, or log"),
        ("loss.l2: {low: 0.0}", "`loss.l2` needs a `scale` of linear, or log from above 0"),
        (
            "anchors.scales: [[0.1, 0.2], [0.2, 0.4]]",
            "`anchors.scales` cannot be searched over lists: got .0.1, 0.2",
        ),
        (
            "loss.classification: [sigmoid, softmax]\nloss.focal_gamma:",
            "`loss.focal_gamma` cannot be searched .*: it needs `loss.classification` to be focal",
        ),
        ("loss.focal_gamma:", "`loss.focal_gamma` cannot be searched .*: it needs `loss.classification` to be focal"),
        ("- a", "needs lines such as `optimizer.learning_rate"),
        ("a: [", "is neither YAML nor JSON"),
    ],
)
def test_each_mistake_in_a_file_is_named(tmp_path, text, message) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        search_space.named_space(str(path), ExperimentConfig())
    assert str(path) in str(caught.value)


def test_an_unknown_space_names_the_nearest() -> None:
    with pytest.raises(
        UserError, match="`--space=flir_studi` is neither a space nor a file. Did you mean `flir_study`"
    ):
        search_space.named_space("flir_studi", ExperimentConfig())
    with pytest.raises(UserError, match="`--space=/nowhere/space.yaml` cannot be read: No such file"):
        search_space.named_space("/nowhere/space.yaml", ExperimentConfig())


def test_a_trials_values_become_settings() -> None:
    values = {"optimizer.learning_rate": 0.01, "tuner/epochs": 3, "tuner/trial_id": "0001"}
    config = search_space.configuration(ExperimentConfig(), values)
    assert config == ExperimentConfig().replace({"optimizer.learning_rate": 0.01})


def test_every_declared_hyperparameter_can_be_searched_and_shown(tmp_path) -> None:
    """Each draw of each is a valid configuration of its own, and TensorBoard takes its domain."""
    config = ExperimentConfig()
    ranges = search_space.named_space("full", config)
    for parameter in search_space.make_search_space(config, ranges).space:
        for draw in (0.0, 0.5, 0.999):
            search_space.configuration(config, {parameter.name: parameter.prob_to_value(draw)})
    reporting.write_hparams_domain(tmp_path, ranges, "AP50")


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_a_valid_configuration(name) -> None:
    preset = presets.get_preset(name)
    config = presets.experiment(preset, {}, 0)
    assert config.training.seed == 0
    ranges = search_space.named_space("default", config)
    for strategy in strategies.STRATEGIES:
        search = presets.search(preset, strategy, ranges, 0, epochs=config.training.epochs)
        assert search_options.SearchConfig.from_dict(json.loads(json.dumps(search.to_dict()))) == search


def test_a_setting_the_user_fixed_is_not_searched() -> None:
    ranges = search_space.named_space("default", ExperimentConfig())
    assert set(ranges) - set(search_space.without(ranges, ["loss.l2"])) == {"loss.l2"}


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({"anchors.scales": (0.05, 0.1, 0.2, 0.4, 0.6, 0.9)}, "anchors.min_scale"),
        ({"anchors.kind": "multiscale"}, "anchors.min_scale"),
        ({"loss.classification": "focal"}, "loss.negatives_per_positive"),
    ],
)
def test_what_has_no_effect_is_not_searched(changes, idle) -> None:
    found = search_space.named_space("default", ExperimentConfig().replace(changes))
    assert set(search_space.SPACES["default"]) - set(found) == {idle}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "hyperbnd"}, "Unknown search `hyperbnd`. Did you mean `hyperband`"),
        ({"max_epochs": 0}, "`max_epochs` must be at least 1: got 0"),
        (
            {"max_epochs": 16},
            "`--max_epochs=16`: a trial cannot train for more epochs than the final training, which has 15",
        ),
        ({"max_trials": 0}, "`max_trials` must be at least 1: got 0"),
        ({"max_epochs_total": 0}, "`max_epochs_total` must be at least 1: got 0"),
        ({"max_minutes": 0.0}, "`max_minutes` must be positive: got 0"),
        ({"max_minutes": float("inf")}, "`max_minutes` must be a finite number: got inf. Leave it out for no limit."),
        ({"min_confidence": float("nan")}, "`min_confidence` must be a finite number: got nan."),
        ({"trial_timeout": 0.0}, "`trial_timeout` must be positive: got 0"),
        ({"repeats": 0}, "`repeats` must be at least 1: got 0"),
        (
            {"repeats": 3, "max_epochs_total": 60},
            "trains 2 configurations of 15 epochs with all seeds in the end: 60 epochs beside the search, which "
            "leaves none of "
            "max_epochs_total=60 to the search",
        ),
        ({"min_confidence": 0.0}, "`min_confidence` must be above 0 and below 1: got 0.0"),
        ({"min_confidence": 1.0}, "`min_confidence` must be above 0 and below 1: got 1.0"),
        ({"ranges": {}}, "Nothing is left to search"),
        ({"early_stopping": 0.0}, "`early_stopping` must be above 0 and below 1: got 0.0"),
        ({"early_stopping": 1.0}, "`early_stopping` must be above 0 and below 1: got 1.0"),
        (
            {"early_stopping": 0.05, "strategy": "freeze_thaw"},
            "train every configuration whole: got `freeze_thaw`, .* or search by one of bayesian, random,",
        ),
    ],
)
def test_each_mistake_is_named(changes, message) -> None:
    ranges = search_space.named_space("default", ExperimentConfig())
    with pytest.raises(UserError, match=message):
        settings = {"strategy": "random", "ranges": ranges, "seed": 0, "epochs": 15}
        presets.search(presets.get_preset("quick"), **settings | changes)
    with pytest.raises(UserError, match="Unknown preset `quik`. Did you mean `quick`"):
        presets.get_preset("quik")


def test_a_budget_of_the_user_replaces_the_presets() -> None:
    def budget(preset: str = "quick", **settings):
        search = make_search(preset, **settings)
        return search.max_minutes, search.max_trainings, search.max_epochs_total, search.max_trials

    for name in ("quick", "cpu"):
        preset = presets.get_preset(name)
        assert budget(name) == (preset.minutes, preset.trainings, None, None)
    trainings = presets.get_preset("standard").trainings
    assert budget("standard") == (None, None, trainings * 20, None)
    assert budget("standard", max_epochs=6) == (None, None, trainings * 6, None)
    assert budget(max_minutes=3.0) == (3.0, None, None, None)
    assert budget(max_trials=3) == (None, None, None, 3)
    assert budget(max_epochs_total=7) == (None, None, 7, None)


def make_search(preset: str = "quick", **settings) -> search_options.SearchConfig:
    ranges = search_space.named_space("default", ExperimentConfig())
    return presets.search(presets.get_preset(preset), "random", ranges, 0, **{"epochs": 20} | settings)


def test_a_trial_is_as_long_as_the_final_training_at_most_and_a_sixth_of_it_at_least() -> None:
    assert (make_search().max_epochs, make_search().min_epochs) == (20, 3)
    shorter = make_search(max_epochs=5)
    assert (shorter.max_epochs, shorter.min_epochs) == (5, 1)


@pytest.mark.parametrize(
    ("settings", "repeats"),
    [
        ({}, 2),  # the preset's whole trainings
        ({"max_epochs_total": 160}, 2),  # room for eight
        ({"max_epochs_total": 159}, 1),
        ({"max_epochs_total": 48, "max_epochs": 6}, 2),  # whole is what a trial may have
        ({"max_minutes": 3.0}, 2),  # the first steps decide whether there is a search at all
        ({"max_minutes": 3.0, "max_epochs_total": 159}, 1),
        ({"max_trials": 100}, 1),
        ({"max_epochs_total": 159, "repeats": 3}, 3),
        ({"repeats": 1}, 1),
    ],
)
def test_a_second_seed_is_for_searches_with_room_for_it_or_whose_user_asks(settings, repeats) -> None:
    assert make_search(**settings).repeats == repeats


def test_a_fidelity_is_converted_and_keeps_to_its_declaration() -> None:
    config = ExperimentConfig()
    found = search_space.fidelity({"training.data_share": "0.25", "input.image_size": "160"}, config, {})
    assert found == {"training.data_share": 0.25, "input.image_size": 160}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"training.data_share": "0"}, r"`training.data_share` must lie in \[0.001, 1.0\]: got 0.0"),
        ({"input.image_size": "512"}, "`--fidelity=input.image_size=512` is more than the final training has: 300"),
        (
            {"loss.l2": "0"},
            "`--fidelity=loss.l2` cannot be reduced. Choose one of input.image_size, input.image_height,"
            " input.image_width, training",
        ),
        ({"training.epochs": "3"}, "the epochs of trials are `--max_epochs`"),
        ({"input.image_size": "160"}, "`--fidelity=input.image_size`: this setting is also searched"),
    ],
)
def test_each_mistake_in_a_fidelity_is_named(overrides, message) -> None:
    ranges = {"input.image_size": {"choices": [160, 300]}} if "160" in overrides.values() else {}
    with pytest.raises(UserError, match=message):
        search_space.fidelity(overrides, ExperimentConfig(), ranges)


def test_a_smaller_square_is_no_fidelity_of_a_rectangular_input() -> None:
    config = ExperimentConfig().replace({"input.image_height": 256, "input.image_width": 320})
    with pytest.raises(UserError, match="has no effect beside `input.image_height` and `input.image_width`"):
        search_space.fidelity({"input.image_size": "160"}, config, {})
    smaller = {"input.image_height": 128, "input.image_width": 160}
    assert search_space.fidelity(smaller, config, {}) == smaller
