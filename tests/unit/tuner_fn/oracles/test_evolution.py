"""Children differ in one parameter from a parent that is alive; the oldest dies; it beats random search."""

import keras_tuner
import numpy as np
import searching

POPULATION = 5


def make_space() -> keras_tuner.HyperParameters:
    space = searching.make_space()
    space.Int("layers", 1, 50, default=3)
    space.Choice("head", ["ssd", "fpnlite"])
    with space.conditional_scope("head", ["fpnlite"]):
        space.Int("width", 16, 512, sampling="log", default=64)
    return space


def test_a_child_differs_in_one_parameter_from_one_of_the_last(tmp_path) -> None:
    """A width comes and goes with the head."""
    options = {"hyperparameters": make_space(), "population": POPULATION, "sample": 3, "max_trials": 60}
    asked = searching.run(searching.make_oracle("evolution", tmp_path, **options))
    configurations = [{name: one for name, one in values.items() if "/" not in name} for values in asked]

    def differences(one, other) -> int:
        return sum(one[name] != other[name] for name in one.keys() & other.keys())

    assert min(differences(one, configurations[0]) for one in configurations[1:POPULATION]) >= 2
    for number in range(POPULATION, 60):
        alive = configurations[number - POPULATION : number]
        assert min(differences(configurations[number], parent) for parent in alive) == 1


def test_with_the_whole_population_as_sample_the_parent_is_the_best_until_it_dies(tmp_path) -> None:
    """The third of five is the best of all; it has five children and is dead then."""
    number = iter(range(100))
    options = {"population": POPULATION, "sample": POPULATION, "max_trials": 20}
    asked = searching.run(
        searching.make_oracle("evolution", tmp_path, **options), lambda values: -abs(next(number) - 2)
    )
    best = asked[2]
    shares = [(values["rate"] == best["rate"]) or (values["share"] == best["share"]) for values in asked]
    assert shares[POPULATION : POPULATION + 3] == [True] * 3
    parents = asked[3:8]  # alive when trial 8 is chosen; the fourth is the best of them
    assert asked[8]["rate"] == parents[0]["rate"] or asked[8]["share"] == parents[0]["share"]


def test_a_failed_configuration_has_no_children_while_another_lives(tmp_path) -> None:
    number = iter(range(100))
    options = {"population": POPULATION, "sample": POPULATION, "max_trials": 9}
    oracle = searching.make_oracle("evolution", tmp_path, **options)
    asked = searching.run(oracle, lambda values: 0.5 if next(number) == 4 else None)
    for child in asked[5:9]:
        assert child["rate"] == asked[4]["rate"] or child["share"] == asked[4]["share"]


def test_a_configuration_without_neighbours_is_followed_by_random_ones(tmp_path) -> None:
    """No depth but with a head, so one mutation leads from there to anywhere, and back from one depth."""
    space = keras_tuner.HyperParameters()
    space.Fixed("kind", "ssd")
    space.Choice("depth", [1, 2])
    oracle = searching.make_oracle("evolution", tmp_path, hyperparameters=space, population=2, sample=1)
    assert len(searching.run(oracle, lambda values: values["depth"])) == 2
    assert oracle.end_reason == "all 2 configurations of the space were tried"


def test_it_and_bayesian_optimisation_beat_random_search_on_a_smooth_function(tmp_path) -> None:
    """Mean of the best of 30 whole trainings over five seeds; distance to 1."""
    distances = {}
    for name in ("evolution", "bayesian", "random"):
        found = []
        for seed in range(5):
            oracle = searching.make_oracle(name, tmp_path / f"{name}{seed}", seed=seed, max_trials=30)
            found.append(max(map(searching.height, searching.run(oracle))))
        distances[name] = 1.0 - np.mean(found)
    assert distances["evolution"] < 0.5 * distances["random"]
    assert distances["bayesian"] < 0.1 * distances["random"]
