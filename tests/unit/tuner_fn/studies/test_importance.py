"""The importance of settings, on trials whose scores are made by a known rule."""

import dataclasses
import json

import numpy as np
import pytest
import yaml

from data.errors import UserError
from data.run_directory import RunDirectory
from models.hyperparameters import ExperimentConfig
from tests import finished_search
from tuner_fn import search_space
from tuner_fn.studies import importance, importance_plot, search_scores

SETTINGS = ["rate", "name", "size", "idle"]


def made_rows(count, score, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        row = {
            "rate": float(10 ** rng.uniform(-4, -1)),
            "name": ["adam", "sgd", "rmsprop"][rng.integers(3)],
            "size": int(2 ** rng.integers(1, 5)),
            "idle": float(rng.uniform()),
        }
        rows.append(row | {"score": score(row, rng)})
    return rows


def rate_and_name(row, rng):
    by_name = {"adam": 0.2, "sgd": 0.0, "rmsprop": 0.0}[row["name"]]
    return 0.1 * np.log10(row["rate"]) + by_name + 0.01 * rng.normal()


@pytest.fixture(scope="module")
def found():
    """Variance of 0.1 log10(rate) over three decades 0.0075, of the name 0.0089, none of the others."""
    return importance.measure(made_rows(150, rate_and_name), "score", SETTINGS)


def test_shares_are_those_of_the_rule(found) -> None:
    assert found.trials == 150
    assert found.reliable
    assert found.r2 > 0.9
    assert {*list(found.shares)[:2]} == {"rate", "name"}
    for name, share in {"rate": 0.0075 / 0.0164, "name": 0.0089 / 0.0164}.items():
        mean, low, high = found.shares[name]
        assert low <= mean <= high
        assert mean == pytest.approx(share, abs=0.06)  # a forest of 150 trials
    assert found.interactions["rate", "name"] < 0.05


def test_settings_without_effect_are_found_and_no_others(found) -> None:
    assert sorted(found.no_effect) == ["idle", "size"]
    assert importance.verdict(found, "rate") == "matters"
    assert importance.verdict(found, "idle") == "little or none"


def test_marginals_follow_the_rule(found) -> None:
    values, means, spreads = zip(*found.marginals["rate"], strict=True)
    assert list(values) == sorted(values)
    assert min(values) == pytest.approx(1e-4, rel=0.2)
    assert means[-1] - means[0] == pytest.approx(0.3, abs=0.06)
    assert all(0 <= spread < 0.05 for spread in spreads)
    by_name = {value: mean for value, mean, _ in found.marginals["name"]}
    assert by_name["adam"] - by_name["sgd"] == pytest.approx(0.2, abs=0.03)
    assert [value for value, _, _ in found.marginals["size"]] == [2, 4, 8, 16]


def test_the_numbers_are_json_and_the_picture_a_png(found) -> None:
    back = json.loads(json.dumps(found.to_dict()))
    assert back["interactions"][0]["settings"] == list(next(iter(found.interactions)))
    for one in (found, dataclasses.replace(found, reliable=False)):
        assert importance_plot.plot(one, "Which settings matter", "val mAP@.5").startswith(b"\x89PNG")


def test_scores_that_depend_on_nothing_support_no_statement() -> None:
    found = importance.measure(made_rows(60, lambda row, rng: rng.normal()), "score", SETTINGS)
    assert found.r2 < importance.LEAST_R2
    assert not found.reliable
    assert found.no_effect == ()
    assert importance.verdict(found, "rate") == "unknown"


def test_few_trials_are_measured_and_not_relied_on() -> None:
    found = importance.measure(made_rows(15, rate_and_name), "score", SETTINGS)
    assert not found.reliable
    assert importance.doubt(found).startswith("15 configurations are too few")
    assert found.no_effect == ()


def test_a_weak_setting_that_few_trials_do_not_show_is_not_called_idle() -> None:
    """The forest sees the strong setting alone; its errors depend on the weak one, a tenth of the variance."""

    def strong_and_weak(row, rng):
        return row["strong"] + 0.33 * row["weak"]

    rng = np.random.default_rng(3)
    rows = [dict(zip(["strong", "weak", *"abcdef"], map(float, rng.uniform(size=8)), strict=True)) for _ in range(40)]
    rows = [row | {"score": strong_and_weak(row, rng)} for row in rows]
    found = importance.measure(rows, "score", ["strong", "weak", *"abcdef"])
    assert found.reliable
    assert "weak" not in found.no_effect


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no trial has a score: at least 10 are needed"),
        ([{"rate": 0.1, "score": 0.5}], "only 1 trial has a score"),
        ([{"rate": 0.1 * n, "score": float("nan")} for n in range(20)], "no trial has a score"),
        ([{"rate": 0.1 * n, "score": None} for n in range(20)], "no trial has a score"),
        ([{"rate": 0.1 * n, "score": 0.25} for n in range(20)], "all 20 scores are 0.25"),
        ([{"rate": 0.1, "score": 0.1 * n} for n in range(20)], "no setting varies in 20 trials"),
    ],
)
def test_where_nothing_can_be_said_the_reason_is(rows, message) -> None:
    with pytest.raises(UserError, match=message):
        importance.measure(rows, "score", ["rate"])


def test_one_setting_has_all_of_the_variance() -> None:
    rows = [{"rate": 0.05 * n, "score": 0.05 * n} for n in range(30)]
    found = importance.measure(rows, "score", ["rate"])
    assert found.shares["rate"][0] == pytest.approx(1.0, abs=0.02)
    assert found.interactions == {}
    assert found.no_effect == ()


def test_a_search_becomes_a_smaller_one(tmp_path) -> None:
    """Batch size and learning rate decide; the file pins the others where the best trial had them."""
    ranges = {
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
        "input.batch_size": {"choices": [2, 4, 8, 16]},
        "loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"},
    }

    def score(values, epoch):
        return 0.02 * epoch + 0.1 * np.log10(values["optimizer.learning_rate"]) + 0.02 * values["input.batch_size"]

    finished_search.write(tmp_path, ranges, score, count=120, epochs=(2, 6))
    scores = search_scores.read(RunDirectory(tmp_path))
    found = importance.of_search(scores)
    assert found.no_effect == ("loss.l2",)
    path = tmp_path / "smaller.yaml"
    path.write_text(importance.smaller_space(found, scores))
    best = max((one for one in scores.configurations), key=lambda one: max(one.curve.values())).values
    config = ExperimentConfig()
    assert list(search_space.named_space(str(path), config)) == ["input.batch_size", "optimizer.learning_rate"]
    assert search_space.pinned_settings(str(path)) == {"loss.l2": best["loss.l2"]}
    assert yaml.safe_load(path.read_text())["optimizer.learning_rate"] == ranges["optimizer.learning_rate"]


def test_no_smaller_space_is_made_where_nothing_is_shown(found) -> None:
    for one, message in [
        (dataclasses.replace(found, no_effect=()), "no setting is shown to have little or no effect"),
        (
            dataclasses.replace(found, no_effect=(), reliable=False, r2=0.1),
            r"predicts too little \(R² 0.10, below 0.25\)",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            importance.smaller_space(one, None)
