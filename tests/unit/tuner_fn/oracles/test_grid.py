"""The grid has every combination once, in order, and fits the budget."""

import keras_tuner
import pytest
import searching


def make_space() -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    space.Choice("head", ["ssd", "fpnlite"], default="fpnlite")
    with space.conditional_scope("head", ["fpnlite"]):
        space.Int("levels", 2, 4, default=3)
    space.Float("rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    return space


def run(folder, space, **options) -> list[tuple]:
    asked = searching.run(searching.make_oracle("grid", folder, hyperparameters=space, **options), lambda values: 0.5)
    return [tuple(one for name, one in values.items() if not name.startswith("tuner/")) for values in asked]


def test_every_combination_comes_once_in_order_after_the_defaults(tmp_path) -> None:
    found = run(tmp_path, make_space(), values_each=3)
    rates = (pytest.approx(1e-4), pytest.approx(1e-3), pytest.approx(1e-2))
    heads = [("ssd",), ("fpnlite", 2), ("fpnlite", 3), ("fpnlite", 4)]
    grid = [(*head, rate) for head in heads for rate in rates]
    grid.remove(("fpnlite", 3, 1e-3))
    assert found == [("fpnlite", 3, 1e-3), *grid]


@pytest.mark.parametrize(
    ("budget", "values_each", "points"),
    [
        ({"max_trials": 4}, 2, 5),  # more points than trials: a range has two ends
        ({"max_trials": 11}, 3, 10),
        ({"max_trials": 17}, 4, 17),
        ({"max_epochs_total": 17 * 9}, 4, 17),
        ({}, 3, 10),
    ],
)
def test_of_a_range_as_many_values_are_taken_as_the_budget_has_room_for(budget, values_each, points, tmp_path) -> None:
    """Two ranges, the defaults on none of the grids: of 2, 3 and 4 values each there are 4, 9 and 16 points more."""
    space = keras_tuner.HyperParameters()
    space.Float("share", 0.0, 1.0, default=0.1)
    space.Int("width", 1, 1000, sampling="log", default=1)
    oracle = searching.make_oracle("grid", tmp_path, hyperparameters=space, **budget)
    assert (oracle.values_each, oracle.points) == (values_each, points)
    trials = min(points, budget.get("max_trials", points))
    assert (oracle.planned_trials(), oracle.planned_epochs()) == (trials, trials * 9)


def test_a_larger_budget_takes_a_finer_grid_and_nothing_twice(tmp_path) -> None:
    """With 10 trials ranges have 3 values, with 26 they have 5, with 20 and 24 they have 4: 17 points and 5 before."""
    space = keras_tuner.HyperParameters()
    for name in ("share", "rate"):
        space.Float(name, 0.0, 1.0, default=0.1)
    for budget, trials, missed in ((26, 26, 0), (20, 20, 2), (24, 22, 0)):
        folder = tmp_path / str(budget)
        first = run(folder, space, max_trials=10)
        oracle = searching.make_oracle("grid", folder, hyperparameters=space, max_trials=budget)
        oracle.reload()
        assert (oracle.planned_trials(), type(oracle.planned_trials())) == (trials, int)  # what JSON can hold
        asked = searching.run(oracle, lambda values: 0.5)
        found = first + [(values["share"], values["rate"]) for values in asked]
        assert len({tuple(round(value, 9) for value in one) for one in found}) == len(found) == trials
        levels = [number / (oracle.values_each - 1) for number in range(oracle.values_each)]
        points = {(round(one, 9), round(other, 9)) for one in levels for other in levels}
        assert len(points - {tuple(round(value, 9) for value in one) for one in found}) == missed
        grid = f"all {oracle.points} points of the grid were tried"
        assert oracle.end_reason == ("the 20 trials asked for are done" if missed else grid)


def test_a_grid_as_large_as_the_budget_says_that_it_is_done(tmp_path) -> None:
    space = keras_tuner.HyperParameters()
    space.Choice("depth", [1, 2, 3])
    oracle = searching.make_oracle("grid", tmp_path, hyperparameters=space, max_trials=3)
    assert len(searching.run(oracle, lambda values: 0.5)) == 3
    assert oracle.end_reason == "all 3 points of the grid were tried"


def test_a_range_in_steps_is_taken_whole_where_the_budget_has_room(tmp_path) -> None:
    space = keras_tuner.HyperParameters()
    space.Int("width", 1, 20, default=7)
    assert sorted(run(tmp_path / "whole", space, max_trials=25)) == [(width,) for width in range(1, 21)]
    assert run(tmp_path / "part", space, max_trials=6) == [(7,), (1,), (6,), (11,), (15,), (20,)]
