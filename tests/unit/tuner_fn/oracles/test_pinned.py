"""Settings without effect that a search stops to vary; the same after a kill."""

import itertools

import keras_tuner
import numpy as np
import pytest

from data import progress
from data.errors import UserError
from tests import searching
from tuner_fn import oracles, search_options
from tuner_fn.oracles.configuration import INHERITED
from tuner_fn.studies import pruning

NAMES = [name for name in oracles.NAMES if name != "grid"]
AFTER = 6


@pytest.fixture
def share_has_no_effect(monkeypatch):
    """Stands for the forest, whose own tests are `test_importance.py`; notes how many configurations it was given."""
    looks = []

    def pins(space, configurations, seed):
        looks.append(len(configurations))
        return {"share": max(configurations, key=lambda one: one.best).values["share"]}

    monkeypatch.setattr(pruning, "pins", pins)
    return looks


def new_ones(asked):
    return [values for values in asked if "tuner/trial_id" not in values]


def settings_of(values):
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


@pytest.mark.parametrize("name", NAMES)
def test_new_configurations_have_the_pinned_value_and_differ(name, tmp_path, share_has_no_effect) -> None:
    oracle = searching.make_oracle(name, tmp_path, max_trials=40, prune_after=AFTER)
    asked = searching.run(oracle)
    assert share_has_no_effect[0] == AFTER
    assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(share_has_no_effect))
    found = [settings_of(values) for values in new_ones(asked)]
    last = {one["share"] for one in found[-3:]}
    assert len(last) == 1
    assert last <= {one["share"] for one in found[: 2 * AFTER]}  # a value that was tried
    assert len({tuple(sorted(one.items())) for one in found}) == len(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_search_reloaded_after_every_trial_pins_the_same(name, tmp_path, share_has_no_effect) -> None:
    def make(folder):
        return searching.make_oracle(name, tmp_path / folder, max_trials=16, prune_after=AFTER)

    expected, asked = searching.run(make("whole")), []
    while True:
        oracle = make("cut")
        if asked:
            oracle.reload()
        trial = oracle.create_trial("tuner0")
        if trial.status != "RUNNING":
            break
        asked.append(dict(trial.hyperparameters.values))
        searching.tell(oracle, trial, searching.height(asked[-1]))
        oracle.save()
    assert asked == expected


def test_nothing_left_to_try_ends_the_search_with_the_reason(tmp_path, share_has_no_effect) -> None:
    space = keras_tuner.HyperParameters()
    space.Choice("share", [0.1, 0.2, 0.3, 0.4])
    space.Choice("size", [1, 2])
    oracle = searching.make_oracle("random", tmp_path, hyperparameters=space, max_epochs=1, prune_after=3)
    searching.run(oracle, lambda values: values["size"] + values["share"])
    assert oracle.end_reason == "all configurations with the pinned settings were tried"


def test_a_setting_that_the_score_does_not_depend_on_is_pinned_at_the_best(tmp_path) -> None:
    """With the real forest: 60 random configurations, whose score is the rate's alone."""
    oracle = searching.make_oracle("random", tmp_path, max_epochs=1, max_trials=70, prune_after=60)
    texts = []
    with progress.listen(lambda kind, fields: texts.append(fields["text"])):
        asked = searching.run(oracle, lambda values: float(np.log10(values["rate"])))
    best = max(asked[:60], key=lambda values: values["rate"])
    assert {values["share"] for values in asked[60:]} == {best["share"]}
    assert len({values["rate"] for values in asked}) == 70
    (text,) = texts
    assert text.startswith("After 60 configurations (R² 0.9")
    assert f"little or no effect is shown for: share={best['share']:.4g}" in text
    assert INHERITED not in asked[-1]


def test_without_a_verdict_nothing_is_pinned(tmp_path) -> None:
    oracle = searching.make_oracle("random", tmp_path, max_epochs=1, max_trials=30, prune_after=25)
    rng = np.random.default_rng(5)
    searching.run(oracle, lambda values: float(rng.normal()))
    assert oracle.pinned.values == {}


def test_options_that_do_not_go_together_are_refused() -> None:
    settings = {"min_epochs": 1, "factor": 3, "seed": 0, "max_epochs": 4, "repeats": 1}
    ranges = {"loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"}}
    with pytest.raises(UserError, match="`prune_after` is for searches that choose what to try: `grid`"):
        search_options.SearchConfig("grid", ranges=ranges, prune_after=40, **settings)
    with pytest.raises(UserError, match="`prune_after` must be at least 20: got 10"):
        search_options.SearchConfig("random", ranges=ranges, prune_after=10, **settings)
