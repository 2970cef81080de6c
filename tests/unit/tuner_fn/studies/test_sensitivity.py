"""Shares of the variance, on trials whose scores are made by a known rule."""

import dataclasses
import json

import numpy as np
import pytest

from data.errors import UserError
from tuner_fn.studies import importance_plot, sensitivity

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
    return sensitivity.measure(made_rows(150, rate_and_name), "score", SETTINGS)


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
    found = sensitivity.measure(made_rows(60, lambda row, rng: rng.normal()), "score", SETTINGS)
    assert found.r2 < sensitivity.LEAST_R2
    assert not found.reliable
    assert found.no_effect == ()


def test_few_trials_are_measured_and_not_relied_on() -> None:
    found = sensitivity.measure(made_rows(15, rate_and_name), "score", SETTINGS)
    assert not found.reliable
    assert found.no_effect == ()


def test_a_weak_setting_that_few_trials_do_not_show_is_not_called_idle() -> None:
    """The forest sees the strong setting alone; its errors depend on the weak one, a tenth of the variance."""

    def strong_and_weak(row):
        return row["strong"] + 0.33 * row["weak"]

    rng = np.random.default_rng(3)
    rows = [dict(zip(["strong", "weak", *"abcdef"], map(float, rng.uniform(size=8)), strict=True)) for _ in range(40)]
    rows = [row | {"score": strong_and_weak(row)} for row in rows]
    found = sensitivity.measure(rows, "score", ["strong", "weak", *"abcdef"])
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
        sensitivity.measure(rows, "score", ["rate"])


def test_one_setting_has_all_of_the_variance() -> None:
    rows = [{"rate": 0.05 * n, "score": 0.05 * n} for n in range(30)]
    found = sensitivity.measure(rows, "score", ["rate"])
    assert found.shares["rate"][0] == pytest.approx(1.0, abs=0.02)
    assert found.interactions == {}
    assert found.no_effect == ()


def test_without_a_space_values_tell_whether_their_range_is_logarithmic() -> None:
    """Values drawn evenly from [0, 1] hold one near 0, which makes no logarithmic range of them."""
    rng = np.random.default_rng(1)
    rows = [{"even": float(rng.random()), "log": float(10 ** rng.uniform(-5, -1))} for _ in range(400)]
    space = sensitivity._space_of(rows, ["even", "log"])
    assert [parameter.sampling for parameter in space.parameters] == ["linear", "log"]
