"""Brackets are Keras Tuner's, are completed whatever fails, and are repeated while there is a budget."""

import keras_tuner
import pytest
import searching

from tuner_fn.oracles.halving import make_halving_rungs


def rungs(asked) -> list[tuple[int, int]]:
    return [(values["tuner/initial_epoch"], values["tuner/epochs"]) for values in asked]


@pytest.mark.parametrize(
    ("max_epochs", "factor"), [(1, 3), (4, 2), (9, 3), (10, 3), (27, 3), (52, 4), (100, 3), (243, 3)]
)
def test_brackets_have_keras_tuners_sizes_and_epochs(max_epochs, factor, tmp_path) -> None:
    space = searching.make_space()
    theirs = keras_tuner.oracles.HyperbandOracle(
        objective="loss", max_epochs=max_epochs, factor=factor, hyperparameters=space
    )
    ours = searching.make_oracle("hyperband", tmp_path, max_epochs=max_epochs, factor=factor)
    assert len(ours.rungs) == theirs._get_num_brackets()
    for bracket in range(len(ours.rungs)):
        for rung in range(bracket + 1):
            assert ours.size(bracket, rung) == theirs._get_size(bracket, rung)
            assert ours.rungs[len(ours.rungs) - 1 - bracket + rung] == theirs._get_epochs(bracket, rung)


def test_brackets_come_in_order_and_the_best_of_a_rung_go_on(tmp_path) -> None:
    """Of 9 epochs, by hand: 9 of 1 epoch, 3 of 3, 1 of 9; 5 of 3, 2 of 9; 3 of 9."""
    oracle = searching.make_oracle("hyperband", tmp_path)
    asked = searching.run(oracle)
    assert rungs(asked) == [(0, 1)] * 9 + [(1, 3)] * 3 + [(3, 9)] + [(0, 3)] * 5 + [(3, 9)] * 2 + [(0, 9)] * 3
    for below, above in ((slice(0, 9), slice(9, 12)), (slice(9, 12), slice(12, 13)), (slice(13, 18), slice(18, 20))):
        best = sorted(map(searching.height, asked[below]), reverse=True)
        promoted = [searching.height(values) for values in asked[above]]
        assert promoted == best[: len(promoted)]
    assert (oracle.planned_trials(), oracle.planned_epochs()) == (23, 9 + 6 + 6 + 15 + 12 + 27)
    assert oracle.end_reason == "all 3 brackets are done"


def test_the_lowest_rung_is_not_below_the_least_epochs(tmp_path) -> None:
    asked = searching.run(searching.make_oracle("hyperband", tmp_path, max_epochs=4, min_epochs=2, factor=2))
    assert rungs(asked) == [(0, 2)] * 3 + [(2, 4)] * 2 + [(0, 4)] * 3


def test_a_budget_is_spent_on_more_brackets(tmp_path) -> None:
    oracle = searching.make_oracle("hyperband", tmp_path / "trials", max_trials=40)
    asked = searching.run(oracle)
    assert rungs(asked)[23:40] == rungs(asked)[:17]
    assert sum(epochs - before for before, epochs in rungs(asked)) == oracle.planned_epochs()
    oracle = searching.make_oracle("hyperband", tmp_path / "epochs", max_epochs_total=75 + 9 + 6 + 6 + 3 + 1)
    assert len(searching.run(oracle)) == oracle.planned_trials() == 23 + 9 + 3 + 1 + 2
    assert oracle.end_reason == "the budget of 100 epochs is spent"


def test_failed_trials_are_the_worst_and_the_bracket_is_completed(tmp_path) -> None:
    """Seven of the first nine fail, and the better of the two that continue: one is left for the last rung."""
    numbers = iter(range(100))

    def score(values) -> float | None:
        number = next(numbers)
        return None if number < 7 or number == 9 else searching.height(values)

    asked = searching.run(searching.make_oracle("hyperband", tmp_path), score)
    assert rungs(asked)[:13] == [(0, 1)] * 9 + [(1, 3)] * 2 + [(3, 9)] + [(0, 3)]
    assert [values["tuner/trial_id"][-2:] for values in asked[9:12]][-1] == "10"


def test_a_bracket_in_which_all_fail_ends(tmp_path) -> None:
    asked = searching.run(searching.make_oracle("hyperband", tmp_path), lambda values: None)
    assert rungs(asked) == [(0, 1)] * 9 + [(0, 3)] * 5 + [(0, 9)] * 3


def test_workers_that_wait_for_a_rung_start_the_next_bracket(tmp_path) -> None:
    """All of the first rung run at once; of those, six must end before the best is certain to continue."""
    oracle = searching.make_oracle("hyperband", tmp_path)
    trials = [oracle.create_trial(f"tuner{number}") for number in range(10)]
    assert rungs(trial.hyperparameters.values for trial in trials) == [(0, 1)] * 9 + [(0, 3)]
    for number, trial in enumerate(trials[:7]):
        searching.tell(oracle, trial, float(number))
        following = oracle.create_trial(f"tuner{number}").hyperparameters.values
        if number < 6:
            assert following["tuner/initial_epoch"] == 0
        else:
            assert following["tuner/trial_id"] == trials[6].trial_id


def test_a_small_space_that_runs_out_ends_with_what_it_has(tmp_path) -> None:
    space = keras_tuner.HyperParameters()
    space.Choice("depth", [1, 2, 3, 4])
    oracle = searching.make_oracle("hyperband", tmp_path, hyperparameters=space, max_trials=50)
    asked = searching.run(oracle, lambda values: values["depth"])
    assert rungs(asked) == [(0, 1)] * 4 + [(1, 3)] * 3 + [(3, 9)]
    assert asked[-1]["depth"] == 4
    assert oracle.end_reason == "all 4 configurations of the space were tried"


def test_rungs_are_fractions_of_the_last() -> None:
    assert make_halving_rungs(1, 81, 3) == [1, 3, 9, 27, 81]
    assert make_halving_rungs(5, 50, 3) == [6, 17, 50]
    assert make_halving_rungs(4, 4, 2) == [4]
