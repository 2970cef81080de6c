"""The controller's gradient is that of its loss, and what it writes gets better."""

import keras_tuner
import numpy as np
import pytest
import searching

from tuner_fn.oracles.controller import INACTIVE, Policy

SIZES = (3, 2, 5, 4)


def make_policy() -> Policy:
    policy = Policy(SIZES, np.random.default_rng(0))
    policy.weights *= 5.0  # so that no part of the gradient is close to zero
    return policy


@pytest.mark.parametrize("choices", [(2, 0, 4, 1), (1, INACTIVE, 3, INACTIVE), (INACTIVE, 1, 0, 2)])
@pytest.mark.parametrize(("advantage", "entropy_weight"), [(1.3, 0.0), (-0.7, 0.2), (0.0, 1.0)])
def test_the_gradient_is_that_of_finite_differences(choices, advantage, entropy_weight) -> None:
    """Central differences of 1e-5 are right to about 1e-10 in float64."""
    policy = make_policy()
    _, gradient = policy.loss(choices, advantage, entropy_weight)
    at, steps = policy.weights.copy(), np.random.default_rng(1).permutation(len(policy.weights))[:200]
    for index in steps:
        values = []
        for sign in (1.0, -1.0):
            policy.weights = at.copy()
            policy.weights[index] += sign * 1e-5
            values.append(policy.loss(choices, advantage, entropy_weight)[0])
        assert gradient[index] == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)
    assert np.abs(gradient[steps]).max() > 0.01


def test_the_loss_is_the_log_probability_of_the_choices() -> None:
    """Over all that can be written, probabilities add up to 1."""
    policy = Policy((3, 2), np.random.default_rng(0))
    logs = [-policy.loss((first, second), 1.0, 0.0)[0] for first in range(3) for second in range(2)]
    assert np.exp(logs).sum() == pytest.approx(1.0)


def test_a_choice_depends_on_those_before_it() -> None:
    policy = make_policy()
    state, _ = policy.step(policy.start, 0)
    following = [policy.step(policy.read(state, 0, choice), 1)[1] for choice in range(3)]
    assert np.ptp(following, axis=0).max() > 0.05


def test_it_learns_a_separable_task(tmp_path) -> None:
    """Six choices with a best value each: random ones score 0 in the mean, the last 20 of 70 far above."""
    space = keras_tuner.HyperParameters()
    for name in "abcdef":
        space.Choice(name, [0, 1, 2, 3, 4], default=0)

    def score(values) -> float:
        return float(np.mean([np.cos(values[name] - best) for name, best in zip("abcdef", range(6), strict=True)]))

    late = []
    for seed in range(2):
        oracle = searching.make_oracle(
            "controller", tmp_path / str(seed), hyperparameters=space, seed=seed, max_trials=70
        )
        late.append(np.mean([score(values) for values in searching.run(oracle, score)[50:]]))
    assert min(late) > 0.4


def test_a_choice_keeps_its_values_apart_however_many(tmp_path) -> None:
    """One of twelve names is right; random search would name it in 3 of the last 36 trials."""
    space = keras_tuner.HyperParameters()
    space.Choice("name", list("abcdefghijkl"), default="a")
    space.Float("share", 0.0, 1.0, default=0.0)
    options = {"hyperparameters": space, "max_trials": 80, "learning_rate": 0.05}
    asked = searching.run(
        searching.make_oracle("controller", tmp_path, **options), lambda one: float(one["name"] == "g")
    )
    assert sum(values["name"] == "g" for values in asked[44:]) >= 18


def test_the_scale_of_the_scores_does_not_matter(tmp_path) -> None:
    """A power of two changes no digit of the scaled advantages."""
    first, other = (
        searching.run(
            searching.make_oracle("controller", tmp_path / str(scale), max_trials=25),
            lambda values, scale=scale: scale * searching.height(values),
        )
        for scale in (1.0, 1024.0)
    )
    assert first == other


def test_a_failing_region_is_left(tmp_path) -> None:
    """Trials with a share above a half fail; random search would start 15 of the last 30 there."""
    oracle = searching.make_oracle("controller", tmp_path, max_trials=70)
    asked = searching.run(oracle, lambda one: searching.height(one) if one["share"] <= 0.5 else None)
    assert sum(values["share"] > 0.5 for values in asked[40:]) <= 8
