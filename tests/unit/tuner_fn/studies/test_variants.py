"""What a study changes of its baseline."""

import pytest

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import search_space
from tuner_fn.studies import variants
from tuner_fn.studies.variants import Variant

BASELINE = ExperimentConfig()


def ranges(tmp_path, text: str) -> search_space.Ranges:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return search_space.named_space(str(path), BASELINE)


def test_a_list_gives_each_other_value_and_a_range_both_ends(tmp_path) -> None:
    text = "loss.classification: [sigmoid, softmax, focal]\nloss.l2: {low: 1.0e-5, high: 4.0e-5}\n"
    found = variants.of_space(ranges(tmp_path, text), BASELINE)
    assert found == [
        Variant("loss.classification=softmax", {"loss.classification": "softmax"}),
        Variant("loss.classification=focal", {"loss.classification": "focal"}),
        Variant("loss.l2=1e-05", {"loss.l2": 1e-5}),  # the other end is the baseline's
    ]


def test_a_space_without_the_baselines_value_is_compared_with_it_all_the_same(tmp_path) -> None:
    (only,) = variants.of_space(ranges(tmp_path, "model.dropout_rate: [0.3]\n"), BASELINE)
    assert only.settings == {"model.dropout_rate": 0.3}


def test_a_space_of_the_baselines_values_alone_says_so(tmp_path) -> None:
    proposed = variants.of_space(ranges(tmp_path, "model.dropout_rate: [0.0]\n"), BASELINE)
    with pytest.raises(UserError, match="nothing to compare with the baseline. Name other values"):
        variants.compare_with(BASELINE, proposed)


def test_what_does_not_go_together_with_the_baseline_is_left_out_with_the_reason() -> None:
    proposed = [Variant("large", {"anchors.min_scale": 0.95}), Variant("dropout", {"model.dropout_rate": 0.2})]
    found = variants.compare_with(BASELINE.replace({"anchors.max_scale": 0.9}), proposed)
    assert [one.name for one in found.kept] == ["dropout"]
    (reason,) = found.left_out
    assert reason.startswith("large: ")


def test_the_published_study_changes_its_own_baseline() -> None:
    """The settings of `ssd_mobilenet_v2_flir.config`, with the scores' sigmoid that the study began with."""
    api = {"name": "rmsprop", "learning_rate": 0.004, "epsilon": 1.0, "schedule": "exponential", "decay_steps": 800_720}
    baseline = BASELINE.replace({f"optimizer.{name}": value for name, value in api.items()})
    found = variants.compare_with(baseline, variants.flir_study(200_000))
    assert not found.left_out
    changed = {one.name: one.settings for one in found.kept}
    assert changed["decaying rate"] == {"optimizer.decay_steps": 5000}
    assert changed["Adam, fixed rate"] == {
        "optimizer.name": "adam",
        "optimizer.epsilon": 1e-8,
        "optimizer.schedule": "constant",
    }
    assert changed["softmax scores"] == {"postprocess.score_converter": "softmax"}
    assert changed["dropout"] == {"model.dropout_rate": 0.2}
    assert len(changed) == 8


@pytest.mark.parametrize(("total", "expected"), [(200_000, 5000), (400, 10), (1, 1)])
def test_the_rate_decays_after_the_same_share_of_a_shorter_training(total, expected) -> None:
    by_name = {one.name: one.settings for one in variants.flir_study(total)}
    assert by_name["decaying rate"]["optimizer.decay_steps"] == expected


def test_a_change_that_the_baseline_has_is_left_out() -> None:
    found = variants.compare_with(BASELINE.replace({"model.dropout_rate": 0.2}), variants.flir_study(100))
    assert "dropout" not in [one.name for one in found.kept]
    assert "dropout: the baseline has that already" in found.left_out


def test_a_change_without_effect_is_left_out_with_what_it_needs() -> None:
    """`full` has settings that matter with another schedule, loss or augmentation alone."""
    proposed = [Variant("steps", {"optimizer.decay_steps": 100}), Variant("dropout", {"model.dropout_rate": 0.2})]
    together = Variant("decay", {"optimizer.schedule": "exponential", "optimizer.decay_steps": 100})
    found = variants.compare_with(BASELINE.replace({"optimizer.schedule": "cosine"}), [*proposed, together])
    assert [one.name for one in found.kept] == ["dropout", "decay"]
    (reason,) = found.left_out
    assert reason.startswith("steps: `optimizer.decay_steps` has no effect: it needs `optimizer.schedule` to be ")
    full = variants.of_space(search_space.named_space("full", BASELINE), BASELINE)
    kept = variants.compare_with(BASELINE, full).kept
    assert not [one for one in kept if search_space.idle(BASELINE.replace(one.settings), one.settings)]


def test_weights_that_are_not_there_are_left_out_before_anything_is_trained(tmp_path) -> None:
    gone = Variant("gone", {"model.backbone_weights": str(tmp_path / "gone.h5")})
    found = variants.compare_with(BASELINE, [gone, Variant("dropout", {"model.dropout_rate": 0.2})])
    assert [one.name for one in found.kept] == ["dropout"]
    assert "gone.h5" in found.left_out[0]
